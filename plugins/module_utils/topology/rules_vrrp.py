"""Rules about VIPs and VRRP."""

from __future__ import annotations

from collections.abc import Iterator

from .model import Topology
from .rule import Problem, differing, found_while_reading, numbers, rule, shown


@rule("VIP002", "error", "a VIP that is no host address of the public network")
def vip_in_network(topology: Topology) -> Iterator[Problem]:
    """The router of another subnet never asks for it, so nobody reaches it."""
    network = topology.network("public")
    for vip in topology.vips:
        if not vip.address or not network:
            continue
        if vip.address.network != network:
            problem = f"VIP {vip.name} {vip.address} is not in the proxies' public network {network}"
            yield "", "sipha_vips", problem, "Choose a free address of that network, with its prefix length"
        elif network.prefixlen < 31 and vip.address.ip in (network.network_address, network.broadcast_address):
            problem = f"VIP {vip.name} {vip.address} is the network or broadcast address of {network}"
            yield "", "sipha_vips", problem, "Choose a host address"


@rule("VIP003", "error", "a VIP that is a host's own address")
def vip_is_free(topology: Topology) -> Iterator[Problem]:
    """Two machines would carry it at once."""
    owners = {address: host for host, _, address in topology.addresses()}
    for vip in topology.vips:
        if vip.address and vip.address.ip in owners:
            problem = f"VIP {vip.name} {vip.address.ip} is the own address of {owners[vip.address.ip]}"
            yield "", "sipha_vips", problem, "Choose an address that no host owns"


@rule("VIP004", "error", "two VIPs with one address or one router_id")
def vips_differ(topology: Topology) -> Iterator[Problem]:
    """Two VRRP instances with one router_id in a segment fight, and one of them has no holder."""
    seen: dict[object, str] = {}
    for vip in topology.vips:
        for what, key in (("address", vip.address and vip.address.ip), ("router_id", vip.router_id or None)):
            if key is not None and key in seen:
                yield "", "sipha_vips", f"VIP {vip.name} has the {what} {key} of VIP {seen[key]}", f"Give each VIP its own {what}"
            if key is not None:
                seen.setdefault(key, vip.name)


@rule("VIP005", "error", "a VIP that prefers a host which is no proxy")
def preferred_are_proxies(topology: Topology) -> Iterator[Problem]:
    """It can never hold the VIP: a misspelt name, or a host that has left."""
    proxies = topology.names("proxies")
    for vip in topology.vips:
        for name in vip.preferred:
            if name not in proxies:
                problem = f"VIP {vip.name} prefers {name}, which is not in the group proxies"
                yield "", "sipha_vips", problem, f"Name proxies: {', '.join(proxies)}"


@rule("VIP007", "error", "a VIP that is the gateway's address")
def vip_is_no_gateway(topology: Topology) -> Iterator[Problem]:
    """The holder would take the router's traffic, and the whole network is gone."""
    for vip in topology.vips:
        hosts = [h.name for h in topology.hosts.values() if vip.address and h.public_gateway == str(vip.address.ip)]
        if hosts and vip.address:
            problem = f"VIP {vip.name} {vip.address.ip} is sipha_public_gateway of {hosts[0]}"
            yield "", "sipha_vips", problem, "Choose a free address"


@rule("VIP008", "warning", "a VIP that prefers a proxy twice")
def preferred_once(topology: Topology) -> Iterator[Problem]:
    """One of the two was meant to be another name; the last place counts."""
    for vip in topology.vips:
        for name in sorted({n for n in vip.preferred if vip.preferred.count(n) > 1}):
            yield "", "sipha_vips", f"VIP {vip.name} prefers {name} twice", "Name each proxy once"


@rule("VIP009", "warning", "two VIPs that start on one proxy")
def first_holders_differ(topology: Topology) -> Iterator[Problem]:
    """Several VIPs share the load only while different proxies hold them. Without `preferred` the first proxy by name holds each."""
    proxies, first = topology.names("proxies"), dict[str, str]()
    for vip in topology.vips:
        priorities = vip.priorities(proxies)
        holder = max(priorities, key=priorities.__getitem__, default="")
        if holder in first and len(topology.vips) <= len(proxies):
            problem = f"VIP {vip.name} starts on {holder}, as VIP {first[holder]} does"
            yield "", "sipha_vips", problem, "Begin each VIP's preferred list with another proxy"
        first.setdefault(holder, vip.name)


@rule("VIP010", "error", "several VIPs with registrations in memory")
def several_vips_need_sql(topology: Topology) -> Iterator[Problem]:
    """With full_sharing the pings to a phone follow the tag of the VIP that it registered with, and the engine pings by one tag only."""
    if len(topology.vips) > 1 and topology.settings.get("sipha_registrar_mode") == "full_sharing":
        problem = f"there are {len(topology.vips)} VIPs, and phones of all but the first would not be pinged"
        yield "", "sipha_registrar_mode", problem, "Set it to sql_only, or keep one VIP"


@rule("VRP001", "warning", "proxies that advertise at different intervals")
def one_interval(topology: Topology) -> Iterator[Problem]:
    """Who waits for advertisements measures the silence with the holder's interval: how long an outage lasts would depend on who holds."""
    for host, mine, most in differing(topology, topology.group("proxies"), "keepalived_advertisement_interval"):
        problem = f"it is {shown(float(str(mine)))} s here and {shown(float(str(most)))} s on the other proxies"
        yield host, "keepalived_advertisement_interval", problem, "Set it once, for all proxies"


@rule("VRP002", "warning", "advertisements so often that a busy host misses three")
def interval_not_too_short(topology: Topology) -> Iterator[Problem]:
    """A holder that is late by three of them loses the VIP although it is well; a virtual machine pauses for 0.1 s without any fault."""
    for host, (interval,) in numbers(topology, "proxies", "keepalived_advertisement_interval"):
        if interval < 0.05:
            problem = f"{shown(interval)} s makes a proxy that pauses for {shown(3 * interval)} s lose its VIP"
            yield host, "keepalived_advertisement_interval", problem, "Set it to 0.05 or more; 0.1 is the default"


@rule("VRP003", "warning", "no gratuitous ARP after the first")
def garp_refresh(topology: Topology) -> Iterator[Problem]:
    """After a healed split the router may have learnt the wrong holder; only a repeated announcement corrects it."""
    for host, (seconds,) in numbers(topology, "proxies", "keepalived_garp_refresh"):
        if not 1 <= seconds <= 60:
            problem = (
                "0 announces the holder only once" if not seconds else f"a router with the wrong holder keeps it for {shown(seconds)} s"
            )
            yield host, "keepalived_garp_refresh", problem, "Set it to 1 to 60 s; 10 is the default"


@rule("VRP004", "warning", "the agent is slower than VRRP by far")
def agent_keeps_up(topology: Topology) -> Iterator[Problem]:
    """A dead host is replaced after three advertisements, a dead engine on a living host only after the agent has noticed: most faults are
    of the second kind."""
    names = ("proxy_agent_sip_interval", "proxy_agent_sip_timeout", "proxy_agent_sip_fall", "keepalived_advertisement_interval")
    for host, (interval, timeout, fall, advertisement) in numbers(topology, "proxies", *names):
        agent = interval * fall + timeout
        if agent > max(3.0, 10 * 3 * advertisement):
            problem = f"the agent needs {shown(agent)} s to see a dead engine, VRRP {shown(3 * advertisement)} s to see a dead host"
            yield (
                host,
                "proxy_agent_sip_interval",
                problem,
                "Lower proxy_agent_sip_interval, proxy_agent_sip_timeout or proxy_agent_sip_fall",
            )


RULES = (
    found_while_reading(
        "VIP001", "error", "a list of VIPs that can't be read", "Without a VIP phones have no address that survives a proxy."
    ),
    vip_in_network,
    vip_is_free,
    vips_differ,
    preferred_are_proxies,
    vip_is_no_gateway,
    preferred_once,
    first_holders_differ,
    several_vips_need_sql,
    one_interval,
    interval_not_too_short,
    garp_refresh,
    agent_keeps_up,
)
