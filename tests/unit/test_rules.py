"""Every rule has a broken inventory that trips it and no other; a good one trips none."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sipha.cluster.plugins.filter.topology import ROLES, known_variables, role_defaults
from ansible_collections.sipha.cluster.plugins.module_utils.topology.model import CHOICES, Finding
from ansible_collections.sipha.cluster.plugins.module_utils.topology.rules import RULES
from ansible_collections.sipha.cluster.plugins.module_utils.topology.variables import CLUSTER, VARIABLES, parse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from junk import junk
from topology_inventories import BROKEN, base, judged, model, overlaid

EXAMPLES = sorted((ROLES.parent / "inventories/examples").iterdir())


def test_the_base_has_no_findings() -> None:
    assert judged(base()) == []


@pytest.mark.parametrize("path", BROKEN, ids=lambda p: p.stem)
def test_a_broken_inventory_trips_its_rule_and_no_other(path: Path) -> None:
    overlay = yaml.safe_load(path.read_text())
    found = [finding for finding in judged(overlaid(overlay)) if not finding.waived]
    assert {finding.id for finding in found} == {path.stem}, [str(finding) for finding in found]
    wanted = overlay["expect"]
    assert {finding.severity for finding in found} == {wanted["severity"]}
    assert (wanted["host"], wanted["variable"]) in {(finding.host, finding.variable) for finding in found}
    assert all(finding.problem and finding.remedy for finding in found)


def test_every_rule_has_its_broken_inventory() -> None:
    assert [path.stem for path in BROKEN] == sorted(rule.id for rule in RULES)
    assert len(RULES) == len({rule.id for rule in RULES}) >= 40


def test_every_rule_says_what_and_why() -> None:
    for rule in RULES:
        assert rule.severity in ("error", "warning")
        assert rule.what, rule.id
        assert rule.why.endswith("."), rule.id


def test_what_rules_read_exists_and_its_default_is_understood() -> None:
    known, _ = known_variables()
    assert {*VARIABLES, *CLUSTER} <= known
    defaults = role_defaults()
    for name, variable in VARIABLES.items():
        if name in defaults and "{{" not in str(defaults[name]):
            assert parse(defaults[name], variable) is not None, name


def pinned(**numbers: object) -> list[str]:
    """What the rules say of these numbers of proxies."""
    return [str(f) for f in judged(overlaid({"hosts": {name: {"opensips_node_id": number} for name, number in numbers.items()}}))]


def test_numbers_of_proxies_are_pinned_on_all_or_none_and_once() -> None:
    assert pinned(sip1=7, sip2="3") == []
    (twice,) = pinned(sip1=2, sip2=2)
    assert twice == "INV020 opensips_node_id on sip2: 2 is the number of sip1 too. Give each proxy its own number."
    (some,) = pinned(sip2=2)
    assert some.startswith("INV020 opensips_node_id on sip1: it is missing here, and set on sip2. Set it to 1 if that is what runs there")
    (late,) = pinned(sip1=1, sip2="{{ ansible_facts.number }}")
    assert late == "INV020 opensips_node_id on sip2: it is not known before hosts are reached. Set it to a plain number."
    assert [text[:6] for text in pinned(sip1=1, sip2=256)] == ["INV013"]
    assert [text[:6] for text in pinned(sip1=1, sip2="two")] == ["INV012"]
    (waived,) = [f for f in judged(overlaid({"all": {"sipha_waivers": {"INV020": "x"}}})) if f.id == "INV017"]
    assert waived.severity == "error"


def test_a_proxy_that_leaves_renumbers_nobody_who_is_pinned() -> None:
    hosts = {"sip3": {"sipha_public_address": "198.18.10.13/24", "sipha_core_address": "198.18.20.13/24", "sipha_failure_domain": "rack3"}}

    def ids(proxies: list[str], **numbers: int) -> dict[str, int]:
        own = {name: {"opensips_node_id": number} for name, number in numbers.items()}
        merged = {name: {**hosts.get(name, {}), **own.get(name, {})} for name in {*hosts, *own}}
        inventory = overlaid({"groups": {"proxies": proxies}, "hosts": merged})
        return {host.name: host.node_id for host in model(inventory).group("proxies")}

    assert ids(["sip1", "sip2", "sip3"]) == {"sip1": 1, "sip2": 2, "sip3": 3}
    assert ids(["sip2", "sip3"]) == {"sip2": 1, "sip3": 2}
    assert ids(["sip2", "sip3"], sip2=2, sip3=3) == {"sip2": 2, "sip3": 3}


def waived(waivers: Any, **changes: Any) -> list[Finding]:
    return judged(overlaid({"all": {"sipha_waivers": waivers, **changes}}))


def test_a_waiver_keeps_its_reason_and_makes_a_warning() -> None:
    (finding,) = waived({"TIM001": "our routers keep 120 s"}, opensips_natping_interval=20)
    assert (finding.id, finding.severity, finding.waived) == ("TIM001", "warning", "our routers keep 120 s")


def test_a_misspelt_waiver_gets_a_guess() -> None:
    (finding,) = waived({"TIM01": "x"})
    assert str(finding) == "INV014 sipha_waivers: there is no rule TIM01. Did you mean TIM001."


def test_what_roles_cannot_work_with_stays_an_error() -> None:
    found = waived({"INV010": "no domain yet"}, sipha_domain="")
    assert [(f.id, f.severity, f.waived) for f in found] == [("INV010", "error", ""), ("INV017", "error", "")]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("many", "'many' is not a whole number"),
        ([4], "[4] is not a whole number"),
        (True, "True is not a whole number"),
        (2.5, "2.5 is not a whole number"),
        (float("nan"), "nan is not a whole number"),
        ("x" * 99, "'" + "x" * 36 + "... is not a whole number"),
    ],
)
def test_a_value_of_the_wrong_kind_is_one_finding(value: object, says: str) -> None:
    (finding,) = judged(overlaid({"all": {"opensips_udp_workers": value}}))
    assert (finding.id, finding.host, finding.problem) == ("INV012", "", says)


def test_numbers_may_be_text_and_wrong_ones_name_their_host() -> None:
    assert judged(overlaid({"all": {"opensips_udp_workers": "8"}})) == []
    (finding,) = judged(overlaid({"hosts": {"sip2": {"opensips_udp_workers": "eight"}}}))
    assert finding.host == "sip2"


def test_a_word_that_is_no_choice_is_named_with_the_choices() -> None:
    (finding,) = judged(overlaid({"all": {"opensips_media_relaying": "sometimes"}}))
    problem = "INV005 opensips_media_relaying: 'sometimes' is not known here. Set it to one of: auto, always, never."
    assert (str(finding), finding.severity) == (problem, "error")
    (finding,) = judged(overlaid({"hosts": {"sip2": {"opensips_media_relaying": False}}}))
    assert (finding.id, finding.host) == ("INV005", "sip2")


def test_choices_are_those_that_the_roles_accept() -> None:
    for name, variable in VARIABLES.items():
        accepted = [
            options[name].get("choices", [])
            for path in ROLES.glob("*/meta/argument_specs.yml")
            for spec in yaml.safe_load(path.read_text())["argument_specs"].values()
            if name in (options := spec.get("options") or {})
        ]
        assert all(choices == list(variable.choices) for choices in accepted), name


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"media_relay_stream_timeout": 120}, ["MED012"]),
        ({"media_relay_stream_timeout": 121}, []),
        ({"opensips_ring_timeout": 149}, []),
        ({"opensips_ring_timeout": 150}, ["MED012"]),
        ({"media_relay_stream_timeout": 90, "sipha_media_relay": "rtpengine"}, []),
        ({"media_relay_stream_timeout": 90, "opensips_media_relaying": "never"}, ["MED010"]),
    ],
)
def test_ports_outlast_the_ringing(changes: dict[str, Any], found: list[str]) -> None:
    assert [finding.id for finding in judged(overlaid({"all": changes}))] == found


def test_the_relay_that_forgets_too_early_is_named_and_told_what_to_set() -> None:
    (finding,) = judged(overlaid({"hosts": {"relay2": {"media_relay_stream_timeout": 90}}}))
    assert (finding.id, finding.host) == ("MED012", "relay2")
    assert finding.problem == "90 s is not more than opensips_ring_timeout, 120 s"
    assert finding.remedy == "Set it to 150, or lower opensips_ring_timeout"


def test_a_template_that_needs_facts_is_unknown_and_no_error() -> None:
    assert judged(overlaid({"all": {"galera_buffer_pool_size": "{{ ansible_facts.memtotal_mb // 2 }}M"}})) == []


@pytest.mark.parametrize("directory", EXAMPLES, ids=lambda p: p.name)
def test_examples_have_no_findings(directory: Path) -> None:
    children = yaml.safe_load((directory / "hosts.yml").read_text())["all"]["children"]
    hosts: dict[str, dict[str, Any]] = {}
    for group in children.values():
        for name, variables in group["hosts"].items():
            hosts.setdefault(name, {}).update(variables or {})
    secrets = {name: value for name, value in base()["all"].items() if name.startswith("sipha_secret_")}
    everywhere = {**yaml.safe_load((directory / "group_vars/all/cluster.yml").read_text()), **secrets}
    groups = {name: sorted(group["hosts"]) for name, group in children.items()}
    assert judged({"groups": groups, "all": everywhere, "hosts": hosts}) == []
    assert all(variables.get("sipha_failure_domain") for variables in hosts.values())


JUNK = junk("0", "256M", "40000:49998", "{{ x }}")
NAMES = [*VARIABLES, *CLUSTER, "sipha_public_gateway", "sipha_failure_domain", "sipha_waivers", "sipha_cluster_name", "sipha_domain"]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values=st.dictionaries(st.sampled_from(NAMES), JUNK, max_size=8), host=st.sampled_from(["sip1", "relay1", "db1"]))
def test_no_value_gives_a_traceback(values: dict[str, Any], host: str) -> None:
    for overlay in ({"all": values}, {"hosts": {host: values}}):
        for finding in judged(overlaid(overlay)):
            assert str(finding).startswith(finding.id)


@pytest.mark.parametrize("value", [[], {}, [1], True])
@pytest.mark.parametrize("variable", sorted(CHOICES))
def test_a_choice_that_is_no_text_is_a_finding(variable: str, value: object) -> None:
    found = judged(overlaid({"all": {variable: value}}))
    assert ("INV005", variable) in {(finding.id, finding.variable) for finding in found}


def test_the_proxy_that_is_elsewhere_is_named_and_not_the_others() -> None:
    """Also when it is the first by name."""
    inventory = base()
    inventory["groups"]["proxies"].append("sip3")
    inventory["hosts"]["sip3"] = {
        **inventory["hosts"]["sip2"],
        "sipha_public_address": "198.18.10.13/24",
        "sipha_core_address": "198.18.20.13/24",
    }
    inventory["hosts"]["sip1"]["sipha_core_address"] = "198.18.99.11/24"
    assert [(finding.id, finding.host) for finding in judged(inventory) if finding.id == "NET003"] == [("NET003", "sip1")]


def renamed(inventory: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    vips = [{**vip, "preferred": [names.get(name, name) for name in vip["preferred"]]} for vip in inventory["all"].get("sipha_vips") or []]
    return {
        "groups": {group: [names[host] for host in hosts] for group, hosts in inventory["groups"].items()},
        "all": {**inventory["all"], "sipha_vips": vips},
        "hosts": {names[host]: variables for host, variables in inventory["hosts"].items()},
    }


@pytest.mark.parametrize("path", BROKEN, ids=lambda p: p.stem)
def test_other_names_of_hosts_change_no_judgement(path: Path) -> None:
    """Names keep their order: where all differ, the first is taken for the right one."""
    inventory = overlaid(yaml.safe_load(path.read_text()))
    names = {host: f"x-{host}" for host in (*inventory["hosts"], *chain(*inventory["groups"].values()))}
    before = [(f.id, f.severity, names.get(f.host, f.host), f.variable) for f in judged(inventory)]
    assert before == [(f.id, f.severity, f.host, f.variable) for f in judged(renamed(inventory, names))]


@pytest.mark.parametrize("reason", [False, True, 0, 1, [], {}, "", "  ", None])
def test_a_reason_is_a_text(reason: object) -> None:
    """Anything else waives nothing."""
    found = judged(overlaid({"groups": {"databases": ["db1", "db2"]}, "all": {"sipha_waivers": {"DB001": reason}}}))
    assert [(finding.id, finding.severity) for finding in found if finding.id in ("DB001", "INV015")] == [
        ("DB001", "error"),
        ("INV015", "error"),
    ]


def test_a_failure_domain_may_be_called_0() -> None:
    hosts = {name: {"sipha_failure_domain": 0} for name in base()["hosts"]}
    assert {"PLC001", "PLC002", "PLC003"} <= {finding.id for finding in judged(overlaid({"hosts": hosts}))}


@pytest.mark.parametrize("names", [("main", "main"), ("main", "öst"), ("main", "a b")])
def test_vips_have_names_of_their_own_that_every_daemon_takes(names: tuple[str, str]) -> None:
    vips = [
        {"name": name, "address": f"198.18.10.{10 + index}/24", "router_id": 51 + index, "preferred": [f"sip{1 + index}"]}
        for index, name in enumerate(names)
    ]
    assert "VIP001" in {finding.id for finding in judged(overlaid({"all": {"sipha_vips": vips}}))}
