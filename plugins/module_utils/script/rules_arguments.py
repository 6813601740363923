"""Rules about how functions are called: from which kinds of routes, with how many arguments and of which kind.

The engine checks kinds with -C, but looks neither at the condition of a while, the default of a switch, the right side of an assignment
and the call inside async(), nor at routes that nothing calls. When it starts it looks at all of them, and at no kind of route.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import ast
from .engine import KINDS, Function, Parameter
from .expressions import variable_names
from .rule import Judged, Problem, rule


def _calls(judged: Judged) -> Iterator[tuple[ast.Call, Function]]:
    """Every call of a function that is known, those in async() and launch() too."""
    for _, call in judged.calls:
        if function := judged.function(call.name):
            yield call, function
    for node in judged.nodes:
        if isinstance(node, ast.Deferred) and (function := judged.deferred(node.call.name)):
            yield node.call, function


@rule("SCRIPT032", "error", "a function where it may not be called")
def functions_in_their_routes(judged: Judged) -> Iterator[Problem]:
    """The engine refuses the whole script: each function says in which kinds of routes it may stand."""
    for block, call in judged.calls:
        function = judged.function(call.name)
        if function and not function.allowed_in(block.kind):
            yield call.line, f"{call.name}() may not be called in {block.kind}", f"Move it out of {block.title}"


def _ways(judged: Judged, entry: ast.Block) -> dict[str, list[str]]:
    """Routes that a block gets into by route(), each with the names on the shortest way to it."""
    onward = {
        block.title: [f"route[{node.target}]" for node in nodes if isinstance(node, ast.RouteCall) and isinstance(node.target, str)]
        for block, nodes in judged.by_block
        if block is entry or (block.kind == "route" and block.name)
    }
    ways = {entry.title: [entry.title]}
    waiting = [entry.title]
    while waiting:
        title = waiting.pop(0)
        for target in onward.get(title, ()):
            if target in onward and target not in ways:
                ways[target] = [*ways[title], target]
                waiting.append(target)
    del ways[entry.title]
    return ways


@rule("SCRIPT026", "error", "a function that gets into the wrong kind of route by route()")
def functions_in_routes_called(judged: Judged) -> Iterator[Problem]:
    """opensips -C refuses it, but in a while condition, an assignment or the default of a switch. An engine that starts without that check
    runs it, on a message or without one that it is not made for."""
    by_title: dict[str, list[ast.Call]] = {}
    for block, call in judged.calls:
        if block.kind == "route":
            by_title.setdefault(block.title, []).append(call)
    for entry in judged.script.blocks:
        if entry.kind == "route":
            continue
        for title, way in _ways(judged, entry).items():
            for call in by_title.get(title, ()):
                function = judged.function(call.name)
                if function and not function.allowed_in(entry.kind):
                    problem = f"{call.name}() may not be called in {entry.kind}, and gets there: {' -> '.join(way)}"
                    yield call.line, problem, f"Move it out of {title}, or call another route from {way[-2]}"


@rule("SCRIPT033", "error", "too few or too many arguments")
def arguments_fit(judged: Judged) -> Iterator[Problem]:
    """The engine refuses the whole script."""
    for call, function in _calls(judged):
        if not function.fewest <= len(call.arguments) <= function.most:
            wanted = str(function.fewest) if function.fewest == function.most else f"{function.fewest} to {function.most}"
            yield call.line, f"{call.name}() has {len(call.arguments)} arguments and takes {wanted}", _usage(call, function)
            continue
        for place, (parameter, argument) in enumerate(zip(function.parameters, call.arguments, strict=False), 1):
            if argument is None and not parameter.optional:
                yield call.line, f"argument {place} of {call.name}() is left out and must be given", _usage(call, function)


def _usage(call: ast.Call, function: Function) -> str:
    return f"It takes {call.name}{function.usage}"


def _wrong(parameter: Parameter, argument: ast.Argument) -> str:
    """What an argument is that the engine does not take there, or nothing."""
    if argument is None or parameter.kind == "x":
        return ""
    if isinstance(argument, ast.Variable):
        if parameter.fixed:
            return "a variable"
        return "another variable" if parameter.kind == "a" and variable_names(argument.text)[:1] != ["avp"] else ""
    if isinstance(argument, ast.Text):
        if parameter.fixed and not parameter.plain and "$" in argument.value:
            return "a text with variables"
        return "" if parameter.kind in "sr" else "a text"
    return "" if parameter.kind == "i" else "a number"


def _better(parameter: Parameter, argument: ast.Argument) -> str:
    """Quotes too many or too few are the usual mistake."""
    if isinstance(argument, ast.Number) and parameter.kind == "s":
        return f'Write "{argument.value}", in quotes'
    if isinstance(argument, ast.Text) and parameter.kind in "iva":
        text = argument.value.strip()
        number = parameter.kind == "i" and text.lstrip("-").isdecimal()
        if number or (text.startswith("$") and len(variable_names(text)) == 1 and " " not in text):
            return f"Write {text[:60]}, without quotes"
    return ""


@rule("SCRIPT039", "error", "an argument of the wrong kind")
def arguments_are_of_their_kind(judged: Judged) -> Iterator[Problem]:
    """The engine does not start: "486" is no number to it, and 486 no text. opensips -C says so too, but not in a while condition, an
    assignment, the default of a switch, async(), or a route that nothing calls; nor does it ask whether a variable is an $avp()."""
    for call, function in _calls(judged):
        for place, (parameter, argument) in enumerate(zip(function.parameters, call.arguments, strict=False), 1):
            if wrong := _wrong(parameter, argument):
                wanted = f"a {KINDS[parameter.kind]}{' without variables' if parameter.fixed and not parameter.plain else ''}"
                problem = f"argument {place} of {call.name}() is {wrong}, and must be {wanted.replace('a $', 'an $')}"
                yield call.line, problem, _better(parameter, argument) or _usage(call, function)


RULES = (functions_in_routes_called, functions_in_their_routes, arguments_fit, arguments_are_of_their_kind)
