"""What a rule is: an id that never changes meaning, what it finds, why that matters, and a small function that looks for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .model import Finding, Host, Topology
from .variables import VARIABLES

Problem = tuple[str, str, str, str]  # host ("" = the whole cluster), variable, what is wrong, what to set
Check = Callable[[Topology], Iterator[Problem]]


@dataclass(frozen=True)
class Rule:
    """An error is what can't work, or breaks the promise that the cluster survives the loss of any one machine."""

    id: str
    severity: str  # "error" | "warning"
    what: str
    why: str
    check: Check
    waivable: bool = True  # False: the roles can't work with it

    def __call__(self, topology: Topology) -> Iterator[Finding]:
        """What is the same on every host that has the variable is said once, for the cluster."""
        same: dict[tuple[str, str, str], list[str]] = {}
        for host, *rest in self.check(topology):
            same.setdefault((rest[0], rest[1], rest[2]), []).append(host)
        for (variable, problem, remedy), hosts in same.items():
            everywhere = len(hosts) > 1 and variable in VARIABLES and len(hosts) == len(topology.users(VARIABLES[variable].groups))
            for host in [""] if everywhere else hosts:
                yield Finding(self.id, self.severity, host, variable, problem, remedy)


def rule(identity: str, severity: str, what: str, waivable: bool = True) -> Callable[[Check], Rule]:
    """Makes a Rule of a function; its docstring says why."""

    def make(check: Check) -> Rule:
        return Rule(identity, severity, what, " ".join((check.__doc__ or "").split()), check, waivable)

    return make


def found_while_reading(identity: str, severity: str, what: str, why: str, waivable: bool = False) -> Rule:
    """A rule whose findings come from reading the inventory, before there is a model to judge."""
    return Rule(identity, severity, what, why, lambda _topology: iter(()), waivable)


def numbers(topology: Topology, group: str, *variables: str) -> Iterator[tuple[str, list[float]]]:
    """(host, its values of the variables) for each host of a group where all of them are known."""
    for host in topology.group(group):
        values = [topology.number(host.name, variable) for variable in variables]
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            yield host.name, known


def differing(topology: Topology, hosts: list[Host], variable: str) -> Iterator[tuple[str, object, object]]:
    """(host, its value, the value of most) for each host whose value is not that of most hosts."""
    values = {host.name: topology.value(host.name, variable) for host in hosts}
    known = Counter(repr(value) for value in values.values() if value is not None)
    if len(known) < 2:
        return
    most = max(sorted(known), key=lambda text: known[text])
    wanted = next(value for value in values.values() if repr(value) == most)
    for name in sorted(values):
        if values[name] is not None and repr(values[name]) != most:
            yield name, values[name], wanted


def shown(number: float) -> str:
    """A number as people write it: 5 and not 5.0."""
    return f"{number:.10g}"
