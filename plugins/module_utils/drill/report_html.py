"""A run as one self-contained page: no script, nothing that is fetched, and no text that could become markup. Pure."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .budget import MEASURES
from .report_lanes import close_up, extent
from .report_run import repeated
from .report_svg import draw, legend, safe
from .verdict import shown

HEADS = ("outage_options", "outage_register", "outage_write", "calls_ended", "registrations_lost")
HOW_TO_READ = "Seconds from the moment of the fault (full line) on; dashed: it was healed. Point at a bar for its times."
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
STYLE = """
body{font:15px/1.45 system-ui,sans-serif;color:#1b1f23;margin:0 auto;padding:1.5em 2em;max-width:1120px;background:#fff}
h1{font-size:1.6em;margin:0 0 .2em}h2{font-size:1.25em;margin:2.2em 0 .3em;border-top:2px solid #d8dde2;padding-top:1em}
h3{font-size:1em;margin:1.4em 0 .3em}p{margin:.4em 0;max-width:60em}.soft{color:#57606a}.over{color:#b31515;font-weight:600}
table{border-collapse:collapse;margin:.5em 0;font-size:14px}th,td{text-align:left;padding:.3em .8em .3em 0;border-bottom:1px solid #e3e7ea;
vertical-align:top}th{font-weight:600;color:#57606a}td.n{text-align:right;white-space:nowrap}th.n{text-align:right}td{overflow-wrap:anywhere}
.passed,.failed,.judge{border-radius:4px;padding:.05em .5em;font-weight:600;color:#fff;white-space:nowrap;font-size:.9em}
.passed{background:#1f7a45}.failed{background:#b31515}.judge{background:#6b747c}
.why{border-left:4px solid #b31515;padding:.1em 0 .1em 1em;margin:.6em 0}ul.why{padding-left:1.8em}.why li{margin:.2em 0}
svg{display:block;width:100%;height:auto;margin:.3em 0}.legend svg{display:inline-block;width:14px;vertical-align:-2px;margin:0}
.legend span{margin-right:1.3em;white-space:nowrap;font-size:13px}
svg text{font:12px system-ui,sans-serif;fill:#1b1f23}svg .lane{text-anchor:end}svg .axis{text-anchor:middle;fill:#57606a;font-size:11px}
svg .zero{fill:#5b2a86;font-weight:600}svg .in{fill:#fff}svg .tick{stroke:#eceff1}svg .base{stroke:#d0d6db}
svg .begun{stroke:#5b2a86;stroke-width:1.5}svg .healed{stroke:#5b2a86;stroke-dasharray:4 3;stroke-width:1.5}
img{max-width:100%}dt{font-weight:600;margin-top:.5em}dd{margin:0 0 0 1.2em;max-width:60em}a{color:#1f5fbf}
"""
WORDS = {
    "Outage": "The longest time between two requests that were answered well and within 0.5 s, or without any good answer; the longer of "
    "the two. A request leaves every 20 ms or so whatever happens, so a stall can't hide.",
    "Late": "Answered, but after more than 0.5 s. By then a phone has sent its request again; its user notices little.",
    "Lost": "No answer after all that a phone does to get one. Its user notices.",
    "Lag": "How late the probe itself was. When that is too much its numbers are not used, and the drill has failed: nobody knows.",
    "VIP": "The address that clients use. Exactly one proxy should have it.",
    "Sharing tag": "Follows the VIP. Its holder alone pings phones behind NAT; with two of them phones are pinged twice.",
    "Budget": "The most that a drill may cost, from the collection's defaults or sipha_drill_budgets in the inventory.",
}


def when(at: float | None) -> str:
    try:
        return "time not known" if at is None else time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
    except (OverflowError, ValueError, OSError):
        return "time not known"


def badge(passed: bool | None) -> str:
    return '<span class="judge">not judged</span>' if passed is None else f'<span class="{_word(passed)}">{_word(passed)}</span>'


def _word(passed: bool) -> str:
    return "passed" if passed else "failed"


def page(title: str, body: str) -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width"><title>{safe(title)}</title><style>{STYLE}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def table(heads: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]]) -> str:
    """Cells are markup already; a head says whether its column is of numbers."""
    top = "".join(f"<th{' class=n' if number else ''}>{safe(name)}</th>" for name, number in heads)
    lines = ["".join(f"<td{' class=n' if heads[i][1] else ''}>{cell}</td>" for i, cell in enumerate(row)) for row in rows]
    return f"<table><tr>{top}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _figure(found: Mapping[str, Any], unit: str) -> str:
    """Median and worst of all repetitions, beside what is allowed."""
    if found["median"] is None:
        return "-" if found["allowed"] is None else '<span class="over">not measured</span>'
    limit = "" if found["allowed"] is None else f' <span class="soft">of {found["allowed"]:g}</span>'
    over = found["allowed"] is not None and found["worst"] > found["allowed"]
    text = shown(found["median"], unit)
    if found["median"] != found["worst"]:
        text += f", worst {shown(found['worst'], unit)}"
    missing = f" ({found['missing']} not measured)" if found["missing"] and found["allowed"] is not None else ""
    return (f'<span class="over">{safe(text + missing)}</span>' if over or missing else safe(text)) + limit


def _overview(run: Mapping[str, Any]) -> str:
    heads = [("drill", False), ("passed", True), *((MEASURES[name].title, True) for name in HEADS)]
    rows = []
    for row in repeated(run["drills"], HEADS):
        first = next(index for index, one in enumerate(run["drills"]) if one["name"] == row["name"])
        name = f'<a href="#drill-{first}">{safe(row["title"])}</a><br><span class="soft">{safe(row["name"])}</span>'
        good = row["passed"] == row["times"]
        rows.append([name, f'<span class="{_word(good)}">{row["passed"]} of {row["times"]}</span>'])
        rows[-1] += [_figure(row[name], MEASURES[name].unit) for name in HEADS]
    return table(heads, rows)


def _numbers(drill: Mapping[str, Any]) -> str:
    rows = []
    for line in drill["lines"]:
        kind = MEASURES.get(line["measure"])
        what = f'{safe(line["title"])}<br><span class="soft">{safe(kind.what if kind else "")}</span>'
        allowed = "-" if line["allowed"] is None else f"{line['allowed']:g} {line['unit']}"
        rows.append([what, safe(shown(line["value"], line["unit"])), safe(allowed), badge(line["passed"]), safe(line["detail"])])
    return table((("what", False), ("measured", True), ("allowed", True), ("verdict", False), ("details", False)), rows)


def _counts(found: Mapping[str, int]) -> str:
    return "<br>".join(f"{safe(text, 120)}: {count}" for text, count in found.items()) or "-"


def _probes(drill: Mapping[str, Any]) -> str:
    names = (
        "probe",
        "sent",
        "in time",
        "late",
        "refused",
        "lost",
        "sent again",
        "median",
        "slowest",
        "own lag",
        "answered by",
        "what went wrong",
    )
    heads = [(name, name in names[1:10]) for name in names]
    rows = []
    for name, one in drill["probes"].items():
        counts = (one["sent"], one["prompt"], one["good"] - one["prompt"], one["refused"], one["lost"], one["repeated"])
        spread = (one["latency"].get("median"), one["latency"].get("max"), one["lag"].get("max"))
        wrong = {**{f"answered {code}": count for code, count in one["codes"].items() if not code.startswith("2")}, **one["errors"]}
        cells = [safe(name), *map(str, counts), *("-" if value is None else f"{value * 1000:.0f} ms" for value in spread)]
        rows.append([*cells, _counts(one["answered_by"]), _counts(wrong)])
    return f"<h3>Probes</h3>{table(heads, rows)}" if rows else ""


def _told(drill: Mapping[str, Any]) -> str:
    """What happened, in a sentence."""
    said = []
    for one in drill["faults"]:
        healed = "not healed" if one["seconds"] is None else f"healed {one['seconds']:g} s later"
        said.append(f"{safe(one['name'])} on {safe(one['host'])} at {when(one['start'])}, {healed}")
    more = " While this fault lasts, two holders of a VIP are to be expected." if drill["partition"] else ""
    return f"<p>What was broken: {'; '.join(said) or 'nothing'}. In general: {safe(drill['breaks'])}.{more}</p>"


def _drill(drill: Mapping[str, Any], index: int) -> str:
    parts = [f'<h2 id="drill-{index}">{safe(drill["title"])} {badge(drill["passed"])}</h2>', _told(drill)]
    if drill["reasons"]:
        parts.append(f'<ul class="why">{"".join(f"<li>{safe(reason)}</li>" for reason in drill["reasons"])}</ul>')
    if any(lane["marks"] for lane in drill["lanes"]):
        near = close_up(drill["lanes"])
        parts.append(legend(drill["lanes"]))
        if near:
            parts += ["<h3>Around the fault</h3>", draw(drill["lanes"], *near, title=f"{drill['title']}: around the fault")]
            parts.append("<h3>The whole drill</h3>")
        parts.append(draw(drill["lanes"], *extent(drill["lanes"]), title=f"{drill['title']}: the whole drill"))
        parts.append(
            '<p class="soft">Seconds from the moment of the fault (full line) on; dashed: it was healed. Point at a bar for its times.</p>'
        )
    return "\n".join([*parts, "<h3>Numbers and budgets</h3>", _numbers(drill), _probes(drill)])


def render(run: Mapping[str, Any], drawing: str = "") -> str:
    """The page. `drawing` is the inventory's picture as SVG; it is shown as an image, so that nothing in it can run."""
    drills = run["drills"]
    good = sum(one["passed"] for one in drills)
    title = f"Failover drills of {run['cluster']}"
    body = [
        f"<h1>{safe(title)} {badge(run['passed'])}</h1>",
        f'<p class="soft">Run {safe(run["run"])}, {when(run["started"])}. <a href="index.html">All runs</a></p>',
        f"<p>{good} of {len(drills)} drills passed. A drill breaks one thing on purpose while probes ask at a steady rate, heals it, and "
        "compares what clients saw with what the inventory allows.</p>",
        _overview(run),
        *(_drill(one, index) for index, one in enumerate(drills)),
        "<h2>Versions</h2>",
        table((("program", False), ("version", False)), [[safe(key), safe(value)] for key, value in run["versions"].items()])
        if run["versions"]
        else "<p>Nobody said which.</p>",
    ]
    if drawing:
        image = base64.b64encode(drawing.encode()).decode()
        body.append(f'<h2>The cluster</h2><img alt="Drawing of the inventory" src="data:image/svg+xml;base64,{image}">')
    words = "".join(f"<dt>{safe(word)}</dt><dd>{safe(meaning)}</dd>" for word, meaning in WORDS.items())
    return page(title, "\n".join([*body, f"<h2>Words</h2><dl>{words}</dl>"]))
