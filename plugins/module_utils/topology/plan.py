"""What a run of site.yml would do: the events of a check run and the topology model become a Plan. Standard library only, no Ansible.

In check mode no file changes, so nothing is older than its files yet. Restarts are derived here: a service restarts when a file that it
reads at its start would change (role `unit` and galera_state tell which files these are), or is newer than its start already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .model import Topology
from .plan_effects import EFFECTS, MOVE_PLANNED, UNKNOWN
from .recorded import SERVERS, SERVICES, short

CONTROLLER = "the controller"
RELAY_PACKAGES = {"mediaproxy": "mediaproxy-relay", "rtpengine": "rtpengine-daemon"}
# Written and removed again by the run itself, or its own note of what it has done.
TRANSIENT = ("/etc/sipha/maintenance", "/run/opensips/reloaded", "/var/lib/sipha", "/var/lib/sipha/tables.json")

# Which play restarts a marked service, one host at a time: the prefix of the groups that the run sorts hosts into (group_by).
PROXY, RELAY, DATABASE = "sipha_restart_", "sipha_relay_", "sipha_galera_"
RESTARTED_BY: dict[str, str] = {
    "mediaproxy-dispatcher": PROXY,
    "opensips": PROXY,
    "mediaproxy-relay": RELAY,
    "rtpengine-daemon": RELAY,
    "mariadb": DATABASE,
    "sipha-garbd": DATABASE,
}

ASKED_FOR = "asked for, with restart_all"
VERBS = {"restart": "restarts", "reload": "is reloaded", "start": "starts", "stop": "stops", "data": "reads its tables anew"}
STATES = {"restarted": "restart", "reloaded": "reload", "started": "start", "stopped": "stop"}
Needs = dict[str, tuple[str, ...]]  # service that must restart -> why
RELOAD_ROUTES = "reload_routes"  # the command that the run uses where only routes of the script differ


@dataclass(frozen=True)
class Change:
    """One thing that differs on a host. kind: file, package, service, data, account, setting, other."""

    kind: str
    what: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.what} ({self.detail})" if self.detail else self.what


@dataclass(frozen=True)
class Step:
    """One interruption, in its place. `alone`: one host at a time. action "move" moves a VIP, service is its name then."""

    host: str
    service: str
    action: str
    clients: str
    why: tuple[str, ...] = ()
    alone: bool = False
    target: str = ""
    play: str = ""

    def says(self) -> str:
        if self.action == "move":
            return f"gives the VIP {self.service} to {self.target}" if self.target else f"can't give the VIP {self.service} to anybody"
        return f"{self.service} {VERBS.get(self.action, self.action)}"


@dataclass
class HostPlan:
    """What happens on one host. missing: the groups whose software it has not got yet. installed: what it has for any group."""

    name: str
    groups: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    installed: tuple[str, ...] = ()
    seen: bool = False
    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def new(self) -> bool:
        return bool(self.missing) and not self.installed


@dataclass(frozen=True)
class VipPlan:
    """A VIP, who holds it, and where a run leaves it. "" is nobody, or not known."""

    name: str
    address: str
    before: str
    after: str
    moves: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Problem:
    """Where the check run ended on a host, and so would the run itself."""

    host: str
    play: str
    task: str
    message: str
    unreachable: bool = False

    @property
    def text(self) -> str:
        return f"{self.play}, {self.task}: {'unreachable: ' if self.unreachable else ''}{self.message}"


@dataclass
class Plan:
    playbook: str
    hosts: dict[str, HostPlan]
    steps: list[Step] = field(default_factory=list)
    vips: list[VipPlan] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return not self.problems

    @property
    def changing(self) -> list[str]:
        """Hosts on which something happens."""
        busy = {step.host for step in self.steps}
        return [name for name, host in self.hosts.items() if host.changes or host.missing or name in busy]

    def as_dict(self) -> dict[str, Any]:
        return {
            "playbook": self.playbook,
            "complete": self.complete,
            "changes": bool(self.changing),
            "hosts": {
                name: {
                    "groups": list(host.groups),
                    "new": host.new,
                    "missing": list(host.missing),
                    "seen": host.seen,
                    "changes": [asdict(change) for change in host.changes],
                    "notes": list(host.notes),
                }
                for name, host in self.hosts.items()
            },
            "steps": [{"number": number, **asdict(step), "why": list(step.why)} for number, step in enumerate(self.steps, 1)],
            "vips": [{**asdict(vip), "moves": [list(move) for move in vip.moves]} for vip in self.vips],
            "problems": [asdict(problem) for problem in self.problems],
        }


def service_name(unit: str) -> str:
    return unit.removesuffix(".service")


def installed_packages(events: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Host -> what dpkg has of the software that a group needs."""
    return {str(event["host"]): tuple(event["found"]["installed"]) for event in events if "installed" in (event.get("found") or {})}


def missing_groups(topology: Topology, events: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Host -> the groups whose software is not installed on it."""
    relay = RELAY_PACKAGES.get(str(topology.settings.get("sipha_media_relay", "")))
    result = {}
    for name, there in installed_packages(events).items():
        lacking = []
        for group in topology.hosts[name].groups if name in topology.hosts else ():
            wanted = SERVERS.get(group, ()) if group != "relays" else (relay,) if relay else ()
            if wanted and set(there).isdisjoint(wanted):
                lacking.append(group)
        if lacking:
            result[name] = tuple(lacking)
    return result


def problems(events: Iterable[Mapping[str, Any]]) -> dict[str, Problem]:
    """Host -> why the check run ended there. What a rescue took care of is none."""
    last: dict[str, Problem] = {}
    broken: set[str] = set()
    for event in events:
        if event["kind"] == "stats":
            broken |= {host for host, summary in event["hosts"].items() if summary.get("failures") or summary.get("unreachable")}
        elif event["kind"] == "task" and event["status"] in ("failed", "unreachable"):
            host = str(event["host"])
            message = str(event["message"]).strip()
            last[host] = Problem(host, str(event["play"]), str(event["task"]), message, event["status"] == "unreachable")
    return {host: last.get(host, Problem(host, "", "", "no reason given")) for host in sorted(broken)}


def only(events: Iterable[Mapping[str, Any]], hosts: set[str]) -> list[dict[str, Any]]:
    """The events of these hosts, with how they ended."""
    kept = []
    for event in events:
        if event["kind"] == "stats":
            kept.append({**event, "hosts": {host: summary for host, summary in event["hosts"].items() if host in hosts}})
        elif event.get("host") in hosts:
            kept.append(dict(event))
    return kept


def _detail(entry: Mapping[str, Any]) -> str:
    if entry.get("made"):
        return "new"
    if not entry.get("content", True):
        return "owner or mode"
    if "added" in entry:
        return f"+{entry['added']} -{entry['removed']}"
    return ""


def _title(task: str) -> str:
    """Without the step of the role in front of it."""
    return task.rsplit(" | ", 1)[-1].split(" : ", 1)[-1]


def _changes(event: Mapping[str, Any]) -> list[Change]:
    found, action = event.get("found") or {}, short(str(event["action"]))
    if event["status"] == "would_run":
        return [Change("other", _title(str(event["task"])), "a command, not run by a check")]
    if action in SERVICES and "unit" in found:
        state = STATES.get(found["state"], "")
        if state == "start" and found["active"] in ("active", "activating", "reloading"):
            state = ""
        what = VERBS[state] if state else "is enabled" if found["enabled"] else "is disabled"
        return [Change("service", f"{service_name(found['unit'])} {what}")] if found["unit"] else []
    if "files" in found:
        return [Change("file", entry["path"], _detail(entry)) for entry in found["files"] if entry["path"] not in TRANSIENT]
    if "packages" in found:
        return [Change("package", package) for package in found["packages"]] or [Change("package", _title(str(event["task"])))]
    if "actions" in found:
        return [Change("data", one) for one in found["actions"]]
    if "counts" in found:
        return [
            Change("data", f"table {table}", ", ".join(f"{number} {word}" for word, number in counts.items() if number))
            for table, counts in sorted(found["counts"].items())
            if any(counts.values())
        ]
    if action in ("user", "group"):
        return [Change("account", f"{action} {found.get('name', '')}")]
    if action == "sysctl":
        return [Change("setting", str(found.get("name", "")))]
    if action in ("opensips_mi", "opensips_release"):
        return []  # a step, not a difference
    return [Change("other", _title(str(event["task"])))]


def _effect(service: str, action: str) -> str:
    return EFFECTS.get((service, action), EFFECTS["opensips", "start"] if action == "start" else UNKNOWN)


def _inline(event: Mapping[str, Any], host: str) -> Step | None:
    """What happens to a service at once, where the task is."""
    found, action = event.get("found") or {}, short(str(event["action"]))
    if event["status"] != "changed":
        return None
    if action == "opensips_mi" and found.get("command") == RELOAD_ROUTES:
        return None  # in the place of a restart, and shown there
    if action == "opensips_mi":
        return Step(host, "opensips", "data", _effect("opensips", "data"), play=str(event["play"]))
    if action not in SERVICES or not found.get("unit"):
        return None
    verb = STATES.get(found["state"], "")
    if not verb or (verb == "start" and found["active"] in ("active", "activating", "reloading")):
        return None
    service = service_name(found["unit"])
    return Step(host, service, verb, _effect(service, verb), play=str(event["play"]))


def _reads(watched: Sequence[str], path: str) -> bool:
    return any(path == one or path.startswith(one.rstrip("/") + "/") for one in watched)


@dataclass
class _Host:
    """What the events say about one host while they are read."""

    watched: dict[str, tuple[tuple[str, ...], bool]] = field(default_factory=dict)  # service -> files, stale already
    content: list[str] = field(default_factory=list)  # paths whose content changes
    starts: set[str] = field(default_factory=set)
    anchors: dict[str, int] = field(default_factory=dict)  # prefix of a group -> when the run sorted the host into it
    sorted: dict[str, str] = field(default_factory=dict)  # and which
    addresses: set[str] = field(default_factory=set)
    reloads: bool = False  # the engine takes its new routes without a restart

    def restarts(self) -> Needs:
        """Service -> why."""
        result: Needs = {}
        for service, (files, stale) in self.watched.items():
            if service in self.starts:
                continue  # it starts with the new files
            why = tuple(dict.fromkeys(path for path in self.content if _reads(files, path)))
            if why or stale:
                result[service] = why or ("files newer than its start",)
        marked = any(stale for _files, stale in self.watched.values())
        if self.sorted.get(PROXY, "none") != "none" and not marked and "opensips" not in self.starts:
            result.setdefault("opensips", (ASKED_FOR,))
        return result


def _holders(topology: Topology, hosts: Mapping[str, _Host]) -> dict[str, str]:
    """VIP -> its holder."""
    result = {}
    for vip in topology.vips:
        address = str(vip.address.ip) if vip.address else ""
        result[vip.name] = next((name for name in topology.names("proxies") if name in hosts and address in hosts[name].addresses), "")
    return result


def _proxy_steps(
    topology: Topology, needs: Mapping[str, Mapping[str, tuple[str, ...]]], holds: dict[str, str], able: set[str], reloads: set[str]
) -> list[Step]:
    """As restart_proxies.yml: standbys by name, then holders, each of which gives its VIPs away first. `holds` is kept up to date.

    A proxy that only reloads its routes keeps its VIPs. One VIP stays where it is then; several go back to who held them, when all proxies
    take part."""
    steps: list[Step] = []
    before, holding = dict(holds), set(holds.values())
    for host in sorted(needs, key=lambda name: (name in holding, name)):
        if host in holding and host not in reloads:  # as the run has sorted them, whoever holds it by now
            for vip in topology.vips:
                if holds[vip.name] != host:
                    continue
                order = vip.priorities(topology.names("proxies"))
                others = sorted((name for name in order if name != host and name in able), key=lambda name: -order[name])
                target = others[0] if others else ""
                clients = MOVE_PLANNED if target else "nothing: it keeps the VIP, and the run ends here with an error"
                steps.append(Step(host, vip.name, "move", clients, ("before it restarts",), True, target))
                holds[vip.name] = target or host
        for service in RESTARTED_BY:
            if service in needs[host]:
                how = "reload" if service == "opensips" and host in reloads else "restart"
                steps.append(Step(host, service, how, _effect(service, how), needs[host][service], True))
    if len(topology.vips) > 1 and holding & set(needs) - reloads and able >= set(topology.names("proxies")):
        for name, holder in before.items():
            if holder and holds[name] != holder:
                steps.append(Step(holds[name], name, "move", MOVE_PLANNED, ("back to who held it",), True, holder))
                holds[name] = holder
    return steps


def build(topology: Topology, events: Sequence[Mapping[str, Any]], hosts: Sequence[str], playbook: str = "site.yml") -> Plan:
    """The plan for these hosts."""
    lacking, installed = missing_groups(topology, events), installed_packages(events)
    plan = Plan(playbook, {})
    for name in hosts:
        groups = tuple(group for group in topology.hosts[name].groups if group in SERVERS) if name in topology.hosts else ()
        plan.hosts[name] = HostPlan(name, groups, lacking.get(name, ()), installed.get(name, ()))
    new = {name for name, host in plan.hosts.items() if host.new}
    seen: dict[str, _Host] = {}
    inline: list[tuple[int, Step]] = []
    for number, event in enumerate(events):
        if event["kind"] != "task":
            continue
        delegate = str(event.get("delegate") or "")
        name = delegate or str(event["host"])
        if name in ("localhost", "127.0.0.1"):
            name = CONTROLLER
        own = seen.setdefault(str(event["host"]), _Host())
        found = event.get("found") or {}
        if event["status"] not in ("failed", "unreachable") and event["host"] in plan.hosts:
            plan.hosts[str(event["host"])].seen = True
        if "unit_watched" in found:
            watched = found["unit_watched"]
            own.watched[service_name(watched["name"])] = (tuple(watched["files"]), bool(watched.get("stale")))
        if "group" in found:
            for prefix in (PROXY, RELAY, DATABASE):
                if found["group"].startswith(prefix):
                    own.anchors[prefix] = number
                    own.sorted[prefix] = found["group"].removeprefix(prefix)
        for addresses in found.get("addresses", {}).values():
            own.addresses.update(addresses)
        if name in new or event["status"] not in ("changed", "would_run"):
            continue
        if name not in plan.hosts:
            plan.hosts[name] = HostPlan(name, seen=True)
        target = plan.hosts[name]
        target.changes += [change for change in _changes(event) if change not in target.changes]
        at = seen.setdefault(name, _Host())
        at.content += [entry["path"] for entry in found.get("files", []) if entry.get("content", True)]
        at.reloads = at.reloads or found.get("command") == RELOAD_ROUTES
        step = _inline(event, name)
        if step:
            if step.action == "start":
                at.starts.add(step.service)
            inline.append((number, step))
    for host, problem in problems(events).items():
        if host in lacking and not problem.unreachable:
            if host not in new:
                plan.hosts[host].notes.append(f"not looked at: what comes after '{_title(problem.task)}', which needs the new software")
        else:
            plan.problems.append(problem)
    _order(plan, topology, seen, inline, new)
    return plan


def _order(plan: Plan, topology: Topology, seen: Mapping[str, _Host], inline: list[tuple[int, Step]], new: set[str]) -> None:
    """Everything that happens to services, and to VIPs, in the order of the run."""
    needs: dict[str, dict[str, Needs]] = {PROXY: {}, RELAY: {}, DATABASE: {}}
    for name, state in sorted(seen.items()):
        if name not in plan.hosts or name in new:
            continue
        for service, why in state.restarts().items():
            prefix = RESTARTED_BY.get(service, "")
            if prefix in state.anchors:
                needs[prefix].setdefault(name, {})[service] = why
            else:
                plan.hosts[name].notes.append(f"{service} would run with older files than those on the disk: this run does not restart it")
    # Check mode also shows restarts of what was marked before; those are derived here, once.
    steps = [(number, step) for number, step in inline if not (step.action == "restart" and step.service in RESTARTED_BY)]
    holds = _holders(topology, seen)
    before = dict(holds)
    able = {name for name in topology.names("proxies") if name in seen and name not in new} - {one.host for one in plan.problems}
    for prefix, hosts in needs.items():
        if not hosts:
            continue
        at = max(seen[name].anchors[prefix] for name in hosts)
        if prefix == PROXY:
            added = _proxy_steps(topology, hosts, holds, able, {name for name in hosts if seen[name].reloads})
        else:
            added = [
                Step(name, service, "restart", _effect(service, "restart"), why, True)
                for name in sorted(hosts)
                for service, why in hosts[name].items()
            ]
        steps += [(at, step) for step in added]
    plan.steps = list(dict.fromkeys(step for _number, step in sorted(steps, key=lambda pair: pair[0])))
    moves = [step for step in plan.steps if step.action == "move" and step.target]
    for vip in topology.vips:
        own = tuple((step.host, step.target) for step in moves if step.service == vip.name)
        plan.vips.append(VipPlan(vip.name, str(vip.address.ip) if vip.address else "", before[vip.name], holds[vip.name], own))
