"""A small SIP server for the probe's tests. What it does wrong is chosen by the test."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

NAMES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


@dataclass
class Server:
    """`behave` gets the number of the packet (from 0), its text, and the seconds since the first one, and returns what to do:
    a status line, "" to say nothing, or a number of seconds to be frozen before it answers 200."""

    behave: Callable[[int, str, float], str | float] = lambda number, text, since: "200 OK"
    address: str = "127.0.0.1"
    tcp: bool = False
    algorithm: str = ""  # with one, REGISTER is challenged
    password: str = "secret"
    stale: int = 0  # so many right credentials are refused as stale first
    proxy: bool = False  # challenges as a proxy does, 407
    elsewhere: bool = False  # answer from another port
    headers: str = "Server: node-a\r\n"
    seen: list[str] = field(default_factory=list)
    expires: list[int] = field(default_factory=list)
    first: float = 0.0

    def __post_init__(self) -> None:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM if self.tcp else socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((self.address, 0))
        self.other = socket.socket(family, socket.SOCK_DGRAM)
        self.other.bind((self.address, 0))
        self.port = int(self.socket.getsockname()[1])
        self.running = True
        self.connections: list[socket.socket] = []

    def answers(self, text: str) -> str:
        """All that is sent back to one request."""
        self.first = self.first or time.monotonic()
        number = len(self.seen)
        self.seen.append(text)
        what = self.behave(number, text, time.monotonic() - self.first)
        if isinstance(what, float):
            time.sleep(what)
            what = "200 OK"
        if not what:
            return ""
        more = self.headers
        if what == "200 OK" and self.algorithm and text.startswith("REGISTER"):
            what, challenge = self.judge(text)
            more += challenge
        copied = [line for line in text.split("\r\n") if line.startswith(("Via:", "From:", "To:", "Call-ID:", "CSeq:"))]
        return f"SIP/2.0 {what}\r\n" + "".join(f"{line}\r\n" for line in copied) + more + "Content-Length: 0\r\n\r\n"

    def judge(self, text: str) -> tuple[str, str]:
        nonce = f"n{len(self.seen)}"
        refusal = "407 Proxy Authentication Required" if self.proxy else "401 Unauthorized"
        challenge = (
            f'{"Proxy" if self.proxy else "WWW"}-Authenticate: Digest realm="here", nonce="{nonce}", qop="auth", algorithm={self.algorithm}'
        )
        line = re.search(rf"\n{'Proxy-' if self.proxy else ''}Authorization: Digest (.*?)\r\n", text)
        if not line:
            return refusal, challenge + "\r\n"
        given = dict(re.findall(r'(\w+)="?([^",]*)"?', line.group(1)))

        def h(value: str) -> str:
            return NAMES[self.algorithm](value.encode()).hexdigest()

        ha1 = h(f"{given['username']}:here:{self.password}")
        want = h(f"{ha1}:{given['nonce']}:{given['nc']}:{given['cnonce']}:auth:{h('REGISTER:' + given['uri'])}")
        if want != given["response"]:
            return refusal, challenge + "\r\n"
        if self.stale:
            self.stale -= 1
            return refusal, challenge + ", stale=true\r\n"
        self.expires.append(int(re.findall(r"Expires: (\d+)", text)[0]))
        return "200 OK", ""

    def serve_udp(self) -> None:
        while self.running:
            try:
                data, sender = self.socket.recvfrom(65535)
            except OSError:
                return
            if not self.running:
                return
            if data.startswith(b"SIP/2.0"):
                self.seen.append(data.decode())
            elif answer := self.answers(data.decode()):
                (self.other if self.elsewhere else self.socket).sendto(answer.encode(), sender)

    def serve_tcp(self) -> None:
        self.socket.listen()
        while self.running:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.serve_connection, args=(connection,), daemon=True).start()

    def serve_connection(self, connection: socket.socket) -> None:
        kept = ""
        while self.running:
            try:
                data = connection.recv(65535)
                if not data:
                    return
                kept += data.decode()
                while "\r\n\r\n" in kept:
                    text, kept = kept.split("\r\n\r\n", 1)
                    answer = self.answers(text + "\r\n")
                    if answer == "" and self.behave(-1, "", 0) == "close":
                        connection.close()
                        return
                    connection.sendall(answer[:40].encode())
                    connection.sendall(answer[40:].encode())
            except OSError:
                return

    def close(self) -> None:
        self.running = False
        for one in (self.socket, self.other, *self.connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def serving(**settings: object) -> Iterator[Server]:
    server = Server(**settings)  # type: ignore[arg-type]
    threading.Thread(target=server.serve_tcp if server.tcp else server.serve_udp, daemon=True).start()
    try:
        yield server
    finally:
        server.close()
