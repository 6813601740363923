"""sipha-step-aside: runs when the engine has ended, and lets it start again only when the VIPs have gone to a proxy that can serve.

An engine that was killed is up again within half a second, before keepalived has moved anything, and knows none of the calls: what ends
in that moment is not accounted. Its peers know them all. Nothing is waited for after an orderly stop, without a VIP, or when no other
proxy answers.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable

from . import probes, sip
from .agent import Settings, log

LIMIT = 3.0  # seconds, no more
ANSWER = 0.3
PAUSE = 0.02


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


def wait(
    settings: Settings,
    held: Callable[[str], bool],
    now: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = time.sleep,
) -> str:
    """What was done, in a sentence."""
    if not any(held(vip) for vip in settings.vips.values()):
        return "no VIP is here"
    if not peer_serves(settings):
        return "no other proxy answers"
    start = now()
    while now() - start < LIMIT:
        if not any(held(vip) for vip in settings.vips.values()):
            return f"the VIPs have gone after {now() - start:.2f} s"
        pause(PAUSE)
    return f"a VIP is still here after {LIMIT:g} s"


def main() -> None:
    if os.environ.get("SERVICE_RESULT", "success") == "success":
        return
    settings = Settings.load(sys.argv[1] if len(sys.argv) > 1 else "/etc/sipha/agent.json")
    log(f"the engine ended ({os.environ['SERVICE_RESULT']}): {wait(settings, lambda vip: probes.carries(settings.public_interface, vip))}")


if __name__ == "__main__":
    main()
