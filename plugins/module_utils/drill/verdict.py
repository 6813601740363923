"""Numbers against budgets: what passed, what did not, and one sentence why. What was not measured has not passed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .budget import MEASURES, Budgets
from .observations import Fault, Observations
from .timeline import Measure


@dataclass(frozen=True)
class Line:
    """One measure. `passed` is None when it is not judged."""

    measure: str
    title: str
    passed: bool | None
    value: float | None
    allowed: float | None
    unit: str
    sentence: str
    detail: str = ""

    @property
    def word(self) -> str:
        return "not judged" if self.passed is None else "passed" if self.passed else "failed"


@dataclass(frozen=True)
class Verdict:
    """`problems` are reasons why this was no drill at all: they fail it, whatever the numbers say."""

    drill: str
    lines: tuple[Line, ...]
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.problems and bool(self.lines) and all(line.passed is not False for line in self.lines)

    @property
    def reasons(self) -> list[str]:
        return [*self.problems, *(line.sentence for line in self.lines if line.passed is False)]

    @property
    def text(self) -> str:
        """One line for a terminal."""
        if not self.passed:
            more = f" (and {len(self.reasons) - 1} more)" if len(self.reasons) > 1 else ""
            return f"{self.drill}: FAILED: {self.reasons[0] if self.reasons else 'nothing was judged'}{more}"
        said = [f"{line.title} {shown(line.value, line.unit)}" for line in self.lines if line.measure.startswith("outage_") and line.passed]
        return f"{self.drill}: passed" + (f" ({', '.join(said)})" if said else "")

    def to_dict(self) -> dict[str, Any]:
        return {"passed": self.passed, "text": self.text, "problems": list(self.problems), "lines": [asdict(line) for line in self.lines]}


def shown(value: float | None, unit: str) -> str:
    if value is None:
        return "not measured"
    return f"{value:.2f} {unit}" if unit else f"{value:g}"


def _line(name: str, found: Measure, allowed: float | None) -> Line:
    kind = MEASURES[name]
    limit = "" if allowed is None else f"{allowed:g} {kind.unit}".strip()
    detail = f" ({found.detail})" if found.detail else ""
    passed: bool | None
    if found.value is None:
        passed = None if allowed is None else False
        sentence = f"{kind.title}: not measured, {found.detail or 'nobody looked'}" + ("" if allowed is None else "; this counts as failed")
    elif allowed is None:
        passed, sentence = None, f"{kind.title}: {shown(found.value, kind.unit)}{detail}; not judged here"
    elif found.error and abs(found.value - allowed) <= found.error:
        passed = False
        sentence = (
            f"{kind.title}: {shown(found.value, kind.unit)}, give or take {found.error:.2f} {kind.unit} that the probe was late: "
            f"too near to the {limit} allowed to tell; this counts as failed"
        )
    else:
        passed = found.value <= allowed
        verb = "within" if passed else "more than"
        off = f", give or take {found.error:.2f} {kind.unit} that the probe was late" if found.error else ""
        sentence = f"{kind.title}: {shown(found.value, kind.unit)}, {verb} the {limit} allowed{off}{detail}"
    return Line(name, kind.title, passed, found.value, allowed, kind.unit, sentence, found.detail)


def _fault_problem(fault: Fault) -> str:
    if fault.confirmed is not True:
        seen = "was looked at and had not happened" if fault.confirmed is False else "was not looked at"
        return f"Fault “{fault.name}” on {fault.host} {seen}: a drill that breaks nothing proves nothing"
    return f"Fault “{fault.name}” on {fault.host} was never healed" if fault.end is None else ""


def judge(drill: str, budgets: Budgets, found: Mapping[str, Measure], seen: Observations) -> Verdict:
    """Every budget has its line, in the order of the table of measures."""
    lines = [_line(name, found.get(name, Measure(None)), budgets[name]) for name in MEASURES if name in budgets]
    shown_lines = [line for line in lines if not (line.value is None and line.passed is None)]  # neither asked for nor measured
    problems = [problem for fault in seen.faults if (problem := _fault_problem(fault))]
    if seen.stopped:
        problems.insert(0, f"It could not be done to its end: {seen.stopped}")
    elif not seen.faults:
        problems.append("No fault is recorded: nothing was broken")
    return Verdict(drill, tuple(shown_lines), tuple(problems))
