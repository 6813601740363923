"""Releases of a configuration script: install, activate, prune, note. No Ansible in here.

Whatever kills a run, at whatever point: opensips.cfg leads to a whole script, and the next run ends what was begun or takes it back.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ansible_collections.sipha.cluster.plugins.module_utils import release_io as io
from ansible_collections.sipha.cluster.plugins.module_utils.release_io import Owner, ReleaseError
from ansible_collections.sipha.cluster.plugins.module_utils.release_state import (
    CURRENT,
    HISTORY,
    ID,
    LINK,
    MAIN,
    META,
    PLAIN,
    RELEASES,
    SWITCH,
    UPGRADE,
    Files,
    Release,
    State,
    digests_of,
    look,
    read_files,
    release_id,
)

KEEP = range(2, 51)
HISTORY_LENGTH = 50
LAST_LINES = 20
FOUND_ORIGIN = f"{MAIN} as it was found on the host"

Runner = Callable[[list[str]], tuple[int, str]]


def utc_now() -> str:
    """ISO 8601, UTC, whole seconds."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: UP017 (datetime.UTC needs Python 3.11)


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text with *** for every secret; the longest first, because one may be part of another."""
    for secret in sorted({secret for secret in secrets if secret}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def validator(command: str, run: Runner, secrets: Iterable[str]) -> Callable[[str], None]:
    """A check of a directory with all files of a release, by a command with %s for the path of the script in it.

    ReleaseError has the exit code and the command's last 20 lines, without the secrets.
    """
    words = shlex.split(command)
    if not any("%s" in word for word in words):
        raise ReleaseError("validate has no %s, which stands for the path of the script.")

    def check(directory: str) -> None:
        try:
            code, output = run([word.replace("%s", os.path.join(directory, MAIN)) for word in words])
        except OSError as error:
            raise ReleaseError(f"The command of validate, {words[0]}, can't be run: {error.strerror}.") from None
        if code:
            lines = masked(output.replace(f"{directory}/", ""), secrets).strip().splitlines()[-LAST_LINES:]
            said = "\n".join(lines) or "it said nothing."
            raise ReleaseError(f"{os.path.basename(words[0])} does not accept the script (exit code {code}): {said}")

    return check


def doomed(state: State, keep: int, also: Iterable[str | None]) -> list[str]:
    """Releases to remove: all but the `keep` that were used last, and but those that someone may still need."""
    newest = sorted(state.releases, key=state.last_use, reverse=True)[:keep]
    needed = {*newest, state.current, state.previous, *also}
    needed |= {(state.upgrade or {}).get(key) for key in ("id", "from")}
    return sorted(set(state.releases) - needed)


@dataclass
class Installed:
    """`active` is the active release before and after. `repaired`: it was there, but not as it should be."""

    id: str
    changed: bool
    active: str | None
    validated: bool
    repaired: bool
    removed: list[str]


@dataclass
class Activated:
    """`previous` is the release that was active before this one."""

    id: str
    changed: bool
    previous: str | None
    adopted: str | None = None
    warnings: list[str] = field(default_factory=list)


class Store:
    """The releases below `root`. With `check` nothing is written, and the answers say what would be."""

    def __init__(self, root: str, user: str, group: str, check: bool = False, now: Callable[[], str] = utc_now) -> None:
        self.root, self.user, self.group, self.check, self.now = root.rstrip("/") or "/", user, group, check, now
        self.folder = os.path.join(self.root, RELEASES)
        self.staging, self.trash = os.path.join(self.folder, ".new"), os.path.join(self.folder, ".old")

    @property
    def owner(self) -> Owner:
        return io.owner_of(self.user, self.group)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[State]:
        """Directories are there, no other run is at work, and what a killed activation left is brought to its end."""
        if self.check:
            yield look(self.root)
            return
        if not os.path.isdir(self.root):
            io.directory(self.root, self.owner)
        io.directory(self.folder, self.owner)
        with io.locked(self.folder):
            state = look(self.root)
            if state.switch:
                self._end_switch(state)
            yield state

    def _json(self, name: str, content: Any) -> None:
        io.write(os.path.join(self.folder, name), (json.dumps(content, indent=1) + "\n").encode(), self.owner)

    # Installing

    def install(
        self, files: Files, origin: str, keep: int = 5, validate: Callable[[str], None] | None = None, validate_always: bool = False
    ) -> Installed:
        """Have a release with these files, and remove what is too old. A release that is not accepted by `validate` leaves nothing."""
        if keep not in KEEP:
            raise ReleaseError(f"keep is {keep}, set it to {KEEP[0]} to {KEEP[-1]}.")
        with self._changing() as state:
            if not self.check:
                self._sweep(state)
            new, old = self._release(state, files, origin)
            validated = bool(validate) and not self.check and (not old or bool(old.differs) or validate_always)
            changed = self._publish(new, files, old, validate if validated else None)
            state.releases[new.id] = new
            removed = doomed(state, keep, [new.id])
            if not self.check:
                for name in removed:
                    self._remove(name)
            return Installed(new.id, changed or bool(removed), state.active, validated, bool(changed and old), removed)

    def _release(self, state: State, files: Files, origin: str) -> tuple[Release, Release | None]:
        """The release that is to be there, and the one that is. Time, origin and failure of one that is there stay."""
        digests = digests_of(files)
        old = state.releases.get(release_id(digests))
        if old and old.installed:
            return Release(old.id, old.installed, old.origin, digests, old.failed), old
        return Release(release_id(digests), self.now(), origin, digests, old.failed if old else None), old

    def _publish(self, new: Release, files: Files, old: Release | None, validate: Callable[[str], None] | None) -> bool:
        """Put the files where they belong. A new release appears as a whole; one that is there is mended file by file."""
        if self.check:
            return not old or bool(old.differs) or not self._owned(old)
        place = os.path.join(self.folder, new.id)
        try:
            if not old or validate:
                self._fill(self.staging, new, files)
            if validate:
                validate(self.staging)
            if old:
                return self._fill(place, new, files)
            os.rename(self.staging, place)
            io.sync(self.folder)
            return True
        finally:
            io.remove_tree(self.staging)

    def _fill(self, directory: str, release: Release, files: Files) -> bool:
        """Write those files of a release that are not there as they should be. Was there one?"""
        owner = self.owner
        wanted = {**files, META: (json.dumps(release.meta(), indent=1) + "\n").encode()}
        changed = not os.path.isdir(directory) or not io.fits(directory, owner, io.DIRECTORY_MODE)
        io.directory(directory, owner)
        there = read_files(directory, wanted)
        for name, content in wanted.items():
            path = os.path.join(directory, name)
            if there.get(name) != content or not io.fits(path, owner, io.FILE_MODE):
                io.write(path, content, owner)
                changed = True
        return changed

    def _owned(self, release: Release) -> bool:
        """Have the directory and its files their owner and modes? Only asked in check mode, maybe before there is such a group."""
        place = os.path.join(self.folder, release.id)
        try:
            owner = self.owner
        except ReleaseError:
            return False
        paths = [os.path.join(place, name) for name in (*release.files, META)]
        return io.fits(place, owner, io.DIRECTORY_MODE) and all(io.fits(path, owner, io.FILE_MODE) for path in paths)

    def _sweep(self, state: State) -> None:
        """Remove what killed runs left half done."""
        io.remove_tree(self.staging)
        io.remove_tree(self.trash)
        for path in (
            *(os.path.join(self.root, name) for name in (CURRENT, MAIN)),
            *(os.path.join(self.folder, name) for name in (HISTORY, SWITCH, UPGRADE)),
            *(os.path.join(self.folder, r.id, name) for r in state.releases.values() for name in (*r.files, META)),
        ):
            io.remove(io.temporary(path))

    def _remove(self, name: str) -> None:
        os.rename(os.path.join(self.folder, name), self.trash)
        io.remove_tree(self.trash)
        io.sync(self.folder)

    # Activating

    def activate(self, asked: str, why: str, failed: str = "") -> Activated:
        """Have opensips.cfg lead to the release `asked`, an id or `previous`. `failed` is why the one that is left is no good.

        When the last run was killed after it had switched for the same request, this run only notes that: `previous` goes back once.
        """
        if not os.path.isdir(self.folder):
            self._resolve(look(self.root), asked, [])
        with self._changing() as state:
            done = state.switch
            if done and state.active == done["entry"]["id"] and asked in (done["asked"], state.active):
                return Activated(done["entry"]["id"], True, done["entry"]["previous"])
            warnings: list[str] = []
            target = self._resolve(state, asked, warnings)
            if state.active == target:
                return Activated(target, False, (state.activation(target) or {}).get("previous"), warnings=warnings)
            adopted = self._adopt(state) if state.found == PLAIN else None
            entry = {"id": target, "at": self.now(), "previous": adopted or state.active, "why": why}
            if entry["previous"] == target:
                entry["previous"] = None
            if not self.check:
                self._json(SWITCH, {"asked": asked, "entry": entry, "failed": failed})
                if state.current != target:
                    io.link(os.path.join(self.root, CURRENT), f"{RELEASES}/{target}")
                if state.found != LINK:
                    io.link(os.path.join(self.root, MAIN), f"{CURRENT}/{MAIN}")
                self._end_switch(look(self.root))
            return Activated(target, True, entry["previous"], adopted, warnings)

    def _resolve(self, state: State, asked: str, warnings: list[str]) -> str:
        """The id of an intact release. In check mode an id may be one that an earlier task would have installed or repaired."""
        if asked == "previous":
            if not state.previous:
                raise ReleaseError(f"There is no earlier release to go back to; there are: {state.described()}.")
            asked = state.previous
        release = state.releases.get(asked)
        if release and not release.differs:
            return asked
        problem = f"There is no release {asked} on this host"
        if release:
            problem = f"Release {asked} is damaged ({', '.join(release.differs)} is not what was installed): install it again"
        problem += f"; there are: {state.described()}."
        if not self.check or not ID.fullmatch(asked):
            raise ReleaseError(problem)
        warnings.append(f"{problem} Without check mode that is an error, unless a task before this one installs it.")
        return asked

    def _plain(self) -> Files:
        """The script that is no release, maybe behind somebody else's link."""
        with open(os.path.join(self.root, MAIN), "rb") as file:
            return {MAIN: file.read()}

    def _adopt(self, state: State) -> str:
        """Keep a script that is no release as one, so that one can go back to it."""
        files = self._plain()
        new, old = self._release(state, files, FOUND_ORIGIN)
        self._publish(new, files, old, None)
        return new.id

    def _end_switch(self, state: State) -> None:
        """Note an activation whose links are there; forget one that never came so far. Can be killed and run again."""
        assert state.switch is not None
        entry = state.switch["entry"]
        if state.active == entry["id"]:
            for name in (entry["id"], entry["previous"]):
                if name in state.releases:
                    self._json(os.path.join(name, META), state.releases[name].meta())
            self._json(HISTORY, state.history[-HISTORY_LENGTH:])
        io.remove(os.path.join(self.folder, SWITCH))

    # Looking and noting

    def listed(self) -> dict[str, Any]:
        """All that is known, as plain data."""
        state = look(self.root)
        now = state.activation(state.active) or {}
        return {
            "active": {"id": state.active, "since": now.get("at"), "why": now.get("why")},
            "found": state.found,
            "releases": [
                {
                    "id": release.id,
                    "installed": release.installed,
                    "last_active": state.last_active(release.id),
                    "failed": release.failed,
                    "damaged": bool(release.differs),
                    "differs": release.differs,
                    "origin": release.origin,
                }
                for release in sorted(state.releases.values(), key=lambda one: state.last_use(one.id), reverse=True)
            ],
            "history": state.history[-HISTORY_LENGTH:],
            "previous": state.previous,
            "unfinished": state.upgrade,
        }

    def read(self, asked: str) -> tuple[str | None, Files]:
        """Id and files of a release as they are, damaged or not. `active` also reads a script that is no release (id None)."""
        state = look(self.root)
        if asked == "active" and state.found == PLAIN:
            return None, self._plain()
        wanted = {"active": state.active, "previous": state.previous}.get(asked, asked)
        if wanted not in state.releases:
            raise ReleaseError(f"There is no release {asked} on this host; there are: {state.described()}.")
        release = state.releases[wanted]
        return wanted, read_files(os.path.join(self.folder, wanted), release.files or [MAIN])

    def note(self, target: str, left: str | None, step: str, drained: list[str]) -> bool:
        """Have upgrade.json say how far an upgrade has come. Does it say something else than before?"""
        for name in (target, *([left] if left else [])):
            if not ID.fullmatch(name):
                raise ReleaseError(f"'{name}' can't be a release: an id has 12 hexadecimal digits.")
        said = {"id": target, "from": left or None, "step": step, "drained": drained}
        with self._changing() as state:
            if {key: value for key, value in (state.upgrade or {}).items() if key != "at"} == said:
                return False
            if not self.check:
                self._json(UPGRADE, {**said, "at": self.now()})
            return True

    def clear(self) -> bool:
        """Have no upgrade.json, also no unreadable one. Was there one?"""
        path = os.path.join(self.folder, UPGRADE)
        if self.check or not os.path.lexists(path):
            return os.path.lexists(path)
        return io.remove(path)
