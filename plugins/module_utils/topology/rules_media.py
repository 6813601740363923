"""Rules about the media relays: enough of them, where phones and proxies can reach them, with ports for the calls."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .model import Host, Topology
from .rule import Problem, differing, numbers, rule, shown

RELAYING = ("mediaproxy", "rtpengine")
PORTS_PER_CALL = 4  # both relays: a stream has two parties, each with RTP and RTCP


def _relaying(topology: Topology) -> bool:
    return topology.settings.get("sipha_media_relay") in RELAYING


def port_ranges(topology: Topology, host: Host) -> dict[str, tuple[str, int, int] | None]:
    """By kind of relay: (variable, first, last); None where it is no range. A kind whose settings are not known is left out."""
    ranges: dict[str, tuple[str, int, int] | None] = {}
    text = topology.value(host.name, "media_relay_port_range")
    if text is not None:
        match = re.fullmatch(r"([0-9]{1,5}):([0-9]{1,5})", str(text))
        first, last = (int(match[1]), int(match[2])) if match else (0, 0)
        good = first % 2 == 0 and last % 2 == 0 and 1024 <= first < last <= 65536
        ranges["mediaproxy"] = ("media_relay_port_range", first, last) if good else None
    low, high = topology.number(host.name, "rtpengine_port_min"), topology.number(host.name, "rtpengine_port_max")
    if low is not None and high is not None:
        good = low % 2 == 0 and high % 2 == 0 and 1024 <= low < high <= 65534
        ranges["rtpengine"] = ("rtpengine_port_min", int(low), int(high)) if good else None
    return ranges


@rule("MED001", "error", "fewer than two relays")
def relays_exist(topology: Topology) -> Iterator[Problem]:
    """Without a relay no audio passes between two NATs; with a single one its loss ends all audio. With opensips_media_relaying
    never no call has one."""
    count = len(topology.group("relays"))
    if _relaying(topology) and count < 2 and not topology.relays_nothing:
        problem = "it has no hosts, so phones behind NAT have no audio" if not count else "it has one host, and audio ends with it"
        remedy = "Put two or more hosts into the group relays (proxies may be in it as well), or set sipha_media_relay: none"
        yield "", "group relays", problem, remedy


@rule("MED002", "error", "a relay that proxies can't control")
def relays_controlled(topology: Topology) -> Iterator[Problem]:
    """A relay is reached by the proxies on the core network."""
    core = topology.network("core")
    for relay in topology.group("relays") if _relaying(topology) else []:
        if core and relay.core and relay.core.ip not in core:
            problem = f"{relay.core} is not in {core}, the core network of the proxies, so they can't control this relay"
            remedy = "Give the relay an address in that network, or waive MED002 with the reason when the two are routed"
            yield relay.name, "sipha_core_address", problem, remedy


@rule("MED003", "error", "a relay that phones can't reach")
def relays_reachable(topology: Topology) -> Iterator[Problem]:
    """Phones send their audio to the address that the relay names; from the Internet a private one is nowhere."""
    public = topology.network("public")
    unread = {(f.host, f.variable) for f in topology.findings}
    phones_are_public = any(vip.address and vip.address.ip.is_global for vip in topology.vips)
    for relay in topology.group("relays") if _relaying(topology) else []:
        address = relay.media_address
        if not address or address.is_global or (relay.name, "sipha_advertised_address") in unread:
            continue
        if phones_are_public:
            problem = f"phones reach the VIP from the Internet, but their audio would be sent to {address}, which is private"
        elif relay.advertised is None and public and address not in public:
            problem = f"{address} is neither in the public network {public} nor a public address, so phones can't be expected to reach it"
        else:
            continue
        variable = "sipha_public_address" if relay.advertised is None else "sipha_advertised_address"
        yield relay.name, variable, problem, "Set sipha_advertised_address to the address that phones reach this relay at"


@rule("MED004", "error", "an advertised address that is another machine's")
def advertised_once(topology: Topology) -> Iterator[Problem]:
    """Audio of one relay's calls would arrive at the other machine, which knows nothing about them."""
    owner: dict[object, str] = {address: host for host, _, address in topology.addresses()}
    owner |= {vip.address.ip: f"VIP {vip.name}" for vip in topology.vips if vip.address}
    for host in topology.hosts.values():
        if host.advertised:
            if owner.get(host.advertised, host.name) != host.name:
                problem = f"{host.advertised} already belongs to {owner[host.advertised]}"
                yield host.name, "sipha_advertised_address", problem, "Give each relay its own outside address"
            owner.setdefault(host.advertised, host.name)


@rule("MED005", "error", "media ports that are no even range")
def ranges_are_ranges(topology: Topology) -> Iterator[Problem]:
    """RTP has even ports and RTCP the next; the relay refuses anything else, or starts without ports."""
    wanted = {
        "mediaproxy": ("media_relay_port_range", "start:end, both even, start below end, 1024 to 65536, like 40000:49998"),
        "rtpengine": ("rtpengine_port_min", "an even port below rtpengine_port_max, which is even too, 1024 to 65534"),
    }
    for relay in topology.group("relays"):
        ranges = port_ranges(topology, relay)
        kind = topology.settings.get("sipha_media_relay")
        if kind in ranges and ranges[kind] is None:
            variable, remedy = wanted[kind]
            value = topology.value(relay.name, variable)
            shows = shown(value) if isinstance(value, float) else f"'{str(value)[:40]}'"
            yield relay.name, variable, f"{shows} is no range of media ports", f"Set it to {remedy}"


@rule("MED006", "error", "too few media ports for the planned calls when a relay is lost")
def ports_for_calls(topology: Topology) -> Iterator[Problem]:
    """The calls of the lost relay come back to the others; where those have no ports left, calls are refused. Counts what is left when the
    biggest relay, or the failure domain with the most, is away."""
    planned = topology.settings.get("sipha_planned_calls")
    kind = str(topology.settings.get("sipha_media_relay"))
    if not isinstance(planned, (int, float)) or not planned or not _relaying(topology):
        return
    lost: dict[str, int] = {}
    total = 0
    for relay in topology.group("relays"):
        known = port_ranges(topology, relay).get(kind)
        if known is None:
            return
        calls = (known[2] - known[1]) // PORTS_PER_CALL
        total += calls
        together = relay.failure_domain or f"host {relay.name}"
        lost[together] = lost.get(together, 0) + calls
    left = total - max(lost.values(), default=0)
    if len(lost) > 1 and left < planned:
        variable = "media_relay_port_range" if kind == "mediaproxy" else "rtpengine_port_max"
        worst = max(sorted(lost), key=lambda name: lost[name])
        problem = f"without {worst} the relays have ports for {left} calls, and {shown(planned)} are planned"
        yield "", variable, problem, f"Widen the range ({PORTS_PER_CALL} ports a call), or add relays"


@rule("MED007", "warning", "the two kinds of relay share ports")
def ranges_apart(topology: Topology) -> Iterator[Problem]:
    """When sipha_media_relay is changed both run until the last call of the old kind has ended, and take each other's ports."""
    for relay in topology.group("relays") if _relaying(topology) else []:
        first, second = (port_ranges(topology, relay).get(kind) for kind in RELAYING)
        if first and second and first[1] <= second[2] and second[1] <= first[2]:
            problem = f"{first[1]} to {first[2]} overlaps {second[1]} to {second[2]}, the ports of RTPEngine"
            yield relay.name, "media_relay_port_range", problem, "Keep it clear of rtpengine_port_min to rtpengine_port_max"


@rule("MED008", "error", "the engine gives up before the dispatcher can ask a second relay")
def engine_waits(topology: Topology) -> Iterator[Problem]:
    """A frozen relay then costs calls and not a second: 31 of 80 were lost with the programs' own defaults, none with these."""
    if topology.settings.get("sipha_media_relay") == "mediaproxy":
        for host, (engine, relay) in numbers(topology, "proxies", "opensips_media_timeout", "media_dispatcher_relay_timeout"):
            if engine <= 2000 * relay:
                problem = f"{shown(engine)} ms is not more than twice media_dispatcher_relay_timeout, {shown(relay)} s"
                yield host, "opensips_media_timeout", problem, f"Set it to {shown(2000 * relay + 500)}"


@rule("MED009", "error", "offers are forgotten while phones still ring")
def offers_last(topology: Topology) -> Iterator[Problem]:
    """Who answers later has a call without audio."""
    if topology.settings.get("sipha_media_relay") == "rtpengine":
        ringing = max((values[0] for _, values in numbers(topology, "proxies", "opensips_ring_timeout")), default=0)
        for host, (offer,) in numbers(topology, "relays", "rtpengine_offer_timeout"):
            if offer <= ringing:
                problem = f"{shown(offer)} s is not more than opensips_ring_timeout, {shown(ringing)} s"
                yield host, "rtpengine_offer_timeout", problem, f"Set it to {shown(ringing + 60)}, or lower opensips_ring_timeout"


@rule("MED010", "warning", "relays that no call uses")
def relays_used(topology: Topology) -> Iterator[Problem]:
    """Hosts in the group relays look as if phones behind NAT had audio."""
    for host in topology.group("proxies") if _relaying(topology) and topology.group("relays") else []:
        if topology.value(host.name, "opensips_media_relaying") == "never":
            problem = "it is never, and the group relays has hosts"
            yield host.name, "opensips_media_relaying", problem, "Set it to auto, or sipha_media_relay to none"


@rule("MED011", "error", "proxies and relays with different control ports")
def control_ports(topology: Topology) -> Iterator[Problem]:
    """Each side takes the port from its own variable; where they differ no proxy has a relay."""
    kinds = {"mediaproxy": ("mediaproxy_control_port", "mediaproxy_management_port"), "rtpengine": ("rtpengine_control_port",)}
    hosts = [host for host in topology.hosts.values() if {"proxies", "relays"} & set(host.groups)]
    for variable in kinds.get(str(topology.settings.get("sipha_media_relay")), ()):
        for host, mine, most in differing(topology, hosts, variable):
            problem = f"it is {shown(float(str(mine)))} here and {shown(float(str(most)))} on the other proxies and relays"
            yield host, variable, problem, "Set it once, in group_vars/all"


@rule("MED012", "error", "ports are given back while phones still ring")
def ports_last(topology: Topology) -> Iterator[Problem]:
    """A relay takes a call's ports before it rings, and gives them back when one of the two sends nothing for so long. Who answers later is
    sent to ports that are gone, and has no audio."""
    if topology.settings.get("sipha_media_relay") == "mediaproxy" and not topology.relays_nothing:
        ringing = max((values[0] for _, values in numbers(topology, "proxies", "opensips_ring_timeout")), default=0)
        for host, (patience,) in numbers(topology, "relays", "media_relay_stream_timeout"):
            if patience <= ringing:
                problem = f"{shown(patience)} s is not more than opensips_ring_timeout, {shown(ringing)} s"
                yield host, "media_relay_stream_timeout", problem, f"Set it to {shown(ringing + 30)}, or lower opensips_ring_timeout"


RULES = (
    relays_exist,
    relays_controlled,
    relays_reachable,
    advertised_once,
    ranges_are_ranges,
    ports_for_calls,
    ranges_apart,
    engine_waits,
    offers_last,
    relays_used,
    control_ports,
    ports_last,
)
