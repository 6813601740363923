"""Filters over the inventory: the topology model, its findings, and small look-ups in facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError, AnsibleFilterError
from ansible_collections.sipha.cluster.plugins.module_utils.topology import drawing, live, openings
from ansible_collections.sipha.cluster.plugins.module_utils.topology import sockets as views
from ansible_collections.sipha.cluster.plugins.module_utils.topology.build import build
from ansible_collections.sipha.cluster.plugins.module_utils.topology.model import Finding, Topology
from ansible_collections.sipha.cluster.plugins.module_utils.topology.rules import judge, judge_live, unknown_variables
from ansible_collections.sipha.cluster.plugins.module_utils.topology.table import render
from ansible_collections.sipha.cluster.plugins.module_utils.topology.whatif import rows
from jinja2 import Undefined
from jinja2.exceptions import UndefinedError

ROLES = Path(__file__).resolve().parents[2] / "roles"
# Facts and connection settings that carry our prefix but are not settings of the user's.
INTERNAL = {"sipha_topology"}


def _plain(value: Any) -> Any:
    """Resolve every template inside: Ansible does that lazily, and an undefined name shows only when it is used."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    return value


@cache
def role_defaults(roles: Path = ROLES) -> dict[str, Any]:
    """The roles' own defaults, as written: templates in them are left to the model, which takes them as unknown."""
    defaults: dict[str, Any] = {}
    for path in sorted(roles.glob("*/defaults/main.yml")):
        defaults.update(yaml.safe_load(path.read_text()) or {})
    return defaults


def _topology(hostvars: Any, groups: Mapping[str, Sequence[str]]) -> Topology:
    hosts: dict[str, Any] = {}

    def read(host: str, variable: str) -> Any:
        try:
            if host not in hosts:  # Ansible works out all variables of a host at each look
                hosts[host] = hostvars[host]
            return _plain(hosts[host][variable]) if variable in hosts[host] else None
        except (AnsibleError, UndefinedError, KeyError) as error:
            raise ValueError(str(error).splitlines()[0]) from error

    return build(groups, read, role_defaults())


def known_variables(roles: Path = ROLES) -> tuple[set[str], tuple[str, ...]]:
    """All variables that any role documents in its argument_specs, and the prefixes that are ours.

    A role without defaults has nothing that a user sets, and claims no prefix."""
    known, prefixes = set(INTERNAL), ["sipha_"]
    for specs in sorted(roles.glob("*/meta/argument_specs.yml")):
        if (specs.parents[1] / "defaults/main.yml").exists():
            prefixes.append(specs.parents[1].name + "_")
        for entry in (yaml.safe_load(specs.read_text()).get("argument_specs") or {}).values():
            known.update((entry or {}).get("options") or {})
    return known, tuple(prefixes)


def _published(model: Topology) -> dict[str, Any]:
    """The model as plain data, with what each host opens and to whom, its SIP sockets and its VRRP peers."""
    data = model.as_dict()
    sockets_of, peers_of, openings_of = views.sockets(model), views.peers(model), openings.plain(model)
    for name, host in data["hosts"].items():
        host |= {"sockets": sockets_of.get(name, []), "vrrp_peers": peers_of.get(name, []), "openings": openings_of[name]}
    return data


def topology(hostvars: Any, groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The model as plain data."""
    return _published(_topology(hostvars, groups))


def _judged(hostvars: Any, groups: Mapping[str, Sequence[str]]) -> tuple[Topology, list[Finding]]:
    model = _topology(hostvars, groups)
    known, prefixes = known_variables()
    defined = {host: [str(k) for k in hostvars[host]] for host in model.hosts}
    return model, judge(model, unknown_variables(defined, known, prefixes))


def findings(hostvars: Any, groups: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Everything wrong with the inventory, errors first."""
    return [f.as_dict() for f in _judged(hostvars, groups)[1]]


def live_findings(
    hostvars: Any, groups: Mapping[str, Sequence[str]], looks: Mapping[str, Any], in_run: Sequence[str] = ()
) -> dict[str, Any]:
    """Everything wrong with the hosts by what they say, and what could not be judged."""
    model = _topology(hostvars, groups)
    seen = {str(name): live.read(_plain(look)) for name, look in looks.items() if name in model.hosts}
    missing = {name: "no answer" if name in in_run else "not in this run" for name in model.hosts if name not in seen}
    found, unjudged = judge_live(model, seen, missing)
    return {"findings": [finding.as_dict() for finding in found], "unjudged": unjudged}


def mermaid(hostvars: Any, groups: Mapping[str, Sequence[str]]) -> str:
    """The cluster and its findings as a Mermaid flowchart."""
    return drawing.mermaid(*_judged(hostvars, groups))


def dot(hostvars: Any, groups: Mapping[str, Sequence[str]]) -> str:
    """The same for graphviz."""
    return drawing.dot(*_judged(hostvars, groups))


def sockets(hostvars: Any, groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The SIP sockets of every proxy."""
    return views.sockets(_topology(hostvars, groups))


def peers(hostvars: Any, groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The unicast VRRP peers of every proxy."""
    return views.peers(_topology(hostvars, groups))


def everything(hostvars: Any, groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What module topology returns, from one reading of the inventory."""
    model, found = _judged(hostvars, groups)
    return {
        "topology": _published(model),
        "findings": [finding.as_dict() for finding in found],
        "sockets": views.sockets(model),
        "peers": views.peers(model),
        "mermaid": drawing.mermaid(model, found),
        "dot": drawing.dot(model, found),
    }


def whatif(hostvars: Any, groups: Mapping[str, Sequence[str]], all_pairs: bool = False) -> list[dict[str, Any]]:
    """What every loss would cost, as plain data."""
    return rows(_topology(hostvars, groups), all_pairs)


def whatif_table(losses: Sequence[Mapping[str, Any]], colour: bool = False) -> str:
    """The same for people."""
    return render(losses, colour)


def interface_of(facts: Mapping[str, Any], address: str) -> str:
    """The interface that carries an address, from ansible_facts; loopback never counts."""
    for name in facts.get("interfaces", []):
        data = facts.get(str(name).replace("-", "_"), {})
        if name == "lo" or not isinstance(data, Mapping):
            continue
        for entry in [data.get("ipv4", {}), *data.get("ipv4_secondaries", [])]:
            if entry.get("address") == address:
                return str(data.get("device", name))
    raise AnsibleFilterError(
        f"No interface of {facts.get('hostname', 'this host')} carries {address}. "
        "Set sipha_core_address and sipha_public_address to addresses the host really has."
    )


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {
            "topology": topology,
            "findings": findings,
            "live_findings": live_findings,
            "interface_of": interface_of,
            "mermaid": mermaid,
            "dot": dot,
            "sockets": sockets,
            "peers": peers,
            "whatif": whatif,
            "whatif_table": whatif_table,
        }
