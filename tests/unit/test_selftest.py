"""The self-test of a proxy, against one that works and ones that each fail in their own way."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.node import selftest
from ansible_collections.sipha.cluster.plugins.module_utils.node.message import Message
from selftest_proxy import Address, Server

STEPS = ["registered", "the call reaches the phone", "answered", "audio both ways", "ended"]
RIGHT = "right"
Starter = Callable[..., Server]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"T1": 0.05, "ANSWER": 0.3, "SAVED": 0.3, "HEARD": 0.3, "GIVEN_UP": 0.1}.items():
        monkeypatch.setattr(selftest, name, seconds)


@pytest.fixture
def start() -> Iterator[Starter]:
    made: list[Server] = []

    def one(**wrong: object) -> Server:
        made.append(Server(**wrong))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for server in made:
        server.close()


def run(server: Server, password: str = RIGHT, relayed: bool = True) -> dict[str, object]:
    return selftest.run("127.0.0.1", server.address, "sipha-selftest", "sip.example.org", password, relayed)


def done(result: dict[str, object]) -> list[str]:
    steps = result["steps"]
    assert isinstance(steps, list)
    return [step["step"] for step in steps]


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_a_proxy_that_works(start: Starter, algorithm: str) -> None:
    server = start(algorithm=algorithm, ping=True)
    result = run(server)
    assert result["failed"] == ""
    assert done(result) == STEPS
    assert re.fullmatch(r"selftest-[0-9a-f]{16}@127\.0\.0\.1", str(result["call_id"]))
    assert server.ended == [result["call_id"]]
    assert not server.bindings
    assert not server.refused, "refusals are acknowledged"
    assert not any(server.drop.values())


def test_without_a_relay_audio_is_not_asked_for(start: Starter) -> None:
    result = run(start(relay="none"), relayed=False)
    assert (result["failed"], done(result)) == ("", [step for step in STEPS if step != "audio both ways"])


@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "ACK", "BYE"])
def test_one_lost_packet_is_sent_again(start: Starter, method: str) -> None:
    server = start(drop=Counter({method: 1}))
    result = run(server)
    assert (result["failed"], done(result)) == ("", STEPS)
    assert server.drop[method] == 0


def test_the_call_with_credentials_is_sent_again_too(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start()
    challenge = server.challenge

    def lose_the_next(asked: Message, source: Address) -> None:
        challenge(asked, source)
        server.drop["INVITE"] = asked.method == "INVITE"

    monkeypatch.setattr(server, "challenge", lose_the_next)
    assert run(server)["failed"] == ""
    assert server.seen.count("INVITE") == 3


FAILURES: dict[str, tuple[dict[str, object], str, list[str]]] = {
    "no answer": ({"ignore": {"CHALLENGE"}}, "REGISTER is not answered within 0.3 s", []),
    "answers 500 to all": (
        {"refuse": {"CHALLENGE": (500, "Server Internal Error")}},
        "REGISTER without credentials is answered 500 Server Internal Error, not 401",
        [],
    ),
    "no challenge": ({"refuse": {"CHALLENGE": (200, "OK")}}, "REGISTER without credentials is answered 200 OK, not 401", []),
    "registration forbidden": ({"refuse": {"REGISTER": (403, "Forbidden")}}, "REGISTER with credentials is answered 403 Forbidden", []),
    "registration fails": ({"refuse": {"REGISTER": (500, "No database")}}, "REGISTER with credentials is answered 500 No database", []),
    "registration hangs": ({"ignore": {"REGISTER"}}, "REGISTER is not answered within 0.3 s", []),
    "binding not there": ({"shows_bindings": False}, "REGISTER is answered 200, and its bindings are: none", []),
    "call goes nowhere": ({"ignore": {"INVITE"}}, "the call does not reach the phone within 0.3 s", STEPS[:1]),
    "call refused": (
        {"refuse": {"INVITE": (404, "Not Found")}},
        "the call does not reach the phone within 0.3 s; the caller gets 404 Not Found",
        STEPS[:1],
    ),
    "answer spoilt": (
        {"answer": (488, "Not Acceptable Here")},
        "the call is answered by the phone, and the caller gets 488 Not Acceptable Here",
        STEPS[:2],
    ),
    "acknowledgement lost": ({"ignore": {"ACK"}}, "the ACK does not reach the phone within 0.3 s", STEPS[:2]),
    "no relay": ({"relay": "none"}, "the SDP names the phone's address behind the NAT: no media relay took the call", STEPS[:3]),
    "no address": ({"relay": "mute"}, "the SDP that the caller gets names no address for audio", STEPS[:3]),
    "caller deaf": (
        {"relay": "to the phone"},
        "no audio through the media relay within 0.3 s: the caller hears nothing",
        STEPS[:3],
    ),
    "phone deaf": ({"relay": "to the caller"}, "no audio through the media relay within 0.3 s: the callee hears nothing", STEPS[:3]),
    "both deaf": ({"relay": "broken"}, "no audio through the media relay within 0.3 s: the caller and callee hear nothing", STEPS[:3]),
    "hanging up goes nowhere": ({"ignore": {"BYE"}}, "the BYE does not reach the phone within 0.3 s", STEPS[:4]),
    "hanging up refused": (
        {"refuse": {"BYE": (481, "Call/Transaction Does Not Exist")}},
        "the BYE does not reach the phone within 0.3 s; the caller gets 481 Call/Transaction Does Not Exist",
        STEPS[:4],
    ),
    "hanging up spoilt": ({"end": (500, "Oops")}, "the phone answers the BYE, and the caller gets 500 Oops", STEPS[:4]),
    "binding stays": (
        {"refuse": {"UNREGISTER": (500, "Oops")}},
        "the phone's binding can't be taken back: REGISTER with credentials is answered 500 Oops",
        STEPS,
    ),
}


@pytest.mark.parametrize(("wrong", "said", "steps"), FAILURES.values(), ids=list(FAILURES))
def test_what_fails_is_said_and_nothing_stays(start: Starter, wrong: dict[str, object], said: str, steps: list[str]) -> None:
    server = start(**wrong)
    result = run(server)
    assert result["failed"] == said
    assert done(result) == steps
    assert bool(server.bindings) == ("UNREGISTER" in server.refuse)
    assert not server.refused, "refusals are acknowledged"
    if len(steps) >= 2 and not {"BYE"} & (server.ignore | set(server.refuse)) and server.answer[0] == 200:
        assert server.ended == [result["call_id"]], "a call that was up is hung up"


def test_a_wrong_password(start: Starter) -> None:
    server = start()
    result = run(server, password="wrong")
    assert (result["failed"], done(result)) == ("REGISTER with credentials is answered 401 Unauthorized", [])


def test_a_challenge_of_another_kind(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start()
    monkeypatch.setattr(
        server, "challenge", lambda asked, source: server.reply(asked, source, 401, "Unauthorized", ("www-authenticate", "Bearer x"))
    )
    assert run(server)["failed"] == (
        "REGISTER is answered 401 Unauthorized, which asks for credentials that no phone of this test has: Bearer x"
    )


def test_what_failed_first_is_said_when_the_engine_dies_meanwhile(start: Starter) -> None:
    server = start(ignore={"ACK", "UNREGISTER", "BYE"})
    assert run(server)["failed"] == "the ACK does not reach the phone within 0.3 s"
    assert server.seen[-1] == "REGISTER"
    assert list(server.bindings)


def test_a_binding_that_was_made_without_an_answer_is_taken_back(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start()
    register, reply = server.register, server.reply

    def answer_only_the_last(asked: Message, source: Address) -> None:
        server.reply = reply if asked.header("Expires") == "0" else lambda *_: None  # type: ignore[method-assign]
        register(asked, source)
        server.reply = reply  # type: ignore[method-assign]

    monkeypatch.setattr(server, "register", answer_only_the_last)
    result = run(server)
    assert result["failed"] == "REGISTER is not answered within 0.3 s"
    assert not server.bindings


def test_another_phones_binding_with_a_longer_port_is_not_ours(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start()

    def register(asked: Message, source: Address) -> None:
        contact = asked.header("Contact").strip("<>")
        server.reply(asked, source, 200, "OK", ("contact", f"<{contact}1>;expires=60"))

    monkeypatch.setattr(server, "register", register)
    assert "and its bindings are: <sip:sipha-selftest@10.255.255.1:" in str(run(server)["failed"])


def test_an_address_that_this_host_does_not_have() -> None:
    result = selftest.run("192.0.2.1", ("127.0.0.1", 9), "u", "d", "p", True)
    assert "192.0.2.1 to 127.0.0.1:9: " in str(result["failed"])
    assert done(result) == []


def test_nobody_listens() -> None:
    began = time.monotonic()
    assert selftest.run("127.0.0.1", ("127.0.0.1", 9), "u", "d", "p", True)["failed"] == "REGISTER is not answered within 0.3 s"
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(("password", "code"), [("right", 0), ("wrong", 1)])
def test_the_command(
    start: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], password: str, code: int
) -> None:
    server = start()
    config = tmp_path / "agent.json"
    config.write_text(
        json.dumps(
            {
                "core_address": "127.0.0.1",
                "sip_port": server.address[1],
                "public_interface": "lo",
                "vips": {},
                "gateway": "",
                "core_peers": [],
                "mi_socket": "",
            }
        )
    )
    words = f"sipha-selftest --config {config} --own 127.0.0.1 --vip 127.0.0.1 --user sipha-selftest --domain sip.example.org --relayed"
    monkeypatch.setattr(sys, "argv", words.split())
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{password}\n"))
    with pytest.raises(SystemExit) as stopped:
        selftest.main()
    assert stopped.value.code == code
    said = capsys.readouterr().out
    assert bool(json.loads(said)["failed"]) == bool(code)
    assert password not in said
