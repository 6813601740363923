"""The drawings: every part once, lines as the cluster has them, findings in red, and no name that breaks the output."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter
from typing import Any

import pytest
import yaml
from ansible_collections.sipha.cluster.plugins.module_utils.topology.drawing import RED, dot, mermaid
from ansible_collections.sipha.cluster.plugins.module_utils.topology.model import Finding, Host, Topology, Vip
from ansible_collections.sipha.cluster.plugins.module_utils.topology.picture import Picture, names, picture
from ansible_collections.sipha.cluster.plugins.module_utils.topology.rules import judge
from ansible_collections.sipha.cluster.plugins.module_utils.topology.sockets import peers, sockets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from topology_inventories import BROKEN, base, judged, model, overlaid

HOSTS = ("sip1", "sip2", "relay1", "relay2", "db1", "db2", "db3")
NASTY = (
    'a"b',
    "a<b>&c",
    "a]b[c)d(e}f{",
    "line\nbreak\r\x00\x1b",
    '"];evil[label="x"];',
    "</td></table>>];evil",
    "%%{init: {'theme': 'dark'}}%%",
    "end",
    "a-->b",
    "`code`",
    "back\\slash\\",
    "<script>alert(1)</script>",
    "style x fill:#fff;",
    "\ud800\ufffe",
    "ü ж 漢 😀",
    "",
)
NEED_DOT = pytest.mark.skipif(not shutil.which("dot"), reason="the command dot is missing: tools/bootstrap.sh installs graphviz")


def cluster(**groups: list[str]) -> dict[str, Any]:
    """The good inventory with other hosts, each with addresses of its own."""
    inventory = base()
    inventory["groups"].update(groups)
    inventory["hosts"] = {
        name: {"sipha_public_address": f"198.18.10.{number}/24", "sipha_core_address": f"198.18.20.{number}/24"}
        for number, name in enumerate(dict.fromkeys(h for members in inventory["groups"].values() for h in members), 11)
    }
    return inventory


def drawn(inventory: dict[str, Any]) -> Picture:
    topology = model(inventory)
    return picture(topology, judge(topology))


def lines(drawing: Picture, flow: str) -> set[tuple[str, str]]:
    return {(e.source.removeprefix("host_"), e.target.removeprefix("host_")) for e in drawing.edges if e.flow == flow}


def svg(text: str) -> ET.Element:
    done = subprocess.run(["dot", "-Tsvg"], input=text.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    # A text in a font without its size is only a remark about this machine.
    assert b"syntax" not in done.stderr
    return ET.fromstring(done.stdout)  # noqa: S314 (made here)


def texts(root: ET.Element) -> Counter[str]:
    return Counter("".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text"))


def titles(root: ET.Element, kind: str) -> list[str]:
    groups = (g for g in root.iter("{http://www.w3.org/2000/svg}g") if g.get("class") == kind)
    return sorted(g.findtext("{http://www.w3.org/2000/svg}title", "") for g in groups)


def test_every_part_is_one_node() -> None:
    drawing = drawn(base())
    assert Counter(node.name for node in drawing.nodes) == Counter(
        [*HOSTS, "VIP main", "public network", "core network", "phones", "carriers, peers"]
    )
    assert len({node.id for node in drawing.nodes}) == len(drawing.nodes)
    roles = {node.name: [line.split(" (")[0] for line in node.lines if " (" in line] for node in drawing.nodes if node.name in HOSTS}
    assert roles == {
        **{key: ["proxy"] for key in ("sip1", "sip2")},
        **{key: ["media relay"] for key in ("relay1", "relay2")},
        **{key: ["database"] for key in ("db1", "db2", "db3")},
    }


def test_flows() -> None:
    drawing = drawn(base())
    outside = {("phones", "public"), ("carriers", "public")}
    assert lines(drawing, "sip") == outside | {("public", "vip_1"), ("vip_1", "sip1"), ("vip_1", "sip2")}
    assert lines(drawing, "media") == outside | {("public", "relay1"), ("public", "relay2")}
    assert lines(drawing, "control") == {("sip1", "core"), ("sip2", "core"), ("core", "relay1"), ("core", "relay2")}
    assert lines(drawing, "sql") == {("sip1", "core"), ("sip2", "core"), ("core", "db1"), ("core", "db2"), ("core", "db3")}
    assert lines(drawing, "vrrp") == {("sip1", "sip2")}
    assert lines(drawing, "galera") == {("db1", "db2"), ("db2", "db3")}
    assert [(e.target, e.aside) for e in drawing.edges if e.source == "vip_1"] == [("host_sip1", False), ("host_sip2", True)]


def test_a_host_in_two_groups_is_one_node_with_two_roles() -> None:
    drawing = drawn(cluster(relays=["sip1", "sip2"]))
    both = next(node for node in drawing.nodes if node.name == "sip1")
    assert [line.split(" (")[0] for line in both.lines[:2]] == ["proxy", "media relay"]
    assert ("core", "sip1") in lines(drawing, "control")
    assert ("public", "sip1") in lines(drawing, "media")


def test_without_relays_there_is_no_media_flow() -> None:
    inventory = cluster(relays=[])
    inventory["all"]["sipha_media_relay"] = "none"
    drawing = drawn(inventory)
    assert not lines(drawing, "media") | lines(drawing, "control")
    assert "RTP" not in dot(model(inventory), [])


def test_an_arbitrator_replicates_but_answers_no_sql() -> None:
    drawing = drawn(cluster(databases=["db1", "db2"], arbitrators=["arb"]))
    assert ("core", "arb") not in lines(drawing, "sql")
    assert {host for pair in lines(drawing, "galera") for host in pair} == {"arb", "db1", "db2"}


@pytest.mark.parametrize("count", [2, 3, 9, 14])
def test_lines_grow_with_the_hosts_and_not_with_their_square(count: int) -> None:
    proxies, relays = [f"sip{n}" for n in range(count)], [f"relay{n}" for n in range(count)]
    drawing = drawn(cluster(proxies=proxies, relays=relays))
    assert len(drawing.edges) <= 4 * count + 2 * count + 20
    assert {node.name for node in drawing.nodes} >= {*proxies, *relays}


def test_failure_domains_are_frames() -> None:
    text = dot(model(base()), [])
    frames = dict(re.findall(r"subgraph cluster_(\w+)_ \{(.*?)\n\}", text, re.DOTALL))
    assert {name: re.findall(r"^host_(\w+) ", body, re.MULTILINE) for name, body in frames.items()} == {
        "rack1": ["db1", "relay1", "sip1"],
        "rack2": ["db2", "relay2", "sip2"],
        "rack3": ["db3"],
    }
    flowchart = mermaid(model(base()), [])
    assert re.findall(r'^subgraph \w+\["failure domain (\w+)"\]$', flowchart, re.MULTILINE) == ["rack1", "rack2", "rack3"]
    assert flowchart.splitlines().count("end") == 3
    assert drawn(cluster()).frames == ()


def finding(**change: str) -> Finding:
    values = {"id": "XYZ001", "severity": "error", "host": "db1", "variable": "v", "problem": "it is wrong", "remedy": "Set it"}
    return Finding(**{**values, **change})


def test_findings_are_red_with_their_id() -> None:
    topology = model(base())
    assert RED not in dot(topology, [])
    assert "findings" not in mermaid(topology, [])
    red = [line for line in dot(topology, [finding()]).splitlines() if line.startswith("host_") and RED in line and "->" not in line]
    assert [line.split()[0] for line in red] == ["host_db1"]
    assert "XYZ001" in red[0]
    marked = [line for line in mermaid(topology, [finding()]).splitlines() if line.endswith(":::finding")]
    assert len(marked) == 1
    assert "XYZ001" in marked[0]
    assert marked[0].strip().startswith("host_db1[")


@pytest.mark.parametrize(
    ("change", "red"),
    [
        ({"host": "", "variable": "sipha_vips", "problem": "VIP main has no address"}, ["vip_1"]),
        ({"host": "", "variable": "sipha_vips", "problem": "VIP mainly has no address"}, []),
        ({"host": "", "variable": "sipha_public_address, sipha_core_address"}, ["public", "core"]),
        ({"host": "", "variable": "sipha_domain"}, []),
        ({"host": "gone"}, []),
        ({"waived": "a laptop"}, []),
    ],
)
def test_what_a_finding_marks(change: dict[str, str], red: list[str]) -> None:
    drawing = picture(model(base()), [finding(**change)])
    assert [node.id for node in drawing.nodes if node.marks] == red
    assert drawing.notes[0][0] == ("(XYZ001)" if change.get("waived") else "XYZ001")


def test_findings_that_say_the_same_are_one_note_and_many_are_cut() -> None:
    topology = model(base())
    assert [text for _, text in picture(topology, [finding(host=h) for h in HOSTS]).notes] == [
        "v: it is wrong (sip1, sip2, relay1 and 4 more)"
    ]
    many = picture(topology, [finding(problem=f"it is {number}") for number in range(100)]).notes
    assert len(many) == 25
    assert many[-1][1].startswith("and 76 more")


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_every_broken_inventory_is_drawn(path: Any) -> None:
    inventory = overlaid(yaml.safe_load(path.read_text()))
    found = judged(inventory)
    assert path.stem in dot(model(inventory), found)
    assert path.stem in mermaid(model(inventory), found)


def nasty(text: str) -> tuple[Topology, list[Finding]]:
    hosts = {name: Host(name, ("proxies", "relays", text), failure_domain=text) for name in (text, "sip2")}
    settings = {"sipha_cluster_name": text, "sipha_domain": text, "sipha_media_relay": text, "sipha_sip_engine": text}
    return Topology(settings, hosts, (Vip(text, None, 1, (text,)),)), [finding(id=text, host=text, problem=text, variable=text)]


LINE = re.compile(
    r"flowchart TB|end|"
    r'subgraph \w+\["[^"<>&`%{}\[\];#]*(?:(?:#\d+;|<br/>)[^"<>&`%{}\[\];#]*)*"\]|'
    r'\w+[\[({/]+"[^"<>&`%{}\[\];#]*(?:(?:#\d+;|<br/>)[^"<>&`%{}\[\];#]*)*"[\])}/]+:::\w+|'
    r'\w+ <?-\.?-?>(?:\|"[\w ,]+"\|)? \w+|linkStyle [\d,]+ stroke:#\w+,color:#\w+|classDef \w+ [\w:,#-]+'
)


def assert_mermaid(text: str) -> None:
    for line in text.splitlines():
        assert LINE.fullmatch(line.strip()), line


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text())
def test_no_text_breaks_mermaid(text: str) -> None:
    assert_mermaid(mermaid(*nasty(text)))


@pytest.mark.parametrize("text", NASTY)
def test_nasty_names_in_mermaid(text: str) -> None:
    assert_mermaid(mermaid(*nasty(text)))
    assert "];evil" not in mermaid(*nasty(text))


@NEED_DOT
@pytest.mark.parametrize("text", NASTY)
def test_nasty_names_in_dot(text: str) -> None:
    root = svg(dot(*nasty(text)))
    assert len(titles(root, "node")) == 4 + 1 + 2 + 1  # two outside and two networks, the VIP, the hosts, the findings
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    if text == "a<b>&c":
        assert texts(root)["a<b>&c"] >= 1


@NEED_DOT
def test_graphviz_draws_every_part_once() -> None:
    root = svg(dot(model(base()), []))
    assert titles(root, "node") == sorted([*(f"host_{name}" for name in HOSTS), "vip_1", "public", "core", "phones", "carriers"])
    assert len(titles(root, "cluster")) == 3
    shown = texts(root)
    for text in (*HOSTS, "VIP main", "198.18.10.10/24", "public network", "core network", "phones", "failure domain rack1", "VRRP"):
        assert shown[text] == 1, text
    assert shown["SIP cluster demo of sip.example.org"] == 1


@NEED_DOT
def test_rows_are_from_the_phones_down_to_the_databases() -> None:
    out = subprocess.run(["dot", "-Tplain"], input=dot(model(base()), []).encode(), capture_output=True, check=True).stdout.decode()
    height = {words[1]: float(words[3]) for words in map(str.split, out.splitlines()) if words[0] == "node"}
    order = ["phones", "public", "vip_1", "host_sip1", "core", "host_db1"]
    assert sorted(order, key=lambda node: -height[node]) == order
    assert height["host_sip1"] == height["host_sip2"] == height["host_relay1"]


@NEED_DOT
@pytest.mark.parametrize(
    "inventory",
    [
        {"groups": {}, "all": {}, "hosts": {}},
        {"groups": {"proxies": ["a"]}, "all": {}, "hosts": {}},
        cluster(proxies=[f"sip{n}" for n in range(14)], relays=[f"relay{n}" for n in range(9)]),
        cluster(proxies=["all-in-one", "other"], databases=["all-in-one", "other"], arbitrators=["other"], relays=["other", "all-in-one"]),
    ],
    ids=["nothing", "one host without anything", "large", "all on two hosts"],
)
def test_graphviz_draws_any_cluster(inventory: dict[str, Any]) -> None:
    topology = model(inventory)
    assert {f"host_{identifier}" for identifier in names(topology.hosts).values()} <= set(
        titles(svg(dot(topology, judge(topology))), "node")
    )


def test_names_stay_apart() -> None:
    given_names = names(["a.b", "a-b", "a_b", "", "."])
    assert len(set(given_names.values())) == 5
    assert all(re.fullmatch(r"\w*", value) for value in given_names.values())


def test_sockets_and_peers() -> None:
    inventory = base()
    assert sockets(model(inventory)) == {
        f"sip{n}": ["udp:198.18.10.10:5060", "tcp:198.18.10.10:5060", f"udp:198.18.20.1{n}:5060"] for n in (1, 2)
    }
    inventory["all"]["opensips_port"] = 5070
    assert sockets(model(inventory))["sip1"][0] == "udp:198.18.10.10:5070"
    assert peers(model(inventory)) == {"sip1": ["198.18.10.12"], "sip2": ["198.18.10.11"]}
    del inventory["hosts"]["sip2"]["sipha_public_address"]
    assert peers(model(inventory))["sip1"] == []
