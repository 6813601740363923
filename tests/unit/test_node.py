"""What runs on the proxies: verdicts, probes, the management interface."""

from __future__ import annotations

import json
import re
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import ClassVar

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.node import agent as agent_module
from ansible_collections.sipha.cluster.plugins.module_utils.node import health, media, mi, probes, sip
from ansible_collections.sipha.cluster.plugins.module_utils.node.agent import Agent, Settings, Track
from ansible_collections.sipha.cluster.plugins.module_utils.node.judge import Judge, Outstanding

ROOT = Path(__file__).resolve().parents[2]


def settings(tmp_path: Path, **changes: object) -> Settings:
    data: dict[str, object] = {
        "core_address": "127.0.0.1",
        "sip_port": 1,
        "public_interface": "lo",
        "vips": {"main": "198.18.10.10"},
        "gateway": "127.0.0.1",
        "core_peers": ["127.0.0.1"],
        "mi_socket": str(tmp_path / "mi"),
        "run_dir": str(tmp_path),
        "maintenance_file": str(tmp_path / "maintenance"),
    }
    return Settings(**{**data, **changes})  # type: ignore[arg-type]


def test_a_verdict_changes_only_after_enough_results_in_a_row() -> None:
    judge = Judge(fall=3, rise=2, up=True)
    assert [judge.add(good) for good in (False, False, True, False, False, False)] == [False] * 5 + [True]
    assert not judge.up
    assert [judge.add(good) for good in (True, False, True, True)] == [False, False, False, True]
    assert judge.up


def test_probes_time_out_one_by_one_and_answers_count_once() -> None:
    air = Outstanding(timeout=0.3)
    air.sent("a", 0.0)
    air.sent("b", 0.1)
    assert air.answered("a")
    assert not air.answered("a")
    assert air.expired(0.39) == 0
    assert air.expired(0.4) == 1
    assert not air.answered("b")


def test_a_track_file_says_bad_until_proven_good_and_keeps_its_verdict_over_a_restart(tmp_path: Path) -> None:
    (tmp_path / "track").mkdir()
    path = tmp_path / "track" / "sip"
    first = Track(settings(tmp_path), "sip", fall=2, rise=1)
    assert path.read_text() == "1\n"
    first.add(True)
    assert path.read_text() == "0\n"
    assert Track(settings(tmp_path), "sip", fall=2, rise=1).judge.up


def test_an_options_request_and_its_answer() -> None:
    request = sip.options("198.18.20.11", 5060, "198.18.20.11", 4000, "id-1@x")
    assert request.startswith(b"OPTIONS sip:198.18.20.11:5060 SIP/2.0\r\n")
    assert request.endswith(b"\r\n\r\n")
    answer = b"SIP/2.0 200 OK\r\nVia: x\r\ncall-id:  id-1@x \r\nContent-Length: 0\r\n\r\n"
    assert sip.parse_reply(answer) == (200, "id-1@x")
    assert sip.parse_reply(b"SIP/2.0 200 OK\r\ni: id-2\r\n\r\n") == (200, "id-2")
    assert sip.parse_reply(request) is None
    assert sip.parse_reply(b"") is None


def test_echo_requests_have_a_right_checksum_and_replies_are_recognised() -> None:
    packet = probes.echo_request(0x1234, 7)
    assert probes.checksum(packet) == 0
    header = bytes([0x45]) + bytes(19)
    assert probes.echo_reply(header + struct.pack("!BBHHH", 0, 0, 0, 0x1234, 7)) == (0x1234, 7)
    assert probes.echo_reply(header + packet) is None
    assert probes.echo_reply(b"short") is None


@pytest.fixture
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """A TCP server that says the first line it is given to every client."""
    say: list[bytes] = [b""]
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.sendall(say[0])

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], say


@pytest.mark.parametrize(
    ("greeting", "good"),
    [(b"\x4a\0\0\0\x0a11.4", True), (b"", False), (b"\x10\0\0\0\xff\x15\x04", False), (b"HTTP/1.1", False)],
)
def test_only_a_database_greets(listener: tuple[int, list[bytes]], greeting: bytes, good: bool) -> None:
    port, say = listener
    say[0] = greeting
    assert probes.database_greets("127.0.0.1", port, 1.0) is good


def test_nobody_listens_is_no_database() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert probes.database_greets("127.0.0.1", port, 0.5) is False


def test_an_address_counts_on_its_interface_only() -> None:
    assert probes.carries("lo", "127.0.0.1")
    assert not probes.carries("lo", "198.18.10.10")
    assert not probes.carries("no-such-interface", "127.0.0.1")


class Engine:
    """A management socket that answers like OpenSIPS."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.answers: dict[str, object] = {}
        self.asked: list[tuple[str, object]] = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            data, sender = self.socket.recvfrom(65535)
            request = json.loads(data)
            self.asked.append((request["method"], request.get("params")))
            answer = self.answers.get(request["method"], {"error": {"code": -32601, "message": "Method not found"}})
            self.socket.sendto(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer}).encode(), sender)  # type: ignore[dict-item]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "mi")


def shtags(state: str) -> dict[str, object]:
    """Of the tag that is asked about; one more is always active elsewhere."""
    return {"result": [{"Tag": "other", "Cluster": 1, "State": "backup"}, {"Tag": "main", "Cluster": 1, "State": state}]}


def test_mi_returns_results_and_raises_errors(engine: Engine, tmp_path: Path) -> None:
    engine.answers["uptime"] = {"result": {"Now": "x"}}
    assert mi.call(str(tmp_path / "mi"), "uptime", directory=str(tmp_path)) == {"Now": "x"}
    with pytest.raises(mi.MiError, match="Method not found"):
        mi.call(str(tmp_path / "mi"), "nope", directory=str(tmp_path))
    with pytest.raises(mi.MiError, match="no answer"):
        mi.call(str(tmp_path / "absent"), "uptime", directory=str(tmp_path))
    assert [p.name for p in tmp_path.glob("mi-*")] == []


def test_an_undeclared_tag_is_an_error() -> None:
    with pytest.raises(mi.MiError, match="not declared"):
        mi.tag_state([{"Tag": "other", "Cluster": 1, "State": "active"}], "main", 1)


@pytest.mark.parametrize(("vip", "state", "calls"), [("127.0.0.1", "backup", 1), ("127.0.0.1", "active", 0), ("198.18.10.10", "backup", 0)])
def test_the_tag_is_claimed_exactly_where_the_vip_is(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vip: str, state: str, calls: int
) -> None:
    monkeypatch.setattr(Agent, "__post_init__", lambda self: None)
    engine.answers = {"clusterer_list_shtags": shtags(state), "clusterer_shtag_set_active": {"result": "OK"}}
    Agent(settings(tmp_path)).claim_tag("main", vip)
    assert [params for method, params in engine.asked if method == "clusterer_shtag_set_active"] == [["main/1"]] * calls


def test_the_script_is_told_that_a_vip_is_away_again_and_again_and_that_it_is_here_once(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that has started anew takes every VIP for here; an agent that has, does not know what the engine was told before."""
    monkeypatch.setattr(Agent, "__post_init__", lambda self: None)
    agent = Agent(settings(tmp_path))
    engine.answers = {"clusterer_list_shtags": shtags("active")}
    agent.claim_tag("main", "127.0.0.1")  # the engine does not answer yet
    engine.answers["shv_set"] = {"result": "OK"}
    for vip in ("127.0.0.1", "127.0.0.1", "198.18.10.10", "198.18.10.10", "127.0.0.1", "127.0.0.1"):
        agent.claim_tag("main", vip)
    told = [params for method, params in engine.asked if method == "shv_set"]
    assert [params["value"] for params in told] == [0, 0, 1, 1, 0]  # type: ignore[index,call-overload]
    assert {(params["name"], params["type"]) for params in told} == {("away_main", "int")}  # type: ignore[index,call-overload]


@pytest.mark.parametrize(
    ("vip", "state", "problem"),
    [
        ("127.0.0.1", "active", ""),
        ("198.18.10.10", "backup", ""),
        ("127.0.0.1", "backup", "holds the VIP 127.0.0.1, but the sharing tag main is backup"),
        ("198.18.10.10", "active", "does not hold the VIP 198.18.10.10, but the sharing tag main is active"),
    ],
)
def test_health_compares_tag_and_vip(engine: Engine, tmp_path: Path, vip: str, state: str, problem: str) -> None:
    engine.answers = {"clusterer_list_shtags": shtags(state)}
    assert health.check_tag(settings(tmp_path, vips={"other": "198.18.10.20", "main": vip})) == problem


def test_what_is_in_the_air(engine: Engine, tmp_path: Path) -> None:
    engine.answers = {"get_statistics": {"result": {"dialog:early_dialogs": 0, "tm:inuse_transactions": 0}}}
    assert health.check_air(settings(tmp_path)) == ""
    engine.answers = {"get_statistics": {"result": {"dialog:early_dialogs": 2, "tm:inuse_transactions": 3}}}
    assert health.check_air(settings(tmp_path)) == "2 early dialogs, 3 inuse transactions"
    engine.answers = {}
    assert health.check_air(settings(tmp_path)).startswith("management interface: ")


def test_health_says_what_does_not_answer(tmp_path: Path) -> None:
    assert "is not answered" in health.check_sip(settings(tmp_path))
    assert "management interface" in health.check_mi(settings(tmp_path))


def peer(state: str) -> dict[str, object]:
    return {"result": {"Clusters": [{"cluster_id": 1, "Nodes": [{"node_id": 2, "link_state": state}]}]}}


@pytest.mark.parametrize(
    ("state", "problem"), [("Up", ""), ("Probe", "no replication with node 2 (Probe)"), ("Down", "no replication with node 2 (Down)")]
)
def test_health_sees_peers(engine: Engine, tmp_path: Path, state: str, problem: str) -> None:
    engine.answers = {"clusterer_list": peer(state)}
    assert health.check_peers(settings(tmp_path)) == problem


def test_a_stuck_link_is_freed_after_its_patience_and_a_dead_peer_is_left_alone(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Agent, "__post_init__", lambda self: None)
    agent = Agent(settings(tmp_path))
    engine.answers = {"clusterer_list": peer("Probe"), "clusterer_set_status": {"result": "OK"}}

    def freed() -> list[object]:
        return [params for method, params in engine.asked if method == "clusterer_set_status"]

    agent.watch_links(100.0)
    agent.watch_links(104.9)
    assert freed() == []
    agent.watch_links(105.0)
    assert freed() == [{"cluster_id": 1, "status": 0}, {"cluster_id": 1, "status": 1}]
    engine.answers["clusterer_list"] = peer("Down")
    for now in (200.0, 210.0, 220.0):
        agent.watch_links(now)
    assert len(freed()) == 2


SOCKETS = """\
ESTAB 0 0 198.18.20.11:25060 198.18.20.12:56498
ESTAB 0 312 198.18.20.11:40521 198.18.20.12:5566 timer:(on,1.536sec,3)
ESTAB 0 312 198.18.20.11:5566 198.18.20.12:59243 timer:(on,120sec,9)
ESTAB 0 312 198.18.20.11:40522 198.18.20.12:5566 timer:(on,720ms,2)
ESTAB 0 0 198.18.20.11:40523 198.18.20.12:5566 timer:(keepalive,12sec,0)
ESTAB 0 312 198.18.20.11:40524 198.18.20.21:5566 timer:(on,3.072sec,4)
SYN-SENT 0 1 198.18.20.11:40526 198.18.20.12:5566 timer:(on,3.072sec,4)
SYN-SENT 0 1 198.18.20.11:40527 198.18.20.12:5566 timer:(on,520ms,0)
SYN-SENT 0 1 198.18.20.11:40528 198.18.20.13:5566 timer:(on,520ms,0)
ESTAB 0 312 198.18.20.11:40529 198.18.20.12:5566 timer:(on,100ms,0)
ESTAB 0 312 198.18.20.11:40525 198.18.20.12:3307 timer:(on,3.072sec,4)
"""


def test_a_replication_connection_that_a_partition_has_stalled_is_dropped_and_no_other(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Agent, "__post_init__", lambda self: None)
    agent = Agent(settings(tmp_path, proxies=["198.18.20.12", "198.18.20.13"]))
    ran: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, 0, SOCKETS, "")

    monkeypatch.setattr(probes.subprocess, "run", run)
    engine.answers = {"clusterer_list": peer("Up")}  # as it says while it has calls to tell about
    agent.watch_links(100.0)
    assert [command[-3::2] for command in ran if "-K" in command] == [
        ["198.18.20.11:40521", "198.18.20.12:5566"],
        ["198.18.20.11:5566", "198.18.20.12:59243"],
    ]
    assert capsys.readouterr().out.count("dropped a replication connection to 198.18.20.12") == 2
    ran.clear()
    agent.back = ["198.18.20.12"]
    agent.watch_links(101.0)  # it has come back: whatever waits for its answer waits in vain
    assert [command[-3] for command in ran if "-K" in command] == [
        "198.18.20.11:40521",
        "198.18.20.11:5566",
        "198.18.20.11:40522",
        "198.18.20.11:40526",
        "198.18.20.11:40527",
    ]
    ran.clear()
    agent.watch_links(102.0)
    assert len([command for command in ran if "-K" in command]) == 2


@pytest.mark.parametrize(("answers", "times"), [("1111", 0), ("1011", 0), ("1001", 1), ("10001001", 2)])
def test_another_proxy_is_back_when_it_answers_after_two_pings_that_it_did_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: str, times: int
) -> None:
    monkeypatch.setattr(Agent, "__post_init__", lambda self: None)
    agent = Agent(settings(tmp_path, proxies=["198.18.20.12"], core_peers=["198.18.20.12", "198.18.20.21"]))
    (tmp_path / "track").mkdir()
    agent.tracks = {name: Track(agent.settings, name, 1, 1) for name in ("gateway", "core", "maintenance")}
    for answer in answers:
        agent.judge_networks({"198.18.20.21"} | ({"198.18.20.12"} if answer == "1" else set()))
    assert (agent.back, agent.vip_changed.is_set()) == (["198.18.20.12"] * times, bool(times))


@pytest.mark.parametrize(("listens", "up"), [(False, False), (True, True)])
def test_an_engine_that_is_gone_is_known_without_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listens: bool, up: bool) -> None:
    """Nobody listens: the host says so at once, and no time-out is waited for."""
    monkeypatch.setattr(Agent, "__post_init__", lambda self: None)
    engine = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    engine.bind(("127.0.0.1", 0))
    here = settings(tmp_path, sip_port=engine.getsockname()[1], sip_timeout=60.0)
    if not listens:
        engine.close()
    (tmp_path / "track").mkdir()
    (tmp_path / "track/sip").write_text("0\n")
    agent = Agent(here)
    agent.tracks["sip"] = Track(here, "sip", 3, 20)
    agent.open_sip()
    for _ in range(4):
        agent.send_sip(0.0)
        agent.receive_sip()
    assert agent.tracks["sip"].judge.up is up
    assert agent.sip_air.expired(59.0) == 0
    agent.sip_socket.close()
    engine.close()


def test_calls_of_a_peer_that_was_out_of_reach_are_asked_for_when_it_has_been_back_for_a_while(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at once: a peer that was killed has nothing yet. And never for a VIP that is here, whose calls are known best here."""
    monkeypatch.setattr(Agent, "__post_init__", lambda self: None)
    monkeypatch.setattr(probes, "carries", lambda interface, vip: vip == "198.18.10.11")
    agent = Agent(settings(tmp_path, vips={"main": "198.18.10.10", "second": "198.18.10.11"}))
    engine.answers = {"clusterer_list": peer("Up"), "dlg_cluster_sync": {"result": "OK"}}

    def asked() -> list[object]:
        return [params for method, params in engine.asked if method == "dlg_cluster_sync"]

    agent.watch_links(100.0)
    agent.watch_links(130.0)
    assert asked() == []
    engine.answers["clusterer_list"] = peer("Down")
    agent.watch_links(140.0)
    engine.answers["clusterer_list"] = peer("Up")
    agent.watch_links(150.0)
    agent.watch_links(160.0)
    engine.answers["clusterer_list"] = peer("Down")  # a moment is enough to begin anew
    agent.watch_links(161.0)
    engine.answers["clusterer_list"] = peer("Up")
    agent.watch_links(162.0)
    agent.watch_links(176.9)
    assert asked() == []
    agent.watch_links(177.0)
    agent.watch_links(178.0)
    assert asked() == [{"sharing_tag": "main"}]


def test_a_tag_is_said_again_while_a_link_is_in_trouble_and_no_longer(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Agent, "__post_init__", lambda self: None)
    agent = Agent(settings(tmp_path, vips={"main": "127.0.0.1"}))
    now, stalled = 1000.0, [""]
    monkeypatch.setattr(agent_module.time, "monotonic", lambda: now)
    monkeypatch.setattr(agent_module.probes, "drop_stalled", lambda *_: [peer for peer in stalled if peer])
    engine.answers = {"clusterer_list_shtags": shtags("active"), "clusterer_shtag_set_active": {"result": "OK"}}

    def said(state: str, at: float, dropped: str = "") -> int:
        nonlocal now
        now, stalled[0], engine.answers["clusterer_list"] = at, dropped, peer(state)
        before = len([1 for method, _ in engine.asked if method == "clusterer_shtag_set_active"])
        agent.watch_links(now)
        agent.claim_tag("main", "127.0.0.1")
        return len([1 for method, _ in engine.asked if method == "clusterer_shtag_set_active"]) - before

    assert [said("Up", 1000.0), said("Up", 1014.9), said("Up", 1015.0), said("Up", 1100.0)] == [1, 1, 0, 0]  # links that are new
    assert [said("Up", 1200.0, "198.18.20.12"), said("Up", 1214.9), said("Up", 1215.0)] == [
        1,
        1,
        0,
    ]  # dropped, and the engine has not noticed
    assert [said("Down", 1300.0), said("Down", 1320.0), said("Down", 1330.0, "198.18.20.12")] == [0, 0, 0]  # a peer that is dead
    assert [said("Up", 1400.0), said("Up", 1414.0), said("Up", 1416.0)] == [1, 1, 0]
    assert capsys.readouterr().out.count("saying again which tags are here") == 3


def test_a_tag_without_its_vip_is_asked_to_be_claimed_anew_when_a_peer_is_there(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Agent, "__post_init__", lambda self: None)
    agent = Agent(settings(tmp_path))  # 198.18.10.10 is not on lo
    now = 1000.0
    monkeypatch.setattr(agent_module.time, "monotonic", lambda: now)
    engine.answers = {"clusterer_shtag_set_active": {"result": "OK"}}

    def asked(tag: str, at: float) -> bool:
        nonlocal now
        now, engine.answers["clusterer_list_shtags"] = at, shtags(tag)
        before = len([1 for method, _ in engine.asked if method == "clusterer_shtag_set_active"])
        agent.claim_tag("main", "198.18.10.10")
        return len([1 for method, _ in engine.asked if method == "clusterer_shtag_set_active"]) > before

    assert [asked("active", at) for at in (1000.0, 1002.0)] == [False, False]  # nobody is linked who could claim it
    agent.linked = {2}
    assert [asked("active", at) for at in (1010.0, 1010.9, 1011.0, 1011.5)] == [False, False, True, False]
    assert [asked("backup", 1020.0), asked("active", 1020.5), asked("active", 1021.0)] == [False, False, False]
    assert capsys.readouterr().out.count("has the sharing tag main/1 without its VIP: asking for it to be claimed anew") == 1


class Watched:
    """Stands for media.Watch: says what it is told to, and who asked for what."""

    problems: ClassVar[list[str]] = []
    made: ClassVar[list[Watched]] = []
    waits: ClassVar[list[float]] = []
    without_dispatcher: ClassVar[bool] = False

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)

    def __init__(self, *arguments: object) -> None:
        self.arguments, self.closed = arguments, False
        self.made.append(self)

    def look(self) -> str:
        return self.problems.pop(0)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    Watched.problems, Watched.made, Watched.waits, Watched.without_dispatcher = [], [], [], False
    monkeypatch.setattr(media, "Watch", Watched)
    return Watched


@pytest.fixture
def bare_agent(monkeypatch: pytest.MonkeyPatch) -> type[Agent]:
    """An agent without the sockets that only root may open."""

    class Nothing:
        def __init__(self, *_: object) -> None: ...
        def bind(self, _: object) -> None: ...
        def connect(self, _: object) -> None: ...

    monkeypatch.setattr(agent_module.socket, "socket", Nothing)
    monkeypatch.setattr(agent_module.probes, "address_events", Nothing)
    return Agent


ALWAYS = ["core", "db", "gateway", "maintenance", "sip"]


@pytest.mark.parametrize(
    ("kind", "tracks"), [("none", ALWAYS), ("mediaproxy", sorted([*ALWAYS, "media"])), ("rtpengine", sorted([*ALWAYS, "media"]))]
)
def test_media_is_tracked_where_the_cluster_has_relays(tmp_path: Path, bare_agent: type[Agent], kind: str, tracks: list[str]) -> None:
    agent = bare_agent(settings(tmp_path, media_kind=kind))
    assert sorted(agent.tracks) == tracks
    assert sorted(path.name for path in (tmp_path / "track").iterdir()) == tracks


def test_media_falls_and_rises_by_what_the_watch_says(
    tmp_path: Path, bare_agent: type[Agent], watched: type[Watched], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = {"ca": "ca.pem", "certificate": "manager.crt", "key": "manager.key"}
    agent = bare_agent(
        settings(tmp_path, media_kind="mediaproxy", media_relays=["198.18.20.31"], media_identity=identity, media_fall=3, media_rise=2)
    )
    verdicts = []

    def turn(_: float) -> None:
        verdicts.append((tmp_path / "track" / "media").read_text())
        agent.running = bool(watched.problems)

    monkeypatch.setattr(watched, "wait", staticmethod(turn))
    watched.problems += ["", "", "none left", "none left", "", "none left", "none left", "none left", "", ""]
    agent.watch_media()
    assert verdicts == [f"{bad}\n" for bad in (1, 0, 0, 0, 0, 0, 0, 1, 1, 0)]
    assert [watch.arguments for watch in watched.made] == [("mediaproxy", "127.0.0.1", 25061, ["198.18.20.31"], identity, 3.0)]
    said = capsys.readouterr().out.splitlines()
    assert said == ["media is up", *["media: none left"] * 5, "media is DOWN", "media is up"]


def test_a_dispatcher_that_went_away_is_asked_again_at_once_until_media_is_down(
    tmp_path: Path, bare_agent: type[Agent], watched: type[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = bare_agent(settings(tmp_path, media_kind="mediaproxy", media_fall=2, media_rise=1))
    waits = []

    def turn(seconds: float) -> None:
        waits.append(round(seconds, 1))
        watched.without_dispatcher = watched.problems[:1] == ["refused"]  # what the next look will have found
        agent.running = bool(watched.problems)

    monkeypatch.setattr(watched, "wait", staticmethod(turn))
    watched.problems += ["", "refused", "refused", "refused", "", "none left", "none left"]
    resigned: list[str] = []
    monkeypatch.setattr(agent, "resign", resigned.append)
    agent.watch_media()
    assert waits == [0.5, 0.1, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert resigned == ["the media dispatcher is gone"]  # and not for relays that are gone, which are so for all proxies


def test_health_has_no_question_about_media_where_there_is_none(tmp_path: Path, watched: type[Watched]) -> None:
    assert health.check_media(settings(tmp_path)) == ""
    assert watched.made == []


@pytest.mark.parametrize("problem", ["", "dispatcher 127.0.0.1:25061 has no active relay"])
def test_health_says_what_the_watch_says_and_closes_it(tmp_path: Path, watched: type[Watched], problem: str) -> None:
    watched.problems.append(problem)
    assert health.check_media(settings(tmp_path, media_kind="rtpengine", media_port=2223, media_relays=["198.18.20.31"])) == problem
    (watch,) = watched.made
    assert watch.arguments == ("rtpengine", "127.0.0.1", 2223, ["198.18.20.31"], {})
    assert watch.closed


def test_media_is_part_of_being_able_to_serve() -> None:
    assert health.CAN_SERVE.split(",") == ["sip", "mi", "db", "tag", "media"]
    assert set(health.CAN_SERVE.split(",")) < set(health.CHECKS)


def test_the_settings_that_the_role_renders_are_those_of_the_agent() -> None:
    """A key that Settings does not know would keep the agent from starting."""
    template = (ROOT / "roles/proxy_agent/templates/agent.json.j2").read_text()
    rendered = set(re.findall(r"^  '(\w+)':", template, re.MULTILINE))
    assert {"media_kind", "media_port", "media_relays", "media_identity", "media_interval", "media_fall", "media_rise"} <= rendered
    assert rendered <= {field.name for field in fields(Settings)}


@pytest.mark.parametrize(("wait", "code", "says"), [("5", 0, "mi: ok"), ("0", 1, "mi: not yet")])
def test_health_waits_until_all_is_well_if_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wait: str, code: int, says: str
) -> None:
    said = ["not yet", "not yet", ""]
    monkeypatch.setitem(health.CHECKS, "mi", lambda _: said.pop(0))
    monkeypatch.setattr(health.Settings, "load", lambda _: settings(tmp_path))
    monkeypatch.setattr(health.time, "sleep", lambda _: None)
    monkeypatch.setattr("sys.argv", ["sipha-health", "--only", "mi", "--wait", wait])
    with pytest.raises(SystemExit) as end:
        health.main()
    assert (end.value.code, capsys.readouterr().out.strip()) == (code, says)
