"""The phone: registers, makes and takes one call at a time, puts it on hold, ends it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sip_text import Message, Request, digest

from . import sdp
from .clock import Timer, Timers
from .media import Media
from .messages import Address, Dialog, body_of, branch_of, number_of, tag_of, uri_of
from .transactions import Client, Send, Server

LEAVE = 2.0


class RefusedError(Exception):
    """A command that makes no sense now."""


@dataclass(frozen=True)
class Identity:
    user: str
    domain: str
    password: str
    source: Address
    proxy: Address

    @property
    def uri(self) -> str:
        return f"sip:{self.user}@{self.domain}"

    @property
    def contact(self) -> str:
        return f"<sip:{self.user}@{self.source[0]}:{self.source[1]}>"


def _nothing(message: Message | None) -> None:
    """Nobody waits for this reply."""


class Agent:
    def __init__(self, me: Identity, timers: Timers, send: Send, media: Media, report: Callable[..., None]) -> None:
        self.me, self.timers, self.send, self.media, self.report = me, timers, send, media, report
        self.ring, self.status = 0.2, 200
        self.pings = 0
        self.dialog: Dialog | None = None
        self.over = False  # has left, or has nothing more to say
        self._clients: dict[tuple[str, str], Client] = {}
        self._servers: dict[tuple[str, str], Server] = {}
        self._inviting: Client | None = None
        self._invited: Server | None = None  # a call to us that is not answered yet
        self._ringing: Timer | None = None
        self._cancels = self._leaves = False
        self._registration = Request("REGISTER", f"sip:{me.domain}", me.uri, me.uri, me.source)

    @property
    def busy(self) -> bool:
        return bool(self.dialog or self._inviting or self._invited)

    # Commands
    def register(self, expires: int) -> None:
        headers: dict[str, str | None] = {"Contact": f"{self.me.contact};expires={expires}"}
        self._request(replace(self._registration, headers=headers), self.me.proxy, partial(self._registered, expires))
        self._registration = replace(self._registration, cseq=self._registration.cseq + 2)  # one for the challenge

    def call(self, callee: str) -> None:
        if self.busy:
            raise RefusedError("there is a call")
        invite = Request(
            "INVITE", callee, self.me.uri, callee, self.me.source, headers={"Contact": self.me.contact}, body=self.media.offer()
        )
        self._cancels = False
        self._request(invite, self.me.proxy, self._called, self._progress)
        self.report("calling", call_id=invite.call_id)

    def cancel(self) -> None:
        if self.dialog or not self._inviting:
            raise RefusedError("no call of ours is ringing")
        self._cancels = True
        if self._inviting.proceeding:
            self._cancel(self._inviting)

    def hold(self, on: bool) -> None:
        dialog = self._established()
        if self._inviting:
            raise RefusedError("a re-INVITE is under way")
        self.media.holds = on
        self._request(dialog.request("INVITE", self.me.contact, self.media.offer()), dialog.hop, partial(self._reinvited, dialog))

    def bye(self) -> None:
        dialog = self._established()
        self._ended()
        self._request(dialog.request("BYE"), dialog.hop, self._said_bye)

    def leave(self) -> None:
        """Ends the call, if there is one, before the process ends; no longer than LEAVE."""
        if self._leaves:
            return
        self._leaves = True
        self.timers.after(LEAVE, self._gone)
        if self.dialog:
            self.bye()
        elif self._inviting:
            self.cancel()
        elif self._invited:
            self._decline(self._invited, 480)
        else:
            self._gone()

    def _gone(self) -> None:
        self.over = True

    def _established(self) -> Dialog:
        if not self.dialog:
            raise RefusedError("there is no call")
        return self.dialog

    # Requests of ours
    def _request(
        self,
        request: Request,
        target: Address,
        done: Callable[[Message | None], None],
        progress: Callable[[Message], None] = _nothing,
        authorization: str = "",
        branch: str = "",
    ) -> None:
        def finished(message: Message | None) -> None:
            outside = "To" not in (request.headers or {})  # inside a dialog nobody is asked
            if message and message.status in (401, 407) and self.me.password and outside and not authorization:
                again = replace(request, cseq=request.cseq + 1)
                given = digest(message, request.method, request.uri, self.me.user, self.me.password)
                self._request(again, target, done, progress, given)
            else:
                done(message)

        options = {"authorization": authorization, "branch": branch}
        client = Client(self.timers, self.send, request, target, done=finished, progress=progress, **options)
        self._clients[client.branch, request.method] = client
        if client.invite:
            self._inviting = client

    def _registered(self, expires: int, message: Message | None) -> None:
        if message and message.status == 200:
            self.report("registered", expires=expires, contacts=message.headers("Contact"))
        else:
            self._failed("REGISTER", message)

    def _failed(self, method: str, message: Message | None) -> None:
        """A request of ours was refused, or, with our own 408, not answered."""
        self.report("failed", method=method, status=message.status if message else 408, answered=message is not None)

    def _progress(self, message: Message) -> None:
        if message.status > 100:
            self.report("ringing", status=message.status)
        if self._cancels and self._inviting:
            self._cancel(self._inviting)

    def _cancel(self, invite: Client) -> None:
        if (invite.branch, "CANCEL") not in self._clients:
            self._request(invite.cancel(), invite.target, _nothing, branch=invite.branch)

    def _called(self, message: Message | None) -> None:
        """The end of an INVITE that was to begin a call."""
        client, self._inviting = self._inviting, None
        if not client or not message or message.status >= 300:
            self._ended()
            self._failed("INVITE", message)
            self._left()
            return
        self.dialog = Dialog.called(self.me.source, message)
        self._acknowledge(client, self.dialog, message)
        self.media.start()
        self.report("answered", call_id=message.call_id, by="them", sdp=body_of(message))
        if self._cancels:  # they were faster
            self.bye()

    def _reinvited(self, dialog: Dialog, message: Message | None) -> None:
        client, self._inviting = self._inviting, None
        if not client or not message or message.status >= 300:
            self._failed("INVITE", message)
            return
        dialog.refresh(message)
        self._acknowledge(client, dialog, message)
        self.report("reinvited", by="us", sdp=body_of(message))

    def _acknowledge(self, client: Client, dialog: Dialog, message: Message) -> None:
        client.ack = (dialog.ack(message).text(), dialog.hop)
        self.send(*client.ack)
        session = sdp.parse(body_of(message))
        if session:
            self.media.take(session)

    def _said_bye(self, message: Message | None) -> None:
        if message and message.status == 200:
            self.report("bye", by="us")
        else:
            self._failed("BYE", message)
        self._left()

    def _ended(self) -> None:
        self.dialog, self._invited, self.media.holds = None, None, False
        self.media.stop()

    def _left(self) -> None:
        if self._leaves:
            self._gone()

    # What comes in
    def receive(self, text: str, peer: Address) -> None:
        message = Message(text)
        if message.status:
            client = self._clients.get((branch_of(message), message.method))
            if client:
                client.receive(message)
        elif message.method == "ACK":
            self._acknowledged(message)
        else:
            key = branch_of(message), message.method
            known = self._servers.get(key)
            if known:
                known.again()
                return
            server = self._servers[key] = Server(self.timers, self.send, message, peer, self._unheard)
            self._handle(server, message)

    def _handle(self, server: Server, request: Message) -> None:
        inside = self.dialog if self.dialog and self.dialog.has(request) else None
        if request.method == "OPTIONS":
            self.pings += not tag_of(request.header("To"))
            server.answer(200, secrets.token_hex(4))
        elif request.method == "CANCEL":
            self._cancelled(server, request)
        elif request.method not in ("INVITE", "BYE"):
            server.answer(405, secrets.token_hex(4))
        elif tag_of(request.header("To")) and not inside:
            server.answer(481)
        elif request.method == "BYE" and inside:
            server.answer(200)
            for waiting in self._servers.values():
                waiting.acknowledged()
            self._ended()
            self.report("bye", by="them")
            self._left()
        elif inside:
            self._changed(server, request, inside)
        else:
            self._incoming(server, request)

    def _acknowledged(self, ack: Message) -> None:
        for server in self._servers.values():
            if server.waits_for(ack):
                server.acknowledged()
                if server.final == 200:
                    self.report("confirmed", call_id=ack.call_id)

    def _unheard(self) -> None:
        """Nobody acknowledged our final reply: there is no call (RFC 3261, 13.3.1.4)."""
        self.report("failed", method="ACK", status=408, answered=False)
        if self.dialog:
            self.bye()

    def _incoming(self, server: Server, invite: Message) -> None:
        session = sdp.parse(body_of(invite))
        if self.busy or self._leaves or not session:
            server.answer(486 if session else 488, secrets.token_hex(4))
            return
        tag = secrets.token_hex(4)
        self._invited = server
        self.report("incoming", call_id=invite.call_id, caller=uri_of(invite.header("From")), sdp=body_of(invite))
        if self.status != 200:
            self._decline(server, self.status)
            return
        server.answer(180, tag, {"Contact": self.me.contact})
        self._ringing = self.timers.after(self.ring, partial(self._accept, server, invite, session, tag))

    def _accept(self, server: Server, invite: Message, session: sdp.Session, tag: str) -> None:
        self._invited = None
        self.dialog = Dialog.calling(self.me.source, invite, tag)
        self.media.take(session)
        server.answer(200, tag, {"Contact": self.me.contact}, self.media.answer(session))
        self.media.start()
        self.report("answered", call_id=invite.call_id, by="us")

    def _decline(self, server: Server, status: int) -> None:
        if self._ringing:
            self._ringing.cancel()
        server.answer(status, secrets.token_hex(4))
        self._invited = None
        self.report("declined", status=status)
        self._left()

    def _cancelled(self, server: Server, cancel: Message) -> None:
        invite = self._servers.get((branch_of(cancel), "INVITE"))
        server.answer(200 if invite else 481, secrets.token_hex(4))
        if invite and invite is self._invited:
            self._decline(invite, 487)

    def _changed(self, server: Server, invite: Message, dialog: Dialog) -> None:
        """A re-INVITE of the other side."""
        session = sdp.parse(body_of(invite))
        if self._inviting:
            server.answer(491)
        elif number_of(invite) <= dialog.remote_cseq:
            server.answer(500)
        elif not session:
            server.answer(488)
        else:
            dialog.remote_cseq = number_of(invite)
            dialog.refresh(invite)
            self.media.take(session)
            server.answer(200, "", {"Contact": self.me.contact}, self.media.answer(session))
            self.report("reinvited", by="them", sdp=body_of(invite))


def state_of(agent: Agent) -> dict[str, Any]:
    """What stats say beside the media."""
    return {"pings": agent.pings, "call_up": agent.dialog is not None, **agent.media.summary()}
