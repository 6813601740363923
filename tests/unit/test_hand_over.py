"""A proxy whose engine ends hands its VIPs over: in good order, or because it has died."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.node import hand_over, health, step_aside
from ansible_collections.sipha.cluster.plugins.module_utils.node.agent import Agent
from test_node import bare_agent, settings  # noqa: F401 (a fixture)


class Neighbour:
    """Another proxy's engine, which answers OPTIONS with this, or not at all."""

    def __init__(self, status: str) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.2", 0))
        self.port, self.status = int(self.socket.getsockname()[1]), status
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                data, source = self.socket.recvfrom(65535)
            except OSError:
                return
            if self.status:
                self.socket.sendto(data.replace(data.split(b"\r\n")[0], f"SIP/2.0 {self.status}".encode(), 1), source)


@pytest.mark.parametrize(
    ("status", "leaves", "said"),
    [
        ("200 OK", 3, "the VIPs have gone after 2.00 s"),
        ("200 OK", 0, "no VIP is here"),
        ("200 OK", 99, "a VIP is still here after 3 s"),
        ("503 Service Unavailable", 3, "no other proxy answers"),
        ("", 3, "no other proxy answers"),
    ],
)
def test_a_killed_engine_starts_when_the_vip_has_gone_to_a_proxy_that_serves(tmp_path: Path, status: str, leaves: int, said: str) -> None:
    neighbour = Neighbour(status)
    here = settings(tmp_path, sip_port=neighbour.port, proxies=["127.0.0.2"])
    asked, clock = [], [0.0]

    def held(vip: str) -> bool:
        asked.append(vip)
        return len(asked) <= leaves

    try:
        assert step_aside.wait(here, held, step_aside.Clock(lambda: clock[0], lambda _: clock.__setitem__(0, clock[0] + 1.0))) == said
    finally:
        neighbour.socket.close()


@pytest.mark.parametrize(
    ("status", "air", "said", "announced"),
    [
        ("200 OK", ["3 early dialogs", "1 early dialogs", ""], "the VIPs have gone after 1.00 s", True),
        ("200 OK", ["3 early dialogs"] * 9, "the VIPs have gone after 1.00 s; 3 early dialogs after 5 s more", True),
        ("503 Service Unavailable", [], "no other proxy answers", False),
        ("", [], "no other proxy answers", False),
    ],
)
def test_before_an_orderly_stop_the_vip_goes_and_calls_in_the_air_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, air: list[str], said: str, announced: bool
) -> None:
    neighbour = Neighbour(status)
    here = settings(tmp_path, sip_port=neighbour.port, proxies=["127.0.0.2"])
    clock = [0.0]
    monkeypatch.setattr(health, "check_air", lambda _: air.pop(0))
    stopping = Path(here.run_dir) / "stopping"

    def held(_: str) -> bool:
        return clock[0] < 1.0 or not stopping.exists()

    try:
        assert step_aside.leave(here, held, step_aside.Clock(lambda: clock[0], lambda _: clock.__setitem__(0, clock[0] + 1.0))) == said
    finally:
        neighbour.socket.close()
    assert stopping.exists() is announced


def folded(data: bytes) -> int:
    """The sum of a packet with its checksum, which is all ones when it is right (RFC 1071)."""
    total = sum(data[n] << 8 | data[n + 1] for n in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_a_resignation_is_an_advertisement_of_priority_0() -> None:
    packet = hand_over.resignation(51, "198.18.10.10", 0.15, "198.18.10.11", "198.18.10.12")
    assert struct.unpack("!BBBBH", packet[:6]) == (0x31, 51, 0, 1, 15)
    assert packet[8:] == socket.inet_aton("198.18.10.10")
    pseudo = socket.inet_aton("198.18.10.11") + socket.inet_aton("198.18.10.12") + struct.pack("!BBH", 0, 112, len(packet))
    assert folded(pseudo + packet) == 0xFFFF
    assert hand_over.resignation(51, "198.18.10.10", 40.0, "198.18.10.11", "198.18.10.12")[4:6] == b"\x0f\xa0"


class Raw:
    """The raw socket that only root may open."""

    sent: list[tuple[bytes, str]]
    made: list[tuple[object, ...]]

    def __init__(self, *how: object) -> None:
        self.made.append(how)

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None: ...

    def setsockopt(self, *what: object) -> None:
        assert what == (socket.IPPROTO_IP, socket.IP_TTL, 255)

    def bind(self, where: tuple[str, int]) -> None:
        assert where == ("198.18.10.11", 0)

    def sendto(self, packet: bytes, where: tuple[str, int]) -> None:
        self.sent.append((packet, where[0]))


@pytest.mark.parametrize(
    ("serves", "held", "peers", "said", "told"),
    [
        (True, ["198.18.10.10"], 2, "the others are told to take main", [(51, "198.18.10.12"), (51, "198.18.10.13")]),
        (
            True,
            ["198.18.10.10", "198.18.10.20"],
            1,
            "the others are told to take main, second",
            [(51, "198.18.10.12"), (52, "198.18.10.12")],
        ),
        (True, [], 2, "", []),
        (True, ["198.18.10.10"], 0, "", []),
        (False, ["198.18.10.10"], 2, "no other proxy answers, so the VIPs stay until VRRP moves them", []),
    ],
)
def test_the_others_are_told_to_take_what_is_held_when_one_of_them_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serves: bool, held: list[str], peers: int, said: str, told: list[tuple[int, str]]
) -> None:
    Raw.sent, Raw.made = [], []
    monkeypatch.setattr(hand_over.socket, "socket", Raw)
    monkeypatch.setattr(hand_over, "peer_serves", lambda _: serves)
    here = settings(
        tmp_path,
        vips={"main": "198.18.10.10", "second": "198.18.10.20"},
        router_ids={"main": 51, "second": 52},
        public_address="198.18.10.11",
        vrrp_peers=["198.18.10.12", "198.18.10.13"][:peers],
    )
    assert hand_over.resign(here, lambda vip: vip in held) == said
    assert [(packet[1], where) for packet, where in Raw.sent] == told
    assert Raw.made == ([(socket.AF_INET, socket.SOCK_RAW, 112)] if told else [])


def test_it_is_done_once_for_each_death_of_the_engine(
    tmp_path: Path,
    bare_agent: type[Agent],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    agent = bare_agent(settings(tmp_path, sip_fall=2, sip_rise=1))
    done = threading.Semaphore(0)

    def resign(*_: object) -> str:
        done.release()
        return "the others are told to take main"

    monkeypatch.setattr(hand_over, "resign", resign)
    watcher = threading.Thread(target=agent.watch_engine)
    watcher.start()
    try:
        for good in (True, False, False, False, False):
            agent.tracks["sip"].add(good)
        assert done.acquire(timeout=5)
        assert not done.acquire(timeout=0.2)
        for good in (True, False, False):
            agent.tracks["sip"].add(good)
        assert done.acquire(timeout=5)
    finally:
        agent.running = False
        watcher.join(5)
    assert capsys.readouterr().out.count("the engine is down: the others are told to take main") == 2


def test_a_resignation_that_fails_ends_no_thread(
    tmp_path: Path,
    bare_agent: type[Agent],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    agent = bare_agent(settings(tmp_path))

    def unreachable(*_: object) -> str:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(hand_over, "resign", unreachable)
    agent.resign("the engine is down")
    assert capsys.readouterr().out == "the engine is down: the others can't be told: [Errno 101] Network is unreachable\n"
