"""What a drill's observers and playbook hand over, read and checked. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import samples as states
from .record import Record, from_lines
from .samples import Sample
from .summary import MAX_LAG

OBSERVERS = ("options", "register", "write", "options_tcp", "register_tcp", "options_v6", "register_v6")


class ObservationError(ValueError):
    """The observations are not what the collecting playbook should hand over; the text says what is wrong."""


@dataclass(frozen=True)
class Fault:
    """`end` is when it was healed, None when it was not; `confirmed` by a look at the target: None is nobody looked."""

    name: str
    host: str
    start: float
    end: float | None = None
    confirmed: bool | None = None


@dataclass(frozen=True)
class Observations:
    """All that one drill brought home. What an observer did not deliver is missing, not empty."""

    faults: tuple[Fault, ...] = ()
    probes: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    holders: Sequence[Sample] | None = None
    pingers: Sequence[Sample] | None = None
    relays: Sequence[Sample] | None = None
    calls: Mapping[str, int] = field(default_factory=dict)
    audio_gap: float | None = None
    kept: Mapping[str, tuple[frozenset[str], frozenset[str]]] = field(default_factory=dict)
    last_ended: frozenset[str] = frozenset()  # calls that ended in the half second before the fault
    proxies: tuple[str, ...] = ()  # who must have been asked about holders and pingers; empty: at least two
    changes: int | None = None
    stopped: str = ""  # why the playbook could not do this drill to its end
    max_lag: float = MAX_LAG

    @property
    def fault_start(self) -> float | None:
        return min((fault.start for fault in self.faults), default=None)


def _part(values: Mapping[str, Any], name: str, kind: type | tuple[type, ...], default: Any) -> Any:
    value = values.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ObservationError(f"observations: {name} is {type(value).__name__}")
    return value


def _fault(row: Any) -> Fault:
    try:
        fault = Fault(**row)
    except TypeError:
        raise ObservationError(f"observations: {row!r} is no fault, it needs name, host, start, and may have end, confirmed") from None
    if not isinstance(fault.name, str) or not isinstance(fault.host, str) or not isinstance(fault.confirmed, bool | None):
        raise ObservationError(f"observations: name and host of a fault are texts, confirmed is true or false; not {row!r}")
    times = [fault.start] + ([] if fault.end is None else [fault.end])
    if not all(map(states.is_time, times)):
        raise ObservationError(f"observations: the times of fault {fault.name} are no numbers")
    return fault


def _ids(name: str, row: Any) -> tuple[frozenset[str], frozenset[str]]:
    if not isinstance(row, Mapping) or not all(isinstance(row.get(key), list) for key in ("before", "after")):
        raise ObservationError(f"observations: kept.{name} needs the lists before and after")
    return frozenset(map(str, row["before"])), frozenset(map(str, row["after"]))


def read(values: Mapping[str, Any]) -> Observations:
    """From what the playbook collected (JSON). ObservationError names what is wrong; parts may be missing."""
    known = {*Observations.__dataclass_fields__, "offsets"}
    if unknown := sorted(set(values) - known):
        raise ObservationError(f"observations: there is no {unknown[0]!r}; there are {', '.join(sorted(known))}")
    offsets = _part(values, "offsets", Mapping, {})
    probes = _part(values, "probes", Mapping, {})
    if unknown := sorted(set(probes) - set(OBSERVERS)):
        raise ObservationError(f"observations: there is no observer {unknown[0]!r}; there are {', '.join(OBSERVERS)}")
    calls = _part(values, "calls", Mapping, {})
    if bad := [name for name, value in calls.items() if isinstance(value, bool) or not isinstance(value, int)]:
        raise ObservationError(f"observations: calls.{bad[0]} is no whole number")
    sampled = {}
    try:
        for name in ("holders", "pingers", "relays"):
            rows = _part(values, name, list, None)
            sampled[name] = None if rows is None else states.read(rows, offsets)
        records = {name: tuple(from_lines(lines)[0]) for name, lines in probes.items() if lines is not None}
    except (ValueError, TypeError, AttributeError) as error:
        raise ObservationError(f"observations: {error}") from error
    return Observations(
        faults=tuple(_fault(row) for row in _part(values, "faults", list, [])),
        probes=records,
        **sampled,
        calls=calls,
        kept={name: _ids(name, row) for name, row in _part(values, "kept", Mapping, {}).items()},
        last_ended=frozenset(map(str, _part(values, "last_ended", list, []))),
        proxies=tuple(map(str, _part(values, "proxies", list, []))),
        changes=_part(values, "changes", int, None),
        stopped=_part(values, "stopped", str, ""),
        audio_gap=_part(values, "audio_gap", (int, float), None),
        max_lag=_part(values, "max_lag", (int, float), MAX_LAG),
    )
