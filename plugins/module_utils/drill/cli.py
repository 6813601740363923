"""The probe without Ansible, on any host with Python 3.11: settings as JSON on standard input (so that no password is in a process list),
records as JSON lines on standard output, the summary as the last line.

    echo '{"target": "198.18.10.10", "rate": 50, "seconds": 10}' | python3 sipha-probe.pyz

SIGTERM or SIGINT end the schedule; what is in the air is still waited for. Exit code: 0 asked, 2 wrong settings, 3 no way to the target.
"""

from __future__ import annotations

import json
import signal
import sys
import zipapp
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from .probe import Probe
from .record import Ping, Record, to_line
from .settings import Settings
from .summary import summarise
from .transport import TransportError

PARTS = ("__init__", "cli", "digest", "probe", "record", "settings", "summary", "transport", "wire")


def bundle(target: Path) -> None:
    """Write the probe as one file that python3 runs. It has no Ansible in it."""
    here = Path(__file__).parent
    with TemporaryDirectory() as directory:
        package = Path(directory) / "sipha_probe"
        package.mkdir()
        for part in PARTS:
            (package / f"{part}.py").write_bytes((here / f"{part}.py").read_bytes())
        zipapp.create_archive(directory, target, interpreter="/usr/bin/python3", main="sipha_probe.cli:run")


def main(arguments: Sequence[str]) -> int:
    if len(arguments) == 2 and arguments[0] == "--bundle":
        bundle(Path(arguments[1]))
        return 0
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    records: list[Record] = []

    def write(item: Record | Ping) -> None:
        if isinstance(item, Record):
            records.append(item)
        print(to_line(item), flush=True)

    try:
        given = json.load(sys.stdin)
        if not isinstance(given, dict):
            raise ValueError("the settings are no JSON object")
        probe = Probe(Settings.load(given), write)
    except TransportError as error:
        print(error, file=sys.stderr)
        return 3
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2

    def stop(*_: object) -> None:
        probe.stopped = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    probe.run()
    print(json.dumps({"kind": "summary", **summarise(records).to_dict(), "unregistered": probe.unregistered}), flush=True)
    return 0


def run() -> None:
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
