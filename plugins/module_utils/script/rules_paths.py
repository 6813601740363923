"""Rules about requests that get no answer: all ways through the main route, and through the routes it calls.

Each way carries two facts: whether something on it answered or passed the request on, and whether silence is meant. Silence is meant for
ACK and CANCEL, which get no answer, and behind a test of the sender (its address, its User-Agent, its rate): scanners are not answered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from . import ast
from .rule import Judged, Problem, rule

ANSWERING = re.compile(
    r"reply|relay|challenge|forward|redirect|^b2b_|^handle_|^save$|registrar_save|^route_to|publish|_call$|^send$|replicate"
)
NOT_ANSWERING = {"append_to_reply", "t_local_replied", "change_reply_status", "kafka_publish", "rabbitmq_publish", "t_write_req"}
SENDER_FUNCTIONS = {"pike_check_req", "check_source_address", "check_address", "get_source_group", "is_maxfwd_lt", "t_check_trans"}
SENDER_VARIABLES = re.compile(r"\$\(?(?:ua|si|sp|Ri|Rp|socket_in|proto|src_ip)\b")


class State(NamedTuple):
    answered: bool = False
    meant: bool = False


class Ways(NamedTuple):
    """Where the ways through some statements lead: on, out of the loop, back to the caller. Those that end are noted as they are found."""

    on: frozenset[State]
    broken: frozenset[State] = frozenset()
    returned: frozenset[State] = frozenset()


def answers(call: ast.Call) -> bool:
    if call.name in NOT_ANSWERING or not ANSWERING.search(call.name):
        return False
    return not any(isinstance(argument, ast.Text) and "no-reply" in argument.value for argument in call.arguments)


def _methods(condition: ast.Node) -> Iterator[tuple[bool, str]]:
    """(negated, methods) for tests of the method in a condition."""

    def look(node: ast.Node, negated: bool) -> Iterator[tuple[bool, str]]:
        if isinstance(node, ast.Negated):
            yield from look(node.inner, not negated)
        elif isinstance(node, ast.Grouped):
            yield from look(node.inner, negated)
        elif isinstance(node, ast.Logic):
            yield from look(node.left, negated)
            yield from look(node.right, negated)
        elif isinstance(node, ast.Call) and node.name == "is_method":
            first = node.arguments[0] if node.arguments else None
            yield negated, first.value if isinstance(first, ast.Text) else ""
        elif isinstance(node, ast.Comparison) and node.variable.text == "$rm" and isinstance(node.value, ast.Text):
            yield negated != (node.operator in ("!=", "!~")), node.value.value

    yield from look(condition, False)


def _sender_test(condition: ast.Node) -> bool:
    for node in ast.walk(condition):
        if isinstance(node, ast.Call) and node.name in SENDER_FUNCTIONS:
            return True
        if isinstance(node, ast.Variable) and SENDER_VARIABLES.match(node.text):
            return True
    return False


def _meant(condition: ast.Node) -> tuple[bool, bool]:
    """Whether silence is meant where the condition holds, and where it does not."""
    then = otherwise = False
    for negated, methods in _methods(condition):
        if re.search(r"ACK|CANCEL", methods):
            then, otherwise = then or not negated, otherwise or negated
    return then or _sender_test(condition), otherwise


class Walk:
    """One walk over the script, from the main route."""

    def __init__(self, judged: Judged) -> None:
        self.routes = {block.name: block for block in judged.script.blocks if block.kind == "route"}
        self.silent: dict[int, str] = {}  # line of an exit -> its word
        self.known: dict[tuple[str, State], frozenset[State]] = {}
        self.open: set[tuple[str, State]] = set()

    def main(self) -> frozenset[State]:
        ways = self.statements(self.routes[""].body, frozenset([State()]))
        return ways.on | ways.returned

    def route(self, name: str, state: State) -> frozenset[State]:
        """States in which a called route comes back."""
        key = (name, state)
        if name not in self.routes or key in self.open:
            return frozenset([state]) if name not in self.routes else frozenset()
        if key not in self.known:
            self.open.add(key)
            ways = self.statements(self.routes[name].body, frozenset([state]))
            self.known[key] = ways.on | ways.returned
            self.open.discard(key)
        return self.known[key]

    def expression(self, node: ast.Node | None, states: frozenset[State]) -> frozenset[State]:
        """What calls inside an expression do."""
        for inner in ast.walk(node):
            if isinstance(inner, ast.Call) and answers(inner):
                states = frozenset(state._replace(answered=True) for state in states)
            elif isinstance(inner, ast.RouteCall):
                states = self._called(inner, states)
        return states

    def _called(self, call: ast.RouteCall, states: frozenset[State]) -> frozenset[State]:
        if isinstance(call.target, ast.Variable):  # anything may happen there
            return frozenset(state._replace(answered=True) for state in states)
        name = "" if call.target == "0" else call.target
        return frozenset(after for state in states for after in self.route(name, state))

    def statements(self, body: tuple[ast.Node, ...], states: frozenset[State]) -> Ways:
        broken: frozenset[State] = frozenset()
        returned: frozenset[State] = frozenset()
        for node in body:
            if not states:
                break
            ways = self.statement(node, states)
            states, broken, returned = ways.on, broken | ways.broken, returned | ways.returned
        return Ways(states, broken, returned)

    def statement(self, node: ast.Node, states: frozenset[State]) -> Ways:
        none: frozenset[State] = frozenset()
        if isinstance(node, ast.If):
            return self._if(node, states)
        if isinstance(node, ast.While | ast.For):
            return self._loop(node, states)
        if isinstance(node, ast.Switch):
            return self._switch(node, states)
        if isinstance(node, ast.Break):
            return Ways(none, states)
        if isinstance(node, ast.Leave):
            if node.kind == "return":
                return Ways(none, none, states)
            if any(not state.answered and not state.meant for state in states):
                self.silent.setdefault(node.line, node.kind)
            return Ways(none)
        if isinstance(node, ast.Deferred) and node.kind == "async":  # the request goes on in another route
            return Ways(none)
        return Ways(self.expression(node, states))

    def _if(self, node: ast.If, states: frozenset[State]) -> Ways:
        states = self.expression(node.condition, states)
        then_meant, otherwise_meant = _meant(node.condition)
        inside = self.statements(node.then, frozenset(s._replace(meant=s.meant or then_meant) for s in states))
        if node.otherwise is not None:
            otherwise_meant = otherwise_meant or _sender_test(node.condition)
        outside = self.statements(node.otherwise or (), frozenset(s._replace(meant=s.meant or otherwise_meant) for s in states))
        return Ways(inside.on | outside.on, inside.broken | outside.broken, inside.returned | outside.returned)

    def _loop(self, node: ast.While | ast.For, states: frozenset[State]) -> Ways:
        returned: frozenset[State] = frozenset()
        on = self.expression(node.condition, states) if isinstance(node, ast.While) else states
        for _ in range(4):  # there are four states
            ways = self.statements(node.body, on)
            on, returned = on | ways.on | ways.broken, returned | ways.returned
        return Ways(on, frozenset(), returned)

    def _switch(self, node: ast.Switch, states: frozenset[State]) -> Ways:
        meant = SENDER_VARIABLES.match(node.variable.text) is not None
        falling: frozenset[State] = frozenset()
        on: frozenset[State] = frozenset()
        returned: frozenset[State] = frozenset()
        for case in node.cases:
            silent = meant or (isinstance(case.value, ast.Text) and case.value.value in ("ACK", "CANCEL"))
            ways = self.statements(case.body, falling | frozenset(s._replace(meant=s.meant or silent) for s in states))
            falling, on, returned = ways.on, on | ways.broken, returned | ways.returned
        if all(case.value is not None for case in node.cases):
            on |= states
        return Ways(on | falling, frozenset(), returned)


def _walked(judged: Judged) -> tuple[Walk, frozenset[State]] | None:
    walk = Walk(judged)
    if "" not in walk.routes or any(isinstance(node, ast.Include) for node in judged.nodes):
        return None
    return walk, walk.main()


@rule("SCRIPT040", "error", "a request that reaches the end of the main route without an answer")
def main_route_answers(judged: Judged) -> Iterator[Problem]:
    """Whoever sent it waits until it times out, and sends it again and again."""
    walked = _walked(judged)
    if walked and any(not state.answered and not state.meant for state in walked[1]):
        line = walked[0].routes[""].line
        yield line, "a request can reach the end of the main route without an answer", "Answer it there, with send_reply() for example"


@rule("SCRIPT041", "warning", "a route that ends a request without an answer")
def exits_answer(judged: Judged) -> Iterator[Problem]:
    """Whoever sent it waits until it times out. Silence towards scanners is right: behind a test of the sender it is taken as meant."""
    walked = _walked(judged)
    for line, word in sorted(walked[0].silent.items()) if walked else ():
        yield (
            line,
            f"this {word} can be reached without an answer to the request",
            "Answer before it, or write # lint: SCRIPT041 and why not",
        )


RULES = (main_route_answers, exits_answer)
