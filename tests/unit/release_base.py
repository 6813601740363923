"""Scripts to release, and what is seen of them: for the tests of releases."""

from __future__ import annotations

import grp
import itertools
import os
import pwd
from pathlib import Path
from typing import Any

from ansible_collections.sipha.cluster.plugins.module_utils.release import Store
from ansible_collections.sipha.cluster.plugins.module_utils.release_state import Files, digests_of, release_id

USER, GROUP = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
SECRET = "s3cret"


def script(text: str) -> Files:
    return {"opensips.cfg": f"# {text} {SECRET}\n".encode() * 50, "routes.cfg": f"# routes of {text}\n".encode()}


def name_of(files: Files) -> str:
    return release_id(digests_of(files))


A, B, C, D, E = (script(text) for text in "ABCDE")
OLD = {"opensips.cfg": b"# old, not UTF-8: \xff\n"}


class Clock:
    """A second later at every look."""

    def __init__(self) -> None:
        self.seconds = itertools.count()

    def __call__(self) -> str:
        second = next(self.seconds)
        return f"2026-01-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


def begin(store: Store, *scripts: Files) -> None:
    """Install and activate them, one after the other."""
    for files in scripts:
        store.activate(store.install(files, "test").id, "begin")


def content(store: Store, name: str = "opensips.cfg") -> bytes:
    return Path(store.root, name).read_bytes()


def places(store: Store) -> list[Path]:
    return sorted(Path(store.root).rglob("*"))


def summary(store: Store) -> dict[str, Any]:
    """What is there, without times."""
    said = store.listed()
    return {
        "active": said["active"]["id"],
        "why": said["active"]["why"],
        "previous": said["previous"],
        "history": [(entry["id"], entry["previous"]) for entry in said["history"]],
        "releases": {(r["id"], r["failed"] and r["failed"]["why"], tuple(r["differs"]), r["origin"]) for r in said["releases"]},
        "paths": [str(path.relative_to(store.root)) for path in places(store)],
    }
