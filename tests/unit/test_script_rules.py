"""Every rule over scripts has a script that trips it, and one that comes near and does not."""

from __future__ import annotations

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.script.engine import VERSIONS, engine
from ansible_collections.sipha.cluster.plugins.module_utils.script.expressions import _by_python, regex_error, strange_escape, substitution
from ansible_collections.sipha.cluster.plugins.module_utils.script.rules import RULES, findings, place_findings, socket_findings
from script_base import base, changed
from script_cases import CASES, MAIN_END
from script_templates import render, render_for
from topology_inventories import overlaid


def ids(text: str, version: str = "3.6") -> list[str]:
    return [finding.id for finding in findings(text, version)]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_base_has_no_findings(version: str) -> None:
    assert [str(finding) for finding in findings(base(version), version)] == []


def test_every_rule_has_a_case() -> None:
    assert set(CASES) == {rule.id for rule in RULES} - {"SCRIPT060", "SCRIPT061"}
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.severity in ("error", "warning")
        assert rule.what, rule.id
        assert rule.why.endswith("."), rule.id


@pytest.mark.parametrize("rule", sorted(CASES))
def test_a_rule_finds_what_it_is_for(rule: str) -> None:
    text = changed(CASES[rule][0])
    found = findings(text, "3.6")
    assert rule in {finding.id for finding in found}, [str(finding) for finding in found]
    for finding in found:
        assert finding.problem
        assert finding.remedy
        assert 1 <= finding.line <= len(text.splitlines())
        assert str(finding).startswith(f"{finding.id} line {finding.line}: ")


@pytest.mark.parametrize("rule", sorted(CASES))
def test_a_rule_keeps_silent_about_what_only_comes_near(rule: str) -> None:
    assert rule not in ids(changed(CASES[rule][1]))


def test_findings_carry_the_line() -> None:
    (finding,) = findings(changed(('t_on_reply("ANSWER")', 't_on_reply("ANSWERS")'), ("", "\n")), "3.6")[:1]
    assert "t_on_reply" in base().splitlines()[finding.line - 1]
    assert finding.problem == "onreply_route[ANSWERS] is not defined"
    assert finding.remedy == "Did you mean ANSWER"


@pytest.mark.parametrize("media", ["mediaproxy", "rtpengine", "none"])
@pytest.mark.parametrize("registrar", ["sql_only", "full_sharing"])
@pytest.mark.parametrize("version", VERSIONS)
def test_our_own_script_has_no_error(version: str, registrar: str, media: str) -> None:
    found = findings(render(version, media, registrar), version)
    assert [str(finding) for finding in found if finding.severity == "error"] == []
    assert {finding.id for finding in found} <= {"SCRIPT038", "SCRIPT050"}


def test_our_own_scripts_have_the_same_sockets() -> None:
    scripts = {host: render(host=host) for host in ("sip1", "sip2")}
    assert socket_findings(scripts) == []
    assert socket_findings(scripts, {"sip1": "198.18.20.11", "sip2": "198.18.20.12"}) == []


def test_sockets_that_differ_are_found() -> None:
    other = base().replace("198.18.20.11", "198.18.20.12")
    assert socket_findings({"a": base(), "b": other}) == []
    (finding,) = socket_findings({"a": base() + "socket=tcp:198.18.10.10:5060\n", "b": other})
    assert (finding.id, finding.host, finding.problem) == ("SCRIPT060", "b", "socket tcp:198.18.10.10:5060 is missing")
    found = socket_findings({"a": base(), "b": other.replace("198.18.10.10:5060", "198.18.10.10:5061")})
    assert [f.problem for f in found] == ["socket udp:198.18.10.10:5061 is not on a", "socket udp:198.18.10.10:5060 is missing"]
    first, second = "socket=udp:198.18.10.10:5060\n", "socket=bin:198.18.20.12:5566\n"
    (finding,) = socket_findings({"a": base(), "b": other.replace(first + second, second + first)})
    assert finding.problem == "sockets are in another order than on a"
    assert [f.id for f in socket_findings({"a": base(), "b": "route {"})] == ["SCRIPT001"]


@pytest.mark.parametrize(
    ("version", "text", "finding"),
    [
        ("4.0", "listen=udp:192.0.2.1:5060", "OpenSIPS 4.0 has no core setting listen; 3.4 and 3.6 have it. Use socket."),
        ("3.6", 'loadmodule "avpops.so"', "OpenSIPS 3.6 has no module avpops; 3.4 has it. Use the core's avp functions and module sqlops."),
        (
            "4.0",
            'loadmodule "usrloc.so"\nmodparam("usrloc", "db_mode", 3)',
            "usrloc of OpenSIPS 4.0 has no parameter db_mode; 3.4 and 3.6 have it.",
        ),
        ("3.6", "route { append_branch(); exit; }", "OpenSIPS 3.6 has no function append_branch(); 3.4 has it. Use append_msg_branch."),
        (
            "3.4",
            'loadmodule "clusterer.so"\nmodparam("clusterer", "enable_rerouting", 0)',
            "clusterer of OpenSIPS 3.4 has no parameter enable_rerouting; 3.6 and 4.0 have it.",
        ),
    ],
)
def test_versions_differ(version: str, text: str, finding: str) -> None:
    assert any(finding in str(found) for found in findings(text, version))


@pytest.mark.parametrize(
    ("version", "flags", "good"),
    [
        ("3.4", "B", True),
        ("3.6", "BPp", True),
        ("3.6", "bye-on-timeout", False),
        ("3.6", "X", False),
        ("4.0", "bye-on-timeout", True),
        ("4.0", "BYE-ON-TIMEOUT,auto-prack", True),
        ("4.0", "B", False),
        ("4.0", "$var(found)", True),
    ],
)
def test_flags_of_create_dialog_by_version(version: str, flags: str, good: bool) -> None:
    text = base().replace('create_dialog("B")', f'create_dialog("{flags}")')
    assert ("SCRIPT034" not in ids(text, version)) is good


def test_a_remark_with_a_reason_waives() -> None:
    silent = 'if ($var(found) == 0) { send_reply(404, "Not Found"); exit; }'
    text = changed((silent, "# lint: SCRIPT041 tarpit for guessers.\n    if ($var(found) == 0) exit;"))
    (finding,) = findings(text, "3.6")
    assert (finding.id, finding.severity, finding.waived) == ("SCRIPT041", "warning", "tarpit for guessers")
    text = changed((MAIN_END, "}"), ("route {", "route {  # lint: SCRIPT040 answered by another module"))
    assert [(f.id, f.severity, f.waived) for f in findings(text, "3.6") if f.id == "SCRIPT040"] == [
        ("SCRIPT040", "warning", "answered by another module")
    ]
    without_reason = changed((MAIN_END, "}"), ("route {", "route {  # lint: SCRIPT040"))
    assert [f.severity for f in findings(without_reason, "3.6") if f.id == "SCRIPT040"] == ["error"]


@pytest.mark.parametrize(
    ("body", "silent"),
    [
        ('if (is_method("OPTIONS")) send_reply(200, "OK");', True),
        ('if (is_method("OPTIONS")) send_reply(200, "OK"); else send_reply(405, "No");', False),
        ('while ($var(i) < 3) { $var(i) = $var(i) + 1; } send_reply(200, "OK");', False),
        ('while ($var(i) < 3) { send_reply(200, "OK"); break; }', True),
        ('switch ($rm) { case "INVITE": t_relay(); break; }', True),
        ('switch ($rm) { case "ACK": break; case "INVITE": t_relay(); break; default: send_reply(405, "No"); }', False),
        ("route(A);", True),
        ("route(B);", False),
        ("route(C);", False),
        ("route($var(x));", False),
        ('if (!t_relay()) xlog("no");', False),
        ("return(1);", True),
        ("async(sleep(1), B);", False),
        ('if (!is_method("ACK")) send_reply(483, "Too Many Hops");', False),
        ('for ($var(x) in $(avp(y)[*])) send_reply(200, "OK");', True),
    ],
)
def test_ways_through_the_main_route(body: str, silent: bool) -> None:
    routes = 'route[A] { if ($rU == "x") { t_relay(); exit; } }\nroute[B] { t_relay(); exit; }\nroute[C] { send_reply(404, "x"); }'
    assert ("SCRIPT040" in ids(f"route {{ {body} }}\n{routes}")) is silent


def test_regular_expressions_are_posix() -> None:
    for good in ("^[0-9]{5,15}$", "(^| )NAT( |$)", r"\(a\)", "[]a]", "a|b"):
        assert regex_error(good) == ""
        assert _by_python(good) == ""
        assert strange_escape(good) == ""
    for bad in ("(", "[a", "a{2,1}", "(?i)a", "a(?:b)"):
        assert regex_error(bad), bad
    assert _by_python("[a")
    assert regex_error("(" * 5000)
    assert [strange_escape(text) != "" for text in (r"\d", r"[\t]", "a*?", r"\+?", r"\w+", "x{2}+")] == [
        True,
        True,
        True,
        False,
        False,
        True,
    ]
    assert [substitution(text) for text in ("/a/b/", "#a/#b#g", r"/a\/b/c/", "/a", "", "/a/b")] == ["a", "a/", r"a\/b", None, None, None]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_data_is_plausible(version: str) -> None:
    known = engine(version)
    assert len(known.modules) > 170
    assert {"socket", "log_level", "udp_workers"} <= known.settings
    assert {"ru", "avp", "var", "rc"} <= known.variables
    assert known.modules["tm"].functions["t_relay"].allowed_in("failure_route")
    assert not known.modules["tm"].functions["t_newtran"].allowed_in("onreply_route")
    assert "neighbor_node_info" in known.modules["clusterer"].repeatable
    for module in known.modules.values():
        assert {*module.needs} <= set(known.modules), module.name


def test_an_unknown_version_is_a_finding() -> None:
    (finding,) = findings(base(), "2.4")
    assert finding.problem == "there is no data for OpenSIPS 2.4, only for 3.4, 3.6, 4.0"


NEEDED = ["udp:198.18.10.10:5060", "tcp:198.18.10.10:5060", "udp:198.18.20.11:5060"]
OWN = ["198.18.10.10", "198.18.10.11", "198.18.20.11", "2001:db8::11"]


def test_our_own_script_has_the_sockets_that_its_cluster_needs() -> None:
    assert place_findings(render(), NEEDED, OWN) == []
    assert place_findings(render(), [], []) == []
    assert place_findings("if (", NEEDED, OWN) == []


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ("socket=udp:127.0.0.1:7999", []),
        ("socket=udp:0.0.0.0:7999", []),
        ("socket=udp:eth0:7999", []),
        ("socket=udp:[2001:db8:0::11]:7999", []),
        ("socket=udp:[2001:db8::12]:7999", ["socket udp:2001:db8::12:7999 is at an address that sip1 does not have"]),
        ("socket=tcp:198.18.10.99", ["socket tcp:198.18.10.99 is at an address that sip1 does not have"]),
        ("socket=udp:198.18.10.12:5060", ["socket udp:198.18.10.12:5060 is at an address that sip1 does not have"]),
    ],
)
def test_a_socket_at_an_address_of_somebody_else(more: str, found: list[str]) -> None:
    assert [one.problem for one in place_findings(f"{render()}\n{more}\n", NEEDED, OWN, "sip1")] == found


def test_a_socket_at_another_port_than_others_ask() -> None:
    text = render().replace("socket=udp:198.18.10.10:5060 anycast", "socket=udp:198.18.10.10:5070 anycast")
    (finding,) = place_findings(text, NEEDED, OWN)
    assert (finding.id, finding.severity) == ("SCRIPT061", "error")
    assert finding.problem == "there is no socket udp:198.18.10.10:5060, its port is 5070"
    assert text.splitlines()[finding.line - 1].startswith("socket=")
    assert [one.problem for one in place_findings(render(), ["udp:198.18.10.20:5060"], [])] == ["there is no socket udp:198.18.10.20:5060"]


def test_a_socket_at_an_address_that_comes_later_can_be_waived() -> None:
    text = render() + "\n# lint: SCRIPT061 another keepalived moves it\nsocket=udp:198.18.10.99:5060\n"
    (finding,) = place_findings(text, NEEDED, OWN)
    assert (finding.severity, finding.waived) == ("warning", "another keepalived moves it")


def test_a_proxy_that_leaves_changes_no_number_and_leaves_a_seed() -> None:
    sip3 = {"sipha_public_address": "198.18.10.13/24", "sipha_core_address": "198.18.20.13/24", "opensips_node_id": 3}
    three = {name: {"opensips_node_id": number} for number, name in enumerate(("sip1", "sip2"), 1)} | {"sip3": sip3}

    def cluster(host: str, proxies: list[str]) -> list[str]:
        text = render_for(overlaid({"groups": {"proxies": proxies}, "hosts": three}), host)
        return [line.split(", ", 1)[1][:-1] for line in text.splitlines() if "node_i" in line and "modparam" in line]

    assert cluster("sip2", ["sip1", "sip2", "sip3"]) == [
        '"my_node_id", 2',
        '"neighbor_node_info", "cluster_id=1, node_id=1, url=bin:198.18.20.11:5566"',
        '"my_node_info", "cluster_id=1, url=bin:198.18.20.12:5566"',
        '"neighbor_node_info", "cluster_id=1, node_id=3, url=bin:198.18.20.13:5566"',
    ]
    assert cluster("sip2", ["sip2", "sip3"]) == [
        '"my_node_id", 2',
        '"my_node_info", "cluster_id=1, url=bin:198.18.20.12:5566, flags=seed"',
        '"neighbor_node_info", "cluster_id=1, node_id=3, url=bin:198.18.20.13:5566"',
    ]
    assert cluster("sip3", ["sip2", "sip3"])[0] == '"my_node_id", 3'
    assert "flags=seed" in render(host="sip1")
    assert "flags=seed" not in render(host="sip2")
