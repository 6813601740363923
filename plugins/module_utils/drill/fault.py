"""What a fault of a drill is, and what it needs to be told: names, options, limits. Pure.

The faults themselves: fault_units, fault_links, fault_packets, fault_system. Injecting, healing and the switch: fault_run.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import Any

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,200}")
LONGEST = 3600  # seconds that a fault may last before its host heals it by itself
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "esp": 50, "icmpv6": 58, "vrrp": 112, "sctp": 132}
# Each fault's options: those that it must be given, and those that it may be given.
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "process_killed": (("units",), ("keep_down",)),
    "unit_frozen": (("units",), ()),
    "unit_stopped": (("units",), ()),
    "link_down": (("addresses",), ("skip_addresses",)),
    "link_flapping": (("addresses",), ("skip_addresses", "times", "period")),
    "partition": ((), ("peers", "protocols", "ports", "direction")),
    "packet_loss": (("addresses", "loss"), ()),
    "netem": (("addresses",), ("loss", "delay", "jitter")),
    "gateway_gone": ((), ("gateway",)),
    "dns_gone": ((), ()),
    "disk_full": (("directory",), ("leave", "allow_root")),
    "clock_stepped": (("step",), ()),
}


class FaultError(ValueError):
    """The fault can't be injected or healed; the text says what is wrong, and what to set or do."""


@dataclass(frozen=True)
class Settings:
    """One fault. What its kind has no use for keeps its default."""

    name: str
    kind: str
    seconds: float
    units: tuple[str, ...] = ()
    keep_down: bool = False
    addresses: tuple[str, ...] = ()
    skip_addresses: tuple[str, ...] = ()
    times: int = 10
    period: float = 60.0
    peers: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    direction: str = "both"
    loss: float = 0.0  # percent
    delay: float = 0.0  # seconds
    jitter: float = 0.0
    gateway: str = ""
    directory: str = ""
    leave: int = 0  # MB
    allow_root: bool = False
    step: float = 0.0  # seconds

    def to_dict(self) -> dict[str, Any]:
        """As it is after a way through JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def _close(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"


def check_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise FaultError(f"name is {name!r}, set it to 1 to 32 lower-case letters, digits and underscores, beginning with a letter")
    return name


def _between(name: str, value: float, low: float, high: float, unit: str = "") -> None:
    if not math.isfinite(value) or not low <= value <= high:
        raise FaultError(f"{name} is {value:g}{unit}, set it to {low:g} to {high:g}{unit}")


def address(name: str, text: str) -> str:
    """One address as the kernel writes it."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise FaultError(f"{name} has {text!r}, which is no IPv4 or IPv6 address") from None


def network(name: str, text: str) -> str:
    """An address, or a network in CIDR notation, without host bits."""
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise FaultError(f"{name} has {text!r}, which is no IPv4 or IPv6 address or network") from None
    return str(found.network_address) if found.prefixlen == found.max_prefixlen else str(found)


def protocol(text: str) -> str:
    """Its number."""
    number = PROTOCOLS.get(text.lower(), int(text) if text.isascii() and text.isdigit() else -1)
    if not 0 <= number <= 255:
        raise FaultError(f"protocols has {text!r}, set it to a number from 0 to 255 or one of {', '.join(sorted(PROTOCOLS))}")
    return str(number)


def unit(text: str) -> str:
    """With .service, and none without which nothing could heal."""
    name = text if text.endswith(".service") else f"{text}.service"
    if not UNIT.fullmatch(text) or text.startswith("-"):
        raise FaultError(f"units has {text!r}, which is no name of a unit")
    if name.startswith(("systemd-", "dbus", "sipha-heal-", "sipha-fault-")):
        raise FaultError(f"units has {text}, without which this host could not heal itself")
    return name


def load(given: Mapping[str, Any]) -> Settings:
    """Checked settings. What is None was not given; an option that the kind has no use for is refused."""
    values = {key: value for key, value in given.items() if value is not None}
    kind = str(values.get("kind", ""))
    if kind not in KINDS:
        raise FaultError(f"there is no fault {kind!r}, {_close(kind, list(KINDS))}")
    needed, allowed = KINDS[kind]
    if missing := [one for one in needed if values.get(one) in (None, [], "")]:
        raise FaultError(f"{kind} needs {missing[0]}")
    known = {"name", "kind", "seconds", *needed, *allowed}
    if extra := sorted(set(values) - known):
        raise FaultError(f"{kind} has no use for {extra[0]}; it takes {', '.join(sorted(known))}")
    lists = {one.name for one in fields(Settings) if str(one.type).startswith("tuple")}
    made: dict[str, Any] = {key: tuple(value) if key in lists else value for key, value in values.items()}
    return _checked(Settings(**made))


def _checked(given: Settings) -> Settings:
    check_name(given.name)
    _between("seconds", given.seconds, 1, LONGEST)
    _between("loss", given.loss, 0, 100, " %")
    _between("delay", given.delay, 0, 10, " s")
    _between("jitter", given.jitter, 0, 10, " s")
    values = given.to_dict()
    values["units"] = list(dict.fromkeys(unit(one) for one in given.units))
    for key in ("addresses", "skip_addresses"):
        values[key] = [address(key, one) for one in values[key]]
    values["peers"] = [network("peers", one) for one in given.peers]
    values["protocols"] = [protocol(one) for one in given.protocols]
    values["gateway"] = address("gateway", given.gateway) if given.gateway else ""
    CHECKS.get(given.kind, lambda one: None)(given)
    lists = ("units", "addresses", "skip_addresses", "peers", "protocols", "ports")
    made: dict[str, Any] = {**values, **{key: tuple(values[key]) for key in lists}}
    return Settings(**made)


def _flapping(given: Settings) -> None:
    _between("times", given.times, 1, 1000)
    _between("period", given.period, 0.4 * given.times, LONGEST, " s")
    if given.seconds < given.period:
        raise FaultError(f"seconds is {given.seconds:g}, but flapping takes {given.period:g} s: set seconds to more than period")


def _partition(given: Settings) -> None:
    if not (given.peers or given.protocols or given.ports):
        raise FaultError("partition needs peers, protocols or ports; for all packets set peers to 0.0.0.0/0 and ::/0")
    if given.direction not in ("both", "in", "out"):
        raise FaultError(f"direction is {given.direction!r}, set it to both, in or out")
    for port in given.ports:
        _between("a port", port, 1, 65535)
    if given.ports and (odd := [one for one in given.protocols if protocol(one) not in ("6", "17", "132")]):
        raise FaultError(f"partition by ports is for tcp, udp and sctp, but protocols has {odd[0]}")


def _netem(given: Settings) -> None:
    if not (given.loss or given.delay):
        raise FaultError("netem needs loss or delay above 0")
    if given.jitter and given.jitter > given.delay:
        raise FaultError(f"jitter is {given.jitter:g} s, more than the delay of {given.delay:g} s")


def _packet_loss(given: Settings) -> None:
    _between("loss", given.loss, 0.1, 100, " %")


def _disk_full(given: Settings) -> None:
    if not given.directory.startswith("/"):
        raise FaultError(f"directory is {given.directory!r}, set it to an absolute path")
    _between("leave", given.leave, 0, 1_000_000, " MB")


def _clock_stepped(given: Settings) -> None:
    _between("step", given.step, -86400, 86400, " s")
    if abs(given.step) < 1:
        raise FaultError(f"step is {given.step:g} s, set it to at least 1 s ahead, or -1 s behind")


CHECKS = {
    "link_flapping": _flapping,
    "partition": _partition,
    "netem": _netem,
    "packet_loss": _packet_loss,
    "disk_full": _disk_full,
    "clock_stepped": _clock_stepped,
}
