"""From the text of a script to its tree. The grammar is opensips.lark; lark parses."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from . import ast

ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", '"': '"', "\\": "\\", "\n": ""}
REMARK = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|#[ \t]*lint:[ \t]*([^\n]*)|#[^\n]*', re.DOTALL)


class ScriptError(Exception):
    """The script can't be read: where, and why in one line."""

    def __init__(self, line: int, column: int, problem: str) -> None:
        super().__init__(f"line {line}, column {column}: {problem}")
        self.line, self.column, self.problem = line, column, problem


class ParserMissingError(Exception):
    """lark is not installed on the controller."""


def decoded(literal: str) -> str:
    """What the engine makes of a quoted string; only "..." has escapes."""
    if literal.startswith("'"):
        return literal[1:-1]

    def replace(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] == "x" and len(code) > 1:
            return chr(int(code[1:], 16))
        if code.isdigit():
            return chr(int(code, 8))
        return ESCAPES.get(code, match[0])

    return re.sub(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{2,3}|[nrta\"\\\n])", replace, literal[1:-1])


def remarks(text: str) -> dict[int, str]:
    """Comments for this check, "# lint: ...", by line."""
    return {text.count("\n", 0, match.start()) + 1: match[1].strip() for match in REMARK.finditer(text) if match[1] is not None}


@cache
def _parser() -> Any:
    try:
        import lark
    except ImportError as error:
        raise ParserMissingError(
            "The controller has no Python library 'lark', which reads the engine's script: pip install lark"
        ) from error
    return lark.Lark(
        Path(__file__).with_name("opensips.lark").read_text(encoding="utf-8"),
        parser="lalr",
        propagate_positions=True,
        maybe_placeholders=True,
    )


def _shown(text: str) -> str:
    first = text.splitlines()[0] if text.strip() else repr(text)[1:-1]
    return first if len(first) <= 30 else first[:27] + "..."


def parse(text: str) -> ast.Script:
    parser = _parser()
    import lark

    from .builder import build

    try:
        tree = parser.parse(text)
        return ast.Script(build(tree), remarks(text))
    except lark.exceptions.UnexpectedToken as error:
        if error.token.type == "$END":
            raise ScriptError(
                max(1, len(text.splitlines())), 1, "the script ends in the middle of something: a } or a ; is missing"
            ) from error
        what = "a text" if error.token.type == "STRING" else f"'{_shown(str(error.token))}'"  # a text may be a secret
        raise ScriptError(error.line, error.column, f"{what} can't stand here{_hint(error, text)}") from error
    except lark.exceptions.UnexpectedCharacters as error:
        place = error.pos_in_stream or 0
        character = text[place : place + 1]
        problem = "a text that does not end" if character in ("'", '"') else f"'{_shown(character)}' can't be read"
        raise ScriptError(error.line, error.column, problem) from error
    except (RecursionError, lark.exceptions.LarkError) as error:
        cause = getattr(error, "orig_exc", error)
        problem = "it is nested too deep to be read" if isinstance(cause, RecursionError) else f"it can't be read: {_shown(str(cause))}"
        raise ScriptError(1, 1, problem) from error


def _hint(error: Any, text: str) -> str:
    """What was missing, where one mark is by far the likeliest."""
    wanted = set(error.accepts or ())
    before = text[: error.pos_in_stream or 0].rstrip()[-1:]
    if error.token.type == "RPAR" or before in ("", "{", "}", ";"):
        return ""
    for mark, what in (("SEMICOLON", ";"), ("RPAR", ")"), ("LBRACE", "{"), ("EQUAL", "=")):
        if mark in wanted:
            return f", a {what} is missing before it"
    return ""
