"""A script as data. Two scripts are equal when they say the same: lines do not count, nor do comments and white space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class Node:
    line: int = field(compare=False, repr=False)


@dataclass(frozen=True)
class Text(Node):
    value: str
    quote: str = '"'


@dataclass(frozen=True)
class Number(Node):
    value: int


@dataclass(frozen=True)
class Null(Node):
    pass


@dataclass(frozen=True)
class Address(Node):
    value: str


@dataclass(frozen=True)
class Variable(Node):
    text: str  # as written: $var(x), $(hdr(CSeq){re.subst,/a/b/})


Argument = Text | Number | Null | Variable | None  # None: left out, as in save("location", , , "vip")


@dataclass(frozen=True)
class Call(Node):
    name: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class RouteCall(Node):
    target: str | Variable
    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class Assertion(Node):
    condition: Node


@dataclass(frozen=True)
class Leave(Node):
    kind: str  # exit, drop, return
    values: tuple[Argument, ...] = ()


@dataclass(frozen=True)
class Deferred(Node):
    kind: str  # async, launch
    call: Call
    route: str  # "" for a launch that nothing waits for


@dataclass(frozen=True)
class Assignment(Node):
    variable: Variable
    operator: str
    value: Node


@dataclass(frozen=True)
class Logic(Node):
    operator: str  # and, or
    left: Node
    right: Node


@dataclass(frozen=True)
class Negated(Node):
    inner: Node


@dataclass(frozen=True)
class Grouped(Node):
    inner: Node


@dataclass(frozen=True)
class Comparison(Node):
    variable: Variable
    operator: str
    value: Node


@dataclass(frozen=True)
class Arithmetic(Node):
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Inner(Node):
    body: tuple[Node, ...]


@dataclass(frozen=True)
class If(Node):
    condition: Node
    then: tuple[Node, ...]
    otherwise: tuple[Node, ...] | None


@dataclass(frozen=True)
class While(Node):
    condition: Node
    body: tuple[Node, ...]


@dataclass(frozen=True)
class For(Node):
    variable: Variable
    source: Variable
    body: tuple[Node, ...]


@dataclass(frozen=True)
class Case(Node):
    value: Node | None  # None: default
    body: tuple[Node, ...]


@dataclass(frozen=True)
class Switch(Node):
    variable: Variable
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Break(Node):
    pass


@dataclass(frozen=True)
class Nothing(Node):
    pass


@dataclass(frozen=True)
class Include(Node):
    path: str


@dataclass(frozen=True)
class Setting(Node):
    name: str
    value: tuple[str, ...]  # its words and marks, strings without their quotes


@dataclass(frozen=True)
class LoadModule(Node):
    path: str

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1].removesuffix(".so")


@dataclass(frozen=True)
class ModParam(Node):
    module: str  # a regular expression: "usrloc|registrar" sets both
    name: str
    value: Text | Number


@dataclass(frozen=True)
class Block(Node):
    kind: str  # route, failure_route, ...
    name: str  # "" for those that have none, and for the main route
    interval: str  # of a timer_route
    body: tuple[Node, ...]

    @property
    def title(self) -> str:
        return f"{self.kind}[{self.name}]" if self.name else self.kind


@dataclass(frozen=True)
class Script:
    items: tuple[Node, ...]
    remarks: dict[int, str] = field(compare=False, default_factory=dict)  # "lint: ..." comments by line

    @property
    def settings(self) -> list[Setting]:
        return [item for item in self.items if isinstance(item, Setting)]

    @property
    def modules(self) -> list[LoadModule]:
        return [item for item in self.items if isinstance(item, LoadModule)]

    @property
    def parameters(self) -> list[ModParam]:
        return [item for item in self.items if isinstance(item, ModParam)]

    @property
    def blocks(self) -> list[Block]:
        return [item for item in self.items if isinstance(item, Block)]


def walk(node: object) -> Iterator[Node]:
    """A node and everything below it, in the order of the script."""
    if isinstance(node, tuple):
        for item in node:
            yield from walk(item)
    elif isinstance(node, Node):
        yield node
        for entry in fields(node):
            if entry.name != "line":
                yield from walk(getattr(node, entry.name))
