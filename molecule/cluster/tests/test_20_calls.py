"""Calls through the VIP, and exactly one accounting row for each."""

from __future__ import annotations

import pytest
from cluster_lab import Lab, until
from sip_text import SDP, Request
from sipp_runner import Phone, Result, Server, trunk_call

NUMBER = "+4930123456"
pytestmark = pytest.mark.usefixtures("long_call")  # begins here, and is judged by test_45


def _check_parties(row: dict[str, str], lab: Lab, caller: str, callee: str, source: str) -> None:
    assert row["method"] == "INVITE"
    assert row["caller"] == caller
    assert row["callee"] == f"sip:{callee}@{lab.domain}"
    assert row["source"] == lab.address(source, "public")


def _answered(lab: Lab, result: Result, caller: str, callee: str, source: str, least_ms: int) -> dict[str, str]:
    """The accounting row of an answered call; the time talked is the scenario's, give or take a second."""
    row = lab.one_cdr(result.call_id, 200)
    _check_parties(row, lab, caller, callee, source)
    assert least_ms <= int(row["ms_duration"]) <= least_ms + 1500
    assert least_ms // 1000 <= int(row["duration"]) <= (least_ms + 1500) // 1000 + 1
    assert lab.sql("SELECT * FROM missed_calls WHERE callid=?", result.call_id) == []
    return row


def test_phone_to_phone_caller_hangs_up(lab: Lab, alice: Phone, bob: Phone) -> None:
    with bob.waits() as at_bob:
        result = alice.call("bob", hold=1.2)
        trace = at_bob.wait_for("BYE")
    assert (result.code, result.errors) == (0, "")
    assert result.trace.statuses("INVITE") == [407, 200]
    assert result.trace.statuses("BYE") == [200]
    assert [len(trace.requests(method)) for method in ("INVITE", "ACK", "BYE")] == [1, 1, 1]
    invite = trace.requests("INVITE")[0]
    assert invite.headers("Proxy-Authorization") == []  # credentials stay here
    assert [f"<sip:{lab.vip};" in route for route in invite.headers("Record-Route")] == [True]
    assert f"{lab.address('router', 'public')}:{alice.port}" in invite.header("Contact")
    row = _answered(lab, result, f"sip:alice@{lab.domain}", "bob", "router", 1200)
    assert row["destination"] == f"sip:{lab.address('router', 'public')}:{bob.port}"


def test_phone_to_phone_callee_hangs_up(lab: Lab, alice: Phone, bob: Phone) -> None:
    with bob.waits("answer_hangs_up", hold=1.2) as at_bob:
        result = alice.call("bob", "call_waits_for_bye")
        trace = until(lambda: at_bob.trace, lambda seen: seen.statuses("BYE") == [200], 5, "200 to the BYE of bob")
    assert (result.code, result.errors) == (0, "")
    assert len(result.trace.requests("BYE")) == 1
    assert len(trace.requests("INVITE")) == 1
    _answered(lab, result, f"sip:alice@{lab.domain}", "bob", "router", 1200)


def test_reinvite_goes_through_and_keeps_one_row(lab: Lab, alice: Phone, bob: Phone) -> None:
    with bob.waits() as at_bob:
        result = alice.call("bob", "call_reinvite", hold=0.6)
        trace = at_bob.wait_for("BYE")
    assert (result.code, result.errors) == (0, "")
    assert result.trace.statuses("INVITE") == [407, 200, 200]
    assert [len(trace.requests(method)) for method in ("INVITE", "ACK", "BYE")] == [2, 2, 1]
    assert [message.body_version for message in trace.requests("INVITE")] == ["1", "2"]
    _answered(lab, result, f"sip:alice@{lab.domain}", "bob", "router", 1200)


def test_cancel_while_it_rings(lab: Lab, alice: Phone, bob: Phone) -> None:
    """Also "no answer": the callee never picks up, the caller gives up."""
    with bob.waits("ring") as at_bob:
        result = alice.call("bob", "call_cancel", hold=0.5)
        trace = at_bob.wait_for("ACK")
    assert (result.code, result.errors) == (0, "")
    assert result.trace.statuses("INVITE") == [407, 487]
    assert result.trace.statuses("CANCEL") == [200]
    assert [len(trace.requests(method)) for method in ("INVITE", "CANCEL", "ACK")] == [1, 1, 1]
    _check_parties(lab.one_cdr(result.call_id, 487), lab, f"sip:alice@{lab.domain}", "bob", "router")


def test_busy(lab: Lab, alice: Phone, bob: Phone) -> None:
    with bob.waits("busy") as at_bob:
        result = alice.call("bob")
        trace = at_bob.wait_for("ACK")
    assert result.trace.statuses("INVITE") == [407, 486]
    assert [len(trace.requests(method)) for method in ("INVITE", "ACK")] == [1, 1]
    _check_parties(lab.one_cdr(result.call_id, 486), lab, f"sip:alice@{lab.domain}", "bob", "router")


def test_registered_phone_that_is_gone(lab: Lab, alice: Phone, bob: Phone) -> None:
    assert bob.register().final("REGISTER") == 200
    result = alice.call("bob")
    assert result.trace.statuses("INVITE") == [407, 408]
    _check_parties(lab.one_cdr(result.call_id, 408), lab, f"sip:alice@{lab.domain}", "bob", "router")


@pytest.mark.parametrize(("callee", "code"), [("carol", 480), ("nobody", 404)], ids=["not-registered", "no-such-user"])
def test_nobody_there(lab: Lab, alice: Phone, callee: str, code: int) -> None:
    result = alice.call(callee)
    assert result.trace.statuses("INVITE") == [407, code]
    _check_parties(lab.one_cdr(result.call_id, code), lab, f"sip:alice@{lab.domain}", callee, "router")


def test_two_phones_of_one_user_both_ring(lab: Lab, alice: Phone, bob: Phone) -> None:
    second = Phone(lab, "bob", lab.port())
    with bob.waits("ring") as at_first, second.waits("answer") as at_second:
        result = alice.call("bob")
        at_second.wait_for("BYE")
        assert [len(at_first.trace.requests(method)) for method in ("INVITE", "CANCEL")] == [1, 1]
    assert (result.code, result.errors) == (0, "")
    _answered(lab, result, f"sip:alice@{lab.domain}", "bob", "router", 1000)


def test_wrong_password_calls_nobody(lab: Lab, bob: Phone) -> None:
    with bob.waits() as at_bob:
        result = Phone(lab, "alice", lab.port(), password="wrong").call("bob")
        assert result.trace.statuses("INVITE") == [407, 407]
        assert at_bob.trace.requests("INVITE") == []
    assert lab.cdrs(result.call_id) == []


def test_phone_to_carrier(lab: Lab, alice: Phone, carrier: Server) -> None:
    before = len(carrier.trace.requests("INVITE"))
    result = alice.call(NUMBER, hold=1.2)
    assert (result.code, result.errors) == (0, "")
    assert result.trace.statuses("INVITE") == [407, 200]
    trace = until(
        lambda: carrier.trace, lambda seen: any(m.call_id == result.call_id for m in seen.requests("BYE")), 5, "BYE at the carrier"
    )
    arrived = trace.requests("INVITE")[before:]
    assert [message.call_id for message in arrived] == [result.call_id]
    assert arrived[0].first_line.startswith(f"INVITE sip:{NUMBER}@")
    assert arrived[0].headers("Proxy-Authorization") == []
    row = _answered(lab, result, f"sip:alice@{lab.domain}", NUMBER, "router", 1200)
    assert row["destination"] == f"sip:{lab.address('probe', 'public')}:5060"


def test_carrier_to_phone(lab: Lab, bob: Phone) -> None:
    with bob.waits() as at_bob:
        result = trunk_call(lab, "probe", "bob", hold=1.2)
        trace = at_bob.wait_for("BYE")
    assert (result.code, result.errors) == (0, "")
    assert result.trace.statuses("INVITE") == [200]
    assert [len(trace.requests(method)) for method in ("INVITE", "ACK", "BYE")] == [1, 1, 1]
    _answered(lab, result, "sip:+4989777@carrier.example.net", "bob", "probe", 1200)


def test_carrier_to_phone_callee_hangs_up(lab: Lab, bob: Phone) -> None:
    with bob.waits("answer_hangs_up", hold=1.2) as at_bob:
        result = trunk_call(lab, "probe", "bob", "trunk_call_waits_for_bye")
        trace = until(lambda: at_bob.trace, lambda seen: seen.statuses("BYE") == [200], 5, "200 to the BYE of bob")
    assert (result.code, result.errors) == (0, "")
    assert len(result.trace.requests("BYE")) == 1
    assert len(trace.requests("INVITE")) == 1
    _answered(lab, result, "sip:+4989777@carrier.example.net", "bob", "probe", 1200)


def test_carrier_can_not_use_us_as_its_way_to_a_carrier(lab: Lab, carrier: Server) -> None:
    before = len(carrier.trace.requests("INVITE"))
    result = trunk_call(lab, "probe", NUMBER)
    assert result.trace.statuses("INVITE") == [404]
    assert len(carrier.trace.requests("INVITE")) == before
    assert lab.one_cdr(result.call_id, 404)["source"] == lab.address("probe", "public")


@pytest.mark.parametrize(
    ("from_domain", "code"), [("carrier.example.net", 403), ("sip.example.org", 407)], ids=["foreign-from", "our-domain-without-password"]
)
def test_untrusted_address_calls_nobody(lab: Lab, bob: Phone, from_domain: str, code: int) -> None:
    with bob.waits() as at_bob:
        source = (lab.address("relay1", "public"), lab.port())
        request = Request("INVITE", f"sip:bob@{lab.domain}", f"sip:+4989777@{from_domain}", f"sip:bob@{lab.domain}", source, body=SDP)
        replies = lab.send("relay1", source, [request.text()])
        assert [reply.status for reply in replies] == [code]
        router = trunk_call(lab, "router", "bob", from_domain=from_domain)
        assert router.trace.statuses("INVITE") == [code]
        assert at_bob.trace.requests("INVITE") == []
    assert lab.cdrs(request.call_id) + lab.cdrs(router.call_id) == []


def test_calls_by_tcp(lab: Lab, alice: Phone, bob: Phone) -> None:
    """The caller speaks TCP, the callee UDP."""
    with bob.waits() as at_bob:
        result = alice.call("bob", hold=0.5, transport="t1")
        trace = at_bob.wait_for("BYE")
    assert (result.code, result.errors) == (0, "")
    assert [len(trace.requests(method)) for method in ("INVITE", "ACK", "BYE")] == [1, 1, 1]
    _answered(lab, result, f"sip:alice@{lab.domain}", "bob", "router", 500)
