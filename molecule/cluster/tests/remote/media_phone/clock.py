"""Things to do later."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable


class Timer:
    """One thing to do, unless it is cancelled."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        self.action = None


class Timers:
    """All of them, by one clock."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()

    def at(self, when: float, action: Callable[[], None]) -> Timer:
        timer = Timer(action)
        heapq.heappush(self._heap, (when, next(self._order), timer))
        return timer

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        return self.at(self.now() + seconds, action)

    def run(self) -> float:
        """Do what is due; returns the seconds until the next one."""
        while self._heap and (left := self._heap[0][0] - self.now()) <= 0:
            action = heapq.heappop(self._heap)[2].action
            if action:
                action()
        return max(0.0, left) if self._heap else 1.0
