"""Lanes -> one SVG, to stand inside an HTML page. What is drawn comes from hosts and SIP headers: every text passes `safe`. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from .report_lanes import Lane, Mark

WIDTH, LEFT, RIGHT, TOP, HIGH, GAP = 1080, 210, 20, 26, 18, 7
LETTER = 6.6  # width of one at 12 px
# What XML can't carry, line breaks, and what makes text run backwards.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]+")
COLOURS = {
    "fault": "#5b2a86",
    "good": "#2e8b57",
    "late": "#e0b000",
    "refused": "#e07000",
    "lost": "#c01818",
    "held": "#2f6fb5",
    "both": "#c01818",
}
GREY = "#5f6b73"
# Not by colour alone: how much of the lane's height a state fills.
HEIGHT = {"good": 0.35, "late": 0.6, "refused": 0.8}
WHO = ("#2f6fb5", "#b3660a", "#2e8b57", "#8a3d8f", "#5f6b73", "#8a6d3b")
LEGEND = (
    ("fault", "something is broken"),
    ("good", "answered in time"),
    ("late", "answered, but late (over 0.5 s)"),
    ("refused", "refused (no 2xx)"),
    ("lost", "no answer at all"),
    ("held", "this host had it"),
    ("both", "two had it at once"),
)


def safe(text: object, most: int = 300) -> str:
    """Text of anybody's making, as text of a page and nothing else, also inside quotes."""
    plain = UNPRINTABLE.sub(" ", str(text))
    return html.escape(plain if len(plain) <= most else plain[: most - 1] + "…", quote=True)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers, six to twelve of them."""
    span = high - low
    step = next((size for size in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600) if span / size <= 12), span / 6)
    first = int(low // step) + (low % step > 1e-9)
    return [round(number * step, 6) for number in range(first, int(high // step) + 1)]


class _Scale:
    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self.factor = (WIDTH - LEFT - RIGHT) / (high - low)

    def x(self, at: float) -> float:
        return round(LEFT + (min(max(at, self.low), self.high) - self.low) * self.factor, 1)


def _mark(mark: Mark, y: float, scale: _Scale, colour: str) -> str:
    start, end, state, text = mark
    if end < scale.low or start > scale.high:
        return ""
    x = scale.x(start)
    wide = max(scale.x(end) - x, 1.5)
    high = HIGH * HEIGHT.get(state, 1.0)
    tip = f"{text}, {start:+.2f} s to {end:+.2f} s"
    box = (
        f'<rect x="{x}" y="{y + HIGH - high:.1f}" width="{wide:.1f}" height="{high:.1f}" fill="{colour}"><title>{safe(tip)}</title></rect>'
    )
    if state in ("fault", "who") and wide > LETTER * min(len(str(text)), 40) + 6:
        box += f'<text x="{x + 4}" y="{y + HIGH - 5}" class="in">{safe(text, 40)}</text>'
    return box


def draw(found: Sequence[Lane], low: float, high: float, title: str) -> str:
    """One drawing of all lanes between two times; the vertical lines are when faults began (full) and were healed (dashed)."""
    scale = _Scale(low, high)
    shown = [lane for lane in found if lane["marks"]]
    bottom = TOP + len(shown) * (HIGH + GAP)
    names = sorted({mark[3] for lane in shown for mark in lane["marks"] if mark[2] == "who"})
    people = {name: WHO[index % len(WHO)] for index, name in enumerate(names)}
    parts = [f'<svg viewBox="0 0 {WIDTH} {bottom + 24}" role="img" aria-label="{safe(title)}" xmlns="http://www.w3.org/2000/svg">']
    for at in ticks(low, high):
        parts.append(f'<line x1="{scale.x(at)}" y1="{TOP - 4}" x2="{scale.x(at)}" y2="{bottom}" class="tick"/>')
        parts.append(f'<text x="{scale.x(at)}" y="{bottom + 15}" class="axis">{at:+g} s</text>' if at else "")
    for index, lane in enumerate(shown):
        y = TOP + index * (HIGH + GAP)
        name = f"{safe(lane['title'], 30)}<title>{safe(lane['title'])}</title>"
        parts.append(f'<text x="{LEFT - 8}" y="{y + HIGH - 5}" class="lane">{name}</text>')
        parts.append(f'<line x1="{LEFT}" y1="{y + HIGH}" x2="{WIDTH - RIGHT}" y2="{y + HIGH}" class="base"/>')
        parts += [_mark(mark, y, scale, people[mark[3]] if mark[2] == "who" else COLOURS.get(mark[2], GREY)) for mark in lane["marks"]]
    for start, end, state, _ in (mark for lane in shown for mark in lane["marks"]):
        if state != "fault":
            continue
        for at, kind in ((start, "begun"), (end, "healed")):
            if low <= at <= high:
                parts.append(f'<line x1="{scale.x(at)}" y1="{TOP - 4}" x2="{scale.x(at)}" y2="{bottom}" class="{kind}"/>')
    if low <= 0 <= high:
        parts.append(f'<text x="{scale.x(0)}" y="{bottom + 15}" class="axis zero">fault</text>')
    return "".join([*parts, "</svg>"])


def legend(found: Sequence[Lane]) -> str:
    """Only what occurs."""
    there = {mark[2] for lane in found for mark in lane["marks"]}
    boxes = []
    for state, text in LEGEND:
        if state in there:
            high = round(14 * HEIGHT.get(state, 1.0))
            box = f'<svg width="14" height="14"><rect y="{14 - high}" width="14" height="{high}" fill="{COLOURS[state]}"/></svg>'
            boxes.append(f"<span>{box} {text}</span>")
    return f'<p class="legend">{"".join(boxes)}</p>'
