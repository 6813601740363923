"""What SIP headers say: addresses, tags, route sets, where a reply goes, dialogs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sip_text import Message, Request

Address = tuple[str, int]
REASONS = {180: "Ringing", 200: "OK", 405: "Method Not Allowed", 481: "Call Does Not Exist", 486: "Busy Here", 487: "Request Terminated"}


def listed(values: list[str]) -> list[str]:
    """The single values of headers that may hold several, in their order."""
    return [item.strip() for value in values for item in re.findall(r'(?:<[^>]*>|"[^"]*"|[^,<"])+', value)]


def uri_of(value: str) -> str:
    """The URI in a From, To, Contact or Route value."""
    found = re.search(r"<([^>]*)>", value)
    return found.group(1) if found else value.partition(";")[0].strip()


def tag_of(value: str) -> str:
    found = re.search(r";\s*tag=([^;\s]+)", value.rpartition(">")[2])
    return found.group(1) if found else ""


def hop_of(uri: str) -> Address:
    """Where a request to this URI goes."""
    found = re.match(r"sip:(?:[^@]*@)?([^:;?]+)(?::(\d+))?", uri)
    assert found, f"not a SIP URI: {uri}"
    return found.group(1), int(found.group(2) or 5060)


def number_of(message: Message) -> int:
    return int(message.header("CSeq").split()[0])


def branch_of(message: Message) -> str:
    """Of the last hop, without the mark that all of them begin with."""
    found = re.search(r";\s*branch=(?:z9hG4bK)?([^;,\s]+)", message.header("Via"))
    return found.group(1) if found else ""


def body_of(message: Message) -> str:
    return message.text.partition("\r\n\r\n")[2]


def reply_target(request: Message, peer: Address) -> Address:
    """Back to where the request came from; to the port that its Via names, unless that asks for the port it came from (RFC 3581)."""
    via = listed(request.headers("Via"))[0]
    if re.search(r";\s*rport\b", via):
        return peer
    found = re.match(r"\S+\s+[^:;\s]+(?::(\d+))?", via)
    return peer[0], int((found and found.group(1)) or 5060)


def reply(request: Message, status: int, tag: str = "", headers: dict[str, str] | None = None, body: str = "") -> str:
    """A reply to a request; with a tag of ours when the request has none."""
    to = request.header("To")
    lines = [f"SIP/2.0 {status} {REASONS.get(status, 'So')}"]
    lines += [f"Via: {via}" for via in request.headers("Via")]
    lines += [f"Record-Route: {route}" for route in request.headers("Record-Route")]
    lines += [f"From: {request.header('From')}", f"To: {to}" if tag_of(to) or not tag else f"To: {to};tag={tag}"]
    lines += [f"Call-ID: {request.call_id}", f"CSeq: {request.header('CSeq')}", "User-Agent: sipha lab phone"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += ["Content-Type: application/sdp"] if body else []
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])


@dataclass
class Dialog:
    """Our half of a dialog (RFC 3261, 12)."""

    source: Address
    call_id: str
    local_uri: str
    local_tag: str
    remote_uri: str
    remote_tag: str
    target: str
    routes: list[str]
    cseq: int = 0
    remote_cseq: int = 0

    @classmethod
    def called(cls, source: Address, reply: Message) -> Dialog:
        """From the 2xx to an INVITE of ours: the route set is its Record-Route backwards."""
        local, remote = reply.header("From"), reply.header("To")
        return cls(
            source=source,
            call_id=reply.call_id,
            local_uri=uri_of(local),
            local_tag=tag_of(local),
            remote_uri=uri_of(remote),
            remote_tag=tag_of(remote),
            target=uri_of(reply.header("Contact")),
            routes=listed(reply.headers("Record-Route"))[::-1],
            cseq=number_of(reply),
        )

    @classmethod
    def calling(cls, source: Address, invite: Message, tag: str) -> Dialog:
        """From an INVITE to us: the route set is its Record-Route as it stands."""
        local, remote = invite.header("To"), invite.header("From")
        return cls(
            source=source,
            call_id=invite.call_id,
            local_uri=uri_of(local),
            local_tag=tag,
            remote_uri=uri_of(remote),
            remote_tag=tag_of(remote),
            target=uri_of(invite.header("Contact")),
            routes=listed(invite.headers("Record-Route")),
            remote_cseq=number_of(invite),
        )

    def has(self, request: Message) -> bool:
        """A request of the other side belongs here."""
        tags = tag_of(request.header("To")), tag_of(request.header("From"))
        return (request.call_id, *tags) == (self.call_id, self.local_tag, self.remote_tag)

    def refresh(self, message: Message) -> None:
        """An INVITE, or the 2xx to one, says where the other side is from now on; the route set stays."""
        if contact := message.header("Contact"):
            self.target = uri_of(contact)

    @property
    def hop(self) -> Address:
        return hop_of(uri_of(self.routes[0]) if self.routes else self.target)

    def request(self, method: str, contact: str = "", body: str = "") -> Request:
        """The next request."""
        self.cseq += 1
        return self._build(method, self.cseq, contact, body)

    def ack(self, reply: Message) -> Request:
        """For a 2xx; it has the number of the INVITE."""
        return self._build("ACK", number_of(reply), "", "")

    def _build(self, method: str, cseq: int, contact: str, body: str) -> Request:
        headers: dict[str, str | None] = {"To": f"<{self.remote_uri}>;tag={self.remote_tag}"}
        if self.routes:
            headers["Route"] = ", ".join(self.routes)
        if contact:
            headers["Contact"] = contact
        return Request(
            method,
            self.target,
            self.local_uri,
            self.remote_uri,
            self.source,
            call_id=self.call_id,
            cseq=cseq,
            from_tag=self.local_tag,
            headers=headers,
            body=body,
        )
