"""A registered phone stays reachable through its router without saying a word: the pings of the VIP holder keep its mapping open."""

from __future__ import annotations

import time

from cluster_lab import Lab, until
from conftest import Sleeper
from sipp_runner import Phone, trunk_call
from test_70_failover import move_vip

SILENCE = 600
FORGETS = 30  # seconds after which the lab's routers forget a mapping


def reach(lab: Lab, phone: Phone) -> None:
    """Called from the carrier, answered by the phone through the mapping of its registration."""
    mapping = lab.host("router").run(f"conntrack -L -p udp --orig-port-src {phone.port} 2>/dev/null")[1]
    binding = lab.sql("SELECT contact, received, socket, cflags, expires, last_modified FROM location WHERE username=?", phone.user)
    with phone.listens() as there:
        result = trunk_call(lab, "probe", phone.user)
        said = f"{result.errors}; the router had {mapping!r}, the database {binding!r}; {lab.holders()} had the VIP"
        assert (result.code, result.trace.statuses("INVITE")) == (0, [200]), said
        there.wait_for("BYE")


def test_the_router_forgets_a_phone_that_is_not_pinged(lab: Lab) -> None:
    """The negative control: the router does forget."""
    assert (
        lab.host("router").check("sysctl -n net.netfilter.nf_conntrack_udp_timeout net.netfilter.nf_conntrack_udp_timeout_stream").split()
        == [str(FORGETS)] * 2
    )
    quiet = Phone(lab, "bob", lab.port())
    assert quiet.register().final("REGISTER") == 200
    lab.sql("UPDATE location SET cflags='' WHERE username='bob'")  # nobody pings a phone that is not behind NAT
    at_router = f"conntrack -L -p udp --orig-port-src {quiet.port} 2>/dev/null"
    assert lab.host("router").run(at_router)[1].count(f"sport={quiet.port} ") == 1
    until(lambda: lab.host("router").run(at_router)[1], lambda seen: not seen, FORGETS + 15, "the router's mapping gone")
    result = trunk_call(lab, "probe", "bob")
    assert result.trace.statuses("INVITE") == [408]


def test_reachable_after_ten_silent_minutes_and_after_a_failover(lab: Lab, sleeper: Sleeper, healed: None) -> None:
    old = lab.settled()
    new = lab.standby()
    until(lambda: time.monotonic() - sleeper.since, lambda silent: silent > SILENCE, SILENCE + 5, "ten minutes of silence")
    reach(lab, sleeper.phone)
    spoke = time.monotonic()
    move_vip(lab, old, new)
    until(lambda: time.monotonic() - spoke, lambda silent: silent > FORGETS + 15, FORGETS + 20, "silence after the failover")
    assert lab.holders() == [new]
    reach(lab, sleeper.phone)
