"""The rescue of calls that ring on a proxy which dies: what the switch puts into the script, and that it is the same on all proxies."""

from __future__ import annotations

import re
from typing import Any

import pytest
import script_templates
from ansible_collections.sipha.cluster.plugins.module_utils.script.engine import VERSIONS
from ansible_collections.sipha.cluster.plugins.module_utils.script.rules import findings, socket_findings
from ansible_collections.sipha.cluster.plugins.module_utils.topology.rules_script import listeners
from script_templates import render
from topology_inventories import base, judged, model, overlaid

MEDIA = ("mediaproxy", "rtpengine", "none")
# Everything that the switch brings along.
WORDS = (
    "RESCUE",
    "rescue",
    "127.0.0.1:5066",
    "cachedb_local",
    "startup_route",
    "forward()",
    "answers_from",
    "gone_",
    "node=i:",
    "start=s:",
)
ONLY_RESCUE = re.compile("|".join(map(re.escape, (*WORDS, "\nonreply_route {"))))


def on(version: str = "3.6", media: str = "mediaproxy", registrar: str = "sql_only", host: str = "sip1", **changes: Any) -> str:
    return render(version, media, registrar, host, opensips_rescue_ringing=True, **changes)


def lines(text: str, words: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if words in line]


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("version", VERSIONS)
def test_without_the_switch_nothing_of_it_is_there(version: str, media: str) -> None:
    assert ONLY_RESCUE.findall(render(version, media)) == []
    assert ONLY_RESCUE.findall(render(version, media, opensips_rescue_ringing=False, opensips_rescue_port=1)) == []


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("registrar", ["sql_only", "full_sharing"])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_lint_accepts_it(version: str, registrar: str, media: str) -> None:
    found = findings(on(version, media, registrar), version)
    before = findings(render(version, media, registrar), version)
    assert sorted((f.id, f.problem) for f in found) == sorted((f.id, f.problem) for f in before)


@pytest.mark.parametrize("media", MEDIA)
def test_proxies_differ_in_their_own_lines_only(media: str) -> None:
    """What is the same on all has one name (__opensips_common in the role's vars); sockets are compared, too."""
    scripts = {"sip1": on(media=media), "sip2": on(media=media, host="sip2")}
    core = {"sip1": "198.18.20.11", "sip2": "198.18.20.12"}
    own = '^#|(my_node_(id|info)|neighbor_node_info)"|"shvset", "node=|'
    common = [[line for line in text.splitlines() if not re.search(own + re.escape(core[host]), line)] for host, text in scripts.items()]
    assert common[0] == common[1]
    assert socket_findings(scripts, core) == []
    assert [lines(text, '"node=') for text in scripts.values()] == [
        ['modparam("cfgutils", "shvset", "node=i:1")'],
        ['modparam("cfgutils", "shvset", "node=i:2")'],
    ]


def three_proxies_two_vips() -> str:
    vips = [
        {"name": "east", "address": "198.18.10.10/24", "router_id": 51, "preferred": []},
        {"name": "west", "address": "198.18.10.9/24", "router_id": 52, "preferred": []},
    ]
    inventory = overlaid(
        {
            "all": {"sipha_vips": vips},
            "hosts": {"sip3": {"sipha_public_address": "198.18.10.13/24", "sipha_core_address": "198.18.20.13/24"}},
        }
    )
    inventory["groups"]["proxies"] = [*inventory["groups"]["proxies"], "sip3"]
    topology = model(inventory).as_dict()
    changes = (("opensips_rescue_ringing", True), ("sipha_topology", topology))
    return script_templates._render.__wrapped__("3.6", "mediaproxy", "sql_only", "sip2", changes)


def test_each_proxy_and_each_vip_has_its_lines() -> None:
    text = three_proxies_two_vips()
    assert lines(text, '"shvset", "gone_') == [f'modparam("cfgutils", "shvset", "gone_{node}=i:0")' for node in (1, 2, 3)]
    assert lines(text, "> $Ts) return(1);") == [f"if ($var(node) == {node} && $shv(gone_{node}) > $Ts) return(1);" for node in (1, 2, 3)]
    assert lines(text, "$Ts + 10") == [f"if ($var(node) == {node}) $shv(gone_{node}) = $Ts + 10;" for node in (1, 2, 3)]
    assert '"^SIP/2.0/UDP (198[.]18[.]10[.]10|198[.]18[.]10[.]9):5060;"' in text
    assert lines(text, "force_send_socket(") == [
        'force_send_socket("udp:127.0.0.1:5066");',
        'if ($(avp(call){s.select,2,|}) == "198.18.10.10") force_send_socket("udp:198.18.10.10:5060");',
        'if ($(avp(call){s.select,2,|}) == "198.18.10.9") force_send_socket("udp:198.18.10.9:5060");',
    ]


def test_every_socket_of_it_is_local() -> None:
    assert lines(on(opensips_rescue_port=7066), ":7066") == [
        "socket=udp:127.0.0.1:7066 use_workers 2",
        'force_send_socket("udp:127.0.0.1:7066");',
        'send("udp:127.0.0.1:7066", "X-Sipha-Source: $si:$sp\\r\\n");',
    ]


def test_the_gate_is_shut_before_anything_else_is_looked_at() -> None:
    """Whatever the route does then, what it does not open does not get out."""
    text = on()
    route = text[text.index("\nonreply_route {") :]
    first = [line.strip() for line in route.splitlines()[2:4]]
    assert first == ['if ($rm == "NEVER") forward();', 'force_send_socket("udp:127.0.0.1:5066");']
    assert text.count("forward();") == 1


def test_what_is_known_outlives_the_ringing() -> None:
    text = on(opensips_ring_timeout=30)
    assert {int(seconds) for seconds in re.findall(r"cache_store\(.*, (\d+)\);", text)} == {90, 600, 21600}


def test_messages_do_not_get_into_the_statement() -> None:
    """Every field of the row that a message brought is escaped."""
    (statement,) = re.findall(r"\$var\(row\) = (.*?);\n", on(), re.DOTALL)
    from_messages = re.findall(r"\$\(?(?:avp\((?:ok|caller_tag|callee_tag)\)|ci)[^)]*\)", statement)
    assert len(from_messages) == 7
    assert [field for field in from_messages if not field.endswith("{s.escape.common})")] == []


@pytest.mark.parametrize(("switch", "pause"), [(True, "1500ms"), (False, "200ms")])
def test_a_dead_engine_stays_away_until_the_vip_has_moved(monkeypatch: pytest.MonkeyPatch, switch: bool, pause: str) -> None:
    monkeypatch.setattr(script_templates, "TEMPLATE", "{% include 'dropin.conf.j2' %}")
    unit = script_templates._render.__wrapped__("3.6", "mediaproxy", "sql_only", "sip1", (("opensips_rescue_ringing", switch),))
    assert lines(unit, "RestartSec=") == [f"RestartSec={pause}"]


@pytest.mark.parametrize(("switch", "found"), [(True, [("local", "udp", 5066.0)]), (False, [])])
def test_the_model_knows_the_port(switch: bool, found: list[tuple[str, str, float]]) -> None:
    topology = model(overlaid({"all": {"opensips_rescue_ringing": switch}}))
    assert [
        (port.where, port.protocol, port.first)
        for port in listeners(topology, topology.hosts["sip1"])
        if port.variable == "opensips_rescue_port"
    ] == found


def test_the_same_port_everywhere() -> None:
    overlay = {"all": {"opensips_rescue_ringing": True}, "hosts": {"sip2": {"opensips_rescue_port": 5067}}}
    assert [(f.id, f.host, f.problem) for f in judged(overlaid(overlay))] == [
        ("SCR008", "sip2", "it is 5067 here and 5066 on the other proxies")
    ]
    del overlay["all"]["opensips_rescue_ringing"]
    assert judged(overlaid(overlay)) == []


def test_the_base_of_these_tests_has_two_proxies() -> None:
    assert model(base()).names("proxies") == ["sip1", "sip2"]
