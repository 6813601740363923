"""The topology model and its rules: a hit and a miss for each, and no input that gives a traceback."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from ansible_collections.sipha.cluster.plugins.filter.topology import ROLES, interface_of, known_variables
from ansible_collections.sipha.cluster.plugins.module_utils.topology import model
from ansible_collections.sipha.cluster.plugins.module_utils.topology.build import build
from ansible_collections.sipha.cluster.plugins.module_utils.topology.model import Finding, Topology
from ansible_collections.sipha.cluster.plugins.module_utils.topology.rules import judge, unknown_variables
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

GROUPS = {"proxies": ["sip1", "sip2"], "databases": ["db1", "db2", "db3"], "arbitrators": [], "relays": ["relay1", "relay2"]}
EVERYWHERE: dict[str, Any] = {
    "sipha_domain": "sip.example.org",
    "sipha_vips": [{"name": "main", "address": "198.18.10.10/24", "router_id": 51, "preferred": ["sip2", "sip1"]}],
    "sipha_secret_db_engine": "engine-Kq7vXw2bTz9m",
    "sipha_secret_db_sst": "sst-Hn4rPd8cLy6fGj",
    "sipha_secret_auth_nonce": "nonce-Zb5sMt3gWk8pXv2dRc7hQn4jLy",
    "sipha_secret_ca_passphrase": "ca-Vf6kBw9xNr3tDm",
}
HOSTS: dict[str, dict[str, Any]] = {
    "sip1": {"sipha_public_address": "198.18.10.11/24", "sipha_core_address": "198.18.20.11/24"},
    "sip2": {"sipha_public_address": "198.18.10.12/24", "sipha_core_address": "198.18.20.12/24"},
    **{f"relay{i}": {"sipha_public_address": f"198.18.10.3{i}/24", "sipha_core_address": f"198.18.20.3{i}/24"} for i in (1, 2)},
    **{f"db{i}": {"sipha_core_address": f"198.18.20.2{i}/24"} for i in (1, 2, 3)},
}
State = tuple[dict[str, list[str]], dict[str, Any], dict[str, dict[str, Any]]]


def make(change: Callable[[State], object] = lambda _: None) -> Topology:
    groups, everywhere, hosts = copy.deepcopy((GROUPS, EVERYWHERE, HOSTS))
    change((groups, everywhere, hosts))
    return build(groups, lambda host, variable: {**everywhere, **hosts.get(host, {})}.get(variable))


def ids(change: Callable[[State], object] = lambda _: None) -> list[str]:
    return sorted({f.id for f in judge(make(change))})


def test_a_good_cluster_has_no_findings() -> None:
    assert ids() == []


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("INV001", lambda s: s[0].update(databases=[])),
        ("INV002", lambda s: s[2]["db1"].clear()),
        ("INV003", lambda s: s[2]["sip1"].update(sipha_core_address="nonsense/24")),
        ("INV005", lambda s: s[1].update(sipha_time_sync="sundial")),
        ("INV007", lambda s: s[0].update(proxies=["sip1"], relays=["relay1", "sip2"]) or s[1]["sipha_vips"][0].update(preferred=["sip1"])),
        ("INV008", lambda s: s[2]["db2"].update(sipha_domain="other.example.org")),
        ("INV010", lambda s: s[1].update(sipha_domain="")),
        ("INV011", lambda s: s[1].update(sipha_waivers=["INV010"])),
        ("NET001", lambda s: s[2]["relay1"].update(sipha_core_address="198.18.20.12/24")),
        ("NET002", lambda s: [s[2][h].update(sipha_core_address=f"198.18.10.{100 + n}/24") for n, h in enumerate(s[2])]),
        ("NET002", lambda s: s[2]["db1"].update(sipha_core_address="198.18.20.21/16")),
        ("NET002", lambda s: s[2]["relay1"].update(sipha_core_address="198.18.20.31/16")),
        ("NET002", lambda s: s[2]["relay1"].update(sipha_public_address="198.18.10.31/16")),
        ("NET003", lambda s: s[2]["sip2"].update(sipha_core_address="198.18.21.12/24")),
        ("VIP001", lambda s: s[1].update(sipha_vips=[])),
        ("VIP002", lambda s: s[1]["sipha_vips"][0].update(address="198.18.10.255/24")),
        ("VIP002", lambda s: s[1]["sipha_vips"][0].update(address="198.18.10.10/25")),
        ("VIP003", lambda s: s[1]["sipha_vips"][0].update(address="198.18.10.31/24")),
        ("VIP005", lambda s: s[1]["sipha_vips"][0].update(preferred=["sip3"])),
        ("DB001", lambda s: s[0].update(databases=["db1", "db2"])),
        ("DB002", lambda s: s[0].update(databases=["db1", "db2"], arbitrators=["db2"])),
        ("MED001", lambda s: s[0].update(relays=[])),
        ("MED001", lambda s: s[0].update(relays=["relay1"])),
        ("MED002", lambda s: s[2]["relay2"].update(sipha_core_address="198.18.21.32/24")),
        ("MED001", lambda s: s[1].update(opensips_media_relaying="auto") or s[0].update(relays=[])),
        ("MED001", lambda s: s[2]["sip1"].update(opensips_media_relaying="never") or s[0].update(relays=[])),
        ("MED003", lambda s: s[2]["relay2"].update(sipha_public_address="198.18.11.32/24")),
        ("SEC001", lambda s: s[1].pop("sipha_secret_db_sst")),
        ("SEC002", lambda s: s[1].update(sipha_secret_auth_nonce="short-but-long-enough")),
        ("SEC003", lambda s: s[1].update(sipha_secret_ca_passphrase="short")),
    ],
)
def test_each_rule_alone(rule: str, change: Callable[[State], object]) -> None:
    assert ids(change) == [rule]


def test_several_vips_with_duplicates_named() -> None:
    def change(state: State) -> None:
        state[1]["sipha_vips"].append({"name": "second", "address": "198.18.10.10/24", "router_id": 51, "preferred": []})

    found = judge(make(change))
    assert [f.id for f in found] == ["VIP004", "VIP004"]


def internet(state: State, **relay2: str) -> None:
    """Proxies at addresses of the Internet, relay1 too, relay2 at a private one."""
    state[1]["sipha_vips"][0].update(address="9.9.9.10/24")
    for number, host in enumerate(("sip1", "sip2", "relay1")):
        state[2][host].update(sipha_public_address=f"9.9.9.1{number + 1}/24")
    state[2]["relay2"].update(relay2)


@pytest.mark.parametrize(
    ("relays", "problem"),
    [([], "it has no hosts, so phones behind NAT have no audio"), (["relay1"], "it has one host, and audio ends with it")],
)
def test_too_few_relays_are_said_in_words(relays: list[str], problem: str) -> None:
    (finding,) = judge(make(lambda s: s[0].update(relays=relays)))
    assert (finding.id, finding.host, finding.variable, finding.problem) == ("MED001", "", "group relays", problem)


@pytest.mark.parametrize("host", ["db1", "relay1"])
def test_a_prefix_that_is_too_wide_names_its_host(host: str) -> None:
    (finding,) = judge(make(lambda s: s[2][host].update(sipha_core_address="198.18.20.40/16")))
    assert (finding.id, finding.host, finding.variable) == ("NET002", host, "sipha_core_address")
    assert finding.problem == "its network 198.18.0.0/16 and the public network 198.18.10.0/24 overlap"


def test_a_database_in_the_public_network_is_a_warning_of_its_own() -> None:
    (finding,) = judge(make(lambda s: s[2]["db1"].update(sipha_core_address="198.18.10.40/24")))
    assert (finding.id, finding.severity) == ("NET010", "warning")


def test_networks_that_touch_do_not_overlap() -> None:
    assert ids(lambda s: [s[2][f"db{n}"].update(sipha_core_address=f"198.18.20.{20 + n}/22") for n in (1, 2, 3)]) == []


@pytest.mark.parametrize(
    ("relays", "installed", "found"),
    [([], "none", []), (["relay1"], "mediaproxy", ["MED010"]), (["relay1", "relay2"], "mediaproxy", ["MED010"])],
)
def test_no_relay_is_missed_where_no_call_gets_one(relays: list[str], installed: str, found: list[str]) -> None:
    """Without any relay no dispatcher is installed either, whose proxy could never be well."""

    def change(state: State) -> None:
        state[0]["relays"] = relays
        state[1]["opensips_media_relaying"] = "never"

    assert ids(change) == found
    assert make(change).as_dict()["media_relay"] == installed
    assert make(lambda s: s[0].update(relays=[])).as_dict()["media_relay"] == "mediaproxy"


@pytest.mark.parametrize("kind", ["mediaproxy", "rtpengine"])
def test_both_kinds_of_relay_have_the_rules_and_none_has_not(kind: str) -> None:
    def change(state: State) -> None:
        state[1]["sipha_media_relay"] = kind
        state[0]["relays"] = ["relay1"]
        state[2]["relay1"] = {"sipha_public_address": "198.18.11.31/24", "sipha_core_address": "198.18.21.31/24"}

    assert ids(change) == ["MED001", "MED002", "MED003"]
    kind = "none"
    assert ids(change) == []


def test_proxies_may_be_the_relays() -> None:
    assert ids(lambda s: s[0].update(relays=["sip1", "sip2"])) == []


@pytest.mark.parametrize(
    ("relay2", "found"),
    [
        ({}, [("MED003", "sipha_public_address")]),
        ({"sipha_public_address": "9.9.9.32/24"}, []),
        ({"sipha_public_address": "8.8.8.32/24"}, []),
        ({"sipha_advertised_address": "8.8.8.32"}, []),
        ({"sipha_advertised_address": "10.0.0.32"}, [("MED003", "sipha_advertised_address")]),
        ({"sipha_advertised_address": "100.64.0.32"}, [("MED003", "sipha_advertised_address")]),
        ({"sipha_advertised_address": "8.8.8.32/24"}, [("INV003", "sipha_advertised_address")]),
        ({"sipha_advertised_address": "relay2.example.org"}, [("INV003", "sipha_advertised_address")]),
    ],
)
def test_phones_of_the_internet_need_relays_there(relay2: dict[str, str], found: list[tuple[str, str]]) -> None:
    findings = judge(make(lambda s: internet(s, **relay2)))
    assert [(f.id, f.variable) for f in findings] == found
    assert {f.host for f in findings} <= {"relay2"}


@pytest.mark.parametrize(
    ("relay2", "found"),
    [
        ({"sipha_public_address": "198.18.11.32/24"}, ["MED003"]),
        ({"sipha_public_address": "198.18.11.32/24", "sipha_advertised_address": "198.18.10.32"}, []),
        ({"sipha_public_address": "8.8.8.32/24"}, []),
        ({"sipha_advertised_address": "nonsense"}, ["INV003"]),
    ],
)
def test_phones_of_a_private_network_need_relays_in_it(relay2: dict[str, str], found: list[str]) -> None:
    assert ids(lambda s: s[2]["relay2"].update(relay2)) == found


def test_without_a_public_network_there_is_nothing_to_compare_relays_with() -> None:
    assert ids(lambda s: [s[2][h].pop("sipha_public_address") for h in ("sip1", "sip2")]) == ["INV002"]


def test_media_goes_to_the_advertised_address() -> None:
    hosts = make(lambda s: s[2]["relay1"].update(sipha_advertised_address="8.8.8.31")).as_dict()["hosts"]
    assert [hosts[name]["media_address"] for name in ("relay1", "relay2", "db1")] == ["8.8.8.31", "198.18.10.32", ""]
    assert hosts["relay1"]["public_address"] == "198.18.10.31"


def test_two_databases_and_an_arbitrator_are_a_quorum() -> None:
    def change(state: State) -> None:
        state[0].update(databases=["db1", "db2"], arbitrators=["db3"])

    assert ids(change) == []


def test_a_waiver_needs_its_id_and_keeps_its_reason() -> None:
    def change(state: State) -> None:
        state[0].update(databases=["db1", "db2"])
        state[1].update(sipha_waivers={"DB001": "only a laptop"})

    (finding,) = judge(make(change))
    assert (finding.severity, finding.waived) == ("warning", "only a laptop")


def test_priorities_are_distinct_follow_preference_and_leave_room_for_the_bonus() -> None:
    topology = make()
    priorities = topology.vips[0].priorities(topology.names("proxies"))
    assert priorities == {"sip2": 238, "sip1": 237}
    many = [f"p{i:02}" for i in range(model.MAX_PROXIES)]
    spread = model.Vip("main", None, 1, ()).priorities(many)
    assert len(set(spread.values())) == model.MAX_PROXIES
    assert max(spread.values()) - min(spread.values()) < model.PRIORITY_HOLDER_BONUS


def test_no_fault_alone_is_outweighed_and_all_together_leave_a_priority() -> None:
    """VRRP knows 1 to 254; what a proxy loses is in the role, what it starts with in the model."""
    role = yaml.safe_load((ROLES / "keepalived/vars/main.yml").read_text())
    weights = {**role["__keepalived_all_weights"], "agent": role["__keepalived_agent_weight"]}
    assert role["__keepalived_holder_bonus"] == model.PRIORITY_HOLDER_BONUS
    assert model.PRIORITY_BASE + model.PRIORITY_HOLDER_BONUS <= 254
    assert model.PRIORITY_BASE + sum(weights.values()) >= 1
    enough = model.PRIORITY_HOLDER_BONUS + model.MAX_PROXIES - 1
    assert {name for name, weight in weights.items() if -weight <= enough} == {"maintenance", "agent"}


def test_the_fact_is_plain_data() -> None:
    fact = make().as_dict()
    assert fact["hosts"]["sip2"]["node_id"] == 2
    assert fact["hosts"]["db1"]["node_id"] == 0
    assert fact["public_network"] == "198.18.10.0/24"
    assert fact["databases"] == ["db1", "db2", "db3"]
    assert fact["vips"][0]["address"] == "198.18.10.10"


def test_unknown_variables_are_named_with_a_guess() -> None:
    found = unknown_variables({"sip1": ["sipha_domian", "my_own", "sipha_domain"]}, {"sipha_domain"}, ("sipha_",))
    assert [str(f) for f in found] == ["INV004 sipha_domian on sip1: nothing reads this variable. Did you mean sipha_domain."]


def test_what_roles_document_is_what_is_known() -> None:
    known, prefixes = known_variables()
    assert {"sipha_domain", "opensips_udp_workers", "galera_gcache_size"} <= known
    assert {"sipha_", "opensips_", "keepalived_"} <= set(prefixes)
    assert "unit_" not in prefixes
    # every choice and default of the model is documented
    assert {*model.CHOICES, *model.DEFAULTS, *model.SECRETS} <= known


def test_an_interface_is_found_by_its_address_but_never_loopback() -> None:
    facts = {
        "interfaces": ["lo", "eth0", "br-x"],
        "lo": {"device": "lo", "ipv4": {"address": "127.0.0.1"}, "ipv4_secondaries": [{"address": "198.18.10.10"}]},
        "eth0": {"device": "eth0", "ipv4": {"address": "198.18.20.11"}},
        "br_x": {"device": "br-x", "ipv4": {"address": "198.18.10.11"}, "ipv4_secondaries": [{"address": "198.18.10.12"}]},
    }
    assert interface_of(facts, "198.18.20.11") == "eth0"
    assert interface_of(facts, "198.18.10.12") == "br-x"
    with pytest.raises(Exception, match=r"No interface of .* carries 198\.18\.10\.10"):
        interface_of(facts, "198.18.10.10")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(["198.18.10.11/24", "198.18.10.0/33", "sip1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


# The first texts hypothesis makes are slow on a busy machine; that says nothing about the model.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    groups=st.dictionaries(st.sampled_from([*model.GROUPS, "other"]), st.lists(st.sampled_from(["a", "b", "c"]), max_size=3)),
    values=st.dictionaries(st.sampled_from([*EVERYWHERE, *HOSTS["sip1"], "sipha_waivers", "sipha_opensips_version"]), JUNK),
)
def test_no_input_gives_a_traceback(groups: dict[str, list[str]], values: dict[str, Any]) -> None:
    topology = build(groups, lambda _host, variable: values.get(variable))
    for finding in judge(topology):
        assert isinstance(finding, Finding)
        assert str(finding).startswith(finding.id)
    topology.as_dict()
