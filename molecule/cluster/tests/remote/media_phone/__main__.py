"""Commands on standard input, one JSON object a line with its number; reports on standard output. The end of input ends the phone."""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from .agent import Agent, Identity, RefusedError, state_of
from .clock import Timers
from .media import Media, arrived, open_socket

STDIN = 0


def write(**fields: Any) -> None:
    print(json.dumps({"mono": round(time.monotonic(), 4), "wall": round(time.time(), 4), **fields}), flush=True)


def report(event: str, **details: Any) -> None:
    write(event=event, **details)


def settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="media_phone")
    for name in ("--user", "--domain", "--address", "--proxy"):
        parser.add_argument(name, required=True)
    parser.add_argument("--password", default="", help="without it a challenge is a failure")
    for name in ("--port", "--rtp-port", "--proxy-port"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="ends by itself after so long")
    return parser.parse_args()


class Commands:
    """What can be asked of a phone; each answers at once, what comes of it is reported as it happens."""

    def __init__(self, agent: Agent) -> None:
        self.agent, self._rest = agent, b""
        self._known: dict[str, Callable[..., dict[str, Any] | None]] = {
            "register": agent.register,
            "call": agent.call,
            "cancel": agent.cancel,
            "bye": agent.bye,
            "hold": partial(agent.hold, True),
            "resume": partial(agent.hold, False),
            "quit": agent.leave,
            "accept": self._accept,
            "reject": self._reject,
            "talk": self._talk,
            "mark": self._mark,
            "stats": partial(state_of, agent),
            "held": self._held,
        }

    def _accept(self, ring: float) -> None:
        self.agent.ring, self.agent.status = ring, 200

    def _reject(self, status: int) -> None:
        self.agent.status = status

    def _talk(self, on: bool) -> None:
        self.agent.media.talks = on

    def _mark(self) -> dict[str, Any]:
        self.agent.media.mark()
        return state_of(self.agent)

    def _held(self, ssrc: int, first: int, end: int) -> dict[str, Any]:
        return {"packets": self.agent.media.received.held(ssrc, first, end)}

    def read(self) -> bool:
        """Do what waits on standard input; False at its end."""
        data = os.read(STDIN, 65536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            number, name = command.pop("number"), command.pop("command")
            try:
                write(reply=number, **(self._known[name](**command) or {}))
            except RefusedError as error:
                write(reply=number, refused=str(error))
        return bool(data)


def main() -> None:
    given = settings()
    timers = Timers()
    sip = open_socket(given.address, given.port)
    media = Media(given.address, given.rtp_port, timers)
    me = Identity(given.user, given.domain, given.password, (given.address, given.port), (given.proxy, given.proxy_port))

    def send(text: str, target: tuple[str, int]) -> None:
        try:
            sip.sendto(text.encode(), target)
        except OSError as error:  # no way there at this moment: it is sent again
            report("unsent", why=str(error))

    agent = Agent(me, timers, send, media, report)
    commands = Commands(agent)
    timers.after(given.seconds, agent.leave)
    report("ready")
    inputs = [sip, media.rtp, media.rtcp, sys.stdin]
    while True:
        seconds = timers.run()
        if agent.over:
            break
        readable = select.select(inputs, [], [], seconds)[0]
        media.receive()  # before everything else: what a command asks about is then counted
        for data, peer in arrived(sip):
            agent.receive(data.decode("utf-8", "replace"), peer)
        if sys.stdin in readable and not commands.read():
            inputs.remove(sys.stdin)
            agent.leave()
    report("gone")


main()
