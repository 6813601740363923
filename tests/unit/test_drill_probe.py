"""The probe against a small server that behaves and misbehaves."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.drill import cli
from ansible_collections.sipha.cluster.plugins.module_utils.drill import probe as probe_module
from ansible_collections.sipha.cluster.plugins.module_utils.drill.probe import Probe
from ansible_collections.sipha.cluster.plugins.module_utils.drill.record import Ping, Record, from_lines
from ansible_collections.sipha.cluster.plugins.module_utils.drill.settings import Settings
from ansible_collections.sipha.cluster.plugins.module_utils.drill.summary import summarise
from ansible_collections.sipha.cluster.plugins.module_utils.drill.transport import TransportError
from sip_server import Server, serving

LOST = {"retransmit": False, "timeout": 0.3}
ACCOUNT = {"method": "REGISTER", "user": "drill", "domain": "sip.example.org", "password": "secret"}


def ask(server: Server, **settings: object) -> tuple[list[Record], Probe]:
    values = {"target": server.address, "port": server.port, "rate": 50, "seconds": 1, "transport": "tcp" if server.tcp else "udp"}
    items: list[Record | Ping] = []
    probe = Probe(Settings.load({**values, **settings}), items.append)
    probe.run()
    return sorted((one for one in items if isinstance(one, Record)), key=lambda record: record.number), probe


def mute(start: float, end: float) -> object:
    return lambda number, text, since: "" if start <= since < end else "200 OK"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("tcp", [False, True])
def test_each_request_is_a_record_with_who_answered(address: str, tcp: bool) -> None:
    with serving(address=address, tcp=tcp) as server:
        records, _ = ask(server, seconds=0.5)
    assert [record.number for record in records] == list(range(25))
    assert {(r.code, r.who, r.transmissions, r.rounds, r.error) for r in records} == {(200, "node-a", 1, 1, "")}
    assert {record.source for record in records} == {f"[::1]:{server.port}" if address == "::1" else f"127.0.0.1:{server.port}"}
    steps = [round(b.scheduled - a.scheduled, 3) for a, b in pairwise(records)]
    assert set(steps) == {0.02}
    assert all(r.sent is not None and r.answered is not None and r.scheduled <= r.sent <= r.answered for r in records)
    assert abs(records[0].scheduled - time.time()) < 5
    result = summarise(records, max_lag=1.0)
    assert (result.sent, result.good, result.outage, result.windows, result.problem) == (25, 25, 0.0, [], "")


def test_a_pause_of_the_server_is_an_outage_of_that_length() -> None:
    with serving(behave=mute(0.4, 0.8)) as server:
        records, _ = ask(server, seconds=1.2, **LOST)
    result = summarise(records)
    assert 0.36 <= result.outage <= 0.6
    assert 0.36 <= result.silence <= 0.6
    assert 16 <= result.lost <= 24
    assert result.errors == {"no answer": result.lost}
    assert max(result.windows, key=lambda window: window["seconds"])["closed"]


def test_what_is_sent_again_is_not_lost_and_still_late() -> None:
    with serving(behave=mute(0.4, 0.8)) as server:
        records, _ = ask(server, seconds=1.2, t1=0.5, timeout=4.0)
    result = summarise(records)
    assert (result.lost, result.good) == (0, 60)
    assert result.repeated == sum(record.transmissions == 2 for record in records) >= 16
    assert 0.36 <= result.outage <= 0.6


def test_the_schedule_goes_on_while_the_server_is_frozen() -> None:
    """A frozen server answers everything when it wakes up: nothing is lost, and requests left on time all the while."""
    with serving(behave=lambda number, text, since: 0.4 if number == 20 else "200 OK") as server:
        records, _ = ask(server, seconds=1.0, timeout=3.0)
    result = summarise(records)
    assert (result.good, result.lost) == (50, 0)
    assert max(record.lag or 0 for record in records) < 0.2
    assert 0.36 <= result.silence <= 0.6
    assert result.latency["max"] >= 0.36


def test_503_is_an_answer_but_not_a_good_one() -> None:
    with serving(behave=lambda number, text, since: "503 Service Unavailable" if 10 <= number < 20 else "200 OK") as server:
        records, _ = ask(server, seconds=0.8)
    result = summarise(records)
    assert (result.answered, result.good, result.refused, result.lost) == (40, 30, 10, 0)
    assert result.codes == {"200": 30, "503": 10}
    assert result.outage == pytest.approx(0.22, abs=0.005)
    assert len(server.seen) == 40  # a final answer ends the retransmissions


def test_timers_of_rfc_3261() -> None:
    """Timer E doubles up to T2, timer F ends it; a provisional answer slows it to T2."""
    at: list[float] = []

    def note(number: int, text: str, since: float) -> str:
        at.append(since)
        return ""

    with serving(behave=note) as server:
        records, _ = ask(server, rate=1, seconds=1, t1=0.05, t2=0.2, timeout=0.75)
    gaps = [b - a for a, b in pairwise(at)]
    assert all(want - 0.02 <= gap <= want + 0.12 for want, gap in zip([0.05, 0.1, 0.2, 0.2], gaps, strict=True)), gaps
    assert (records[0].transmissions, records[0].code, records[0].error) == (5, None, "no answer")
    with serving(behave=lambda number, text, since: "100 Trying") as server:
        records, _ = ask(server, rate=1, seconds=1, t1=0.05, t2=0.4, timeout=0.4)
    assert (records[0].transmissions, records[0].code) == (2, None)


@pytest.mark.parametrize(("algorithm", "proxy"), [("MD5", False), ("MD5", True), ("SHA-256", False)])
def test_register_answers_the_challenge(algorithm: str, proxy: bool) -> None:
    with serving(algorithm=algorithm, proxy=proxy) as server:
        records, probe = ask(server, seconds=0.2, expires=77, **ACCOUNT)
    assert {(r.code, r.rounds, r.transmissions, r.error) for r in records} == {(200, 2, 2, "")}
    assert server.expires == [77] * 10 + [0]
    assert probe.unregistered is True
    assert "Contact: <sip:drill@127.0.0.1:" in server.seen[0]
    assert server.seen[0].startswith("REGISTER sip:sip.example.org SIP/2.0\r\n")


def test_users_take_turns_and_each_is_taken_away_at_the_end() -> None:
    with serving(algorithm="MD5") as server:
        records, probe = ask(server, rate=20, seconds=0.25, **ACCOUNT, users=3)
        assert [record.code for record in records] == [200] * 5
    assert probe.unregistered is True
    named = [text for text in server.seen if "username=" in text]
    assert [text.partition('username="')[2].partition('"')[0] for text in named if "Expires: 0" not in text] == [
        f"drill-{number}" for number in (0, 1, 2, 0, 1)
    ]
    assert sorted(text.partition("To: <sip:")[2].partition("@")[0] for text in named if "Expires: 0" in text) == [
        "drill-0",
        "drill-1",
        "drill-2",
    ]


def test_register_over_tcp_with_a_hash_instead_of_the_password() -> None:
    ha1 = hashlib.md5(b"drill:here:secret", usedforsecurity=False).hexdigest()
    with serving(algorithm="MD5", tcp=True) as server:
        records, _ = ask(server, seconds=0.2, **{**ACCOUNT, "password": "", "ha1": ha1})
    assert {(r.code, r.rounds) for r in records} == {(200, 2)}
    assert ";transport=tcp>" in server.seen[0]


def test_a_stale_nonce_is_no_wrong_password() -> None:
    with serving(algorithm="MD5", stale=1) as server:
        records, _ = ask(server, rate=10, seconds=0.2, **ACCOUNT)
    assert [(r.code, r.rounds) for r in records] == [(200, 3), (200, 2)]
    with serving(algorithm="MD5", stale=9) as server:
        records, _ = ask(server, rate=10, seconds=0.1, unregister=False, **ACCOUNT)
    assert [(r.code, r.rounds, r.error) for r in records] == [(401, 3, "nonce refused as stale again and again")]


def test_a_wrong_password_ends_at_once() -> None:
    with serving(algorithm="SHA-256") as server:
        records, probe = ask(server, rate=10, seconds=0.1, **{**ACCOUNT, "password": "wrong"})
    assert [(r.code, r.rounds, r.error) for r in records] == [(401, 2, "credentials refused")]
    assert probe.unregistered is False
    with serving(algorithm="MD5") as server:
        records, _ = ask(server, rate=10, seconds=0.1, unregister=False, **{**ACCOUNT, "password": "", "ha1": "a" * 64})
    assert [(r.code, r.error) for r in records] == [(401, "none of 1 challenges can be answered with an HA1 of SHA-256")]


def test_an_answer_from_the_wrong_socket_does_not_count() -> None:
    with serving(elsewhere=True) as server:
        records, _ = ask(server, seconds=0.1, **LOST)
        assert {record.code for record in records} == {None}
        assert "answer came from 127.0.0.1:" in records[0].error
        records, _ = ask(server, seconds=0.1, any_source=True, **LOST)
    assert {record.code for record in records} == {200}


def test_tcp_connects_again_after_the_connection_was_closed() -> None:
    def close_once(number: int, text: str, since: float) -> str:
        return "close" if number == -1 else "" if number == 10 else "200 OK"

    with serving(tcp=True, behave=close_once) as server:
        records, _ = ask(server, seconds=1.0)
        accepted = len(server.connections)
    result = summarise(records)
    assert accepted == 2
    assert result.good >= 40
    assert {record.error for record in records if record.code is None} <= {"connection closed by the other side"}
    assert 0.1 <= result.outage <= 0.3


def test_tcp_gives_up_a_connection_that_is_silent() -> None:
    with serving(tcp=True, behave=mute(0.2, 0.5)) as server:
        records, _ = ask(server, seconds=1.2, reconnect_after=0.2)
        accepted = len(server.connections)
    assert accepted >= 2
    assert "no answer on the connection for 0.2 s" in summarise(records).errors
    assert records[-1].code == 200


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        records, _ = ask(Server(tcp=False), port=port, transport="tcp", seconds=0.2)
        assert {(r.code, r.transmissions, r.error) for r in records} == {(None, 0, "no connection: Connection refused")}
        records, _ = ask(Server(), port=port, seconds=0.2, **LOST)
    result = summarise(records)
    assert (result.lost, result.outage, result.windows[0]["closed"]) == (10, pytest.approx(0.18), False)


def test_a_probe_that_is_late_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its host was busy for 0.3 s: that is no outage of the cluster, and no request is left out."""
    real = probe_module.Probe._arrived
    stalled: list[float] = []

    def stall(self: Probe, message: object, source: str) -> None:
        if not stalled:
            stalled.append(1)
            time.sleep(0.3)
        real(self, message, source)  # type: ignore[arg-type]

    monkeypatch.setattr(probe_module.Probe, "_arrived", stall)
    with serving() as server:
        records, _ = ask(server, seconds=0.6)
    result = summarise(records)
    assert len(records) == 30
    assert not result.kept_schedule
    assert "could not keep its schedule" in result.problem
    assert result.lag["max"] >= 0.25


def test_pings_are_answered_and_told() -> None:
    items: list[Record | Ping] = []
    with serving() as server:
        probe = Probe(Settings.load({"target": "127.0.0.1", "port": server.port, "rate": 10, "seconds": 0.5}), items.append)
        port = probe._transport.local()[1]
        via = f"v: SIP/2.0/UDP 127.0.0.1:{server.port};branch=z9hG4bKq"
        text = f"OPTIONS sip:x SIP/2.0\r\n{via}\r\ni: 1\r\nf: <sip:a>;tag=1\r\nt: <sip:b>\r\nCSeq: 1 OPTIONS\r\n\r\n"
        junk = (b"", b"\xff" * 40, b"SIP/2.0 200", b"SIP/2.0 200 OK\r\n\r\n", b"\r\n\r\n")
        threading.Timer(0.2, lambda: [server.socket.sendto(one, ("127.0.0.1", port)) for one in (*junk, text.encode())]).start()
        probe.run()
        answers = [one for one in server.seen if one.startswith("SIP/2.0")]
    assert [(one.source, one.method) for one in items if isinstance(one, Ping)] == [(f"127.0.0.1:{server.port}", "OPTIONS")]
    assert len(answers) == 1
    assert answers[0].startswith("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1")
    assert "To: <sip:b>;tag=" in answers[0]


def test_no_way_to_the_target() -> None:
    with pytest.raises(TransportError, match=r"no way to 192\.0\.2\.1|can't send from 192\.0\.2\.77"):
        Probe(Settings.load({"target": "192.0.2.1", "source": "192.0.2.77"}), lambda item: None)


def test_the_bundle_runs_without_ansible(tmp_path: Path) -> None:
    """One file, started by a python3 that sees nothing else; a signal ends its schedule."""
    bundle = tmp_path / "sipha-drill.pyz"
    assert cli.main(["--bundle", str(bundle)]) == 0
    with serving(algorithm="MD5") as server:
        settings = {"target": "127.0.0.1", "port": server.port, "seconds": 60, **ACCOUNT}
        running = subprocess.Popen(
            [sys.executable, "-I", "-S", str(bundle), "probe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
        )
        assert running.stdin
        assert running.stdout
        running.stdin.write(json.dumps(settings))
        running.stdin.close()
        first = running.stdout.readline()
        running.terminate()
        lines = [first, *running.stdout]
        assert running.wait(10) == 0
    records, _ = from_lines(lines)
    last = json.loads(lines[-1])
    assert len(records) == last["sent"] >= 1
    assert (last["kind"], last["good"], last["unregistered"]) == ("summary", len(records), True)
    for bad, code, say in (("[]", 2, "no JSON object"), ('{"target": "x"}', 2, "target is 'x'"), ("{", 2, "")):
        done = subprocess.run([sys.executable, "-I", "-S", str(bundle), "probe"], input=bad, capture_output=True, text=True, check=False)
        assert done.returncode == code
        assert say in done.stderr
        assert "Traceback" not in done.stderr
