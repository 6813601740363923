"""What the probe writes down: one record per request, and one note per request that somebody sent to the probe (a NAT ping)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass
class Record:
    """One request from its plan to its end. Times are seconds since 1970 by a clock that nobody steps while the probe runs."""

    number: int
    method: str
    scheduled: float
    sent: float | None = None
    answered: float | None = None  # the final answer; None: there was none
    code: int | None = None
    source: str = ""  # address:port that the answer came from
    who: str = ""  # what the header named by the settings says
    transmissions: int = 0  # packets, challenges' rounds included
    rounds: int = 0  # 2 with a challenge, 3 when the first nonce was stale
    error: str = ""

    @property
    def good(self) -> bool:
        return self.code is not None and 200 <= self.code < 300

    @property
    def latency(self) -> float | None:
        return None if self.answered is None or self.sent is None else self.answered - self.sent

    @property
    def lag(self) -> float | None:
        """How late the probe itself was."""
        return None if self.sent is None else self.sent - self.scheduled


@dataclass(frozen=True)
class Ping:
    """Somebody sent the probe a request: the proxy keeps a NAT binding of a registered contact open."""

    at: float
    source: str
    method: str


def to_line(item: Record | Ping) -> str:
    values = {key: round(value, 6) if isinstance(value, float) else value for key, value in asdict(item).items()}
    return json.dumps({"kind": "ping" if isinstance(item, Ping) else "request", **values})


FAR = 1e12  # no time, nor NaN
KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "float | None": (int, float, type(None)),
    "int | None": (int, type(None)),
    "str": (str,),
}


def _made(kind: type[Record] | type[Ping], values: dict[str, Any]) -> Record | Ping:
    """Of the right fields with values of the right kind; the file may be anybody's."""
    known = {one.name: KINDS[str(one.type)] for one in fields(kind)}
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"unknown field {name}")
        if isinstance(value, bool) or not isinstance(value, known[name]) or (isinstance(value, int | float) and not abs(value) < FAR):
            raise ValueError(f"{name} is {value!r}")
    return kind(**values)


def from_lines(lines: Iterable[str]) -> tuple[list[Record], list[Ping]]:
    """Read what `to_line` wrote. The last line may be cut off (the probe was killed); ValueError names any other bad line."""
    records: list[Record] = []
    pings: list[Ping] = []
    rows = [line for line in lines if line.strip()]
    for number, line in enumerate(rows, 1):
        try:
            values = json.loads(line)
            kind = values.pop("kind")
            if kind in ("request", "ping"):
                item = _made(Record if kind == "request" else Ping, values)
                if isinstance(item, Record):
                    records.append(item)
                else:
                    pings.append(item)
            elif kind != "summary":
                raise ValueError(f"unknown kind {kind!r}")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if number == len(rows) and isinstance(error, json.JSONDecodeError):
                break
            raise ValueError(f"line {number} is no record of the probe: {error}") from error
    return sorted(records, key=lambda record: record.scheduled), sorted(pings, key=lambda ping: ping.at)
