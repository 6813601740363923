"""One run of drills as plain data: what goes into its JSON, and what every page is made of. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from . import budget
from .observations import Observations, read
from .report_lanes import lanes
from .summary import summarise
from .timeline import measure
from .verdict import judge

FORMAT = 1
PARTS = ("name", "title", "breaks", "partition", "passed", "problems", "lines", "reasons", "started", "faults", "probes", "lanes")


class RunError(ValueError):
    """What was handed over is no run; the text says why."""


def drill_result(name: str, observations: Mapping[str, Any], inventory: Any = None) -> dict[str, Any]:
    """Everything about one drill. BudgetError and ObservationError for wrong input."""
    drill, seen = budget.drill(name), read(observations)
    verdict = judge(name, budget.budgets(name, inventory), measure(seen, drill.partition), seen)
    return {
        "name": name,
        "title": drill.title,
        "breaks": drill.breaks,
        "target": drill.target,
        "partition": drill.partition,
        **verdict.to_dict(),
        "reasons": verdict.reasons,
        "started": _started(seen),
        "faults": [_fault(seen, index) for index in range(len(seen.faults))],
        "probes": {name: summarise(rows, seen.max_lag).to_dict() for name, rows in seen.probes.items()},
        "lanes": lanes(seen),
    }


def _started(seen: Observations) -> float | None:
    times = [record.scheduled for rows in seen.probes.values() for record in rows]
    return min([*times, *(fault.start for fault in seen.faults)], default=None)


def _fault(seen: Observations, index: int) -> dict[str, Any]:
    one = seen.faults[index]
    lasted = None if one.end is None else round(one.end - one.start, 3)
    return {"name": one.name, "host": one.host, "start": one.start, "seconds": lasted, "confirmed": one.confirmed}


def run(identifier: str, cluster: str, versions: Mapping[str, str], drills: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A run has passed when it has drills and all of them have passed."""
    return {
        "format": FORMAT,
        "run": identifier,
        "cluster": cluster,
        "started": min((one["started"] for one in drills if one["started"] is not None), default=None),
        "passed": bool(drills) and all(one["passed"] for one in drills),
        "versions": {str(key): str(value) for key, value in versions.items()},
        "drills": list(drills),
    }


def check(data: Any) -> dict[str, Any]:
    """A run that was read from a file. RunError when it is none, or of another format."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise RunError(f"it is no run of drills in format {FORMAT}")
    try:
        for one in data["drills"]:
            if missing := [key for key in PARTS if key not in one]:
                raise RunError(f"one of its drills has no {missing[0]}")
            if not isinstance(one["passed"], bool) or not isinstance(one["name"], str) or not isinstance(one["title"], str):
                raise RunError("one of its drills has no verdict")
            for line in one["lines"]:
                if not isinstance(line["measure"], str) or not all(
                    isinstance(line[key], int | float | None) for key in ("value", "allowed")
                ):
                    raise RunError("one of its drills has no numbers")
        if not isinstance(data["run"], str) or not isinstance(data["cluster"], str) or not isinstance(data["started"], int | float | None):
            raise RunError("it has no name")
        if not isinstance(data["passed"], bool):
            raise RunError("it has no verdict")
    except (KeyError, TypeError) as error:
        raise RunError(f"a part of it is missing: {error}") from error
    return data


def value(drill: Mapping[str, Any], measure_name: str) -> tuple[float | None, float | None]:
    """What was measured, and what was allowed; None without."""
    for line in drill["lines"]:
        if line["measure"] == measure_name:
            return line["value"], line["allowed"]
    return None, None


def repeated(drills: Sequence[Mapping[str, Any]], measure_names: Sequence[str]) -> list[dict[str, Any]]:
    """Each drill once, with the median and the worst of all its repetitions."""
    rows = []
    for name in dict.fromkeys(one["name"] for one in drills):
        same = [one for one in drills if one["name"] == name]
        row: dict[str, Any] = {"name": name, "title": same[0]["title"], "times": len(same), "passed": sum(one["passed"] for one in same)}
        for wanted in measure_names:
            found = [value(one, wanted) for one in same]
            values = [measured for measured, _ in found if measured is not None]
            row[wanted] = {
                "median": statistics.median(values) if values else None,
                "worst": max(values, default=None),
                "allowed": found[-1][1],
                "missing": len(same) - len(values),
            }
        rows.append(row)
    return rows
