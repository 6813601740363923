"""Rules about the first part of a script: core settings, modules, their order and parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from . import ast
from .choices import NONCE_SECRET_LENGTH, VALUES
from .engine import DRIVERS
from .rule import Judged, Problem, elsewhere, guess, rule

REPLACED_SETTINGS = {
    "listen": "socket",
    "log_stderror": "stderror_enabled and syslog_enabled",
    "log_facility": "syslog_facility",
    "log_name": "syslog_name",
    "children": "udp_workers",
    "debug": "log_level",
    "port": "socket",
}
REPLACED_MODULES = {
    "avpops": "the core's avp functions and module sqlops",
    "event_route": "the core's event_route[...], without loadmodule",
    "uri": "auth_db and sipmsgops",
    "mi_xmlrpc_ng": "mi_xmlrpc",
}
SOCKETS = ("socket", "listen")
PROTOCOLS = {"hep_udp": "proto_hep", "hep_tcp": "proto_hep", "hep_tls": "proto_hep"}
REPEATABLE_SETTINGS = {"socket", "listen", "alias", "mem-group", "dst_blacklist", "auto_scaling_profile", "mpath", "xlog_level"}


@rule("SCRIPT002", "error", "a core setting that this version does not have")
def known_settings(judged: Judged) -> Iterator[Problem]:
    """The engine refuses the whole script."""
    known = judged.engine.settings
    for item in judged.script.settings:
        if item.name not in known:
            note = elsewhere(judged.version, lambda other, name=item.name: name in other.settings)  # type: ignore[misc]
            instead = REPLACED_SETTINGS.get(item.name)
            remedy = f"Use {instead}" if instead else guess(item.name, known, "Remove it")
            yield item.line, f"OpenSIPS {judged.version} has no core setting {item.name}{note}", remedy


@rule("SCRIPT003", "error", "a module that this version does not have")
def known_modules(judged: Judged) -> Iterator[Problem]:
    """The engine refuses the whole script. A module of your own needs a remark: nothing here can judge what it brings."""
    known = judged.engine.modules
    for item in judged.script.modules:
        if item.name not in known:
            note = elsewhere(judged.version, lambda other, name=item.name: name in other.modules)  # type: ignore[misc]
            instead = REPLACED_MODULES.get(item.name)
            remedy = f"Use {instead}" if instead else guess(item.name, known, "Remove it")
            yield item.line, f"OpenSIPS {judged.version} has no module {item.name}{note}", remedy


@rule("SCRIPT004", "error", "a module that is loaded twice")
def loaded_once(judged: Judged) -> Iterator[Problem]:
    """The engine refuses the whole script, saying that it did not find the module."""
    for item in judged.script.modules:
        first = judged.loaded[item.name]
        if first is not item:
            yield item.line, f"module {item.name} is loaded in line {first.line} already", "Remove one of them"


@rule("SCRIPT005", "error", "a module without one that it needs")
def needs_are_loaded(judged: Judged) -> Iterator[Problem]:
    """The engine does not start."""
    if judged.partial:
        return
    for module in judged.known:
        for need in module.needs:
            if need not in judged.loaded:
                line = judged.loaded[module.name].line
                yield line, f"module {module.name} needs module {need}, which is not loaded", f'Add loadmodule "{need}.so" before it'


@rule("SCRIPT006", "warning", "a module before one that it builds on")
def order_of_modules(judged: Judged) -> Iterator[Problem]:
    """The engine sorts the initialisation itself, so it starts. Who reads the script should see what builds on what: proto_bin stands
    before clusterer, tm before dialog."""
    order = list(judged.loaded)
    for module in judged.known:
        for other in (*module.needs, *module.after):
            mutual = other in judged.engine.modules and module.name in (
                *judged.engine.modules[other].needs,
                *judged.engine.modules[other].after,
            )
            if other in judged.loaded and order.index(other) > order.index(module.name) and not mutual:
                if other in module.after and not other.startswith("proto_"):
                    continue  # only a preference, for when both are there
                problem = f"module {module.name} is loaded before {other}, which it builds on"
                yield judged.loaded[module.name].line, problem, f"Load {other} first"


def _driver(value: str) -> str:
    scheme = re.match(r"([a-z_]+)://", value)
    return DRIVERS.get(scheme[1], f"db_{scheme[1]}") if scheme else ""


@rule("SCRIPT007", "error", "a database URL whose driver is not loaded")
def drivers_are_loaded(judged: Judged) -> Iterator[Problem]:
    """The module that has the URL can't reach its database, and the engine does not start."""
    for item in judged.script.parameters:
        if item.name.endswith("db_url") and isinstance(item.value, ast.Text) and not judged.partial:
            driver = _driver(item.value.value)
            if driver in judged.engine.modules and driver not in judged.loaded:
                problem = f"{item.module} has a URL for {driver}, which is not loaded"
                yield item.line, problem, f'Add loadmodule "{driver}.so", or correct the URL'


@rule("SCRIPT008", "error", "a socket whose protocol no loaded module serves")
def protocols_are_loaded(judged: Judged) -> Iterator[Problem]:
    """The engine does not start."""
    for item in judged.script.settings:
        protocol = item.value[0].partition(":")[0] if item.name in SOCKETS else ""
        module = PROTOCOLS.get(protocol, f"proto_{protocol}")
        if module in judged.engine.modules and module not in judged.loaded and not judged.partial:
            yield (
                item.line,
                f"socket {' '.join(item.value)[:60]} needs module {module}, which is not loaded",
                f'Add loadmodule "{module}.so"',
            )


@rule("SCRIPT009", "error", "a socket that is not protocol:address:port")
def sockets_can_be_read(judged: Judged) -> Iterator[Problem]:
    """The engine refuses the whole script."""
    for item in judged.script.settings:
        if item.name in SOCKETS:
            protocol, colon, rest = item.value[0].partition(":")
            known = f"proto_{protocol}" in judged.engine.modules or protocol in (*PROTOCOLS, "bond")
            if not colon or not (rest or len(item.value) > 1):
                yield item.line, f"'{' '.join(item.value)[:60]}' is no socket", "Write it as udp:192.0.2.1:5060"
            elif not known:
                yield item.line, f"OpenSIPS {judged.version} has no protocol {protocol[:20]}", "Use udp, tcp, tls, ws, wss, bin or another"


@rule("SCRIPT010", "error", "a parameter of a module that is not loaded, or not yet")
def parameters_have_modules(judged: Judged) -> Iterator[Problem]:
    """The engine refuses the whole script: it looks for the module when it reads the parameter."""
    for item in judged.script.parameters:
        names = judged.parameter_modules(item)
        if not names:
            if not any(isinstance(node, ast.Include) for node in judged.script.items):
                yield item.line, f"{item.name} is a parameter of {item.module}, which is not loaded", f"Load {item.module}, or remove it"
        elif all(judged.loaded[name].line > item.line for name in names):
            problem = f"{item.name} of {item.module} is set before the module is loaded, in line {judged.loaded[names[0]].line}"
            yield item.line, problem, "Move it below"


@rule("SCRIPT011", "error", "a parameter that the module does not have in this version")
def known_parameters(judged: Judged) -> Iterator[Problem]:
    """The engine refuses the whole script."""
    for item in judged.script.parameters:
        for name in judged.parameter_modules(item):
            module = judged.engine.modules.get(name)
            if module is None or item.name in module.parameters:
                continue
            note = elsewhere(
                judged.version,
                lambda other, name=name, item=item: name in other.modules and item.name in other.modules[name].parameters,  # type: ignore[misc]
            )
            problem = f"{name} of OpenSIPS {judged.version} has no parameter {item.name}{note}"
            yield item.line, problem, guess(item.name, module.parameters, "Remove it")


@rule("SCRIPT012", "warning", "a setting or parameter that is set twice")
def set_once(judged: Judged) -> Iterator[Problem]:
    """The last one wins, in silence. Parameters that add up, like neighbor_node_info, may be repeated."""
    seen: dict[tuple[str, str], ast.Node] = {}
    for item in judged.script.settings:
        if item.name not in REPEATABLE_SETTINGS and ("", item.name) in seen:
            yield item.line, f"{item.name} is set in line {seen['', item.name].line} already, and this one wins", "Remove one of them"
        seen[("", item.name)] = item
    for parameter in judged.script.parameters:
        for name in judged.parameter_modules(parameter):
            module = judged.engine.modules.get(name)
            before = seen.get((name, parameter.name))
            if before is not None and module is not None and parameter.name not in module.repeatable:
                problem = f"{parameter.name} of {name} is set in line {before.line} already, and this one wins"
                yield parameter.line, problem, "Remove one of them"
            seen[(name, parameter.name)] = parameter


@rule("SCRIPT013", "error", "a value that the parameter does not know")
def known_values(judged: Judged) -> Iterator[Problem]:
    """opensips -C lets it pass; the engine then does not start."""
    for item in judged.script.parameters:
        for name in judged.parameter_modules(item):
            known = VALUES.get((name, item.name))
            if known and isinstance(item.value, ast.Text) and item.value.value.lower() not in known:
                problem = f"{item.name} of {name} can't be '{item.value.value[:40]}'"
                yield item.line, problem, guess(item.value.value, known, f"Use one of: {', '.join(known)}")
            if (name, item.name) == ("auth", "secret") and isinstance(item.value, ast.Text):
                length = len(item.value.value.encode())
                if length != NONCE_SECRET_LENGTH:
                    yield item.line, f"the secret of auth has {length} bytes", f"Make it exactly {NONCE_SECRET_LENGTH} long"


@rule("SCRIPT014", "warning", "a file that is included")
def nothing_is_included(judged: Judged) -> Iterator[Problem]:
    """What stands there is not judged: rules that need the whole script keep silent."""
    for node in judged.nodes:
        if isinstance(node, ast.Include):
            yield node.line, f"{node.path} is included and was not read", "Put its text into the script"


RULES = (
    known_settings,
    known_modules,
    loaded_once,
    needs_are_loaded,
    order_of_modules,
    drivers_are_loaded,
    protocols_are_loaded,
    sockets_can_be_read,
    parameters_have_modules,
    known_parameters,
    set_once,
    known_values,
    nothing_is_included,
)
