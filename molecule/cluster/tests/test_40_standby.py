"""The proxy without the VIP is silent, and exactly one proxy pings the phones."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from cluster_lab import Capture, Lab, until
from sip_text import Request
from sipp_runner import Phone


@pytest.mark.parametrize("method", ["REGISTER", "OPTIONS", "INVITE"])
def test_standby_answers_nothing(lab: Lab, method: str) -> None:
    standby = lab.standby()
    address = lab.address(standby, "public")
    with lab.capture(standby, "public", 20) as at_standby:
        source = (lab.address("probe", "public"), lab.port())
        request = Request(method, f"sip:{lab.domain}", f"sip:alice@{lab.domain}", f"sip:alice@{lab.domain}", source)
        assert lab.send("probe", source, [request.text()], target=(address, 5060), wait=1) == []
        assert len(until(lambda: at_standby.requests(method, source_port=source[1]), None, 5, "the request at the standby")) == 1
        assert [entry for entry in at_standby.seen if entry["out"]] == []
    assert json.loads(lab.host("probe").python("connect", json.dumps([[address, 5060]]))) == []


def test_only_the_holder_carries_the_vip_and_the_tag(lab: Lab) -> None:
    holder = lab.holder()
    assert lab.tag_states() == {name: "active" if name == holder else "backup" for name in lab.proxies}


def pings(capture: Capture, port: int, **where: object) -> list[dict[str, Any]]:
    """The pings of one contact, in the order in which they were seen."""
    return capture.requests("OPTIONS", target_port=port, **where)


def check_pings(lab: Lab, phones: list[Phone]) -> None:
    """Each contact is pinged once per interval, from the VIP, by the holder alone."""
    interval = int(lab.setting("opensips_natping_interval"))
    holder, standby = lab.holder(), lab.standby()
    # What a proxy began while it held the VIP it may send again: a probe of the carrier, say, whose answer the new holder got.
    until(lambda: lab.host(standby).run("/usr/sbin/sipha-health --only air"), lambda seen: seen == (0, "air: ok\n"), 20, "a quiet standby")
    seconds = interval + 3
    with (
        lab.capture("router", "public", seconds) as at_router,
        lab.capture(holder, "public", seconds) as at_holder,
        lab.capture(standby, "public", seconds) as at_standby,
    ):
        captures = (at_router, at_holder, at_standby)
        for capture in captures:
            capture.process.wait(seconds + 10)
    # The captures begin one after the other; all are judged by what all could see.
    start, end = max(capture.began for capture in captures), min(capture.began for capture in captures) + seconds - 0.5
    assert end - start > interval
    for phone in phones:
        seen = [ping for ping in pings(at_router, phone.port) if start <= ping["time"] <= end]
        times = [ping["time"] for ping in seen]
        assert len(times) in (1, 2), f"{phone.user}: pings at {times}"  # two only when the first came at once
        assert all(abs(late - early - interval) <= 1.5 for early, late in pairwise(times)), times
        sent = [ping["text"] for ping in pings(at_holder, phone.port, out=True)]
        assert [sent.count(ping["text"]) for ping in seen] == [1] * len(seen)  # the same datagrams, each sent once
    assert {entry["source"] for entry in at_router.requests("OPTIONS", target=lab.address("router", "public"))} == {lab.vip}
    assert [entry for entry in at_standby.seen if entry["out"]] == []


def test_each_contact_is_pinged_once_per_interval(lab: Lab, alice: Phone, bob: Phone, carol: Phone) -> None:
    for phone in (alice, bob, carol):
        assert phone.register().final("REGISTER") == 200
    check_pings(lab, [alice, bob, carol])


def test_pings_keep_mappings_open_through_a_failover(lab: Lab) -> None:
    """
    Each proxy counts its interval from its own start, so a contact's pause at a failover is up to two intervals.
    Measured with 20 s and starts 10 s apart: 30.9 s, and a router that forgets after 30 s had closed the way to the phone.
    """
    forgets = int(lab.host("router").check("sysctl -n net.netfilter.nf_conntrack_udp_timeout"))
    assert 2 * int(lab.setting("opensips_natping_interval")) + 1 < forgets
