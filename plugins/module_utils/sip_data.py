"""What a user provisions (subscribers, trusted addresses, domains, groups, gateways) as rows of the engine's tables.

Pure functions: lists of entries and rows in, changes out. The module sip_data reads and writes the database.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
_USERNAME = re.compile(r"[^\s@:;<>\"'\\\x00-\x20\x7f]{1,64}")
_DOMAIN = re.compile(r"(?=.{1,64}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_SIP_URI = re.compile(r"sips?:[^\s,<>\"'@]+(@[^\s,<>\"'@]+)?", re.IGNORECASE)
PROTOCOLS = ("any", "udp", "tcp", "tls", "sctp", "ws", "wss")
CACHED = ("address", "dispatcher", "domain")  # tables that the engine keeps in memory, and reads anew when it is told to
SECRET_COLUMNS = ("password", "ha1", "ha1_sha256", "ha1_sha512t256")


class DataError(Exception):
    """An entry that can't be used; the text names the list, the index and what is wrong."""


@dataclass(frozen=True)
class Entry:
    """One wanted row: `row` for the table, `absent` to have none with this key."""

    row: Row
    absent: bool


@dataclass(frozen=True)
class Kind:
    """One list of entries and the table that it lives in."""

    option: str
    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    read: Callable[[Mapping[str, Any], str, bool], Row]
    stamped: bool = False

    def key_of(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """The database's columns compare without regard for case, so do we."""
        return tuple(str(row[column] if row[column] is not None else "").casefold() for column in self.key)

    def label(self, row: Mapping[str, Any]) -> str:
        return _LABELS[self.option](row)


@dataclass
class Changes:
    kind: Kind
    insert: list[Row]
    update: list[tuple[Row, Row]]
    delete: list[Row]

    def __bool__(self) -> bool:
        return bool(self.insert or self.update or self.delete)

    def result(self, existing: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The rows that are there afterwards."""
        gone = {row["id"] for row in self.delete} | {old["id"] for old, _ in self.update}
        return [*(row for row in existing if row["id"] not in gone), *(new for _, new in self.update), *self.insert]


def ha1(username: str, domain: str, password: str, algorithm: str) -> str:
    """The digest A1 hash of RFC 8760 / RFC 3261."""
    text = f"{username}:{domain}:{password}".encode()
    return hashlib.new(algorithm, text, usedforsecurity=False).hexdigest()


def _text(entry: Mapping[str, Any], name: str, longest: int, default: str = "") -> str:
    value = entry.get(name)
    text = default if value is None else str(value).strip()
    if len(text) > longest:
        raise DataError(f"'{name}' has {len(text)} characters, {longest} is the limit")
    if not text.isprintable():
        raise DataError(f"'{name}' has characters that can't be printed")
    return text


def _number(entry: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = entry.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,10}", str(value).strip()):
        raise DataError(f"'{name}' is not a whole number: '{value}'")
    number = int(str(value).strip())
    if not low <= number <= high:
        raise DataError(f"'{name}' is {number}, it must be {low} to {high}")
    return number


def _needed(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    if value is None or not str(value).strip():
        raise DataError(f"'{name}' is missing")
    return str(value).strip()


def _username(entry: Mapping[str, Any]) -> str:
    name = _needed(entry, "username")
    if not _USERNAME.fullmatch(name):
        raise DataError(f"'username' is not the user part of a SIP address (1 to 64 characters, no space or @): '{name}'")
    return name


def _domain(entry: Mapping[str, Any], default: str) -> str:
    name = str(entry.get("domain") or default or "").strip().lower()
    if not name:
        raise DataError("'domain' is missing, and sipha_domain is not set either")
    if not _DOMAIN.fullmatch(name):
        raise DataError(f"'domain' is not a domain name: '{name}'")
    return name


def _hash(entry: Mapping[str, Any], name: str, length: int) -> str:
    value = str(entry.get(name) or "").strip().lower()
    if value and not re.fullmatch(rf"[0-9a-f]{{{length}}}", value):
        raise DataError(f"'{name}' is not a hash of {length} hexadecimal digits")
    return value


def _subscriber(entry: Mapping[str, Any], default_domain: str, absent: bool) -> Row:
    username, domain = _username(entry), _domain(entry, default_domain)
    if absent:
        return {"username": username, "domain": domain}
    password = entry.get("password")
    md5, sha256 = _hash(entry, "ha1", 32), _hash(entry, "ha1_sha256", 64)
    if password not in (None, "") and (md5 or sha256):
        raise DataError("'password' and 'ha1' or 'ha1_sha256' are both there, give one of them")
    if password not in (None, ""):
        md5 = ha1(username, domain, str(password), "md5")
        sha256 = ha1(username, domain, str(password), "sha256")
    if not md5:
        raise DataError("'password' or 'ha1' is missing")
    return {
        "username": username,
        "domain": domain,
        "password": "",
        "ha1": md5,
        "ha1_sha256": sha256,
        "ha1_sha512t256": "",
    }


def _address(entry: Mapping[str, Any], _default: str, _absent: bool) -> Row:
    text = _needed(entry, "address")
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise DataError(f"'address' is not an IP address or network: {error}") from None
    protocol = str(entry.get("protocol") or "any").strip().lower()
    if protocol not in PROTOCOLS:
        raise DataError(f"'protocol' is '{protocol}', it must be one of {', '.join(PROTOCOLS)}")
    return {
        "grp": _number(entry, "group", 1, 0, 65535),
        "ip": str(network.network_address),
        "mask": network.prefixlen,
        "port": _number(entry, "port", 0, 0, 65535),
        "proto": protocol,
        "pattern": _text(entry, "pattern", 64) or None,
        "context_info": _text(entry, "tag", 32) or None,
    }


def _own_domain(entry: Mapping[str, Any], _default: str, _absent: bool) -> Row:
    _needed(entry, "domain")
    return {"domain": _domain(entry, "")}


def _group(entry: Mapping[str, Any], default_domain: str, _absent: bool) -> Row:
    _needed(entry, "group")
    return {
        "username": _username(entry),
        "domain": _domain(entry, default_domain),
        "grp": _text(entry, "group", 64),
    }


def _gateway(entry: Mapping[str, Any], _default: str, _absent: bool) -> Row:
    _needed(entry, "address")
    address = _text(entry, "address", 192)
    if not _SIP_URI.fullmatch(address):
        raise DataError(f"'address' is not a SIP URI such as sip:198.18.10.50:5060: '{address}'")
    return {
        "setid": _number(entry, "set", 1, 0, 2**31 - 1),
        "destination": address,
        "weight": str(_number(entry, "weight", 1, 0, 65535)),
        "priority": _number(entry, "priority", 0, -(2**31), 2**31 - 1),
        "description": _text(entry, "description", 64),
    }


KINDS: tuple[Kind, ...] = (
    Kind("domains", "domain", ("domain",), ("domain",), _own_domain, stamped=True),
    Kind(
        "subscribers",
        "subscriber",
        ("username", "domain"),
        ("username", "domain", *SECRET_COLUMNS),
        _subscriber,
    ),
    Kind("groups", "grp", ("username", "domain", "grp"), ("username", "domain", "grp"), _group, stamped=True),
    Kind(
        "trusted_addresses",
        "address",
        ("grp", "ip", "mask", "port", "proto"),
        ("grp", "ip", "mask", "port", "proto", "pattern", "context_info"),
        _address,
    ),
    Kind(
        "gateways",
        "dispatcher",
        ("setid", "destination"),
        ("setid", "destination", "weight", "priority", "description"),
        _gateway,
    ),
)

_LABELS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "domains": lambda row: f"{row['domain']}",
    "subscribers": lambda row: f"{row['username']}@{row['domain']}",
    "groups": lambda row: f"{row['username']}@{row['domain']} in {row['grp']}",
    "trusted_addresses": lambda row: f"{row['ip']}/{row['mask']} port {row['port']} proto {row['proto']} group {row['grp']}",
    "gateways": lambda row: f"{row['destination']} in set {row['setid']}",
}


def entries(kind: Kind, listed: Sequence[Mapping[str, Any]], default_domain: str) -> list[Entry]:
    """Check one list and turn it into rows. The first entry that can't be used is an error."""
    read: list[Entry] = []
    seen: dict[tuple[str, ...], int] = {}
    for index, entry in enumerate(listed):
        where = f"{kind.option}[{index}]"
        state = entry.get("state") or "present"
        if state not in ("present", "absent"):
            raise DataError(f"{where}: 'state' is '{state}', it must be present or absent.")
        try:
            row = kind.read(entry, default_domain, state == "absent")
        except DataError as error:
            raise DataError(f"{where}: {error}.") from None
        key = kind.key_of(row)
        if key in seen:
            raise DataError(f"{where}: {kind.label(row)} is listed twice, first as {kind.option}[{seen[key]}].")
        seen[key] = index
        read.append(Entry(row, state == "absent"))
    return read


def changes(kind: Kind, wanted: Sequence[Entry], existing: Sequence[Row], purge: bool) -> Changes:
    """What to insert, update and delete. Rows have an `id`; of rows with one key, all but the first go."""
    have: dict[tuple[str, ...], list[Row]] = {}
    for row in existing:
        have.setdefault(kind.key_of(row), []).append(row)
    result = Changes(kind, [], [], [])
    for entry in wanted:
        rows = have.pop(kind.key_of(entry.row), [])
        if entry.absent:
            result.delete += rows
            continue
        result.delete += rows[1:]
        if not rows:
            result.insert.append(entry.row)
        elif any(not _same(rows[0].get(column), entry.row[column]) for column in kind.columns):
            result.update.append((rows[0], entry.row))
    if purge:
        for rows in have.values():
            result.delete += rows
    return result


def digest(kind: Kind, rows: Iterable[Mapping[str, Any]]) -> str:
    """Stands for what the rows say, in whatever order; not for what the engine itself writes."""
    said = sorted(json.dumps(["" if row[column] is None else str(row[column]) for column in kind.columns]) for row in rows)
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]


def _same(stored: object, wanted: object) -> bool:
    """NULL and the empty string mean the same to the engine, which columns allow NULL differs by version."""
    return str("" if stored is None else stored) == str("" if wanted is None else wanted)


def shown(kind: Kind, row: Mapping[str, Any]) -> str:
    """One row for a diff: no secret, not even its hash."""
    rest = [
        f"{column}={row[column]}"
        for column in kind.columns
        if column not in kind.key and column not in SECRET_COLUMNS and row.get(column) not in (None, "")
    ]
    return " ".join([kind.label(row), *rest])


def diff(changed: Changes) -> dict[str, str]:
    """Ansible's diff of one table, only of the rows that change."""
    kind = changed.kind
    before = [shown(kind, row) for row in changed.delete]
    after = [shown(kind, row) for row in changed.insert]
    for old, new in changed.update:
        note = ""
        if any(not _same(old.get(c), new[c]) for c in kind.columns if c in SECRET_COLUMNS):
            note = " (credentials change)"
        before.append(shown(kind, old))
        after.append(shown(kind, new) + note)
    return {
        "before_header": f"table {kind.table}",
        "after_header": f"table {kind.table}",
        "before": "".join(f"{line}\n" for line in sorted(before)),
        "after": "".join(f"{line}\n" for line in sorted(after)),
    }
