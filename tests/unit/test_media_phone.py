"""The phone of the media tests (molecule/cluster/tests/remote/media_phone): its parts, and two of them that talk over the loopback."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LAB_TESTS = Path(__file__).resolve().parents[2] / "molecule/cluster/tests"
sys.path[:0] = [str(LAB_TESTS), str(LAB_TESTS / "remote")]

from media_lab import MediaPhone, connect, flowing, measured, media_ok, talked
from media_phone import messages, rtp, sdp
from media_phone.agent import Agent, Identity, RefusedError
from media_phone.clock import Timers
from media_phone.media import Media
from sip_text import Message


# Session descriptions
def test_what_is_built_can_be_read() -> None:
    session = sdp.parse(sdp.build("10.0.0.1", 4000, "sendonly", 7, 2))
    assert session == sdp.Session("10.0.0.1", 4000, "10.0.0.1", 4001, "sendonly", ("10.0.0.1",))
    assert session.sends
    assert not session.receives


@pytest.mark.parametrize(
    ("body", "rtp_at", "rtcp_at", "direction"),
    [
        ("v=0\r\nc=IN IP4 1.1.1.1\r\nm=audio 10 RTP/AVP 8\r\n", ("1.1.1.1", 10), ("1.1.1.1", 11), "sendrecv"),
        ("c=IN IP4 1.1.1.1\r\na=inactive\r\nm=audio 10 RTP/AVP 8\r\nc=IN IP4 2.2.2.2\r\n", ("2.2.2.2", 10), ("2.2.2.2", 11), "inactive"),
        ("v=0\nc=IN IP4 1.1.1.1\na=sendonly\nm=audio 10 RTP/AVP 8\na=rtcp:20\na=recvonly\n", ("1.1.1.1", 10), ("1.1.1.1", 20), "recvonly"),
        ("v=0\nm=video 9 RTP/AVP 9\nc=IN IP4 3.3.3.3\nm=audio 10 RTP/AVP 8\nc=IN IP4 4.4.4.4\na=rtcp:20 IN IP4 5.5.5.5\n",
         ("4.4.4.4", 10), ("5.5.5.5", 20), "sendrecv"),
    ],
    ids=["session-level", "media-level-wins", "rtcp-port", "rtcp-address-and-video"],
)  # fmt: skip
def test_where_audio_goes(body: str, rtp_at: tuple[str, int], rtcp_at: tuple[str, int], direction: str) -> None:
    session = sdp.parse(body)
    assert session
    assert ((session.address, session.port), (session.rtcp_address, session.rtcp_port), session.direction) == (rtp_at, rtcp_at, direction)


def test_no_audio_and_no_place_for_audio() -> None:
    assert sdp.parse("") is None
    assert sdp.parse("v=0\r\nc=IN IP4 1.1.1.1\r\nm=video 10 RTP/AVP 9\r\n") is None
    for body in ("c=IN IP4 0.0.0.0\r\nm=audio 10 RTP/AVP 8\r\n", "c=IN IP4 1.1.1.1\r\nm=audio 0 RTP/AVP 8\r\n"):
        session = sdp.parse(body)
        assert session
        assert not session.receives


@pytest.mark.parametrize(
    ("offered", "wanted", "answered"),
    [
        ("sendrecv", "sendrecv", "sendrecv"),
        ("sendonly", "sendrecv", "recvonly"),
        ("recvonly", "sendrecv", "sendonly"),
        ("inactive", "sendrecv", "inactive"),
        ("sendonly", "sendonly", "inactive"),
    ],
)
def test_answer_to_a_direction(offered: str, wanted: str, answered: str) -> None:
    assert sdp.answer(offered, wanted) == answered


# RTP
def test_a_packet_there_and_back() -> None:
    data = rtp.pack(rtp.Packet(65537, 320, 0xDEADBEEF))
    assert len(data) == 172
    assert rtp.unpack(data) == rtp.Packet(1, 320, 0xDEADBEEF)


def test_a_report_is_one_and_no_audio() -> None:
    data = rtp.report(rtp.Packet(9, 320, 77), 1000.5, 9, "phone@here")
    assert rtp.is_rtcp(data)
    assert rtp.unpack(data) is None
    kind, length, ssrc, seconds, fraction, timestamp, packets, octets = struct.unpack("!xBHIIIIII", data[:28])
    assert (kind, length, ssrc, seconds, fraction) == (200, 6, 77, 2208988800 + 1000, 1 << 31)
    assert (timestamp, packets, octets) == (320, 9, 1440)
    kind, length, ssrc, item, size = struct.unpack("!xBHIBB", data[28:38])
    assert (kind, ssrc, item, data[38 : 38 + size]) == (202, 77, 1, b"phone@here")
    assert len(data) == 28 + 4 + length * 4


def test_a_number_goes_on_when_it_wraps() -> None:
    assert rtp.extend(0, 65535) == 65536
    assert rtp.extend(65535, 65536) == 65535
    assert rtp.extend(5, 65536 * 3 + 1) == 65536 * 3 + 5


def test_a_packet_counts_once_and_a_lost_one_not() -> None:
    stream = rtp.Stream()
    for step, sequence in enumerate((65534, 65535, 65535, 1, 0, 3)):  # 2 is lost, 1 overtook 0
        stream.receive(rtp.Packet(sequence, 0, 5), "1.1.1.1:10", step * 0.02)
    assert (stream.packets, stream.duplicates) == (5, 1)
    assert stream.held(5, 65534, 65540) == 5
    assert stream.held(5, 65538, 65539) == 0
    assert stream.held(6, 65534, 65540) == 0


def test_silence_in_all_and_since_a_mark() -> None:
    arrivals = rtp.Arrivals()
    for now in (10.0, 10.5, 10.6):
        arrivals.add("a:1", now)
    arrivals.mark(10.7)
    arrivals.add("b:2", 11.0)
    arrivals.add("b:2", 11.1)
    seen = arrivals.summary(11.2)
    assert (seen["packets"], seen["since_mark"], seen["sources"], seen["sources_since_mark"]) == (5, 2, ["a:1", "b:2"], ["b:2"])
    assert seen["gap"] == pytest.approx(0.5)
    assert seen["gap_since_mark"] == pytest.approx(0.3)  # from the mark to the first packet
    assert arrivals.summary(12.1)["gap_since_mark"] == pytest.approx(1.0)  # silent since then
    assert arrivals.summary(12.1)["gap"] == pytest.approx(0.5)


# Headers
def test_lists_addresses_and_tags() -> None:
    assert messages.listed(["<sip:a;lr>, <sip:b,c;lr>", '"x, y" <sip:d>;q=1']) == ["<sip:a;lr>", "<sip:b,c;lr>", '"x, y" <sip:d>;q=1']
    assert messages.uri_of('"Bob" <sip:bob@b:5070;ob>;tag=1') == "sip:bob@b:5070;ob"
    assert messages.uri_of("sip:bob@b;tag=1") == "sip:bob@b"
    assert [messages.tag_of(value) for value in ("<sip:b;tag=no>;x=1;tag=yes", "sip:b;tag=yes", "<sip:b>")] == ["yes", "yes", ""]
    assert [messages.hop_of(uri) for uri in ("sip:1.2.3.4;lr", "sip:u@1.2.3.4:99;x")] == [("1.2.3.4", 5060), ("1.2.3.4", 99)]


@pytest.mark.parametrize(
    ("via", "port"), [("SIP/2.0/UDP 1.1.1.1:7000;branch=z", 7000), ("SIP/2.0/UDP 1.1.1.1;branch=z", 5060), ("SIP/2.0/UDP 1.1.1.1;rport", 9)]
)
def test_where_a_reply_goes(via: str, port: int) -> None:
    assert messages.reply_target(Message(f"OPTIONS sip:x SIP/2.0\r\nVia: {via}, SIP/2.0/UDP 2.2.2.2\r\n\r\n"), ("9.9.9.9", 9)) == (
        "9.9.9.9",
        port,
    )


# The phone, by hand
PROXY, SECOND = ("198.18.10.10", 5060), ("198.18.10.11", 5062)
ROUTES = "Record-Route: <sip:198.18.10.11:5062;lr>, <sip:198.18.10.99;lr>\r\nRecord-Route: <sip:198.18.10.10;lr;ftag=x>\r\n"
BENCH_ADDRESS = "127.0.7.1"
BODY = sdp.build("127.0.7.31", 6000, "sendrecv", 1, 1)


class Bench:
    """One phone, its clock, what it sends and what it reports."""

    def __init__(self) -> None:
        self.time = 100.0
        self.timers = Timers(lambda: self.time)
        self.sent: list[tuple[Message, tuple[str, int]]] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.media = Media(BENCH_ADDRESS, free_port(), self.timers)
        me = Identity("alice", "sip.example.org", "secret", ("127.0.0.1", 5070), PROXY)
        self.phone = Agent(me, self.timers, self._send, self.media, self._report)

    def _send(self, text: str, target: tuple[str, int]) -> None:
        self.sent.append((Message(text), target))

    def _report(self, event: str, **details: Any) -> None:
        self.events.append((event, details))

    @property
    def last(self) -> Message:
        return self.sent[-1][0]

    def wait(self, seconds: float) -> list[str]:
        """Let time go by; first lines of what was sent meanwhile."""
        before = len(self.sent)
        end = self.time + seconds
        while self.time < end:
            self.time = min(end, self.time + max(0.001, self.timers.run()))
        self.timers.run()
        return [message.first_line for message, _ in self.sent[before:]]

    def answer(self, status: int, extra: str = "", body: str = "", tag: str = ";tag=far") -> None:
        """A reply to the last request."""
        request = self.last
        to = request.header("To") + ("" if "tag=" in request.header("To") else tag)
        kept = "".join(f"{name}: {request.header(name)}\r\n" for name in ("Via", "From", "Call-ID", "CSeq"))
        self.phone.receive(f"SIP/2.0 {status} x\r\n{kept}To: {to}\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}", PROXY)

    def request(self, method: str, cseq: int, branch: str, tag: str = "", extra: str = "", body: str = "") -> None:
        """A request of bob's."""
        to = f"<sip:alice@sip.example.org>{tag and ';tag=' + tag}"
        head = f"{method} sip:alice@127.0.0.1:5070 SIP/2.0\r\nVia: SIP/2.0/UDP 198.18.10.10;branch={branch}\r\n"
        ids = f"From: <sip:bob@sip.example.org>;tag=far\r\nTo: {to}\r\nCall-ID: call\r\nCSeq: {cseq} {method}\r\n"
        self.phone.receive(f"{head}{ids}Contact: <sip:bob@10.0.0.2:5080>\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}", PROXY)

    def take_call(self) -> str:
        """A call of bob's that is up; returns the phone's tag."""
        self.request("INVITE", 1, "i", extra=ROUTES, body=BODY)
        self.wait(0.3)
        tag = messages.tag_of(self.last.header("To"))
        self.request("ACK", 1, "a", tag)
        return tag


def free_port() -> int:
    """An even port; nothing else is bound in this part of the loopback network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((BENCH_ADDRESS, 0))
        return int(probe.getsockname()[1]) % 20000 // 2 * 2 + 20000


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.media.rtp.close()
    bench.media.rtcp.close()


CHALLENGE = 'WWW-Authenticate: Digest realm="sip.example.org", nonce="n1", qop="auth"\r\n'
OK = f"{ROUTES}Contact: <sip:bob@198.18.10.40:1234>\r\n"


def test_registers_with_a_password(bench: Bench) -> None:
    bench.phone.register(300)
    first = bench.last
    bench.answer(401, CHALLENGE)
    assert first.header("CSeq") == "1 REGISTER"
    assert bench.last.header("CSeq") == "2 REGISTER"
    assert bench.last.call_id == first.call_id
    assert 'username="alice", realm="sip.example.org", nonce="n1", uri="sip:sip.example.org"' in bench.last.header("Authorization")
    bench.answer(200)
    assert bench.events == [("registered", {"expires": 300, "contacts": []})]
    bench.phone.register(0)
    assert bench.last.header("CSeq") == "3 REGISTER"


def test_a_second_challenge_is_a_refusal(bench: Bench) -> None:
    bench.phone.register(300)
    bench.answer(401, CHALLENGE)
    bench.answer(401, CHALLENGE)
    assert bench.events == [("failed", {"method": "REGISTER", "status": 401, "answered": True})]


def test_a_request_without_answer_is_sent_again_and_then_given_up(bench: Bench) -> None:
    bench.phone.register(300)
    assert len(bench.wait(3.6)) == 3  # after 0.5, 1.5 and 3.5 s
    assert len(bench.wait(28)) == 7  # every 4 s
    bench.wait(1)
    assert bench.events == [("failed", {"method": "REGISTER", "status": 408, "answered": False})]
    assert bench.wait(60) == []


def test_a_call_of_ours_uses_the_route_set_backwards(bench: Bench) -> None:
    bench.phone.call("sip:bob@sip.example.org")
    assert len(bench.wait(1.6)) == 2  # nobody answers: after 0.5 and 1.5 s
    bench.answer(407, CHALLENGE.replace("WWW", "Proxy"))
    (ack, _), (invite, _) = bench.sent[-2:]
    assert (ack.method, ack.header("CSeq"), ack.header("Via")) == ("ACK", "1 ACK", bench.sent[0][0].header("Via"))
    assert (invite.header("CSeq"), invite.header("Via") != ack.header("Via")) == ("2 INVITE", True)
    bench.answer(180)
    assert bench.wait(20) == []
    bench.answer(200, OK, BODY)
    ack, target = bench.sent[-1]
    assert (ack.first_line, ack.header("CSeq"), target) == ("ACK sip:bob@198.18.10.40:1234 SIP/2.0", "2 ACK", PROXY)
    assert ack.header("Route") == "<sip:198.18.10.10;lr;ftag=x>, <sip:198.18.10.99;lr>, <sip:198.18.10.11:5062;lr>"
    assert ack.header("To") == "<sip:bob@sip.example.org>;tag=far"
    reply = bench.sent[-2][0]
    assert reply is invite
    bench.phone.bye()
    bye, target = bench.sent[-1]
    assert (bye.first_line, bye.header("CSeq"), target) == ("BYE sip:bob@198.18.10.40:1234 SIP/2.0", "3 BYE", PROXY)
    assert bye.header("Route") == ack.header("Route")
    bench.answer(200)
    assert [event for event, _ in bench.events] == ["calling", "ringing", "answered", "bye"]


def test_a_200_that_comes_again_is_acknowledged_again(bench: Bench) -> None:
    bench.phone.call("sip:bob@sip.example.org")
    invite = bench.sent[-1]
    bench.answer(200, OK, BODY)
    ack = bench.last
    bench.sent.append(invite)
    bench.answer(200, OK, BODY)
    assert bench.last.text == ack.text
    assert [event for event, _ in bench.events] == ["calling", "answered"]


def test_cancel_waits_for_a_sign_of_life_and_goes_in_the_same_branch(bench: Bench) -> None:
    bench.phone.call("sip:bob@sip.example.org")
    invite = bench.sent[-1]
    bench.phone.cancel()
    assert bench.sent[-1] is invite
    bench.answer(100)
    cancel = bench.last
    assert (cancel.method, cancel.header("Via"), cancel.header("CSeq")) == ("CANCEL", invite[0].header("Via"), "1 CANCEL")
    assert "tag=" not in cancel.header("To")
    bench.answer(200)
    bench.sent.append(invite)
    bench.answer(487)
    assert (bench.last.method, bench.last.header("Via"), bench.last.header("To")[-8:]) == ("ACK", invite[0].header("Via"), ";tag=far")
    assert bench.events[-1] == ("failed", {"method": "INVITE", "status": 487, "answered": True})
    assert not bench.phone.busy


def test_takes_a_call_and_repeats_the_200_until_the_ack(bench: Bench) -> None:
    bench.request("INVITE", 1, "i", extra=ROUTES, body=BODY)
    bench.request("INVITE", 1, "i", extra=ROUTES, body=BODY)
    assert [message.status for message, _ in bench.sent] == [180, 180]
    assert bench.wait(1.8) == ["SIP/2.0 200 OK"] * 3  # at 0.2, 0.7 and 1.7 s
    assert bench.last.headers("Record-Route") == Message(f"\n{ROUTES}").headers("Record-Route")
    tag = messages.tag_of(bench.last.header("To"))
    bench.request("ACK", 1, "a", tag)
    assert bench.wait(60) == []
    assert [event for event, _ in bench.events] == ["incoming", "answered", "confirmed"]
    bench.phone.bye()
    bye, target = bench.sent[-1]
    assert (bye.first_line, target) == ("BYE sip:bob@10.0.0.2:5080 SIP/2.0", SECOND)
    assert bye.header("Route") == "<sip:198.18.10.11:5062;lr>, <sip:198.18.10.99;lr>, <sip:198.18.10.10;lr;ftag=x>"
    assert (bye.header("From"), bye.header("To")) == (f"<sip:alice@sip.example.org>;tag={tag}", "<sip:bob@sip.example.org>;tag=far")


def test_without_ack_the_call_ends(bench: Bench) -> None:
    bench.request("INVITE", 1, "i", body=BODY)
    assert bench.wait(33)[-1].startswith("BYE ")
    assert bench.events[-1] == ("failed", {"method": "ACK", "status": 408, "answered": False})


def test_a_reinvite_moves_target_and_media_but_not_the_route(bench: Bench) -> None:
    tag = bench.take_call()
    assert bench.media.remote
    assert bench.media.remote.address == "127.0.7.31"
    moved = "Contact: <sip:bob@10.0.0.9:5090>\r\n"
    head = f"INVITE sip:alice@127.0.0.1:5070 SIP/2.0\r\nVia: SIP/2.0/UDP 198.18.10.10;branch=r\r\n{moved}"
    ids = f"From: <sip:bob@sip.example.org>;tag=far\r\nTo: <sip:alice@sip.example.org>;tag={tag}\r\nCall-ID: call\r\nCSeq: 2 INVITE\r\n"
    bench.phone.receive(f"{head}{ids}\r\n{sdp.build('127.0.7.32', 7000, 'sendonly', 1, 2)}", PROXY)
    assert "a=recvonly" in bench.last.text
    assert bench.media.remote.address == "127.0.7.32"
    assert not bench.media.remote.receives
    bench.request("ACK", 2, "b", tag)
    bench.phone.hold(True)
    assert bench.last.first_line == "INVITE sip:bob@10.0.0.9:5090 SIP/2.0"
    assert bench.sent[-1][1] == SECOND
    assert "a=sendonly" in bench.last.text
    assert bench.last.body_version == "3"


def test_says_no(bench: Bench) -> None:
    bench.phone.status = 603
    bench.request("INVITE", 1, "i", body=BODY)
    assert bench.last.status == 603
    bench.request("ACK", 1, "i", messages.tag_of(bench.last.header("To")))
    assert bench.wait(60) == []
    assert [event for event, _ in bench.events] == ["incoming", "declined"]
    assert not bench.phone.busy


def test_a_call_is_cancelled_while_it_rings(bench: Bench) -> None:
    bench.request("INVITE", 1, "i", body=BODY)
    bench.request("CANCEL", 1, "i")
    assert [(message.status, message.method) for message, _ in bench.sent[-2:]] == [(200, "CANCEL"), (487, "INVITE")]
    bench.request("ACK", 1, "i")
    assert bench.wait(60) == []
    assert [event for event, _ in bench.events] == ["incoming", "declined"]


def test_other_requests(bench: Bench) -> None:
    bench.request("OPTIONS", 1, "o")
    assert (bench.last.status, bench.phone.pings) == (200, 1)
    bench.request("BYE", 1, "b", "nobody")
    assert bench.last.status == 481
    bench.request("MESSAGE", 1, "m")
    assert bench.last.status == 405
    tag = bench.take_call()
    bench.request("OPTIONS", 2, "p", tag)
    assert (bench.last.status, bench.phone.pings) == (200, 1)
    bench.request("BYE", 3, "e", tag)
    assert (bench.last.status, bench.phone.busy) == (200, False)
    assert bench.events[-1] == ("bye", {"by": "them"})


def test_what_makes_no_sense_is_refused(bench: Bench) -> None:
    for command in (bench.phone.bye, bench.phone.cancel, lambda: bench.phone.hold(True)):
        with pytest.raises(RefusedError):
            command()
    bench.phone.call("sip:bob@sip.example.org")
    with pytest.raises(RefusedError):
        bench.phone.call("sip:bob@sip.example.org")


def test_leaving_ends_the_call_first(bench: Bench) -> None:
    bench.take_call()
    bench.phone.leave()
    assert bench.last.method == "BYE"
    assert not bench.phone.over
    bench.answer(200)
    assert bench.phone.over


def test_leaving_is_not_held_up_by_silence(bench: Bench) -> None:
    bench.take_call()
    bench.phone.leave()
    bench.wait(2.1)
    assert bench.phone.over


# Two of them, talking
ALICE, BOB = "127.0.7.2", "127.0.7.3"


class Loopback:
    """What MediaPhone wants from a lab, for two phones without anything between them."""

    domain = "sip.example.org"

    def __init__(self) -> None:
        self.vip = ""

    def address(self, host: str, network: str) -> str:
        return host

    def port(self) -> int:
        return free_port()


class LocalPhone(MediaPhone):
    """The same program without docker; its requests go straight to the other phone."""

    other_port = 0

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-u", "-m", "media_phone", *self.arguments, f"--proxy-port={self.other_port}"]
        environment = {**os.environ, "PYTHONPATH": f"{LAB_TESTS}:{LAB_TESTS / 'remote'}"}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True, bufsize=1, env=environment)


@pytest.fixture
def pair() -> Iterator[tuple[MediaPhone, MediaPhone]]:
    lab: Any = Loopback()
    lab.vip = BOB
    alice, bob = (LocalPhone(lab, user, host, "", seconds=30) for user, host in (("alice", ALICE), ("bob", BOB)))
    alice.other_port = bob.port
    with alice, bob:
        yield alice, bob


def test_two_phones_talk_hold_resume_and_hang_up(pair: tuple[MediaPhone, MediaPhone]) -> None:
    alice, bob = pair
    connect(alice, bob)
    for flow, host, port in zip(media_ok(alice, bob, 3, share=1, gap=1), (ALICE, BOB), (alice.port, bob.port), strict=True):
        assert (flow.sent >= 140, flow.share, flow.reports >= 2) == (True, 1.0, True)
        assert (flow.sources, flow.report_sources) == ([f"{host}:{port + 10000}"], [f"{host}:{port + 10001}"])
    alice.hold()
    bob.wait("reinvited", by="them")
    with measured(alice, bob) as held:
        talked(alice, 0.4)
    there, back = held.both()
    assert (there.share, back.sent, back.received) == (1.0, 0, 0)
    alice.resume()
    bob.wait("reinvited", by="them")
    flowing(alice, bob)
    bob.bye()
    alice.wait("bye", by="them")
    ended = bob.stats()
    assert not ended.call_up
    assert [(given.rtp, given.direction) for given in ended.given] == [
        (f"{ALICE}:{alice.port + 10000}", direction) for direction in ("sendrecv", "sendonly", "sendrecv")
    ]


def test_a_phone_that_nobody_talks_to_any_more_ends_and_hangs_up(pair: tuple[MediaPhone, MediaPhone]) -> None:
    alice, bob = pair
    connect(alice, bob)
    alice.__exit__()
    bob.wait("bye", by="them")
    assert [event["event"] for event in alice.events[-2:]] == ["gone", "ended"]


def test_why_a_phone_does_not_start_is_told(pair: tuple[MediaPhone, MediaPhone]) -> None:
    alice, _ = pair
    second = LocalPhone(alice.lab, "carol", ALICE, "", alice.port)
    with pytest.raises(AssertionError, match="Address already in use"), second:
        pass
