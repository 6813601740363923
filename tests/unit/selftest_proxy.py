"""A registrar and proxy on 127.0.0.1 with a media relay, for tests of what phones speak. What it does wrong is set in its fields."""

from __future__ import annotations

import hashlib
import re
import secrets
import selectors
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field

from ansible_collections.sipha.cluster.plugins.module_utils.node.message import Message

Address = tuple[str, int]
LINE = {"www": "www-authenticate", "proxy": "proxy-authenticate"}


def text(message: Message, body: str | None = None) -> bytes:
    first = f"SIP/2.0 {message.status} {message.reason}" if message.status else f"{message.method} {message.uri} SIP/2.0"
    body = message.body if body is None else body
    headers = [(name, value) for name, value in message.headers if name != "content-length"]
    return "\r\n".join([first, *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(body)}", "", body]).encode()


def udp() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    return made


@dataclass
class Server:
    password: str = "right"
    algorithm: str = "MD5"
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)  # REGISTER, UNREGISTER, CHALLENGE, INVITE, BYE: answered by itself
    ignore: set[str] = field(default_factory=set)  # the same words: no answer, goes nowhere
    drop: Counter[str] = field(default_factory=Counter)  # so many requests of a method are lost
    answer: tuple[int, str] = (200, "OK")  # what a caller gets when the phone answers
    end: tuple[int, str] = (200, "OK")  # what a caller gets when the phone takes the BYE
    shows_bindings: bool = True
    relay: str = "both"  # or none, mute (an SDP without address), to the caller, to the phone: one way only
    ping: bool = False  # OPTIONS to the phone before each call
    bindings: dict[str, Address] = field(default_factory=dict)
    phones: dict[str, Address] = field(default_factory=dict)  # all that were ever bound
    ended: list[str] = field(default_factory=list)  # Call-IDs of calls whose BYE went through
    seen: list[str] = field(default_factory=list)  # methods that came, lost ones too
    sources: dict[str, Address] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)  # branches of INVITEs whose refusal nobody has acknowledged yet

    def __post_init__(self) -> None:
        self.signalling, self.phone_side, self.caller_side, self.waker = udp(), udp(), udp(), udp()
        self.heard: dict[socket.socket, Address] = {}
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    @property
    def address(self) -> Address:
        return "127.0.0.1", int(self.signalling.getsockname()[1])

    def close(self) -> None:
        with udp() as client:
            client.sendto(b"", self.waker.getsockname())
        self.thread.join(5)
        for one in (self.signalling, self.phone_side, self.caller_side, self.waker):
            one.close()

    def serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            for one in (self.signalling, self.phone_side, self.caller_side, self.waker):
                selector.register(one, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self.waker:
                        return
                    assert isinstance(key.fileobj, socket.socket)
                    data, source = key.fileobj.recvfrom(65535)
                    if key.fileobj is self.signalling:
                        message = Message.parse(data)
                        if message and message.status:
                            self.response(message)
                        elif message:
                            self.request(message, source)
                    else:
                        self.media(key.fileobj, data, source)

    def media(self, at: socket.socket, data: bytes, source: Address) -> None:
        """What comes at one side leaves at the other, to whoever was heard there."""
        self.heard[at] = source
        other, way = (self.caller_side, "to the caller") if at is self.phone_side else (self.phone_side, "to the phone")
        if self.relay in ("both", way) and other in self.heard:
            other.sendto(data, self.heard[other])

    def sdp(self, body: str, side: socket.socket) -> str:
        if self.relay == "none" or not body:
            return body
        if self.relay == "mute":
            return re.sub(r"c=IN.*\r\n", "", body)
        body = re.sub(r"c=IN IP4 \S+", "c=IN IP4 127.0.0.1", body)
        return re.sub(r"m=audio \d+", f"m=audio {side.getsockname()[1]}", body)

    def reply(self, asked: Message, source: Address, status: int, reason: str, *more: tuple[str, str]) -> None:
        kept = [(name, value) for name, value in asked.headers if name in ("via", "from", "call-id", "cseq")]
        to = asked.header("To") + ("" if ";tag=" in asked.header("To") or status == 100 else ";tag=server")
        self.signalling.sendto(text(Message("", "", status, reason, [*kept, ("to", to), *more], "")), source)

    def allowed(self, asked: Message, line: str) -> bool:
        found = dict(re.findall(r'(\w+)="?([^",]*)', asked.header(line)))
        if not found:
            return False

        def digest(value: str) -> str:
            return hashlib.new({"MD5": "md5", "SHA-256": "sha256"}[self.algorithm], value.encode(), usedforsecurity=False).hexdigest()

        a1, a2 = digest(f"{found['username']}:test:{self.password}"), digest(f"{asked.method}:{found['uri']}")
        return found["response"] == digest(f"{a1}:{found['nonce']}:{found['nc']}:{found['cnonce']}:auth:{a2}")

    def request(self, asked: Message, source: Address) -> None:
        self.seen.append(asked.method)
        if self.drop[asked.method] > 0:
            self.drop[asked.method] -= 1
            return
        ours = [value for value in asked.all("Route") if f"{self.address[0]}:{self.address[1]}" in value]
        word = "UNREGISTER" if asked.method == "REGISTER" and asked.header("Expires") == "0" else asked.method
        if asked.method == "ACK" and not ours:
            self.refused.discard(asked.branch)
        elif asked.method in ("REGISTER", "INVITE") and not self.allowed(
            asked, "Authorization" if asked.method == "REGISTER" else "Proxy-Authorization"
        ):
            self.challenge(asked, source)
        elif word in self.ignore:
            return
        elif word in self.refuse:
            if word == "INVITE":
                self.refused.add(asked.branch)
            self.reply(asked, source, *self.refuse[word])
        elif asked.method == "REGISTER":
            self.register(asked, source)
        else:
            self.forward(asked, source)

    def challenge(self, asked: Message, source: Address) -> None:
        if "CHALLENGE" in self.ignore:
            return
        if "CHALLENGE" in self.refuse:
            self.reply(asked, source, *self.refuse["CHALLENGE"])
            return
        status, reason, line = (
            (401, "Unauthorized", "www") if asked.method == "REGISTER" else (407, "Proxy Authentication Required", "proxy")
        )
        if asked.method == "INVITE":
            self.refused.add(asked.branch)
        digest = f'Digest realm="test", nonce="{secrets.token_hex(4)}", qop="auth", algorithm={self.algorithm}'
        self.reply(
            asked, source, status, reason, (LINE[line], 'Digest realm="test", nonce="x", algorithm=SHA-512-256'), (LINE[line], digest)
        )

    def register(self, asked: Message, source: Address) -> None:
        contact = asked.header("Contact").strip("<>")
        if asked.header("Expires") == "0":
            self.bindings.pop(contact, None)
        else:
            self.bindings[contact] = self.phones[contact] = source
        bound = [("contact", f"<{one}>;expires=60") for one in self.bindings] if self.shows_bindings else []
        self.reply(asked, source, 200, "OK", *bound)

    def forward(self, asked: Message, source: Address) -> None:
        branch = f"z9hG4bK{secrets.token_hex(4)}"
        self.sources[branch] = source
        target = asked.uri if asked.uri in self.phones else next(iter(self.bindings))
        if asked.method == "INVITE":
            self.reply(asked, source, 100, "Trying")
            if self.ping:
                self.signalling.sendto(
                    text(Message("OPTIONS", target, 0, "", [("call-id", "ping"), ("cseq", "1 OPTIONS")], "")), self.phones[target]
                )
        own = f"{self.address[0]}:{self.address[1]}"
        headers = [("via", f"SIP/2.0/UDP {own};branch={branch}"), *(line for line in asked.headers if line[0] != "route")]
        if asked.method == "INVITE":
            headers.insert(0, ("record-route", f"<sip:{own};lr>"))
        out = Message(asked.method, target, 0, "", headers, asked.body)
        self.signalling.sendto(text(out, self.sdp(asked.body, self.phone_side)), self.phones[target])

    def response(self, answer: Message) -> None:
        if answer.branch not in self.sources:
            return
        source = self.sources[answer.branch]
        top = next(index for index, (name, _) in enumerate(answer.headers) if name == "via")
        del answer.headers[top]
        if answer.method == "BYE":
            self.ended.append(answer.header("Call-ID"))
            answer.status, answer.reason = self.end
        elif answer.status == 200:
            answer.status, answer.reason = self.answer
            if answer.status != 200:
                self.refused.add(answer.branch)
        self.signalling.sendto(text(answer, self.sdp(answer.body, self.caller_side)), source)
