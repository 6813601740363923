"""Rules about routes: defined, used, and not calling each other without end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from . import ast
from .rule import Judged, Problem, guess, rule

ARMED = {"t_on_reply": "onreply_route", "t_on_failure": "failure_route", "t_on_branch": "branch_route"}
# These call a route[...] later; the argument is where its name stands.
LATER = {"dlg_on_answer": 0, "dlg_on_hangup": 0, "dlg_on_timeout": 0}
CALLED = ("route", "onreply_route", "failure_route", "branch_route")


class Use(NamedTuple):
    block: ast.Block
    kind: str
    name: str
    line: int


def uses(judged: Judged) -> list[Use]:
    """Every place that names a route which must exist."""
    found = []
    for block, nodes in judged.by_block:
        for node in nodes:
            if isinstance(node, ast.RouteCall) and isinstance(node.target, str):
                found.append(Use(block, "route", node.target, node.line))
            elif isinstance(node, ast.Deferred) and node.route:
                found.append(Use(block, "route", node.route, node.line))
            elif isinstance(node, ast.Call):
                place = 0 if node.name in ARMED else LATER.get(node.name, -1)
                argument = node.arguments[place] if 0 <= place < len(node.arguments) else None
                if isinstance(argument, ast.Text) and argument.value and "$" not in argument.value:
                    found.append(Use(block, ARMED.get(node.name, "route"), argument.value, node.line))
    return found


def _mentioned(judged: Judged) -> set[str]:
    """Texts that may name a route: arguments and parameters, also as "route:NAME"."""
    found: set[str] = set()
    for node in judged.nodes:
        if isinstance(node, ast.Text):
            found.add(node.value)
            found.update(re.findall(r"route:([\w.-]+)", node.value))
    return found


def _computed(judged: Judged) -> set[str]:
    """Kinds of routes that are also called by a name which is worked out when the script runs."""
    found = {"route" for node in judged.nodes if isinstance(node, ast.RouteCall) and isinstance(node.target, ast.Variable)}
    for _, call in judged.calls:
        argument = call.arguments[0] if call.name in ARMED and call.arguments else None
        if isinstance(argument, ast.Variable) or (isinstance(argument, ast.Text) and "$" in argument.value):
            found.add(ARMED[call.name])
    return found


@rule("SCRIPT020", "error", "a route that is called and not defined")
def routes_exist(judged: Judged) -> Iterator[Problem]:
    """opensips -C lets it pass; the engine does not start, or a reload is refused."""
    if any(isinstance(node, ast.Include) for node in judged.nodes):
        return
    defined = {(block.kind, block.name) for block in judged.script.blocks}
    for use in uses(judged):
        name = "" if use.kind == "route" and use.name == "0" else use.name
        if (use.kind, name) not in defined:
            others = [other for kind, other in defined if kind == use.kind and other]
            yield use.line, f"{use.kind}[{use.name}] is not defined", guess(use.name, others, f"Define {use.kind}[{use.name}]")


@rule("SCRIPT021", "warning", "a route that nothing calls")
def routes_are_used(judged: Judged) -> Iterator[Problem]:
    """It looks as if it did something; after a renaming it is what should have been called."""
    if any(isinstance(node, ast.Include) for node in judged.nodes):
        return
    called = {(use.kind, use.name) for use in uses(judged) if (use.block.kind, use.block.name) != (use.kind, use.name)}
    mentioned = _mentioned(judged)
    computed = _computed(judged)
    for block in judged.script.blocks:
        if block.kind not in CALLED or not block.name or block.kind in computed:
            continue
        own = (block.kind, block.name)
        named_by_a_text = block.kind == "route" and block.name in mentioned
        if own not in called and not named_by_a_text:
            yield block.line, f"nothing calls {block.title}", "Remove it, or call it"


@rule("SCRIPT022", "error", "a route that is defined twice")
def routes_once(judged: Judged) -> Iterator[Problem]:
    """The engine refuses the whole script."""
    seen: dict[tuple[str, str], ast.Block] = {}
    for block in judged.script.blocks:
        first = seen.setdefault((block.kind, block.name), block)
        if first is not block and block.kind != "timer_route":
            title = block.title if block.name else f"the {'main route' if block.kind == 'route' else block.kind}"
            yield block.line, f"{title} is defined in line {first.line} already", "Give it another name, or remove one of them"


@rule("SCRIPT023", "warning", "routes that call each other in a circle")
def no_circles(judged: Judged) -> Iterator[Problem]:
    """The engine gives up a request that is 100 routes deep; until then it does the same work again and again."""
    always = {frozenset(circle) for _line, circle in _circles(judged, always=True)}
    for line, circle in _circles(judged):
        if frozenset(circle) not in always:
            yield line, f"routes call each other in a circle: {' -> '.join([*circle, circle[0]])}", "Use a while loop, or break it"


@rule("SCRIPT027", "error", "routes that call each other in a circle without a condition")
def no_endless_circles(judged: Judged) -> Iterator[Problem]:
    """No request gets out of it: the engine gives each up 100 routes deep, and goes on behind the call as if nothing had been."""
    for line, circle in _circles(judged, always=True):
        yield line, f"routes call each other for ever: {' -> '.join([*circle, circle[0]])}", "Break the circle"


def _circles(judged: Judged, always: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Each circle once, with the line of its first route; `always`: only of calls that no condition stands in front of."""
    calls: dict[str, list[str]] = {}
    lines: dict[str, int] = {}
    for block, nodes in judged.by_block:
        if block.kind == "route":
            lines.setdefault(block.name, block.line)
            found = block.body if always else nodes
            calls.setdefault(block.name, []).extend(
                node.target for node in found if isinstance(node, ast.RouteCall) and isinstance(node.target, str)
            )
    reported: set[frozenset[str]] = set()
    for start in sorted(calls, key=lambda name: lines[name]):
        circle = _circle(start, calls)
        if circle and frozenset(circle) not in reported:
            reported.add(frozenset(circle))
            yield lines[start], circle


def _circle(start: str, calls: dict[str, list[str]]) -> list[str]:
    """The shortest way from a route back to itself, if there is one."""
    ways = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        for name in calls.get(way[-1], ()):
            if name == start:
                return way
            if name in calls and name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []


def _lists(node: ast.Node) -> Iterator[tuple[ast.Node, ...]]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Block | ast.While | ast.For | ast.Case | ast.Inner):
            yield inner.body
        elif isinstance(inner, ast.If):
            yield inner.then
            yield inner.otherwise or ()


@rule("SCRIPT024", "warning", "statements that are never reached")
def everything_is_reached(judged: Judged) -> Iterator[Problem]:
    """What stands after exit, drop, return or break in the same block does nothing."""
    for block in judged.script.blocks:
        for statements in _lists(block):
            for before, after in pairwise(statements):
                if isinstance(before, ast.Leave | ast.Break):
                    what = before.kind if isinstance(before, ast.Leave) else "break"
                    yield after.line, f"this is never reached: {what} stands in line {before.line}", "Remove it, or move it up"
                    break


def _loose_breaks(node: object) -> Iterator[ast.Node]:
    if isinstance(node, tuple):
        for item in node:
            yield from _loose_breaks(item)
    elif isinstance(node, ast.Break):
        yield node
    elif isinstance(node, ast.If):
        yield from _loose_breaks(node.then)
        yield from _loose_breaks(node.otherwise or ())


@rule("SCRIPT025", "error", "a break outside of a loop or switch")
def breaks_have_loops(judged: Judged) -> Iterator[Problem]:
    """The engine refuses the whole script; in old ones break ended the route."""
    for block in judged.script.blocks:
        for node in _loose_breaks(block.body):
            yield node.line, "break stands outside of a loop or switch", "Use exit or return"


RULES = (routes_exist, routes_are_used, routes_once, no_circles, no_endless_circles, everything_is_reached, breaks_have_loops)
