"""Caller and phone of a drill, with a small proxy between them that loses and refuses what a test wants."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.drill import gather
from ansible_collections.sipha.cluster.plugins.module_utils.drill.calls import Caller, Phone, Settings, run

CHALLENGE = 'WWW-Authenticate: Digest realm="d", nonce="n", qop="auth", algorithm=MD5\r\n'
Rows = list[dict[str, Any]]


def answer(request: str, status: str, more: str = "") -> str:
    wanted = ("Via:", "From:", "To:", "Call-ID:", "CSeq:")
    lines = [line for line in request.split("\r\n") if line.startswith(wanted)]
    return "\r\n".join([f"SIP/2.0 {status}", *lines, f"{more}Content-Length: 0", "", ""])


class Proxy:
    """Forwards between caller and phone; `lose` says what is dropped, `refuse` a status for an INVITE."""

    def __init__(self, lose: Callable[[str, int], bool], refuse: str = "") -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.05)
        self.port = int(self.socket.getsockname()[1])
        self.lose, self.refuse, self.running = lose, refuse, True
        self.sides: dict[str, int] = {}
        self.seen: dict[str, int] = {}

    def serve(self) -> None:
        while self.running:
            try:
                data, (_, port) = self.socket.recvfrom(65535)
            except TimeoutError:
                continue
            text = data.decode()
            first = text.split("\r\n")[0]
            if self.lose(first, self.seen.setdefault(first, 0)):
                self.seen[first] += 1
                continue
            self.seen[first] += 1
            if first.startswith("REGISTER"):
                good = 'response="' in text
                self.back(answer(text, "200 OK") if good else answer(text, "401 Unauthorized", CHALLENGE), port)
            elif first.startswith("INVITE") and self.refuse:
                self.back(answer(text, self.refuse), port)
            else:
                self.back(text, self.sides["phone" if port == self.sides["caller"] else "caller"])

    def back(self, text: str, port: int) -> None:
        self.socket.sendto(text.encode(), ("127.0.0.1", port))


def given(role: str, port: int, **more: Any) -> Settings:
    values = {"role": role, "address": "127.0.0.1", "port": 0, "server": "127.0.0.1", "server_port": port, "domain": "d", "user": role}
    return Settings.load({**values, "seconds": 60, "callee": "phone", "password": "p", "packets": 50, **more})


@contextmanager
def lab(
    lose: Callable[[str, int], bool] = lambda first, number: False, refuse: str = "", **caller: Any
) -> Iterator[tuple[Caller, Phone, Rows]]:
    rows: Rows = []
    proxy = Proxy(lose, refuse)
    phone = run(given("phone", proxy.port, users=["second"]), lambda text: rows.append(json.loads(text)))
    one = run(given("caller", proxy.port, **caller), lambda text: rows.append(json.loads(text)))
    assert isinstance(one, Caller)
    assert isinstance(phone, Phone)
    proxy.sides = {"caller": one.socket.getsockname()[1], "phone": phone.socket.getsockname()[1]}
    threads = [threading.Thread(target=what, daemon=True) for what in (proxy.serve, phone.run, one.run)]
    try:
        for thread in threads:
            thread.start()
        yield one, phone, rows
        one.stop()
        threads[2].join(10)
        phone.stop()
        threads[1].join(10)
        assert not any(thread.is_alive() for thread in threads[1:])
    finally:
        proxy.running = False
        threads[0].join(5)
        proxy.socket.close()


def until(what: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def judged(rows: Rows) -> dict[str, Any]:
    return gather.calls([json.dumps(row) for row in rows])


def kinds(rows: Rows, kind: str) -> Rows:
    return [row for row in rows if row["kind"] == kind]


def test_calls_are_held_others_come_and_go_and_all_are_heard() -> None:
    with lab(held=3, rate=10, talk=0.1) as (_, _, rows):
        until(lambda: len(kinds(rows, "up")) == 3 and len(kinds(rows, "call")) > 6)
    assert sorted((row["user"], row["code"]) for row in kinds(rows, "registered")) == [("phone", 200), ("second", 200)]
    found = judged(rows)
    assert (found["up"], found["ended"], found["silent"], found["failed"], found["results"]) == (3, 0, 0, 0, {})
    assert found["attempts"] == len([row for row in kinds(rows, "call") if row["role"] == "caller"]) - 3 > 3
    assert 0 < found["audio_gap"] < gather.SILENT
    assert len(found["good"]) == 3 + found["attempts"]


def test_datagrams_that_are_lost_once_cost_no_call() -> None:
    def lose(first: str, number: int) -> bool:
        return number == 0 and first.split()[0] in ("INVITE", "ACK", "BYE")

    with lab(lose, held=1) as (_, _, rows):
        until(lambda: len(kinds(rows, "up")) == 1)
        time.sleep(0.7)  # the answer is sent again until it is acknowledged
    found = judged(rows)
    assert (found["up"], found["ended"], found["silent"], len(found["good"])) == (1, 0, 0, 1)


def test_refused_calls_and_calls_that_the_other_side_ends() -> None:
    with lab(refuse="503 Service Unavailable", rate=20) as (_, _, rows):
        until(lambda: len(kinds(rows, "call")) >= 2)
    found = judged(rows)
    assert (found["up"], found["failed"]) == (0, found["attempts"])
    assert found["results"] == {"503": found["attempts"]}

    with lab(held=1) as (caller, phone, rows):
        until(lambda: len(kinds(rows, "up")) == 1)
        (leg,) = [leg for leg in caller.legs.values() if leg.call.held]
        bye = f"BYE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKx\r\nCall-ID: {leg.call.id}\r\nCSeq: 9 BYE\r\nTo: <sip:x>\r\n\r\n"
        phone.socket.sendto(bye.encode(), ("127.0.0.1", caller.socket.getsockname()[1]))
        until(lambda: leg.over)
    found = judged(rows)
    assert (found["up"], found["ended"], found["results"]) == (1, 1, {"the other side ended it": 1})


def test_audio_that_stops_for_good_is_silence() -> None:
    with lab(held=2) as (_, phone, rows):
        until(lambda: len(kinds(rows, "up")) == 2)
        time.sleep(0.3)
        first = next(leg for leg in phone.legs.values() if leg.call.held)
        first.peer = None  # says nothing more, and does not hang up
        time.sleep(gather.SILENT + 0.3)
    found = judged(rows)
    assert (found["up"], found["ended"], found["silent"]) == (2, 0, 1)
    assert found["audio_gap"] > gather.SILENT


def test_nobody_answers() -> None:
    with lab(lambda first, number: first.startswith("INVITE"), held=1, rate=0) as (caller, _, rows):
        until(lambda: any(leg.turn for leg in caller.legs.values()))
        (leg,) = caller.legs.values()
        leg.deadline = time.monotonic()
    found = judged(rows)
    assert (found["up"], found["attempts"], found["failed"], found["results"]) == (0, 1, 1, {"no answer to INVITE": 1})


def test_who_has_a_100_waits_and_is_cut_off_not_failed() -> None:
    with lab(refuse="100 Trying", held=1, rate=0) as (caller, _, rows):
        until(lambda: any(leg.waits == "INVITE" and not leg.packet for leg in caller.legs.values()))
        (leg,) = caller.legs.values()
        leg.deadline = time.monotonic()
    found = judged(rows)
    assert (found["attempts"], found["failed"], found["cut_off"]) == (1, 0, 1)
    assert found["results"] == {"no answer after its provisional one": 1}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"role": "both"}, "set it to caller or phone"),
        ({"rate": 1000}, "a rate up to 200"),
        ({"packets": 0}, "0.1 to 50 packets"),
        ({"colour": "red"}, "there is no setting 'colour'"),
        ({"server": "sip.example.org"}, "illegal IP address"),
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        given(wrong.pop("role", "caller"), 5060, **wrong)


def test_lines_that_are_no_calls() -> None:
    with pytest.raises(gather.GatherError, match="calls: line 1 is no call"):
        gather.calls(['{"kind": "call", "role": "caller"}'])
    assert gather.calls([])["audio_gap"] is None
