"""What observers wrote in their own forms -> the parts of `observations` that drill_report takes. Pure.

A look is what a host saw of itself at one moment, one line of JSON: {"at": 1795602499.1, "host": "sip1", ...} with any of `ip` (what
`ip -j address show` says), `tags` (what the engine's clusterer_list_shtags says) and `relay` (true or false). What was not asked, or could
not be answered, is missing or null, and becomes no sample: nothing is known then, which is not the same as "no".
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from .calls import ONLY_PROVISIONAL
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


def calls(lines: Iterable[str], source: str = "calls") -> dict[str, Any]:
    """What caller and phone wrote (calls.py). Numbers for the verdict, and the Call-IDs of calls that went well.

    A held call has ended when anything but its caller ended it, and is silent when audio had stopped for good at either side. One that was
    never answered is a failed attempt, like those of the steady rate, or cut off when it had a provisional answer."""
    rows = []
    for number, line in enumerate([one for one in lines if one.strip()], 1):
        try:
            row = json.loads(line)
            if row["kind"] == "call":
                rows.append(
                    (row["role"], bool(row["held"]), row["id"], row["answered"], row["ended"], row["heard"], row["gap"], row["result"])
                )
        except (ValueError, TypeError, KeyError):
            raise GatherError(f"{source}: line {number} is no call: {line[:80]}") from None
    own = [row for row in rows if row[0] == "caller"]
    up = [row for row in own if row[1] and row[3] is not None]
    begun = {row[2] for row in up}
    quiet = {row[2] for row in rows if row[1] and row[2] in begun and row[4] is not None and (row[5] is None or row[4] - row[5] > SILENT)}
    attempts = [row for row in own if not row[1] or row[3] is None]
    return {
        "up": len(up),
        "ended": sum(row[7] != "good" for row in up),
        "silent": len(quiet),
        "attempts": len(attempts),
        "failed": sum(row[7] not in ("good", ONLY_PROVISIONAL) for row in attempts),
        "cut_off": sum(row[7] == ONLY_PROVISIONAL for row in attempts),
        "audio_gap": max((float(row[6]) for row in rows if row[1] and row[2] in begun), default=None),
        "good": sorted(row[2] for row in own if row[7] == "good"),
        "ends": {row[2]: float(row[4]) for row in own if row[7] == "good"},
        "results": dict(Counter(row[7] for row in own if row[7] != "good")),
    }
