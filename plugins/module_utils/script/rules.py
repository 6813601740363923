"""All rules over a script, and the judgement of one script, or of those of all proxies. Ids never change meaning."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address

from . import ast, rules_arguments, rules_calls, rules_modules, rules_paths, rules_routes, rules_values
from .engine import UnknownVersionError
from .grammar import ScriptError, parse
from .rule import Finding, Judged, Rule, found_elsewhere

SYNTAX = found_elsewhere("SCRIPT001", "error", "a script that can't be read", "The engine refuses it, and nothing else can be judged.")
SOCKETS = found_elsewhere(
    "SCRIPT060",
    "error",
    "sockets that are not the same on every proxy",
    "A registration is stored with the socket it came in on: where the other proxy does not have it, the phone is not reached after a "
    "failover. Only a proxy's own core address may differ. The order counts too: the first socket is that of every request sent.",
)
PLACES = found_elsewhere(
    "SCRIPT061",
    "error",
    "a socket that the cluster needs and the script lacks, or one at an address that the proxy does not have",
    "Proxies may bind addresses that they do not have, as standbys bind VIPs: the engine starts with any, and nobody hears it there.",
)
FAMILIES: tuple[tuple[str, tuple[Rule, ...]], ...] = (
    ("Reading", (SYNTAX,)),
    ("Settings, modules, parameters", rules_modules.RULES),
    ("Routes", rules_routes.RULES),
    ("Calls and their arguments", rules_arguments.RULES),
    ("Functions, variables, expressions", rules_calls.RULES),
    ("Answers", rules_paths.RULES),
    ("Flags and variables", rules_values.RULES),
    ("All proxies together", (SOCKETS, PLACES)),
)
RULES: tuple[Rule, ...] = tuple(rule for _, rules in FAMILIES for rule in rules)


def _waived(finding: Finding, remarks: Mapping[int, str]) -> Finding:
    """A remark "# lint: SCRIPT041 reason" on the line or the one above makes a warning of a finding; without a reason it does nothing."""
    for line in (finding.line, finding.line - 1):
        match = re.match(rf"{finding.id}\b[\s:,-]*(.*\S)", remarks.get(line, ""))
        if match:
            return replace(finding, severity="warning", waived=match[1].rstrip("."))
    return finding


def judge(script: ast.Script, version: str) -> list[Finding]:
    judged = Judged(script, version)
    found = [_waived(finding, script.remarks) for rule in RULES for finding in rule(judged)]
    return sorted(found, key=lambda f: (f.severity != "error", f.line, f.id))


def findings(text: str, version: str) -> list[Finding]:
    """Everything wrong with a script, errors first. Text that is no script is one finding."""
    try:
        return judge(parse(text), version)
    except ScriptError as error:
        return [Finding(SYNTAX.id, "error", error.line, f"column {error.column}: {error.problem}", "Correct it")]
    except UnknownVersionError as error:
        return [Finding(SYNTAX.id, "error", 1, str(error), "Set sipha_opensips_version to one of them")]
    except RecursionError:
        return [Finding(SYNTAX.id, "error", 1, "it is nested too deep to be judged", "Split it into routes")]


def sockets(script: ast.Script) -> list[tuple[str, int]]:
    """What it listens on, in its order, with lines; old scripts say listen."""
    return [(" ".join(item.value), item.line) for item in script.settings if item.name in ("socket", "listen")]


def _place(socket: str) -> tuple[str, str, str]:
    """Protocol, address and port of a socket, port "" where it says none."""
    match = re.match(r"(\w+):(\[[^\]]+\]|[^:\s]+)(?::(\d+))?", socket)
    return (match[1].lower(), match[2].strip("[]"), match[3] or "") if match else ("", "", "")


def _elsewhere(address: str, own: Sequence[str]) -> bool:
    """Is it an address that this host does not have? Names of hosts and interfaces can't be judged here."""
    try:
        there = ip_address(address)
    except ValueError:
        return False
    return not (there.is_loopback or there.is_unspecified or there in {ip_address(one) for one in own})


def place_findings(text: str, needed: Sequence[str], own: Sequence[str], host: str = "") -> list[Finding]:
    """SCRIPT061 over one script: the sockets that must be there, like udp:198.18.10.10:5060, and the addresses that the host has."""
    try:
        script = parse(text)
    except ScriptError:
        return []  # judge says it
    there = [(_place(socket), line) for socket, line in sockets(script)]
    first = there[0][1] if there else 1
    found = []
    for socket in needed:
        protocol, address, port = _place(socket)
        if (protocol, address, port) not in [place for place, _ in there]:
            near = [f"{at[2] or 'none'}" for at, _ in there if at[:2] == (protocol, address)]
            problem = f"there is no socket {socket}{f', its port is {near[0]}' if near else ''}"
            found.append(Finding(PLACES.id, "error", first, problem, "The others of this cluster look for it there", host))
    for (protocol, address, port), line in there:
        if own and _elsewhere(address, own):
            problem = f"socket {protocol}:{address}{f':{port}' if port else ''} is at an address that {host or 'this host'} does not have"
            found.append(_waived(Finding(PLACES.id, "error", line, problem, "Use one of its own, or a VIP", host), script.remarks))
    return found


def _own_address(script: ast.Script) -> str:
    """A proxy's core address: where its replication listens."""
    for text, _ in sockets(script):
        match = re.match(r"bins?:(\[[^\]]+\]|[^:\s]+)", text)
        if match:
            return match[1]
    return ""


def socket_findings(scripts: Mapping[str, str], core: Mapping[str, str] | None = None) -> list[Finding]:
    """SCRIPT060 over the scripts of all proxies by host; core addresses by host, or else those of the bin sockets."""
    seen: dict[str, list[tuple[str, int]]] = {}
    found = []
    for host, text in sorted(scripts.items()):
        try:
            script = parse(text)
        except ScriptError as error:
            found.append(Finding(SYNTAX.id, "error", error.line, f"column {error.column}: {error.problem}", "Correct it", host))
            continue
        own = (core or {}).get(host) or _own_address(script)
        pattern = re.compile(rf"(?<![\w.]){re.escape(own)}(?![\w.])") if own else None
        seen[host] = [(pattern.sub("(own core address)", line) if pattern else line, number) for line, number in sockets(script)]
    if not seen:
        return found
    first, *others = seen
    wanted = seen[first]
    for host in others:
        mine = seen[host]
        texts, wanted_texts = [text for text, _ in mine], [text for text, _ in wanted]
        line = mine[0][1] if mine else 1
        remedy = f"Write the same socket lines as on {first}"
        found += [
            Finding(SOCKETS.id, "error", n, f"socket {text} is not on {first}", remedy, host)
            for text, n in mine
            if text not in wanted_texts
        ]
        found += [
            Finding(SOCKETS.id, "error", line, f"socket {text} is missing", remedy, host) for text in wanted_texts if text not in texts
        ]
        if texts != wanted_texts and sorted(texts) == sorted(wanted_texts):
            found.append(Finding(SOCKETS.id, "error", line, f"sockets are in another order than on {first}", remedy, host))
    return found
