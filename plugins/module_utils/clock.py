"""How far apart the clocks of two hosts are, from samples taken over a connection with delay.

Pure functions. A sample is (before, remote, after): the controller's monotonic clock before and after the question,
and the host's wall clock in the answer. The host read its clock somewhere between the two, so its offset against the
controller's monotonic clock lies in [remote - after, remote - before]; no assumption about where in the round trip.
Several samples narrow the interval. Differences between two hosts cancel the controller's clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Sample = tuple[float, float, float]


@dataclass(frozen=True)
class Interval:
    """The offset of a host's clock is somewhere in [low, high] seconds."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2

    @property
    def uncertainty(self) -> float:
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Pair:
    """How far `one` is ahead of `other`: `offset` seconds, give or take `uncertainty`."""

    one: str
    other: str
    offset: float
    uncertainty: float

    @property
    def at_least(self) -> float:
        return max(0.0, abs(self.offset) - self.uncertainty)

    @property
    def at_most(self) -> float:
        return abs(self.offset) + self.uncertainty

    def __str__(self) -> str:
        ahead, behind = (self.one, self.other) if self.offset >= 0 else (self.other, self.one)
        return f"{ahead} is {abs(self.offset):.3f} s ahead of {behind} (give or take {self.uncertainty:.3f} s)"


def offset_interval(samples: Sequence[Sample]) -> Interval:
    """Narrow down one host's offset. Samples that contradict each other (the clock stepped meanwhile) widen it."""
    if not samples:
        raise ValueError("no sample")
    for before, _remote, after in samples:
        if after < before:
            raise ValueError(f"a sample ends ({after}) before it starts ({before})")
    lows = [remote - after for _before, remote, after in samples]
    highs = [remote - before for before, remote, _after in samples]
    if max(lows) <= min(highs):
        return Interval(max(lows), min(highs))
    return Interval(min(lows), max(highs))


def pairs(intervals: Mapping[str, Interval]) -> list[Pair]:
    """Every pair of hosts once, the farthest apart first."""
    names = sorted(intervals)
    found = []
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            first, second = intervals[one], intervals[other]
            found.append(Pair(one, other, first.middle - second.middle, first.uncertainty + second.uncertainty))
    return sorted(found, key=lambda pair: -abs(pair.offset))


def culprits(intervals: Mapping[str, Interval], max_skew: float) -> list[str]:
    """The hosts whose clock is surely off: more than max_skew away from the clock in the middle of all hosts.

    Two hosts that disagree can't be told apart: both are named.
    """
    names = sorted(intervals)
    if len(names) < 2:
        return []
    if len(names) == 2:
        return names if pairs(intervals)[0].at_least > max_skew else []
    centre = median(interval.middle for interval in intervals.values())
    off = [name for name in names if abs(intervals[name].middle - centre) - intervals[name].uncertainty > max_skew]
    if off:
        return off
    worst = pairs(intervals)[0]
    return [worst.one, worst.other] if worst.at_least > max_skew else []


def report(samples: Mapping[str, Sequence[Sample]], max_skew: float) -> dict[str, object]:
    """The verdict on all hosts: ok | skewed | uncertain, and one sentence a user can act on."""
    intervals = {name: offset_interval(taken) for name, taken in samples.items()}
    found = pairs(intervals)
    worst = found[0] if found else None
    unsure = [pair for pair in found if pair.at_least <= max_skew < pair.at_most]
    named = culprits(intervals, max_skew)
    if worst is None:
        verdict, message = "ok", "Only one host was asked: there is nothing to compare."
    elif any(pair.at_least > max_skew for pair in found):
        verdict = "skewed"
        centre = median(interval.middle for interval in intervals.values())
        if len(intervals) > 2:
            clocks = ", ".join(f"{name} {intervals[name].middle - centre:+.3f} s" for name in named)
            message = f"The clock is off on: {clocks} (against the median of all hosts). Worst pair: {worst}; "
        else:
            message = f"The clocks of two hosts disagree: {worst}; "
        message += (
            f"time_sync_max_skew allows {max_skew:g} s. Look at the time daemon and its servers on the named hosts "
            "(chronyc sources / ntpq -p, variable time_sync_servers), correct the clock, run this check again."
        )
    elif unsure:
        verdict = "uncertain"
        message = (
            f"The clocks can't be compared well enough: {unsure[0]}, time_sync_max_skew allows {max_skew:g} s. "
            "The way from the controller to these hosts is too slow or too uneven: run the check again, from nearer, "
            "or with more time_sync_check_samples."
        )
    else:
        verdict, message = "ok", f"{worst}; time_sync_max_skew allows {max_skew:g} s."
    return {
        "verdict": verdict,
        "message": message,
        "hosts": named,
        "worst": None
        if worst is None
        else {
            "one": worst.one,
            "other": worst.other,
            "offset": round(worst.offset, 4),
            "uncertainty": round(worst.uncertainty, 4),
        },
        "uncertainty": {name: round(interval.uncertainty, 4) for name, interval in intervals.items()},
    }
