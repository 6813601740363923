"""What the hosts say: plain data of module host_look -> Live, and the judgement over all of them. Rules are in rules_live.py.

Whatever a host says, however wrong, is never a traceback: what can't be read is unknown, and rules about it say nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface
from typing import Any, NamedTuple, TypeVar

from ..clock import Interval, offset_interval
from .model import Finding, Topology
from .rule import Problem

Looks = Mapping[str, "Live"]
Parsed = TypeVar("Parsed")


class Unsure(NamedTuple):
    """A host on which a rule could not be judged, and why."""

    host: str
    why: str


Check = Callable[[Topology, Looks], Iterator["Problem | Unsure"]]


@dataclass(frozen=True)
class Interface:
    name: str
    mac: str
    up: bool | None
    loopback: bool
    addresses: tuple[IPv4Interface, ...]


@dataclass(frozen=True)
class Listener:
    protocol: str
    address: str
    port: int
    process: str  # "" = not known
    unit: str

    @property
    def owner(self) -> str:
        return f"{self.process} ({self.unit})" if self.process and self.unit else self.process or self.unit


@dataclass(frozen=True)
class Disk:
    exists: bool
    free: float  # MB
    files: float | None  # None: the file system has no limit


@dataclass(frozen=True)
class Probe:
    """What a host learned when it asked its segment for an address; `answers` is None when it could not ask."""

    carried: bool
    answers: tuple[str, ...] | None
    error: str


@dataclass(frozen=True)
class Live:
    """What one host said. None and "" are unknown."""

    hostname: str
    machine_id: str
    root: bool | None
    system: str  # ID in os-release
    version: int | None
    init: str
    python: tuple[int, ...]
    interfaces: tuple[Interface, ...] | None
    gateways: tuple[tuple[IPv4Address, str], ...] | None  # of default routes, with the interface
    memory: float | None  # MB
    available: float | None
    disks: Mapping[str, Disk]
    sysctls: Mapping[str, tuple[str, bool]]  # value ("" = the kernel does not have it), may it be written
    conntrack: str
    open_files: float | None
    listeners: tuple[Listener, ...]
    hidden: frozenset[str]  # processes and units that may be those of listeners without one
    probes: Mapping[str, Probe]
    clock: Interval | None  # against the controller's
    ca: str  # its certificate, "" without one
    controller_ca: str | None  # that of the controller, "" without one, None is unknown

    def carrying(self, address: IPv4Address) -> list[Interface]:
        """Interfaces with the address; loopback never counts, since a proxy may carry the VIP there."""
        return [i for i in self.interfaces or () if not i.loopback and any(own.ip == address for own in i.addresses)]


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else ()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    try:
        number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _each(values: object, parse: Callable[[Any], Parsed]) -> tuple[Parsed, ...]:
    """Those that can be read."""
    found = []
    for value in _list(values):
        try:
            found.append(parse(value))
        except ValueError:
            continue
    return tuple(found)


def _listener(row: Any) -> Listener:
    row = _mapping(row)
    port = _number(row.get("port"))
    if port is None:
        raise ValueError("no port")
    return Listener(_text(row.get("protocol")), _text(row.get("address")), int(port), _text(row.get("process")), _text(row.get("unit")))


def _interface(row: Any) -> Interface:
    row = _mapping(row)
    addresses = _each(row.get("addresses"), lambda text: IPv4Interface(_text(text)))
    return Interface(_text(row.get("name")), _text(row.get("mac")).lower(), _flag(row.get("up")), row.get("loopback") is True, addresses)


def _disk(row: Any) -> Disk | None:
    free = _number(_mapping(row).get("free"))
    return None if free is None else Disk(row.get("exists") is True, free, _number(row.get("files")))


def _probe(row: Any) -> Probe:
    row = _mapping(row)
    answers = row.get("answers")
    heard = tuple(_text(mac).lower() for mac in answers if _text(mac)) if isinstance(answers, list) else None
    return Probe(row.get("carried") is True, heard, _text(row.get("error")))


def _clock(row: Any) -> Interval | None:
    values = [_number(_mapping(row).get(key)) for key in ("before", "first", "last", "after")]
    before, first, last, after = values
    if before is None or first is None or last is None or after is None or after < before:
        return None
    return offset_interval([(before, first, after), (before, last, after)])


def _version(text: str) -> tuple[int, ...]:
    parts = text.split(".")
    return tuple(int(part) for part in parts) if all(part.isascii() and part.isdigit() and len(part) < 9 for part in parts) else ()


def read(data: object) -> Live:
    """Plain data of one host as it came over the wire."""
    look = _mapping(data)
    machine = _text(look.get("machine_id"))
    system, memory = _mapping(look.get("os")), _mapping(look.get("memory"))
    version = _version(_text(system.get("version")))
    disks = {_text(path): _disk(row) for path, row in _mapping(look.get("disks")).items()}
    gateways = look.get("gateways")
    interfaces = look.get("interfaces")
    return Live(
        hostname=_text(look.get("hostname")),
        machine_id=machine if re.fullmatch("[0-9a-f]{32}", machine) else "",  # not "uninitialized"
        root=_flag(look.get("root")),
        system=_text(system.get("id")),
        version=version[0] if version else None,
        init=_text(look.get("init")),
        python=_version(_text(look.get("python"))),
        interfaces=_each(interfaces, _interface) if isinstance(interfaces, list) else None,
        gateways=_each(gateways, lambda row: (IPv4Address(_text(_mapping(row).get("address"))), _text(_mapping(row).get("interface"))))
        if isinstance(gateways, list)
        else None,
        memory=_number(memory.get("total")),
        available=_number(memory.get("available")),
        disks={path: disk for path, disk in disks.items() if disk},
        sysctls={
            _text(name): (_text(_mapping(row).get("value")), _mapping(row).get("writable") is True)
            for name, row in _mapping(look.get("sysctls")).items()
        },
        conntrack=_text(look.get("conntrack")),
        open_files=_number(look.get("open_files")),
        listeners=_each(look.get("listeners"), _listener),
        hidden=frozenset(_text(_mapping(row).get(key)) for row in _list(look.get("hidden")) for key in ("process", "unit")) - {""},
        probes={_text(address): _probe(row) for address, row in _mapping(look.get("probes")).items()},
        clock=_clock(look.get("clock")),
        ca=_text(look.get("ca")),
        controller_ca=None if look.get("controller_ca") is None else _text(look["controller_ca"]),
    )


@dataclass(frozen=True)
class LiveRule:
    """Like a Rule, but over what hosts said. `across` names the groups of which it needs every host."""

    id: str
    severity: str
    what: str
    why: str
    check: Check
    waivable: bool = True
    across: tuple[str, ...] = ()


def live_rule(identity: str, severity: str, what: str, waivable: bool = True, across: tuple[str, ...] = ()) -> Callable[[Check], LiveRule]:
    def make(check: Check) -> LiveRule:
        return LiveRule(identity, severity, what, " ".join((check.__doc__ or "").split()), check, waivable, across)

    return make


def _missed(rules: Iterable[LiveRule], topology: Topology, missing: Mapping[str, str], unsure: Mapping[str, list[Unsure]]) -> str:
    """One line about what could not be judged; empty when all was."""
    parts = []
    if missing:
        hosts = ", ".join(f"{host} ({why})" for host, why in sorted(missing.items()))
        parts.append(f"nothing was seen of {hosts}, so no rule was judged there")
        without: dict[str, list[str]] = {}
        for rule in rules:
            lacking = ", ".join(name for name in sorted(topology.users(rule.across)) if name in missing)
            if lacking:
                without.setdefault(lacking, []).append(rule.id)
        parts += [f"{', '.join(ids)} compare hosts and were judged without {lacking}" for lacking, ids in without.items()]
    parts += [f"{rule} could not be judged on {one.host}: {one.why}" for rule, ones in unsure.items() for one in ones]
    return "; ".join(parts)


def judge(topology: Topology, rules: Sequence[LiveRule], looks: Looks, missing: Mapping[str, str]) -> tuple[list[Finding], str]:
    """Findings, errors first, and one line about what could not be judged. `missing` are hosts without a look, with the reason."""
    findings: list[Finding] = []
    unsure: dict[str, list[Unsure]] = {}
    for rule in rules:
        for one in rule.check(topology, looks):
            if isinstance(one, Unsure):
                unsure.setdefault(rule.id, []).append(one)
            else:
                findings.append(Finding(rule.id, rule.severity, *one))
    waivers = _mapping(topology.settings.get("sipha_waivers"))
    reasons = {str(name): reason.strip() for name, reason in waivers.items() if isinstance(reason, str)}
    found = {finding.id for finding in findings}
    for rule in rules:
        if reasons.get(rule.id) and rule.waivable and not missing and rule.id not in found | set(unsure):
            findings.append(Finding("INV016", "warning", "", "sipha_waivers", f"nothing was found by {rule.id}", "Remove it"))
    fixed = {rule.id for rule in rules if not rule.waivable}
    findings = [replace(f, severity="warning", waived=reasons[f.id]) if reasons.get(f.id) and f.id not in fixed else f for f in findings]
    return sorted(findings, key=lambda f: (f.severity != "error", f.id, f.host, f.variable)), _missed(rules, topology, missing, unsure)
