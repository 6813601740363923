"""The other media relay: one site.yml run switches the running cluster over, and the calls are as good. The last tests of the lab."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster_lab import Lab, until
from media_lab import CARRIER_DOMAIN, MediaPhone, call, connect, ended, flowing, measured, media_ok, relay_of, talked
from sipp_runner import Phone, start, trunk_call
from test_46_relays import CONFIG, Background
from test_60_site import RECAP, ROOT, playbook
from test_70_failover import move_vip

CHOICE = ("-e", "sipha_media_relay=rtpengine")


@pytest.fixture(scope="module")
def relays(lab: Lab) -> set[str]:
    return {lab.address(name, "public") for name in lab.relays}


@pytest.fixture
def thawed(lab: Lab) -> Iterator[None]:
    yield
    for name in lab.relays:
        lab.host(name).run("systemctl kill --signal=CONT rtpengine-daemon")
        lab.host(name).run("systemctl start rtpengine-daemon")


def rtpengines(lab: Lab, proxy: str) -> dict[tuple[int, str], int]:
    """Which relays the engine leaves out, by set and address."""
    return {
        (int(group["Set"]), node["url"].split(":")[1]): int(node["disabled"])
        for group in lab.mi(proxy, "rtpengine_show")
        for node in group["Nodes"]
    }


def test_site_switches_over_and_ends_no_call(lab: Lab, mediaproxy: None, relays: set[str]) -> None:
    """A call that Mediaproxy carries goes on while RTPEngine takes its place; its relay ends by itself when the call does."""
    with call(lab, seconds=600) as (alice, bob, call_id):
        old = relay_of(lab, alice)
        switch = Background("playbooks/site.yml", *CHOICE)
        with measured(alice, bob) as flows:
            code, output = switch.finished()
        assert code == 0, output[-4000:]
        for flow in flows.both():
            assert (flow.share >= 0.99, flow.gap < 0.5) == (True, True), flow
        assert lab.host(old).check("systemctl is-active mediaproxy-relay") == "active\n"
        ended(alice, bob)
    assert lab.one_cdr(call_id, 200)
    for name in lab.relays:
        until(
            lambda name=name: lab.host(name).run("systemctl is-active mediaproxy-relay mediaproxy-dispatcher rtpengine-daemon")[1].split(),  # type: ignore[misc]
            lambda seen: seen == ["inactive", "inactive", "active"],
            200,
            f"Mediaproxy gone from {name} with its last call",
        )


def test_audio_both_ways_and_hold(lab: Lab, relays: set[str]) -> None:
    with call(lab) as (alice, bob, call_id):
        with measured(alice, bob) as flows:
            talked(alice, 10)
        for flow in flows.both():
            assert (flow.share >= 0.99, flow.gap < 0.5) == (True, True), flow
            assert {source.partition(":")[0] for source in flow.sources + flow.report_sources} <= relays, flow
        alice.hold()
        bob.wait("reinvited", by="them")
        alice.resume()
        bob.wait("reinvited", by="them")
        media_ok(alice, bob, through=relays)
        ended(bob, alice)
    assert lab.one_cdr(call_id, 200)


def test_call_survives_the_vip(lab: Lab, relays: set[str], healed: None) -> None:
    old = lab.settled()
    new = lab.standby()
    with call(lab) as (alice, bob, call_id):
        relay = relay_of(lab, alice)
        with measured(alice, bob) as flows:
            move_vip(lab, old, new)
            alice.hold()
            bob.wait("reinvited", by="them")
            alice.resume()
            bob.wait("reinvited", by="them")
            talked(alice, 1)
        for flow in flows.both():
            assert flow.gap < 1, flow
        assert {relay_of(lab, phone) for phone in (alice, bob)} == {relay}
        media_ok(alice, bob, through=relays)
        ended(alice, bob)
    assert lab.one_cdr(call_id, 200)


def test_no_new_call_is_lost_to_a_frozen_relay(lab: Lab, bob: Phone, healed: None, thawed: None) -> None:
    calls = 80
    options = ["-s", "+4989777", "-key", "from_domain", CARRIER_DOMAIN, "-key", "domain", lab.domain, "-key", "callee", "bob"]
    with bob.waits(seconds=60) as at_bob:
        lab.host(lab.relays[0]).check("systemctl kill --signal=STOP rtpengine-daemon")
        caller = start(lab, "probe", "public", lab.port(), "trunk_call", *options, "-m", str(calls), "-r", "10", "-d", "2000", seconds=40)
        result = caller.finished()
        trace = at_bob.wait_for("BYE", calls)
    assert (result.code, result.errors) == (0, "")
    assert result.trace.statuses("INVITE") == [200] * calls
    assert {message.media_address for message in trace.requests("INVITE")} == {lab.address(lab.relays[1], "public")}


def test_drain_loses_no_call(lab: Lab, carol: Phone, healed: None, thawed: None) -> None:
    until(lambda: set(rtpengines(lab, lab.holder()).values()), lambda seen: seen == {0}, 20, "all relays in use")
    with MediaPhone(lab, "alice") as alice, MediaPhone(lab, "bob", "phone2", "home2") as bob, carol.waits(seconds=120) as at_carol:
        alice.register()
        bob.register()
        call_id = connect(alice, bob)
        flowing(alice, bob)
        drained = relay_of(lab, alice)
        other = next(name for name in lab.relays if name != drained)
        out = {(1, lab.address(drained, "core")): 1}
        with measured(alice, bob) as flows:
            drain = Background("playbooks/relay_drain.yml", "--limit", drained, *CHOICE)
            until(
                lambda: [rtpengines(lab, name) for name in lab.proxies],
                lambda seen: all(out.items() <= one.items() for one in seen),
                60,
                f"{drained} out of new calls on every proxy",
            )
            results = [trunk_call(lab, "probe", "carol", hold=0.3) for _ in range(6)]
        for flow in flows.both():
            assert (flow.share >= 0.99, flow.gap < 0.5) == (True, True), flow
        assert [result.trace.statuses("INVITE") for result in results] == [[200]] * 6
        assert {message.media_address for message in at_carol.trace.requests("INVITE")} == {lab.address(other, "public")}
        alice.hold()
        bob.wait("reinvited", by="them")
        alice.resume()
        bob.wait("reinvited", by="them")
        assert {relay_of(lab, phone) for phone in (alice, bob)} == {drained}
        media_ok(alice, bob)
        ended(alice, bob)
        code, output = drain.finished()
    assert code == 0, output[-3000:]
    assert lab.one_cdr(call_id, 200)
    assert set(rtpengines(lab, lab.holder()).values()) == {0}


def test_site_again_changes_nothing(lab: Lab) -> None:
    code, output = playbook("playbooks/site.yml", ROOT, *CHOICE, **CONFIG)
    assert code == 0, output[-4000:]
    assert {host for host, *counts in RECAP.findall(output) if counts != ["0", "0", "0"]} == set(), output[-4000:]
