"""Transactions over UDP: what is sent again, and until when (RFC 3261, 17)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

from sip_text import Message, Request

from .clock import Timer, Timers
from .messages import Address, number_of, reply, reply_target

T1, T2, LIMIT = 0.5, 4.0, 32.0
Send = Callable[[str, Address], None]


class Repeats:
    """A datagram that is sent again, at longer and longer intervals, until it is stopped."""

    def __init__(self, timers: Timers, send: Callable[[], None], longest: float) -> None:
        self.timers, self.send, self.longest, self.interval = timers, send, longest, T1
        self._timer: Timer = timers.after(T1, self._again)

    def _again(self) -> None:
        self.send()
        self.interval = min(self.interval * 2, self.longest)
        self._timer = self.timers.after(self.interval, self._again)

    def stop(self) -> None:
        self._timer.cancel()


class Client:
    """A request of ours. `done` gets the final reply once, or None when there was none; `progress` each provisional one."""

    def __init__(
        self,
        timers: Timers,
        send: Send,
        request: Request,
        target: Address,
        *,
        authorization: str = "",
        branch: str = "",
        done: Callable[[Message | None], None],
        progress: Callable[[Message], None],
    ) -> None:
        self.request, self.target, self.branch = request, target, branch or secrets.token_hex(8)
        self.invite = request.method == "INVITE"
        self.proceeding = self.finished = False
        self.ack: tuple[str, Address] | None = None  # for the final reply, each time it comes
        self._send, self._done, self._progress = send, done, progress
        text = request.text(authorization, self.branch)
        send(text, target)
        self._repeats = Repeats(timers, lambda: send(text, target), LIMIT if self.invite else T2)
        self._limit = timers.after(LIMIT, self._timeout)

    def receive(self, message: Message) -> None:
        if self.finished:
            if message.status >= 200 and self.ack:
                self._send(*self.ack)
            return
        if message.status < 200:
            self.proceeding = True
            if self.invite:  # it may ring for long; others are sent again until there is a final reply
                self._repeats.stop()
                self._limit.cancel()
            else:
                self._repeats.interval = T2
            self._progress(message)
            return
        self._end()
        if self.invite and message.status >= 300:
            headers = {**self._kept(), "To": message.header("To")}
            self.ack = (replace(self.request, method="ACK", headers=headers, body="").text(branch=self.branch), self.target)
            self._send(*self.ack)
        self._done(message)

    def cancel(self) -> Request:
        """The CANCEL for it; it must be sent in the same branch."""
        return replace(self.request, method="CANCEL", headers=self._kept(), body="")

    def _kept(self) -> dict[str, str | None]:
        return {name: value for name, value in (self.request.headers or {}).items() if name in ("Route", "To")}

    def _timeout(self) -> None:
        self._end()
        self._done(None)

    def _end(self) -> None:
        self.finished = True
        self._repeats.stop()
        self._limit.cancel()


class Server:
    """A request to us, and our last reply to it, sent again when the request comes again; a final one to an INVITE until its ACK."""

    def __init__(self, timers: Timers, send: Send, request: Message, peer: Address, unheard: Callable[[], None]) -> None:
        self.request, self.timers, self.final = request, timers, 0
        self._send, self._target, self._unheard = send, reply_target(request, peer), unheard
        self._last = ""
        self._repeats: Repeats | None = None
        self._limit: Timer | None = None

    def answer(self, status: int, tag: str = "", headers: dict[str, str] | None = None, body: str = "") -> None:
        self._last = reply(self.request, status, tag, headers, body)
        self.again()
        if status >= 200:
            self.final = status
            if self.request.method == "INVITE":
                self._repeats = Repeats(self.timers, self.again, T2)
                self._limit = self.timers.after(LIMIT, self._timeout)

    def again(self) -> None:
        if self._last:
            self._send(self._last, self._target)

    def waits_for(self, ack: Message) -> bool:
        """This ACK is for our final reply, and the first one."""
        return self._limit is not None and (ack.call_id, number_of(ack)) == (self.request.call_id, number_of(self.request))

    def acknowledged(self) -> None:
        if self._repeats and self._limit:
            self._repeats.stop()
            self._limit.cancel()
            self._limit = None

    def _timeout(self) -> None:
        self.acknowledged()
        self._unheard()
