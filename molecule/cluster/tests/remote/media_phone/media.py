"""The audio of a phone: two ports, packets out by the clock, packets in by whoever sends them."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from . import rtp, sdp
from .clock import Timers

PERIOD, REPORT_PERIOD = 0.02, 1.0


def open_socket(address: str, port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.bind((address, port))
    return opened


def arrived(receiver: socket.socket) -> list[tuple[bytes, tuple[str, int]]]:
    """Everything that waits in a socket."""
    found = []
    while True:
        try:
            found.append(receiver.recvfrom(65535))
        except BlockingIOError:
            return found


@dataclass(frozen=True)
class Next:
    """The next packet to send, its number with wraps counted."""

    ssrc: int
    number: int
    timestamp: int

    @property
    def packet(self) -> rtp.Packet:
        return rtp.Packet(self.number, self.timestamp, self.ssrc)


class Media:
    """One stream each way. It flows while a call is up, the phone talks, and both sides' directions let it."""

    def __init__(self, address: str, port: int, timers: Timers) -> None:
        assert port % 2 == 0, "RTP has an even port, RTCP the odd one above"
        self.address, self.port, self.timers = address, port, timers
        self.rtp, self.rtcp = open_socket(address, port), open_socket(address, port + 1)
        self.received, self.reports = rtp.Stream(), rtp.Arrivals()
        # Starts low, so that the number wraps late: who hears the sender for the first time must not be a round behind.
        self.next = Next(secrets.randbits(32), secrets.randbelow(0x1000), secrets.randbits(31))
        self.sent = self.reports_sent = self.unsent = 0
        self.talks, self.up, self.holds = True, False, False
        self.remote: sdp.Session | None = None
        self.given: list[sdp.Session] = []
        self._session, self._version, self._local = secrets.randbelow(1 << 31), 0, "sendrecv"
        self._run = 0

    # What the signalling says
    @property
    def _wanted(self) -> str:
        return "sendonly" if self.holds else "sendrecv"

    def offer(self) -> str:
        return self._describe(self._wanted)

    def answer(self, offered: sdp.Session) -> str:
        return self._describe(sdp.answer(offered.direction, self._wanted))

    def _describe(self, direction: str) -> str:
        self._local, self._version = direction, self._version + 1
        return sdp.build(self.address, self.port, direction, self._session, self._version)

    def take(self, session: sdp.Session) -> None:
        """What the other side says; audio goes there from now on."""
        self.remote = session
        self.given.append(session)

    def start(self) -> None:
        """The call is up: from now on by the clock, however late the process is woken."""
        if self.up:
            return
        self.up, self._run = True, self._run + 1
        now, run = self.timers.now(), self._run
        self._tick(now, PERIOD, run, self._send)
        self._tick(now + PERIOD, REPORT_PERIOD, run, self._report)

    def stop(self) -> None:
        self.up, self.remote = False, None

    def _tick(self, when: float, period: float, run: int, action: Callable[[], None]) -> None:
        def due() -> None:
            if self.up and self._run == run:
                action()
                self._tick(when + period, period, run, action)

        self.timers.at(when, due)

    # Out
    def _send(self) -> None:
        remote = self.remote
        if self.talks and remote and remote.receives and sdp.DIRECTIONS[self._local][0]:
            self._put(self.rtp, rtp.pack(self.next.packet), (remote.address, remote.port))
            self.sent += 1
            self.next = Next(self.next.ssrc, self.next.number + 1, self.next.timestamp)
        # Time goes on also in silence.
        self.next = Next(self.next.ssrc, self.next.number, self.next.timestamp + len(rtp.PAYLOAD))

    def _report(self) -> None:
        remote = self.remote
        if self.talks and remote and remote.reachable:
            name = f"phone@{self.address}"
            self._put(self.rtcp, rtp.report(self.next.packet, time.time(), self.sent, name), (remote.rtcp_address, remote.rtcp_port))
            self.reports_sent += 1

    def _put(self, sender: socket.socket, data: bytes, target: tuple[str, int]) -> None:
        try:
            sender.sendto(data, target)
        except OSError:  # no way there at this moment: for the other side it is lost
            self.unsent += 1

    # In
    def receive(self) -> None:
        for data, (host, port) in arrived(self.rtp):
            packet = rtp.unpack(data)
            if packet:
                self.received.receive(packet, f"{host}:{port}", self.timers.now())
        for data, (host, port) in arrived(self.rtcp):
            if rtp.is_rtcp(data):
                self.reports.add(f"{host}:{port}", self.timers.now())

    def mark(self) -> None:
        now = self.timers.now()
        self.received.mark(now)
        self.reports.mark(now)

    def summary(self) -> dict[str, object]:
        now = self.timers.now()
        return {
            "sent": self.sent,
            "ssrc": self.next.ssrc,
            "next": self.next.number,
            "reports_sent": self.reports_sent,
            "unsent": self.unsent,
            "rtp": self.received.summary(now),
            "rtcp": self.reports.summary(now),
            "given": [
                {
                    "rtp": f"{session.address}:{session.port}",
                    "rtcp": f"{session.rtcp_address}:{session.rtcp_port}",
                    "direction": session.direction,
                    "connections": session.connections,
                }
                for session in self.given
            ],
        }
