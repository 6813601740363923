"""The probe's SIP, digest, settings and records, without a network."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import Any

import hypothesis
import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.drill import wire
from ansible_collections.sipha.cluster.plugins.module_utils.drill.digest import Account, DigestError, choose, credentials, parse_challenge
from ansible_collections.sipha.cluster.plugins.module_utils.drill.record import Ping, Record, from_lines, to_line
from ansible_collections.sipha.cluster.plugins.module_utils.drill.settings import Settings, SettingsError
from hypothesis import given
from hypothesis import strategies as st
from junk import junk

ANSWER = b"SIP/2.0 200 OK\r\nv: SIP/2.0/UDP 1.2.3.4;rport; branch=z9hG4bKa;received=1.2.3.4\r\nVia: second;branch=b\r\nServer: x\r\n y\r\n"
REGISTER = {"target": "198.18.10.10", "method": "REGISTER", "user": "drill", "domain": "sip.example.org", "password": "x"}


def test_a_response_is_read_with_compact_and_folded_headers() -> None:
    message = wire.parse(ANSWER + b"\r\n")
    assert message is not None
    assert (message.status, message.method, message.branch, message.get("SERVER")) == (200, "", "z9hG4bKa", "x y")
    assert len(message.all("via")) == 2
    assert message.get("missing") == ""
    request = wire.parse(wire.request("OPTIONS", "sip:[2001:db8::1]:5060", [("Via", "SIP/2.0/UDP h;branch=q")]))
    assert request is not None
    assert (request.status, request.method, request.branch, request.get("l"), request.get("content-length")) == (
        None,
        "OPTIONS",
        "q",
        "",
        "0",
    )
    assert wire.at("2001:db8::1", 5060) == "[2001:db8::1]:5060"


def test_messages_are_cut_out_of_a_stream_wherever_it_breaks() -> None:
    body = ANSWER + b"Content-Length: 5\r\n\r\nv=0\r\n"
    stream, found = bytearray(), 0
    for byte in b"\r\n\r\n" + body + b"\r\n" + ANSWER + b"\r\n":
        stream.append(byte)
        messages = wire.cut(stream)
        assert messages is not None
        found += len(messages)
    assert (found, stream) == (2, b"")
    assert wire.cut(bytearray(body + body)) == [wire.parse(body)] * 2
    assert wire.cut(bytearray(b"HTTP/1.1 200 OK\r\n\r\n")) is None
    assert wire.cut(bytearray(b"SIP/2.0 200 OK\r\nContent-Length: -5\r\n\r\n")) is None
    assert wire.cut(bytearray(b"x" * 70000)) is None


@hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
@given(st.binary(max_size=300) | st.binary(max_size=60).map(lambda tail: ANSWER + tail))
def test_nothing_that_arrives_raises(data: bytes) -> None:
    message = wire.parse(data)
    if message:
        assert message.status or message.method
        assert isinstance(message.branch, str)
        parse_challenge(message.get("server"))
    wire.cut(bytearray(data))


def test_the_digest_of_rfc_2617_and_rfc_7616() -> None:
    challenge = parse_challenge(
        'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5c"'
    )
    assert challenge is not None
    value = credentials(challenge, Account("Mufasa", "Circle Of Life"), "GET", "/dir/index.html", "0a4f113b")
    assert 'response="6629fae49393a05397450978507c4ef1"' in value
    assert 'opaque="5c"' in value
    newer = parse_challenge(
        'Digest realm="http-auth@example.org", qop="auth", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"'
    )
    assert newer is not None
    value = credentials(
        newer, Account("Mufasa", "Circle of Life"), "GET", "/dir/index.html", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    )
    assert 'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"' in value


def test_the_way_without_qop_and_with_ha1() -> None:
    challenge = parse_challenge("Digest realm=r,nonce=n, stale=TRUE")
    assert challenge is not None
    assert (challenge.qop, challenge.stale, challenge.opaque) == ("", True, None)
    ha1 = hashlib.md5(b"u:r:p", usedforsecurity=False).hexdigest()
    given_password, given_hash = (
        credentials(challenge, one, "REGISTER", "sip:d", "c") for one in (Account("u", "p"), Account("u", ha1=ha1.upper()))
    )
    assert given_password == given_hash
    assert "qop" not in given_hash


def test_the_strongest_challenge_is_taken() -> None:
    offered = ["Basic realm=x", 'Digest nonce="1"', 'Digest nonce="2", algorithm=SHA-256', 'Digest nonce="3", algorithm=SHA-512-256']
    assert choose(offered, Account("u", "p")).nonce == "2"
    assert choose(offered, Account("u", ha1="a" * 32)).nonce == "1"
    for bad in (["Basic realm=x"], [], ["Digest realm=x"], ['Digest nonce="1", qop="auth-int"'], ['Digest nonce="1", algorithm=MD5-sess']):
        with pytest.raises(DigestError, match="MD5 or SHA-256"):
            choose(bad, Account("u", "p"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"target": "sip.example.org"}, "target is 'sip.example.org', set it to an IPv4 or IPv6 address"),
        ({"rate": 0}, "rate is 0, set it to 0.1 to 500"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"rate": True}, "rate is bool, set it to float"),
        ({"seconds": "10"}, "seconds is str"),
        ({"port": 70000}, "port is 70000"),
        ({"transport": "tls"}, "transport is 'tls', set it to udp or tcp"),
        ({"method": "INVITE"}, "method is 'INVITE'"),
        ({"who_header": "a\r\nb"}, "who_header"),
        ({"domain": "a b"}, "domain is 'a b'"),
        ({"source": "::1"}, "not of one family"),
        ({"colour": 1}, "there is no setting 'colour'; there are any_source"),
        ({"password": ""}, "a password or an ha1"),
        ({"ha1": "a" * 32}, "a password or an ha1"),
        ({"password": "", "ha1": "xyz"}, "ha1 is none: set it to 32 hex digits"),
        ({"user": 'a">\r\n'}, "user and domain"),
        ({"domain": ""}, "user and domain"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], says: str) -> None:
    assert Settings.load(REGISTER).count == 500
    with pytest.raises(SettingsError) as error:
        Settings.load({**REGISTER, **changes})
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(SettingsError, match="target is missing"):
        Settings.load({})


NAMES = st.sampled_from([*REGISTER, "rate", "expires", "source", "x"])


@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(NAMES, junk("REGISTER", "::1", "sip.example.org"), max_size=4))
def test_junk_in_the_settings_gives_one_kind_of_error(values: dict[str, Any]) -> None:
    with suppress(SettingsError):
        assert Settings.load(values).count > 0


def test_records_survive_the_file_and_a_cut_off_end() -> None:
    first = Record(0, "OPTIONS", 100.0, 100.0, 100.25, 200, "h:1", "\u2028<b>", 1, 1)
    second, ping = Record(1, "OPTIONS", 99.0, error="no answer"), Ping(98.5, "h:2", "OPTIONS")
    lines = [to_line(first), to_line(second), to_line(ping), '{"kind": "summary"}', '{"kind": "req']
    assert from_lines(lines) == ([second, first], [ping])
    assert (first.latency, first.lag, first.good, second.latency, second.lag, second.good) == (0.25, 0.0, True, None, None, False)
    whole = to_line(first)
    wrong = [whole.replace(a, b) for a, b in (("100.25", "NaN"), ("100.25", "1e999"), ("200", '"200"'), ('"h:1"', "null"), ("200", "true"))]
    assert whole not in wrong
    for bad in (*wrong, "[1]", "{}", '{"kind": "request"}', '{"kind": "other"}', '{"kind": "request", "x": 1}', "{"):
        with pytest.raises(ValueError, match="line 1 is no record of the probe"):
            from_lines([bad, to_line(first)])
