"""The SIP of the self-test's phones: messages taken apart and made, credentials, dialogs."""

from __future__ import annotations

import re
import secrets

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.node import message as sip
from ansible_collections.sipha.cluster.plugins.module_utils.node.message import Dialog, Message
from hypothesis import given
from hypothesis import strategies as st

INVITE = (
    b"INVITE sip:b@example.org SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 198.18.10.10;branch=z9hG4bKfirst;rport\r\n"
    b"v: SIP/2.0/UDP 10.255.255.1:4000;branch=z9hG4bKsecond\r\n"
    b"f: <sip:a@example.org>;tag=1\r\n"
    b"t: <sip:b@example.org>\r\n"
    b"i : id-1@x\r\n"
    b"CSEQ:  7 INVITE\r\n"
    b"m: <sip:a@10.255.255.1:4000>\r\n"
    b"c: application/sdp\r\n"
    b"l: 5\r\n\r\nv=0\r\n"
)


def parsed(datagram: bytes | str) -> Message:
    found = Message.parse(datagram if isinstance(datagram, bytes) else datagram.encode())
    assert found
    return found


# Taken apart
def test_a_request_in_compact_form() -> None:
    message = parsed(INVITE)
    assert (message.method, message.uri, message.status, message.body) == ("INVITE", "sip:b@example.org", 0, "v=0\r\n")
    assert (message.header("Call-ID"), message.header("cseq"), message.header("Contact")) == (
        "id-1@x",
        "7 INVITE",
        "<sip:a@10.255.255.1:4000>",
    )
    assert message.header("From") == "<sip:a@example.org>;tag=1"
    assert message.header("Content-Type") == "application/sdp"
    assert message.header("Record-Route") == ""


def test_the_branch_is_that_of_the_topmost_via() -> None:
    assert parsed(INVITE).branch == "z9hG4bKfirst"
    joined = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z1, SIP/2.0/UDP b;branch=z2\r\nCall-ID: x\r\nCSeq: 1 BYE\r\n\r\n"
    assert (parsed(joined).branch, parsed(joined).method, parsed(joined).reason) == ("z1", "BYE", "OK")
    assert parsed(b"OPTIONS sip:x SIP/2.0\r\nCall-ID: x\r\n\r\n").branch == ""


def test_an_answer_without_a_reason() -> None:
    assert (
        parsed(b"SIP/2.0 486 \r\ni: x\r\nCSeq: 1 INVITE\r\n\r\n").status,
        parsed(b"SIP/2.0 486\r\ni: x\r\nCSeq: 1 INVITE\r\n\r\n").reason,
    ) == (486, "")


def test_folded_headers_and_empty_lines_in_front() -> None:
    message = parsed(b"\r\n\r\nBYE sip:x SIP/2.0\r\nCall-ID: x\r\nSubject: one\r\n  two: three\r\n\tfour\r\nTo: <sip:b>\r\n\r\n")
    assert message.header("Subject") == "one two: three four"
    assert [name for name, _ in message.headers] == ["call-id", "subject", "to"]


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\r\n\r\n",
        b"\0\0\0\0",
        b"GET / HTTP/1.1\r\nCall-ID: x\r\n\r\n",
        b"SIP/2.0 999 Odd\r\nCall-ID: x\r\nCSeq: 1 BYE\r\n\r\n",
        b"SIP/2.0 200 OK\r\nCall-ID: x\r\n\r\n",
        b"BYE sip:x SIP/2.0\r\nTo: y\r\n\r\n",
        b"BYE  SIP/2.0\r\nCall-ID: x\r\n\r\n",
        b"\x80\x08" + bytes(170),
    ],
)
def test_what_is_not_sip_is_passed_over(datagram: bytes) -> None:
    assert Message.parse(datagram) is None


@given(st.binary(max_size=400))
def test_junk_never_raises(junk: bytes) -> None:
    Message.parse(junk)
    Message.parse(INVITE[:90] + junk)
    sip.audio(junk.decode("utf-8", "replace"))


@given(st.lists(st.sampled_from(INVITE.split(b"\r\n")), max_size=12), st.binary(max_size=30))
def test_lines_in_any_order_never_raise(lines: list[bytes], junk: bytes) -> None:
    found = Message.parse(b"\r\n".join([*lines, junk]))
    if found:
        assert found.header("Call-ID")
        assert found.branch in ("", "z9hG4bKfirst", "z9hG4bKsecond")
        sip.response(found, 200, "OK", "tag", "<sip:x>")


# Made
header_text = st.text(st.characters(codec="ascii", exclude_characters=':;<>@,"', categories=["L", "N"]), min_size=1, max_size=12)


@given(header_text, header_text, st.integers(0, 2**31 - 1), st.lists(header_text, max_size=3), st.sampled_from(["", "v=0\r\n"]))
def test_a_request_is_read_as_it_was_meant(user: str, call_id: str, cseq: int, hops: list[str], body: str) -> None:
    routes = [f"<sip:{hop};lr>" for hop in hops]
    dialog = Dialog(f"sip:{user}@a", "sip:b@b", call_id, remote_tag="far", cseq=cseq, routes=routes)
    message = parsed(sip.request("BYE", "sip:b@far", dialog, "10.255.255.1:4000", "<sip:a@near>", "Expires: 0\r\n", body))
    assert (message.method, message.uri, message.body, message.header("Content-Length")) == ("BYE", "sip:b@far", body, str(len(body)))
    assert message.all("Route") == routes
    assert (message.header("From"), message.header("To")) == (f"<sip:{user}@a>;tag={dialog.tag}", "<sip:b@b>;tag=far")
    assert (message.header("Call-ID"), message.header("CSeq"), message.header("Expires")) == (call_id, f"{cseq} BYE", "0")
    assert message.branch.startswith("z9hG4bK")
    assert ";rport" in message.header("Via")


def test_each_request_is_a_transaction_of_its_own() -> None:
    dialog = Dialog("sip:a@a", "sip:b@b", "x")
    assert len({parsed(sip.request("BYE", "sip:b", dialog, "h", "<c>")).branch for _ in range(20)}) == 20


def test_the_ack_of_a_refusal_is_of_the_same_transaction() -> None:
    dialog = Dialog("sip:a@a", "sip:b@b", "x", cseq=3, routes=["<sip:p1;lr>", "<sip:p2;lr>"])
    text = sip.request("INVITE", "sip:b@b", dialog, "h:1", "<sip:a@h:1>", "", "v=0\r\n")
    refusal = parsed("SIP/2.0 407 No\r\nCall-ID: x\r\nCSeq: 3 INVITE\r\nt: <sip:b@b>;tag=proxy\r\n\r\n")
    invite, acked = parsed(text), parsed(sip.ack(refusal, text))
    assert (acked.method, acked.uri, acked.body) == ("ACK", "sip:b@b", "")
    assert (acked.branch, acked.header("CSeq")) == (invite.branch, "3 ACK")
    assert acked.all("To") == ["<sip:b@b>;tag=proxy"]
    assert acked.all("Content-Length") == ["0"]
    assert acked.all("Content-Type") == []
    for name in ("Via", "Route", "From", "Call-ID", "Max-Forwards"):
        assert acked.all(name) == invite.all(name)


def test_an_answer_goes_back_the_way_the_request_came() -> None:
    asked = parsed(INVITE.replace(b"f: ", b"Record-Route: <sip:p2;lr>\r\nRecord-Route: <sip:p1;lr>\r\nf: "))
    answer = parsed(sip.response(asked, 180, "Ringing", "mine", "<sip:b@near>", "v=0\r\n"))
    assert (answer.status, answer.reason, answer.method, answer.body) == (180, "Ringing", "INVITE", "v=0\r\n")
    for name in ("Via", "Record-Route", "From", "Call-ID", "CSeq"):
        assert answer.all(name) == asked.all(name)
    assert answer.header("To") == "<sip:b@example.org>;tag=mine"
    inside = parsed(INVITE.replace(b"t: <sip:b@example.org>", b"t: <sip:b@example.org>;tag=theirs"))
    assert parsed(sip.response(inside, 200, "OK", "mine", "<x>")).header("To") == "<sip:b@example.org>;tag=theirs"


# Dialogs
@pytest.mark.parametrize(
    ("lines", "routes"),
    [
        ("", []),
        ("Record-Route: <sip:p1;lr>\r\n", ["<sip:p1;lr>"]),
        ("Record-Route: <sip:p2;lr;r2=on>\r\nRecord-Route: <sip:p1;lr>\r\n", ["<sip:p1;lr>", "<sip:p2;lr;r2=on>"]),
        (
            "Record-Route: <sip:p3;lr;did=a,b>;x=1,<sip:p2;lr> , <sip:p1;lr>\r\nRecord-Route: <sip:p0;lr>\r\n",
            ["<sip:p0;lr>", "<sip:p1;lr>", "<sip:p2;lr>", "<sip:p3;lr;did=a,b>;x=1"],
        ),
    ],
)
def test_the_way_to_the_other_is_what_was_recorded_backwards(lines: str, routes: list[str]) -> None:
    dialog = Dialog("sip:a@a", "sip:b@b", "x")
    dialog.answered(
        parsed(f"SIP/2.0 200 OK\r\ni: x\r\nCSeq: 1 INVITE\r\n{lines}To: <sip:b@b>;x=1;tag=far\r\nm: <sip:b@h;ob>;expires=3\r\n\r\n")
    )
    assert (dialog.routes, dialog.remote_tag, dialog.target) == (routes, "far", "sip:b@h;ob")


def test_a_contact_without_brackets() -> None:
    dialog = Dialog("sip:a@a", "sip:b@b", "x")
    dialog.answered(parsed("SIP/2.0 200 OK\r\ni: x\r\nCSeq: 1 INVITE\r\nTo: <sip:b@b>\r\nContact: sip:b@h;expires=3\r\n\r\n"))
    assert (dialog.target, dialog.remote_tag, dialog.routes) == ("sip:b@h", "", [])


# Credentials
NONCE, OPAQUE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
MD5 = "8ca523f5e9506fed4657c9700eebdbec"
SHA256 = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"


def challenge(*values: str, name: str = "WWW-Authenticate", status: int = 401) -> Message:
    return parsed(f"SIP/2.0 {status} No\r\nCall-ID: x\r\nCSeq: 1 GET\r\n" + "".join(f"{name}: {value}\r\n" for value in values) + "\r\n")


def digest(algorithm: str, qop: str = '"auth, auth-int"') -> str:
    return f'Digest realm="http-auth@example.org", qop={qop}, algorithm={algorithm}, nonce="{NONCE}", opaque="{OPAQUE}"'


def credentials(asked: Message) -> str:
    return sip.authorization(asked, "GET", "/dir/index.html", "Mufasa", "Circle of Life")


@pytest.mark.parametrize(
    ("challenges", "response"),
    [
        ([digest("MD5")], MD5),
        ([digest("SHA-256")], SHA256),
        ([digest('"sha-256"', "auth")], SHA256),
        ([digest("SHA-256"), digest("MD5")], SHA256),
        ([digest("SHA-512-256"), digest("SHA-256")], SHA256),
        (["Bearer x", digest("MD5-sess"), digest("MD5", '"auth-int"'), digest("MD5")], MD5),
        ([digest("MD5").replace("Digest ", "digest  ").replace("nonce=", "NONCE = ")], MD5),
    ],
    ids=["md5", "sha-256", "bare and quoted", "both", "unknown one first", "only the last", "odd writing"],
)
def test_credentials_of_rfc_7616(monkeypatch: pytest.MonkeyPatch, challenges: list[str], response: str) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda _: CNONCE)
    line = credentials(challenge(*challenges))
    assert line.startswith('Authorization: Digest username="Mufasa", realm="http-auth@example.org", ')
    assert line.endswith("\r\n")
    for part in (
        f'response="{response}"',
        f'nonce="{NONCE}"',
        f'opaque="{OPAQUE}"',
        f'cnonce="{CNONCE}"',
        "qop=auth,",
        "nc=00000001",
        'uri="/dir/index.html"',
    ):
        assert part in line


def test_credentials_of_old_servers_without_qop() -> None:
    asked = challenge(
        'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"', name="Proxy-Authenticate", status=407
    )
    line = sip.authorization(asked, "GET", "/dir/index.html", "Mufasa", "CircleOfLife")
    assert line.startswith("Proxy-Authorization: ")
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in line  # RFC 2069, with its erratum
    assert "qop" not in line
    assert "opaque" not in line


@pytest.mark.parametrize(
    "values",
    [[], ["Bearer x"], [digest("SHA-512-256")], [digest("MD5", '"auth-int"')], ['Digest realm="x"'], ['Digest nonce="x"'], ["Digest"]],
    ids=["none", "no digest", "unknown algorithm", "unknown qop", "no nonce", "no realm", "empty"],
)
def test_a_challenge_that_can_not_be_answered(values: list[str]) -> None:
    assert credentials(challenge(*values)) == ""


def test_a_comma_or_a_quote_in_a_realm() -> None:
    line = credentials(challenge(r'Digest realm="a, nonce=\"b\"", x-nonce="no", nonce="yes"'))
    assert r'realm="a, nonce=\"b\"", nonce="yes"' in line
    assert len(re.findall("nonce=", line)) == 2


# Where audio goes
@pytest.mark.parametrize(
    ("sdp", "where"),
    [
        ("v=0\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n", ("10.0.0.1", 4000)),
        ("c=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 8\r\nc=IN IP4 10.0.0.2\r\n", ("10.0.0.2", 4000)),
        ("m=video 9 RTP/AVP 9\r\nc=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 8\r\nc=IN IP4 10.0.0.2\r\n", ("10.0.0.2", 4000)),
        ("m=video 9 RTP/AVP 9\r\nc=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 8\r\n", ("", 0)),
        ("c=IN IP4 10.0.0.1\r\nm=audio 0 RTP/AVP 8\r\n", ("", 0)),
        ("c=IN IP4 10.0.0.1\r\nm=audio 70000 RTP/AVP 8\r\n", ("", 0)),
        ("c=IN IP4 10.0.0.1\r\nm=video 9 RTP/AVP 9\r\n", ("", 0)),
        ("c=IN IP6 ::1\r\nm=audio 4000 RTP/AVP 8\r\n", ("", 0)),
        ("", ("", 0)),
    ],
)
def test_where_audio_goes(sdp: str, where: tuple[str, int]) -> None:
    assert sip.audio(sdp) == where
