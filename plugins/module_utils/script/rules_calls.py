"""Rules about what routes call and compare: functions and their flags, variables, regular expressions. Other arguments: rules_arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator

from . import ast
from .choices import FLAGS, SUBSTITUTIONS
from .expressions import SUBSTITUTION, regex_error, strange_escape, substitution, variable_names
from .rule import Judged, Problem, elsewhere, guess, rule

REPLACED = {
    "append_branch": "append_msg_branch",
    "remove_branch": "remove_msg_branch",
    "avp_db_query": "sql_query",
    "avp_db_load": "sql_avp_load",
    "avp_db_store": "sql_avp_store",
    "avp_db_delete": "sql_avp_delete",
    "append_msg_branch": "append_branch",
    "sql_query": "avp_db_query",
}


def _all_functions(judged: Judged) -> set[str]:
    return {*judged.engine.functions, *(name for module in judged.known for name in module.functions)}


@rule("SCRIPT030", "error", "a function that this version does not have")
def known_functions(judged: Judged) -> Iterator[Problem]:
    """The engine refuses the whole script."""
    if judged.partial:
        return
    for _, call in judged.calls:
        if call.name not in judged.engine.functions and call.name not in judged.engine.owners:
            note = elsewhere(
                judged.version,
                lambda other, name=call.name: name in other.functions or name in other.owners,  # type: ignore[misc]
            )
            instead = REPLACED.get(call.name, "")
            has = instead in judged.engine.functions or instead in judged.engine.owners
            remedy = f"Use {instead}" if has else guess(call.name, _all_functions(judged), "Remove it")
            yield call.line, f"OpenSIPS {judged.version} has no function {call.name}(){note}", remedy
    for node in judged.nodes:
        if isinstance(node, ast.Deferred) and node.call.name not in judged.engine.deferred_owners:
            problem = f"OpenSIPS {judged.version} has no {node.call.name}() for {node.kind}()"
            yield node.line, problem, guess(node.call.name, judged.engine.deferred_owners, "Call it directly")


@rule("SCRIPT031", "error", "a function of a module that is not loaded")
def functions_have_modules(judged: Judged) -> Iterator[Problem]:
    """The engine refuses the whole script."""
    if judged.partial:
        return
    wanted = [(call.line, call.name, judged.engine.owners) for _, call in judged.calls if call.name not in judged.engine.functions]
    wanted += [(node.line, node.call.name, judged.engine.deferred_owners) for node in judged.nodes if isinstance(node, ast.Deferred)]
    for line, name, by_name in wanted:
        owners = by_name.get(name, [])
        if owners and not any(owner in judged.loaded for owner in owners):
            modules = " or ".join(sorted(owners))
            yield line, f"{name}() is a function of module {modules}, which is not loaded", f"Load {modules}"


@rule("SCRIPT034", "error", "a flag that the function does not know")
def known_flags(judged: Judged) -> Iterator[Problem]:
    """opensips -C lets it pass; the engine does not start. create_dialog() before 4.0 and sipmsg_validate() ignore the flag in silence."""
    for _, call in judged.calls:
        for flags in FLAGS.get(call.name, ()):
            argument = call.arguments[flags.argument] if flags.argument < len(call.arguments) else None
            if judged.version in flags.versions and isinstance(argument, ast.Text) and "$" not in argument.value:
                for wrong in dict.fromkeys(flags.wrong(argument.value)):
                    problem = f"{call.name}() of OpenSIPS {judged.version} has no flag '{wrong[:40]}'"
                    yield call.line, problem, guess(wrong, flags.names, f"Use some of: {', '.join((*flags.names, *flags.with_value))}")


def _variables(judged: Judged) -> Iterator[tuple[int, str]]:
    for _, nodes in judged.by_block:
        for node in nodes:
            if isinstance(node, ast.Variable):
                for name in variable_names(node.text):
                    yield node.line, name
            elif isinstance(node, ast.Call) and node.name == "xlog" and node.arguments and isinstance(node.arguments[-1], ast.Text):
                for name in variable_names(node.arguments[-1].value):
                    yield node.line, name


@rule("SCRIPT035", "error", "a variable that does not exist, or is of a module that is not loaded")
def known_variables(judged: Judged) -> Iterator[Problem]:
    """The engine refuses the script; in a text for xlog() it finds out only when it starts."""
    if judged.partial:
        return
    for line, name in _variables(judged):
        if name in judged.engine.variables:
            continue
        owners = judged.engine.variable_owners.get(name, [])
        if not owners:
            known = {*judged.engine.variables, *judged.engine.variable_owners}
            yield line, f"OpenSIPS {judged.version} has no variable ${name}", guess(name, known, "Correct its name")
        elif not any(owner in judged.loaded for owner in owners):
            modules = " or ".join(sorted(owners))
            yield line, f"${name} is a variable of module {modules}, which is not loaded", f"Load {modules}"


def _patterns(judged: Judged) -> Iterator[tuple[int, str | None]]:
    """Regular expressions by line; None for a substitution that is none."""
    for _, nodes in judged.by_block:
        for node in nodes:
            if isinstance(node, ast.Comparison) and node.operator in ("=~", "!~") and isinstance(node.value, ast.Text):
                yield node.line, node.value.value
            elif isinstance(node, ast.Variable):
                for text in SUBSTITUTION.findall(node.text):
                    yield node.line, substitution(re.sub(r"\\([{}])", r"\1", text))
            elif isinstance(node, ast.Call):
                function = judged.function(node.name)
                places = function.patterns if function else ()
                for place in places:
                    argument = node.arguments[place] if place < len(node.arguments) else None
                    if isinstance(argument, ast.Text) and "$(" not in argument.value:
                        yield node.line, argument.value
                if node.name in SUBSTITUTIONS and node.arguments and isinstance(node.arguments[0], ast.Text):
                    yield node.line, substitution(node.arguments[0].value)


@rule("SCRIPT036", "error", "a regular expression that does not compile")
def regexes_compile(judged: Judged) -> Iterator[Problem]:
    """opensips -C lets it pass. The engine then does not start; one in {re.subst} fails at every request. They are POSIX extended ones."""
    for line, pattern in _patterns(judged):
        if pattern is None:
            yield line, "a substitution that is not /expression/replacement/flags", "Write it so"
        elif problem := regex_error(pattern):
            yield (
                line,
                f"'{pattern[:60]}' is no regular expression: {problem}",
                "Write it as POSIX extended regular expressions are written",
            )


@rule("SCRIPT038", "warning", "Perl's writing in a regular expression")
def regexes_are_posix(judged: Judged) -> Iterator[Problem]:
    """It compiles and matches something else."""
    for line, pattern in _patterns(judged):
        if pattern and not regex_error(pattern) and (strange := strange_escape(pattern)):
            yield line, f"in '{pattern[:60]}' {strange}", "Use classes like [0-9], [[:space:]], [[:alpha:]]"


def _or_below(node: ast.Node) -> bool:
    while isinstance(node, ast.Logic):
        if node.operator == "or":
            return True
        node = node.left
    return False


@rule("SCRIPT037", "warning", "|| before && without parentheses")
def logic_is_grouped(judged: Judged) -> Iterator[Problem]:
    """The engine gives both the same precedence, from left to right: a || b && c is (a || b) && c, other than in most languages."""
    for node in judged.nodes:
        if isinstance(node, ast.Logic) and node.operator == "and" and _or_below(node.left):
            yield node.line, "&& follows || without parentheses, and the engine goes from left to right", "Put parentheses"


RULES = (
    known_functions,
    functions_have_modules,
    known_flags,
    known_variables,
    regexes_compile,
    logic_is_grouped,
    regexes_are_posix,
)
