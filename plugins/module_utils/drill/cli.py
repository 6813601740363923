"""The observers of a drill without Ansible, on any host with Python 3.11: settings as JSON on standard input (so that no password is in a
process list), lines of JSON on standard output.

    echo '{"target": "198.18.10.10", "rate": 50, "seconds": 10}' | python3 sipha-drill.pyz probe

probe   a SIP client at a steady rate (settings.py); the summary is its last line
look    what a host sees of itself: addresses, sharing tags, its relay (look.py)
write   a database client at a steady rate (write.py); needs PyMySQL
where   which database a client reaches now: {"hostname": ..., "address": ...}; settings as for write
calls   a caller, or a phone, with audio (calls.py)

SIGTERM or SIGINT end the schedule; what is in the air is still waited for. Exit code: 0 asked, 2 wrong settings, 3 no way to the target.
"""

from __future__ import annotations

import json
import signal
import sys
import zipapp
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from . import calls, look, write
from .probe import Probe
from .record import Ping, Record, to_line
from .settings import Settings
from .summary import summarise
from .transport import TransportError

HERE = Path(__file__).parent
DRILL = ("__init__", "calls", "cli", "digest", "look", "probe", "record", "settings", "summary", "transport", "wire", "write")
PARTS = (*(f"drill/{name}" for name in DRILL), "node/__init__", "node/message", "node/mi")
Given = dict[str, Any]


def bundle(target: Path) -> None:
    """Write the observers as one file that python3 runs. It has no Ansible in it."""
    with TemporaryDirectory() as directory:
        for part in PARTS:
            place = Path(directory) / "sipha" / f"{part}.py"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes((HERE.parent / f"{part}.py").read_bytes())
        zipapp.create_archive(directory, target, interpreter="/usr/bin/python3", main="sipha.drill.cli:run")


def say(text: str) -> None:
    print(text, flush=True)


class Stop:
    """Becomes true at SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self.now = False
        self.then: Callable[[], object] = lambda: None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, *_: object) -> None:
        self.now = True
        self.then()

    def __call__(self) -> bool:
        return self.now


def ask(given: Given, stop: Stop) -> None:
    records: list[Record] = []

    def keep(item: Record | Ping) -> None:
        if isinstance(item, Record):
            records.append(item)
        say(to_line(item))

    probe = Probe(Settings.load(given), keep)
    stop.then = lambda: setattr(probe, "stopped", True)
    probe.run()
    say(json.dumps({"kind": "summary", **summarise(records).to_dict(), "unregistered": probe.unregistered}))


def rows(given: Given, stop: Stop) -> None:
    import pymysql

    writer = write.Writer(write.Settings.load(given), lambda record: say(to_line(record)), pymysql.connect)
    stop.then = lambda: setattr(writer, "stopped", True)
    writer.run()


def where(given: Given, _: Stop) -> None:
    import pymysql

    one = write.Settings.load(given)
    there: Given = {"host": one.host, "port": one.port, "user": one.user, "password": one.password, "connect_timeout": 5}
    with pymysql.connect(**there) as client, client.cursor() as cursor:
        cursor.execute("SELECT @@hostname, @@wsrep_node_address")
        hostname, address = cursor.fetchone()
    say(json.dumps({"hostname": hostname, "address": address.partition(":")[0]}))


def call(given: Given, stop: Stop) -> None:
    side = calls.run(calls.Settings.load(given), say)
    stop.then = side.stop
    side.run()


OBSERVERS: dict[str, Callable[[Given, Stop], None]] = {
    "probe": ask,
    "look": lambda given, stop: look.run(look.Look.load(given), say, stop),
    "write": rows,
    "calls": call,
    "where": where,
}


def main(arguments: Sequence[str]) -> int:
    if len(arguments) == 2 and arguments[0] == "--bundle":
        bundle(Path(arguments[1]))
        return 0
    if len(arguments) != 1 or arguments[0] not in OBSERVERS:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        given = json.load(sys.stdin)
        if not isinstance(given, dict):
            raise ValueError("the settings are no JSON object")
        OBSERVERS[arguments[0]](given, Stop())
    except TransportError as error:
        print(error, file=sys.stderr)
        return 3
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def run() -> None:
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
