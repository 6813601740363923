"""What releases of a configuration script a host has. Only reads. No Ansible in here.

opensips.cfg -> current/opensips.cfg
current      -> releases/<id>
releases/<id>/release.json and the files of the script
releases/history.json    activations, the newest last
releases/switch.json     an activation in flight: what history.json and release.json get when the links are right
releases/upgrade.json    an upgrade in flight, written by the playbook
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.sipha.cluster.plugins.module_utils.release_io import ReleaseError

MAIN, CURRENT, RELEASES, META = "opensips.cfg", "current", "releases", "release.json"
HISTORY, SWITCH, UPGRADE = "history.json", "switch.json", "upgrade.json"
ID = re.compile(r"[0-9a-f]{12}")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
LINK, PLAIN, NONE = "link", "file", "none"

Files = dict[str, bytes]


def checked_files(entries: Iterable[Mapping[str, Any]]) -> Files:
    """Name to content of the option `files`. ReleaseError when a name can't be or the script itself is not among them."""
    files: Files = {}
    for entry in entries:
        name = str(entry["name"])
        if not NAME.fullmatch(name) or name == META:
            raise ReleaseError(f"'{name}' can't be a file of a release: use letters, digits, '.', '_', '-', no folder, and not {META}.")
        if name in files:
            raise ReleaseError(f"Two files of the release are named {name}.")
        files[name] = str(entry["content"]).encode("utf-8", "surrogateescape")
    if not files.get(MAIN):
        raise ReleaseError(f"The release has no {MAIN}, or it is empty: that is the file that the engine reads first.")
    return files


def digests_of(files: Files) -> dict[str, str]:
    """Name to SHA-256 of the content."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}


def release_id(digests: Mapping[str, str]) -> str:
    """12 hex digits that stand for all names and contents: the same script has the same id on every host."""
    return hashlib.sha256("".join(f"{digests[name]} {name}\n" for name in sorted(digests)).encode()).hexdigest()[:12]


@dataclass
class Release:
    """One release. `differs` names the files that are not what release.json says: empty when it is intact."""

    id: str
    installed: str | None = None
    origin: str = ""
    files: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] | None = None
    differs: list[str] = field(default_factory=list)

    def meta(self) -> dict[str, Any]:
        """What release.json says."""
        said: dict[str, Any] = {"id": self.id, "installed": self.installed, "origin": self.origin, "files": self.files}
        return {**said, "failed": self.failed} if self.failed else said


@dataclass
class State:
    """`active` is the release that opensips.cfg leads to, `current` the one that the link `current` names.

    `found` says what opensips.cfg is: `link` when it leads to the active release, `file` when it has another content, `none`.
    `switch` is an activation that was killed before it was noted; when it had switched already, history and marks have it all the same.
    """

    active: str | None
    current: str | None
    found: str
    releases: dict[str, Release]
    history: list[dict[str, Any]]
    upgrade: dict[str, Any] | None
    switch: dict[str, Any] | None

    @property
    def previous(self) -> str | None:
        """What `previous` means: the release that was active last, is not now, is still there and was not undone."""
        for entry in reversed(self.history):
            for known in (entry["id"], entry["previous"]):
                if known != self.active and known in self.releases and not self.releases[known].failed:
                    return str(known)
        return None

    def activation(self, wanted: str | None) -> dict[str, Any] | None:
        """The newest activation of a release."""
        return next((entry for entry in reversed(self.history) if entry["id"] == wanted), None)

    def last_active(self, wanted: str) -> str | None:
        """When it was activated or left last: the newest time at which it is known to have been active."""
        return max((str(entry["at"]) for entry in self.history if wanted in (entry["id"], entry["previous"])), default=None)

    def last_use(self, wanted: str) -> tuple[str, int]:
        """To sort by: when it was active or installed last; within one second, the order of the history."""
        place = max((n for n, entry in enumerate(self.history) if wanted in (entry["id"], entry["previous"])), default=-1)
        return max(self.last_active(wanted) or "", self.releases[wanted].installed or ""), place

    def described(self) -> str:
        """The releases, for messages."""
        return (
            ", ".join(
                name + "".join([" (active)"] * (name == self.active) + [" (damaged)"] * bool(release.differs))
                for name, release in sorted(self.releases.items())
            )
            or "none"
        )


def read_json(path: str, kind: type) -> Any:
    """The file's content, or None when there is no file. ReleaseError when it is not what we write."""
    try:
        with open(path, "rb") as file:
            content = json.loads(file.read())
    except FileNotFoundError:
        return None
    except ValueError:
        content = None
    if not isinstance(content, kind):
        raise ReleaseError(f"{path} can't be read as what this collection writes: mend it, or remove it when you know what it stood for.")
    return content


def read_files(directory: str, names: Iterable[str]) -> Files:
    """Those of the files that are there."""
    files: Files = {}
    for name in names:
        path = os.path.join(directory, name)
        if os.path.isfile(path) and not os.path.islink(path):
            with open(path, "rb") as file:
                files[name] = file.read()
    return files


def read_release(directory: str) -> Release:
    """One release, compared with its release.json."""
    release = Release(os.path.basename(directory))
    try:
        said = read_json(os.path.join(directory, META), dict) or {}
    except ReleaseError:
        said = {}
    files, failed = said.get("files"), said.get("failed")
    release.installed = said["installed"] if isinstance(said.get("installed"), str) else None
    release.origin = str(said.get("origin") or "")
    release.failed = {"at": str(failed.get("at")), "why": str(failed.get("why"))} if isinstance(failed, dict) else None
    if not isinstance(files, dict) or release_id({str(k): str(v) for k, v in files.items()}) != release.id:
        release.differs = [META]
        return release
    release.files = {str(name): str(digest) for name, digest in files.items()}
    there = digests_of(read_files(directory, release.files))
    release.differs = sorted(name for name, digest in release.files.items() if there.get(name) != digest)
    return release


def link_text(path: str) -> str | None:
    """Where a symbolic link points; None when there is none."""
    return os.readlink(path) if os.path.islink(path) else None


def with_switch(state: State) -> State:
    """The state as it is once a killed activation has been noted."""
    switch = state.switch
    if not switch or state.active != switch["entry"]["id"]:
        return state
    entry = switch["entry"]
    if not state.history or state.history[-1] != entry:
        state.history.append(entry)
    state.releases[entry["id"]].failed = None
    if switch["failed"] and entry["previous"] in state.releases:
        state.releases[entry["previous"]].failed = {"at": entry["at"], "why": switch["failed"]}
    return state


def is_activation(entry: object) -> bool:
    """Has it what an activation has?"""
    return isinstance(entry, dict) and {"id", "at", "previous", "why"} <= set(entry)


def look(root: str) -> State:
    """What is there; also on a host that has no releases, and no directory. ReleaseError when a journal can't be read."""
    directory = os.path.join(root, RELEASES)
    releases = {}
    if os.path.isdir(directory):
        with os.scandir(directory) as entries:
            releases = {e.name: read_release(e.path) for e in entries if ID.fullmatch(e.name) and e.is_dir(follow_symlinks=False)}
    folder, _slash, name = (link_text(os.path.join(root, CURRENT)) or "").rpartition("/")
    current = name if folder == RELEASES and name in releases else None
    script = os.path.join(root, MAIN)
    leads = link_text(script) == f"{CURRENT}/{MAIN}"
    found = LINK if leads and current else PLAIN if not leads and os.path.isfile(script) else NONE
    history = read_json(os.path.join(directory, HISTORY), list) or []
    switch = read_json(os.path.join(directory, SWITCH), dict)
    if not all(is_activation(entry) for entry in history):
        raise ReleaseError(f"{os.path.join(directory, HISTORY)} has entries that are no activations: mend it, or remove it.")
    if switch and not ({"asked", "failed"} <= set(switch) and is_activation(switch.get("entry"))):
        raise ReleaseError(f"{os.path.join(directory, SWITCH)} is no activation: remove it.")
    return with_switch(
        State(
            active=current if found == LINK else None,
            current=current,
            found=found,
            releases=releases,
            history=history,
            upgrade=read_json(os.path.join(directory, UPGRADE), dict),
            switch=switch,
        )
    )
