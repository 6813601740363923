"""The SIP that a phone of the self-test speaks: messages taken apart, requests and answers made, digest credentials (RFC 3261, 7616)."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field

COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length", "c": "content-type"}
HASHES = {"MD5": "md5", "SHA-256": "sha256"}


@dataclass
class Message:
    """A request (status 0) or an answer (method of its CSeq). Headers in their order, names in lower case and long form."""

    method: str
    uri: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: str

    @classmethod
    def parse(cls, datagram: bytes) -> Message | None:
        """None when it is not SIP."""
        head, _, body = datagram.decode("utf-8", "replace").lstrip("\r\n").partition("\r\n\r\n")
        first, *lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
        headers = []
        for line in lines:
            name, colon, value = line.partition(":")
            if colon:
                low = name.strip().lower()
                headers.append((COMPACT.get(low, low), value.strip()))
        answer = re.fullmatch(r"SIP/2\.0 ([1-6]\d\d) ?(.*)", first)
        asked = re.fullmatch(r"([A-Z]+) (\S+) SIP/2\.0", first)
        made = cls("", "", 0, "", headers, body)
        if answer:
            made.status, made.reason = int(answer[1]), answer[2]
            made.method = made.header("CSeq").rpartition(" ")[2]
        elif asked:
            made.method, made.uri = asked[1], asked[2]
        return made if (answer or asked) and made.method and made.header("Call-ID") else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name.lower()]

    def header(self, name: str) -> str:
        """All its values, joined by commas; "" where there is none."""
        return ", ".join(self.all(name))

    @property
    def branch(self) -> str:
        found = re.search(r";branch=([^;,\s]+)", (self.all("via") or [""])[0])
        return found[1] if found else ""


@dataclass
class Dialog:
    """What a caller knows of its dialog; also used for a row of REGISTERs."""

    local: str
    remote: str
    call_id: str
    tag: str = field(default_factory=lambda: secrets.token_hex(4))
    remote_tag: str = ""
    cseq: int = 0
    routes: list[str] = field(default_factory=list)
    target: str = ""

    def answered(self, answer: Message) -> None:
        """Take what the answer to the INVITE says: the other's tag, the route, where it is."""
        found = re.search(r";tag=([^;,\s]+)", answer.header("To"))
        self.remote_tag = found[1] if found else ""
        self.routes = [entry.strip() for entry in reversed(re.split(r",(?=\s*<)", answer.header("Record-Route"))) if entry.strip()]
        contact = re.search(r"<([^>]+)>", answer.header("Contact"))
        self.target = contact[1] if contact else answer.header("Contact").partition(";")[0]


def request(method: str, uri: str, dialog: Dialog, sent_by: str, contact: str, extra: str = "", body: str = "") -> str:
    """A request of the dialog, in a transaction of its own; `extra` are whole header lines."""
    remote_tag = f";tag={dialog.remote_tag}" if dialog.remote_tag else ""
    kind = "Content-Type: application/sdp\r\n" if body else ""
    routes = "".join(f"Route: {route}\r\n" for route in dialog.routes)
    return (
        f"{method} {uri} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {sent_by};branch=z9hG4bK{secrets.token_hex(8)};rport\r\n"
        f"{routes}Max-Forwards: 10\r\n"
        f"From: <{dialog.local}>;tag={dialog.tag}\r\n"
        f"To: <{dialog.remote}>{remote_tag}\r\n"
        f"Call-ID: {dialog.call_id}\r\n"
        f"CSeq: {dialog.cseq} {method}\r\n"
        f"Contact: {contact}\r\n"
        f"{extra}User-Agent: sipha-selftest\r\n"
        f"{kind}Content-Length: {len(body)}\r\n\r\n{body}"
    )


def ack(answer: Message, invite: str) -> str:
    """The ACK of a refusal: of the INVITE's own transaction, to whoever refused."""
    lines = [
        line for line in invite.partition("\r\n\r\n")[0].split("\r\n") if not line.startswith(("To:", "Content-Type:", "Content-Length:"))
    ]
    method, uri, version = lines[0].split(" ")
    lines[0] = f"ACK {uri} {version}"
    lines = [re.sub(rf"^(CSeq: \d+) {method}$", r"\1 ACK", line) for line in lines]
    return "\r\n".join([*lines, f"To: {answer.header('To')}", "Content-Length: 0", "", ""])


def response(asked: Message, status: int, reason: str, tag: str, contact: str, body: str = "") -> str:
    """The answer of a phone; `tag` "" where the request's To has one."""
    to = asked.header("To") + (f";tag={tag}" if tag and ";tag=" not in asked.header("To") else "")
    copied = "".join(f"{name}: {value}\r\n" for name in ("Via", "Record-Route") for value in asked.all(name))
    kind = "Content-Type: application/sdp\r\n" if body else ""
    return (
        f"SIP/2.0 {status} {reason}\r\n{copied}From: {asked.header('From')}\r\nTo: {to}\r\nCall-ID: {asked.header('Call-ID')}\r\n"
        f"CSeq: {asked.header('CSeq')}\r\nContact: {contact}\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}"
    )


def parameters(text: str) -> dict[str, str]:
    """Those of a challenge, names in lower case. A quoted text stays as it is written, with its backslashes."""
    return {key.lower(): quoted or bare for key, quoted, bare in re.findall(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))', text)}


def answerable(asked: dict[str, str]) -> bool:
    known = asked.get("algorithm", "MD5").upper() in HASHES
    return known and "nonce" in asked and "realm" in asked and "auth" in re.split(r"[,\s]+", asked.get("qop", "auth").lower())


def authorization(challenge: Message, method: str, uri: str, user: str, password: str) -> str:
    """Header line with digest credentials for the first challenge that this can answer; "" where there is none."""
    name, asked = next(
        (
            (ours, asked)
            for theirs, ours in (("WWW-Authenticate", "Authorization"), ("Proxy-Authenticate", "Proxy-Authorization"))
            for value in challenge.all(theirs)
            if value.lower().startswith("digest ") and answerable(asked := parameters(value[7:]))
        ),
        ("", {}),
    )
    if not name:
        return ""
    algorithm = asked.get("algorithm", "MD5").upper()

    def digest(value: str) -> str:
        return hashlib.new(HASHES[algorithm], value.encode(), usedforsecurity=False).hexdigest()

    secret, what, nonce = digest(f"{user}:{asked['realm']}:{password}"), digest(f"{method}:{uri}"), asked["nonce"]
    fields = f'username="{user}", realm="{asked["realm"]}", nonce="{nonce}", uri="{uri}", algorithm={algorithm}'
    if "qop" in asked:
        own = secrets.token_hex(8)
        fields += f', response="{digest(f"{secret}:{nonce}:00000001:{own}:auth:{what}")}", qop=auth, nc=00000001, cnonce="{own}"'
    else:
        fields += f', response="{digest(f"{secret}:{nonce}:{what}")}"'
    if "opaque" in asked:
        fields += f', opaque="{asked["opaque"]}"'
    return f"{name}: Digest {fields}\r\n"


def audio(sdp: str) -> tuple[str, int]:
    """Where an SDP wants the audio; ("", 0) where it has none. An address of the audio's own counts more than that of the session."""
    session, *media = re.split(r"^(?=m=)", sdp, flags=re.MULTILINE)
    own = next((one for one in media if one.startswith("m=audio ")), "")
    port = re.match(r"m=audio (\d+)", own)
    address = next((found for text in (own, session) if (found := re.search(r"^c=IN IP4 ([\d.]+)", text, re.MULTILINE))), None)
    return (address[1], int(port[1])) if address and port and 0 < int(port[1]) < 65536 else ("", 0)
