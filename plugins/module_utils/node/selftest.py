"""
sipha-selftest: registers a synthetic phone and calls it, through this proxy and no other. Exit 0 = all of it worked.

Every proxy carries the VIPs on its loopback, so a request from this host to a VIP reaches this host's engine, on the socket that
phones use, whoever holds the VIP. The phones it plays pretend to be behind a NAT: their Via, Contact and SDP name an address that nobody
has, so that what the proxy does for real phones (received address, media relay) is what is tried.
"""

from __future__ import annotations

import argparse
import json
import secrets
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field

from . import message as sip
from .agent import Settings

BEHIND_NAT = "10.255.255.1"  # nobody has it: answers must come to where the requests came from
T1 = 0.5  # seconds, RFC 3261


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
        first = self.ask(plain, 5)
        wanted = 401 if method == "REGISTER" else 407
        if method == "INVITE":
            self.send(sip.ack(first, plain))
        if first.status != wanted:
            raise StepError(f"{method} without credentials is answered {first.status} {first.reason}, not {wanted}")
        dialog.cseq += 1
        credentials = sip.authorization(first, method, uri, self.user, self.password)
        return self.request(method, uri, dialog, credentials + extra, body)


def ring_and_answer(callee: Phone, call_id: str, seconds: float) -> sip.Message:
    """Wait for the call, let it ring, answer it; returns the INVITE as it came."""
    deadline = time.monotonic() + seconds
    while invite := callee.take(deadline):
        if invite.method == "INVITE" and invite.header("Call-ID") == call_id:
            tag = secrets.token_hex(4)
            callee.send(sip.response(invite, 180, "Ringing", tag, f"<{callee.contact}>"))
            callee.send(sip.response(invite, 200, "OK", tag, f"<{callee.contact}>", callee.sdp()))
            return invite
        if invite.method == "OPTIONS":
            callee.send(sip.response(invite, 200, "OK", "ping", f"<{callee.contact}>"))
    raise StepError(f"the call does not reach the phone within {seconds:g} s")


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
        deaf = " and ".join(name for name, hears in heard.items() if not hears)
        raise StepError(f"no audio through the media relay within {seconds:g} s: the {deaf} hears nothing")


def call(caller: Phone, callee: Phone, call_id: str, relayed: bool, steps: list[dict[str, object]]) -> None:
    started = time.monotonic()

    def done(step: str) -> None:
        nonlocal started
        steps.append({"step": step, "seconds": round(time.monotonic() - started, 3)})
        started = time.monotonic()

    dialog = sip.Dialog(caller.aor, callee.aor, call_id)
    invite = caller.authenticated("INVITE", callee.aor, dialog, "", caller.sdp())
    caller.send(invite)
    offer = ring_and_answer(callee, dialog.call_id, 5)
    done("the call reaches the phone")
    answer = caller.final(invite, 5)
    if answer.status != 200:
        raise StepError(f"the call is answered by the phone, and the caller gets {answer.status} {answer.reason}")
    dialog.answered(answer)
    caller.send(caller.request("ACK", dialog.target, dialog))
    deadline = time.monotonic() + 5
    while got := callee.take(deadline):
        if got.method == "ACK" and got.header("Call-ID") == dialog.call_id:
            break
    else:
        raise StepError("the ACK does not reach the phone within 5 s")
    done("answered")
    to_callee, to_caller = sip.audio(answer.body), sip.audio(offer.body)
    if relayed:
        if BEHIND_NAT in (to_callee[0], to_caller[0]):
            raise StepError("the SDP names the phone's address behind the NAT: no media relay took the call")
        hear(caller, callee, to_callee, to_caller, 3)
        done("audio both ways")
    dialog.cseq += 1
    bye = caller.request("BYE", dialog.target, dialog)
    caller.send(bye)
    deadline = time.monotonic() + 5
    while got := callee.take(deadline):
        if got.method == "BYE" and got.header("Call-ID") == dialog.call_id:
            callee.send(sip.response(got, 200, "OK", "", f"<{callee.contact}>"))
            break
    else:
        raise StepError("the BYE does not reach the phone within 5 s")
    ended = caller.final(bye, 5)
    if ended.status != 200:
        raise StepError(f"BYE is answered {ended.status} {ended.reason}")
    done("ended")


def register(phone: Phone, dialog: sip.Dialog, expires: int) -> None:
    dialog.cseq += 1
    registrar = f"sip:{phone.domain}"
    answer = phone.ask(phone.authenticated("REGISTER", registrar, dialog, f"Expires: {expires}\r\n"), 8)
    if answer.status != 200:
        raise StepError(f"REGISTER is answered {answer.status} {answer.reason}")
    if (phone.contact in answer.header("Contact")) != (expires > 0):
        raise StepError(f"REGISTER is answered 200, and its bindings are: {answer.header('Contact') or 'none'}")


def run(own: str, server: tuple[str, int], user: str, domain: str, password: str, relayed: bool) -> dict[str, object]:
    """All of it. `failed` is "" when it worked; the binding is taken back in any case."""
    steps: list[dict[str, object]] = []
    phone, caller = (Phone(own, server, user, domain, password) for _ in range(2))
    call_id = f"selftest-{secrets.token_hex(8)}@{own}"
    binding = sip.Dialog(phone.aor, phone.aor, f"selftest-{secrets.token_hex(8)}@{own}")
    failed = ""
    try:
        started = time.monotonic()
        register(phone, binding, 60)
        steps.append({"step": "registered", "seconds": round(time.monotonic() - started, 3)})
        try:
            call(caller, phone, call_id, relayed, steps)
        finally:
            register(phone, binding, 0)
    except StepError as error:
        failed = str(error)
    except OSError as error:
        failed = f"{server[0]}:{server[1]}: {error}"
    finally:
        phone.close()
        caller.close()
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
