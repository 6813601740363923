"""Typed picture of one cluster. Standard library only, no Ansible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

GROUPS = ("proxies", "databases", "arbitrators", "relays")
REQUIRED_GROUPS = ("proxies", "databases")

# The one list of choices; argument_specs of the topology role repeats it and a unit test keeps both equal.
CHOICES: dict[str, tuple[str, ...]] = {
    "sipha_sip_engine": ("opensips",),
    "sipha_opensips_version": ("3.4", "3.6", "4.0"),
    "sipha_media_relay": ("mediaproxy", "rtpengine", "none"),
    "sipha_database": ("galera",),
    "sipha_time_sync": ("chrony", "ntpd"),
    "sipha_registrar_mode": ("sql_only", "full_sharing"),
}
DEFAULTS: dict[str, Any] = {
    "sipha_cluster_name": "sipha",
    "sipha_sip_engine": "opensips",
    "sipha_opensips_version": "3.6",
    "sipha_media_relay": "mediaproxy",
    "sipha_database": "galera",
    "sipha_time_sync": "chrony",
    "sipha_registrar_mode": "sql_only",
    "sipha_nat_timeout": 30,
}
SECRETS = (
    "sipha_secret_db_engine",
    "sipha_secret_db_sst",
    "sipha_secret_auth_nonce",
    "sipha_secret_ca_passphrase",
)
NONCE_SECRET_LENGTH = 32  # the engine's auth module takes exactly 32 characters

# VRRP priorities. Order of preference is worth 1 each below BASE; the holder keeps the VIP by HOLDER_BONUS
# (more than all preferences together), an unhealthy node loses more than that. See docs/failover.md.
PRIORITY_BASE = 238
PRIORITY_HOLDER_BONUS = 15
MAX_PROXIES = 14


@dataclass(frozen=True)
class Finding:
    """One thing wrong with the inventory: what, where, and what to set."""

    id: str
    severity: str  # "error" | "warning"
    host: str  # "" = the whole cluster
    variable: str
    problem: str
    remedy: str
    waived: str = ""  # the reason, when sipha_waivers names this id

    def __str__(self) -> str:
        where = f"{self.variable} on {self.host}" if self.host else self.variable
        return f"{self.id} {where}: {self.problem}. {self.remedy}."

    def as_dict(self) -> dict[str, str]:
        return {**asdict(self), "text": str(self)}


@dataclass(frozen=True)
class Host:
    """A machine of the cluster with its addresses on the two networks."""

    name: str
    groups: tuple[str, ...]
    core: IPv4Interface | None = None
    public: IPv4Interface | None = None
    core_interface: str = ""
    public_interface: str = ""
    public_gateway: str = ""
    advertised: IPv4Address | None = None  # what phones see when the public address is behind a 1:1 NAT
    failure_domain: str = ""  # what fails together: a hypervisor, a rack, a site; "" = not said
    node_id: int = 0  # of a proxy: pinned by opensips_node_id, or its place in the order of names; 0 for other hosts

    @property
    def media_address(self) -> IPv4Address | None:
        """Where phones send media: the advertised address, else the public one."""
        return self.advertised or (self.public.ip if self.public else None)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "groups": list(self.groups),
            "core_address": str(self.core.ip) if self.core else "",
            "core_prefix": self.core.network.prefixlen if self.core else 0,
            "core_interface": self.core_interface,
            "public_address": str(self.public.ip) if self.public else "",
            "public_prefix": self.public.network.prefixlen if self.public else 0,
            "public_interface": self.public_interface,
            "public_gateway": self.public_gateway,
            "media_address": str(self.media_address or ""),
            "failure_domain": self.failure_domain,
            "node_id": self.node_id,
        }


@dataclass(frozen=True)
class Vip:
    """A floating address and the order in which proxies are preferred as its first holder."""

    name: str
    address: IPv4Interface | None
    router_id: int
    preferred: tuple[str, ...]

    @property
    def tag(self) -> str:
        """The engine's sharing tag that follows this VIP."""
        return self.name

    def priorities(self, proxies: list[str]) -> dict[str, int]:
        """VRRP base priority of every proxy: distinct, preferred ones first, then by name."""
        order = [n for n in self.preferred if n in proxies]
        order += [n for n in proxies if n not in order]
        return {name: PRIORITY_BASE - index for index, name in enumerate(order)}


@dataclass(frozen=True)
class Topology:
    """The whole cluster."""

    settings: dict[str, Any]
    hosts: dict[str, Host]
    vips: tuple[Vip, ...] = ()
    findings: tuple[Finding, ...] = field(default=())  # what could not be read at all
    variables: Mapping[str, Mapping[str, Any]] = field(
        default_factory=dict
    )  # by host: role variables the inventory sets; None is unreadable
    defaults: Mapping[str, Any] = field(default_factory=dict)  # of role variables

    def value(self, host: str, variable: str) -> Any:
        """A role variable on a host, or its default; None when it is not known."""
        own = self.variables.get(host, {})
        return own[variable] if variable in own else self.defaults.get(variable)

    def number(self, host: str, variable: str) -> float | None:
        value = self.value(host, variable)
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def group(self, name: str) -> list[Host]:
        return [self.hosts[n] for n in sorted(self.hosts) if name in self.hosts[n].groups]

    def users(self, groups: Sequence[str]) -> list[str]:
        """Names of the hosts that are in any of these groups."""
        return [name for name, host in self.hosts.items() if not set(groups).isdisjoint(host.groups)]

    def names(self, group: str) -> list[str]:
        return [h.name for h in self.group(group)]

    def network(self, kind: str) -> IPv4Network | None:
        """The public or core network: that of most proxies (all must share it), of the first by name where no network has most."""
        addresses = [host.public if kind == "public" else host.core for host in self.group("proxies")]
        networks = Counter(address.network for address in addresses if address)
        return networks.most_common(1)[0][0] if networks else None

    @property
    def relays_nothing(self) -> bool:
        """No proxy gives any call a relay."""
        proxies = self.names("proxies")
        return bool(proxies) and all(self.value(name, "opensips_media_relaying") == "never" for name in proxies)

    @property
    def media_relay(self) -> str:
        """The kind of relay to install: none where there is no relay and no call gets one, or nobody could ever say that media is well."""
        unused = self.relays_nothing and not self.group("relays")
        return "none" if unused else str(self.settings.get("sipha_media_relay", ""))

    def addresses(self) -> list[tuple[str, str, IPv4Address]]:
        """(host, variable, address) for every address a host owns."""
        rows = []
        for host in self.hosts.values():
            if host.core:
                rows.append((host.name, "sipha_core_address", host.core.ip))
            if host.public:
                rows.append((host.name, "sipha_public_address", host.public.ip))
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Plain data for roles and templates (the fact `sipha_topology`)."""
        proxies = self.names("proxies")
        public, core = self.network("public"), self.network("core")
        return {
            "cluster_name": self.settings["sipha_cluster_name"],
            "domain": self.settings.get("sipha_domain", ""),
            "engine": self.settings["sipha_sip_engine"],
            "engine_version": self.settings["sipha_opensips_version"],
            "registrar_mode": self.settings["sipha_registrar_mode"],
            "media_relay": self.media_relay,
            "database": self.settings["sipha_database"],
            "time_sync": self.settings["sipha_time_sync"],
            "hosts": {name: host.as_dict() for name, host in sorted(self.hosts.items())},
            **{group: self.names(group) for group in GROUPS},
            "public_network": str(public) if public else "",
            "core_network": str(core) if core else "",
            "vips": [
                {
                    "name": vip.name,
                    "tag": vip.tag,
                    "address": str(vip.address.ip) if vip.address else "",
                    "prefix": vip.address.network.prefixlen if vip.address else 0,
                    "router_id": vip.router_id,
                    "preferred": list(vip.preferred),
                    "priorities": vip.priorities(proxies),
                }
                for vip in self.vips
            ],
        }
