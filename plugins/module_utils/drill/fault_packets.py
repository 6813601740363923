"""Faults of packets: a partition, losses, latency, a gateway or the name servers gone.

Packets are dropped in an nftables table of the fault's own, at the devices (family netdev): what is sent vanishes without an error, as on
a broken network. Filters of the family inet would have the sender told "Operation not permitted", which no cut cable says, and fail over at
once. Where the kernel has no egress hook (before 5.16) inet is what there is, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .fault import FaultError, Settings
from .fault_host import Host
from .fault_links import links
from .fault_plan import Facts, Kind, Plan, Verdict, line, path

INET = "this kernel has no egress hook, so senders on this host are told that they may not send"
Rules = tuple[list[str], list[str]]  # what is dropped of what comes, and of what goes


def table(name: str) -> str:
    return f"sipha_fault_{name}"


def _devices(host: Host, *, loopback: bool) -> list[str]:
    rows = host.rows("ip", "-j", "link", "show", "up")
    found = [str(row["ifname"]) for row in rows if loopback or "LOOPBACK" not in row.get("flags", [])]
    if not found:
        raise FaultError("this host has no interface that is up")
    return found


def _names(devices: Iterable[str]) -> str:
    return "{ " + ", ".join(f'"{name}"' for name in devices) + " }"


def netdev(name: str, devices: Sequence[str], rules: Rules) -> str:
    chains = (("in", "ingress", -500, rules[0]), ("out", "egress", 0, rules[1]))
    lines = [f"table netdev {table(name)} {{"]
    for chain, hook, priority, drops in chains:
        lines.append(f"  chain {chain} {{ type filter hook {hook} devices = {_names(devices)} priority {priority}; policy accept;")
        lines += [f"    {rule} counter drop" for rule in drops]
        lines.append("  }")
    return "\n".join([*lines, "}", ""])


def inet(name: str, devices: Sequence[str], rules: Rules) -> str:
    """Before connection tracking and address translation, both for this host and for what it forwards."""
    come, go = rules
    chains = (("in", "prerouting", "iifname", come), ("out", "output", "oifname", go), ("through", "forward", "oifname", go))
    lines = [f"table inet {table(name)} {{"]
    for chain, hook, match, drops in chains:
        lines.append(f"  chain {chain} {{ type filter hook {hook} priority -350; policy accept;")
        lines += [f"    {match} {_names(devices)} {rule} counter drop" for rule in drops]
        lines.append("  }")
    return "\n".join([*lines, "}", ""])


def _dropped(given: Settings, host: Host, devices: Sequence[str], rules: Rules, old: Rules | None = None) -> Plan:
    """`old` is for the family inet, where it must say the same in other words."""
    name, text = given.name, netdev(given.name, devices, rules)
    family = "netdev"
    done = host.run("nft", "--check", "--file", "-", stdin=text)
    if done.code == 127:
        raise FaultError("nft is not installed on this host: install the package nftables")
    if done.code:
        family, text = "inet", inet(name, devices, old or rules)
        host.need("nft", "--check", "--file", "-", stdin=text)
    file = path(name, "nft")
    facts = {"family": family, "table": table(name)}
    return Plan((("nft", "--file", file),), (f"try no_table {family} {table(name)}",), facts, {file: text})


def _set(values: Iterable[object]) -> str:
    return "{ " + ", ".join(str(value) for value in values) + " }"


def _matches(given: Settings) -> list[str]:
    """By protocol and port, whatever the addresses."""
    if not given.ports:
        return [f"meta l4proto {_set(given.protocols)}"] if given.protocols else [""]
    layer = f"meta l4proto {_set(given.protocols or ('6', '17'))}"
    return [f"{layer} th {side} {_set(given.ports)}" for side in ("dport", "sport")]


def _sides(given: Settings, side: str) -> list[str]:
    four, six = [one for one in given.peers if ":" not in one], [one for one in given.peers if ":" in one]
    who = [f"{family} {side} {_set(peers)}" for family, peers in (("ip", four), ("ip6", six)) if peers] or [""]
    return [" ".join(filter(None, (one, match))) for one in who for match in _matches(given)]


def partition(given: Settings, host: Host) -> Plan:
    rows = host.rows("ip", "-j", "address", "show")
    own = {str(info.get("local")) for row in rows for info in row.get("addr_info", [])}
    if mine := [peer for peer in given.peers if peer in own]:
        raise FaultError(f"peers has {mine[0]}, an address of this host itself")
    come = _sides(given, "saddr") if given.direction != "out" else []
    go = _sides(given, "daddr") if given.direction != "in" else []
    return _dropped(given, host, _devices(host, loopback=False), (come, go))


def packet_loss(given: Settings, host: Host) -> Plan:
    """In both directions, each packet by lot."""
    rule = [f"numgen random mod 1000 < {round(given.loss * 10)}"]
    return _dropped(given, host, list(links(given.addresses, host)), (rule, rule))


def dns_gone(given: Settings, host: Host) -> Plan:
    """Over plain DNS and TLS, at the loopback too (a stub resolver); 127.0.0.11 is Docker's, on ports that it chooses."""
    ports = "meta l4proto { 6, 17 } th dport { 53, 853 }"
    return _dropped(given, host, _devices(host, loopback=True), ([], [ports, "ip daddr 127.0.0.11"]))


def _gateway(given: Settings, host: Host) -> tuple[str, str]:
    """Its address and the interface to it."""
    if not given.gateway:
        rows = [row for row in host.rows("ip", "-j", "-4", "route", "show", "default") if row.get("gateway")]
        if not rows:
            raise FaultError("this host has no default route: set gateway to the address that is to be gone")
        return str(rows[0]["gateway"]), str(rows[0]["dev"])
    rows = host.rows("ip", "-j", "route", "get", given.gateway)
    if not rows or rows[0].get("gateway") or rows[0].get("type") == "local":
        raise FaultError(f"gateway is {given.gateway}, which is no neighbour of this host")
    return given.gateway, str(rows[0]["dev"])


def _hardware(address: str, device: str, host: Host) -> str:
    """The MAC of a neighbour, which is asked when it is not known."""
    for again in (True, False):
        for row in host.rows("ip", "-j", "neigh", "show", "to", address, "dev", device):
            if row.get("lladdr") and "FAILED" not in row.get("state", []):
                return str(row["lladdr"])
        if again:
            host.run("ping", "-c", "1", "-W", "1", "-I", device, address)
    raise FaultError(f"gateway {address} does not answer on {device}: it is gone already")


def gateway_gone(given: Settings, host: Host) -> Plan:
    """All that comes from it or by it, and all that is sent to it or over it; the health agent's pings of it are lost, ARP too."""
    address, device = _gateway(given, host)
    mac = _hardware(address, device, host)
    family = "ip6" if ":" in address else "ip"
    come = [f"ether saddr {mac}", f"{family} saddr {address}"]
    plan = _dropped(
        given,
        host,
        [device],
        (come, [f"ether daddr {mac}", f"{family} daddr {address}"]),
        (come, [f"rt {family} nexthop {address}", f"{family} daddr {address}"]),
    )
    return Plan(plan.inject, plan.heal, {**plan.facts, "gateway": address}, plan.files)


def _table_there(facts: Facts, host: Host) -> bool:
    return host.run("nft", "list", "table", facts["family"], facts["table"]).code == 0


def dropped_there(facts: Facts, host: Host) -> Verdict:
    what = f"nftables table {facts['family']} {facts['table']}"
    if not _table_there(facts, host):
        return Verdict(False, f"{what} is not there")
    return Verdict(True, f"{what} is there" + (f"; {INET}" if facts["family"] == "inet" else ""))


def dropped_whole(facts: Facts, host: Host) -> Verdict:
    there = _table_there(facts, host)
    return Verdict(not there, f"nftables table {facts['family']} {facts['table']} is {'still there' if there else 'gone'}")


def _qdisc(device: str, host: Host) -> dict[str, Any]:
    """The queueing discipline at the root of an interface."""
    rows = [row for row in host.rows("tc", "-j", "qdisc", "show", "dev", device) if row.get("root")]
    return rows[0] if rows else {}


def netem(given: Settings, host: Host) -> Plan:
    """What leaves the interface. The kernel puts its default in place when netem goes, so another one must not have been there."""
    devices = list(links(given.addresses, host))
    for device in devices:
        found = _qdisc(device, host)
        if found.get("handle", "0:") != "0:":
            raise FaultError(f"{device} has the queueing discipline {found['kind']}, which could not be brought back")
    words = ["limit", "100000"]
    if given.delay:
        words += ["delay", f"{given.delay * 1000:g}ms", f"{given.jitter * 1000:g}ms"]
    if given.loss:
        words += ["loss", f"{given.loss:g}%"]
    inject = tuple(("tc", "qdisc", "add", "dev", device, "root", "handle", "51f:", "netem", *words) for device in devices)
    heal = tuple(
        f"! tc qdisc show dev {line(device)} | grep -q 'netem 51f:' || try {line('tc', 'qdisc', 'del', 'dev', device, 'root')}"
        for device in devices
    )
    return Plan(inject, heal, {"devices": devices})


def netem_there(facts: Facts, host: Host) -> Verdict:
    if clean := [device for device in facts["devices"] if _qdisc(device, host).get("kind") != "netem"]:
        return Verdict(False, f"{clean[0]} has no netem")
    return Verdict(True, f"netem on {', '.join(facts['devices'])}")


def netem_whole(facts: Facts, host: Host) -> Verdict:
    if left := [device for device in facts["devices"] if _qdisc(device, host).get("kind") == "netem"]:
        return Verdict(False, f"{left[0]} still has netem")
    return Verdict(True, f"no netem on {', '.join(facts['devices'])}")


KINDS = {
    **{
        kind: Kind(plan, dropped_there, dropped_whole)
        for kind, plan in (("partition", partition), ("packet_loss", packet_loss), ("gateway_gone", gateway_gone), ("dns_gone", dns_gone))
    },
    "netem": Kind(netem, netem_there, netem_whole),
}
