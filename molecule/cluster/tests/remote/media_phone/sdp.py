"""Session descriptions with one audio stream: build them, take them apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

DIRECTIONS = {"sendrecv": (True, True), "sendonly": (True, False), "recvonly": (False, True), "inactive": (False, False)}


@dataclass(frozen=True)
class Session:
    """Where somebody wants to have audio, and which way it goes from where they are."""

    address: str
    port: int
    rtcp_address: str
    rtcp_port: int
    direction: str
    connections: tuple[str, ...]  # every c= address in the order of the body, also those that another one overrules

    @property
    def sends(self) -> bool:
        return DIRECTIONS[self.direction][0]

    @property
    def receives(self) -> bool:
        return self.reachable and DIRECTIONS[self.direction][1]

    @property
    def reachable(self) -> bool:
        """Port 0 refuses the stream, address 0.0.0.0 is the old way to put it on hold."""
        return self.address != "0.0.0.0" and self.port != 0


def parse(body: str) -> Session | None:
    """The audio stream of a body; what its own section says overrules what the session says. None when there is none."""
    common, *sections = re.split(r"^(?=m=)", body.replace("\r\n", "\n"), flags=re.MULTILINE)
    audio = next((section for section in sections if section.startswith("m=audio ")), None)
    if audio is None:
        return None

    def last(pattern: str, default: str) -> str:
        return next((found[-1] for part in (audio, common) if (found := re.findall(pattern, part, re.MULTILINE))), default)

    address, port = last(r"^c=IN IP4 (\S+)", "0.0.0.0"), int(audio.split()[1])
    rtcp_port, _, rtcp_address = last(r"^a=rtcp:(\d+(?: IN IP4 \S+)?)", str(port + 1)).partition(" IN IP4 ")
    return Session(
        address=address,
        port=port,
        rtcp_address=rtcp_address or address,
        rtcp_port=int(rtcp_port),
        direction=last(rf"^a=({'|'.join(DIRECTIONS)})\s*$", "sendrecv"),
        connections=tuple(re.findall(r"^c=IN IP4 (\S+)", body, re.MULTILINE)),
    )


def build(address: str, port: int, direction: str, session: int, version: int) -> str:
    lines = [
        "v=0",
        f"o=phone {session} {version} IN IP4 {address}",
        "s=-",
        f"c=IN IP4 {address}",
        "t=0 0",
        f"m=audio {port} RTP/AVP 8",
        "a=rtpmap:8 PCMA/8000",
        f"a={direction}",
    ]
    return "".join(f"{line}\r\n" for line in lines)


def answer(offered: str, wanted: str) -> str:
    """The direction to answer with: as wanted, as far as the offer allows (RFC 3264, 6.1)."""
    their_send, their_receive = DIRECTIONS[offered]
    send, receive = DIRECTIONS[wanted]
    ways = send and their_receive, receive and their_send
    return next(name for name, value in DIRECTIONS.items() if value == ways)
