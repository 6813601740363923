# SPDX-License-Identifier: MIT
"""Filters of role galera; all they do is call module_utils/galera.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.sipha.cluster.plugins.module_utils import galera

DOCUMENTATION = r"""
name: galera_plan
short_description: Decide which database node bootstraps and which join
version_added: 0.1.0
author: The sipha.cluster founders (@sipha)
description:
  - Takes the results of M(sipha.cluster.galera_state) by host name; members without a result count as unreachable.
  - Plans a bootstrap only when no member is Primary and every member was asked.
options:
  _input:
    description: Results of C(galera_state) by host name.
    type: dict
    required: true
  members:
    description: Names of all database hosts.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- ansible.builtin.set_fact:
    plan: "{{ states | sipha.cluster.galera_plan(sipha_topology.databases) }}"
"""

RETURN = r"""
_value:
  description: Keys C(action) (none, join, look, bootstrap, error), C(stop), C(bootstrap), C(join), C(error), C(notes).
  type: dict
"""


def _nodes(states: Mapping[str, Mapping[str, object]]) -> dict[str, galera.Node]:
    try:
        return {name: galera.node_from_dict(state) for name, state in states.items()}
    except galera.GaleraError as err:
        raise AnsibleFilterError(str(err)) from err


def galera_plan(states: Mapping[str, Mapping[str, object]], members: Sequence[str]) -> dict[str, object]:
    return galera.plan(members, _nodes(states)).as_dict()


def galera_recover_error(states: Mapping[str, Mapping[str, object]], members: Sequence[str], chosen: str, lost: Sequence[str]) -> str:
    return galera.recover_error(members, _nodes(states), chosen, lost)


def galera_votes_error(databases: Sequence[str], arbitrators: Sequence[str]) -> str:
    return galera.votes_error(databases, arbitrators)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "galera_plan": galera_plan,
            "galera_recover_error": galera_recover_error,
            "galera_votes_error": galera_votes_error,
            "mysql_native_hash": galera.native_hash,
        }
