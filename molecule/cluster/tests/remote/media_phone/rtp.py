"""RTP and RTCP packets (RFC 3550), and what can be said about those that arrive."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

PAYLOAD = bytes([0xD5]) * 160  # 20 ms of silence in G.711 A-law
PCMA = 8
SENDER_REPORT, RECEIVER_REPORT, DESCRIPTION = 200, 201, 202
NTP_EPOCH = 2208988800  # seconds from 1900 to 1970


@dataclass(frozen=True)
class Packet:
    """The header of a RTP packet."""

    sequence: int
    timestamp: int
    ssrc: int


def pack(packet: Packet) -> bytes:
    return struct.pack("!BBHII", 0x80, PCMA, packet.sequence & 0xFFFF, packet.timestamp & 0xFFFFFFFF, packet.ssrc) + PAYLOAD


def unpack(data: bytes) -> Packet | None:
    """None for what is not RTP."""
    if len(data) < 12 or data[0] >> 6 != 2 or is_rtcp(data):
        return None
    _, _, sequence, timestamp, ssrc = struct.unpack("!BBHII", data[:12])
    return Packet(sequence, timestamp, ssrc)


def is_rtcp(data: bytes) -> bool:
    return len(data) >= 8 and data[0] >> 6 == 2 and 200 <= data[1] <= 204


def report(packet: Packet, wall: float, packets: int, name: str) -> bytes:
    """A sender report, for the time of the next packet to send, with the description that must follow it."""
    seconds, fraction = int(wall) + NTP_EPOCH, int(wall % 1 * 2**32)
    sent = (packets & 0xFFFFFFFF, packets * len(PAYLOAD) & 0xFFFFFFFF)
    head = struct.pack("!BBHIIIIII", 0x80, SENDER_REPORT, 6, packet.ssrc, seconds, fraction, packet.timestamp & 0xFFFFFFFF, *sent)
    item = struct.pack("!IBB", packet.ssrc, 1, len(name)) + name.encode()
    item += bytes(4 - len(item) % 4)
    return head + struct.pack("!BBH", 0x81, DESCRIPTION, len(item) // 4) + item


def extend(sequence: int, highest: int) -> int:
    """A sequence number with its wraps counted: of all candidates the one that is nearest to the highest one so far."""
    return highest + ((sequence - highest + 0x8000) & 0xFFFF) - 0x8000


@dataclass
class Arrivals:
    """What arrives at one port: how much, from where, and the longest silence; in all, and since a mark."""

    packets: int = 0
    since_mark: int = 0
    gap: float = 0.0
    gap_since_mark: float = 0.0
    last: float | None = None
    heard: float | None = None  # the last packet or the mark, whichever is later
    sources: dict[str, int] = field(default_factory=dict)
    sources_since_mark: dict[str, int] = field(default_factory=dict)

    def add(self, source: str, now: float) -> None:
        self.gap = max(self.gap, now - self.last if self.last is not None else 0.0)
        self.gap_since_mark = self._silence(now)
        self.packets, self.since_mark, self.last, self.heard = self.packets + 1, self.since_mark + 1, now, now
        for counts in (self.sources, self.sources_since_mark):
            counts[source] = counts.get(source, 0) + 1

    def mark(self, now: float) -> None:
        self.since_mark, self.gap_since_mark, self.heard, self.sources_since_mark = 0, 0.0, now, {}

    def _silence(self, now: float) -> float:
        """The longest one since the mark: also the one before the first packet, and the one that goes on."""
        return max(self.gap_since_mark, now - self.heard if self.heard is not None else 0.0)

    def summary(self, now: float) -> dict[str, object]:
        return {
            "packets": self.packets,
            "since_mark": self.since_mark,
            "gap": self.gap,
            "gap_since_mark": self._silence(now),
            "sources": list(self.sources),
            "sources_since_mark": list(self.sources_since_mark),
        }


@dataclass
class Stream(Arrivals):
    """The same for RTP, where a packet counts once however often it arrives."""

    duplicates: int = 0
    seen: dict[int, set[int]] = field(default_factory=dict)
    highest: dict[int, int] = field(default_factory=dict)

    def receive(self, packet: Packet, source: str, now: float) -> None:
        number = extend(packet.sequence, self.highest.get(packet.ssrc, packet.sequence))
        numbers = self.seen.setdefault(packet.ssrc, set())
        if number in numbers:
            self.duplicates += 1
            return
        numbers.add(number)
        self.highest[packet.ssrc] = max(number, self.highest.get(packet.ssrc, number))
        self.add(source, now)

    def held(self, ssrc: int, first: int, end: int) -> int:
        """How many packets of a sender arrived, of those with numbers from first to before end."""
        return sum(first <= number < end for number in self.seen.get(ssrc, ()))

    def summary(self, now: float) -> dict[str, object]:
        return {**super().summary(now), "duplicates": self.duplicates}
