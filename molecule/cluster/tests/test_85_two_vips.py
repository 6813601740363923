"""Two VIPs, each on its own proxy: phones of one are called by callers of the other, and both live on one proxy when the other is away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cluster_lab import Lab, until
from load import load
from sipp_runner import Phone, trunk_call
from test_60_site import ROOT, playbook
from test_70_failover import bad_lines
from test_75_ringing import engines, run_playbook

SECOND = "198.18.10.20"
TAGS = ("--tags", "proxy_agent,opensips,keepalived")


def configure(*arguments: str) -> None:
    code, output = playbook("playbooks/site.yml", ROOT, *TAGS, *arguments, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"))
    assert code == 0, output[-4000:]


def two(lab: Lab, first: str, second: str) -> list[dict[str, Any]]:
    """The inventory's VIP, and one that the other proxy prefers."""
    own = {"name": "second", "address": f"{SECOND}/24", "router_id": 52, "preferred": [second, first]}
    return [lab.vars[first]["sipha_vips"][0], own]


@pytest.fixture(scope="module")
def both(lab: Lab) -> Iterator[tuple[str, str]]:
    """The proxy with the first VIP, and the one with the second; afterwards there is one VIP again."""
    first = lab.settled()
    second = next(name for name in lab.proxies if name != first)
    try:
        wanted = json.dumps({"sipha_vips": two(lab, first, second)})
        configure("-e", wanted)
        # A new VIP stays with whose keepalived knew it first by half a second; nobody takes it back, whoever is preferred.
        if lab.holders(SECOND) != [second]:
            code, output = run_playbook("switchover", "-e", "vip=second", "-e", f"to={second}", "-e", wanted)
            assert code == 0, output[-3000:]
        yield first, second
    finally:
        configure()
        lab.settled()


@pytest.fixture
def dora(lab: Lab, both: tuple[str, str]) -> Phone:
    """A phone that uses the second VIP."""
    until(lambda: (lab.holders(), lab.holders(SECOND)), lambda seen: seen == ([both[0]], [both[1]]), 20, "each VIP on its own proxy")
    return Phone(lab, "bob", lab.port(), vip=SECOND)


def test_each_vip_has_its_holder_with_its_own_tag(lab: Lab, both: tuple[str, str], dora: Phone) -> None:
    states = {
        name: {row["Tag"]: row["State"] for row in lab.mi(name, "clusterer_list_shtags")}  # both proxies know both tags
        for name in lab.proxies
    }
    assert states == {both[0]: {"main": "active", "second": "backup"}, both[1]: {"main": "backup", "second": "active"}}
    for name in lab.proxies:
        assert lab.host(name).run("/usr/sbin/sipha-health")[0] == 0


def test_a_call_from_one_vip_to_a_phone_of_the_other(lab: Lab, dora: Phone, started: float) -> None:
    """The proxy that has the caller sends from a VIP that it does not hold; what comes back there is handed to it."""
    with dora.waits() as at_dora, lab.capture("router", "public", 20) as at_router:
        assert [row["socket"] for row in lab.location("bob")] == [f"udp:{SECOND}:5060"]
        result = trunk_call(lab, "probe", "bob", hold=1.2)
        trace = at_dora.wait_for("BYE")
        arrived = at_router.requests("INVITE", target_port=dora.port)
    assert (result.code, result.errors) == (0, "")
    assert result.trace.statuses("INVITE") == [200]
    assert [len(trace.requests(method)) for method in ("INVITE", "ACK", "BYE")] == [1, 1, 1]
    assert [entry["source"] for entry in arrived] == [SECOND]
    assert lab.one_cdr(result.call_id, 200)["callee"] == f"sip:bob@{lab.domain}"
    assert bad_lines(lab, started, "") == []


def test_the_phone_hangs_up(lab: Lab, dora: Phone) -> None:
    with dora.waits("answer_hangs_up", hold=1.2) as at_dora:
        result = trunk_call(lab, "probe", "bob", "trunk_call_waits_for_bye")
        until(lambda: at_dora.trace, lambda seen: seen.statuses("BYE") == [200], 5, "200 to the BYE of the phone")
    assert (result.code, result.errors) == (0, "")
    assert len(result.trace.requests("BYE")) == 1
    lab.one_cdr(result.call_id, 200)


def test_the_caller_gives_up(lab: Lab, alice: Phone, dora: Phone) -> None:
    with dora.waits("ring") as at_dora:
        result = alice.call("bob", "call_cancel", hold=0.5)
        trace = at_dora.wait_for("ACK")
    assert (result.code, result.errors) == (0, "")
    assert result.trace.statuses("INVITE") == [407, 487]
    assert [len(trace.requests(method)) for method in ("INVITE", "CANCEL", "ACK")] == [1, 1, 1]
    lab.one_cdr(result.call_id, 487)


def test_a_phone_is_pinged_from_its_own_vip_by_one_proxy(lab: Lab, both: tuple[str, str], dora: Phone) -> None:
    """The holder of the first VIP pings for all, so a phone of the second is pinged from an address that the pinger does not hold."""
    seconds = 2 * int(lab.setting("opensips_natping_interval")) + 2
    with dora.waits(), lab.capture(both[0], "public", seconds) as at_first, lab.capture(both[1], "public", seconds) as at_second:
        for capture in (at_first, at_second):
            capture.process.wait(seconds + 10)
    sent = [at.requests("OPTIONS", target_port=dora.port, out=True) for at in (at_first, at_second)]
    assert {entry["source"] for entry in sent[0]} == {SECOND}
    assert len(sent[0]) in (2, 3)
    assert sent[1] == []


def test_a_changed_script_restarts_both_under_load_and_each_gets_its_vip_back(
    lab: Lab, both: tuple[str, str], dora: Phone, long: None
) -> None:
    """Calls come in at the one VIP and go out at the other, so both proxies have a part in each."""
    began = engines(lab)
    wanted = {"sipha_vips": two(lab, *both), "opensips_default_expires": 598}
    with load(lab, dora, 90) as under:
        code, output = run_playbook("upgrade_script", "--extra-vars", json.dumps(wanted))
        still = under.still_on()
    assert code == 0, output[-3000:]
    assert still, "the upgrade took longer than the load"
    assert under.result == under.expected
    assert {name for name, number in engines(lab).items() if number == began[name]} == set()
    assert (lab.holders(), lab.holders(SECOND)) == ([both[0]], [both[1]])


def test_one_proxy_carries_both_while_the_other_is_away(lab: Lab, both: tuple[str, str], dora: Phone, healed: None) -> None:
    first, second = both
    with dora.waits() as at_dora:
        lab.host(second).kill()
        try:
            until(lambda: lab.holders(SECOND), lambda found: found == [first], 10, f"the second VIP on {first} too")
            until(lambda: lab.host(first).run("/usr/sbin/sipha-health")[0], lambda code: code == 0, 10, "its tag there")
            result = trunk_call(lab, "probe", "bob", hold=1.2)
            trace = at_dora.wait_for("BYE")
        finally:
            lab.host(second).start()
    assert (result.code, result.errors) == (0, "")
    assert [len(trace.requests(method)) for method in ("INVITE", "ACK", "BYE")] == [1, 1, 1]
    assert lab.holders() == [first]
