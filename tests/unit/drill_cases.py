"""Observations of drills as the tests need them: all went well, then whatever a test changes."""

from __future__ import annotations

from typing import Any

from ansible_collections.sipha.cluster.plugins.module_utils.drill.record import Record, to_line

START, FAULT, END = 1000.0, 1005.0, 1015.0
STEP = 0.02


def records(method: str = "OPTIONS", gap: tuple[float, float] | None = (FAULT, FAULT + 0.4)) -> list[Record]:
    """50 a second; in the gap a first packet is lost, and the request is answered after it was sent again."""
    made = []
    for number in range(round((END - START) / STEP)):
        at = START + number * STEP
        hit = gap is not None and gap[0] <= at < gap[1]
        answered = at + (0.51 if hit else 0.005)
        by = "sip2" if gap and (hit or at >= gap[1]) else "sip1"
        made.append(Record(number, method, at, at, answered, 200, "198.18.10.10:5060", by, 2 if hit else 1, 1))
    return made


def lines(made: list[Record]) -> list[str]:
    return [to_line(one) for one in made]


def held(moves: float = FAULT + 0.3, overlap: float = 0.0, name: str = "main", until: float = END) -> list[list[Any]]:
    """20 samples a second of two proxies; sip2 gets it at `moves`, sip1 gives it up `overlap` later."""
    rows: list[list[Any]] = []
    for number in range(round((until - START) * 20)):
        at = START + number * 0.05
        rows += [[at, "sip1", name, at < moves + overlap], [at, "sip2", name, at >= moves]]
    return rows


def observations(**changes: Any) -> dict[str, Any]:
    good: dict[str, Any] = {
        "faults": [{"name": "opensips killed", "host": "sip1", "start": FAULT, "end": FAULT + 5, "confirmed": True}],
        "probes": {name: lines(records(name.upper())) for name in ("options", "register", "write")},
        "holders": held(),
        "pingers": held(),
        "proxies": ["sip1", "sip2"],
        "relays": [[START + number / 2, host, "relay", True] for number in range(30) for host in ("relay1", "relay2")],
        "calls": {"up": 50, "ended": 0, "silent": 0, "attempts": 100, "failed": 0, "cut_off": 0},
        "kept": {
            "location": {"before": ["alice", "bob"], "after": ["bob", "alice", "carol"]},
            "cdrs": {"before": ["c1", "c2"], "after": ["c1", "c2"]},
            "rows": {"before": ["1"], "after": ["1"]},
        },
        "changes": 0,
    }
    return {**good, **changes}
