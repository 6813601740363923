"""What one version of the engine knows: names of modules, parameters, functions and variables, from data/<version>.json.

The data comes from the engine's own export tables, checked against its documentation. A function is [fewest arguments, most arguments,
kinds of routes, which arguments are regular expressions], where kinds are letters of ROUTES, or * for all.
"""

from __future__ import annotations

import json
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
# Scheme of a database URL -> the module that serves it, where it is not db_<scheme>.
DRIVERS = {"unixodbc": "db_unixodbc", "text": "db_text", "sqlite": "db_sqlite"}


class UnknownVersionError(Exception):
    """There is no data for this version of the engine."""


@dataclass(frozen=True)
class Function:
    fewest: int
    most: int
    routes: str
    patterns: tuple[int, ...] = ()

    def allowed_in(self, kind: str) -> bool:
        return self.routes == "*" or ROUTES[kind] in self.routes


@dataclass(frozen=True)
class Module:
    name: str
    functions: dict[str, Function]
    deferred: frozenset[str]  # functions for async() and launch()
    parameters: frozenset[str]
    repeatable: frozenset[str]  # parameters that add up when they are set again
    variables: frozenset[str]
    needs: tuple[str, ...]  # the engine refuses to start without them
    after: tuple[str, ...]  # initialised after these, when they are loaded


def _functions(data: Mapping[str, Any]) -> dict[str, Function]:
    return {name: Function(entry[0], entry[1], entry[2], tuple(entry[3]) if len(entry) > 3 else ()) for name, entry in data.items()}


def _module(name: str, data: Mapping[str, Any]) -> Module:
    return Module(
        name,
        _functions(data.get("functions", {})),
        frozenset(data.get("async", ())),
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
