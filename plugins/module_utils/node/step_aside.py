"""sipha-step-aside: what an engine owes to its calls before it ends, and before it starts again.

`leave` runs before an orderly stop (a reboot, an upgrade of packages, a restart by hand): the VIPs go to another proxy, and what is in the
air is waited for. Without it those calls end for good that had a 100 and nothing more, since nobody sends their INVITE again.

Without `leave` it runs when the engine has ended, and lets it start again only when the VIPs have gone to a proxy that can serve. An
engine that was killed is up again within half a second, before keepalived has moved anything, and knows none of the calls: what ends in
that moment is not accounted. Its peers know them all.

Nothing is waited for when no other proxy answers.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import health, probes
from .agent import STOPPING, Settings, log
from .hand_over import peer_serves

LIMIT = 3.0  # seconds, no more
IN_THE_AIR = 5.0  # seconds that calls may still ring, and transactions wait, before an orderly stop
PAUSE = 0.02


@dataclass(frozen=True)
class Clock:
    now: Callable[[], float] = time.monotonic
    pause: Callable[[float], object] = time.sleep

    def until(self, done: Callable[[], bool], seconds: float) -> float | None:
        """How long it took; None when it took too long."""
        start = self.now()
        while not done():
            if self.now() - start >= seconds:
                return None
            self.pause(PAUSE)
        return self.now() - start


def wait(settings: Settings, held: Callable[[str], bool], clock: Clock = Clock()) -> str:
    """What was done, in a sentence."""

    def gone() -> bool:
        return not any(held(vip) for vip in settings.vips.values())

    if gone():
        return "no VIP is here"
    if not peer_serves(settings):
        return "no other proxy answers"
    lasted = clock.until(gone, LIMIT)
    return f"a VIP is still here after {LIMIT:g} s" if lasted is None else f"the VIPs have gone after {lasted:.2f} s"


def leave(settings: Settings, held: Callable[[str], bool], clock: Clock = Clock()) -> str:
    """The same before an orderly stop, which `Path(run_dir, STOPPING)` announces to the agent."""
    if not peer_serves(settings):
        return "no other proxy answers"
    Path(settings.run_dir, STOPPING).touch()
    went = wait(settings, held, clock)
    busy = ""

    def calm() -> bool:
        nonlocal busy
        busy = health.check_air(settings)
        return not busy

    return went if clock.until(calm, IN_THE_AIR) is not None else f"{went}; {busy} after {IN_THE_AIR:g} s more"


def main() -> None:
    settings = Settings.load(sys.argv[1])
    leaving = sys.argv[2:] == ["leave"]

    def held(vip: str) -> bool:
        return probes.carries(settings.public_interface, vip)

    if leaving:
        log(f"the engine is about to end: {leave(settings, held)}")
        return
    Path(settings.run_dir, STOPPING).unlink(missing_ok=True)
    result = os.environ.get("SERVICE_RESULT", "success")
    if result != "success":
        log(f"the engine ended ({result}): {wait(settings, held)}")


if __name__ == "__main__":
    main()
