"""States over time (who holds a VIP, who pings, which relay is up), put together from samples that each host took of itself. Pure.

A sample says what was so at one moment. Between two samples in a row that say "yes" it is taken to have been so; how things were between
"yes" and "no", or while a host said nothing (dead, frozen, cut off), is not known and never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from .record import FAR

MAX_GAP = 1.0  # seconds; two samples farther apart say nothing about the time between them


class SampleError(ValueError):
    """What was handed over is no sample; the text says which."""


@dataclass(frozen=True)
class Sample:
    """At `at` (seconds since 1970), `host` had (or had not) what `name` says: the VIP, the sharing tag, a relay that is up."""

    at: float
    host: str
    name: str
    holds: bool


@dataclass(frozen=True)
class Span:
    """`who` had it from the first to the last sample that said so."""

    start: float
    end: float
    who: str

    @property
    def seconds(self) -> float:
        return self.end - self.start


def is_time(at: object) -> bool:
    return isinstance(at, int | float) and not isinstance(at, bool) and abs(at) < FAR


def read(rows: Iterable[object], offsets: Mapping[str, float] | None = None) -> list[Sample]:
    """Rows are [at, host, name, holds]. `offsets` says by how many seconds a host's clock is ahead of the probe's."""
    found = []
    for row in rows:
        if not isinstance(row, list | tuple) or len(row) != 4:
            raise SampleError(f"a sample is {row!r}, it must be [time, host, name, true or false]")
        at, host, name, holds = row
        if not is_time(at) or not isinstance(host, str) or not isinstance(name, str):
            raise SampleError(f"a sample is {row!r}, it must be [time, host, name, true or false]")
        if not isinstance(holds, bool):
            raise SampleError(f"a sample of {host} says {holds!r}, it must say true or false")
        found.append(Sample(at - (offsets or {}).get(host, 0.0), host, name, holds))
    return sorted(found, key=lambda sample: sample.at)


def spans(samples: Iterable[Sample], name: str, max_gap: float = MAX_GAP) -> list[Span]:
    """Who surely had `name` when, by start. A host that said "yes" once has a span without length."""
    open_: dict[str, Span] = {}
    found = []
    for sample in sorted(samples, key=lambda one: one.at):
        if sample.name != name:
            continue
        before = open_.pop(sample.host, None)
        if before and (not sample.holds or sample.at - before.end > max_gap):
            found.append(before)
            before = None
        if sample.holds:
            open_[sample.host] = Span(before.start if before else sample.at, sample.at, sample.host)
    return sorted([*found, *open_.values()], key=lambda span: (span.start, span.who))


def overlaps(of: Iterable[Span]) -> list[Span]:
    """Times in which two or more surely had it at once; `who` names all of them. A lower bound: never an effect of sampling."""
    held = list(of)
    edges = sorted({edge for span in held for edge in (span.start, span.end)})
    found: list[Span] = []
    for start, end in pairwise(edges):
        hosts = sorted({span.who for span in held if span.start <= start and span.end >= end})
        if len(hosts) < 2:
            continue
        who = ", ".join(hosts)
        if found and found[-1].end == start and found[-1].who == who:
            found[-1] = Span(found[-1].start, end, who)
        else:
            found.append(Span(start, end, who))
    return found


def nobody(of: Iterable[Span], start: float, end: float) -> list[Span]:
    """Times between `start` and `end` in which nobody was seen to have it. An upper bound: up to one sampling interval too long."""
    found, at = [], start
    for span in sorted(of, key=lambda one: one.start):
        if span.start > at:
            found.append(Span(at, min(span.start, end), ""))
        at = max(at, span.end)
        if at >= end:
            break
    if at < end:
        found.append(Span(at, end, ""))
    return [span for span in found if span.seconds > 0]


def outside(of: Iterable[Span], excused: Iterable[tuple[float, float]]) -> float:
    """Seconds of these spans that lie in none of the excused times."""
    left = [(span.start, span.end) for span in of]
    for low, high in excused:
        left = [piece for a, b in left for piece in ((a, min(b, low)), (max(a, high), b)) if piece[1] > piece[0]]
    return sum(b - a for a, b in left)


def last(samples: Iterable[Sample], name: str) -> dict[str, Sample]:
    """Each host's last word about `name`."""
    return {sample.host: sample for sample in sorted(samples, key=lambda one: one.at) if sample.name == name}
