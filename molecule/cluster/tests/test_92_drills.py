"""Drills of the running cluster: they pass where it is well, fail where it is not and say why, and heal by themselves when killed."""

from __future__ import annotations

import json
import re
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from cluster_lab import Lab, until
from test_60_site import start_playbook
from test_75_ringing import run_playbook
from test_77_upgrades import words


@pytest.fixture(autouse=True)
def _whole_again(healed: None) -> None:
    """Each test here breaks something."""


def drill(directory: Path, names: str, **more: Any) -> tuple[int, str, dict[str, Any]]:
    """Exit code, what was said, and the run as its JSON has it."""
    variables = {"drill": names, "drill_directory": str(directory), "drill_site": False, **more}
    code, output = run_playbook("drill", "--extra-vars", json.dumps(variables))
    runs = sorted(directory.glob("*.json"))
    return code, words(output), json.loads(runs[-1].read_text()) if runs else {}


def lines(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Those of its only drill."""
    (one,) = run["drills"]
    return {line["measure"]: line for line in one["lines"]}


def nothing_is_left(lab: Lab) -> None:
    for table, column in (("subscriber", "username"), ("location", "username"), ("acc", "callid")):
        assert lab.sql(f"SELECT {column} FROM {table} WHERE {column} LIKE 'sipha-drill%'") == []  # noqa: S608 (names of this test)
    assert lab.sql("SELECT User FROM mysql.user WHERE User='sipha_drill'") == []
    for name in (*lab.proxies, *lab.relays, "probe", "phone"):
        assert lab.host(name).run("systemctl list-units --no-legend 'sipha-drill-*' 'sipha-heal-*'")[1].strip() == ""


def test_a_drill_passes_and_leaves_nothing_behind(lab: Lab, tmp_path: Path) -> None:
    # How long it took is in the report; what was lost is judged here.
    budgets = {"all": dict.fromkeys(("outage_options", "outage_register", "outage_write", "two_holders", "two_pingers", "trouble_before"))}
    code, output, run = drill(tmp_path, "proxy_killed", drill_site=True, sipha_drill_budgets=budgets)
    assert code == 0, output[-3000:]
    assert "1 passed, 0 failed, 0 skipped" in output
    assert [(one["name"], one["passed"], one["reasons"]) for one in run["drills"]] == [("proxy_killed", True, [])]
    measured = {line["measure"]: line["value"] for line in run["drills"][0]["lines"]}
    assert {
        measured[name] for name in ("lost_requests", "registrations_lost", "calls_ended", "calls_silent", "calls_failed", "cdrs_lost")
    } == {0}
    assert measured["changes"] == 0
    (page,) = tmp_path.glob("*T*.html")
    assert page.read_text().count("<svg") >= 2
    nothing_is_left(lab)


def test_a_drill_fails_where_nobody_looks_after_the_engine(lab: Lab, tmp_path: Path, long: None) -> None:
    """Without the tracking a frozen engine keeps the VIP."""
    holder = lab.settled()
    conf = "/etc/keepalived/keepalived.conf"
    lab.host(holder).check(f"cp -a {conf} /root/conf && sed -i 's/weight -60/weight -1/' {conf} && systemctl reload keepalived")
    try:
        code, output, run = drill(tmp_path, "proxy_frozen")
    finally:
        lab.host(holder).check(f"cp -a /root/conf {conf} && systemctl reload keepalived")
    assert code != 0
    assert re.search(r"proxy_frozen: FAILED: OPTIONS outage: \d+\.\d\d s, more than the 1 s allowed", output), output[-2000:]
    found = lines(run)
    assert 8 < found["outage_options"]["value"] < 20
    assert found["outage_register"]["passed"] is False


def test_a_drill_fails_where_two_hold_the_vip(lab: Lab, tmp_path: Path, long: None) -> None:
    lab.settled()
    standby = lab.host(lab.standby())
    interface = lab.interface(lab.standby(), "public")

    def second() -> None:
        until(lambda: lab.host("probe").run("test -s /var/lib/sipha-drill/options.jsonl")[0] == 0, None, 120, "a drill that observes")
        standby.run(f"ip address add {lab.vip}/32 dev {interface} && sleep 6; ip address del {lab.vip}/32 dev {interface}")

    other = threading.Thread(target=second)
    other.start()
    try:
        code, output, run = drill(tmp_path, "dispatcher_killed")
    finally:
        other.join(150)
        standby.run(f"ip address del {lab.vip}/32 dev {interface}")
    assert code != 0
    found = lines(run)["two_holders"]
    assert (found["passed"], found["value"] > 2) == (False, True), found
    assert f"main: {', '.join(lab.proxies)} for" in found["sentence"]
    assert "Two holders of a VIP" in output


def test_a_drill_fails_where_the_standby_listens_at_another_port(lab: Lab, tmp_path: Path, long: None) -> None:
    """Its health looks good, and no phone gets an answer once it has the VIP."""
    lab.settled()
    standby = lab.host(lab.standby())
    script = standby.check("readlink -f /etc/opensips/opensips.cfg").strip()
    standby.check(f"cp -a {script} /root/script && sed -i 's/udp:{lab.vip}:5060/udp:{lab.vip}:5070/' {script}")
    try:
        assert standby.check(f"grep -c '^socket=udp:{lab.vip}:5070' {script}").strip() == "1"
        standby.check("systemctl restart opensips")
        lab.settled()
        code, output, run = drill(tmp_path, "proxy_killed")
    finally:
        standby.check(f"cp -a /root/script {script} && systemctl restart opensips")
    assert code != 0
    assert re.search(r"proxy_killed: FAILED: OPTIONS outage: \d+\.\d\d s, more than the 1 s allowed", output), output[-2000:]
    found = lines(run)
    assert found["outage_options"]["value"] > 8
    assert [found[name]["passed"] for name in ("outage_register", "lost_requests", "calls_failed")] == [False, False, False]


def test_a_drill_that_is_killed_heals_by_itself_and_the_next_one_clears_up(lab: Lab, tmp_path: Path, long: None) -> None:
    lab.settled()
    run = start_playbook(
        "playbooks/drill.yml", "--extra-vars", json.dumps({"drill": "proxy_frozen", "drill_directory": str(tmp_path), "drill_site": False})
    )

    def frozen() -> list[str]:
        return [name for name in lab.proxies if lab.host(name).run("pgrep --runstates T opensips")[0] == 0]

    try:
        (name,) = until(frozen, None, 120, "an engine that is frozen")
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait(10)
    until(frozen, lambda seen: seen == [], 20, "its switch")
    assert '"by": "timer"' in until(lambda: lab.host(name).run("cat /run/sipha-faults/drill_0.healed")[1], lambda seen: "by" in seen, 5)
    lab.settled(60)
    code, output, _ = drill(tmp_path, "keepalived_killed")
    assert code == 0, output[-3000:]
    nothing_is_left(lab)


def test_what_can_not_be_drilled_here_is_skipped_and_wrong_names_are_refused(lab: Lab, tmp_path: Path) -> None:
    code, output, run = drill(tmp_path, "clock_stepped")
    assert (code, run) == (0, {}), output[-2000:]
    assert "0 passed, 0 failed, 1 skipped" in output
    assert "clock_stepped: SKIPPED: " in output
    assert "this is a container (docker)" in output
    code, output, _ = drill(tmp_path, "host_kiled")
    assert code != 0
    assert "there is no drill 'host_kiled', did you mean host_killed?" in output
    code, output, _ = drill(tmp_path, "host_killed", drill_free=False)
    assert code != 0
    assert "To confirm, set -e confirm=lab." in output
