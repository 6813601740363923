"""Calls as clients have them while a drill runs: a caller with a trusted address, and a phone that registers and answers. With audio.

The caller holds some calls until it is stopped, and begins others at a steady rate (open loop). Each call becomes a line of JSON when it is
over. UDP, with the timers of RFC 3261: a datagram that is lost is sent again, so what is counted as failed is what a real client loses.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import re
import secrets
import selectors
import socket
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from ..node import message as sip
from .settings import only_known

T1, T2, GIVE_UP = 0.5, 4.0, 32.0  # seconds, RFC 3261
RINGS_AT_MOST = 60.0
ONLY_PROVISIONAL = "no answer after its provisional one"  # the caller had stopped to retransmit
HELD = "held"  # part of the Call-ID of calls that have audio
PACKET = bytes([0x80, 8])
LINGER = 1.0  # seconds for what is still on its way when the last call is over
Address = tuple[str, int]


@dataclass(frozen=True)
class Settings:
    """`role` is caller or phone. Seconds and per second everywhere."""

    role: str
    address: str
    port: int
    server: str
    domain: str
    user: str
    run: str = "drill"  # begins every Call-ID
    seconds: float = 60.0
    server_port: int = 5060
    callee: str = ""  # caller
    held: int = 0  # caller: calls that are up all the time
    rate: float = 0.0  # caller: calls that are begun
    talk: float = 2.0  # caller: how long each of those lasts
    packets: float = 10.0  # of audio, in each direction of a held call
    password: str = ""  # phone
    users: tuple[str, ...] = ()  # phone: more addresses of record that it registers, with the same password
    expires: int = 3600  # phone

    @classmethod
    def load(cls, given: dict[str, Any]) -> Settings:
        only_known(cls, given)
        settings = cls(**{**given, "users": tuple(given.get("users", ()))})
        for address in (settings.address, settings.server):
            socket.inet_aton(address)
        if settings.role not in ("caller", "phone"):
            raise ValueError(f"role is {settings.role!r}, set it to caller or phone")
        if not 0 < settings.seconds <= 86400 or not 0 <= settings.rate <= 200 or not 0 <= settings.held <= 1000:
            raise ValueError("calls need seconds up to 86400, a rate up to 200 a second, and up to 1000 held calls")
        if not 0.1 <= settings.packets <= 50 or not 0 <= settings.talk <= 3600:
            raise ValueError("calls need 0.1 to 50 packets of audio a second, and a talk of up to 3600 seconds")
        return settings


@dataclass
class Call:
    """One call as one side saw it. Times are seconds since 1970; `gap` is the longest time without audio while it was up."""

    id: str
    begun: float
    held: bool
    answered: float | None = None
    ended: float | None = None
    result: str = ""  # good, or what went wrong
    packets: int = 0
    heard: float | None = None  # the last audio
    gap: float = 0.0
    gap_from: float | None = None

    def to_line(self, role: str) -> str:
        values = {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}
        return json.dumps({"kind": "call", "role": role, **values})

    def hears(self, now: float) -> None:
        if self.heard is not None and now - self.heard > self.gap:
            self.gap, self.gap_from = now - self.heard, self.heard
        self.heard, self.packets = now, self.packets + 1


@dataclass
class Leg:
    """What a side knows of a call: its dialog, what it sends until it is answered, and its audio."""

    call: Call
    dialog: sip.Dialog
    waits: str = ""  # the method whose answer (or whose ACK) is waited for
    packet: str = ""  # what is sent again
    again: float = T1
    deadline: float = 0.0
    turn: int = 0  # only the newest timer counts
    last: dict[str, str] = field(default_factory=dict)  # by method, what was said last: repeated when asked again
    audio: socket.socket | None = None
    peer: Address | None = None
    over: bool = False


class Side(ABC):
    """One UDP socket, its calls and its timers."""

    def __init__(self, settings: Settings, say: Callable[[str], object]) -> None:
        self.settings, self.say = settings, say
        self.legs: dict[str, Leg] = {}
        self.stopped = False
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._selector = selectors.DefaultSelector()
        self._epoch = time.time() - time.monotonic()
        self.socket = self._open(settings.port)
        self._selector.register(self.socket, selectors.EVENT_READ, None)

    def _open(self, port: int = 0) -> socket.socket:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((self.settings.address, port))
        one.setblocking(False)
        return one

    @property
    def now(self) -> float:
        return time.monotonic() + self._epoch

    @property
    def contact(self) -> str:
        return f"<sip:{self.settings.user}@{self.settings.address}:{self.socket.getsockname()[1]}>"

    @property
    def sent_by(self) -> str:
        return f"{self.settings.address}:{self.socket.getsockname()[1]}"

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._count, what))

    def send(self, text: str, to: Address | None = None) -> None:
        with contextlib.suppress(OSError):  # no way there at this moment: it is sent again
            self.socket.sendto(text.encode(), to or (self.settings.server, self.settings.server_port))

    # Sending until there is an answer
    def ask(self, leg: Leg, method: str, packet: str, seconds: float = GIVE_UP) -> None:
        leg.waits, leg.packet, leg.again, leg.deadline = method, packet, T1, time.monotonic() + seconds
        leg.turn += 1
        self.send(packet)
        self._again_later(leg, leg.turn)

    def _again_later(self, leg: Leg, turn: int) -> None:
        self.after(min(leg.again, max(0.0, leg.deadline - time.monotonic())), lambda: self._again(leg, turn))

    def _again(self, leg: Leg, turn: int) -> None:
        if turn != leg.turn or not leg.waits or leg.over:
            return
        if time.monotonic() >= leg.deadline:
            self.unanswered(leg)
            return
        if leg.packet:
            self.send(leg.packet)
        leg.again = leg.again * 2 if leg.waits == "INVITE" else min(2 * leg.again, T2)
        self._again_later(leg, turn)

    def calm(self, leg: Leg) -> None:
        leg.waits, leg.packet = "", ""
        leg.turn += 1

    def unanswered(self, leg: Leg) -> None:
        self.finish(leg, ONLY_PROVISIONAL if leg.waits == "INVITE" and not leg.packet else f"no answer to {leg.waits}")

    def finish(self, leg: Leg, result: str) -> None:
        """The call is over. Its leg stays, to repeat answers that were lost."""
        if leg.over:
            return
        self.calm(leg)
        leg.over, leg.call.ended, leg.call.result = True, leg.call.ended or self.now, result
        if leg.call.heard is not None and leg.call.ended - leg.call.heard > leg.call.gap:
            leg.call.gap, leg.call.gap_from = leg.call.ended - leg.call.heard, leg.call.heard
        if leg.audio:
            self._selector.unregister(leg.audio)
            leg.audio.close()
            leg.audio = None
        self.say(leg.call.to_line(self.settings.role))

    # Audio
    def sdp(self, leg: Leg) -> str:
        if leg.audio is None:
            leg.audio = self._open()
            self._selector.register(leg.audio, selectors.EVENT_READ, leg)
        own, port = self.settings.address, leg.audio.getsockname()[1]
        return f"v=0\r\no=drill 1 1 IN IP4 {own}\r\ns=-\r\nc=IN IP4 {own}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"

    def talk(self, leg: Leg, body: str) -> None:
        leg.peer = sip.audio(body)
        if leg.call.held and leg.peer[1]:
            self._packet(leg, 0)

    def _packet(self, leg: Leg, number: int) -> None:
        if leg.over or leg.audio is None or leg.peer is None:
            return
        header = PACKET + struct.pack("!HII", number & 0xFFFF, number * 160 & 0xFFFFFFFF, hash(leg.call.id) & 0xFFFFFFFF)
        with contextlib.suppress(OSError):
            leg.audio.sendto(header + b"\xd5" * 160, leg.peer)
        self.after(1 / self.settings.packets, lambda: self._packet(leg, number + 1))

    # The loop
    def run(self) -> None:
        self.begin()
        self.after(self.settings.seconds, self.stop)
        while not self.done():
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()
            wait = self._timers[0][0] - time.monotonic() if self._timers else 0.1
            for key, _ in self._selector.select(max(0.0, min(wait, 0.1))):
                self._read(key.data, key.fileobj)  # type: ignore[arg-type]
        self._selector.close()
        self.socket.close()

    def _read(self, leg: Leg | None, one: socket.socket) -> None:
        for _ in range(64):
            try:
                data, peer = one.recvfrom(65535)
            except OSError:
                return
            if leg is not None:
                if data[:1] == b"\x80":
                    leg.call.hears(self.now)
            elif got := sip.Message.parse(data):
                self.receive(got, peer)
            if one.fileno() < 0:
                return

    def answer(self, asked: sip.Message, status: int, reason: str, tag: str = "", body: str = "") -> str:
        return sip.response(asked, status, reason, tag, self.contact, body)

    def receive(self, got: sip.Message, peer: Address) -> None:
        leg = self.legs.get(got.header("Call-ID"))
        if got.status:
            if leg:
                self.answered(leg, got)
        elif got.method == "OPTIONS":
            self.send(self.answer(got, 200, "OK", "ping"), peer)
        elif got.method == "ACK":
            if leg and leg.waits == "ACK":
                self.calm(leg)
        elif leg and got.method == "BYE":
            self.send(self.answer(got, 200, "OK"), peer)
            self.bye(leg)
        else:
            self.asked(leg, got, peer)

    # What the two sides do differently
    @abstractmethod
    def begin(self) -> None: ...

    @abstractmethod
    def stop(self) -> None: ...

    @abstractmethod
    def done(self) -> bool: ...

    @abstractmethod
    def answered(self, leg: Leg, got: sip.Message) -> None: ...

    def asked(self, leg: Leg | None, got: sip.Message, peer: Address) -> None:
        self.send(self.answer(got, 481, "No such call", "none"), peer)

    @abstractmethod
    def bye(self, leg: Leg) -> None: ...


class Caller(Side):
    def __init__(self, settings: Settings, say: Callable[[str], object]) -> None:
        super().__init__(settings, say)
        self._begun, self._over_since = 0, 0.0
        self._start = time.monotonic()

    def begin(self) -> None:
        for number in range(self.settings.held):
            self.after(number * 0.04, lambda: self._call(HELD))
        if self.settings.rate:
            self._start = time.monotonic() + 0.1
            self.after(0.1, self._next)

    def _next(self) -> None:
        """Those that are due by the schedule, however late this is."""
        while not self.stopped and self._start + self._begun / self.settings.rate <= time.monotonic():
            self._call("next")
            self._begun += 1
        if not self.stopped:
            self.after(max(0.0, self._start + self._begun / self.settings.rate - time.monotonic()), self._next)

    def _call(self, kind: str) -> None:
        if self.stopped:
            return
        one = self.settings
        call_id = f"{one.run}-{kind}-{secrets.token_hex(6)}@{one.address}"
        dialog = sip.Dialog(f"sip:{one.user}@{one.address}", f"sip:{one.callee}@{one.domain}", call_id, cseq=1)
        leg = self.legs[call_id] = Leg(Call(call_id, self.now, kind == HELD), dialog)
        invite = sip.request("INVITE", dialog.remote, dialog, self.sent_by, self.contact, "", self.sdp(leg))
        leg.last["INVITE"] = invite
        self.ask(leg, "INVITE", invite)

    def answered(self, leg: Leg, got: sip.Message) -> None:
        if got.method == "INVITE":
            self._invited(leg, got)
        elif got.method == "BYE" and leg.waits == "BYE" and got.status >= 200:
            self.finish(leg, "good" if got.status == 200 else f"BYE was answered {got.status}")

    def _invited(self, leg: Leg, got: sip.Message) -> None:
        if leg.call.answered is not None or leg.over:
            if 200 <= got.status < 300 and "ACK" in leg.last:  # the ACK was lost
                self.send(leg.last["ACK"])
            return
        if got.status < 200:
            leg.packet, leg.deadline = "", leg.deadline if not leg.packet else time.monotonic() + RINGS_AT_MOST
            return
        if got.status >= 300:
            self.send(sip.ack(got, leg.last["INVITE"]))
            self.finish(leg, str(got.status))
            return
        self.calm(leg)
        leg.call.answered = self.now
        leg.dialog.answered(got)
        leg.last["ACK"] = sip.request("ACK", leg.dialog.target, leg.dialog, self.sent_by, self.contact)
        self.send(leg.last["ACK"])
        self.talk(leg, got.body)
        if leg.call.held:
            self.say(json.dumps({"kind": "up", "id": leg.call.id, "at": round(self.now, 3)}))
        if self.stopped:
            self._hang_up(leg)
        elif not leg.call.held:
            self.after(self.settings.talk, lambda: self._hang_up(leg))

    def _hang_up(self, leg: Leg) -> None:
        if leg.over or leg.waits:
            return
        leg.call.ended = self.now
        leg.dialog.cseq += 1
        self.ask(leg, "BYE", sip.request("BYE", leg.dialog.target, leg.dialog, self.sent_by, self.contact))

    def bye(self, leg: Leg) -> None:
        if leg.waits != "BYE":
            self.finish(leg, "the other side ended it")

    def stop(self) -> None:
        """No more calls; those that are held are ended."""
        if self.stopped:
            return
        self.stopped = True
        for leg in list(self.legs.values()):
            if leg.call.held and leg.call.answered is not None:
                self._hang_up(leg)

    def done(self) -> bool:
        if not self.stopped or any(not leg.over for leg in self.legs.values()):
            self._over_since = time.monotonic()
        return time.monotonic() - self._over_since > LINGER


class Phone(Side):
    """Registers, answers at once, ends nothing by itself."""

    def __init__(self, settings: Settings, say: Callable[[str], object]) -> None:
        super().__init__(settings, say)
        self._waits: dict[str, str] = {}  # Call-ID of a REGISTER -> user
        self._tried: set[str] = set()
        self._stops = 0.0

    def begin(self) -> None:
        for number, user in enumerate((self.settings.user, *self.settings.users)):
            self.after(number * 0.1, lambda user=user: self._register(user))  # type: ignore[misc]

    def _register(self, user: str) -> None:
        one = self.settings
        aor = f"sip:{user}@{one.domain}"
        dialog = sip.Dialog(aor, aor, f"{one.run}-reg-{secrets.token_hex(6)}@{one.address}", cseq=1)
        leg = self.legs[dialog.call_id] = Leg(Call(dialog.call_id, self.now, False), dialog)
        self._waits[dialog.call_id] = user
        self.ask(leg, "REGISTER", self._request(leg, user, ""))

    def _request(self, leg: Leg, user: str, credentials: str) -> str:
        contact = self.contact.replace(f"sip:{self.settings.user}@", f"sip:{user}@")
        extra = f"{credentials}Expires: {self.settings.expires}\r\n"
        return sip.request("REGISTER", f"sip:{self.settings.domain}", leg.dialog, self.sent_by, contact, extra)

    def answered(self, leg: Leg, got: sip.Message) -> None:
        user = self._waits.get(leg.call.id)
        if user is None or leg.waits != "REGISTER" or got.status < 200 or f"CSeq: {got.header('CSeq')}\r\n" not in leg.packet:
            return
        stale = re.search(r"stale=true", got.header("WWW-Authenticate"), re.IGNORECASE) is not None
        if got.status == 401 and (leg.call.id not in self._tried or stale):
            self._tried.add(leg.call.id)
            credentials = sip.authorization(got, "REGISTER", f"sip:{self.settings.domain}", user, self.settings.password)
            leg.dialog.cseq += 1
            self.ask(leg, "REGISTER", self._request(leg, user, credentials))
            return
        self.calm(leg)
        leg.over = True
        self.say(json.dumps({"kind": "registered", "user": user, "code": got.status, "at": round(self.now, 3)}))

    def asked(self, leg: Leg | None, got: sip.Message, peer: Address) -> None:
        if got.method == "CANCEL":
            self.send(self.answer(got, 200, "OK", "none"), peer)
            return
        if got.method != "INVITE" or "tag=" in got.header("To"):
            super().asked(leg, got, peer)
            return
        if leg:  # again: the answer was lost
            self.send(leg.last["INVITE"], peer)
            return
        call_id, tag = got.header("Call-ID"), secrets.token_hex(4)
        leg = self.legs[call_id] = Leg(Call(call_id, self.now, f"-{HELD}-" in call_id), sip.Dialog("", "", call_id))
        self.send(self.answer(got, 180, "Ringing", tag), peer)
        leg.last["INVITE"] = self.answer(got, 200, "OK", tag, self.sdp(leg))
        leg.call.answered = self.now
        self.ask(leg, "ACK", leg.last["INVITE"])
        self.talk(leg, got.body)

    def bye(self, leg: Leg) -> None:
        self.finish(leg, "good")

    def stop(self) -> None:
        if not self.stopped:
            self.stopped, self._stops = True, time.monotonic()

    def done(self) -> bool:
        """Calls that nobody ended are told when there is nothing to hear any more."""
        if not self.stopped or time.monotonic() - self._stops < LINGER:
            return False
        for leg in self.legs.values():
            if leg.call.id not in self._waits:
                self.finish(leg, "nobody ended it")
        return True


def run(settings: Settings, say: Callable[[str], object]) -> Side:
    """The side that the settings name; its caller runs it."""
    return (Caller if settings.role == "caller" else Phone)(settings, say)
