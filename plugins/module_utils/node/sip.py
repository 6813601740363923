"""The little SIP a probe needs: an OPTIONS request, and the status of an answer."""

from __future__ import annotations

import re
import secrets

STATUS = re.compile(rb"^SIP/2\.0 ([1-6][0-9]{2}) ")
CALL_ID = re.compile(rb"^(?:Call-ID|i)[ \t]*:[ \t]*([^\r\n]+?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


def options(target: str, port: int, source: str, source_port: int, call_id: str) -> bytes:
    """An OPTIONS for the server itself (no user part), the way load balancers probe."""
    branch = "z9hG4bK" + secrets.token_hex(8)
    return (
        f"OPTIONS sip:{target}:{port} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {source}:{source_port};rport;branch={branch}\r\n"
        "Max-Forwards: 5\r\n"
        f"From: <sip:health@{source}>;tag={secrets.token_hex(4)}\r\n"
        f"To: <sip:{target}:{port}>\r\n"
        f"Call-ID: {call_id}\r\n"
        "CSeq: 1 OPTIONS\r\n"
        "User-Agent: sipha-health\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()


def parse_reply(datagram: bytes) -> tuple[int, str] | None:
    """(status, Call-ID) of a response; None for anything else."""
    status, call_id = STATUS.match(datagram), CALL_ID.search(datagram)
    if not status or not call_id:
        return None
    return int(status.group(1)), call_id.group(1).decode("utf-8", "replace")
