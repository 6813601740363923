"""What is malformed, loops or lies is answered as it should be, and breaks nothing."""

from __future__ import annotations

import base64
import json
import random

import pytest
from cluster_lab import Lab
from sip_text import SDP, Message, Request
from sipp_runner import Phone


def _request(lab: Lab, method: str = "OPTIONS", uri: str = "", host: str = "router", **changes: str | None) -> Request:
    source = (lab.address(host, "public"), lab.port())
    whom = f"sip:bob@{lab.domain}"
    headers = {name.replace("_", "-"): value for name, value in changes.items()}
    return Request(method, uri or f"sip:{lab.domain}", f"sip:alice@{lab.domain}", whom, source, headers=headers)


def _statuses(lab: Lab, request: Request, wait: float = 1) -> list[int]:
    return [reply.status for reply in lab.send("router", request.source, [request.text()], wait=wait)]


def test_options_is_answered_without_a_banner(lab: Lab) -> None:
    request = _request(lab)
    replies = lab.send("router", request.source, [request.text()])
    assert [reply.status for reply in replies] == [200]
    assert replies[0].headers("Server") + replies[0].headers("User-Agent") == []


def test_out_of_hops(lab: Lab) -> None:
    assert _statuses(lab, _request(lab, Max_Forwards="0")) == [483]


def test_missing_max_forwards_is_fine(lab: Lab) -> None:
    assert _statuses(lab, _request(lab, Max_Forwards=None)) == [200]


@pytest.mark.parametrize("header", ["Call-ID", "CSeq", "From", "To"])
def test_missing_header(lab: Lab, header: str) -> None:
    request = _request(lab, "REGISTER")
    request.headers = {header: None}
    assert _statuses(lab, request) == [400]


@pytest.mark.parametrize(
    ("header", "value", "answers"),
    [
        ("CSeq", "1 INVITE", [400]),
        ("CSeq", "one REGISTER", [400]),
        ("Content-Length", "-5", []),
        ("Content-Length", "5000", [400]),
        ("From", "<sip:alice", [400]),
        ("Max-Forwards", "many", [483]),
    ],
    ids=[
        "cseq-of-another-method",
        "cseq-without-number",
        "negative-length",
        "length-beyond-the-datagram",
        "broken-from",
        "hops-not-a-number",
    ],
)
def test_malformed_header_is_refused(lab: Lab, header: str, value: str, answers: list[int]) -> None:
    request = _request(lab, "REGISTER")
    request.headers = {header: value}
    assert _statuses(lab, request) == answers


def test_a_tab_in_cseq_is_as_good_as_a_space(lab: Lab) -> None:
    request = _request(lab, "REGISTER")
    request.headers = {"CSeq": "7\tREGISTER"}
    assert _statuses(lab, request) == [401]


def test_garbage_breaks_nothing(lab: Lab) -> None:
    def lives() -> list[str]:
        return [lab.host(name).check("systemctl show --property=MainPID,NRestarts opensips") for name in lab.proxies]

    before = lives()
    dice = random.Random(2)  # noqa: S311 (the same garbage each time)
    good = _request(lab, "INVITE").text().encode()
    datagrams = [dice.randbytes(size) for size in (1, 7, 64, 600, 1400)]
    datagrams += [good[:size] for size in range(5, len(good), 40)]
    datagrams += [b"\r\n\r\n", b"\0" * 32, b"INVITE sip:" + b"a" * 1300, b"SIP/2.0 200 OK\r\n\r\n", good.replace(b":", b"\0")]
    job = {
        "source": [lab.address("probe", "public"), lab.port()],
        "target": [lab.vip, 5060],
        "datagrams": [base64.b64encode(datagram).decode() for datagram in datagrams],
        "until": 0,
        "wait": 0.5,
        "gap": 0.02,
    }
    lab.host("probe").python("udp", json.dumps(job))
    assert _statuses(lab, _request(lab)) == [200]
    assert lives() == before


def test_scanner_gets_no_answer(lab: Lab) -> None:
    assert _statuses(lab, _request(lab, User_Agent="friendly-scanner")) == []


def test_preloaded_route_is_refused(lab: Lab) -> None:
    request = _request(lab, "INVITE", f"sip:victim@{lab.address('probe', 'public')}", Route=f"<sip:{lab.vip};lr>, <sip:198.18.10.50;lr>")
    assert _statuses(lab, request) == [403]


def test_unknown_dialog_without_route(lab: Lab) -> None:
    assert _statuses(lab, _request(lab, "INVITE", To=f"<sip:bob@{lab.domain}>;tag=unknown")) == [404]


def test_unknown_dialog_with_route_opens_nothing(lab: Lab, bob: Phone) -> None:
    with bob.waits() as at_bob:
        uri = f"sip:bob@{lab.address('router', 'public')}:{bob.port}"
        request = _request(lab, "INVITE", uri, To=f"<sip:bob@{lab.domain}>;tag=unknown", Route=f"<sip:{lab.vip};lr>")
        assert _statuses(lab, request) == [481]
        assert at_bob.trace.requests("INVITE") == []


def test_foreign_sender(lab: Lab) -> None:
    assert _statuses(lab, _request(lab, "INVITE", f"sip:bob@{lab.domain}", From="<sip:eve@elsewhere.example.org>;tag=1")) == [403]


def test_unknown_method(lab: Lab) -> None:
    assert _statuses(lab, _request(lab, "PUBLISH", f"sip:bob@{lab.domain}")) == [405]


def _invite_with_credentials(lab: Lab, uri: str, from_user: str) -> list[Message]:
    source = (lab.address("phone", "home"), lab.port())
    request = Request("INVITE", uri, f"sip:{from_user}@{lab.domain}", uri, source, body=SDP)
    text = lab.authorized(request, "phone", "alice")
    return [reply for reply in lab.send("phone", source, [text], wait=2, until_replies=2) if reply.status >= 200]


def test_no_relay_to_foreign_domains(lab: Lab) -> None:
    replies = _invite_with_credentials(lab, "sip:victim@elsewhere.example.org", "alice")
    assert {reply.status for reply in replies} == {403}


def test_caller_does_not_lie_about_itself(lab: Lab) -> None:
    replies = _invite_with_credentials(lab, f"sip:carol@{lab.domain}", "bob")
    assert {reply.status for reply in replies} == {403}


def test_request_to_the_address_means_our_domain(lab: Lab) -> None:
    replies = _invite_with_credentials(lab, f"sip:carol@{lab.vip}", "alice")
    assert {reply.status for reply in replies} == {480}
