"""A proxy dies with calls that ring: they are lost, and with opensips_rescue_ringing finished by the other one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from cluster_lab import SIP_PORT, Lab, until
from conftest import heal
from sipp_runner import Phone, Running
from test_75_ringing import RINGS, answered, calls_to_bob, cdrs, run_playbook

CALLS = 20
SOCKET = "socket=udp:127.0.0.1:5066"


def script(lab: Lab, name: str) -> str:
    return lab.host(name).check("cat /etc/opensips/opensips.cfg")


@pytest.fixture(autouse=True)
def _whole_again(healed: None) -> None:
    """Each test here kills something."""


@pytest.fixture(scope="module")
def rescue(lab: Lab) -> Iterator[None]:
    """The switch, for some tests; the inventory's script afterwards."""
    code, output = run_playbook("upgrade_script", "--extra-vars", json.dumps({"opensips_rescue_ringing": True}))
    try:
        assert code == 0, output[-3000:]
        assert [script(lab, name).count(SOCKET) for name in lab.proxies] == [1] * len(lab.proxies)
        lab.settled()
        yield
    finally:
        heal(lab)
        code, output = run_playbook("upgrade_script")
        assert code == 0, output[-3000:]
        assert [script(lab, name).count(SOCKET) for name in lab.proxies] == [0] * len(lab.proxies)


def kill_engine(lab: Lab, name: str) -> None:
    """All its processes at once; systemd starts it again at once, too."""
    lab.host(name).check("systemctl kill --signal=KILL opensips")


def all_finished(lab: Lab, caller: Running, calls: int) -> set[str]:
    """That every call was answered and ended, and has its one CDR; returns where their audio was sent."""
    result = caller.finished()
    answers = [message for message in result.trace.received if message.status == 200 and message.method == "INVITE"]
    good = {message.call_id for message in answers}
    assert (result.code, result.errors, len({message.call_id for message in result.trace.sent}), len(good)) == (0, "", calls, calls)
    until(lambda: cdrs(lab, good), lambda rows: len(rows) >= calls, 10, f"{calls} CDRs")
    assert cdrs(lab, good) == sorted(good)
    return {message.media_address for message in answers}


def forged(call_id: str, victim: tuple[str, int], vip: str, number: int) -> str:
    """An answer to a call, that names somebody else as its caller."""
    return (
        "SIP/2.0 200 OK\r\n"
        f"Via: SIP/2.0/UDP {vip}:{SIP_PORT};branch=z9hG4bKf.{number}.0;cid={number % 3}\r\n"
        f"Via: SIP/2.0/UDP {victim[0]}:{victim[1]};received={victim[0]};rport={victim[1]};branch=z9hG4bKv{number}\r\n"
        "From: <sip:a@example.net>;tag=1\r\nTo: <sip:b@example.net>;tag=2\r\n"
        f"Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    )


def reflected(lab: Lab, call_id: str) -> int:
    """How many of 20 forged answers come out again, at who sent them."""
    victim = (lab.address("probe", "public"), lab.port())
    return len(lab.send("probe", victim, [forged(call_id, victim, lab.vip, n) for n in range(20)], until_replies=0, wait=1, gap=0.02))


def test_without_the_switch_they_are_lost(lab: Lab, bob: Phone, moved: tuple[str, str]) -> None:
    """The negative control: what the switch is for, and that its absence is seen."""
    calls = 10
    with bob.waits("answer_late", hold=RINGS) as at_bob:
        caller = calls_to_bob(lab, calls, 20, seconds=10)
        at_bob.wait_for("INVITE", calls, 5)
        kill_engine(lab, moved[0])
        code, _, made, good = answered(caller)
    assert (made, good) == (calls, set())
    assert code != 0


@pytest.mark.usefixtures("rescue")
def test_the_host_dies(lab: Lab, alice: Phone, bob: Phone, carol: Phone, moved: tuple[str, str]) -> None:
    """Answered calls go on, with audio and CDR; a cancelled one ends; and nobody else gets an answer out of it."""
    old, new = moved
    try:
        with bob.waits("answer_late", hold=RINGS + 3) as at_bob, carol.waits("ring") as at_carol:
            caller = calls_to_bob(lab, CALLS, 20)
            gives_up = alice.start_call("carol", "call_cancel", hold=6)
            rings = at_bob.wait_for("INVITE", CALLS, 5).requests("INVITE")[0].call_id
            gives_up.wait_for(180)
            lab.host(old).kill()
            until(lab.holders, lambda found: found == [new], 10, f"the VIP on {new}")
            assert [reflected(lab, call) for call in (rings, "nobody@example.net")] == [0, 0]
            heard = all_finished(lab, caller, CALLS)
            cancelled = gives_up.finished()
            assert (cancelled.code, cancelled.errors) == (0, "")
            at_carol.wait_for("ACK")
    finally:
        lab.host(old).start()
        lab.settled(90)
    assert heard <= {lab.address(name, "public") for name in lab.relays}
    assert (cancelled.trace.statuses("INVITE"), cancelled.trace.statuses("CANCEL")) == ([407, 487], [200])


@pytest.mark.usefixtures("rescue")
def test_the_engine_dies_and_starts_again(lab: Lab, bob: Phone, moved: tuple[str, str]) -> None:
    """So fast that it may keep the VIP: then it finishes the calls of its life before."""
    with bob.waits("answer_late", hold=RINGS) as at_bob:
        caller = calls_to_bob(lab, CALLS, 20)
        at_bob.wait_for("INVITE", CALLS, 5)
        kill_engine(lab, moved[0])
        all_finished(lab, caller, CALLS)


@pytest.mark.usefixtures("rescue")
def test_while_nothing_is_wrong_forged_answers_go_nowhere(lab: Lab) -> None:
    assert reflected(lab, "nobody@example.net") == 0
