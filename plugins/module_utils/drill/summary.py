"""Records of one probe -> what a client saw: what was lost, how long nobody answered, and whether the probe itself was in time. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from .record import Record

PATIENCE = 0.5  # seconds; T1 of RFC 3261: a client that has no answer by then begins to send again
MAX_LAG = 0.1  # seconds; more, and the probe would take its own delay for the cluster's
MAX_WINDOWS = 50
MAX_KINDS = 20


@dataclass(frozen=True)
class Window:
    """From the sending of the last request that was answered well and promptly to that of the next one."""

    start: float
    end: float
    missed: int  # requests between the two
    closed: bool = True  # False: it lasted from the beginning, or to the end

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass
class Summary:
    """All times in seconds, `start` and `end` since 1970."""

    method: str = ""
    start: float = 0.0
    end: float = 0.0
    sent: int = 0
    answered: int = 0
    good: int = 0  # 2xx
    prompt: int = 0  # 2xx within `PATIENCE`
    lost: int = 0  # no final answer, after all retransmissions
    refused: int = 0  # a final answer, but none of 2xx
    repeated: int = 0  # needed more packets than rounds
    codes: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    answered_by: dict[str, int] = field(default_factory=dict)
    outage: float = 0.0
    outage_start: float | None = None
    silence: float = 0.0  # the longest time in which no good answer arrived
    windows: list[dict[str, Any]] = field(default_factory=list)
    latency: dict[str, float] = field(default_factory=dict)
    lag: dict[str, float] = field(default_factory=dict)
    kept_schedule: bool = False
    problem: str = "no request was sent"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def prompt(record: Record) -> bool:
    return record.good and record.latency is not None and record.latency <= PATIENCE


def windows(records: Sequence[Record]) -> list[Window]:
    """Times in which at least one request was not answered well and promptly, by the time it was to be sent."""
    ordered = sorted(records, key=lambda record: record.scheduled)
    if not ordered:
        return []
    right = [index for index, record in enumerate(ordered) if prompt(record)]
    times = [record.scheduled for record in ordered]
    if not right:
        return [Window(times[0], times[-1], len(ordered), closed=False)]
    found = [Window(times[a], times[b], b - a - 1) for a, b in pairwise(right) if b - a > 1]
    if right[0] > 0:
        found.insert(0, Window(times[0], times[right[0]], right[0], closed=False))
    if right[-1] < len(ordered) - 1:
        found.append(Window(times[right[-1]], times[-1], len(ordered) - 1 - right[-1], closed=False))
    return found


def silence(records: Sequence[Record]) -> float:
    """The longest time between two good answers (a frozen server that wakes up answers all: no request is lost, yet nobody was served)."""
    arrived = sorted(record.answered for record in records if record.good and record.answered is not None)
    if not arrived:
        return max((r.scheduled for r in records), default=0.0) - min((r.scheduled for r in records), default=0.0)
    edges = [min(record.scheduled for record in records), *arrived]
    last = max(record.scheduled for record in records)
    return max(b - a for a, b in pairwise([*edges, max(last, arrived[-1])]))


def _spread(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    shares = (("median", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
    return {name: round(percentile(values, share), 6) for name, share in shares}


def _counted(values: Iterable[str]) -> dict[str, int]:
    counts = Counter(values).most_common()
    shown = dict(counts[:MAX_KINDS])
    if rest := sum(count for _, count in counts[MAX_KINDS:]):
        shown["others"] = shown.get("others", 0) + rest
    return shown


def _problem(records: Sequence[Record], max_lag: float) -> str:
    late = [lag for record in records if (lag := record.lag) is not None and lag > max_lag]
    if not records:
        return "no request was sent"
    if late:
        return (
            f"the probe could not keep its schedule: {len(late)} of {len(records)} requests left up to {max(late):.2f} s late "
            f"(allowed {max_lag:g} s); its host was too busy, so this says nothing about the cluster"
        )
    return ""


def summarise(records: Sequence[Record], max_lag: float = MAX_LAG, since: float | None = None, until: float | None = None) -> Summary:
    """All numbers of one probe; `since` and `until` choose records by their scheduled time."""
    chosen = [r for r in records if (since is None or r.scheduled >= since) and (until is None or r.scheduled <= until)]
    if not chosen:
        return Summary()
    found = sorted(windows(chosen), key=lambda window: -window.seconds)
    problem = _problem(chosen, max_lag)
    good = [record for record in chosen if record.good]
    return Summary(
        method=chosen[0].method,
        start=min(record.scheduled for record in chosen),
        end=max(record.scheduled for record in chosen),
        sent=len(chosen),
        answered=sum(record.code is not None for record in chosen),
        good=len(good),
        prompt=sum(map(prompt, chosen)),
        lost=sum(record.code is None for record in chosen),
        refused=sum(record.code is not None and not record.good for record in chosen),
        repeated=sum(record.transmissions > max(1, record.rounds) for record in chosen),
        codes=_counted(str(record.code) for record in chosen if record.code is not None),
        errors=_counted(record.error for record in chosen if record.error),
        answered_by=_counted(" ".join(filter(None, (record.source, record.who))) for record in chosen if record.source),
        outage=found[0].seconds if found else 0.0,
        outage_start=found[0].start if found else None,
        silence=silence(chosen),
        windows=[{**asdict(one), "seconds": one.seconds} for one in sorted(found[:MAX_WINDOWS], key=lambda window: window.start)],
        latency=_spread([latency for record in good if (latency := record.latency) is not None]),
        lag=_spread([lag for record in chosen if (lag := record.lag) is not None]),
        kept_schedule=not problem,
        problem=problem,
    )
