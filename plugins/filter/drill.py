"""Filters of the drills; each is documented in its own .yml beside this file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.sipha.cluster.plugins.module_utils.drill.budget import DRILLS, BudgetError, drill
from ansible_collections.sipha.cluster.plugins.module_utils.drill.scenes import Now, SceneError, scene


def _scene(name: str, model: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {**scene(name, model, Now(**now)).as_dict(), "seconds": drill(name).seconds, "refused": ""}
    except SceneError as error:
        return {"steps": [], "afterwards": "", "note": "", "seconds": 0.0, "refused": str(error)}
    except (BudgetError, TypeError, KeyError) as error:
        raise AnsibleFilterError(f"drill_scene: {error}") from error


def _names(wanted: Any) -> list[str]:
    texts = wanted.replace(",", " ").split() if isinstance(wanted, str) else [str(one) for one in wanted or []]
    try:
        return list(DRILLS) if texts == ["all"] else [drill(name).name for name in texts]
    except BudgetError as error:
        raise AnsibleFilterError(str(error)) from error


def _trusts(address: str, networks: list[str]) -> bool:
    try:
        return any(ip_address(address) in ip_network(one, strict=False) for one in networks)
    except ValueError as error:
        raise AnsibleFilterError(f"drill_trusts: {error}") from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"drill_scene": _scene, "drill_names": _names, "drill_trusts": _trusts}
