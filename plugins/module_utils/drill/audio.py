"""Listens to the audio of calls without taking part: when the last packet of RTP came for each local port. Linux, root."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

ETH_P_IP = 0x0800
UDP = 17
RTP_VERSION = 2


@dataclass(frozen=True)
class Settings:
    """Own address (IPv4), and the ports from `first` to `last` that calls use."""

    address: str
    first: int
    last: int
    seconds: float = 60.0

    @classmethod
    def load(cls, given: dict[str, Any]) -> Settings:
        known = {one.name for one in fields(cls)}
        if unknown := sorted(set(given) - known):
            raise ValueError(f"there is no setting {unknown[0]!r}; there are {', '.join(sorted(known))}")
        settings = cls(**given)
        socket.inet_aton(settings.address)
        if not 0 < settings.first <= settings.last < 65536 or not 0 < settings.seconds <= 86400:
            raise ValueError("audio needs ports first to last (1 to 65535), and seconds up to 86400")
        return settings


def port_of(packet: bytes, address: bytes) -> int:
    """Of an IPv4 packet with RTP to this address: its destination port; else 0."""
    if len(packet) < 20 or packet[9] != UDP or packet[16:20] != address:
        return 0
    header = (packet[0] & 15) * 4
    if len(packet) < header + 20 or packet[header + 8] >> 6 != RTP_VERSION:
        return 0
    (port,) = struct.unpack_from("!H", packet, header + 2)
    return int(port) if port % 2 == 0 else 0  # odd ports are RTCP's


def run(settings: Settings, write: Callable[[str], object], stopped: Callable[[], bool]) -> None:
    """At the end a line of JSON per port: {"port": 20000, "first": 1795602499.1, "last": 1795602510.7, "packets": 581}."""
    address, end = socket.inet_aton(settings.address), time.monotonic() + settings.seconds
    seen: dict[int, list[float]] = {}
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP)) as link:
        link.settimeout(0.2)
        while not stopped() and time.monotonic() < end:
            try:
                packet, (_, _, kind, *_) = link.recvfrom(64)
            except OSError:
                continue
            if kind == socket.PACKET_OUTGOING:
                continue
            port = port_of(packet, address)
            if settings.first <= port <= settings.last:
                now = time.time()
                row = seen.setdefault(port, [now, now, 0])
                row[1], row[2] = now, row[2] + 1
    for port, (first, last, packets) in sorted(seen.items()):
        write(json.dumps({"port": port, "first": round(first, 3), "last": round(last, 3), "packets": int(packets)}))
