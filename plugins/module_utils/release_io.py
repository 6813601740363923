"""Files, links and directories that are whole or not there, also when the run is killed. No Ansible in here.

What is written may hold a password: it starts with mode 0600 (directories 0700) and gets its group and final mode afterwards.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import pwd
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass

FILE_MODE, DIRECTORY_MODE = 0o640, 0o750


class ReleaseError(Exception):
    """What a person can put right. The text holds no content of a script."""


@dataclass(frozen=True)
class Owner:
    """Who owns what is written, as numbers."""

    uid: int
    gid: int


def owner_of(user: str, group: str) -> Owner:
    """Names to numbers. ReleaseError when this host has none of that name."""
    try:
        uid = pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ReleaseError(f"There is no user '{user}' on this host: set owner to one that exists.") from None
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        raise ReleaseError(
            f"There is no group '{group}' on this host: install the engine's package, which makes it, or set group to one that exists."
        ) from None
    return Owner(uid, gid)


def fits(path: str, owner: Owner, mode: int) -> bool:
    """Has the path this owner, this group and exactly this mode?"""
    found = os.lstat(path)
    return (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (owner.uid, owner.gid, mode)


def sync(directory: str) -> None:
    """Have the names in the directory on the disk."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: str) -> bool:
    """Remove a file or link. Was there one?"""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    sync(os.path.dirname(path))
    return True


def temporary(path: str) -> str:
    """Where a file or link is prepared: one name only, so that the next run finds what a killed one left."""
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}.tmp")


def write(path: str, data: bytes, owner: Owner) -> None:
    """Replace a file, or make it, in one step."""
    prepared = temporary(path)
    remove(prepared)
    handle = os.open(prepared, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fchown(handle, owner.uid, owner.gid)
        os.fchmod(handle, FILE_MODE)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(prepared, path)
    sync(os.path.dirname(path))


def link(path: str, target: str) -> None:
    """Replace a file or symbolic link by a symbolic link, or make it, in one step."""
    prepared = temporary(path)
    remove(prepared)
    os.symlink(target, prepared)
    os.replace(prepared, path)
    sync(os.path.dirname(path))


def directory(path: str, owner: Owner) -> None:
    """Make a directory, or give one that is there its owner and mode. Its parent must be there."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if fits(path, owner, DIRECTORY_MODE):
            return
    os.chown(path, owner.uid, owner.gid)
    os.chmod(path, DIRECTORY_MODE)
    sync(os.path.dirname(path))


def remove_tree(path: str) -> None:
    """Remove a directory with all that is in it, if it is there."""
    if os.path.lexists(path):
        shutil.rmtree(path)


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Only one run at a time works below the directory. ReleaseError when there is another; nothing waits."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ReleaseError(f"Another run is changing {path} at this moment: wait until it has ended.") from None
        yield
    finally:
        os.close(handle)
