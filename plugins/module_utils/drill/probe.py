"""The probe: asks at a steady rate, whatever comes back, and writes one record per request.

Open loop: when a request leaves depends on the schedule alone, so a stalled cluster shows as many unanswered requests and not as few
slow ones. One thread, one clock (monotonic, told as seconds since 1970), and the probe's own delays are in its records (`lag`).
"""

from __future__ import annotations

import heapq
import secrets
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass

from .digest import DigestError, choose, credentials
from .record import Ping, Record
from .settings import Settings
from .transport import Tcp, Transport, Udp
from .wire import Message, at, bracketed, reply, request

MAX_ROUNDS = 3  # asked, challenged, and once more with a fresh nonce
LEAD = 0.05  # seconds between start and the first request
MAX_TEXT = 200
Sink = Callable[[Record | Ping], object]


@dataclass
class Exchange:
    """A request that has no final answer yet."""

    record: Record
    call_id: str
    tag: str
    deadline: float
    expires: int = 0
    counted: bool = True  # not the one that takes the contact away
    packet: bytes = b""
    branch: str = ""
    life: int = 0
    interval: float = 0.0


class Probe:
    """Run it once. `sink` gets each record when it is finished, and each ping."""

    def __init__(self, settings: Settings, sink: Sink) -> None:
        settings.check()
        self.settings, self.sink = settings, sink
        self.stopped = False  # set it to end the schedule early
        self.unregistered: bool | None = None
        self._selector = selectors.DefaultSelector()
        self._transport: Transport = (Udp if settings.transport == "udp" else Tcp)(settings, self._selector)
        self._epoch = time.time() - time.monotonic()
        self._name = f"{secrets.token_hex(4)}@probe"
        self._air: dict[str, Exchange] = {}  # by branch
        self._timers: list[tuple[float, str]] = []
        self._life = 0

    def run(self) -> None:
        """The schedule, then patience for what is still in the air, then the contact is taken away."""
        try:
            self._warm_up()
            start, number, count = time.monotonic() + LEAD, 0, self.settings.count
            while True:
                if self.stopped:
                    count = number
                while number < count and (due := start + number / self.settings.rate) <= time.monotonic():
                    self._begin(number, due)
                    number += 1
                if number >= count and not self._air:
                    break
                self._turn(start + number / self.settings.rate if number < count else float("inf"))
            if self.settings.method == "REGISTER" and self.settings.unregister:
                self._unregister()
        finally:
            self._transport.close()
            self._selector.close()

    def _warm_up(self) -> None:
        end = time.monotonic() + 1.0
        while isinstance(self._transport, Tcp) and not self._transport.connected and time.monotonic() < end:
            self._turn(end)

    def _unregister(self) -> None:
        start = time.monotonic()
        self.unregistered = False
        for number in range(self.settings.users):
            self._begin(self.settings.count + number, start, expires=0, counted=False)
        while self._air:
            self._turn(float("inf"))

    def _turn(self, until: float) -> None:
        """Wait for an answer, a timer or the next request, and deal with it."""
        now = time.monotonic()
        until = min(until, self._timers[0][0] if self._timers else float("inf"), self._transport.tick(now))
        self._drop_earlier_lives()
        if self._selector.select(max(0.0, min(until - now, 0.5))):
            for message, source in self._transport.receive(time.monotonic()):
                self._arrived(message, source)
            self._drop_earlier_lives()
        self._fire(time.monotonic())

    # Requests
    def _begin(self, number: int, due: float, expires: int | None = None, counted: bool = True) -> None:
        record = Record(number, self.settings.method, due + self._epoch)
        exchange = Exchange(
            record,
            call_id=f"{number}-{self._name}",
            tag=secrets.token_hex(4),
            deadline=time.monotonic() + self.settings.timeout,
            expires=self.settings.expires if expires is None else expires,
            counted=counted,
        )
        self._ask(exchange, ())

    def _ask(self, exchange: Exchange, more: tuple[tuple[str, str], ...]) -> None:
        """A new transaction of this exchange."""
        s, record = self.settings, exchange.record
        record.rounds += 1
        exchange.branch, exchange.life = "z9hG4bK" + secrets.token_hex(8), self._transport.lives
        address, port = self._transport.local()
        local, domain = at(address, port), s.domain or bracketed(s.target)
        user = s.account(record.number).user or "probe"
        contact = f"<sip:{user}@{local}{';transport=tcp' if s.transport == 'tcp' else ''}>"
        to = f"<sip:{user}@{domain}>" if s.method == "REGISTER" else f"<{self._uri()}>"
        headers = [
            ("Via", f"SIP/2.0/{s.transport.upper()} {local};rport;branch={exchange.branch}"),
            ("Max-Forwards", "70"),
            ("From", f"<sip:{user}@{domain if s.method == 'REGISTER' else bracketed(address)}>;tag={exchange.tag}"),
            ("To", to),
            ("Call-ID", exchange.call_id),
            ("CSeq", f"{record.rounds} {s.method}"),
            ("User-Agent", "sipha-probe"),
        ]
        if s.method == "REGISTER":
            headers += [("Contact", contact), ("Expires", str(exchange.expires)), *more]
        exchange.packet = request(s.method, self._uri(), headers)
        exchange.interval = s.t1
        self._air[exchange.branch] = exchange
        self._send(exchange)

    def _uri(self) -> str:
        s = self.settings
        return f"sip:{s.domain}" if s.domain else f"sip:{at(s.target, s.port)}"

    def _send(self, exchange: Exchange) -> None:
        now, record = time.monotonic(), exchange.record
        problem = self._transport.send(exchange.packet, now)
        if record.sent is None:
            record.sent = now + self._epoch
        if problem:
            record.error = problem
            if self._transport.reliable:
                self._finish(exchange)
                return
        else:
            record.transmissions += 1
        again = now + exchange.interval
        repeats = self.settings.retransmit and not self._transport.reliable
        heapq.heappush(self._timers, (min(again, exchange.deadline) if repeats else exchange.deadline, exchange.branch))

    def _fire(self, now: float) -> None:
        """Timers E and F of RFC 3261, 17.1.2.2."""
        while self._timers and self._timers[0][0] <= now:
            _, branch = heapq.heappop(self._timers)
            exchange = self._air.get(branch)
            if exchange is None:
                continue
            if now >= exchange.deadline:
                exchange.record.error = exchange.record.error or "no answer"
                self._finish(exchange)
            else:
                exchange.interval = min(exchange.interval * 2, self.settings.t2)
                self._send(exchange)

    def _drop_earlier_lives(self) -> None:
        """A broken connection: what went through it is not answered any more."""
        if self._life == self._transport.lives:
            return
        self._life = self._transport.lives
        for exchange in [one for one in self._air.values() if one.life != self._life]:
            exchange.record.error = self._transport.why
            self._finish(exchange)

    def _finish(self, exchange: Exchange) -> None:
        self._air.pop(exchange.branch, None)
        if exchange.counted:
            self.sink(exchange.record)
        else:
            self.unregistered = exchange.record.good

    # Answers
    def _arrived(self, message: Message, source: str) -> None:
        now, status = time.monotonic(), message.status
        if status is None:
            self._pinged(message, source, now)
            return
        exchange = self._air.get(message.branch)
        if exchange is None:
            return  # the second answer, to a retransmission
        target = at(self.settings.target, self.settings.port)
        if source != target and not self.settings.any_source:
            exchange.record.error = f"answer came from {source}, not from {target}"[:MAX_TEXT]
            return
        if status < 200:
            exchange.interval = self.settings.t2
            return
        record = exchange.record
        if status in (401, 407) and self.settings.method == "REGISTER":
            if self._authorise(exchange, message, status):
                return
        else:
            record.error = ""
        record.code, record.answered, record.source = status, now + self._epoch, source
        record.who = message.get(self.settings.who_header)[:MAX_TEXT]
        self._finish(exchange)

    def _authorise(self, exchange: Exchange, message: Message, status: int) -> bool:
        """Ask again with credentials. False when that is of no use: then the 401 is the answer."""
        record, account = exchange.record, self.settings.account(exchange.record.number)
        try:
            challenge = choose(message.all("www-authenticate" if status == 401 else "proxy-authenticate"), account)
        except DigestError as error:
            record.error = str(error)
            return False
        if record.rounds >= MAX_ROUNDS or (record.rounds > 1 and not challenge.stale):
            record.error = "credentials refused" if not challenge.stale else "nonce refused as stale again and again"
            return False
        name = "Authorization" if status == 401 else "Proxy-Authorization"
        value = credentials(challenge, account, "REGISTER", self._uri(), secrets.token_hex(8))
        self._air.pop(exchange.branch, None)
        record.error = ""
        self._ask(exchange, ((name, value),))
        return True

    def _pinged(self, message: Message, source: str, now: float) -> None:
        self.sink(Ping(now + self._epoch, source, message.method))
        if message.method != "ACK":
            status = "200 OK" if message.method == "OPTIONS" else "405 Method Not Allowed"
            self._transport.answer(reply(message, status, self._name[:8]), source, now)
