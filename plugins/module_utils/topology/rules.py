"""Rules over a Topology. Each is a small function that yields findings; ids never change meaning."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from .media import relays_exist, relays_reachable
from .model import CHOICES, MAX_PROXIES, NONCE_SECRET_LENGTH, REQUIRED_GROUPS, SECRETS, Finding, Topology

Rule = Callable[[Topology], Iterator[Finding]]


def required_groups(topology: Topology) -> Iterator[Finding]:
    """INV001: without proxies and databases there is no cluster."""
    for group in REQUIRED_GROUPS:
        if not topology.group(group):
            yield Finding("INV001", "error", "", f"group {group}", "it is missing or empty", f"Put hosts into the group {group}")


def two_proxies(topology: Topology) -> Iterator[Finding]:
    """INV007: one proxy can't fail over; VRRP priorities leave room for a bounded number."""
    count = len(topology.group("proxies"))
    if count == 1:
        yield Finding(
            "INV007",
            "error",
            "",
            "group proxies",
            "it has one host, so there is nowhere to fail over to",
            "Add a second",
        )
    if count > MAX_PROXIES:
        yield Finding(
            "INV007",
            "error",
            "",
            "group proxies",
            f"it has {count} hosts, more than the {MAX_PROXIES} that VRRP priorities leave room for",
            "Make two clusters",
        )


def addresses_present(topology: Topology) -> Iterator[Finding]:
    """INV002: every host needs a core address, proxies and relays a public one as well."""
    unread = {(f.host, f.variable) for f in topology.findings}
    for host in topology.hosts.values():
        wanted = [("sipha_core_address", host.core)]
        if {"proxies", "relays"} & set(host.groups):
            wanted.append(("sipha_public_address", host.public))
        for variable, value in wanted:
            if value is None and (host.name, variable) not in unread:
                yield Finding(
                    "INV002",
                    "error",
                    host.name,
                    variable,
                    "it is missing",
                    "Set it in the inventory to the host's address with prefix, like 198.18.20.11/24",
                )


def options(topology: Topology) -> Iterator[Finding]:
    """INV005: a choice that does not exist."""
    for variable, allowed in CHOICES.items():
        value = topology.settings.get(variable)
        if value not in allowed:
            yield Finding(
                "INV005",
                "error",
                "",
                variable,
                f"'{value}' is not known here",
                f"Set it to one of: {', '.join(allowed)}",
            )


def domain(topology: Topology) -> Iterator[Finding]:
    """INV010: the SIP domain is the realm of every subscriber."""
    if not topology.settings.get("sipha_domain"):
        yield Finding("INV010", "error", "", "sipha_domain", "it is missing", "Set it to the SIP domain, like sip.example.org")


def secrets(topology: Topology) -> Iterator[Finding]:
    """SEC001: there are no default passwords."""
    for variable in SECRETS:
        value = topology.settings.get(variable)
        if not value:
            yield Finding("SEC001", "error", "", variable, "it is missing", "Run playbooks/secrets.yml once for this inventory")
        elif variable == "sipha_secret_auth_nonce" and len(str(value)) != NONCE_SECRET_LENGTH:
            yield Finding(
                "SEC002",
                "error",
                "",
                variable,
                f"it has {len(str(value))} characters, the engine takes exactly {NONCE_SECRET_LENGTH}",
                "Remove it and run playbooks/secrets.yml",
            )
        elif len(str(value)) < 16:
            yield Finding("SEC003", "error", "", variable, "it is shorter than 16 characters", "Use a longer one")


def duplicate_addresses(topology: Topology) -> Iterator[Finding]:
    """NET001: one address, one owner."""
    owner: dict[object, str] = {}
    for host, variable, address in topology.addresses():
        if address in owner:
            yield Finding(
                "NET001",
                "error",
                host,
                variable,
                f"{address} already belongs to {owner[address]}",
                "Give each host its own address",
            )
        owner.setdefault(address, host)


def separate_networks(topology: Topology) -> Iterator[Finding]:
    """NET002: public and core are two networks."""
    public, core = topology.network("public"), topology.network("core")
    if public and core and public.overlaps(core):
        yield Finding(
            "NET002",
            "error",
            "",
            "sipha_public_address, sipha_core_address",
            f"the public network {public} and the core network {core} overlap",
            "Use two separate networks",
        )


def proxies_share_networks(topology: Topology) -> Iterator[Finding]:
    """NET003: VRRP works inside one segment."""
    for kind in ("public", "core"):
        network = topology.network(kind)
        for host in topology.group("proxies"):
            address = host.public if kind == "public" else host.core
            if network and address and address.network != network:
                yield Finding(
                    "NET003",
                    "error",
                    host.name,
                    f"sipha_{kind}_address",
                    f"{address} is not in {network}, the {kind} network of the other proxies",
                    "Put all proxies into the same network",
                )


def vip_rules(topology: Topology) -> Iterator[Finding]:
    """VIP002-VIP006: inside the public subnet, nobody's own address, unique, known preferences."""
    network = topology.network("public")
    proxies = topology.names("proxies")
    owners = {address: host for host, _, address in topology.addresses()}
    seen: dict[object, str] = {}
    for vip in topology.vips:
        if vip.address and network and (vip.address.ip not in network or vip.address.network != network):
            yield Finding(
                "VIP002",
                "error",
                "",
                "sipha_vips",
                f"VIP {vip.name} {vip.address} is not in the proxies' public network {network}",
                "Choose a free address of that network, with its prefix length",
            )
        elif (
            vip.address
            and network
            and network.prefixlen < 31
            and vip.address.ip
            in (
                network.network_address,
                network.broadcast_address,
            )
        ):
            yield Finding(
                "VIP002",
                "error",
                "",
                "sipha_vips",
                f"VIP {vip.name} {vip.address} is the network or broadcast address of {network}",
                "Choose a host address",
            )
        if vip.address and vip.address.ip in owners:
            yield Finding(
                "VIP003",
                "error",
                "",
                "sipha_vips",
                f"VIP {vip.name} {vip.address.ip} is the own address of {owners[vip.address.ip]}",
                "Choose an address that no host owns",
            )
        for what, key in (("address", vip.address and vip.address.ip), ("router_id", vip.router_id or None)):
            if key is not None and key in seen:
                yield Finding(
                    "VIP004",
                    "error",
                    "",
                    "sipha_vips",
                    f"VIP {vip.name} has the {what} {key} of VIP {seen[key]}",
                    f"Give each VIP its own {what}",
                )
            if key is not None:
                seen.setdefault(key, vip.name)
        for name in vip.preferred:
            if name not in proxies:
                yield Finding(
                    "VIP005",
                    "error",
                    "",
                    "sipha_vips",
                    f"VIP {vip.name} prefers {name}, which is not in the group proxies",
                    f"Name proxies: {', '.join(proxies)}",
                )
    if len(topology.vips) > 1:
        yield Finding(
            "VIP006",
            "error",
            "",
            "sipha_vips",
            f"it has {len(topology.vips)} VIPs, but the engine's NAT pings can follow the holder of one only",
            "Keep one VIP",
        )


def quorum(topology: Topology) -> Iterator[Finding]:
    """DB001: an even number of votes can't survive half of them."""
    data, arbitrators = len(topology.group("databases")), len(topology.group("arbitrators"))
    if data and (data + arbitrators) % 2 == 0:
        yield Finding(
            "DB001",
            "error",
            "",
            "group databases",
            f"{data} databases and {arbitrators} arbitrators are an even number of votes: "
            "when half of them are away, the other half stops too",
            "Use three databases, or two and a host in the group arbitrators",
        )
    elif data == 1:
        yield Finding("DB001", "error", "", "group databases", "one database is no cluster", "Use three, or two and an arbitrator")
    for host in topology.group("arbitrators"):
        if "databases" in host.groups:
            yield Finding(
                "DB002",
                "error",
                host.name,
                "group arbitrators",
                "it is a database as well, so its loss takes two votes",
                "Use a host without a database",
            )


RULES: tuple[Rule, ...] = (
    required_groups,
    two_proxies,
    addresses_present,
    options,
    domain,
    secrets,
    duplicate_addresses,
    separate_networks,
    proxies_share_networks,
    vip_rules,
    quorum,
    relays_exist,
    relays_reachable,
)


def unknown_variables(defined: Mapping[str, Iterable[str]], known: set[str], prefixes: tuple[str, ...]) -> list[Finding]:
    """INV004: a variable with one of our prefixes that nothing reads (a misspelling would be silent otherwise)."""
    where: dict[str, list[str]] = {}
    for host, names in defined.items():
        for name in names:
            if name.startswith(prefixes) and name not in known:
                where.setdefault(name, []).append(host)
    findings = []
    for name, hosts in sorted(where.items()):
        close = difflib.get_close_matches(name, sorted(known), n=1)
        findings.append(
            Finding(
                "INV004",
                "error",
                "" if len(hosts) > 1 else hosts[0],
                name,
                "nothing reads this variable",
                f"Did you mean {close[0]}" if close else "Remove it, or give it a prefix of your own",
            )
        )
    return findings


def judge(topology: Topology, extra: Iterable[Finding] = ()) -> list[Finding]:
    """All findings, errors first; those waived by sipha_waivers ({id: reason}) become warnings that say so."""
    findings = [*topology.findings, *extra]
    for rule in RULES:
        findings.extend(rule(topology))
    waivers = topology.settings.get("sipha_waivers") or {}
    if not isinstance(waivers, Mapping):
        findings.append(Finding("INV011", "error", "", "sipha_waivers", "it is not a mapping", "Set it to {rule id: reason}"))
        waivers = {}
    judged = [replace(f, severity="warning", waived=str(waivers[f.id])) if waivers.get(f.id) else f for f in findings]
    return sorted(judged, key=lambda f: (f.severity != "error", f.id, f.host, f.variable))
