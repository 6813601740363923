"""What a drill's observers wrote down -> the numbers that budgets are about. Pure: no clock, no network, no file.

Every number is a Measure: a value, or none and the reason why. A probe that was very late, did not run, or did not see the fault gives no
value, so that nothing passes because nobody looked; one that was a little late gives a time that is known less exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import samples as states
from .observations import OBSERVERS, Observations
from .record import Record
from .samples import MAX_GAP, Sample, Span
from .summary import Summary, prompt, summarise

REPEATED = ("options", "register", "options_v6", "register_v6")  # over UDP, with retransmission
CALLS = {"ended": "calls_ended", "silent": "calls_silent", "failed": "calls_failed", "cut_off": "calls_cut_off"}
KEPT = {"location": "registrations_lost", "cdrs": "cdrs_lost", "rows": "rows_lost"}
EDGE = 0.1  # seconds; a request that left so short before the fault may have been hit by it
AFTER = 1.0  # seconds that an observer must go on after the fault began, at least
MAX_NAMED = 5
MAX_ERROR = 1.0  # seconds; a probe that was later than this saw nothing that could be told


@dataclass(frozen=True)
class Measure:
    """A number, or None and why there is none; `detail` is shown beside it, `error` is how far it may be off, both ways."""

    value: float | None
    detail: str = ""
    error: float = 0.0


def _must_last(seen: Observations, start: float) -> float:
    """Until when an observer must have looked: healing moves things too."""
    return max([start + AFTER, *(fault.end for fault in seen.faults if fault.end is not None)])


def _usable(seen: Observations, name: str) -> tuple[Summary, str]:
    """The summary of one probe, and why it says nothing (empty: it does)."""
    records = seen.probes.get(name)
    if records is None:
        return Summary(), "this observer delivered nothing"
    summary, start = summarise(records, seen.max_lag), seen.fault_start
    if not summary.kept_schedule and summary.lag.get("max", MAX_ERROR + 1) > MAX_ERROR:
        return summary, summary.problem
    if start is None:
        return summary, "no fault is recorded"
    if summary.start >= start:
        return summary, "the probe began after the fault"
    if summary.end < _must_last(seen, start):
        return summary, "the probe ended before the fault was healed"
    return summary, ""


def _outages(seen: Observations) -> dict[str, Measure]:
    found = {}
    for name in OBSERVERS:
        summary, why = _usable(seen, name)
        longest = max(summary.outage, summary.silence)
        detail = f"{summary.good} of {summary.sent} answered well, {summary.refused} refused, {summary.lost} lost"
        error = 0.0 if why or summary.kept_schedule else round(summary.lag["max"], 3)
        found[f"outage_{name}"] = Measure(None, why) if why else Measure(longest, detail, error)
    return found


def _lost_requests(seen: Observations) -> Measure:
    asked = [name for name in REPEATED if name in seen.probes]
    if not asked:
        return Measure(None, "no probe over UDP delivered anything")
    looks = {name: _usable(seen, name) for name in asked}
    if bad := [f"{name}: {why}" for name, (_, why) in looks.items() if why]:
        return Measure(None, bad[0])
    return Measure(
        sum(summary.lost for summary, _ in looks.values()),
        ", ".join(f"{name}: {summary.lost} of {summary.sent}" for name, (summary, _) in looks.items()),
    )


def _trouble_before(seen: Observations) -> Measure:
    """Requests that went wrong before anything was broken: then the drill says little about the fault."""
    start = seen.fault_start
    early = [r for rows in seen.probes.values() for r in rows if start is not None and r.scheduled < start - EDGE]
    if not early:
        return Measure(None, "no probe asked before the fault")
    return Measure(sum(not prompt(record) for record in early), f"of {len(early)} requests")


def _silent(seen: Observations, samples: Sequence[Sample] | None, name: str) -> str:
    """Why these samples say nothing about `name`; empty: they do. Who was broken may be silent, but not at the end."""
    latest = states.last(samples or (), name)
    if missing := sorted(set(seen.proxies) - set(latest)):
        return f"{missing[0]} was not asked"
    if len(latest) < 2:
        return f"only {next(iter(latest), 'nobody')} was asked"
    newest = max(sample.at for sample in latest.values())
    if seen.fault_start is not None and newest < _must_last(seen, seen.fault_start):
        return "the hosts were not asked until the fault was healed"
    if quiet := sorted(host for host, sample in latest.items() if newest - sample.at > 2 * MAX_GAP):
        return f"{quiet[0]} said nothing at the end"
    return ""


def _names(samples: Sequence[Sample] | None) -> list[str]:
    return sorted({sample.name for sample in samples or ()})


def _at_once(seen: Observations, samples: Sequence[Sample] | None, excused: Sequence[tuple[float, float]]) -> Measure:
    """Seconds in which two had the same thing, outside of the excused times."""
    if not samples:
        return Measure(None, "nobody was asked")
    if silent := [why for name in _names(samples) if (why := _silent(seen, samples, name))]:
        return Measure(None, silent[0])
    found = {name: states.overlaps(states.spans(samples, name)) for name in _names(samples)}
    total = sum(states.outside(both, excused) for both in found.values())
    said = [f"{name}: {span.who} for {span.seconds:.2f} s" for name, both in found.items() for span in both]
    return Measure(total, "; ".join(said[:MAX_NAMED]))


def _holders_at_end(seen: Observations) -> Measure:
    """How many VIPs do not have exactly one holder when all is over."""
    if not seen.holders:
        return Measure(None, "nobody was asked")
    if silent := [why for name in _names(seen.holders) if (why := _silent(seen, seen.holders, name))]:
        return Measure(None, silent[0])
    latest = {name: states.last(seen.holders, name) for name in _names(seen.holders)}
    hold = {name: sorted(host for host, sample in rows.items() if sample.holds) for name, rows in latest.items()}
    wrong = sum(len(hosts) != 1 for hosts in hold.values())
    return Measure(wrong, "; ".join(f"{name}: {', '.join(hosts) or 'nobody'}" for name, hosts in hold.items()))


def _kept(seen: Observations) -> dict[str, Measure]:
    found = {}
    for name, measure in KEPT.items():
        if name not in seen.kept:
            found[measure] = Measure(None, "not counted before and after")
            continue
        before, after = seen.kept[name]
        gone = sorted(before - after)
        if name == "cdrs":
            late = [one for one in gone if one in seen.last_ended]
            gone = [one for one in gone if one not in seen.last_ended]
            found["cdrs_cut_off"] = Measure(len(late), f"of {len(seen.last_ended)}")
        if not before:
            found[measure] = Measure(None, "there was none that could be lost")
            continue
        named = ", ".join(gone[:MAX_NAMED]) + (" …" if len(gone) > MAX_NAMED else "")
        found[measure] = Measure(len(gone), f"of {len(before)}" + (f": {named}" if gone else ""))
    return found


def _calls(seen: Observations) -> dict[str, Measure]:
    """`up` and `attempts` are how many there were; without any, none could fail."""
    found = {}
    for name, measure in CALLS.items():
        total = seen.calls.get("attempts" if name in ("failed", "cut_off") else "up")
        if name not in seen.calls or not total:
            found[measure] = Measure(None, "not counted" if name not in seen.calls else "there was no call")
        else:
            found[measure] = Measure(seen.calls[name], f"of {total}")
    return found


def measure(seen: Observations, partition: bool = False) -> dict[str, Measure]:
    """Every number of a drill. `partition`: while the fault lasts, two holders are what a partition is, and are not counted."""
    excused = [(fault.start, float("inf") if fault.end is None else fault.end) for fault in seen.faults] if partition else []
    again = Measure(None, "site.yml was not run again") if seen.changes is None else Measure(seen.changes, "changed tasks of site.yml")
    return {
        **_outages(seen),
        "lost_requests": _lost_requests(seen),
        "trouble_before": _trouble_before(seen),
        "two_holders": _at_once(seen, seen.holders, excused),
        "two_pingers": _at_once(seen, seen.pingers, excused),
        "holders_at_end": _holders_at_end(seen),
        **_kept(seen),
        **_calls(seen),
        "audio_gap": Measure(seen.audio_gap, "" if seen.audio_gap is not None else "no call with audio"),
        "changes": again,
    }


def runs(records: Sequence[Record]) -> list[Span]:
    """Who answered, over time: neighbouring good answers of the same one are one span."""
    found: list[Span] = []
    for at, record in sorted(((one.answered, one) for one in records if one.good and one.answered is not None), key=lambda pair: pair[0]):
        who = record.who or record.source
        if found and found[-1].who == who:
            found[-1] = Span(found[-1].start, at, who)
        else:
            found.append(Span(at, at, who))
    return found
