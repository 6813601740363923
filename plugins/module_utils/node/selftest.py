"""
sipha-selftest: registers a synthetic phone and calls it, through this proxy and no other. Exit 0 = all of it worked.

Every proxy carries the VIPs on its loopback, so a request from this host to a VIP reaches this host's engine, on the socket that
phones use, whoever holds the VIP. The phones it plays pretend to be behind a NAT: their Via, Contact and SDP name an address that nobody
has, so that what the proxy does for real phones (received address, media relay) is what is tried.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import secrets
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field

from . import message as sip
from .agent import Settings

BEHIND_NAT = "10.255.255.1"  # nobody has it: answers must come to where the requests came from
T1 = 0.5  # seconds, RFC 3261; so are the others
ANSWER = 5.0  # a step may take
SAVED = 8.0  # a REGISTER with credentials may take
HEARD = 3.0  # audio may take
GIVEN_UP = 2.0  # more for the proxy to say what became of a request that did not get through


class StepError(Exception):
    """One step did not work; the text says what happened."""


@dataclass
class Phone:
    """One UDP socket on the proxy's own public address, with the audio port that its SDP offers."""

    own: str
    server: tuple[str, int]
    user: str
    domain: str
    password: str
    bound: bool = field(init=False, default=False)  # there may be a binding of it
    signalling: socket.socket = field(init=False)
    audio: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self.signalling, self.audio = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for one in (self.signalling, self.audio):
            one.bind((self.own, 0))
            one.setblocking(False)

    def close(self) -> None:
        self.signalling.close()
        self.audio.close()

    @property
    def port(self) -> int:
        return int(self.signalling.getsockname()[1])

    @property
    def aor(self) -> str:
        return f"sip:{self.user}@{self.domain}"

    @property
    def contact(self) -> str:
        return f"sip:{self.user}@{BEHIND_NAT}:{self.port}"

    def sdp(self) -> str:
        return (
            f"v=0\r\no=- 1 1 IN IP4 {BEHIND_NAT}\r\ns=-\r\nc=IN IP4 {BEHIND_NAT}\r\nt=0 0\r\n"
            f"m=audio {self.audio.getsockname()[1]} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
        )

    def send(self, text: str) -> None:
        self.signalling.sendto(text.encode(), self.server)

    def request(self, method: str, uri: str, dialog: sip.Dialog, extra: str = "", body: str = "") -> str:
        return sip.request(method, uri, dialog, f"{BEHIND_NAT}:{self.port}", f"<{self.contact}>", extra, body)

    def take(self, deadline: float) -> sip.Message | None:
        """The next message, None at the deadline."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.signalling, selectors.EVENT_READ)
            while True:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
                message = sip.Message.parse(self.signalling.recv(65535))
                if message:
                    return message

    def final(self, request: str, seconds: float) -> sip.Message:
        """The final answer to a request that was sent; sends it again as RFC 3261 says."""
        sent = sip.Message.parse(request.encode())
        assert sent
        deadline, pause = time.monotonic() + seconds, T1
        again: float = time.monotonic() + pause
        while time.monotonic() < deadline:
            got = self.take(min(deadline, again))
            if got is None:
                self.send(request)
                pause *= 2
                again = time.monotonic() + pause
            elif got.status and got.branch == sent.branch:
                if got.status >= 200:
                    return got
                again = deadline
        raise StepError(f"{sent.method} is not answered within {seconds:g} s")

    def ask(self, request: str, seconds: float) -> sip.Message:
        self.send(request)
        return self.final(request, seconds)

    def authenticated(self, method: str, uri: str, dialog: sip.Dialog, extra: str = "", body: str = "") -> str:
        """The request with credentials, after the challenge that it must get first."""
        plain = self.request(method, uri, dialog, extra, body)
        first = self.ask(plain, ANSWER)
        wanted = 401 if method == "REGISTER" else 407
        if method == "INVITE" and first.status >= 300:
            self.send(sip.ack(first, plain))
        if first.status != wanted:
            raise StepError(f"{method} without credentials is answered {first.status} {first.reason}, not {wanted}")
        dialog.cseq += 1
        credentials = sip.authorization(first, method, uri, self.user, self.password)
        if not credentials:
            asked = first.header("WWW-Authenticate") or first.header("Proxy-Authenticate") or "nothing"
            raise StepError(
                f"{method} is answered {first.status} {first.reason}, which asks for credentials that no phone of this test has: {asked}"
            )
        return self.request(method, uri, dialog, credentials + extra, body)


def arrival(caller: Phone, callee: Phone, request: str, seconds: float) -> sip.Message:
    """Send a request of the caller, again as RFC 3261 says, until the callee has it; returns it as it came there."""
    sent = sip.Message.parse(request.encode())
    assert sent
    caller.send(request)
    deadline, pause = time.monotonic() + seconds, T1
    again: float = time.monotonic() + pause
    while time.monotonic() < deadline:
        got = callee.take(min(deadline, again))
        if got is None:
            if again < deadline:
                caller.send(request)
            pause *= 2
            again = time.monotonic() + pause
        elif got.status:
            continue
        elif got.method == sent.method and got.header("Call-ID") == sent.header("Call-ID"):
            return got
        elif got.method == "OPTIONS":
            callee.send(sip.response(got, 200, "OK", "ping", f"<{callee.contact}>"))
    told = ""
    if sent.method != "ACK":
        with contextlib.suppress(StepError):
            answer = caller.final(request, GIVEN_UP)
            told = f"; the caller gets {answer.status} {answer.reason}"
            if sent.method == "INVITE" and answer.status >= 300:
                caller.send(sip.ack(answer, request))
    what = "call" if sent.method == "INVITE" else sent.method
    raise StepError(f"the {what} does not reach the phone within {seconds:g} s{told}")


def hear(one: Phone, other: Phone, one_to: tuple[str, int], other_to: tuple[str, int], seconds: float) -> None:
    """Audio both ways: each sends to where the other's SDP says, until each has heard the other."""
    first = b"\x80\x08" + bytes(10) + b"\xd5" * 160
    heard, deadline = {"caller": False, "callee": False}, time.monotonic() + seconds
    while time.monotonic() < deadline and not all(heard.values()):
        one.audio.sendto(first, one_to)
        other.audio.sendto(first, other_to)
        until = time.monotonic() + 0.02
        with selectors.DefaultSelector() as selector:
            for name, phone in zip(heard, (one, other), strict=True):
                selector.register(phone.audio, selectors.EVENT_READ, name)
            while (left := until - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    packet = key.fileobj.recv(2048)  # type: ignore[union-attr]
                    heard[key.data] = heard[key.data] or packet[:2] == b"\x80\x08"
    if not all(heard.values()):
        deaf = "caller and callee hear" if not any(heard.values()) else f"{'callee' if heard['caller'] else 'caller'} hears"
        raise StepError(f"no audio through the media relay within {seconds:g} s: the {deaf} nothing")


def hang_up(caller: Phone, callee: Phone, dialog: sip.Dialog) -> None:
    dialog.cseq += 1
    bye = caller.request("BYE", dialog.target, dialog)
    got = arrival(caller, callee, bye, ANSWER)
    callee.send(sip.response(got, 200, "OK", "", f"<{callee.contact}>"))
    ended = caller.final(bye, ANSWER)
    if ended.status != 200:
        raise StepError(f"the phone answers the BYE, and the caller gets {ended.status} {ended.reason}")


def call(caller: Phone, callee: Phone, call_id: str, relayed: bool, steps: list[dict[str, object]]) -> None:
    started = time.monotonic()

    def done(step: str) -> None:
        nonlocal started
        steps.append({"step": step, "seconds": round(time.monotonic() - started, 3)})
        started = time.monotonic()

    dialog = sip.Dialog(caller.aor, callee.aor, call_id)
    invite = caller.authenticated("INVITE", callee.aor, dialog, "", caller.sdp())
    offer = arrival(caller, callee, invite, ANSWER)
    tag = secrets.token_hex(4)
    callee.send(sip.response(offer, 180, "Ringing", tag, f"<{callee.contact}>"))
    callee.send(sip.response(offer, 200, "OK", tag, f"<{callee.contact}>", callee.sdp()))
    done("the call reaches the phone")
    answer = caller.final(invite, ANSWER)
    if answer.status != 200:
        caller.send(sip.ack(answer, invite))
        raise StepError(f"the call is answered by the phone, and the caller gets {answer.status} {answer.reason}")
    dialog.answered(answer)
    try:
        arrival(caller, callee, caller.request("ACK", dialog.target, dialog), ANSWER)
        done("answered")
        if relayed:
            to_callee, to_caller = sip.audio(answer.body), sip.audio(offer.body)
            if BEHIND_NAT in (to_callee[0], to_caller[0]):
                raise StepError("the SDP names the phone's address behind the NAT: no media relay took the call")
            if not (to_callee[1] and to_caller[1]):
                raise StepError(f"the SDP that the {'phone' if to_callee[1] else 'caller'} gets names no address for audio")
            hear(caller, callee, to_callee, to_caller, HEARD)
            done("audio both ways")
    except (StepError, OSError):  # it is up, on all proxies, and would be for hours
        with contextlib.suppress(StepError, OSError):
            hang_up(caller, callee, dialog)
        raise
    hang_up(caller, callee, dialog)
    done("ended")


def register(phone: Phone, dialog: sip.Dialog, expires: int) -> None:
    """With `expires` 0 the binding is taken back."""
    dialog.cseq += 1
    request = phone.authenticated("REGISTER", f"sip:{phone.domain}", dialog, f"Expires: {expires}\r\n")
    phone.bound = True  # when it is refused, it is known to be not
    answer = phone.ask(request, SAVED)
    if answer.status != 200:
        phone.bound = expires == 0
        raise StepError(f"REGISTER with credentials is answered {answer.status} {answer.reason}")
    there = re.search(re.escape(phone.contact) + r"(?!\d)", answer.header("Contact")) is not None
    if there != (expires > 0):
        raise StepError(f"REGISTER is answered 200, and its bindings are: {answer.header('Contact') or 'none'}")


def run(own: str, server: tuple[str, int], user: str, domain: str, password: str, relayed: bool) -> dict[str, object]:
    """All of it. `failed` is "" when it worked; the call is ended and the binding taken back in any case."""
    steps: list[dict[str, object]] = []
    call_id = f"selftest-{secrets.token_hex(8)}@{own}"
    failed = ""

    def said(error: Exception) -> str:
        return str(error) if isinstance(error, StepError) else f"{own} to {server[0]}:{server[1]}: {error}"

    with contextlib.ExitStack() as stack:
        try:
            phone, caller = (stack.enter_context(contextlib.closing(Phone(own, server, user, domain, password))) for _ in range(2))
        except OSError as error:
            return {"failed": said(error), "call_id": call_id, "steps": steps}
        binding = sip.Dialog(phone.aor, phone.aor, f"selftest-{secrets.token_hex(8)}@{own}")
        try:
            started = time.monotonic()
            register(phone, binding, 60)
            steps.append({"step": "registered", "seconds": round(time.monotonic() - started, 3)})
            call(caller, phone, call_id, relayed, steps)
        except (StepError, OSError) as error:
            failed = said(error)
        if phone.bound:
            try:
                register(phone, binding, 0)
            except (StepError, OSError) as error:  # what went wrong first is what people want to know
                failed = failed or f"the phone's binding can't be taken back: {said(error)}"
    return {"failed": failed, "call_id": call_id, "steps": steps}


def main() -> None:
    parser = argparse.ArgumentParser(prog="sipha-selftest", description="Registers a synthetic phone and calls it through this proxy.")
    parser.add_argument("--config", default="/etc/sipha/agent.json")
    parser.add_argument("--own", required=True, help="this proxy's public address, which the phones have")
    parser.add_argument("--vip", required=True, help="the VIP to talk to")
    parser.add_argument("--user", required=True, help="subscriber; its password is the first line of standard input")
    parser.add_argument("--domain", required=True)
    parser.add_argument("--relayed", action="store_true", help="calls have to go through a media relay")
    arguments = parser.parse_args()
    port = Settings.load(arguments.config).sip_port
    password = sys.stdin.readline().rstrip("\n")
    result = run(arguments.own, (arguments.vip, port), arguments.user, arguments.domain, password, arguments.relayed)
    print(json.dumps(result))
    sys.exit(1 if result["failed"] else 0)


if __name__ == "__main__":
    main()
