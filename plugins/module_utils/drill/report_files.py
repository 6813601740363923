"""A run as JUnit XML, the index of runs, and the files themselves."""

from __future__ import annotations

import json
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .budget import MEASURES
from .report_html import badge, page, render, table, when
from .report_run import RunError, check, repeated
from .report_svg import UNPRINTABLE, safe
from .verdict import shown

IDENTIFIER = re.compile(r"(?!index$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
TRENDS = ("outage_options", "outage_register", "outage_write")
LATEST = 200  # runs in the index
POINTS = 40  # in a trend


def _plain(text: object) -> str:
    return UNPRINTABLE.sub(" ", str(text))


def junit(run: Mapping[str, Any]) -> str:
    """A suite per drill, a case per measure that is judged, and one for the drill itself, which fails when it was none."""
    root = ET.Element("testsuites", name=_plain(f"failover drills of {run['cluster']}"))
    for number, drill in enumerate(run["drills"], 1):
        name = _plain(f"{number}. {drill['name']}")
        judged = [line for line in drill["lines"] if line["passed"] is not None]
        failed = sum(not line["passed"] for line in judged) + bool(drill["problems"])
        suite = ET.SubElement(root, "testsuite", name=name, tests=str(len(judged) + 1), failures=str(failed), errors="0", skipped="0")
        case = ET.SubElement(suite, "testcase", classname=name, name="it broke something, and healed it")
        if drill["problems"]:
            ET.SubElement(case, "failure", message=_plain(drill["problems"][0])).text = _plain("\n".join(drill["problems"]))
        for line in judged:
            case = ET.SubElement(suite, "testcase", classname=name, name=_plain(line["measure"]))
            if not line["passed"]:
                ET.SubElement(case, "failure", message=_plain(line["sentence"]))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def spark(values: Sequence[float | None], allowed: float | None) -> str:
    """A little line from the oldest to the newest run; the dashed one is the budget, a red dot is over it, a gap was not measured."""
    wide, high, edge = 220, 40, 5
    top = max([0.1, allowed or 0, *(value for value in values if value is not None)]) * 1.1
    step = (wide - 2 * edge) / max(1, len(values) - 1)

    def y(value: float) -> float:
        return round(high - edge - value / top * (high - 2 * edge), 1)

    parts = []
    if allowed is not None:
        parts.append(f'<line x1="0" x2="{wide}" y1="{y(allowed)}" y2="{y(allowed)}" stroke="#8a949c" stroke-dasharray="4 3"/>')
    points = [(round(edge + index * step, 1), value) for index, value in enumerate(values) if value is not None]
    line = " ".join(f"{x},{y(value)}" for x, value in points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="#2f6fb5"/>')
    for x, value in points:
        bad = allowed is not None and value > allowed
        dot = f'<circle cx="{x}" cy="{y(value)}" r="2.5" fill="{"#b31515" if bad else "#2f6fb5"}">'
        parts.append(f"{dot}<title>{value:.2f} s</title></circle>")
    return f'<svg viewBox="0 0 {wide} {high}" style="width:{wide}px">{"".join(parts)}</svg>'


def _trend(runs: Sequence[Mapping[str, Any]]) -> str:
    """Each drill's outages over the runs, oldest first: the worst of each run."""
    names = sorted({one["name"] for run in runs for one in run["drills"]})
    rows = []
    for name in names:
        cells = []
        series = [repeated([one for one in run["drills"] if one["name"] == name], TRENDS) for run in runs]
        found = [row[0] for row in series if row][-POINTS:]
        for measure in TRENDS:
            values, allowed = [row[measure]["worst"] for row in found], found[-1][measure]["allowed"]
            if all(value is None for value in values):
                cells.append("-")
                continue
            limit = "" if allowed is None else f" of {allowed:g} s"
            cells.append(f"{spark(values, allowed)}<span class=soft>last {safe(shown(values[-1], 's'))}{limit}</span>")
        rows.append([safe(name), str(len(found)), *cells])
    return table((("drill", False), ("runs", True), *((MEASURES[one].title, False) for one in TRENDS)), rows)


def index(runs: Iterable[dict[str, Any]], broken: Mapping[str, str]) -> str:
    """The page of all runs, newest first, with the trend of each drill. `broken`: files that are no run, and why."""
    known = sorted(runs, key=lambda run: (run["started"] or 0, run["run"]))[-LATEST:]
    rows = []
    for run in reversed(known):
        good = sum(one["passed"] for one in run["drills"])
        failed = sorted({one["name"] for one in run["drills"] if not one["passed"]})
        name = safe(run["run"])
        link = f'<a href="{name}.html">{name}</a>' if IDENTIFIER.match(run["run"]) else name
        rows.append(
            [
                link,
                when(run["started"]),
                safe(run["cluster"]),
                badge(run["passed"]),
                f"{good} of {len(run['drills'])}",
                safe(", ".join(failed)),
            ]
        )
    heads = (("run", False), ("when", False), ("cluster", False), ("verdict", False), ("drills passed", True), ("failed", False))
    body = ["<h1>Failover drills</h1>", table(heads, rows) if rows else "<p>No run yet.</p>"]
    body += [f'<p class="why">{safe(name)} is left out: {safe(why)}</p>' for name, why in sorted(broken.items())]
    if known:
        body.append(
            "<h2>Trend</h2><p class=soft>The worst of each run, oldest on the left; dashed: the budget of the last run.</p>" + _trend(known)
        )
    return page("Failover drills", "\n".join(body))


def load(path: Path) -> dict[str, Any]:
    """RunError when the file is no run."""
    try:
        return check(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise error if isinstance(error, RunError) else RunError(f"it can't be read: {error}") from error


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)


def write(directory: Path, run: Mapping[str, Any], drawing: str = "") -> dict[str, str]:
    """Write the page, JSON and JUnit of a run and the index of all runs; returns their paths. OSError when that can't be."""
    directory.mkdir(parents=True, exist_ok=True)
    name = run["run"]
    _write(directory / f"{name}.json", json.dumps(run, indent=1, allow_nan=False) + "\n")
    _write(directory / f"{name}.xml", junit(run))
    _write(directory / f"{name}.html", render(run, drawing))
    runs, broken = [], {}
    for path in sorted(directory.glob("*.json")):
        try:
            runs.append(load(path))
        except RunError as error:
            broken[path.name] = str(error)
    _write(directory / "index.html", index(runs, broken))
    return {
        kind: str(directory / file)
        for kind, file in (("html", f"{name}.html"), ("json", f"{name}.json"), ("junit", f"{name}.xml"), ("index", "index.html"))
    }
