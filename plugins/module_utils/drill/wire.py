"""SIP on the wire, as much as a probe needs: requests, messages that arrive, messages cut out of a TCP stream.

What arrives is anybody's: no input makes these functions raise, what is no SIP is None.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_MESSAGE = 65535
COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length", "k": "supported", "s": "subject"}
STATUS = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: |$)")
REQUEST = re.compile(r"([A-Z]{1,32}) \S+ SIP/2\.0$")
BRANCH = re.compile(r";[ \t]*branch[ \t]*=[ \t]*([^;,\s]+)", re.IGNORECASE)
LENGTH = re.compile(r"[0-9]{1,6}$")


@dataclass(frozen=True)
class Message:
    """A request or response; header names are in lower case and never compact."""

    start: str
    headers: tuple[tuple[str, str], ...]

    @property
    def status(self) -> int | None:
        """The code of a response, None for a request."""
        found = STATUS.match(self.start)
        return int(found.group(1)) if found else None

    @property
    def method(self) -> str:
        """The method of a request, empty for a response."""
        found = REQUEST.match(self.start)
        return found.group(1) if found else ""

    @property
    def branch(self) -> str:
        """Names the transaction: the branch of the topmost Via."""
        found = BRANCH.search(self.get("via"))
        return found.group(1) if found else ""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name.lower()]

    def get(self, name: str) -> str:
        """The first header of that name, empty without one."""
        return next(iter(self.all(name)), "")


def bracketed(address: str) -> str:
    """An address as it stands in a URI or Via."""
    return f"[{address}]" if ":" in address else address


def at(address: str, port: int) -> str:
    return f"{bracketed(address)}:{port}"


def request(method: str, uri: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"{method} {uri} SIP/2.0", *(f"{name}: {value}" for name, value in headers), "Content-Length: 0"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def reply(to: Message, status: str, tag: str) -> bytes:
    """An answer to a request that somebody sent to the probe."""
    lines = [f"SIP/2.0 {status}", *(f"Via: {value}" for value in to.all("via"))]
    for name in ("from", "to", "call-id", "cseq"):
        own_tag = f";tag={tag}" if name == "to" and ";tag=" not in to.get("to") else ""
        lines.append(f"{name.title()}: {to.get(name)}{own_tag}")
    return ("\r\n".join([*lines, "Content-Length: 0"]) + "\r\n\r\n").encode()


def _headers(lines: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in (" ", "\t") and found:  # folded
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
            continue
        name, colon, value = line.partition(":")
        if colon:
            key = name.strip().lower()
            found.append((COMPACT.get(key, key), value.strip()))
    return tuple(found)


def parse(data: bytes) -> Message | None:
    """One whole message, as a datagram has it; None when it is no SIP."""
    head = data.split(b"\r\n\r\n", 1)[0].decode("utf-8", "replace")
    start, *lines = head.split("\r\n")
    message = Message(start, _headers(lines))
    return message if message.status or message.method else None


def cut(stream: bytearray) -> list[Message] | None:
    """Take whole messages off the front of a TCP stream; None when it is none of SIP and the connection is no use any more."""
    found: list[Message] = []
    while True:
        while stream[:2] == b"\r\n":  # keep-alives
            del stream[:2]
        end = stream.find(b"\r\n\r\n")
        if end < 0:
            return None if len(stream) > MAX_MESSAGE else found
        message = parse(bytes(stream[:end]))
        if message is None:
            return None
        length = message.get("content-length") or "0"
        if not LENGTH.match(length):
            return None
        if len(stream) < end + 4 + int(length):
            return None if int(length) > MAX_MESSAGE else found
        del stream[: end + 4 + int(length)]
        found.append(message)
