"""What differs between two scripts, and what it takes to put the new one into service."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from . import ast
from .grammar import parse
from .redact import redact, redact_value

NOTHING = "nothing"
RELOAD = "routes only: reload possible"
RESTART = "restart needed"
SOCKETS = "sockets changed: restart, VIP registrations affected"
NOT_COMPARED = "included files were not compared"
# Their first argument is a table that the engine prepares when it starts; a reload with a new one is refused.
TABLES = {"save", "lookup", "is_registered", "is_contact_registered", "remove", "mid_registrar_save", "mid_registrar_lookup"}


@dataclass(frozen=True)
class Change:
    """One setting or parameter: old and new value, "" where it was not or is no more set. Secrets are already ***."""

    name: str
    old: str
    new: str

    def __str__(self) -> str:
        if not self.old:
            return f"{self.name} is now {self.new}"
        return f"{self.name} was {self.old}, is now {self.new}" if self.new else f"{self.name} is no longer set (was {self.old})"


@dataclass(frozen=True)
class Changes:
    consequence: str = NOTHING
    routes_added: list[str] = field(default_factory=list)
    routes_removed: list[str] = field(default_factory=list)
    routes_changed: list[str] = field(default_factory=list)
    modules_added: list[str] = field(default_factory=list)
    modules_removed: list[str] = field(default_factory=list)
    modules_reordered: bool = False
    sockets_added: list[str] = field(default_factory=list)
    sockets_removed: list[str] = field(default_factory=list)
    sockets_reordered: bool = False
    parameters: list[Change] = field(default_factory=list)
    settings: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    diff: str = ""  # of the routes that changed, with secrets taken out

    @property
    def lines(self) -> list[str]:
        """The same for people."""
        found: list[str] = []
        for what, names in (
            ("socket {} is new", self.sockets_added),
            ("socket {} is gone", self.sockets_removed),
            ("module {} is new", self.modules_added),
            ("module {} is gone", self.modules_removed),
        ):
            found += [what.format(name) for name in names]
        found += ["the order of sockets changed"] * self.sockets_reordered + ["the order of modules changed"] * self.modules_reordered
        found += [str(change) for change in (*self.settings, *self.parameters)]
        for what, names in (("is new", self.routes_added), ("is gone", self.routes_removed), ("changed", self.routes_changed)):
            found += [f"{name} {what}" for name in names]
        return [*found, *self.notes]

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "lines": self.lines}


def _gone(old: Iterable[str], new: Iterable[str]) -> list[str]:
    """What old has and new has not, each as often as it is missing."""
    rest = list(new)
    found = []
    for item in old:
        if item in rest:
            rest.remove(item)
        else:
            found.append(item)
    return found


def _value(value: ast.Text | ast.Number) -> str:
    return str(value.value)


def _parameters(script: ast.Script) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for item in script.parameters:
        shown = _value(item.value) if isinstance(item.value, ast.Number) else f'"{_value(item.value)}"'
        found.setdefault((item.module, item.name), []).append(shown)
    return found


def _settings(script: ast.Script) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for item in script.settings:
        if item.name not in ("socket", "listen"):
            found.setdefault(("", item.name), []).append(" ".join(item.value))
    return found


def _sockets(script: ast.Script) -> list[str]:
    return [" ".join(item.value) for item in script.settings if item.name in ("socket", "listen")]


def _changed(old: dict[tuple[str, str], list[str]], new: dict[tuple[str, str], list[str]]) -> list[Change]:
    found = []
    for key in sorted({*old, *new}):
        before, after = old.get(key, []), new.get(key, [])
        if before != after:
            module, name = key
            shown = [", ".join(redact_value(name, value) for value in values) for values in (before, after)]
            if shown[0] == shown[1]:
                shown[1] += " (changed)"
            found.append(Change(f"{module}/{name}" if module else name, shown[0], shown[1]))
    return found


def _routes(script: ast.Script) -> dict[tuple[str, str], list[ast.Block]]:
    found: dict[tuple[str, str], list[ast.Block]] = {}
    for block in script.blocks:
        found.setdefault((block.kind, block.name), []).append(block)
    return found


def _sources(text: str, script: ast.Script) -> dict[tuple[str, str], list[str]]:
    """The lines of each route, up to where the next item begins."""
    lines = text.splitlines()
    starts = [item.line for item in script.items]
    found: dict[tuple[str, str], list[str]] = {}
    for place, item in enumerate(script.items):
        if isinstance(item, ast.Block):
            end = starts[place + 1] - 1 if place + 1 < len(starts) else len(lines)
            found.setdefault((item.kind, item.name), []).extend(lines[item.line - 1 : max(end, item.line)])
    return found


def _tables(script: ast.Script) -> set[str]:
    found = set()
    for node in ast.walk(script.items):
        if isinstance(node, ast.Call) and node.name in TABLES and node.arguments and isinstance(node.arguments[0], ast.Text):
            found.add(node.arguments[0].value)
    return found


def _title(key: tuple[str, str]) -> str:
    kind, name = key
    return f"{kind}[{name}]" if name else kind


def compare(old_text: str, new_text: str) -> Changes:
    """Raises ScriptError when one of them can't be read."""
    old, new = parse(old_text), parse(new_text)
    old_routes, new_routes = _routes(old), _routes(new)
    changed = [key for key in new_routes if key in old_routes and old_routes[key] != new_routes[key]]
    added, removed = [key for key in new_routes if key not in old_routes], [key for key in old_routes if key not in new_routes]
    old_sockets, new_sockets = _sockets(old), _sockets(new)
    old_modules, new_modules = [item.path for item in old.modules], [item.path for item in new.modules]
    settings, parameters = _changed(_settings(old), _settings(new)), _changed(_parameters(old), _parameters(new))
    includes = [[node.path for node in ast.walk(s.items) if isinstance(node, ast.Include)] for s in (old, new)]
    notes: list[str] = []
    if new_tables := sorted(_tables(new) - _tables(old)):
        notes.append(f"table {', '.join(new_tables)} is new for the registrar: a reload refuses that")
    if ("startup_route", "") in [*changed, *added]:
        notes.append("startup_route runs at a start only, not at a reload")
    if includes[0] != includes[1]:
        notes.append("other files are included")
    elif includes[0]:
        notes.append(NOT_COMPARED)
    consequence = NOTHING
    if changed or added or removed:
        consequence = RELOAD
    if settings or parameters or old_modules != new_modules or any(note != NOT_COMPARED for note in notes):
        consequence = RESTART
    if old_sockets != new_sockets:
        consequence = SOCKETS
    sources = _sources(old_text, old), _sources(new_text, new)
    diff = [
        line
        for key in changed
        for line in difflib.unified_diff(sources[0][key], sources[1][key], f"old {_title(key)}", f"new {_title(key)}", lineterm="", n=2)
    ]
    return Changes(
        consequence=consequence,
        routes_added=[_title(key) for key in added],
        routes_removed=[_title(key) for key in removed],
        routes_changed=[_title(key) for key in changed],
        modules_added=[ast.LoadModule(0, path).name for path in _gone(new_modules, old_modules)],
        modules_removed=[ast.LoadModule(0, path).name for path in _gone(old_modules, new_modules)],
        modules_reordered=old_modules != new_modules and sorted(old_modules) == sorted(new_modules),
        sockets_added=_gone(new_sockets, old_sockets),
        sockets_removed=_gone(old_sockets, new_sockets),
        sockets_reordered=old_sockets != new_sockets and sorted(old_sockets) == sorted(new_sockets),
        parameters=parameters,
        settings=settings,
        notes=notes,
        diff=redact("\n".join(diff)),
    )
