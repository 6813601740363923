"""What-if: what each loss costs, the rule about it, and the table for people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
import yaml
from ansible_collections.sipha.cluster.plugins.filter.topology import FilterModule, role_defaults
from ansible_collections.sipha.cluster.plugins.module_utils.topology.build import build
from ansible_collections.sipha.cluster.plugins.module_utils.topology.model import Topology
from ansible_collections.sipha.cluster.plugins.module_utils.topology.rules import judge
from ansible_collections.sipha.cluster.plugins.module_utils.topology.table import NO_HOSTS, render
from ansible_collections.sipha.cluster.plugins.module_utils.topology.whatif import (
    SERVICES,
    WHATIF_RULES,
    Loss,
    WhatIf,
    domain_losses,
    network_losses,
    pair_losses,
    rows,
    single_losses,
)
from topology_inventories import INVENTORIES, model, overlaid

SIP_STOPS = {"new_calls": "stops", "registrations": "stops", "cdrs": "stops"}
WITHOUT_DATABASE = {**SIP_STOPS, "management": "some"}
WITHOUT_RELAYS = {"new_calls": "some", "running_media": "stops"}
TWO_AND_ONE = {"databases": ["db1", "db2"], "arbitrators": ["db3"]}


def cluster(groups: dict[str, list[str]] | None = None, **variables: Any) -> Topology:
    return model(overlaid({"groups": groups or {}, "all": variables}))


def costs(losses: Iterable[Loss]) -> dict[str, dict[str, str]]:
    """By what is lost: what does not go on as before."""
    return {" ".join(loss.names): {s: loss.effects[s] for s in SERVICES if loss.effects[s] != "none"} for loss in losses}


def cost(losses: Iterable[Loss], name: str) -> dict[str, str]:
    return costs(losses)[name]


def test_any_single_host_of_a_good_cluster_may_die_and_only_its_audio_is_lost() -> None:
    some_audio = {"running_media": "some"}
    assert costs(single_losses(cluster())) == {
        **{name: {} for name in ("db1", "db2", "db3", "sip1", "sip2")},
        **dict.fromkeys(("relay1", "relay2"), some_audio),
    }
    assert costs(domain_losses(cluster())) == {"rack1": some_audio, "rack2": some_audio, "rack3": {}}


def test_networks() -> None:
    assert costs(network_losses(cluster())) == {
        "core": {**SIP_STOPS, "management": "stops"},
        "public": {**SIP_STOPS, "running_media": "stops"},
    }
    one = model(overlaid({"hosts": {f"sip{i}": {"sipha_core_address": f"198.18.10.2{i}/24"} for i in (1, 2)}}))
    assert set(cost(network_losses(one), "core").items()) == set(cost(network_losses(one), "public").items())
    assert set(cost(network_losses(one), "core").values()) == {"stops"}


@pytest.mark.parametrize(
    ("groups", "lost", "wanted"),
    [
        ({}, "db1 db2", WITHOUT_DATABASE),
        ({}, "sip1 sip2", SIP_STOPS),
        ({}, "relay1 relay2", WITHOUT_RELAYS),
        ({}, "db1 sip1", {}),
        ({"relays": ["sip1", "sip2"]}, "sip1 sip2", {**SIP_STOPS, "running_media": "stops"}),
        (TWO_AND_ONE, "db1 db2", WITHOUT_DATABASE),
        (TWO_AND_ONE, "db1 db3", WITHOUT_DATABASE),
        ({"databases": ["db1", "db2", "db3", "db4", "db5"]}, "db1 db2", {}),
        ({"databases": ["db1", "db2", "db3", "db4"]}, "db1 db2", WITHOUT_DATABASE),  # half of the votes is no majority
        ({"databases": ["db1", "db2"], "arbitrators": ["db3", "a1", "a2"]}, "db1 db2", WITHOUT_DATABASE),  # votes, but no data
    ],
)
def test_pairs(groups: dict[str, list[str]], lost: str, wanted: dict[str, str]) -> None:
    assert cost(pair_losses(cluster(groups)), lost) == wanted


@pytest.mark.parametrize(
    ("groups", "lost", "wanted"),
    [
        ({"proxies": ["sip1"]}, "sip1", SIP_STOPS),
        ({"relays": ["relay1"]}, "relay1", WITHOUT_RELAYS),
        ({"databases": ["db1"]}, "db1", WITHOUT_DATABASE),
        ({"databases": ["db1", "db2"]}, "db2", WITHOUT_DATABASE),
        ({"databases": ["db1", "db2", "db3", "db4"]}, "db2", {}),
        ({"databases": ["db1", "db2"], "arbitrators": ["db2"]}, "db1", {}),
        ({"databases": ["db1", "db2"], "arbitrators": ["db2"]}, "db2", WITHOUT_DATABASE),  # two votes of three
        (TWO_AND_ONE, "db3", {}),
    ],
)
def test_single_hosts(groups: dict[str, list[str]], lost: str, wanted: dict[str, str]) -> None:
    assert cost(single_losses(cluster(groups)), lost) == wanted


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"sipha_media_relay": "rtpengine"}, WITHOUT_RELAYS),
        ({"sipha_media_relay": "none"}, {}),
        ({"opensips_media_relaying": "never"}, {}),
        ({"opensips_media_relaying": "always"}, {"new_calls": "stops", "running_media": "stops"}),
        ({"opensips_media_relaying": ["nonsense"]}, WITHOUT_RELAYS),
    ],
)
def test_what_relays_are_for(variables: dict[str, str], wanted: dict[str, str]) -> None:
    assert cost(pair_losses(cluster(**variables)), "relay1 relay2") == wanted


def test_registrations_in_memory_outlast_the_database() -> None:
    shared = cluster(sipha_registrar_mode="full_sharing")
    assert cost(pair_losses(shared), "db1 db2") == {**WITHOUT_DATABASE, "new_calls": "some", "registrations": "some"}
    assert cost(pair_losses(shared), "sip1 sip2") == SIP_STOPS


def test_nobody_is_left_to_manage() -> None:
    two = cluster({"proxies": ["sip1"], "databases": ["db1"], "relays": []}, sipha_media_relay="none")
    assert costs(pair_losses(two)) == {"db1 sip1": {**SIP_STOPS, "management": "stops"}}


def test_rows_are_plain_data_with_the_pairs_that_cost_more() -> None:
    found = rows(cluster())
    assert [(row["kind"], " ".join(row["names"])) for row in found if row["kind"] in ("pair", "nothing")] == [
        ("pair", pair) for pair in ("db1 db2", "db1 db3", "db2 db3", "relay1 relay2", "sip1 sip2")
    ]
    assert [row["hosts"] for row in found if row["names"] == ["rack3"]] == [["db3"]]
    assert len(rows(cluster(), all_pairs=True)) == len(found) - 5 + 7 * 6 // 2
    for row in found:
        assert set(row["effects"]) == set(SERVICES)
        assert set(row["reasons"]) == {service for service, effect in row["effects"].items() if effect != "none"}
    assert yaml.safe_load(yaml.safe_dump(found)) == found


def test_pairs_beyond_are_those_of_all_pairs_that_are_worse_than_either() -> None:
    topology = cluster({"proxies": ["sip1", "sip2", "sip3"], "relays": ["sip1", "relay1"], **TWO_AND_ONE})
    single = costs(single_losses(topology))
    wanted = [
        loss.names
        for loss in pair_losses(topology)
        if any(loss.effects[s] not in ("none", single[loss.names[0]].get(s), single[loss.names[1]].get(s)) for s in SERVICES)
    ]
    assert [loss.names for loss in WhatIf(topology).pairs_beyond()] == wanted
    assert ("relay1", "sip1") in wanted


def test_what_is_missing_already_is_the_first_row() -> None:
    first = rows(cluster({"databases": []}))[0]
    assert (first["kind"], first["names"], first["effects"]["new_calls"]) == ("nothing", [], "stops")
    assert first["reasons"]["registrations"] == "no database is left"


def found_by_rule(topology: Topology) -> list[str]:
    (rule,) = WHATIF_RULES
    return [str(finding) for finding in rule(topology)]


OVERLAY = yaml.safe_load((INVENTORIES / "broken/WHATIF001.yml").read_text())


def test_a_domain_with_all_data_is_found_although_arbitrators_outvote_it() -> None:
    topology = model(overlaid(OVERLAY))
    assert found_by_rule(topology) == [
        "WHATIF001 sipha_failure_domain: the loss of rack1 (db1, db2, relay1, sip1) ends all service: no database is left. "
        "Put some of what it holds elsewhere."
    ]
    assert [f.id for f in judge(topology) if not f.waived] == ["WHATIF001"]


def test_registrations_in_memory_do_not_make_the_loss_of_all_data_silent() -> None:
    topology = model(overlaid({**OVERLAY, "all": {**OVERLAY["all"], "sipha_registrar_mode": "full_sharing"}}))
    assert found_by_rule(topology) == [
        "WHATIF001 sipha_failure_domain: the loss of rack1 (db1, db2, relay1, sip1) ends all CDRs, and new calls and "
        "registrations of some: "
        "no database is left. Put some of what it holds elsewhere."
    ]


@pytest.mark.parametrize(
    ("groups", "domains", "said"),
    [
        ({"proxies": ["sip1"]}, {}, "INV007"),
        ({"databases": []}, {}, "INV001"),
        ({"databases": ["db1", "db2"]}, {}, "DB001"),
        ({"databases": ["db1"], "arbitrators": ["db2", "db3"]}, {}, "DB001"),
        ({"databases": ["db1", "db2"], "arbitrators": ["db2"]}, {}, "DB002"),
        ({}, {"db1": "rack2"}, "PLC001"),
        ({}, {"db1": "rack2", "db3": "rack2"}, "PLC001"),
        ({}, {"sip1": "rack2"}, "PLC002"),
    ],
)
def test_what_another_rule_says_is_not_said_twice(groups: dict[str, list[str]], domains: dict[str, str], said: str) -> None:
    topology = model(overlaid({"groups": groups, "hosts": {host: {"sipha_failure_domain": name} for host, name in domains.items()}}))
    assert any(loss.ends_service for loss in [*single_losses(topology), *domain_losses(topology)])
    assert found_by_rule(topology) == []
    assert said in {finding.id for finding in judge(topology)}


def test_the_table_folds_what_is_alike_and_says_why_once() -> None:
    text = render(rows(cluster()))
    lines = text.splitlines()
    assert lines[0].split("  ")[0] == "without"
    assert re.match(r"db1, db2, db3, sip1, sip2 +-  ", lines[1])
    assert next(line for line in lines if line.startswith("core network ")).split()[2:] == ["STOPS", "-", "STOPS", "STOPS", "STOPS"]
    assert next(line for line in lines if line.startswith("db1 + db2, db1 + db3, db2 + db3")).split()[-1] == "some"
    assert text.count("1 of 3 votes are no majority") == 1
    assert "\x1b" not in text
    assert max(len(line) for line in lines) <= 112


def test_columns_are_aligned_with_and_without_colours() -> None:
    found = rows(cluster({"relays": [f"relay{i}" for i in range(40)]}))
    plain, coloured = render(found), render(found, colour=True)
    assert [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", coloured).splitlines()] == plain.splitlines()
    head, *lines = plain.split("\n\n")[0].splitlines()
    starts = [head.index(text) for text in ("new calls", "running media", "registrations", "CDRs", "management")]
    assert len(lines) > 8, "the names of many relays take several lines"
    for line in lines:
        cells = [line[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
        assert set(cells) <= {"-", "some", "STOPS"} or set(cells) == {""}


def test_a_table_of_nothing() -> None:
    assert render([]) == NO_HOSTS
    assert rows(build({}, lambda _host, _variable: None, role_defaults())) == []
    assert "nothing: as it is now" in render(rows(cluster({"proxies": []})))


def test_the_filters() -> None:
    filters = FilterModule().filters()
    hostvars = {"sip1": {"sipha_media_relay": "none"}, "db1": {"sipha_media_relay": "none"}}
    found = filters["whatif"](hostvars, {"proxies": ["sip1"], "databases": ["db1"]})
    assert [row["effects"]["new_calls"] for row in found if row["kind"] == "host"] == ["stops", "stops"]
    assert filters["whatif_table"](found).startswith("without")
