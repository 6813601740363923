"""SIP messages as text: build them, take them apart, answer a digest challenge."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass

SDP = "v=0\r\no=lab 1 1 IN IP4 198.18.30.50\r\ns=-\r\nc=IN IP4 198.18.30.50\r\nt=0 0\r\nm=audio 30000 RTP/AVP 8\r\n"


@dataclass(frozen=True)
class Message:
    """One SIP message as somebody saw it."""

    text: str

    @property
    def first_line(self) -> str:
        return self.text.partition("\r\n")[0].partition("\n")[0].strip()

    @property
    def status(self) -> int:
        """Status code of a reply, 0 for a request."""
        found = re.match(r"SIP/2\.0 (\d{3}) ", self.first_line)
        return int(found.group(1)) if found else 0

    @property
    def method(self) -> str:
        """Method of a request, or of the request that a reply belongs to."""
        return self.header("CSeq").split()[-1] if self.status else self.first_line.split()[0]

    @property
    def call_id(self) -> str:
        return self.header("Call-ID")

    @property
    def body_version(self) -> str:
        """Version of the session in an SDP body."""
        found = re.search(r"^o=\S+ \S+ (\S+)", self.text, re.MULTILINE)
        return found.group(1) if found else ""

    @property
    def media_address(self) -> str:
        """Where an SDP body wants its media."""
        found = re.search(r"^c=IN IP4 (\S+)", self.text, re.MULTILINE)
        return found.group(1) if found else ""

    def headers(self, name: str) -> list[str]:
        return [value.strip() for value in re.findall(rf"^{name}[ \t]*:(.*)$", self.text, re.MULTILINE | re.IGNORECASE)]

    def header(self, name: str) -> str:
        return next(iter(self.headers(name)), "")


@dataclass
class Request:
    """A request to build; every header can be replaced, left out (value None) or added."""

    method: str
    uri: str
    from_uri: str
    to_uri: str
    source: tuple[str, int]
    call_id: str = ""
    cseq: int = 1
    from_tag: str = ""
    headers: dict[str, str | None] | None = None
    body: str = ""

    def __post_init__(self) -> None:
        self.call_id = self.call_id or f"{secrets.token_hex(8)}@{self.source[0]}"
        self.from_tag = self.from_tag or secrets.token_hex(4)

    def text(self, authorization: str = "", branch: str = "") -> str:
        host, port = self.source
        headers: dict[str, str | None] = {
            "Via": f"SIP/2.0/UDP {host}:{port};rport;branch=z9hG4bK{branch or secrets.token_hex(8)}",
            "Max-Forwards": "70",
            "From": f"<{self.from_uri}>;tag={self.from_tag}",
            "To": f"<{self.to_uri}>",
            "Call-ID": self.call_id,
            "CSeq": f"{self.cseq} {self.method}",
            "User-Agent": "sipha lab phone",
        }
        if self.method in ("REGISTER", "INVITE"):
            headers["Contact"] = f"<sip:test@{host}:{port}>"
        if self.body:
            headers["Content-Type"] = "application/sdp"
        if authorization:
            headers["Authorization" if self.method == "REGISTER" else "Proxy-Authorization"] = authorization
        headers.update(self.headers or {})
        headers.setdefault("Content-Length", str(len(self.body)))
        lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
        return "\r\n".join([f"{self.method} {self.uri} SIP/2.0", *lines, "", self.body])


def digest(challenge: Message, method: str, uri: str, user: str, password: str) -> str:
    """Credentials for the MD5 challenge in a 401 or 407 (RFC 2617)."""
    offered = challenge.header("WWW-Authenticate") or challenge.header("Proxy-Authenticate")
    fields = {name.lower(): quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', offered)}

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()  # noqa: S324 (what phones do)

    ha1, ha2 = md5(f"{user}:{fields['realm']}:{password}"), md5(f"{method}:{uri}")
    given = f'Digest username="{user}", realm="{fields["realm"]}", nonce="{fields["nonce"]}", uri="{uri}", algorithm=MD5'
    if "qop" in fields:
        count, client_nonce = "00000001", secrets.token_hex(8)
        response = md5(f"{ha1}:{fields['nonce']}:{count}:{client_nonce}:auth:{ha2}")
        return f'{given}, qop=auth, nc={count}, cnonce="{client_nonce}", response="{response}"'
    response = md5(f"{ha1}:{fields['nonce']}:{ha2}")
    return f'{given}, response="{response}"'
