"""sipha-canary: watches this proxy's own counters for a while. Exit 0 = it could serve all the time, with few failures."""

from __future__ import annotations

import argparse
import sys
import time

from . import health, mi
from .agent import Settings

GROUPS = ["sl:", "tm:"]
REFUSED = tuple(f"{module}:{kind}" for module, kinds in (("sl", "346"), ("tm", "2346")) for kind in (f"{digit}xx_" for digit in kinds))
BROKEN = ("sl:5xx_", "tm:5xx_")


def counts(statistics: dict[str, int]) -> tuple[int, int]:
    """(answered, of these 5xx): final answers, without the 200s to health probes, which are the engine's own (sl:2xx)."""
    broken = sum(int(value) for name, value in statistics.items() if name.startswith(BROKEN))
    return broken + sum(int(value) for name, value in statistics.items() if name.startswith(REFUSED)), broken


def judge(before: tuple[int, int], now: tuple[int, int], percent: float, enough: int = 20) -> str:
    """What is wrong, or "". A share is judged from so many answers on: one failed call of two says nothing."""
    answered, broken = now[0] - before[0], now[1] - before[1]
    if broken < 0 or answered < 0:
        return "the engine was restarted meanwhile"
    if answered >= enough and 100 * broken > percent * answered:
        return f"{broken} of {answered} requests were answered 5xx, more than {percent:g} %"
    return ""


def watch(settings: Settings, seconds: float, percent: float) -> str:
    def look() -> tuple[int, int]:
        return counts(mi.call(settings.mi_socket, "get_statistics", {"statistics": GROUPS}, 2.0, settings.run_dir))

    try:
        first, end = look(), time.monotonic() + seconds
        while True:
            now = look()
            wrong = judge(first, now, percent) or health.check_sip(settings) or health.check_db(settings)
            left = end - time.monotonic()
            if wrong or left <= 0:
                sys.stdout.write(f"{wrong or 'ok'} ({now[0] - first[0]} requests answered in {seconds - max(0.0, left):.0f} s)\n")
                return wrong
            time.sleep(min(1.0, left))
    except mi.MiError as error:
        sys.stdout.write(f"the engine does not answer any more: {error}\n")
        return str(error)


def main() -> None:
    parser = argparse.ArgumentParser(prog="sipha-canary", description="Watches this proxy carry calls for a while.")
    parser.add_argument("--config", default="/etc/sipha/agent.json")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--failures", type=float, required=True, help="percent of requests that may be answered 5xx")
    arguments = parser.parse_args()
    sys.exit(1 if watch(Settings.load(arguments.config), arguments.seconds, arguments.failures) else 0)


if __name__ == "__main__":
    main()
