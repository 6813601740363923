"""How a fault is injected and healed: commands, and the shell script that heals. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .fault import Settings
from .fault_host import Host

DIRECTORY = "/run/sipha-faults"  # in memory: a full disk can't stop the healing
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """`facts` is JSON: all that a later look needs to tell whether the fault is there."""

    inject: tuple[tuple[str, ...], ...]
    heal: tuple[str, ...]  # lines of shell; `try` counts a failure, `may` does not
    facts: dict[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)  # by path, written before all else


@dataclass(frozen=True)
class Verdict:
    """Is it so, and what was seen."""

    good: bool
    text: str


@dataclass(frozen=True)
class Kind:
    plan: Callable[[Settings, Host], Plan]  # FaultError when it can't be injected here
    there: Callable[[Facts, Host], Verdict]  # the fault is really there
    whole: Callable[[Facts, Host], Verdict]  # nothing of it is left


def line(*command: str) -> str:
    return shlex.join(command)


def timer(name: str) -> str:
    return f"sipha-heal-{name}"


def worker(name: str) -> str:
    """The unit of a fault that has to go on doing something."""
    return f"sipha-fault-{name}.service"


def path(name: str, suffix: str) -> str:
    return f"{DIRECTORY}/{name}.{suffix}"


SCRIPT = """\
#!/bin/sh
# Heals fault {name} ({kind}). Written before it was injected; may run any number of times.
PATH={paths}
by="${{1:-hand}}"
exec 9>{directory}/{name}.heal.lock
flock -w 60 9 || true
failed=0
try() {{ "$@" 9>&- || failed=$((failed + 1)); }}
may() {{ "$@" 9>&- >/dev/null 2>&1 || true; }}
start() {{ systemctl is-active --quiet "$1" || {{ may systemctl reset-failed "$1"; timeout 120 systemctl start "$1"; }}; }}
no_table() {{ ! nft list table "$1" "$2" >/dev/null 2>&1 || nft delete table "$1" "$2"; }}
{lines}
[ "$failed" = 0 ] || exit 1
[ -e {directory}/{name}.healed ] || {{
    printf '{{"at": %s, "by": "%s"}}\\n' "$(date +%s.%N)" "$by" > {directory}/{name}.healed.new
    mv {directory}/{name}.healed.new {directory}/{name}.healed
}}
"""


def script(name: str, kind: str, lines: tuple[str, ...], directory: str = DIRECTORY) -> str:
    """The healer: a shell, the tools that broke it, and nothing that the fault could have taken away."""
    return SCRIPT.format(
        name=name,
        kind=kind,
        lines="\n".join(lines),
        directory=directory,
        paths="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    )
