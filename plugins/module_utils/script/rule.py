"""What a rule of the script is: an id that never changes meaning, what it finds, why that matters, and a function that looks for it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property

from . import ast
from .engine import VERSIONS, Engine, Function, Module, engine

Problem = tuple[int, str, str]  # line, what is wrong, what to do


@dataclass(frozen=True)
class Finding:
    id: str
    severity: str  # "error" | "warning"
    line: int
    problem: str
    remedy: str
    host: str = ""
    waived: str = ""  # the reason, when a remark in the script names this id

    def __post_init__(self) -> None:
        """One line that a terminal can show, whatever stands in the script."""
        for name in ("problem", "remedy", "waived"):
            text = " ".join(getattr(self, name).split())
            object.__setattr__(self, name, "".join(char if char.isprintable() else "?" for char in text))

    def __str__(self) -> str:
        where = f"{self.host} line {self.line}" if self.host else f"line {self.line}"
        waived = f" Waived: {self.waived}." if self.waived else ""
        return f"{self.id} {where}: {self.problem}. {self.remedy}.{waived}"

    def as_dict(self) -> dict[str, str | int]:
        return {**asdict(self), "text": str(self)}


class Judged:
    """A script together with what its version of the engine knows."""

    def __init__(self, script: ast.Script, version: str) -> None:
        self.script = script
        self.version = version
        self.engine: Engine = engine(version)

    @cached_property
    def loaded(self) -> dict[str, ast.LoadModule]:
        """By name, the first time each is loaded."""
        found: dict[str, ast.LoadModule] = {}
        for item in self.script.modules:
            found.setdefault(item.name, item)
        return found

    @cached_property
    def known(self) -> list[Module]:
        return [self.engine.modules[name] for name in self.loaded if name in self.engine.modules]

    @cached_property
    def partial(self) -> bool:
        """Not all of it is here or known: included files, or modules that are not the engine's."""
        return any(isinstance(node, ast.Include) for node in self.nodes) or len(self.known) < len(self.loaded)

    @cached_property
    def nodes(self) -> list[ast.Node]:
        return list(ast.walk(self.script.items))

    @cached_property
    def by_block(self) -> list[tuple[ast.Block, list[ast.Node]]]:
        return [(block, list(ast.walk(block.body))) for block in self.script.blocks]

    @cached_property
    def calls(self) -> list[tuple[ast.Block, ast.Call]]:
        """Functions that are called, each with the block it stands in; those of async() and launch() are not among them."""
        found = []
        for block, nodes in self.by_block:
            deferred = {id(node.call) for node in nodes if isinstance(node, ast.Deferred)}
            found += [(block, node) for node in nodes if isinstance(node, ast.Call) and id(node) not in deferred]
        return found

    def function(self, name: str) -> Function | None:
        """The function as the loaded modules or the core have it."""
        if name in self.engine.functions:
            return self.engine.functions[name]
        return next((module.functions[name] for module in self.known if name in module.functions), None)

    def deferred(self, name: str) -> Function | None:
        """The function for async() and launch(), as a loaded module has it."""
        return next((module.deferred[name] for module in self.known if name in module.deferred), None)

    def parameter_modules(self, item: ast.ModParam) -> list[str]:
        """Loaded modules that a modparam is for: its first argument is a regular expression."""
        try:
            wanted = re.compile(f"({item.module})", re.IGNORECASE)
        except (re.error, RecursionError, OverflowError):
            return []
        return [name for name in self.loaded if wanted.fullmatch(name)]


Check = Callable[[Judged], Iterator[Problem]]


@dataclass(frozen=True)
class Rule:
    id: str
    severity: str
    what: str
    why: str
    check: Check

    def __call__(self, judged: Judged) -> Iterator[Finding]:
        for line, problem, remedy in dict.fromkeys(self.check(judged)):
            yield Finding(self.id, self.severity, line, problem, remedy)


def rule(identity: str, severity: str, what: str) -> Callable[[Check], Rule]:
    """Makes a Rule of a function; its docstring says why."""

    def make(check: Check) -> Rule:
        return Rule(identity, severity, what, " ".join((check.__doc__ or "").split()), check)

    return make


def found_elsewhere(identity: str, severity: str, what: str, why: str) -> Rule:
    """A rule whose findings come from reading a script, or from comparing the scripts of several hosts."""
    return Rule(identity, severity, what, why, lambda _judged: iter(()))


def guess(name: str, known: Iterable[str], otherwise: str) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"Did you mean {close[0]}" if close else otherwise


def elsewhere(version: str, has: Callable[[Engine], bool]) -> str:
    """ ", but 3.4 and 3.6 have it", or nothing."""
    others = [other for other in VERSIONS if other != version and has(engine(other))]
    return f"; {' and '.join(others)} {'has' if len(others) == 1 else 'have'} it" if others else ""
