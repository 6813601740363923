"""The topology model and its rules: a hit and a miss for each, and no input that gives a traceback."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.sipha.cluster.plugins.filter.topology import interface_of, known_variables
from ansible_collections.sipha.cluster.plugins.module_utils.topology import model
from ansible_collections.sipha.cluster.plugins.module_utils.topology.build import build
from ansible_collections.sipha.cluster.plugins.module_utils.topology.model import Finding, Topology
from ansible_collections.sipha.cluster.plugins.module_utils.topology.rules import judge, unknown_variables
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

GROUPS = {"proxies": ["sip1", "sip2"], "databases": ["db1", "db2", "db3"], "arbitrators": [], "relays": ["relay1"]}
EVERYWHERE: dict[str, Any] = {
    "sipha_domain": "sip.example.org",
    "sipha_vips": [{"name": "main", "address": "198.18.10.10/24", "router_id": 51, "preferred": ["sip2", "sip1"]}],
    "sipha_secret_db_engine": "e" * 24,
    "sipha_secret_db_sst": "s" * 24,
    "sipha_secret_auth_nonce": "n" * 32,
    "sipha_secret_ca_passphrase": "c" * 24,
}
HOSTS: dict[str, dict[str, Any]] = {
    "sip1": {"sipha_public_address": "198.18.10.11/24", "sipha_core_address": "198.18.20.11/24"},
    "sip2": {"sipha_public_address": "198.18.10.12/24", "sipha_core_address": "198.18.20.12/24"},
    "relay1": {"sipha_public_address": "198.18.10.31/24", "sipha_core_address": "198.18.20.31/24"},
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
        ("NET002", lambda s: [s[2][h].update(sipha_core_address=f"198.18.10.{n}/24") for h, n in (("sip1", 111), ("sip2", 112))]),
        ("NET003", lambda s: s[2]["sip2"].update(sipha_core_address="198.18.21.12/24")),
        ("VIP001", lambda s: s[1].update(sipha_vips=[])),
        ("VIP002", lambda s: s[1]["sipha_vips"][0].update(address="198.18.10.255/24")),
        ("VIP002", lambda s: s[1]["sipha_vips"][0].update(address="198.18.10.10/25")),
        ("VIP003", lambda s: s[1]["sipha_vips"][0].update(address="198.18.10.31/24")),
        ("VIP005", lambda s: s[1]["sipha_vips"][0].update(preferred=["sip3"])),
        ("DB001", lambda s: s[0].update(databases=["db1", "db2"])),
        ("DB002", lambda s: s[0].update(databases=["db1", "db2"], arbitrators=["db2"])),
        ("SEC001", lambda s: s[1].pop("sipha_secret_db_sst")),
        ("SEC002", lambda s: s[1].update(sipha_secret_auth_nonce="short-but-long-enough")),
        ("SEC003", lambda s: s[1].update(sipha_secret_ca_passphrase="short")),
    ],
)
def test_each_rule_alone(rule: str, change: Callable[[State], object]) -> None:
    assert ids(change) == [rule]


def test_several_vips_are_refused_with_duplicates_named() -> None:
    def change(state: State) -> None:
        state[1]["sipha_vips"].append({"name": "second", "address": "198.18.10.10/24", "router_id": 51, "preferred": []})

    found = judge(make(change))
    assert [f.id for f in found] == ["VIP004", "VIP004", "VIP006"]


def test_two_databases_and_an_arbitrator_are_a_quorum() -> None:
    def change(state: State) -> None:
        state[0].update(databases=["db1", "db2"], arbitrators=["db3"])

    assert ids(change) == []


def test_a_waiver_needs_its_id_and_keeps_its_reason() -> None:
    def change(state: State) -> None:
        state[0].update(databases=["db1", "db2"])
        state[1].update(sipha_waivers={"DB001": "only a laptop", "INV001": "unused"})

    (finding,) = judge(make(change))
    assert (finding.severity, finding.waived) == ("warning", "only a laptop")


def test_priorities_are_distinct_follow_preference_and_leave_room_for_the_bonus() -> None:
    topology = make()
    priorities = topology.vips[0].priorities(topology.names("proxies"))
    assert priorities == {"sip2": 200, "sip1": 199}
    many = [f"p{i:02}" for i in range(model.MAX_PROXIES)]
    spread = model.Vip("main", None, 1, ()).priorities(many)
    assert len(set(spread.values())) == model.MAX_PROXIES
    assert max(spread.values()) - min(spread.values()) < model.PRIORITY_HOLDER_BONUS


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
