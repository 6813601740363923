"""What observers wrote in their own forms -> the parts of `observations` that drill_report takes. Pure.

A look is what a host saw of itself at one moment, one line of JSON: {"at": 1795602499.1, "host": "sip1", ...} with any of `ip` (what
`ip -j address show` says), `tags` (what the engine's clusterer_list_shtags says) and `relay` (true or false). What was not asked, or could
not be answered, is missing or null, and becomes no sample: nothing is known then, which is not the same as "no".
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .samples import is_time

Row = list[Any]
SILENT = 2.0  # seconds without a packet, after which a call has no audio


class GatherError(ValueError):
    """What an observer wrote can't be read; the text says which."""


def looks(lines: Iterable[str], source: str = "looks") -> list[dict[str, Any]]:
    """The last line may be cut off, because its host died."""
    rows = [line for line in lines if line.strip()]
    found = []
    for number, line in enumerate(rows, 1):
        try:
            row = json.loads(line)
        except ValueError:
            if number == len(rows):
                break
            raise GatherError(f"{source}: line {number} is no JSON: {line[:80]}") from None
        if not isinstance(row, dict) or not is_time(row.get("at")) or not isinstance(row.get("host"), str):
            raise GatherError(f"{source}: line {number} needs the time at and the name of the host: {line[:80]}")
        found.append(row)
    return found


def holders(of: Iterable[Mapping[str, Any]], interfaces: Mapping[str, str], vips: Mapping[str, str]) -> list[Row]:
    """Samples of VIPs (name to address). Only at the host's own public interface: every proxy carries the VIP at its loopback."""
    rows = []
    for look in of:
        if look.get("ip") is None:
            continue
        host = look["host"]
        if host not in interfaces:
            raise GatherError(f"interfaces has no {host}, which has sent looks; set its public interface")
        links = [link for link in look["ip"] if link.get("ifname") == interfaces[host]]
        carried = {info.get("local") for link in links for info in link.get("addr_info", [])}
        rows += [[look["at"], host, name, address.partition("/")[0] in carried] for name, address in vips.items()]
    return rows


def pingers(of: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Samples of sharing tags."""
    rows = []
    for look in of:
        for tag in look.get("tags") or []:
            if "Tag" not in tag or "State" not in tag:
                raise GatherError(f"a sharing tag of {look['host']} is {tag!r}, it needs Tag and State")
            rows.append([look["at"], look["host"], str(tag["Tag"]), str(tag["State"]).lower() == "active"])
    return rows


def relays(of: Iterable[Mapping[str, Any]]) -> list[Row]:
    return [[look["at"], look["host"], "relay", bool(look["relay"])] for look in of if look.get("relay") is not None]


def faults(results: Mapping[str, Mapping[str, Any]], offsets: Mapping[str, float] | None = None) -> list[dict[str, Any]]:
    """From what module fault returned at the end, by host. Its times are of the host's clock; here they become the probe's."""
    found = []
    for host, result in sorted(results.items()):
        if not is_time(result.get("started")):
            raise GatherError(f"{host} has not injected its fault: {result.get('msg') or 'it has no time of start'}")
        ahead, end = (offsets or {}).get(host, 0.0), result.get("healed")
        found.append(
            {
                "name": str(result["kind"]).replace("_", " "),
                "host": host,
                "start": result["started"] - ahead,
                "end": None if end is None else end - ahead,
                "confirmed": result.get("confirmed"),
            }
        )
    return found


def counters(text: str, source: str = "sipp") -> dict[str, int]:
    """The last whole line of what sipp writes with -trace_stat: calls that were begun, went well, failed, are up."""
    rows = list(csv.reader(text.splitlines(), delimiter=";"))
    wanted = {"made": "TotalCallCreated", "good": "SuccessfulCall(C)", "failed": "FailedCall(C)", "current": "CurrentCall"}
    if not rows or (missing := [name for name in wanted.values() if name not in rows[0]]):
        raise GatherError(f"{source}: no statistics of sipp" + (f", there is no column {missing[0]}" if rows else ", the file is empty"))
    whole = [row for row in rows[1:] if len(row) >= len(rows[0]) - 1]
    if not whole:
        raise GatherError(f"{source}: no statistics of sipp were written")
    last = dict(zip(rows[0], whole[-1], strict=False))
    try:
        return {key: int(last[name]) for key, name in wanted.items()}
    except ValueError as error:
        raise GatherError(f"{source}: {error}") from None


def silent(packets: Iterable[tuple[str, float]], end: float, patience: float = SILENT) -> int:
    """Calls whose audio stopped for good: the last packet (call, time) of each came so long before the end of the measurement."""
    last: dict[str, float] = {}
    for call, at in packets:
        last[call] = max(at, last.get(call, at))
    return sum(end - at > patience for at in last.values())


def calls(
    up: Sequence[str] = (), attempts: Sequence[str] = (), audio: Iterable[tuple[str, float]] | None = None, end: float = 0.0
) -> dict[str, int]:
    """From the statistics of sipps whose calls were up before the fault, and of those that began calls all the time.

    A call that was up has ended when sipp counts it as failed. Without `audio` nothing is said about silence."""
    found: dict[str, int] = {}
    if up:
        rows = [counters(text, "calls that are up") for text in up]
        found |= {"up": sum(row["made"] for row in rows), "ended": sum(row["failed"] for row in rows)}
    if attempts:
        rows = [counters(text, "call attempts") for text in attempts]
        found |= {"attempts": sum(row["made"] for row in rows), "failed": sum(row["failed"] for row in rows)}
    if audio is not None:
        found["silent"] = silent(audio, end)
    return found
