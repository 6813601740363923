"""Calls that ring while the VIP moves in good order are answered, or cancelled, as if nothing had happened."""

from __future__ import annotations

import pytest
from cluster_lab import Lab, until
from sipp_runner import Phone, Running, start
from test_60_site import ROOT, playbook
from test_70_failover import move_vip

RINGS = 5.0
TALKS = 2000


@pytest.fixture(autouse=True)
def _whole_again(healed: None) -> None:
    """Each test here moves the VIP about."""


def calls_to_bob(lab: Lab, count: int, rate: int, seconds: float = 40) -> Running:
    options = ["-s", "+4989777", "-key", "from_domain", "carrier.example.net", "-key", "domain", lab.domain, "-key", "callee", "bob"]
    options += ["-m", str(count), "-r", str(rate), "-d", str(TALKS)]
    return start(lab, "probe", "public", lab.port(), "trunk_call", *options, seconds=seconds)


def answered(running: Running) -> tuple[int, str, int, set[str]]:
    """sipp's exit code and errors, how many calls there were, and which of them were answered."""
    result = running.finished()
    trace = result.trace
    good = {message.call_id for message in trace.received if message.status == 200 and message.method == "INVITE"}
    return result.code, result.errors, len({message.call_id for message in trace.sent}), good


def cdrs(lab: Lab, calls: set[str]) -> list[str]:
    (own,) = {call.partition("-")[2] for call in calls}  # sipp's call ids: number-process@address
    return sorted(row["callid"] for row in lab.sql("SELECT callid FROM acc WHERE sip_code='200' AND callid LIKE ?", f"%-{own}"))


def engines(lab: Lab) -> dict[str, str]:
    return {name: lab.host(name).check("systemctl show --property=MainPID --value opensips").strip() for name in lab.proxies}


def run_playbook(name: str, *arguments: str) -> tuple[int, str]:
    return playbook(f"playbooks/{name}.yml", ROOT, *arguments, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"))


def test_every_proxy_carries_the_vip_on_its_loopback_and_the_holder_alone_answers_for_it(lab: Lab) -> None:
    for name in lab.proxies:
        assert lab.vip in lab.host(name).check("ip -4 address show dev lo")
    holder = lab.settled()
    mac = lab.host(holder).check(f"cat /sys/class/net/{lab.interface(holder, 'public')}/address").strip()
    lab.host("probe").check(f"ip neigh flush to {lab.vip}")
    lab.host("probe").run(f"ping -c 3 -i 0.2 {lab.vip}")
    assert mac in lab.host("probe").check(f"ip neigh show to {lab.vip}")
    assert lab.host("probe").run(f"arping -c 2 -w 2 -I {lab.interface('probe', 'public')} {lab.vip}")[1].count("bytes from") in (0, 2)


def test_calls_that_ring_while_the_vip_moves_are_answered(lab: Lab, bob: Phone, moved: tuple[str, str]) -> None:
    calls = 100
    with bob.waits("answer_late", hold=RINGS) as at_bob:
        caller = calls_to_bob(lab, calls, 20)
        at_bob.wait_for("INVITE", 90, 10)
        move_vip(lab, *moved)
        code, errors, made, good = answered(caller)
    assert (code, errors, made, len(good)) == (0, "", calls, calls)
    until(lambda: cdrs(lab, good), lambda rows: len(rows) >= calls, 10, f"{calls} CDRs")
    assert cdrs(lab, good) == sorted(good)


def test_a_call_that_rings_while_the_vip_moves_can_be_cancelled(lab: Lab, alice: Phone, bob: Phone, moved: tuple[str, str]) -> None:
    with bob.waits("ring") as at_bob:
        caller = alice.start_call("bob", "call_cancel", hold=4)
        at_bob.wait_for("INVITE")
        move_vip(lab, *moved)
        result = caller.finished()
        trace = at_bob.wait_for("ACK")
    assert (result.code, result.errors) == (0, "")
    assert result.trace.statuses("INVITE") == [407, 487]
    assert result.trace.statuses("CANCEL") == [200]
    assert [len(trace.requests(method)) for method in ("INVITE", "CANCEL", "ACK")] == [1, 1, 1]


def test_without_the_vip_on_the_loopback_they_are_lost(lab: Lab, bob: Phone, moved: tuple[str, str]) -> None:
    """The negative control: what the unit sipha-loopback is for, and that its absence is seen."""
    old, new = moved
    calls = 10
    lab.host(old).check("systemctl stop sipha-loopback")
    try:
        with bob.waits("answer_late", hold=RINGS) as at_bob:
            caller = calls_to_bob(lab, calls, 20, seconds=14)
            at_bob.wait_for("INVITE", calls, 5)
            move_vip(lab, old, new)
            code, _, made, good = answered(caller)
        assert (made, good) == (calls, set())
        assert code != 0
    finally:
        lab.host(old).check("systemctl start sipha-loopback")


def test_switchover_moves_the_vip_and_back_and_loses_nothing(lab: Lab, bob: Phone, moved: tuple[str, str]) -> None:
    old, new = moved
    calls = 200
    with bob.waits("answer_late", hold=RINGS, seconds=120) as at_bob:
        caller = calls_to_bob(lab, calls, 5, seconds=80)
        at_bob.wait_for("INVITE", 5, 10)
        there = run_playbook("switchover")
        after_first = lab.holders()
        back = run_playbook("switchover", "-e", f"to={old}")
        still = caller.process.poll() is None
        code, errors, made, good = answered(caller)
    assert (there[0], after_first, back[0], lab.holders()) == (0, [new], 0, [old]), there[1][-2000:] + back[1][-2000:]
    assert still, "the switchovers took longer than the calls"
    assert (code, errors, made, len(good)) == (0, "", calls, calls)


def test_switchover_refuses_a_proxy_that_can_not_serve(lab: Lab, moved: tuple[str, str]) -> None:
    old, new = moved
    lab.host(new).check("systemctl stop opensips")
    code, output = run_playbook("switchover", "-e", f"to={new}")
    assert code != 0
    assert f"{new} can't take the VIP main: sip: OPTIONS to" in " ".join(output.split())
    assert lab.holders() == [old]
    code, output = run_playbook("switchover")
    assert code != 0
    assert "No other proxy is healthy: the VIP stays where it is." in " ".join(output.split())
    assert lab.holders() == [old]
