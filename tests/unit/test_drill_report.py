"""The report: what it shows, and that nothing anybody is called can become markup."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.sipha.cluster.plugins.module_utils.drill import report_files, report_lanes, report_svg
from ansible_collections.sipha.cluster.plugins.module_utils.drill.observations import read
from ansible_collections.sipha.cluster.plugins.module_utils.drill.report_html import render, when
from ansible_collections.sipha.cluster.plugins.module_utils.drill.report_run import RunError, check, drill_result, repeated, run
from ansible_collections.sipha.cluster.plugins.modules import drill_report
from drill_cases import END, FAULT, START, held, lines, observations, records
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from junk import junk

EVIL = "</title></script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\x00\x1b[31m\u202ex"
HTML = "html head meta title style body h1 h2 h3 p a span br table tr th td ul li dl dt dd img"
TAGS = {*HTML.split(), *["svg", "rect", "text", "line", "polyline", "circle"]}


def xml(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 (our own)


class Page(HTMLParser):
    """All tags, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links |= {value or "" for name, value in attrs if name in ("href", "src")}

    def handle_data(self, data: str) -> None:
        self.text += data


def one_run(*drills: dict[str, Any], **changes: Any) -> dict[str, Any]:
    made = drills or (drill_result("host_killed", observations(**changes)),)
    return json.loads(json.dumps(run("r1", "lab", {"OpenSIPS": "3.6.1"}, made)))


def failed() -> dict[str, Any]:
    return drill_result("proxy_frozen", observations(holders=held(overlap=2.0), calls={"up": 50, "ended": 3, "silent": 0}))


def test_the_page_says_what_happened() -> None:
    seen = Page(render(one_run(drill_result("host_killed", observations()), failed()), "<svg/>"))
    for text in (
        "Failover drills of lab",
        "1 of 2 drills passed",
        "What was broken: opensips killed on sip1 at 1970-01-01 00:16:45 UTC, healed 5 s later. In general: power off, without a word.",
        "Two holders of a VIP: 1.95 s, more than the 0.5 s allowed (main: sip1, sip2 for 1.95 s)",
        "Call attempts failed: not measured, not counted; this counts as failed",
        "3.6.1",
        "VIP main: sip1",
        "Database writer",
        "Relay relay2",
        "answered, but late (over 0.5 s)",
        "two had it at once",
        "198.18.10.10:5060 sip2: 500",
    ):
        assert text in seen.text, text
    assert seen.tags <= TAGS
    assert {link for link in seen.links if not link.startswith("data:image/svg+xml;base64,")} == {"index.html", "#drill-0", "#drill-1"}


def test_hostile_names_are_text_everywhere() -> None:
    """Host names, header values, errors, versions, measures from a file: all of them come from outside."""
    made = records()
    for record in made[:100]:
        record.who, record.source = EVIL, EVIL
    for record in made[100:200]:
        record.code, record.error = (None, EVIL) if record.number % 2 else (404, EVIL)
    evil = observations(
        faults=[{"name": EVIL, "host": EVIL, "start": FAULT, "end": None, "confirmed": False}],
        probes={"options": lines(made), "write": lines(made)},
        holders=[[row[0], row[1] + EVIL, EVIL, row[3]] for row in held(overlap=2)],
        relays=[[START, EVIL, EVIL, True], [START + 0.5, EVIL, EVIL, True]],
        kept={"location": {"before": [EVIL], "after": []}},
        proxies=[],
    )
    drill = drill_result("host_killed", evil)
    bad = run("r1", EVIL, {EVIL: EVIL}, [drill])
    page = render(bad, f"<svg onload='{EVIL}'/>")
    seen = Page(page)
    assert seen.tags <= TAGS
    assert not [name for name in seen.attributes if name.startswith("on")]
    assert {link for link in seen.links if not link.startswith("data:image/svg+xml;base64,")} == {"index.html", "#drill-0"}
    assert seen.text.count("<script>alert(1)</script>") > 10
    assert not set(page) & {"\x00", "\x1b", "\u202e"}
    for part in page.split("<svg ")[1:]:
        xml("<svg " + part.split("</svg>")[0] + "</svg>")
    for line in drill["lines"]:
        line["measure"], line["title"], line["unit"], line["detail"] = EVIL, EVIL, EVIL, EVIL
    drill["title"], drill["name"] = EVIL, EVIL
    again = Page(render(bad))
    assert again.tags <= TAGS
    assert not [name for name in again.attributes if name.startswith("on") or "alert" in name]
    assert not set(report_svg.safe(EVIL)) & set("<>\"'")
    suite = xml(report_files.junit(bad))
    assert "<script>" in (suite.get("name") or "")
    listed = Page(report_files.index([{**bad, "run": EVIL}], {EVIL: EVIL}))
    assert listed.tags <= TAGS
    assert listed.links == set()


def test_a_page_of_nothing_is_still_a_page() -> None:
    empty = drill_result("host_killed", {})
    seen = Page(render(run("r1", "lab", {}, [empty])))
    assert "No fault is recorded: nothing was broken" in seen.text
    assert "0 of 1 drills passed" in seen.text
    assert "time not known" in seen.text
    assert run("r1", "lab", {}, [])["passed"] is False
    assert when(1e30) == "time not known"


def test_lanes_show_what_became_of_the_requests() -> None:
    made = records(gap=None)
    for number, (code, error) in {200: (None, "no answer"), 201: (None, "no answer"), 202: (503, "")}.items():
        made[number].code, made[number].error = code, error
    made[203].answered = made[203].scheduled + 0.7
    found = {lane["title"]: lane["marks"] for lane in report_lanes.lanes(read(observations(probes={"options": lines(made)})))}
    assert [(mark[0], mark[1], mark[2]) for mark in found["OPTIONS"]] == [
        (-5.0, -1.0, "good"),
        (-1.0, -0.96, "lost"),
        (-0.96, -0.94, "refused"),
        (-0.94, -0.92, "late"),
        (-0.92, 9.98, "good"),
    ]
    assert found["OPTIONS"][1][3] == "lost: no answer"
    assert found["Faults"] == [[0.0, 5.0, "fault", "opensips killed (sip1)"]]
    both = {lane["title"]: lane["marks"] for lane in report_lanes.lanes(read(observations(holders=held(overlap=1))))}
    assert [mark[2] for mark in both["VIP main: sip1"]] == ["held", "both"]
    assert both["VIP main: sip1"][1] == both["VIP main: sip2"][1] == [0.3, 1.25, "both", "sip1, sip2"]
    endless = report_lanes.lanes(read(observations(faults=[{"name": "x", "host": "h", "start": FAULT}])))
    assert endless[0]["marks"][0][:2] == [0.0, 9.98]


def test_the_close_up_is_drawn_when_it_helps() -> None:
    found = report_lanes.lanes(read(observations()))
    assert report_lanes.extent(found) == (-5.0, 9.985)
    assert report_lanes.close_up(found) == (-0.5, 2.5)
    short = [{"title": "x", "marks": [[-1.0, 2.0, "good", ""]]}]
    assert report_lanes.close_up(short) is None
    assert report_lanes.extent([]) == (-1.0, 1.0)
    page = render(one_run())
    assert page.count("Around the fault") == 1


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.floats(-1e4, 1e4), st.floats(0.1, 1e4))
def test_ticks_are_few_and_inside(low: float, span: float) -> None:
    found = report_svg.ticks(low, low + span)
    assert len(found) <= 13
    assert all(low - 1e-6 <= at <= low + span + 1e-6 for at in found)
    assert found == sorted(set(found))


def test_junit_has_a_case_for_each_budget() -> None:
    made = [drill_result("host_killed", observations()), failed(), drill_result("host_killed", {})]
    good, bad, nothing = xml(report_files.junit(one_run(*made))).findall("testsuite")
    assert (good.get("name"), good.get("tests"), good.get("failures")) == ("1. host_killed", "16", "0")
    assert len(good.findall("testcase")) == 16
    assert bad.get("failures") == "3"
    failing = [case.get("name") for case in bad.findall("testcase") if case.find("failure") is not None]
    assert failing == ["calls_ended", "calls_failed", "two_holders"]
    assert nothing.get("failures") == "16"


def test_repetitions_are_one_row_with_median_and_worst() -> None:
    probes = [{"options": lines(records(gap=(FAULT, FAULT + gap)))} for gap in (0.2, 0.4, 1.4)]
    made = [drill_result("host_killed", observations(probes=probe)) for probe in probes]
    row = repeated([*made, failed()], ["outage_options", "outage_register"])[0]
    assert (row["times"], row["passed"]) == (3, 0)
    assert row["outage_options"] == {"median": pytest.approx(0.42), "worst": pytest.approx(1.42), "allowed": 1.0, "missing": 0}
    assert row["outage_register"]["missing"] == 3
    text = Page(render(one_run(*made))).text
    assert "0.42 s, worst 1.42 s of 1" in text
    assert "not measured" in text


def test_the_index_lists_runs_and_their_trend(tmp_path: Path) -> None:
    slow = drill_result("host_killed", observations(probes={"options": lines(records(gap=(FAULT, FAULT + 1.4)))}))
    for name, drills in (("a", [drill_result("host_killed", observations())]), ("b", [slow, slow])):
        report_files.write(tmp_path, {**run(name, "lab", {}, drills), "started": ord(name)})
    (tmp_path / "broken.json").write_text("{<b>")
    (tmp_path / "other.json").write_text('{"format": 2}')
    part = json.loads((tmp_path / "a.json").read_text())
    del part["drills"][0]["lanes"]
    (tmp_path / "part.json").write_text(json.dumps(part))
    files = report_files.write(tmp_path, {**run("c", "lab", {}, []), "started": ord("c")})
    text = Path(files["index"]).read_text()
    seen = Page(text)
    assert seen.links == {"a.html", "b.html", "c.html"}
    assert text.index('"c.html"') < text.index('"b.html"') < text.index('"a.html"')
    assert "0 of 2" in seen.text
    assert "broken.json is left out: it can't be read" in seen.text
    assert "other.json is left out: it is no run of drills in format 1" in seen.text
    assert "part.json is left out: one of its drills has no lanes" in seen.text
    assert "last 1.42 s of 1 s" in seen.text
    assert text.count("<circle") == 4  # OPTIONS: two runs; REGISTER and writes: one
    assert text.count('fill="#b31515"') == 1
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(junk("format", 1, [], keys=st.sampled_from(["format", "drills", "run", "cluster", "started"])))
def test_what_is_no_run_is_refused(value: Any) -> None:
    for candidate in (value, {"format": 1, "drills": value}, {**one_run_once(), "drills": value if isinstance(value, dict) else None}):
        with suppress(RunError):
            assert check(candidate)["format"] == 1
    assert check(one_run_once())["run"] == "r1"


RUN: dict[str, Any] = {}


def one_run_once() -> dict[str, Any]:
    if not RUN:
        RUN.update(one_run())
    return dict(RUN)


def module(arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    basic._ANSIBLE_ARGS = None
    with patch_module_args(arguments), pytest.raises(SystemExit):
        drill_report.main()
    return json.loads(capsys.readouterr().out)


def test_the_module_judges_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = observations()
    (tmp_path / "options.jsonl").write_text("\n".join(seen["probes"].pop("options")) + '\n{"kind": "requ')
    for host in ("sip1", "sip2"):
        rows = [json.dumps(row) for row in seen["holders"] if row[1] == host]
        (tmp_path / f"{host}.jsonl").write_text("\n".join(rows) + "\n[1000.0, ")
    del seen["holders"]
    drill = {
        "name": "host_killed",
        "observations": seen,
        "files": {"options": str(tmp_path / "options.jsonl"), "holders": [str(tmp_path / "sip1.jsonl"), str(tmp_path / "sip2.jsonl")]},
    }
    asked = {"directory": str(tmp_path / "out"), "run": "r1", "cluster": "lab", "drills": [drill], "versions": {"OpenSIPS": "3.6"}}
    checked = module({**asked, "_ansible_check_mode": True}, capsys)
    assert (checked["passed"], (tmp_path / "out").exists()) == (True, False)
    result = module(asked, capsys)
    assert result["passed"], result
    assert result["verdicts"][0]["text"].startswith("host_killed: passed (OPTIONS outage 0.42 s")
    assert sorted(Path(path).name for path in result["files"].values()) == ["index.html", "r1.html", "r1.json", "r1.xml"]
    strict = module({**asked, "append": True, "budgets": {"all": {"outage_options": 0.1}}}, capsys)
    assert strict["passed"] is False
    assert strict["verdicts"][0]["reasons"][0].startswith("OPTIONS outage: 0.42 s, more than the 0.1 s allowed")
    written = json.loads((tmp_path / "out" / "r1.json").read_text())
    assert ([one["passed"] for one in written["drills"]], written["passed"]) == ([True, False], False)
    assert len(module(asked, capsys)["files"]) == 4
    assert len(json.loads((tmp_path / "out" / "r1.json").read_text())["drills"]) == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"run": "../x"}, "run is '../x', set it to 1 to 64 letters"),
        ({"run": "index"}, "not to index"),
        ({"budgets": {"all": {"outage_optons": 1}}}, "did you mean outage_options?"),
        ({"drills": [{"name": "host_kiled"}]}, "did you mean host_killed?"),
        ({"drills": [{"name": "host_killed", "observations": {"probes": []}}]}, "probes is list"),
        ({"drills": [{"name": "host_killed", "files": {"option": "x"}}]}, "files: there is no 'option'; there are options, register"),
        ({"drills": [{"name": "host_killed", "files": {"options": "/nowhere"}}]}, "files: options can't be read from '/nowhere'"),
        ({"drills": [{"name": "host_killed", "files": {"options": 5}}]}, "files: options can't be read from ''"),
        ({"drills": [{"name": "host_killed", "files": {"relays": "BAD"}}]}, "files: relays has a line that is no sample: [1, x]"),
        ({"directory": "/dev/null/x"}, "can't write to /dev/null/x"),
        ({"append": True}, "r1.json: it is no run of drills"),
    ],
)
def test_the_module_names_what_is_wrong(changes: dict[str, Any], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r1.json").write_text("[]")
    (tmp_path / "bad").write_text("[1, x]\n")
    text = json.dumps({"directory": str(tmp_path), "run": "r1", "cluster": "lab", "drills": [{"name": "host_killed"}], **changes})
    result = module(json.loads(text.replace("BAD", str(tmp_path / "bad"))), capsys)
    assert result["failed"]
    assert says in result["msg"]
    assert (tmp_path / "r1.json").read_text() == "[]"


def test_the_cases_end_where_they_say() -> None:
    assert records()[-1].scheduled == pytest.approx(END - 0.02)
