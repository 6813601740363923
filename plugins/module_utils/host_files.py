"""Files that a host should have, and whether it has them. No Ansible in here; the action plugin `files` uses it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FILE, DIRECTORY = "file", "directory"

# One line for "$path": OWNER:GROUP:MODE:TYPE:SHA256 PATH, or nothing when there is none. Symbolic links count as different.
LOOK = (
    'if [ -f "$path" ] && [ ! -L "$path" ]; then stat --printf "%U:%G:%a:file:" "$path"; '
    'sha256sum < "$path" | { read sum rest; printf \'%s %s\\n\' "$sum" "$path"; }; '
    'elif [ -d "$path" ]; then stat --format "%U:%G:%a:directory: %n" "$path"; fi'
)


@dataclass(frozen=True)
class Wanted:
    """One file or directory as it should be."""

    dest: str
    kind: str
    text: str
    owner: str
    group: str
    mode: int
    validate: str = ""
    diff: bool = True

    @property
    def look(self) -> str:
        """The line that LOOK prints for it when all is as it should be, without the path."""
        digest = hashlib.sha256(self.text.encode()).hexdigest() if self.kind == FILE else ""
        return f"{self.owner}:{self.group}:{self.mode:o}:{self.kind}:{digest}"


def wanted(entry: Mapping[str, Any], text: str | None) -> Wanted:
    """Check one entry of the option `files`. ValueError says what is wrong with it."""
    dest = str(entry.get("dest") or "")
    if not dest.startswith("/"):
        raise ValueError(f"dest '{dest}' is not an absolute path")
    sources = [name for name in ("template", "copy", "content") if entry.get(name) is not None]
    if entry.get("directory"):
        sources.append("directory")
    if len(sources) != 1:
        raise ValueError(f"{dest}: set exactly one of template, copy, content, directory (there is {', '.join(sources) or 'none'})")
    kind = DIRECTORY if entry.get("directory") else FILE
    mode = str(entry.get("mode") or ("0755" if kind == DIRECTORY else "0644"))
    try:
        bits = int(mode, 8)
    except ValueError:
        raise ValueError(f"{dest}: mode '{mode}' is not an octal number such as 0644") from None
    return Wanted(
        dest=dest,
        kind=kind,
        text=text or "",
        owner=str(entry.get("owner") or "root"),
        group=str(entry.get("group") or "root"),
        mode=bits,
        validate=str(entry.get("validate") or ""),
        diff=bool(entry.get("diff", True)),
    )


def parse_look(stdout: str) -> dict[str, str]:
    """Path -> what LOOK printed for it."""
    there = {}
    for line in stdout.splitlines():
        look, found, path = line.partition(" ")
        if found and look.count(":") == 4:
            there[path] = look
    return there


def differs(file: Wanted, there: str | None) -> bool:
    """Must the file be made or changed?"""
    return there != file.look
