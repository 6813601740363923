"""Observations -> the lanes of a timeline: who had what when, as plain data that goes into the JSON and from there into the drawing. Pure.

Times are seconds since the (first) fault began. A mark is [start, end, state, text].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from . import samples as states
from .observations import Observations
from .record import Record
from .samples import Sample, Span
from .summary import prompt
from .timeline import runs

Mark = list[Any]
Lane = dict[str, Any]
LABELS = {
    "options": "OPTIONS",
    "register": "REGISTER",
    "write": "Writes to the database",
    "options_tcp": "OPTIONS over TCP",
    "register_tcp": "REGISTER over TCP",
    "options_v6": "OPTIONS over IPv6",
    "register_v6": "REGISTER over IPv6",
}
MARGIN = 0.5  # seconds shown before the fault and after the last thing of note


def state(record: Record) -> str:
    """good | late | refused | lost"""
    if record.code is None:
        return "lost"
    if not record.good:
        return "refused"
    return "good" if prompt(record) else "late"


def _says(record: Record) -> str:
    if record.code is None:
        return f"lost: {record.error}"
    if not record.good:
        return f"refused with {record.code}"
    return "answered" if prompt(record) else "answered late, after it was sent again or the server woke up"


def _asked(records: Sequence[Record], zero: float) -> list[Mark]:
    """Neighbouring requests with the same fate are one mark; it ends where the next request begins."""
    ordered = sorted(records, key=lambda record: record.scheduled)
    marks: list[Mark] = []
    for index, record in enumerate(ordered):
        start = record.scheduled - zero
        end = ordered[index + 1].scheduled - zero if index + 1 < len(ordered) else start
        now, text = state(record), _says(record)
        if marks and marks[-1][2] == now and marks[-1][3] == text:
            marks[-1][1] = end
        else:
            marks.append([start, end, now, text])
    return marks


def _spans(found: Iterable[Span], zero: float, kind: str) -> list[Mark]:
    return [[span.start - zero, span.end - zero, kind, span.who] for span in found]


def _hosts(samples: Sequence[Sample] | None, zero: float, title: str) -> list[Lane]:
    """One lane for each host that ever had it; times in which another one had it too are marked."""
    lanes = []
    for name in sorted({sample.name for sample in samples or ()}):
        held = states.spans(samples or (), name)
        both = states.overlaps(held)
        for host in sorted({span.who for span in held}):
            mine = [span for span in held if span.who == host]
            shared = [one for one in both if any(span.start <= one.start and span.end >= one.end for span in mine)]
            marks = [*_spans(mine, zero, "held"), *_spans(shared, zero, "both")]
            lanes.append({"title": f"{title} {name}: {host}", "marks": marks})
    return lanes


def lanes(seen: Observations) -> list[Lane]:
    """What the drawing shows, from top to bottom."""
    zero = seen.fault_start or 0.0
    last = max((record.scheduled for rows in seen.probes.values() for record in rows), default=zero)
    faults = [
        [one.start - zero, (max(last, one.start) if one.end is None else one.end) - zero, "fault", f"{one.name} ({one.host})"]
        for one in seen.faults
    ]
    found: list[Lane] = [{"title": "Faults", "marks": faults}]
    found += [{"title": LABELS[name], "marks": _asked(rows, zero)} for name, rows in seen.probes.items()]
    found += _hosts(seen.holders, zero, "VIP")
    found += _hosts(seen.pingers, zero, "Sharing tag")
    for name, title in (("options", "OPTIONS answered by"), ("write", "Database writer")):
        if who := runs(seen.probes.get(name, ())):
            found.append({"title": title, "marks": _spans(who, zero, "who")})
    for host in sorted({sample.host for sample in seen.relays or ()}):
        up = [span for sample in {one.name for one in seen.relays or ()} for span in states.spans(seen.relays or (), sample)]
        found.append({"title": f"Relay {host}", "marks": _spans([span for span in up if span.who == host], zero, "held")})
    for lane in found:
        lane["marks"] = [[round(start, 3), round(end, 3), kind, text] for start, end, kind, text in lane["marks"]]
    return found


def extent(found: Iterable[Lane]) -> tuple[float, float]:
    """First and last second of everything that is drawn."""
    marks = [mark for lane in found for mark in lane["marks"]]
    if not marks:
        return -1.0, 1.0
    low, high = min(mark[0] for mark in marks), max(mark[1] for mark in marks)
    return low, max(high, low + 0.1)


def close_up(found: Sequence[Lane]) -> tuple[float, float] | None:
    """The part around the fault, when it is much shorter than the whole; None when the whole shows it well enough."""
    low, high = extent(found)
    bad = [mark for lane in found for mark in lane["marks"] if mark[2] in ("lost", "late", "refused", "both") and mark[1] >= 0]
    near = [mark for mark in bad if mark[0] < 10] or bad
    first = max(low, -MARGIN)
    last = min(high, max([2.0, *(mark[1] for mark in near)]) + MARGIN)
    return (first, last) if (high - low) > 2.5 * (last - first) else None
