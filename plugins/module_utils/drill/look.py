"""What a host sees of itself during a drill, ten times a second: its addresses, the engine's sharing tags, whether its relay is up.

Each look is a line of JSON (gather.py reads them). What could not be asked is null: a frozen engine says nothing about its tags.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..node import mi
from .settings import only_known

TAGS_EVERY = 3  # looks; asking the engine costs it a little
MI_TIMEOUT = 0.3  # seconds
PATIENCE = 2.0  # seconds


@dataclass(frozen=True)
class Look:
    """Empty is not asked. `address` is the host's own on the interface whose addresses are looked at."""

    host: str
    seconds: float = 60.0
    interval: float = 0.1
    address: str = ""
    mi_socket: str = ""
    unit: str = ""

    @classmethod
    def load(cls, given: dict[str, Any]) -> Look:
        only_known(cls, given)
        settings = cls(**given)
        if not settings.host or not 0 < settings.seconds <= 86400 or not 0.02 <= settings.interval <= 10:
            raise ValueError("a look needs host, seconds up to 86400, and an interval of 0.02 to 10 seconds")
        return settings


def ask(*command: str) -> subprocess.CompletedProcess[str] | None:
    """None when there was no answer in time: a host that was paused finds on waking that all its time is over."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return None


def addresses(interface: str) -> Any:
    """As `ip` says; None when it can't, an interface that is gone has none."""
    done = ask("ip", "-j", "address", "show", "dev", interface)
    if done is None:
        return None
    return json.loads(done.stdout or "[]") if done.returncode == 0 else []


def interface_of(address: str) -> str:
    """ValueError when no interface has it."""
    done = ask("ip", "-j", "address", "show", "to", address)
    names = [row["ifname"] for row in json.loads((done and done.stdout) or "[]") if row.get("ifname") not in (None, "lo")]
    if not names:
        raise ValueError(f"no interface has {address}")
    return str(names[0])


def tags(path: str) -> Any:
    try:
        return mi.call(path, "clusterer_list_shtags", timeout=MI_TIMEOUT)
    except mi.MiError:
        return None


def up(unit: str) -> bool | None:
    """The unit runs, and its main process is neither stopped nor gone. None when nobody could say."""
    done = ask("systemctl", "show", "--property=ActiveState", "--property=MainPID", unit)
    if done is None:
        return None
    said = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    try:
        with open(f"/proc/{int(said.get('MainPID') or 0)}/stat", encoding="ascii", errors="replace") as stat:
            state = stat.read().rpartition(")")[2].split()[0]
    except (OSError, ValueError, IndexError):
        return False
    return said.get("ActiveState") == "active" and state not in "TtZX"


def run(settings: Look, write: Callable[[str], object], stopped: Callable[[], bool]) -> None:
    """Look on a fixed schedule until the time is over; a look that took too long costs those that were due meanwhile."""
    interface = interface_of(settings.address) if settings.address else ""
    start, number = time.monotonic(), 0
    while not stopped() and time.monotonic() - start < settings.seconds:
        row: dict[str, Any] = {"at": time.time(), "host": settings.host}
        if interface:
            row |= {"interface": interface, "ip": addresses(interface)}
        if settings.mi_socket and number % TAGS_EVERY == 0:
            row["tags"] = tags(settings.mi_socket)
        if settings.unit:
            row["relay"] = up(settings.unit)
        write(json.dumps(row))
        number = max(number + 1, int((time.monotonic() - start) / settings.interval))
        time.sleep(max(0.0, start + number * settings.interval - time.monotonic()))
