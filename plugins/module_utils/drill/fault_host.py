"""What a fault asks its host, and the commands that it runs there. All input and output is here; tests give another runner and root."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..host_look import unit_of
from .fault import FaultError

PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Done:
    code: int
    out: str = ""
    err: str = ""


Run = Callable[[Sequence[str], str], Done]


@dataclass(frozen=True)
class Process:
    state: str  # R, S, D, T ...
    start: str  # with the id it tells this process from a later one


@dataclass(frozen=True)
class Disk:
    """The file system of a directory; bytes."""

    free: int  # for anybody; root may have more
    device: int
    kind: str  # ext4, overlay ...


def run(command: Sequence[str], stdin: str = "") -> Done:
    """Exit code 127 when there is no such program, 124 when it did not end within five minutes."""
    try:
        done = subprocess.run(
            list(command), input=stdin, capture_output=True, text=True, check=False, timeout=300, env={"PATH": PATHS, "LC_ALL": "C"}
        )
    except FileNotFoundError:
        return Done(127, "", f"{command[0]} is not installed")
    except subprocess.TimeoutExpired:
        return Done(124, "", "it did not end within 300 s")
    return Done(done.returncode, done.stdout, done.stderr)


class Host:
    def __init__(self, runner: Run = run, root: str = "") -> None:
        self.runner, self.root = runner, root

    def run(self, *command: str, stdin: str = "") -> Done:
        return self.runner(command, stdin)

    def need(self, *command: str, stdin: str = "") -> str:
        """Output of a command that must succeed."""
        done = self.run(*command, stdin=stdin)
        if done.code:
            text = (done.err or done.out).strip()
            raise FaultError(f"{' '.join(command)}: exit code {done.code}: {text}")
        return done.out

    def rows(self, *command: str) -> list[dict[str, Any]]:
        """What `ip -j` or `tc -j` says. Both write an empty line or {} for nothing."""
        text = self.need(*command)
        try:
            rows = json.loads(text or "[]")
        except ValueError:
            raise FaultError(f"{' '.join(command)} did not answer with JSON: {text[:200]!r}") from None
        return [row for row in rows if isinstance(row, dict) and row]

    def active(self, unit: str) -> bool:
        return self.run("systemctl", "is-active", "--quiet", unit).code == 0

    def properties(self, unit: str, *names: str) -> dict[str, str]:
        """Of a unit, from systemd."""
        lines = self.need("systemctl", "show", f"--property={','.join(names)}", unit).splitlines()
        return {key: value for key, _, value in (line.partition("=") for line in lines)}

    def _read(self, path: str) -> str:
        try:
            with open(self.root + path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def processes(self, unit: str) -> dict[str, Process]:
        """Those of a unit that run or are stopped, by id; dead ones that wait for their parent don't count."""
        found = {}
        for pid in filter(str.isdigit, os.listdir(self.root + "/proc")):
            lines = self._read(f"/proc/{pid}/cgroup").splitlines()
            systemd = [line for line in lines if ":name=systemd:" in line] or [line for line in lines if line.startswith("0::")]
            if unit_of("\n".join(systemd)) != unit:
                continue
            rest = self._read(f"/proc/{pid}/stat").rpartition(")")[2].split()
            if len(rest) > 19 and rest[0] not in "ZX":
                found[pid] = Process(rest[0], rest[19])
        return found

    def disk(self, directory: str) -> Disk:
        try:
            stat = os.statvfs(directory)
            device = os.stat(directory).st_dev
        except OSError as error:
            raise FaultError(f"directory {directory}: {error.strerror}") from None
        return Disk(stat.f_bavail * stat.f_frsize, device, self.need("stat", "-f", "-c", "%T", directory).strip())

    def memory(self) -> int:
        """Bytes of memory that can still be had."""
        lines = [line.split() for line in self._read("/proc/meminfo").splitlines() if line.startswith("MemAvailable:")]
        return int(lines[0][1]) * 1024 if lines else 0

    def container(self) -> str:
        """Its kind (docker, lxc ...); empty on a host with a kernel of its own."""
        done = self.run("systemd-detect-virt", "--container")
        return done.out.strip() if done.code == 0 else ""

    def clock_ahead(self) -> float:
        """Seconds by which the time of day is ahead of the time since the start; it changes only when somebody sets the clock."""
        return time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_BOOTTIME)
