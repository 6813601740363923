"""The picture as Mermaid (for Markdown pages) and as DOT, which graphviz lays out as SVG.

Names and values come from an inventory, so every text passes `_html` or `_mermaid` before it reaches the output.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Sequence
from itertools import pairwise

from .model import Finding, Topology
from .picture import Edge, Node, Picture, names, picture

RED = "#c01818"
FLOWS = {
    "sip": ("#1f5fbf", "SIP (dashed: to a standby)"),
    "media": ("#1f8a4c", "audio (RTP)"),
    "control": ("#7a3db8", "relay control"),
    "sql": ("#b3660a", "SQL"),
    "galera": ("#8a6d3b", "replication between databases"),
    "vrrp": ("#555555", "VRRP: who holds a VIP"),
}
FILL = {
    "outside": "#f4f4f4",
    "public": "#dce9f9",
    "vip": "#fff3c4",
    "proxy": "#eaf2fd",
    "relay": "#e6f5ec",
    "core": "#efe6d8",
    "database": "#fbf1e2",
}
ROWS = (("outside",), ("public",), ("vip",), ("proxy", "relay"), ("core",), ("database",))
WIDE = 8  # hosts in one row
# What XML can't carry at all, and line breaks.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")


def _printable(text: str) -> str:
    return UNPRINTABLE.sub(" ", text)


def _short(text: str, width: int) -> list[str]:
    """A label in lines of at most `width` characters, at most four of them."""
    lines = textwrap.wrap(_printable(text), width, break_on_hyphens=False) or ["\u00a0"]  # graphviz takes no empty text
    return lines if len(lines) <= 4 else [*lines[:3], lines[3][: width - 3] + "..."]


def _html(text: str, width: int = 36) -> str:
    return "<br/>".join(html.escape(line) for line in _short(text, width))


def _mermaid(text: str, width: int = 44) -> str:
    """Anything but plain characters as a number: quotes end a label, %% and --- mean something to Mermaid anywhere."""
    return "<br/>".join(
        re.sub(r"[^A-Za-z0-9 ./,()_\u00a0-\uffff\U00010000-\U0010ffff]", lambda c: f"#{ord(c.group())};", line)
        for line in _short(text, width)
    )


def _row(cells: str) -> str:
    return f"<tr>{cells}</tr>"


def _text(text: str, size: int, color: str = "#222222", bold: bool = False) -> str:
    inner = f"<b>{_html(text, 60)}</b>" if bold else _html(text)
    return f'<font point-size="{size}" color="{color}">{inner}</font>'


def _dot_label(node: Node) -> str:
    """A table: name, lines, findings; a network has its cells beside that, where the lines of its flows arrive and leave."""
    rows = [_row(f"<td>{_text(node.name, 14, bold=True)}</td>"), *(_row(f"<td>{_text(line, 10)}</td>") for line in node.lines)]
    if node.marks:
        rows.append(_row(f"<td>{_text(' '.join(node.marks), 12, RED, bold=True)}</td>"))
    if not node.cells:
        return f'<table border="0" cellborder="0" cellspacing="0" cellpadding="2">{"".join(rows)}</table>'
    head = f'<td border="0"><table border="0" cellborder="0" cellspacing="0" cellpadding="1">{"".join(rows)}</table></td>'
    cells = "".join(
        f'<td port="{flow}" border="1" color="{FLOWS[flow][0]}" bgcolor="white">{_text(text, 11, FLOWS[flow][0])}</td>'
        for flow, text in node.cells
    )
    return f'<table border="0" cellspacing="14" cellpadding="6">{_row(head + cells)}</table>'


def _dot_node(node: Node) -> str:
    shape = 'shape=ellipse, style="filled"' if node.kind == "outside" else 'shape=box, style="rounded,filled"'
    line = f'color="{RED}", penwidth=2.5, fillcolor="#fde4e4"' if node.marks else f'color="#888888", fillcolor="{FILL[node.kind]}"'
    return f"{node.id} [{shape}, {line}, label=<{_dot_label(node)}>];"


def _dot_edge(edge: Edge, kinds: dict[str, Node]) -> str:
    color = FLOWS[edge.flow][0]
    ends = [f"{end}:{edge.flow}" if dict(kinds[end].cells).get(edge.flow) else end for end in (edge.source, edge.target)]
    options = [f'color="{color}"', f'fontcolor="{color}"']
    if edge.level:
        options += ["dir=both", "arrowsize=0.6", "style=dotted"]
        # Such a line may order a row, but not from one frame to another: graphviz then draws it twice.
        framed = any(node.frame for node in kinds.values())
        options += ["constraint=false"] if framed or kinds[edge.source].kind != kinds[edge.target].kind else []
        options += [f"label=<{_text(edge.label, 10, color)}>"] if edge.label else []
    elif edge.source == "core" and kinds[edge.target].kind in ("proxy", "relay"):
        ends.reverse()  # the arrow goes up, to a host above the core network
        options.append("dir=back")
    elif edge.flow == "media":
        options.append("dir=both")
    if edge.aside:
        options.append("style=dashed")
    if edge.label == "first holder":
        options.append(f"label=<&#160;{_text(edge.label, 9, color)}>")
    return f"{ends[0]} -> {ends[1]} [{', '.join(options)}];"


def _dot_title(drawn: Picture) -> str:
    """Above the picture: whose cluster, and what the colours mean."""
    used = {edge.flow for edge in drawn.edges}
    legend = "&#160;&#160;&#160;".join(_text(f"\u2014 {meaning}", 11, color) for flow, (color, meaning) in FLOWS.items() if flow in used)
    rows = [_row(f"<td>{_text(drawn.title, 18, bold=True)}</td>"), _row(f"<td>{legend or ' '}</td>")]
    return f'<table border="0" cellspacing="4">{"".join(rows)}</table>'


def _dot_notes(drawn: Picture) -> str:
    """Below the picture: each finding in full."""
    rows = []
    for identifier, text in drawn.notes:
        color = "#666666" if identifier.startswith("(") else RED
        body = '<br align="left"/>'.join(html.escape(line) for line in _short(text, 110)) + '<br align="left"/>'
        rows.append(
            _row(
                f'<td align="left" valign="top">{_text(identifier, 11, color, bold=True)}</td>'
                f'<td align="left" balign="left"><font point-size="11" color="{color}">{body}</font></td>'
            )
        )
    return f'<table border="1" color="{RED}" cellborder="0" cellspacing="0" cellpadding="3">{"".join(rows)}</table>'


def _rows(drawn: Picture) -> Sequence[tuple[str, ...]]:
    """Relays beside the proxies, or in a row of their own where that row would be too wide."""
    if sum(node.kind in ("proxy", "relay") for node in drawn.nodes) <= WIDE:
        return ROWS
    return tuple(part for row in ROWS for part in ((row,) if row != ("proxy", "relay") else (("proxy",), ("relay",))))


def dot(topology: Topology, findings: Sequence[Finding]) -> str:
    """The picture in graphviz' language; `dot -Tsvg` draws it."""
    drawn = picture(topology, findings)
    kinds = {node.id: node for node in drawn.nodes}
    lines = [
        "digraph sipha {",
        'graph [rankdir=TB, newrank=true, fontname="Helvetica,Arial,sans-serif", bgcolor="white", nodesep=0.45, ranksep=0.55,',
        f"  labelloc=t, label=<{_dot_title(drawn)}>];",
        'node [fontname="Helvetica,Arial,sans-serif", margin="0.08,0.05"];',
        'edge [fontname="Helvetica,Arial,sans-serif", arrowsize=0.7, penwidth=1.4];',
    ]
    frames = names(drawn.frames)
    lines += [_dot_node(node) for node in drawn.nodes if not node.frame]
    for frame in drawn.frames:
        lines.append(f"subgraph cluster_{frames[frame]}_ {{")
        lines.append(
            f'style="rounded,dashed"; color="#666666"; margin=14; labelloc=t; labeljust=l; label=<{_text(f"failure domain {frame}", 12)}>;'
        )
        lines += [_dot_node(node) for node in drawn.nodes if node.frame == frame]
        lines.append("}")
    rows = [[node.id for node in drawn.nodes if node.kind in row] for row in _rows(drawn)]
    present = [row for row in rows if row]
    lines += [f"{{ rank=same; {'; '.join(row)}; }}" for row in present]
    # Keeps the rows in their order, also where a broken inventory leaves no flow between them.
    lines += [f"{above[0]} -> {below[0]} [style=invis];" for above, below in pairwise(present)]
    if drawn.notes:
        lines.append(f"findings [shape=plain, label=<{_dot_notes(drawn)}>];")
        lines += [f"{node} -> findings [style=invis];" for node in present[-1]]
    lines += [_dot_edge(edge, kinds) for edge in drawn.edges]
    return "\n".join([*lines, "}", ""])


def _mermaid_node(node: Node) -> str:
    left, right = {
        "outside": ("([", "])"),
        "public": ("[/", "/]"),
        "core": ("[/", "/]"),
        "vip": ("{{", "}}"),
        "database": ("[(", ")]"),
    }.get(node.kind, ("[", "]"))
    parts = [node.name, *node.lines, *(text for _, text in node.cells), " ".join(node.marks)]
    label = "<br/>".join(_mermaid(part) for part in parts if part)
    return f'{node.id}{left}"{label}"{right}:::{"finding" if node.marks else node.kind}'


def _mermaid_edge(edge: Edge) -> str:
    arrow = "<-.->" if edge.level else "-.->" if edge.aside else "<-->" if edge.flow == "media" else "-->"
    label = f'|"{_mermaid(edge.label)}"|' if edge.label else ""
    return f"{edge.source} {arrow}{label} {edge.target}"


def mermaid(topology: Topology, findings: Sequence[Finding]) -> str:
    """The picture as a Mermaid flowchart."""
    drawn = picture(topology, findings)
    frames = names(drawn.frames)
    lines = ["flowchart TB", *(_mermaid_node(node) for node in drawn.nodes if not node.frame)]
    for frame in drawn.frames:
        lines.append(f'subgraph domain_{frames[frame]}_["{_mermaid(f"failure domain {frame}")}"]')
        lines += ["  " + _mermaid_node(node) for node in drawn.nodes if node.frame == frame]
        lines.append("end")
    lines += [_mermaid_edge(edge) for edge in drawn.edges]
    for flow, (color, _) in FLOWS.items():
        if numbers := [str(index) for index, edge in enumerate(drawn.edges) if edge.flow == flow]:
            lines.append(f"linkStyle {','.join(numbers)} stroke:{color},color:{color}")
    if drawn.notes:
        text = "<br/>".join(f"{_mermaid(identifier)} {_mermaid(note, 90)}" for identifier, note in drawn.notes)
        lines.append(f'findings["{text}"]:::note')
    lines += [f"classDef {kind} fill:{color},stroke:#888888,color:#222222" for kind, color in FILL.items()]
    lines.append(f"classDef finding fill:#fde4e4,stroke:{RED},stroke-width:3px,color:#222222")
    lines.append(f"classDef note fill:#ffffff,stroke:{RED},color:{RED},text-align:left")
    return "\n".join(lines) + "\n"
