"""Hysteresis: how many probes in a row change a verdict. Pure, so that every path is tested."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Judge:
    """Up or down by consecutive results. `up` starts with what an earlier life had found, so a restart changes nothing."""

    fall: int
    rise: int
    up: bool = False
    streak: int = 0

    def add(self, good: bool) -> bool:
        """Take one result; True when the verdict changed."""
        if good == self.up:
            self.streak = 0
            return False
        self.streak += 1
        if self.streak < (self.rise if good else self.fall):
            return False
        self.up, self.streak = good, 0
        return True


class Outstanding:
    """Probes in the air. Open loop: a stalled target can't slow the probes down, each times out by itself."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._sent: dict[str, float] = {}

    def sent(self, key: str, now: float) -> None:
        self._sent[key] = now

    def answered(self, key: str) -> bool:
        return self._sent.pop(key, None) is not None

    def expired(self, now: float) -> int:
        late = [key for key, at in self._sent.items() if now - at >= self.timeout]
        for key in late:
            del self._sent[key]
        return len(late)

    def clear(self) -> int:
        count = len(self._sent)
        self._sent.clear()
        return count
