"""Which ports a host opens to whom; role firewall makes rules of it, and everybody else is dropped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .model import Host, Topology
from .rules_script import GALERA_PORTS

TCP, BOTH = ("tcp",), ("tcp", "udp")


@dataclass(frozen=True)
class Opening:
    """Ports of one host that only these sources may use."""

    why: str
    ports: tuple[int, ...]
    protocols: tuple[str, ...]
    sources: tuple[str, ...]  # addresses or networks; none = nobody
    address: str = ""  # only at this address of the host; "" = at all


def _core(hosts: Iterable[Host]) -> tuple[str, ...]:
    return tuple(sorted({str(host.core.ip) for host in hosts if host.core}))


def openings(topology: Topology, host: Host) -> list[Opening]:
    """Everything on this host that is not for the whole world, in the order of the groups."""
    proxies, relays = topology.group("proxies"), topology.group("relays")
    members = [*topology.group("databases"), *topology.group("arbitrators")]
    media = topology.media_relay
    core = topology.network("core")
    found: list[Opening] = []

    def ports(*names: str) -> tuple[int, ...]:
        return tuple(int(number) for name in names if (number := topology.number(host.name, name)) is not None)

    def opens(why: str, numbers: Sequence[int], protocols: tuple[str, ...], sources: Sequence[str], address: str = "") -> None:
        if numbers:
            found.append(Opening(why, tuple(sorted(set(numbers))), protocols, tuple(sources), address))

    if "proxies" in host.groups:
        inside = (str(core),) if core else ()
        monitoring = topology.value(host.name, "firewall_monitoring_networks")
        watchers = tuple(str(text) for text in monitoring) if isinstance(monitoring, Sequence) and not isinstance(monitoring, str) else ()
        opens("replication between proxies, which has no authentication", ports("opensips_bin_port"), TCP, _core(proxies))
        opens("what the load balancers tell each other", ports("db_router_peers_port"), TCP, _core(proxies))
        opens("metrics", ports("opensips_metrics_port"), TCP, (*inside, *watchers))
        opens("health probes by SIP", ports("opensips_port"), BOTH, inside, str(host.core.ip) if host.core else "")
        if media == "mediaproxy":
            opens("relays of the media dispatcher", ports("mediaproxy_control_port"), TCP, _core(relays))
            opens("who asks the media dispatcher", ports("mediaproxy_management_port"), TCP, _core([*proxies, *relays]))
    if "relays" in host.groups and media == "rtpengine":
        opens("media control, which has no authentication", ports("rtpengine_control_port"), BOTH, _core(proxies))
    if {"databases", "arbitrators"} & set(host.groups):
        group = [port for port in GALERA_PORTS.values() if port != GALERA_PORTS["SQL"]]
        opens("group communication and state transfer", group, BOTH, _core(members))
    if "databases" in host.groups:
        sql = (GALERA_PORTS["SQL"], *ports("galera_tls_port", "galera_health_port"))
        opens("SQL and the health of the node", sql, TCP, _core([*topology.group("databases"), *proxies]))
    return found


def plain(topology: Topology) -> dict[str, list[dict[str, Any]]]:
    """The openings of every host as plain data."""
    return {name: [asdict(opening) for opening in openings(topology, host)] for name, host in sorted(topology.hosts.items())}
