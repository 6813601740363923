"""Digest authentication of SIP (RFC 3261, RFC 8760): the answer to a challenge, with MD5 or SHA-256, from a password or its HA1."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

PAIR = re.compile(r'([A-Za-z0-9_-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
ALGORITHMS = ("SHA-256", "MD5")  # the stronger first
HA1 = {32: "MD5", 64: "SHA-256"}  # length of an HA1 -> the algorithm that it was made with


class DigestError(ValueError):
    """The challenge can't be answered; the text says why."""


@dataclass(frozen=True)
class Account:
    """Who registers. Either `password` or `ha1` (32 hex digits: MD5, 64: SHA-256); an HA1 is bound to its realm."""

    user: str
    password: str = ""
    ha1: str = ""


@dataclass(frozen=True)
class Challenge:
    realm: str
    nonce: str
    algorithm: str
    qop: str  # auth, or empty for the old way without
    opaque: str | None
    stale: bool


def _hash(algorithm: str, text: str) -> str:
    return (hashlib.sha256 if algorithm == "SHA-256" else hashlib.md5)(text.encode(), usedforsecurity=False).hexdigest()


def parse_challenge(value: str) -> Challenge | None:
    """One WWW-Authenticate or Proxy-Authenticate header; None when it is not Digest, or of a kind that is not spoken here."""
    scheme, _, rest = value.partition(" ")
    if scheme.lower() != "digest":
        return None
    given = {name.lower(): quoted or plain for name, quoted, plain in PAIR.findall(rest)}
    algorithm = given.get("algorithm", "MD5").upper()
    offered = [one.strip().lower() for one in given.get("qop", "").split(",") if one.strip()]
    if algorithm not in ALGORITHMS or "nonce" not in given or (offered and "auth" not in offered):
        return None
    return Challenge(
        realm=given.get("realm", ""),
        nonce=given["nonce"],
        algorithm=algorithm,
        qop="auth" if offered else "",
        opaque=given.get("opaque"),
        stale=given.get("stale", "").lower() == "true",
    )


def choose(values: Iterable[str], account: Account) -> Challenge:
    """The strongest challenge that the account can answer. DigestError when there is none."""
    headers = list(values)
    known = [challenge for challenge in map(parse_challenge, headers) if challenge]
    if account.ha1:
        known = [challenge for challenge in known if challenge.algorithm == HA1.get(len(account.ha1))]
    if not known:
        what = f"an HA1 of {HA1.get(len(account.ha1), 'no known algorithm')}" if account.ha1 else "MD5 or SHA-256"
        raise DigestError(f"none of {len(headers)} challenges can be answered with {what}")
    return min(known, key=lambda challenge: ALGORITHMS.index(challenge.algorithm))


def credentials(challenge: Challenge, account: Account, method: str, uri: str, cnonce: str, count: int = 1) -> str:
    """The value of the header Authorization (or Proxy-Authorization); `count` is how often the nonce was used, this time included."""
    algorithm = challenge.algorithm
    ha1 = account.ha1.lower() or _hash(algorithm, f"{account.user}:{challenge.realm}:{account.password}")
    ha2 = _hash(algorithm, f"{method}:{uri}")
    nc = f"{count:08x}"
    middle = f"{challenge.nonce}:{nc}:{cnonce}:auth" if challenge.qop else challenge.nonce
    response = _hash(algorithm, f"{ha1}:{middle}:{ha2}")
    parts = [
        f'username="{account.user}"',
        f'realm="{challenge.realm}"',
        f'nonce="{challenge.nonce}"',
        f'uri="{uri}"',
        f'response="{response}"',
        f"algorithm={algorithm}",
    ]
    if challenge.opaque is not None:
        parts.append(f'opaque="{challenge.opaque}"')
    if challenge.qop:
        parts += ["qop=auth", f"nc={nc}", f'cnonce="{cnonce}"']
    return "Digest " + ", ".join(parts)
