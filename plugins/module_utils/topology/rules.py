"""All rules over a Topology, and the judgement. Rules are in rules_*.py by family; ids never change meaning."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from . import (
    live,
    rules_capacity,
    rules_database,
    rules_inventory,
    rules_live,
    rules_media,
    rules_network,
    rules_placement,
    rules_script,
    rules_security,
    rules_timers,
    rules_vrrp,
)
from .model import Finding, Topology
from .rule import Rule
from .whatif import WHATIF_RULES

FAMILIES: tuple[tuple[str, tuple[Rule, ...]], ...] = (
    ("The inventory itself", rules_inventory.RULES),
    ("Addresses and networks", rules_network.RULES),
    ("VIPs and VRRP", rules_vrrp.RULES),
    ("The database", rules_database.RULES),
    ("Where hosts are", rules_placement.RULES),
    ("The engine's script and sockets", rules_script.RULES),
    ("Media relays", rules_media.RULES),
    ("Timers that fit each other", rules_timers.RULES),
    ("Capacity", rules_capacity.RULES),
    ("Security and versions", rules_security.RULES),
    ("What a loss would cost", WHATIF_RULES),
)
RULES: tuple[Rule, ...] = tuple(rule for _, rules in FAMILIES for rule in rules)
LIVE_RULES = rules_live.RULES


def unknown_variables(defined: Mapping[str, Iterable[str]], known: set[str], prefixes: tuple[str, ...]) -> list[Finding]:
    """INV004: a variable with one of our prefixes that nothing reads."""
    where: dict[str, list[str]] = {}
    for host, names in defined.items():
        for name in names:
            if name.startswith(prefixes) and name not in known:
                where.setdefault(name, []).append(host)
    findings = []
    for name, hosts in sorted(where.items()):
        close = difflib.get_close_matches(name, sorted(known), n=1)
        remedy = f"Did you mean {close[0]}" if close else "Remove it, or give it a prefix of your own"
        findings.append(Finding("INV004", "error", "" if len(hosts) > 1 else hosts[0], name, "nothing reads this variable", remedy))
    return findings


def _waive(findings: list[Finding], waivers: Mapping[object, object]) -> list[Finding]:
    """Waived findings become warnings that say why; a waiver that does nothing is a finding itself."""
    rules: dict[str, Rule | live.LiveRule] = {**{rule.id: rule for rule in RULES}, **{rule.id: rule for rule in LIVE_RULES}}
    later = {rule.id for rule in LIVE_RULES}  # judged once the hosts have been looked at
    found = {finding.id for finding in findings}
    reasons: dict[str, str] = {}
    about: list[Finding] = []

    def wrong(identity: str, severity: str, problem: str, remedy: str) -> None:
        about.append(Finding(identity, severity, "", "sipha_waivers", problem, remedy))

    for key, value in waivers.items():
        name, reason = str(key), value.strip() if isinstance(value, str) else ""
        if name not in rules and name not in found:
            close = difflib.get_close_matches(name.upper(), sorted(rules), n=1)
            guess = f"Did you mean {close[0]}" if close else "Remove it; docs/rules.md lists them"
            wrong("INV014", "error", f"there is no rule {name[:40]}", guess)
        elif name in rules and not rules[name].waivable:
            wrong(
                "INV017",
                "error",
                f"{name} can't be waived: the roles can't work with what it finds",
                f"Correct what {name} finds, remove it here",
            )
        elif not reason:
            wrong("INV015", "error", f"{name} has no reason", f"Say why, like {{{name}: only a laptop}}")
        elif name not in found | later and name != "INV016":
            wrong("INV016", "warning", f"nothing was found by {name}", "Remove it")
        else:
            reasons[name] = reason
    return [replace(f, severity="warning", waived=reasons[f.id]) if f.id in reasons else f for f in [*findings, *about]]


def judge(topology: Topology, extra: Iterable[Finding] = ()) -> list[Finding]:
    """All findings, errors first; those waived by sipha_waivers ({id: reason}) become warnings that say so."""
    findings = [*topology.findings, *extra]
    for rule in RULES:
        findings.extend(rule(topology))
    waivers = topology.settings.get("sipha_waivers") or {}
    if not isinstance(waivers, Mapping):
        findings.append(Finding("INV011", "error", "", "sipha_waivers", "it is not a mapping", "Set it to {rule id: reason}"))
        waivers = {}
    return sorted(_waive(findings, waivers), key=lambda f: (f.severity != "error", f.id, f.host, f.variable))


def judge_live(topology: Topology, looks: Mapping[str, live.Live], missing: Mapping[str, str]) -> tuple[list[Finding], str]:
    """The same of what the hosts say, and one line about what could not be judged since hosts are missing (with the reason)."""
    return live.judge(topology, LIVE_RULES, looks, missing)
