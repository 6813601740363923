"""Audio between phones behind two NATs, counted at both ends, and what it survives. Mediaproxy; RTPEngine's turn is test_95."""

from __future__ import annotations

import re
import time

import pytest
from cluster_lab import Lab, until
from media_lab import MediaPhone, call, connect, connected, dispatcher_knows, ended, flowing, measured, media_ok, relay_of, session, talked
from sipp_runner import Phone, start
from test_70_failover import move_vip

pytestmark = pytest.mark.usefixtures("mediaproxy")
# The conntrack trap: a relay whose kernel does not track connections cuts every call some 70 s after its media began.
LONG = 155


@pytest.fixture(scope="module")
def relays(lab: Lab) -> set[str]:
    """The addresses that phones may see media come from."""
    return {lab.address(name, "public") for name in lab.relays}


def test_audio_both_ways_through_two_nats(lab: Lab, relays: set[str], media_carrier: MediaPhone) -> None:
    """A phone behind one router with a phone behind another, and a phone with the carrier: 20 s, RTP and RTCP, only the relay seen."""
    with call(lab) as (alice, bob, call_id), MediaPhone(lab, "carol") as carol:
        carol.register()
        to_carrier = connect(carol, media_carrier, "+4930123456")
        flowing(carol, media_carrier)
        pairs = [(alice, bob), (carol, media_carrier)]
        with measured(*pairs[0]) as home, measured(*pairs[1]) as trunk:
            talked(alice, 20)
        for flow in (*home.both(), *trunk.both()):
            assert flow.sent >= 995, flow
            assert flow.share >= 0.99, flow
            assert flow.reports_sent - flow.reports in (0, 1), flow
            assert {source.partition(":")[0] for source in flow.sources + flow.report_sources} <= relays, flow
            assert flow.gap < 0.5, flow
        for pair in pairs:
            for phone in pair:
                assert {given.address for given in phone.stats().given} <= relays
        stream = session(lab, lab.standby(), call_id)["streams"][0]
        assert (stream["status"], stream["caller_packets"] > 1000, stream["callee_packets"] > 1000) == ("active", True, True)
        ended(alice, bob)
        ended(media_carrier, carol)
    assert [lab.one_cdr(number, 200)["sip_code"] for number in (call_id, to_carrier)] == ["200", "200"]
    until(
        lambda: {row["call_id"] for row in dispatcher_knows(lab, lab.holder())["sessions"]} & {call_id, to_carrier},
        lambda left: not left,
        5,
        "the relays' sessions gone with the calls",
    )


def test_carrier_to_carrier_side_needs_no_relay(lab: Lab, relays: set[str]) -> None:
    """Nobody behind NAT: a phone on the public network calls another there, and they talk directly."""
    with MediaPhone(lab, "alice", "router", "public") as alice, MediaPhone(lab, "bob", "router2", "public") as bob:
        alice.register()
        bob.register()
        connect(alice, bob)
        media_ok(alice, bob, through={lab.address("router", "public"), lab.address("router2", "public")})
        assert {given.address for phone in (alice, bob) for given in phone.stats().given} & relays == set()
        ended(alice, bob)


def test_hold_and_resume(lab: Lab, relays: set[str]) -> None:
    with call(lab) as (alice, bob, call_id):
        relay = relay_of(lab, alice)
        alice.hold()
        bob.wait("reinvited", by="them")
        with measured(alice, bob) as flows:
            talked(alice, 2)
        there, back = flows.both()
        assert (there.share >= 0.99, back.sent) == (True, 0)
        alice.resume()
        bob.wait("reinvited", by="them")
        media_ok(alice, bob, through=relays)
        assert {relay_of(lab, phone) for phone in (alice, bob)} == {relay}
        ended(bob, alice)
    assert lab.one_cdr(call_id, 200)


def test_call_survives_the_vip(lab: Lab, relays: set[str], healed: None) -> None:
    """The other proxy's dispatcher never heard of the call. A re-INVITE through it must find the same relay and the same ports."""
    old = lab.settled()
    new = lab.standby()
    with call(lab) as (alice, bob, call_id):
        relay, told = relay_of(lab, alice), [phone.stats().given[-1].rtp for phone in (alice, bob)]
        with measured(alice, bob) as flows:
            move_vip(lab, old, new)
            talked(alice, 1)
            alice.hold()
            bob.wait("reinvited", by="them")
            alice.resume()
            bob.wait("reinvited", by="them")
            talked(alice, 2)
        for flow in flows.both():
            assert flow.gap < 1, flow
        assert [phone.stats().given[-1].rtp for phone in (alice, bob)] == told
        media_ok(alice, bob, through=relays)
        began = time.time()
        stream = session(lab, new, call_id)["streams"][0]
        assert stream["caller_packets"] > 100
        ended(alice, bob)
    assert lab.one_cdr(call_id, 200)
    assert relay_of_statistics(lab, new, began, call_id) == lab.address(relay, "core")


def relay_of_statistics(lab: Lab, proxy: str, since: float, call_id: str) -> str:
    """The relay whose statistics a dispatcher tells at the end of a call; of a session that it does not know it has none."""

    def look() -> list[str]:
        lines = lab.host(proxy).journal(since, "mediaproxy-dispatcher")
        return re.findall(rf"session {re.escape(call_id)} at (\S+?)\] statistics: .*'caller_packets': [1-9]", lines)

    (relay,) = until(look, None, 5, f"statistics of {call_id} at {proxy}")
    return relay


def test_call_survives_a_restart_of_the_engine(lab: Lab, relays: set[str], healed: None) -> None:
    holder = lab.settled()
    with call(lab) as (alice, bob, call_id):
        with measured(alice, bob) as flows:
            lab.host(holder).check("systemctl restart opensips")
            # Restarted so fast that it kept the VIP, it learns the calls that are up from its peer.
            until(lambda: call_id in str(lab.mi(lab.settled(), "dlg_list")), None, 10, "the call at the VIP holder")
            talked(alice, 1)
        for flow in flows.both():
            assert flow.gap < 0.5, flow
        bob.hold()
        alice.wait("reinvited", by="them")
        bob.resume()
        alice.wait("reinvited", by="them")
        media_ok(alice, bob, through=relays)
        ended(alice, bob)
    assert lab.one_cdr(call_id, 200)


def test_no_new_call_is_lost_to_a_frozen_relay(lab: Lab, bob: Phone, relays: set[str], healed: None) -> None:
    """80 calls, 10 a second, one of the two relays frozen right before the first."""
    calls = 80
    options = ["-s", "+4989777", "-key", "from_domain", "carrier.example.net", "-key", "domain", lab.domain, "-key", "callee", "bob"]
    connected(lab)
    with bob.waits(seconds=60) as at_bob:
        lab.host(lab.relays[0]).check("systemctl kill --signal=STOP mediaproxy-relay")
        caller = start(lab, "probe", "public", lab.port(), "trunk_call", *options, "-m", str(calls), "-r", "10", "-d", "2000", seconds=40)
        result = caller.finished()
        trace = at_bob.wait_for("BYE", calls)
    assert (result.code, result.errors) == (0, "")
    assert result.trace.statuses("INVITE") == [200] * calls
    given = [message.media_address for message in trace.requests("INVITE")]
    assert len(given) >= calls
    assert set(given) == {lab.address(lab.relays[1], "public")}


def test_a_long_call_keeps_its_audio(lab: Lab, relays: set[str], long_call: tuple[MediaPhone, MediaPhone, str, float]) -> None:
    """The kernel's tracking of the relay that has it is asked as well: bytes counted there are what keeps the call."""
    grace, heidi, call_id, began = long_call
    until(lambda: time.monotonic() - began, lambda age: age > LONG, LONG, "a call that is long")
    media_ok(grace, heidi, through=relays)
    stream = session(lab, lab.holder(), call_id)["streams"][0]
    assert (stream["caller_bytes"] > 1_000_000, stream["callee_bytes"] > 1_000_000) == (True, True)
    ended(grace, heidi)
    assert int(lab.one_cdr(call_id, 200)["duration"]) >= LONG


def test_a_call_that_can_get_no_relay_is_refused(lab: Lab, alice: Phone, bob: Phone, healed: None) -> None:
    """Never without audio: both relays are away, so the answer is 503, and the callee's phone does not even ring."""
    for name in lab.relays:
        lab.host(name).check("systemctl stop mediaproxy-relay")
    with bob.waits() as at_bob:
        result = alice.call("bob")
        assert result.trace.statuses("INVITE") == [407, 503]
        assert at_bob.trace.requests("INVITE") == []
    assert lab.one_cdr(result.call_id, 503)


@pytest.mark.parametrize("what", ["dispatcher", "relay"])
def test_call_survives_a_kill_of(what: str, lab: Lab, relays: set[str], healed: None) -> None:
    with call(lab) as (alice, bob, call_id):
        where = lab.holder() if what == "dispatcher" else relay_of(lab, alice)
        with measured(alice, bob) as flows:
            lab.host(where).check(f"systemctl kill --signal=KILL mediaproxy-{what}")
            talked(alice, 5)
        for flow in flows.both():
            assert (flow.share >= 0.99, flow.gap < 0.5) == (True, True), flow
        connected(lab)
        # It is a call as any other still: put on hold, taken up, ended, billed.
        alice.hold()
        bob.wait("reinvited", by="them")
        alice.resume()
        bob.wait("reinvited", by="them")
        media_ok(alice, bob, through=relays)
        ended(alice, bob)
    assert lab.one_cdr(call_id, 200)
