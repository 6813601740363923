"""A proxy whose engine has died tells the others to take its VIPs: a VRRP advertisement of priority 0 (RFC 5798, 5.2.4: "has stopped").

keepalived sends that itself when it ends. When a tracked file lowers its priority it only advertises the lower one, which backups discard:
they take over when they have heard nothing better for three intervals. All that time requests go to a dead engine.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from . import probes, sip

if TYPE_CHECKING:
    from .agent import Settings

VRRP = 112  # IP protocol
ANSWER = 0.3


def peer_serves(settings: Settings) -> bool:
    """Whether any other proxy's engine answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((settings.core_address, 0))
        port = client.getsockname()[1]
        for number, peer in enumerate(settings.proxies):
            try:
                key = f"aside-{number}-{time.time_ns()}@{settings.core_address}"
                client.sendto(sip.options(peer, settings.sip_port, settings.core_address, port, key), (peer, settings.sip_port))
            except OSError:
                continue
        end = time.monotonic() + ANSWER
        while (left := end - time.monotonic()) > 0:
            client.settimeout(left)
            try:
                reply = sip.parse_reply(client.recv(65535))
            except OSError:  # nobody, or a peer's host that says that nobody listens
                continue
            if reply and reply[0] == 200:
                return True
    return False


def resignation(router_id: int, vip: str, interval: float, source: str, target: str) -> bytes:
    """The advertisement (version 3) without its IP header: one address, priority 0, the interval in hundredths of a second."""
    ends = IPv4Address(source).packed + IPv4Address(target).packed

    def packet(checksum: int) -> bytes:
        return struct.pack("!BBBBHH4s", 0x31, router_id, 0, 1, round(interval * 100) & 0x0FFF, checksum, IPv4Address(vip).packed)

    body = packet(0)
    return packet(probes.checksum(ends + struct.pack("!BBH", 0, VRRP, len(body)) + body))


def resign(settings: Settings, held: Callable[[str], bool]) -> str:
    """Tell the others, when one of them can serve. What was done, in a sentence; empty when there was nothing to do."""
    mine = {tag: vip for tag, vip in settings.vips.items() if tag in settings.router_ids and held(vip)}
    if not mine or not settings.vrrp_peers:
        return ""
    if not peer_serves(settings):
        return "no other proxy answers, so the VIPs stay until VRRP moves them"
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, VRRP) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)  # VRRP takes nothing from farther away
        sender.bind((settings.public_address, 0))
        for tag, vip in mine.items():
            for peer in settings.vrrp_peers:
                said = resignation(settings.router_ids[tag], vip, settings.vrrp_interval, settings.public_address, peer)
                sender.sendto(said, (peer, 0))
    return f"the others are told to take {', '.join(mine)}"
