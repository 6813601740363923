"""Media control as a proxy sees it: Mediaproxy's dispatcher (management, lines of JSON over TLS) and RTPEngine (ng protocol, UDP)."""

from __future__ import annotations

import contextlib
import json
import secrets
import select
import socket
import ssl
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

LINE_LIMIT = 16 << 20


class MediaError(Exception):
    """A dispatcher or relay did not answer, or said something that is not its protocol."""


@dataclass(frozen=True)
class Identity:
    """Files with which we prove who we are to a dispatcher, and know it."""

    ca: str
    certificate: str
    key: str

    def context(self) -> ssl.SSLContext:
        # The certificates carry roles ("dispatcher.sip1"), and the CA signs for nothing else: the name of the peer says nothing more.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.ca)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Dispatcher:
    """A connection to one dispatcher's management interface."""

    def __init__(self, address: str, port: int, identity: Identity, timeout: float = 3.0) -> None:
        self.where = f"dispatcher {address}:{port}"
        try:
            context = identity.context()
            self._connection = context.wrap_socket(socket.create_connection((address, port), timeout))
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; ValueError: a key that does not fit
            raise MediaError(f"{self.where}: {error}") from error
        self._rest = b""

    def __enter__(self) -> Dispatcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the polite way: the daemon logs a warning for every other
            self._connection.sendall(b"quit\r\n")
        self._connection.close()

    def is_gone(self, seconds: float = 0) -> bool:
        """Wait so long, and no longer than until it is. Nothing is owed to us, so what there is to read is the end of the connection."""
        return bool(select.select([self._connection], [], [], seconds)[0])

    def ask(self, command: str) -> str:
        """One command, its one line of answer."""
        try:
            self._connection.sendall(command.encode() + b"\r\n")
            while b"\r\n" not in self._rest:
                more = self._connection.recv(65536)
                if not more:
                    raise MediaError(f"{self.where}: closed the connection (is our certificate the one it wants?)")
                self._rest += more
                if len(self._rest) > LINE_LIMIT:
                    raise MediaError(f"{self.where}: an answer of more than {LINE_LIMIT} bytes")
        except OSError as error:
            raise MediaError(f"{self.where}: {command}: {error}") from error
        line, _, self._rest = self._rest.partition(b"\r\n")
        if line == b"error":
            raise MediaError(f"{self.where}: {command}: error")
        return line.decode("utf-8", "replace")

    def relays(self) -> list[Relay]:
        return parse_summary(self.ask("summary"), self.where)

    def sessions(self) -> list[dict[str, Any]]:
        return _json_list(self.ask("sessions"), self.where)

    def version(self) -> str:
        return self.ask("version")


@dataclass(frozen=True)
class Relay:
    """A relay as one dispatcher sees it. Status: active (takes calls), halting (drains), error (does not answer)."""

    ip: str
    status: str
    version: str = ""
    uptime: int = 0
    sessions: int = 0


def _json_list(text: str, where: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise MediaError(f"{where}: not JSON: {text[:200]!r}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MediaError(f"{where}: not a list of objects: {text[:200]!r}")
    return rows


def parse_summary(text: str, where: str = "dispatcher") -> list[Relay]:
    """What `summary` says, sorted by address."""
    relays = []
    for row in _json_list(text, where):
        try:
            uptime, sessions = int(row.get("uptime", 0)), int(row.get("session_count", 0))
            relays.append(Relay(str(row["ip"]), str(row["status"]), str(row.get("version", "")), uptime, sessions))
        except (KeyError, TypeError, ValueError) as error:
            raise MediaError(f"{where}: not a relay: {row!r}") from error
    return sorted(relays, key=lambda relay: relay.ip)


def name_of(relay: Relay, known: Mapping[str, Collection[str]]) -> str:
    """Whose relay it is: it calls itself by the address of its media, and its dispatcher calls a silent one by that of its connection."""
    return next((name for name, addresses in known.items() if relay.ip in addresses), "")


def differences(seen: Iterable[Relay], known: Mapping[str, Collection[str]], expected: Iterable[str] | None = None) -> list[str]:
    """How a dispatcher's view differs from the topology: one sentence for each relay that is not as it should be.

    `known` has the addresses of every relay by its name. With `expected` only those names are judged, else all, and strangers as well.
    """
    rows = list(seen)
    status = {name_of(relay, known): relay.status for relay in rows}
    names = sorted(known if expected is None else expected)
    found = [f"relay {name} is {status.get(name, 'not connected')}" for name in names if status.get(name) != "active"]
    if expected is not None:
        return found
    # One that was taken out of the group goes on, halting, until its last call has ended.
    strangers = [relay for relay in rows if not name_of(relay, known) and relay.status != "halting"]
    return found + [f"relay {relay.ip} is connected, but not in the group relays" for relay in strangers]


def spare(views: Iterable[Iterable[Relay]], without: Collection[str]) -> int:
    """How many relays take calls when one (by its addresses) does not: the fewest that any dispatcher has."""
    return min((sum(relay.status == "active" and relay.ip not in without for relay in view) for view in views), default=0)


def silent_streams(sessions: Iterable[dict[str, Any]], after: int = 10) -> list[str]:
    """Call-IDs of sessions whose media flows (status active) but is counted as nothing after so many seconds: the relay's kernel does
    not track connections, and would cut each of these calls after some 70 s."""
    return sorted(
        str(session.get("call_id"))
        for session in sessions
        if int(session.get("duration", 0)) >= after
        and any(
            stream.get("status") == "active" and not int(stream.get("caller_bytes", 0)) and not int(stream.get("callee_bytes", 0))
            for stream in session.get("streams", [])
        )
    )


def answering_rtpengines(addresses: Iterable[str], port: int, timeout: float = 1.0) -> set[str]:
    """Which RTPEngines answer a `ping` of the ng protocol, all asked at once."""
    wanted = set(addresses)
    answered: set[str] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        cookie = secrets.token_hex(6).encode()
        for address in wanted:
            try:
                client.sendto(cookie + b" d7:command4:pinge", (address, port))
            except OSError:
                continue
        end = time.monotonic() + timeout
        while wanted - answered and (left := end - time.monotonic()) > 0:
            if not select.select([client], [], [], left)[0]:
                break
            try:
                answer, (source, _) = client.recvfrom(65535)
            except OSError:  # an ICMP refusal of one of them
                continue
            if source in wanted and answer.startswith(cookie + b" ") and b"4:pong" in answer:
                answered.add(source)
    return answered


def used_rtpengines(shown: Any) -> set[str]:
    """Sockets of the relays that OpenSIPS uses in every set, from what its `rtpengine_show` returns."""
    state: dict[str, bool] = {}
    for rtpengines in shown if isinstance(shown, list) else []:
        for node in rtpengines.get("Nodes", []):
            url = str(node.get("url"))
            state[url] = state.get(url, True) and not int(node.get("disabled", 0))
    return {url for url, good in state.items() if good}


class Watch:
    """Asks again and again whether there is a relay for this proxy's calls.

    Keeps its connection to the dispatcher, so that the dispatcher's death is seen at once; the relays are asked about every `interval`
    seconds only, since the dispatcher logs each question.
    """

    def __init__(self, kind: str, address: str, port: int, relays: Iterable[str], identity: dict[str, str], interval: float = 0) -> None:
        self.kind, self.address, self.port, self.relays, self.interval = kind, address, port, list(relays), interval
        self.identity = Identity(**identity) if identity else None
        self._dispatcher: Dispatcher | None = None
        self._next = 0.0
        self._problem = ""

    def look(self) -> str:
        """What is wrong; empty when there is a relay."""
        if self.kind == "rtpengine":
            return "" if answering_rtpengines(self.relays, self.port) else f"no RTPEngine answers of {', '.join(self.relays)}"
        try:
            if self._dispatcher is not None and self._dispatcher.is_gone():
                raise MediaError(f"{self._dispatcher.where}: closed the connection")
            if self._dispatcher is None or time.monotonic() >= self._next:
                self._problem = self._ask()
                self._next = time.monotonic() + self.interval
        except MediaError as error:
            self.close()
            return str(error)
        return self._problem

    def wait(self, seconds: float) -> None:
        """Until it is time to look again: earlier when the dispatcher goes away meanwhile."""
        if self._dispatcher is None:
            time.sleep(seconds)
        else:
            self._dispatcher.is_gone(seconds)

    @property
    def without_dispatcher(self) -> bool:
        """There is a dispatcher to ask, and it is not connected to."""
        return self.kind == "mediaproxy" and self._dispatcher is None

    def _ask(self) -> str:
        if self._dispatcher is None:
            if self.identity is None:
                raise MediaError("no certificate to ask the dispatcher with")
            self._dispatcher = Dispatcher(self.address, self.port, self.identity)
        if any(relay.status == "active" for relay in self._dispatcher.relays()):
            return ""
        return f"dispatcher {self.address}:{self.port} has no active relay"

    def close(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.close()
            self._dispatcher = None
