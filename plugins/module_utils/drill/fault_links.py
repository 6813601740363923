"""Faults of network interfaces: down, flapping. Healing brings back what `ip link set down` takes away besides the link.

That is all routes but the kernel's own, and the IPv6 addresses. Addresses that somebody else manages (VIPs) are never brought back here:
their owner, keepalived, may have given them to another host meanwhile.
"""

from __future__ import annotations

from typing import Any

from .fault import FaultError, Settings
from .fault_host import Host
from .fault_plan import Facts, Kind, Plan, Verdict, line, path, worker

NOT_OURS = ("kernel", "ra", "keepalived", "18")  # 18 is keepalived, where iproute2 does not know its name
SPECIAL = ("local", "broadcast", "multicast", "anycast")


def links(addresses: tuple[str, ...], host: Host) -> dict[str, dict[str, Any]]:
    """The interfaces that carry these addresses, each once, as `ip -j address` has them."""
    found = {}
    rows = host.rows("ip", "-j", "address", "show")
    for address in addresses:
        owners = [row for row in rows if "LOOPBACK" not in row.get("flags", []) and _carries(row, address)]
        if not owners:
            there = [str(info["local"]) for row in rows for info in row.get("addr_info", []) if info.get("local")]
            raise FaultError(f"addresses has {address}, which no interface of this host carries; there are {', '.join(there)}")
        found[str(owners[0]["ifname"])] = owners[0]
    return found


def _carries(row: dict[str, Any], address: str) -> bool:
    return any(info.get("local") == address for info in row.get("addr_info", []))


def routes(link: str, skip: tuple[str, ...], host: Host) -> list[list[str]]:
    """What `ip` must be told to have the routes of a link again, those to neighbours first."""
    found = []
    for family in ("-4", "-6"):
        for row in host.rows("ip", "-j", family, "route", "show", "table", "all"):
            mine = row.get("dev") == link or any(hop.get("dev") == link for hop in row.get("nexthops", []))
            foreign = str(row.get("protocol")) in NOT_OURS or "expires" in row or row.get("prefsrc") in skip
            if mine and not foreign and row.get("type") not in SPECIAL:
                found.append((_via(row), [family, *route(row)]))
    return [words for _, words in sorted(found, key=lambda one: one[0])]


def _via(row: dict[str, Any]) -> bool:
    return any("gateway" in hop or "via" in hop for hop in [row, *row.get("nexthops", [])])


def _hop(row: dict[str, Any]) -> list[str]:
    words: list[str] = []
    if "gateway" in row:
        words += ["via", str(row["gateway"])]
    if "via" in row:  # a gateway of the other family
        words += ["via", str(row["via"]["family"]), str(row["via"]["host"])]
    words += ["dev", str(row["dev"])] if "dev" in row else []
    words += ["weight", str(row["weight"])] if "weight" in row else []
    return [*words, "onlink"] if "onlink" in row.get("flags", []) else words


def route(row: dict[str, Any]) -> list[str]:
    """The words after `ip route replace`."""
    words = [str(row["type"])] if row.get("type", "unicast") != "unicast" else []
    words.append(str(row["dst"]))
    for key, word in (("table", "table"), ("protocol", "proto"), ("scope", "scope"), ("prefsrc", "src"), ("metric", "metric")):
        if row.get(key) not in (None, ""):
            words += [word, str(row[key])]
    for metrics in row.get("metrics", []):
        words += [text for key, value in metrics.items() for text in (str(key), str(value))]
    words += _hop(row)
    for hop in row.get("nexthops", []):
        words += ["nexthop", *_hop(hop)]
    return words


def lost_addresses(row: dict[str, Any], asked: tuple[str, ...], skip: tuple[str, ...]) -> list[list[str]]:
    """Words of `ip address replace`: the lasting IPv6 addresses, and the addresses by which the link was named."""
    found = []
    for info in row.get("addr_info", []):
        local = str(info.get("local"))
        own = info.get("family") == "inet6" and info.get("scope") == "global" and not info.get("dynamic")
        if local in skip or str(info.get("protocol")) in NOT_OURS or not (own or local in asked):
            continue
        words = [f"{local}/{info['prefixlen']}", "dev", str(row["ifname"])]
        if info.get("broadcast"):
            words += ["broadcast", str(info["broadcast"])]
        if info.get("label") not in (None, row["ifname"]):
            words += ["label", str(info["label"])]
        words += ["nodad"] if info.get("nodad") else []
        found.append([*words, "preferred_lft", "0"] if info.get("deprecated") else words)
    return found


def _look(given: Settings, host: Host) -> dict[str, Any]:
    found = links(given.addresses, host)
    for name, row in found.items():
        if "UP" not in row.get("flags", []):
            raise FaultError(f"{name} is down already")
        if row.get("master"):
            raise FaultError(f"{name} is a part of {row['master']}: give an address of that one")
    skip = given.skip_addresses
    return {
        "links": list(found),
        "addresses": [words for row in found.values() for words in lost_addresses(row, given.addresses, skip)],
        "routes": [words for name in found for words in routes(name, skip, host)],
    }


def up(facts: Facts) -> tuple[str, ...]:
    return (
        *(f"try {line('ip', 'link', 'set', 'dev', name, 'up')}" for name in facts["links"]),
        *(f"try {line('ip', 'address', 'replace', *words)}" for words in facts["addresses"]),
        *(f"try {line('ip', words[0], 'route', 'replace', *words[1:])}" for words in facts["routes"]),
    )


def down(facts: Facts) -> tuple[tuple[str, ...], ...]:
    return tuple(("ip", "link", "set", "dev", name, "down") for name in facts["links"])


def link_down(given: Settings, host: Host) -> Plan:
    facts = _look(given, host)
    return Plan(down(facts), up(facts), facts)


FLAP = """\
#!/bin/sh
# Takes the link down and up again {times} times.
try() {{ "$@" || true; }}
i=0
while [ "$i" -lt {times} ]; do
{down}
sleep {half}
{up}
sleep {half}
i=$((i + 1))
done
"""


def flapping(given: Settings, host: Host) -> Plan:
    """By a unit of its own on the host: a link that is down half of the time is no way to tell the host anything."""
    facts = {**_look(given, host), "worker": worker(given.name)}
    half = f"{given.period / given.times / 2:.3f}"
    text = FLAP.format(times=given.times, half=half, down="\n".join(line(*one) for one in down(facts)), up="\n".join(up(facts)))
    file = path(given.name, "flap.sh")
    begin = ("systemd-run", "--quiet", "--collect", f"--unit={facts['worker']}", "--", "/bin/sh", file)
    heal = (f"may {line('systemctl', 'stop', facts['worker'])}", *up(facts))
    return Plan((begin,), heal, facts, {file: text})


def _up(host: Host) -> dict[str, bool]:
    return {str(row["ifname"]): "UP" in row.get("flags", []) for row in host.rows("ip", "-j", "link", "show")}


def down_there(facts: Facts, host: Host) -> Verdict:
    state = _up(host)
    if alive := [name for name in facts["links"] if state.get(name)]:
        return Verdict(False, f"{alive[0]} is up")
    return Verdict(True, f"{', '.join(facts['links'])} down")


def flapping_there(facts: Facts, host: Host) -> Verdict:
    if not host.active(facts["worker"]):
        return Verdict(False, f"{facts['worker']} does not run")
    return down_there(facts, host)


def whole(facts: Facts, host: Host) -> Verdict:
    """Up, with the addresses and routes of before."""
    if "worker" in facts and host.active(facts["worker"]):
        return Verdict(False, f"{facts['worker']} still runs")
    state = _up(host)
    if dead := [name for name in facts["links"] if not state.get(name)]:
        return Verdict(False, f"{dead[0]} is down")
    carried = {info.get("local") for row in host.rows("ip", "-j", "address", "show") for info in row.get("addr_info", [])}
    if lost := [words[0] for words in facts["addresses"] if words[0].partition("/")[0] not in carried]:
        return Verdict(False, f"address {lost[0]} is missing")
    now = [words for name in facts["links"] for words in routes(name, (), host)]
    if gone := [words for words in facts["routes"] if words not in now]:
        return Verdict(False, f"a route is missing: {' '.join(gone[0])}")
    return Verdict(True, f"{', '.join(facts['links'])} up, {len(facts['addresses'])} addresses and {len(facts['routes'])} routes as before")


KINDS = {
    "link_down": Kind(link_down, down_there, whole),
    "link_flapping": Kind(flapping, flapping_there, whole),
}
