"""The files that one drill left in a directory -> its observations, as drill_report takes them.

options, options_tcp, register, write (.jsonl) probes          look-HOST.jsonl             looks of each host
caller.jsonl, phone.jsonl                    calls             fault-HOST-N.json           what module fault said at the end
location-before.txt, location-after.txt      bindings          cdrs.txt, rows.txt          keys of rows that are there at the end
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import gather
from .record import from_lines

LAST = 0.5  # seconds before the fault; a BYE that was sent so late may not have been answered yet
MOMENT = 0.1  # seconds that a fault takes from its start until it is there
PROBES = ("options", "options_tcp", "register", "write")


def lines_of(path: Path) -> list[str]:
    """Empty when there is no such file."""
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []


def fault_of(text: str, source: str) -> dict[str, Any]:
    """What a drill's own breaking looked like: power and playbooks have no module fault."""
    try:
        row = json.loads(text)
        return {key: row[key] for key in ("name", "host", "start", "end", "confirmed")}
    except (ValueError, TypeError, KeyError) as error:
        raise gather.GatherError(f"{source} is no fault: {error}") from error


def faults(directory: Path) -> list[dict[str, Any]]:
    found = []
    for path in sorted(directory.glob("fault-*.json")):
        text = path.read_text(encoding="utf-8", errors="replace")
        host = path.stem.partition("-")[2].rpartition("-")[0]
        row = json.loads(text) if text.lstrip().startswith("{") else {}
        found += [fault_of(text, path.name)] if "start" in row else gather.faults({host: row})
    return found


def until(rows: list[list[Any]], end: float) -> list[list[Any]]:
    """Hosts are told to stop looking one after the other; what came later would look as if some had gone silent."""
    return [row for row in rows if row[0] <= end]


def collect(directory: Path, vips: Mapping[str, str], proxies: Sequence[str], end: float) -> dict[str, Any]:
    """Observations of one drill. GatherError says which file can't be read."""
    probes = {name: rows for name in PROBES if (rows := lines_of(directory / f"{name}.jsonl"))}
    looks = [look for path in sorted(directory.glob("look-*.jsonl")) for look in gather.looks(lines_of(path), path.name)]
    interfaces = {look["host"]: str(look["interface"]) for look in looks if look.get("interface")}
    broken = faults(directory)
    start = min((one["start"] for one in broken), default=0.0)
    calls = gather.calls([*lines_of(directory / "caller.jsonl"), *lines_of(directory / "phone.jsonl")])
    kept: dict[str, Any] = {
        "location": {when: lines_of(directory / f"location-{when}.txt") for when in ("before", "after")},
        "cdrs": {"before": calls["good"], "after": lines_of(directory / "cdrs.txt")},
    }
    if "write" in probes:
        written = [str(record.number) for record in from_lines(probes["write"])[0] if record.good]
        kept["rows"] = {"before": written, "after": lines_of(directory / "rows.txt")}
    return {
        "faults": broken,
        "probes": probes,
        "holders": until(gather.holders(looks, interfaces, vips), end),
        "pingers": until(gather.pingers(looks), end),
        "relays": until(gather.relays(looks), end),
        "calls": {key: calls[key] for key in ("up", "ended", "silent", "attempts", "failed", "cut_off")},
        "audio_gap": calls["audio_gap"],
        "kept": kept,
        "last_ended": [call for call, at in calls["ends"].items() if start - LAST <= at <= start + MOMENT],
        "proxies": list(proxies),
    }
