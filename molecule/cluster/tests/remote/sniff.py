"""Runs inside a lab host: prints each SIP datagram (UDP) that one of its interfaces sees, as a line of JSON, for so many seconds."""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time

ETH_P_IP, OUTGOING = 0x0800, 4


def sip_datagram(frame: bytes) -> dict[str, object] | None:
    """Addresses and text of an Ethernet frame that carries SIP over UDP over IPv4."""
    if len(frame) < 42 or struct.unpack("!H", frame[12:14])[0] != ETH_P_IP or frame[23] != socket.IPPROTO_UDP:
        return None
    udp = 14 + (frame[14] & 0x0F) * 4
    source_port, port, length = struct.unpack("!HHH", frame[udp : udp + 6])
    text = frame[udp + 8 : udp + length].decode("utf-8", "replace")
    if "SIP/2.0" not in text.partition("\r\n")[0]:
        return None
    return {
        "source": socket.inet_ntoa(frame[26:30]),
        "source_port": source_port,
        "target": socket.inet_ntoa(frame[30:34]),
        "target_port": port,
        "text": text,
    }


def main() -> None:
    address, seconds = sys.argv[1], float(sys.argv[2])
    end = time.monotonic() + seconds
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003)) as tap:
        tap.bind((address, 0))
        print(json.dumps({"ready": True}), flush=True)
        while (left := end - time.monotonic()) > 0:
            if not select.select([tap], [], [], left)[0]:
                return
            frame, (_, _, kind, *_rest) = tap.recvfrom(65535)
            seen = sip_datagram(frame)
            if seen:
                print(json.dumps({"time": time.time(), "out": kind == OUTGOING, **seen}), flush=True)


main()
