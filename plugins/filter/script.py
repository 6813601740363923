"""Filters over scripts of the engine; all they do is call module_utils/script."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from ansible.errors import AnsibleFilterError
from ansible_collections.sipha.cluster.plugins.module_utils.script.compare import compare
from ansible_collections.sipha.cluster.plugins.module_utils.script.grammar import ParserMissingError, ScriptError
from ansible_collections.sipha.cluster.plugins.module_utils.script.redact import redact
from ansible_collections.sipha.cluster.plugins.module_utils.script.rules import findings, place_findings, socket_findings


def _refuse(name: str, error: Exception) -> NoReturn:
    raise AnsibleFilterError(f"{name}: {error}") from error


def script_findings(text: str, version: str, needed: Sequence[str] = (), own: Sequence[str] = (), host: str = "") -> list[dict[str, Any]]:
    """Everything wrong with a script, errors first; with the sockets that must be there and the addresses of its host, these too."""
    try:
        placed = place_findings(str(text), [str(one) for one in needed], [str(one) for one in own], str(host))
        found = sorted([*findings(str(text), str(version)), *placed], key=lambda finding: finding.severity != "error")
        return [finding.as_dict() for finding in found]
    except ParserMissingError as error:
        _refuse("script_findings", error)


def script_sockets(scripts: Mapping[str, str], core: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Sockets that are not the same on every proxy."""
    try:
        texts = {str(host): str(text) for host, text in scripts.items()}
        return [finding.as_dict() for finding in socket_findings(texts, {str(h): str(a) for h, a in (core or {}).items()})]
    except (ParserMissingError, AttributeError) as error:
        _refuse("script_sockets", error)


def script_changes(old: str, new: str) -> dict[str, Any]:
    """What differs between two scripts, and what it takes to put the new one into service."""
    try:
        return compare(str(old), str(new)).as_dict()
    except (ParserMissingError, ScriptError, RecursionError) as error:
        _refuse("script_changes", error)


def script_redact(text: str) -> str:
    """A script or diff without its secrets."""
    return redact(str(text))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "script_findings": script_findings,
            "script_sockets": script_sockets,
            "script_changes": script_changes,
            "script_redact": script_redact,
        }
