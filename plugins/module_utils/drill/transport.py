"""How requests leave and answers arrive: a UDP socket, or a TCP connection that is made anew whenever it breaks. Nothing here waits."""

from __future__ import annotations

import os
import selectors
import socket
from contextlib import suppress
from typing import Protocol

from .settings import Settings
from .wire import MAX_MESSAGE, Message, at, cut, parse

CONNECT_SECONDS = 1.0  # how long one attempt to connect may take
RETRY_SECONDS = 0.1  # between two attempts
MAX_BURST = 200  # datagrams taken in one go, so that a flood can't stop the schedule
BUFFER = 1 << 20


class TransportError(OSError):
    """The probe can't even start: no such source address, no route to the target."""


class Transport(Protocol):
    """`lives` changes whenever a connection breaks: what was sent in an earlier life is never answered."""

    reliable: bool
    lives: int
    why: str  # the connection broke for this reason

    def local(self) -> tuple[str, int]: ...
    def send(self, packet: bytes, now: float) -> str: ...
    def answer(self, packet: bytes, source: str, now: float) -> None: ...
    def receive(self, now: float) -> list[tuple[Message, str]]: ...
    def tick(self, now: float) -> float: ...
    def close(self) -> None: ...


def _family(settings: Settings) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in settings.target else socket.AF_INET


def own_address(settings: Settings) -> str:
    """The address that the kernel would send from."""
    if settings.source:
        return settings.source
    try:
        with socket.socket(_family(settings), socket.SOCK_DGRAM) as asking:
            asking.connect((settings.target, settings.port))
            return str(asking.getsockname()[0])
    except OSError as error:
        raise TransportError(f"no way to {settings.target}: {error.strerror or error}") from error


class Udp:
    reliable = False
    lives = 0
    why = ""

    def __init__(self, settings: Settings, selector: selectors.BaseSelector) -> None:
        self._target = (settings.target, settings.port)
        self._selector = selector
        self._address = own_address(settings)
        self._socket = socket.socket(_family(settings), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        try:
            self._socket.bind((settings.source, 0))  # not to the route's address: that may change while a link is down
        except OSError as error:
            self._socket.close()
            raise TransportError(f"can't send from {settings.source}: {error.strerror or error}") from error
        selector.register(self._socket, selectors.EVENT_READ)

    def local(self) -> tuple[str, int]:
        return self._address, self._socket.getsockname()[1]

    def send(self, packet: bytes, now: float) -> str:
        try:
            self._socket.sendto(packet, self._target)
        except OSError as error:
            return f"not sent: {error.strerror or error}"
        return ""

    def answer(self, packet: bytes, source: str, now: float) -> None:
        address, _, port = source.rpartition(":")
        with suppress(OSError):  # whoever asked asks again
            self._socket.sendto(packet, (address.strip("[]"), int(port)))

    def receive(self, now: float) -> list[tuple[Message, str]]:
        found = []
        for _ in range(MAX_BURST):
            try:
                data, sender = self._socket.recvfrom(MAX_MESSAGE)
            except BlockingIOError:
                break
            except OSError:  # an ICMP error of an earlier packet; the timer of that request tells
                continue
            if message := parse(data):
                found.append((message, at(str(sender[0]), int(sender[1]))))
        return found

    def tick(self, now: float) -> float:
        return float("inf")

    def close(self) -> None:
        self._selector.unregister(self._socket)
        self._socket.close()


class Tcp:
    reliable = True

    def __init__(self, settings: Settings, selector: selectors.BaseSelector) -> None:
        self.lives, self.why = 0, "not connected"
        self._settings, self._selector = settings, selector
        self._address = own_address(settings)
        self._socket: socket.socket | None = None
        self._up = False
        self._due = 0.0  # of the next attempt, or of the end of this one
        self._waiting_since: float | None = None  # for any answer on this connection
        self._in, self._out = bytearray(), bytearray()

    @property
    def connected(self) -> bool:
        return self._up

    def local(self) -> tuple[str, int]:
        return self._address, self._socket.getsockname()[1] if self._socket and self._up else 0

    def _start(self, now: float) -> None:
        self._socket = socket.socket(_family(self._settings), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._due = now + CONNECT_SECONDS
        try:
            if self._settings.source:
                self._socket.bind((self._settings.source, 0))
            self._socket.connect((self._settings.target, self._settings.port))
        except BlockingIOError:
            pass
        except OSError as error:
            self._drop(f"no connection: {error.strerror or error}", now, registered=False)
            return
        self._selector.register(self._socket, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _drop(self, why: str, now: float, registered: bool = True) -> None:
        if self._socket:
            if registered:
                self._selector.unregister(self._socket)
            self._socket.close()
        self._socket, self._up, self._waiting_since = None, False, None
        self._in.clear()
        self._out.clear()
        self.lives, self.why, self._due = self.lives + 1, why, now + RETRY_SECONDS

    def tick(self, now: float) -> float:
        """Connect, give up, connect again. Returns when it wants to be called next."""
        if self._up and self._waiting_since is not None and now - self._waiting_since >= self._settings.reconnect_after:
            self._drop(f"no answer on the connection for {self._settings.reconnect_after:g} s", now)
        elif self._socket and not self._up and now >= self._due:
            self._drop(f"no connection within {CONNECT_SECONDS:g} s", now)
        elif not self._socket and now >= self._due:
            self._start(now)
        if not self._up:
            return self._due
        return float("inf") if self._waiting_since is None else self._waiting_since + self._settings.reconnect_after

    def send(self, packet: bytes, now: float) -> str:
        if not self._up:
            return self.why
        self._out += packet
        if self._waiting_since is None:
            self._waiting_since = now
        self._flush(now)
        return "" if self._up else self.why

    def answer(self, packet: bytes, source: str, now: float) -> None:
        self.send(packet, now)

    def _flush(self, now: float) -> None:
        assert self._socket
        try:
            while self._out:
                del self._out[: self._socket.send(self._out)]
        except BlockingIOError:
            pass
        except OSError as error:
            self._drop(f"connection lost: {error.strerror or error}", now)
            return
        self._selector.modify(self._socket, selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out else 0))

    def receive(self, now: float) -> list[tuple[Message, str]]:
        if not self._socket:
            return []
        if not self._up:
            return self._connected(now)
        if self._out:
            self._flush(now)
        return self._read(now) if self._up else []

    def _connected(self, now: float) -> list[tuple[Message, str]]:
        assert self._socket
        if problem := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._drop(f"no connection: {os.strerror(problem)}", now)
            return []
        try:
            self._socket.getpeername()
        except OSError:
            return []  # not yet
        self._up = True
        self._selector.modify(self._socket, selectors.EVENT_READ)
        return []

    def _read(self, now: float) -> list[tuple[Message, str]]:
        assert self._socket
        try:
            data = self._socket.recv(BUFFER)
        except BlockingIOError:
            return []
        except OSError as error:
            self._drop(f"connection lost: {error.strerror or error}", now)
            return []
        if not data:
            self._drop("connection closed by the other side", now)
            return []
        self._waiting_since = None
        self._in += data
        messages = cut(self._in)
        if messages is None:
            self._drop("what came was no SIP", now)
            return []
        return [(message, at(self._settings.target, self._settings.port)) for message in messages]

    def close(self) -> None:
        if self._socket:
            self._drop("closed", 0.0)
