"""Faults of a host's disk and clock."""

from __future__ import annotations

import sys

from .fault import FaultError, Settings
from .fault_host import Host
from .fault_plan import Facts, Kind, Plan, Verdict, line, path, worker

MEGABYTE = 2**20
ROOT_KEEPS = 64  # MB that stay free where systemd and the journal write
SYSTEM = ("/", "/var", "/var/lib", "/var/log", "/tmp")  # noqa: S108 (looked at, not written to)
SLACK = 8 * MEGABYTE  # what a file system rounds, and what others write and free meanwhile
TIME_SERVICES = ("chrony.service", "chronyd.service", "ntp.service", "ntpsec.service", "systemd-timesyncd.service")


def _refuse(given: Settings, host: Host) -> int:
    """FaultError when the disk must not be filled; else the bytes that fill it."""
    disk = host.disk(given.directory)
    if disk.kind.startswith("overlay"):
        raise FaultError(
            f"directory {given.directory} is on an overlay, which is the disk of the machine below this container: mount another one there"
        )
    if disk.device == host.disk("/run").device:
        raise FaultError(f"directory {given.directory} is on the file system of /run, which healing needs")
    if disk.device in {host.disk(place).device for place in SYSTEM}:
        if not given.allow_root:
            raise FaultError(f"directory {given.directory} is on a file system of the system itself: set allow_root to true if you mean it")
        if given.leave < ROOT_KEEPS:
            raise FaultError(f"leave is {given.leave} MB, set it to at least {ROOT_KEEPS} on a file system of the system itself")
    size = disk.free - given.leave * MEGABYTE
    if size <= 0:
        raise FaultError(f"{given.directory} has {disk.free // MEGABYTE} MB free, that is no more than leave")
    if disk.kind == "tmpfs" and size > host.memory() // 2:
        raise FaultError(f"directory {given.directory} is in memory, and filling it would take more than half of what is left")
    return size


# The file has no name any more when it grows: whatever ends this process, a reboot too, frees the disk.
FILL = """\
#!/bin/sh
exec 3>"$1"
rm -f "$1"
fallocate -l "$2" /proc/self/fd/3 || exit 1
exec sleep infinity
"""


def disk_full(given: Settings, host: Host) -> Plan:
    size = _refuse(given, host)
    script, unit = path(given.name, "fill.sh"), worker(given.name)
    file = f"{given.directory.rstrip('/')}/.sipha-fault-{given.name}"
    fill = ("systemd-run", "--quiet", "--collect", f"--unit={unit}", "--", "/bin/sh", script, file, str(size))
    heal = (f"may {line('systemctl', 'stop', unit)}", f"try {line('rm', '-f', file)}")
    facts = {"directory": given.directory, "worker": unit, "size": size, "leave": given.leave * MEGABYTE}
    return Plan((fill,), heal, facts, {script: FILL})


def disk_there(facts: Facts, host: Host) -> Verdict:
    free = host.disk(facts["directory"]).free
    if not host.active(facts["worker"]):
        return Verdict(False, f"{facts['worker']} does not run: the disk could not be filled")
    text = f"{facts['directory']} has {free // MEGABYTE} MB free"
    return Verdict(free <= facts["leave"] + SLACK, text)


def disk_whole(facts: Facts, host: Host) -> Verdict:
    if host.active(facts["worker"]):
        return Verdict(False, f"{facts['worker']} still runs")
    return Verdict(True, f"{facts['directory']} has {host.disk(facts['directory']).free // MEGABYTE} MB free")


SET = "import sys, time; time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_BOOTTIME) + float(sys.argv[1]))"


def clock_stepped(given: Settings, host: Host) -> Plan:
    """The clock is set by the time since the start, which nobody steps: healed, it is as right as it was, however long that took."""
    if kind := host.container():
        raise FaultError(f"this is a container ({kind}): its clock is that of the machine below and of all the others on it")
    ahead = host.clock_ahead()
    services = [name for name in TIME_SERVICES if host.active(name)]
    stop = (("systemctl", "stop", *services),) if services else ()
    python = (sys.executable or "/usr/bin/python3", "-c", SET)
    heal = (f"try {line(*python, repr(ahead))}", *(f"try start {line(name)}" for name in services))
    facts = {"ahead": ahead, "step": given.step, "services": services}
    return Plan((*stop, (*python, repr(ahead + given.step))), heal, facts)


def clock_there(facts: Facts, host: Host) -> Verdict:
    off = host.clock_ahead() - facts["ahead"]
    return Verdict(abs(off - facts["step"]) < 0.5, f"the clock is {off:+.1f} s off")


def clock_whole(facts: Facts, host: Host) -> Verdict:
    off = host.clock_ahead() - facts["ahead"]
    if idle := [name for name in facts["services"] if not host.active(name)]:
        return Verdict(False, f"{idle[0]} is not active")
    return Verdict(abs(off) < 0.5, f"the clock is {off:+.1f} s off")


KINDS = {
    "disk_full": Kind(disk_full, disk_there, disk_whole),
    "clock_stepped": Kind(clock_stepped, clock_there, clock_whole),
}
