"""Rules about flags and variables that are set and not read, or read and not set."""

from __future__ import annotations

import re
from collections.abc import Iterator

from . import ast
from .rule import Judged, Problem, guess, rule

SETTERS = {"setflag": "flag", "setbflag": "branch flag"}
READERS = {"isflagset": "flag", "isbflagset": "branch flag"}
NAMED = re.compile(r"\$\(?(var|avp)\(([\w.-]+)\)")


def _flags(judged: Judged, functions: dict[str, str]) -> dict[tuple[str, str], int]:
    """Flags that these functions name, with the line of the first."""
    found: dict[tuple[str, str], int] = {}
    for _, call in judged.calls:
        if call.name in functions and call.arguments:
            argument = call.arguments[0]
            if isinstance(argument, ast.Text) and "$" not in argument.value:
                found.setdefault((functions[call.name], argument.value), call.line)
    return found


def _words(judged: Judged) -> set[str]:
    """What parameters, and texts in expressions, may name: flags among it."""
    found: set[str] = set()
    for item in judged.script.parameters:
        if isinstance(item.value, ast.Text):
            found.update(re.findall(r"[\w.-]+", item.value.value))
    for node in judged.nodes:
        if isinstance(node, ast.Comparison) and isinstance(node.value, ast.Text):
            found.update(re.findall(r"\w+", node.value.value))
    return found


@rule("SCRIPT050", "warning", "a flag that is set and never read")
def flags_are_read(judged: Judged) -> Iterator[Problem]:
    """What should depend on it does not happen. Flags that a module reads are named by one of its parameters."""
    read, words = _flags(judged, READERS), _words(judged)
    for (kind, name), line in _flags(judged, SETTERS).items():
        if (kind, name) not in read and name not in words and not judged.partial:
            known = [other for of_kind, other in read if of_kind == kind]
            yield line, f"nothing reads the {kind} {name}", guess(name, known, "Remove it, or name it to the module that should read it")


@rule("SCRIPT051", "warning", "a flag that is read and never set")
def flags_are_set(judged: Judged) -> Iterator[Problem]:
    """What depends on it never happens."""
    setters, words = _flags(judged, SETTERS), _words(judged)
    for (kind, name), line in _flags(judged, READERS).items():
        if (kind, name) not in setters and name not in words and not judged.partial:
            yield line, f"nothing sets the {kind} {name}", guess(name, [other for of_kind, other in setters if of_kind == kind], "Set it")


def _assigned(judged: Judged) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for node in judged.nodes:
        if isinstance(node, ast.Assignment) and (match := NAMED.fullmatch(node.variable.text)):
            found.setdefault((match[1], match[2]), node.line)
    return found


def _mentions(judged: Judged) -> list[tuple[str, str]]:
    targets = {id(node.variable) for node in judged.nodes if isinstance(node, ast.Assignment) and node.operator in ("=", ":=")}
    found: list[tuple[str, str]] = []
    for node in judged.nodes:
        if isinstance(node, ast.Variable) and id(node) not in targets:
            found += NAMED.findall(node.text)
        elif isinstance(node, ast.Text):
            found += NAMED.findall(node.value)
    return found


@rule("SCRIPT052", "warning", "a variable that is set and never read")
def variables_are_read(judged: Judged) -> Iterator[Problem]:
    """What should depend on it does not happen; often a misspelling."""
    mentions = set(_mentions(judged))
    for (kind, name), line in _assigned(judged).items():
        if (kind, name) not in mentions and not judged.partial:
            close = [other for of_kind, other in mentions if of_kind == kind]
            yield line, f"nothing reads ${kind}({name})", guess(name, close, "Remove it")


@rule("SCRIPT053", "warning", "a $var() that is read and never set")
def variables_are_set(judged: Judged) -> Iterator[Problem]:
    """It is 0 or NULL for ever; often a misspelling."""
    if judged.partial:
        return
    assigned = _assigned(judged)
    # Functions get a variable to write into as an argument, as a text or as itself; loops write theirs.
    given = {match for _, call in judged.calls for node in ast.walk(call.arguments) for match in NAMED.findall(_text(node))}
    given |= {match for node in judged.nodes if isinstance(node, ast.For) for match in NAMED.findall(node.variable.text)}
    given |= {match for item in judged.script.parameters for match in NAMED.findall(_text(item.value))}
    for node in judged.nodes:
        if isinstance(node, ast.Comparison):
            for match in NAMED.findall(node.variable.text):
                if match[0] == "var" and match not in assigned and match not in given:
                    known = [name for kind, name in assigned if kind == "var"]
                    yield node.line, f"nothing sets $var({match[1]})", guess(match[1], known, "Set it")


def _text(node: ast.Node) -> str:
    if isinstance(node, ast.Text):
        return node.value
    return node.text if isinstance(node, ast.Variable) else ""


RULES = (flags_are_read, flags_are_set, variables_are_read, variables_are_set)
