"""What one version of the engine knows: names of modules, parameters, functions and variables, from data/<version>.json.

The data comes from the engine's own export tables, checked against its documentation. A function is [parameters, kinds of routes], where
kinds are letters of ROUTES, or * for all. A parameter is a letter of KINDS, then "!" when it takes no variable, "'" when the engine looks
for no variables in a text, "?" when it may be left out: save() has "s!s?s?s?". Functions for async() and launch() have parameters alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

DATA = Path(__file__).with_name("data")
VERSIONS = ("3.4", "3.6", "4.0")
ROUTES = {
    "route": "r",
    "failure_route": "f",
    "onreply_route": "o",
    "branch_route": "b",
    "error_route": "e",
    "local_route": "l",
    "startup_route": "s",
    "timer_route": "t",
    "event_route": "v",
}
KINDS = {
    "i": "number",
    "s": "text",
    "v": "variable",
    "a": "$avp()",
    "r": "regular expression",
    "x": "value",  # of a statement, which the grammar knows
}
# Scheme of a database URL -> the module that serves it, where it is not db_<scheme>.
DRIVERS = {"unixodbc": "db_unixodbc", "text": "db_text", "sqlite": "db_sqlite"}


class UnknownVersionError(Exception):
    """There is no data for this version of the engine."""


@dataclass(frozen=True)
class Parameter:
    kind: str  # a letter of KINDS
    fixed: bool = False  # takes no variable, nor a text with variables
    plain: bool = False  # a text is taken as it stands
    optional: bool = False

    def __str__(self) -> str:
        return f"[{KINDS[self.kind]}]" if self.optional else KINDS[self.kind]


@dataclass(frozen=True)
class Function:
    parameters: tuple[Parameter, ...]
    routes: str = "*"

    @cached_property
    def fewest(self) -> int:
        """Up to the last that must be given: those before it may be empty, but not missing."""
        return max((place for place, parameter in enumerate(self.parameters, 1) if not parameter.optional), default=0)

    @property
    def most(self) -> int:
        return len(self.parameters)

    @property
    def patterns(self) -> list[int]:
        """Which arguments are regular expressions."""
        return [place for place, parameter in enumerate(self.parameters) if parameter.kind == "r"]

    @property
    def usage(self) -> str:
        return f"({', '.join(str(parameter) for parameter in self.parameters)})"

    def allowed_in(self, kind: str) -> bool:
        return self.routes == "*" or ROUTES[kind] in self.routes


@dataclass(frozen=True)
class Module:
    name: str
    functions: dict[str, Function]
    deferred: dict[str, Function]  # those for async() and launch()
    parameters: frozenset[str]
    repeatable: frozenset[str]  # parameters that add up when they are set again
    variables: frozenset[str]
    needs: tuple[str, ...]  # the engine refuses to start without them
    after: tuple[str, ...]  # initialised after these, when they are loaded


def _parameters(text: str) -> tuple[Parameter, ...]:
    marked = re.findall(rf"([{''.join(KINDS)}])([!'?]*)", text)
    return tuple(Parameter(kind, "!" in marks, "'" in marks, "?" in marks) for kind, marks in marked)


def _functions(data: Mapping[str, Any]) -> dict[str, Function]:
    return {name: Function(_parameters(parameters), routes) for name, (parameters, routes) in data.items()}


def _module(name: str, data: Mapping[str, Any]) -> Module:
    return Module(
        name,
        _functions(data.get("functions", {})),
        {name: Function(_parameters(parameters)) for name, parameters in data.get("async", {}).items()},
        frozenset(data.get("parameters", ())),
        frozenset(data.get("multi", ())),
        frozenset(data.get("variables", ())),
        tuple(data.get("needs", ())),
        tuple(data.get("likes", ())),
    )


class Engine:
    def __init__(self, version: str, data: Mapping[str, Any]) -> None:
        self.version = version
        self.settings = frozenset(data["core"]["parameters"])
        self.functions = _functions(data["core"]["functions"])
        self.variables = frozenset(data["core"]["variables"])
        self.modules = {name: _module(name, entry) for name, entry in data["modules"].items()}

    @cached_property
    def owners(self) -> dict[str, list[str]]:
        """Modules by the functions they bring."""
        found: dict[str, list[str]] = {}
        for module in self.modules.values():
            for name in module.functions:
                found.setdefault(name, []).append(module.name)
        return found

    @cached_property
    def deferred_owners(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for module in self.modules.values():
            for name in module.deferred:
                found.setdefault(name, []).append(module.name)
        return found

    @cached_property
    def variable_owners(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for module in self.modules.values():
            for name in module.variables:
                found.setdefault(name, []).append(module.name)
        return found


@cache
def engine(version: str) -> Engine:
    if version not in VERSIONS:
        raise UnknownVersionError(f"there is no data for OpenSIPS {str(version)[:20]}, only for {', '.join(VERSIONS)}")
    return Engine(version, json.loads((DATA / f"{version}.json").read_text(encoding="utf-8")))
