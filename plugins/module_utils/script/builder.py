"""From lark's tree to the typed one."""

from __future__ import annotations

from typing import Any

from lark import Token, Transformer, Tree, v_args

from . import ast
from .grammar import decoded

YES = {"yes", "true", "on", "enable"}
NO = {"no", "false", "off", "disable"}


def _number(token: str) -> int:
    if token in YES:
        return 1
    if token in NO:
        return 0
    if token.lower().startswith("0x"):
        return int(token, 16)
    return int(token, 8) if token.startswith("0") and set(token) <= set("01234567") else int(token)


def _name(token: Any) -> str:
    text = str(token)
    return decoded(text) if text[:1] in ("'", '"') else text


def _line(meta: Any) -> int:
    return int(getattr(meta, "line", 0) or 0)


def _statements(children: Any) -> tuple[ast.Node, ...]:
    return tuple(child for child in children if not isinstance(child, ast.Nothing))


@v_args(meta=True)
class Builder(Transformer):  # type: ignore[type-arg]
    def start(self, meta: Any, children: Any) -> tuple[ast.Node, ...]:
        return tuple(children)

    def setting(self, meta: Any, children: Any) -> ast.Node:
        return ast.Setting(_line(meta), str(children[0]), tuple(children[1:]))

    def value(self, meta: Any, children: Any) -> str:
        return _name(children[0])

    def loadmodule(self, meta: Any, children: Any) -> ast.Node:
        return ast.LoadModule(_line(meta), decoded(children[0]))

    def modparam(self, meta: Any, children: Any) -> ast.Node:
        return ast.ModParam(_line(meta), decoded(children[0]), decoded(children[1]), children[2])

    def include(self, meta: Any, children: Any) -> ast.Node:
        return ast.Include(_line(meta), decoded(children[1]))

    def block(self, meta: Any, children: Any) -> ast.Node:
        kind, name, interval, *body = children
        plain = "" if name is None or (kind == "route" and _name(name) == "0") else _name(name)
        return ast.Block(_line(meta), str(kind), plain, str(interval or ""), _statements(body))

    def nothing(self, meta: Any, children: Any) -> ast.Node:
        return ast.Nothing(_line(meta))

    def break_loop(self, meta: Any, children: Any) -> ast.Node:
        return ast.Break(_line(meta))

    def body(self, meta: Any, children: Any) -> tuple[ast.Node, ...]:
        return _statements(children)

    def conditional(self, meta: Any, children: Any) -> ast.Node:
        return ast.If(_line(meta), *children)

    def while_loop(self, meta: Any, children: Any) -> ast.Node:
        return ast.While(_line(meta), *children)

    def for_loop(self, meta: Any, children: Any) -> ast.Node:
        variable, source, body = children
        return ast.For(_line(meta), _variable(variable), _variable(source), body)

    def switch(self, meta: Any, children: Any) -> ast.Node:
        return ast.Switch(_line(meta), _variable(children[0]), tuple(children[1:]))

    def case(self, meta: Any, children: Any) -> ast.Node:
        return ast.Case(_line(meta), children[0], _statements(children[1:]))

    def default(self, meta: Any, children: Any) -> ast.Node:
        return ast.Case(_line(meta), None, _statements(children))

    def call(self, meta: Any, children: Any) -> ast.Node:
        return ast.Call(_line(meta), str(children[0]), children[1])

    def arguments(self, meta: Any, children: Any) -> tuple[ast.Argument, ...]:
        return () if list(children) == [None] else tuple(children)

    arguments_or_null = arguments

    def route_call(self, meta: Any, children: Any) -> ast.Node:
        return ast.RouteCall(_line(meta), children[0], tuple(children[1:]))

    def route_name(self, meta: Any, children: Any) -> str:
        return _name(children[0])

    def assertion(self, meta: Any, children: Any) -> ast.Node:
        return ast.Assertion(_line(meta), children[0])

    def leave(self, meta: Any, children: Any) -> ast.Node:
        return ast.Leave(_line(meta), str(children[0]))

    def return_value(self, meta: Any, children: Any) -> ast.Node:
        values = children[1]
        return ast.Leave(_line(meta), "return", values if isinstance(values, tuple) else () if values is None else (values,))

    def deferred(self, meta: Any, children: Any) -> ast.Node:
        return ast.Deferred(_line(meta), str(children[0]), children[1], children[2] or "")

    def assignment(self, meta: Any, children: Any) -> ast.Node:
        return ast.Assignment(_line(meta), children[0], str(children[1]), children[2])

    def logic(self, meta: Any, children: Any) -> ast.Node:
        return ast.Logic(_line(meta), "and" if children[1] in ("&&", "and") else "or", children[0], children[2])

    def negated(self, meta: Any, children: Any) -> ast.Node:
        return ast.Negated(_line(meta), children[-1])

    def grouped(self, meta: Any, children: Any) -> ast.Node:
        return ast.Grouped(_line(meta), children[0])

    def inner(self, meta: Any, children: Any) -> ast.Node:
        return ast.Inner(_line(meta), _statements(children))

    def comparison(self, meta: Any, children: Any) -> ast.Node:
        return ast.Comparison(_line(meta), children[0], str(children[1]), children[2])

    def arithmetic(self, meta: Any, children: Any) -> ast.Node:
        return ast.Arithmetic(_line(meta), str(children[1]), children[0], children[2])

    def minus(self, meta: Any, children: Any) -> ast.Node:
        return ast.Arithmetic(_line(meta), "-", children[0], children[1])

    def unary(self, meta: Any, children: Any) -> ast.Node:
        return ast.Negated(_line(meta), children[0])

    def term(self, meta: Any, children: Any) -> ast.Node:
        return ast.Grouped(_line(meta), children[0])

    def number(self, meta: Any, children: Any) -> ast.Node:
        return ast.Number(_line(meta), _number(children[0]))

    def negative(self, meta: Any, children: Any) -> ast.Node:
        return ast.Number(_line(meta), -_number(children[0]))

    def text(self, meta: Any, children: Any) -> ast.Node:
        return ast.Text(_line(meta), "".join(decoded(child) for child in children), str(children[0])[0])

    single = text

    def variable(self, meta: Any, children: Any) -> ast.Node:
        return _variable(children[0])

    def null(self, meta: Any, children: Any) -> ast.Node:
        return ast.Null(_line(meta))

    def address(self, meta: Any, children: Any) -> ast.Node:
        return ast.Address(_line(meta), str(children[0]))


def _variable(token: Token) -> ast.Variable:
    return ast.Variable(int(token.line or 0), str(token))


def build(tree: Tree[Any]) -> tuple[ast.Node, ...]:
    items: tuple[ast.Node, ...] = Builder().transform(tree)
    return items
