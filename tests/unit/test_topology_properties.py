"""Properties of the model, its rules and the what-if, on inventories that hypothesis makes."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

from ansible_collections.sipha.cluster.plugins.filter.topology import role_defaults
from ansible_collections.sipha.cluster.plugins.module_utils.topology.build import CLUSTER_VARIABLES, build
from ansible_collections.sipha.cluster.plugins.module_utils.topology.model import CHOICES, GROUPS, SECRETS, Topology
from ansible_collections.sipha.cluster.plugins.module_utils.topology.rules import judge
from ansible_collections.sipha.cluster.plugins.module_utils.topology.table import render
from ansible_collections.sipha.cluster.plugins.module_utils.topology.variables import VARIABLES
from ansible_collections.sipha.cluster.plugins.module_utils.topology.whatif import (
    EFFECTS,
    SERVICES,
    WhatIf,
    domain_losses,
    network_losses,
    pair_losses,
    rows,
    single_losses,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from junk import KEYS, junk

DEFAULTS = role_defaults()
ORDINARY = {name: value for name, value in DEFAULTS.items() if name in VARIABLES and "{{" not in str(value)}
PER_HOST = (
    "sipha_core_address",
    "sipha_public_address",
    "sipha_core_interface",
    "sipha_public_interface",
    "sipha_public_gateway",
    "sipha_advertised_address",
    "sipha_failure_domain",
)
bounded = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

JUNK = junk(
    "198.18.10.11/24",
    "0.0.0.0/0",
    "255.255.255.255/32",
    "198.18.10.1",
    "40000:49998",
    "a",
    "rack1",
    "galera",
    "always",
    keys=KEYS | st.integers(),
)
NAMES = st.sampled_from(["a", "b", "c", "d", ""]) | st.text(max_size=6)
ANY_VARIABLE = st.sampled_from([*CLUSTER_VARIABLES, *SECRETS, *PER_HOST]) | st.sampled_from([*VARIABLES])
Values = dict[str, Any]


def _reader(everywhere: Values, hosts: dict[str, Values], broken: set[str] | None = None) -> Any:
    def read(host: str, variable: str) -> Any:
        if variable in (broken or ()):
            raise ValueError("'x' is undefined")
        return {**everywhere, **hosts.get(host, {})}.get(variable)

    return read


@bounded
@given(
    groups=st.dictionaries(st.sampled_from([*GROUPS, "other"]), st.lists(NAMES, max_size=4)),
    everywhere=st.dictionaries(ANY_VARIABLE, JUNK, max_size=12),
    one=st.dictionaries(ANY_VARIABLE, JUNK, max_size=6),
    broken=st.sets(ANY_VARIABLE, max_size=3),
)
def test_no_input_gives_a_traceback(groups: dict[str, list[str]], everywhere: Values, one: Values, broken: set[str]) -> None:
    topology = build(groups, _reader(everywhere, {"a": one}, broken), DEFAULTS)
    for finding in judge(topology):
        assert str(finding).startswith(finding.id)
    topology.as_dict()
    assert render(rows(topology, all_pairs=True), colour=True)


# Inventories that are well-formed, with values that the roles could have. Sound ones have all hosts in the same two networks, and role
# variables are the same on all hosts.
HOSTS = ("h1", "h2", "h3", "h4", "h5", "h6")
Inventory = tuple[dict[str, list[str]], Values, dict[str, Values]]


@st.composite
def inventories(draw: st.DrawFn, sound: bool = False) -> Inventory:
    membership = {host: draw(st.sets(st.sampled_from(GROUPS), min_size=1, max_size=2)) for host in draw(st.permutations(HOSTS))}
    groups = {group: [host for host in membership if group in membership[host]] for group in GROUPS}
    everywhere: Values = {name: draw(st.sampled_from(CHOICES[name])) for name in CHOICES}
    everywhere |= {
        "sipha_domain": "sip.example.org",
        "sipha_planned_calls": draw(st.sampled_from([None, 100, 100000])),
        "sipha_vips": [
            {
                "name": "main",
                "address": draw(st.sampled_from(["198.18.10.10/24", "198.18.10.1/24", "198.18.11.10/24"])),
                "router_id": 51,
                "preferred": draw(st.lists(st.sampled_from(HOSTS), max_size=3)),
            }
        ],
    }
    hosts: dict[str, Values] = {}
    for number, host in enumerate(HOSTS, 1):
        hosts[host] = {
            "sipha_public_address": draw(st.sampled_from([f"198.18.10.{number}/24", f"198.18.10.{number}/25", None][: 1 if sound else 3])),
            "sipha_core_address": draw(st.sampled_from([f"198.18.20.{number}/24", f"198.18.10.{number + 20}/24"][: 1 if sound else 2])),
            "sipha_failure_domain": draw(st.sampled_from(["", "rack1", "rack2", "rack3"])),
        }
    for name in draw(st.lists(st.sampled_from([*ORDINARY]), max_size=4)):
        value = ORDINARY[name]
        number_of = isinstance(value, (int, float)) and not isinstance(value, bool)
        other = draw(st.sampled_from([value, value * 2, value + 1])) if number_of else value
        if sound:
            everywhere[name] = other
        else:
            hosts[draw(st.sampled_from(HOSTS))][name] = other
    return groups, everywhere, hosts


def _model(inventory: Inventory) -> Topology:
    groups, everywhere, hosts = inventory
    return build(groups, _reader(everywhere, hosts), DEFAULTS)


def _judgement(topology: Topology, names: dict[str, str]) -> tuple[Any, Any]:
    """Findings and losses as multisets. Texts are left out: they list names in their order."""
    found = judge(topology)
    cluster = WhatIf(topology)
    losses = [*cluster.hosts(), *cluster.domain_losses(), *cluster.networks(), *cluster.pairs_beyond()]
    return (
        Counter((f.id, f.severity, names.get(f.host, f.host), f.variable) for f in found),
        Counter(
            (
                loss.kind,
                frozenset(names.get(n, n) for n in loss.names),
                frozenset(names.get(h, h) for h in loss.hosts),
                *loss.effects.values(),
            )
            for loss in losses
        ),
    )


NEW_NAMES = st.lists(st.text("abcxyz0129-.", min_size=1, max_size=8), min_size=len(HOSTS), max_size=len(HOSTS), unique=True)


def _renaming_changes_names_only(inventory: Inventory, new: list[str]) -> None:
    names = dict(zip(HOSTS, new, strict=True))
    groups, everywhere, hosts = copy.deepcopy(inventory)
    for vip in everywhere["sipha_vips"]:
        vip["preferred"] = [names[host] for host in vip["preferred"]]
    renamed = ({g: [names[h] for h in members] for g, members in groups.items()}, everywhere, {names[h]: v for h, v in hosts.items()})
    back = {new_name: host for host, new_name in names.items()}
    assert _judgement(_model(inventory), {}) == _judgement(_model(renamed), back)


@bounded
@given(inventory=inventories(sound=True), new=NEW_NAMES)
def test_renaming_hosts_changes_names_only(inventory: Inventory, new: list[str]) -> None:
    _renaming_changes_names_only(inventory, new)


@bounded
@given(inventory=inventories(), new=NEW_NAMES)
def test_where_hosts_contradict_each_other_names_may_change_in_their_order(inventory: Inventory, new: list[str]) -> None:
    """Which of two contradicting hosts is right nobody can know: the first by name is taken for it, so their order has to stay."""
    _renaming_changes_names_only(inventory, sorted(new))


@bounded
@given(inventory=inventories(), order=st.permutations(HOSTS))
def test_the_order_of_hosts_in_groups_means_nothing(inventory: Inventory, order: list[str]) -> None:
    groups, everywhere, hosts = inventory
    turned = {group: sorted(members, key=order.index) for group, members in groups.items()}
    assert _judgement(_model(inventory), {}) == _judgement(_model((turned, everywhere, hosts)), {})


def _effects(topology: Topology) -> dict[tuple[str, ...], dict[str, int]]:
    losses = [
        WhatIf(topology).nothing(),
        *single_losses(topology),
        *domain_losses(topology),
        *network_losses(topology),
        *pair_losses(topology),
    ]
    return {(loss.kind, *loss.names): {s: EFFECTS.index(loss.effects[s]) for s in SERVICES} for loss in losses}


@bounded
@given(inventory=inventories(sound=True), group=st.sampled_from(["proxies", "relays", "databases"]), domain=st.booleans())
def test_a_host_more_makes_no_loss_worse(inventory: Inventory, group: str, domain: bool) -> None:
    """Databases come in pairs, so that an odd number of votes stays odd. Newcomers stand in places of their own, or say nothing."""
    before = _effects(_model(inventory))
    groups, everywhere, hosts = copy.deepcopy(inventory)
    for number in range(2 if group == "databases" else 1):
        name = f"new{number}"
        groups[group].append(name)
        hosts[name] = {
            "sipha_public_address": f"198.18.10.{100 + number}/24",
            "sipha_core_address": f"198.18.20.{100 + number}/24",
            "sipha_failure_domain": f"elsewhere{number}" if domain else "",
        }
    after = _effects(_model((groups, everywhere, hosts)))
    for loss, effects in before.items():
        for service in SERVICES:
            assert after[loss][service] <= effects[service], (loss, service)
    for loss in after.keys() - before.keys():  # of newcomers: not worse than what could happen before
        kinds = ("host",) if loss[0] in ("host", "domain") else (loss[0],)
        for service in SERVICES:
            assert after[loss][service] <= max(effects[service] for key, effects in before.items() if key[0] in kinds), (loss, service)


@bounded
@given(inventory=inventories())
def test_no_loss_that_ends_all_service_is_silent(inventory: Inventory) -> None:
    topology = _model(inventory)
    if any(loss.ends_service for loss in [*single_losses(topology), *domain_losses(topology)]):
        errors = {finding.id for finding in judge(topology) if finding.severity == "error"}
        assert errors & {"INV001", "INV007", "DB001", "DB002", "PLC001", "PLC002", "WHATIF001"}
