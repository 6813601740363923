"""The inventories under tests/inventories as topology models, without Ansible."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.sipha.cluster.plugins.filter.topology import known_variables, role_defaults
from ansible_collections.sipha.cluster.plugins.module_utils.topology.build import build
from ansible_collections.sipha.cluster.plugins.module_utils.topology.model import Finding, Topology
from ansible_collections.sipha.cluster.plugins.module_utils.topology.rules import judge, unknown_variables

INVENTORIES = Path(__file__).resolve().parents[1] / "inventories"
KNOWN, PREFIXES = known_variables()
BASE = (INVENTORIES / "base.yml").read_text()
BROKEN = sorted((INVENTORIES / "broken").glob("*.yml"))


def base() -> dict[str, Any]:
    return yaml.safe_load(BASE)  # type: ignore[no-any-return]


def overlaid(overlay: dict[str, Any]) -> dict[str, Any]:
    """The base with an overlay: `groups` and `all` by key, `hosts` by host and variable."""
    inventory = base()
    for part in ("groups", "all"):
        inventory[part].update(copy.deepcopy(overlay.get(part) or {}))
    for host, variables in (overlay.get("hosts") or {}).items():
        inventory["hosts"].setdefault(host, {}).update(variables)
    return inventory


def model(inventory: dict[str, Any]) -> Topology:
    def read(host: str, variable: str) -> Any:
        value = {**inventory["all"], **inventory["hosts"].get(host, {})}.get(variable)
        if "{{" in str(value):
            raise ValueError("nothing is defined here")
        return value

    return build(inventory["groups"], read, role_defaults())


def judged(inventory: dict[str, Any]) -> list[Finding]:
    topology = model(inventory)
    defined = {host: [*inventory["all"], *inventory["hosts"].get(host, {})] for host in topology.hosts}
    return judge(topology, unknown_variables(defined, KNOWN, PREFIXES))
