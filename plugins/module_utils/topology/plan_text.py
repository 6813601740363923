"""A plan as text for a terminal."""

from __future__ import annotations

import textwrap

from .plan import CONTROLLER, HostPlan, Plan, Step

WIDTH = 110
PACKAGES = 8  # of a host that are named; plan_json has them all


def _wrap(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False, break_long_words=False)


def _host_lines(plan: Plan) -> list[str]:
    """Hosts with the same changes together."""
    holders = {vip.before: vip for vip in plan.vips if vip.before}
    alike: dict[object, list[HostPlan]] = {}
    for host in plan.hosts.values():
        if host.changes or host.missing or host.notes:
            alike.setdefault((host.groups, host.missing, tuple(host.changes), tuple(host.notes)), []).append(host)
    out: list[str] = []
    for hosts in alike.values():
        first = hosts[0]
        names = [f"{host.name} (holds the VIP {holders[host.name].address})" if host.name in holders else host.name for host in hosts]
        out += ["", *_wrap(", ".join(names) + (f": {', '.join(first.groups)}" if first.groups else ""), "", "    ")]
        if first.new:
            out.append(f"  {'is' if len(hosts) == 1 else 'are'} new: everything is installed and started")
            continue
        if first.missing:
            out += _wrap(f"new in {', '.join(first.missing)}: all that belongs to it is installed and started", "  ", "    ")
        for kind in dict.fromkeys(change.kind for change in first.changes):
            told = [str(change) for change in first.changes if change.kind == kind]
            more = len(told) - PACKAGES if kind == "package" else 0
            listed = ", ".join(told if more <= 0 else [*told[:PACKAGES], f"and {more} more"])
            out += _wrap(listed, f"  {kind:<8} ", " " * 11)
        for note in first.notes:
            out += _wrap(note, "  note     ", " " * 11)
    return out


def _step_lines(plan: Plan) -> list[str]:
    """The same on several hosts is one step: at the same time in one play, or one host directly after the other."""
    folded: list[tuple[Step, list[str]]] = []
    for step in plan.steps:
        alike = next((names for other, names in (folded[-1:] if step.alone else folded) if _same(other, step)), None)
        if alike is None:
            folded.append((step, [step.host]))
        elif step.host not in alike:
            alike.append(step.host)
    out = []
    for number, (step, unordered) in enumerate(folded, 1):
        names = [name for name in plan.hosts if name in unordered]
        turns = ", one after the other" if step.alone and len(names) > 1 else ""
        why = f" ({', '.join(step.why)})" if step.why else ""
        out += _wrap(f"{', '.join(names)}{turns}: {step.says()}{why}", f"{number:>3}. ", "     ")
        out += _wrap(f"clients: {step.clients}", "     ", "       ")
    return out


def _same(one: Step, other: Step) -> bool:
    return (one.play, one.service, one.action, one.why, one.alone) == (other.play, other.service, other.action, other.why, other.alone)


def render(plan: Plan) -> str:
    """For a terminal."""
    changing = plan.changing
    hosts = [name for name in plan.hosts if name != CONTROLLER]
    out: list[str] = []
    if changing:
        busy = [name for name in changing if name != CONTROLLER]
        out += _wrap(f"{plan.playbook} would change {len(busy)} of {len(hosts)} hosts. Nothing was changed by looking.", "", "")
    elif plan.complete:
        out += _wrap(f"{plan.playbook}: nothing to change.", "", "")
    out += _host_lines(plan)
    if plan.steps:
        out += ["", "Services and VIPs, in this order:", *_step_lines(plan)]
    elif changing and all(plan.hosts[name].new for name in hosts):
        out += ["", "No host has the software yet, so this is a first build: there is no service that could be interrupted."]
    elif changing:
        out += ["", "No running service is restarted or reloaded, no VIP moves."]
    moved = [
        f"{vip.name} ({vip.address}) from {' to '.join([vip.moves[0][0], *(move[1] for move in vip.moves)])}"
        for vip in plan.vips
        if vip.moves
    ]
    if moved:
        out += ["", f"VIPs that move: {'; '.join(moved)}."]
    ended = {problem.host for problem in plan.problems}
    same = [name for name in hosts if name not in changing and name not in ended and plan.hosts[name].seen]
    if same and (changing or ended):
        out += ["", *_wrap(f"Nothing changes on {', '.join(same)}{', as far as is known' if ended else ''}.", "", "  ")]
    if plan.problems:
        out += ["", "The check ended here, and what comes after it is not known:"]
        for text in dict.fromkeys(problem.text for problem in plan.problems):
            out += _wrap(", ".join([*(one.host for one in plan.problems if one.text == text), text]), "  ", "    ")
    return "\n".join(out).strip("\n")
