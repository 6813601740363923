"""Injects faults, arms their switch first, heals them, and looks whether both are really so.

The switch is a transient timer of systemd that runs a script from memory. It is armed and seen armed before anything is broken. So when the
injector dies, wherever it is, the host heals by itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import fault_links, fault_packets, fault_system, fault_units
from .fault import NAME, FaultError, Settings, check_name
from .fault_host import Host
from .fault_plan import DIRECTORY, Facts, Kind, Plan, Verdict, script, timer

KINDS: dict[str, Kind] = {**fault_units.KINDS, **fault_links.KINDS, **fault_packets.KINDS, **fault_system.KINDS}
CONFIRM, HEAL, STEP = 5.0, 30.0, 0.05  # seconds to wait for the fault, for the end of it, between two looks
State = dict[str, Any]
RETRY = ("--property=Type=oneshot", "--property=Restart=on-failure", "--property=RestartSec=3", "--property=StartLimitIntervalSec=0")


class Faults:
    def __init__(
        self,
        host: Host,
        directory: str = DIRECTORY,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.host, self.directory, self.now, self.sleep = host, Path(directory), now, sleep

    # What is written down
    def _file(self, name: str, suffix: str) -> Path:
        return self.directory / f"{name}.{suffix}"

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        new.write_text(text, encoding="utf-8")
        os.replace(new, path)

    def _save(self, state: State) -> State:
        self._write(self._file(state["name"], "json"), json.dumps(state, indent=1) + "\n")
        return state

    def state(self, name: str) -> State | None:
        """What is known of a fault, with what its healer wrote; None: there never was one, or the host was started since."""
        try:
            state: State = json.loads(self._file(name, "json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise FaultError(f"{self._file(name, 'json')} can't be read: {error}") from None
        try:
            healed = json.loads(self._file(name, "healed").read_text(encoding="utf-8"))
            state |= {"healed": healed["at"], "healed_by": healed["by"]}
        except FileNotFoundError:
            state |= {"healed": None, "healed_by": ""}
        unit = f"{timer(name)}.timer"
        return {**state, "armed": unit if self.host.active(unit) else ""}

    def listed(self) -> list[State]:
        names = sorted(path.stem for path in self.directory.glob("*.json") if NAME.fullmatch(path.stem))
        return [state for state in map(self.state, names) if state]

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """One injector or healer by hand at a time. The switch does not wait for it."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._file(name, "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FaultError(f"fault {name} is just being injected or healed by somebody else") from None
            yield

    def _wait(self, look: Callable[[Facts, Host], Verdict], facts: Facts, seconds: float) -> Verdict:
        end = time.monotonic() + seconds
        while not (seen := look(facts, self.host)).good and time.monotonic() < end:
            self.sleep(STEP)
        return seen

    # Injecting
    def inject(self, given: Settings, check: bool = False) -> tuple[bool, State]:
        """(something was done, the state). FaultError when it can't be; then nothing is left broken."""
        if check:
            return self._inject(given, check)
        with self._locked(given.name):
            return self._inject(given, check)

    def _inject(self, given: Settings, check: bool) -> tuple[bool, State]:
        old = self.state(given.name)
        if old and old["healed"] is None:
            if old["settings"] == given.to_dict() and old["started"] is not None:
                return False, old
            raise FaultError(f"there is a fault {given.name} already that is not healed ({old['kind']}): heal it first")
        kind = KINDS[given.kind]
        plan = kind.plan(given, self.host)
        state: State = {
            "name": given.name,
            "kind": given.kind,
            "settings": given.to_dict(),
            "facts": plan.facts,
            "started": None,
            "deadline": None,
            "confirmed": None,
            "evidence": "",
            "healed": None,
            "healed_by": "",
            "armed": "",
        }
        if check:
            return True, state
        self._arm(given, plan, state)
        try:
            state = self._save({**state, "started": self.now()})
            for command in plan.inject:
                self.host.need(*command)
            seen = self._wait(kind.there, plan.facts, CONFIRM)
            if self._late(given.name):
                raise FaultError("it may be there in part only")
        except FaultError as error:
            late = f"seconds ({given.seconds:g}) is too short, the switch has healed it already; " if self._late(given.name) else ""
            try:
                self._heal(given.name, state, again=True)
            except FaultError as worse:
                raise FaultError(f"{given.kind} was not injected: {late}{error}; and {worse}") from None
            raise FaultError(f"{given.kind} was not injected, and what was done is healed: {late}{error}") from None
        return True, self._save({**state, "confirmed": seen.good, "evidence": seen.text})

    def _late(self, name: str) -> bool:
        return self._file(name, "healed").exists()

    def _arm(self, given: Settings, plan: Plan, state: State) -> None:
        """All files first, then the timer, then a look whether it runs."""
        unit = timer(given.name)
        self._disarm(given.name)
        self._file(given.name, "healed").unlink(missing_ok=True)
        healer = self._file(given.name, "sh")
        self._write(healer, script(given.name, given.kind, plan.heal, str(self.directory)))
        for path, text in plan.files.items():
            self._write(Path(path), text)
        state |= {"armed": f"{unit}.timer", "deadline": self.now() + given.seconds}
        self._save(state)
        after = (f"--on-active={given.seconds:g}s", "--timer-property=AccuracySec=50ms", f"--unit={unit}", *RETRY)
        try:
            self.host.need("systemd-run", "--quiet", "--collect", *after, "--", "/bin/sh", str(healer), "timer")
            if not self.host.active(f"{unit}.timer"):
                raise FaultError("the timer does not run")
        except FaultError as error:
            for path in plan.files:
                Path(path).unlink(missing_ok=True)
            self._file(given.name, "json").unlink()
            raise FaultError(f"the switch could not be armed, so nothing was broken: {error}") from None

    def _disarm(self, name: str) -> None:
        unit = timer(name)
        self.host.run("systemctl", "stop", f"{unit}.timer", f"{unit}.service")
        self.host.run("systemctl", "reset-failed", f"{unit}.timer", f"{unit}.service")

    # Healing
    def heal(self, name: str, check: bool = False) -> tuple[bool, State]:
        """(something was done, the state). FaultError when it is not whole again; the switch stays armed then, and tries again."""
        old = self.state(check_name(name))
        if old is None:
            return False, {"name": name}
        if check:
            return old["healed"] is None, old
        with self._locked(name):
            return self._heal(name, old)

    def _heal(self, name: str, state: State, again: bool = False) -> tuple[bool, State]:
        """A fault that is healed already is only looked at, unless `again`."""
        kind, facts = KINDS[state["kind"]], state["facts"]
        if self._file(name, "healed").exists() and not again:
            return False, self._healed(name, state, kind.whole(facts, self.host))
        end = time.monotonic() + HEAL
        while (done := self.host.run("/bin/sh", str(self._file(name, "sh")), "module")).code and time.monotonic() < end:
            self.sleep(1)
        if done.code:
            raise FaultError(f"fault {name} is not healed: {(done.err or done.out).strip()}; its switch tries again")
        seen = self._wait(kind.whole, facts, HEAL)
        if not seen.good:
            raise FaultError(f"fault {name} was healed, but this is left of it: {seen.text}")
        return True, self._healed(name, state, seen)

    def _healed(self, name: str, state: State, seen: Verdict) -> State:
        self._disarm(name)
        return {**(self.state(name) or state), "armed": "", "whole": seen.good, "evidence": seen.text}
