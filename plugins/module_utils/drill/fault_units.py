"""Faults of systemd units: killed, frozen, stopped."""

from __future__ import annotations

from typing import Any

from .fault import FaultError, Settings
from .fault_host import Host
from .fault_plan import Facts, Kind, Plan, Verdict, line

DEPENDANTS = ("RequiredBy", "BoundBy", "ConsistsOf", "RequisiteOf")  # stopped with it, and not started with it


def _look(given: Settings, host: Host) -> dict[str, Any]:
    """The units by their real names with their processes, and who depends on them."""
    units: dict[str, dict[str, str]] = {}
    dependants: list[str] = []
    for asked in given.units:
        found = host.properties(asked, "Id", "LoadState", "ActiveState", *DEPENDANTS)
        if found.get("LoadState") != "loaded":
            raise FaultError(f"units has {asked}, which this host does not have ({found.get('LoadState')})")
        name = found["Id"]
        if found.get("ActiveState") != "active":
            raise FaultError(f"{name} is {found.get('ActiveState')}, there is nothing to break; start it first")
        processes = host.processes(name)
        if not processes and given.kind != "unit_stopped":
            raise FaultError(f"{name} has no process, there is nothing to break")
        if stopped := [pid for pid, process in processes.items() if process.state in "Tt"]:
            raise FaultError(f"process {stopped[0]} of {name} is stopped already")
        units[name] = {pid: process.start for pid, process in processes.items()}
        dependants += [one for key in DEPENDANTS for one in found.get(key, "").split() if one.endswith((".service", ".socket"))]
    return {"units": units, "dependants": [one for one in dict.fromkeys(dependants) if one not in units and host.active(one)]}


def _started(facts: Facts) -> tuple[str, ...]:
    return tuple(f"try start {line(name)}" for name in (*facts["units"], *facts["dependants"]))


def _drop_in(name: str, unit: str) -> str:
    return f"/run/systemd/system/{unit}.d/90-sipha-fault-{name}.conf"


def killed(given: Settings, host: Host) -> Plan:
    facts = {**_look(given, host), "keep_down": given.keep_down}
    kill = tuple(("systemctl", "kill", "--signal=KILL", unit) for unit in facts["units"])
    if not given.keep_down:
        return Plan(kill, _started(facts), facts)
    files = {_drop_in(given.name, unit): "[Service]\nRestart=no\n" for unit in facts["units"]}
    reload = ("systemctl", "daemon-reload")
    heal = (f"try rm -f {line(*files)}", f"try {line(*reload)}", *_started(facts))
    return Plan((reload, *kill), heal, {**facts, "files": list(files)}, files)


def frozen(given: Settings, host: Host) -> Plan:
    facts = _look(given, host)
    stop = tuple(("systemctl", "kill", "--signal=STOP", unit) for unit in facts["units"])
    awake = tuple(f"may {line('systemctl', 'kill', '--signal=CONT', unit)}" for unit in facts["units"])
    # Twice: a process that was just being made when the others were stopped is stopped by the second round.
    return Plan(stop + stop, (*awake, *_started(facts)), facts)


def stopped(given: Settings, host: Host) -> Plan:
    facts = _look(given, host)
    return Plan((("systemctl", "stop", *facts["units"]),), _started(facts), facts)


def killed_there(facts: Facts, host: Host) -> Verdict:
    for unit, before in facts["units"].items():
        now = host.processes(unit)
        if left := [pid for pid, start in before.items() if pid in now and now[pid].start == start]:
            return Verdict(False, f"process {left[0]} of {unit} still runs")
        if facts["keep_down"] and now:
            return Verdict(False, f"{unit} has processes again")
    return Verdict(True, f"the processes of {', '.join(facts['units'])} are gone")


def frozen_there(facts: Facts, host: Host) -> Verdict:
    count = 0
    for unit in facts["units"]:
        now = host.processes(unit)
        if not now:
            return Verdict(False, f"{unit} has no process")
        if awake := [pid for pid, process in now.items() if process.state not in "Tt"]:
            return Verdict(False, f"process {awake[0]} of {unit} is not stopped")
        count += len(now)
    return Verdict(True, f"{count} processes of {', '.join(facts['units'])} are stopped (state T)")


def stopped_there(facts: Facts, host: Host) -> Verdict:
    for unit in facts["units"]:
        if host.active(unit) or host.processes(unit):
            return Verdict(False, f"{unit} still runs")
    return Verdict(True, f"{', '.join(facts['units'])} stopped")


def whole(facts: Facts, host: Host) -> Verdict:
    for unit in (*facts["units"], *facts["dependants"]):
        if not host.active(unit):
            return Verdict(False, f"{unit} is not active")
        if asleep := [pid for pid, process in host.processes(unit).items() if process.state in "Tt"]:
            return Verdict(False, f"process {asleep[0]} of {unit} is stopped")
    return Verdict(True, f"{', '.join(facts['units'])} active")


KINDS = {
    "process_killed": Kind(killed, killed_there, whole),
    "unit_frozen": Kind(frozen, frozen_there, whole),
    "unit_stopped": Kind(stopped, stopped_there, whole),
}
