"""What a proxy can find out about itself: addresses it carries, hosts that answer, a database that greets."""

from __future__ import annotations

import json
import re
import socket
import struct
import subprocess
from collections.abc import Collection, Sequence

ICMP_ECHO, ICMP_ECHO_REPLY = 8, 0
RTMGRP_IPV4_IFADDR = 0x10


def carries(interface: str, address: str) -> bool:
    """Is the address on this very interface? Other interfaces never count: a proxy may carry the VIP on its loopback."""
    done = subprocess.run(["ip", "-4", "-j", "address", "show", "dev", interface], capture_output=True, check=False, timeout=2)
    if done.returncode:
        return False
    rows = json.loads(done.stdout or b"[]")
    return any(a.get("local") == address for row in rows for a in row.get("addr_info", []))


def address_events() -> socket.socket:
    """A netlink socket that becomes readable whenever an IPv4 address comes or goes."""
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    events.bind((0, RTMGRP_IPV4_IFADDR))
    return events


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    total += total >> 16
    return ~total & 0xFFFF


def echo_request(identifier: int, sequence: int) -> bytes:
    head = struct.pack("!BBHHH", ICMP_ECHO, 0, 0, identifier, sequence)
    body = b"sipha-health"
    return struct.pack("!BBHHH", ICMP_ECHO, 0, checksum(head + body), identifier, sequence) + body


def echo_reply(packet: bytes) -> tuple[int, int] | None:
    """(identifier, sequence) of an echo reply in a raw IPv4 packet; None for anything else."""
    if len(packet) < 28:
        return None
    start = (packet[0] & 0x0F) * 4
    if len(packet) < start + 8:
        return None
    kind, _code, _sum, identifier, sequence = struct.unpack("!BBHHH", packet[start : start + 8])
    return (identifier, sequence) if kind == ICMP_ECHO_REPLY else None


def database_greets(host: str, port: int, timeout: float) -> bool:
    """Does a MySQL server greet behind this address? A load balancer without servers accepts and closes."""
    try:
        with socket.create_connection((host, port), timeout) as connection:
            connection.settimeout(timeout)
            greeting = connection.recv(5)
    except OSError:
        return False
    return len(greeting) == 5 and greeting[4] == 10  # protocol version 10; an error packet has 255 here


CONNECTION = re.compile(r"(ESTAB|SYN-SENT)\s+\d+\s+\d+\s+(\S+):(\d+)\s+(\S+):(\d+)\s.*timer:\(on,[^,]*,(\d+)\)")
UNANSWERED = 3  # times that a packet was sent again: after 0.2, 0.6 and 1.4 s


def stalled(text: str, port: int, peers: Sequence[str], back: Collection[str] = ()) -> list[tuple[str, str, str, str]]:
    """Of what `ss -tnHo` says: own address, own port, peer, its port of connections to these peers that have waited long for an answer.
    Those that are being opened count only when the peer has just come `back`, then at once: else the engine learns from them that a peer
    is dead."""
    found = []
    for state, own, own_port, peer, peer_port, times in (match.groups() for line in text.splitlines() if (match := CONNECTION.match(line))):
        if peer not in peers or str(port) not in (own_port, peer_port):
            continue
        patience = UNANSWERED if peer not in back else 1 if state == "ESTAB" else 0
        if int(times) >= patience and (state == "ESTAB" or peer in back):
            found.append((own, own_port, peer, peer_port))
    return found


def drop_stalled(port: int, peers: Sequence[str], back: Collection[str] = ()) -> list[str]:
    """Drop them, both sides' own to the other; returns the peers."""
    dropped = []
    try:
        ports = f"( dport = :{port} or sport = :{port} )"
        seen = subprocess.run(["ss", "-tnHo", ports], capture_output=True, text=True, check=False, timeout=2).stdout
        for own, own_port, peer, peer_port in stalled(seen, port, peers, back):
            command = ["ss", "-K", "-tnH", "src", f"{own}:{own_port}", "dst", f"{peer}:{peer_port}"]
            subprocess.run(command, capture_output=True, check=False, timeout=2)
            dropped.append(peer)
    except (OSError, subprocess.TimeoutExpired):
        return dropped
    return dropped
