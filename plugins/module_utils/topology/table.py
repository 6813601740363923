"""What-if rows as a small table for a terminal, with the reasons below it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

HEADS = {
    "new_calls": "new calls",
    "running_media": "running media",
    "registrations": "registrations",
    "cdrs": "CDRs",
    "management": "management",
}
WORDS = {"none": "-", "some": "some", "stops": "STOPS"}
COLOURS = {"none": "\x1b[32m", "some": "\x1b[33m", "stops": "\x1b[1;31m"}
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"
WIDTH, LINE = 48, 110  # of the first column, of the reasons
NO_HOSTS = "This cluster has no hosts."


def _label(kind: str, losses: Sequence[Sequence[str]]) -> str:
    """What is lost, as people say it."""
    joined = ", ".join(" + ".join(names) for names in losses)
    if kind == "nothing":
        return "nothing: as it is now"
    if kind == "domain":
        return f"{'domain' if len(losses) == 1 else 'domains'} {joined}"
    return f"{joined} network" if kind == "network" and len(losses) == 1 else joined if kind != "network" else f"networks {joined}"


def _folded(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Rows of one kind with the same effects and reasons are one line; (label, any of them)."""
    alike: dict[object, list[Mapping[str, Any]]] = {}
    for row in rows:
        key = (row["kind"], *(row["effects"][service] for service in HEADS), *(row["reasons"].get(service) for service in HEADS))
        alike.setdefault(key, []).append(row)
    return [(_label(group[0]["kind"], [row["names"] for row in group]), group[0]) for group in alike.values()]


def _reasons(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Each reason once, with what it ends; those of one loss together."""
    said: dict[tuple[str, str], list[str]] = {}
    for label, row in rows:
        services: dict[str, list[str]] = {}
        for service, head in HEADS.items():
            for reason in row["reasons"].get(service, "").split("; "):
                if reason:
                    services.setdefault(reason, []).append(head)
        for reason, heads in services.items():
            said.setdefault((reason, ", ".join(heads)), []).append(label)
    by_loss: dict[str, list[str]] = {}
    for (reason, ended), labels in said.items():
        by_loss.setdefault(", ".join(labels), []).append(f"{reason} ({ended})")
    lines = []
    for what, why in by_loss.items():
        lines += textwrap.wrap(f"{what}: {'; '.join(why)}", LINE, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    return lines


def render(rows: Iterable[Mapping[str, Any]], colour: bool = False) -> str:
    """The table: one line for all losses of a kind that do the same, "-" for what goes on."""
    folded = _folded(rows)
    if not folded:
        return NO_HOSTS
    cells = [(textwrap.wrap(label, WIDTH, break_on_hyphens=False) or [""], row) for label, row in folded]
    width = max([len("without"), *(len(line) for lines, _ in cells for line in lines)])
    head = "without".ljust(width) + "".join(f"  {text}" for text in HEADS.values())
    out = [f"{BOLD}{head}{PLAIN}" if colour else head]
    for name, row in cells:
        line = name[0].ljust(width)
        for service, text in HEADS.items():
            effect = row["effects"][service]
            word = WORDS[effect]
            line += "  " + (f"{COLOURS[effect]}{word}{PLAIN}" if colour else word) + " " * (len(text) - len(word))
        out += [line.rstrip(), *name[1:]]
    reasons = _reasons(folded)
    return "\n".join([*out, *(["", "Why:", *reasons] if reasons else [])])
