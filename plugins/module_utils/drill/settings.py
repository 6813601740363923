"""What a probe is told: whom it asks what, how often, and how patient it is."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from .digest import HA1, Account

LIMITS: dict[str, tuple[float, float]] = {
    "rate": (0.1, 500),
    "seconds": (0.1, 86400),
    "port": (1, 65535),
    "t1": (0.01, 5),
    "t2": (0.01, 60),
    "timeout": (0.05, 64),
    "expires": (1, 86400),
    "users": (1, 1000),
    "reconnect_after": (0.1, 64),
}
NAME = re.compile(r"[A-Za-z0-9_.!~*'()&=+$,;?/%-]{1,128}$")  # a user part as RFC 3261 has it
DOMAIN = re.compile(r"[A-Za-z0-9.-]{1,253}$|\[[0-9A-Fa-f:.]{2,45}\]$")
HEADER = re.compile(r"[A-Za-z0-9.!%*_+`'~-]{1,64}$")


class SettingsError(ValueError):
    """A setting is wrong; the text names it and what to set."""


def only_known(kind: Any, names: Iterable[str]) -> None:
    """SettingsError when one of these names is no field of that dataclass."""
    known = {one.name for one in fields(kind)}
    if unknown := sorted(set(names) - known):
        raise SettingsError(f"there is no setting {unknown[0]!r}; there are {', '.join(sorted(known))}")


@dataclass(frozen=True)
class Settings:
    """Seconds everywhere. `target` is an IPv4 or IPv6 address, so that no name server stands between probe and cluster."""

    target: str
    port: int = 5060
    transport: str = "udp"  # udp or tcp
    method: str = "OPTIONS"  # or REGISTER
    rate: float = 50.0  # requests a second
    seconds: float = 10.0
    user: str = ""  # of REGISTER
    users: int = 1  # that take turns, USER-0, USER-1, ...: requests of one address of record that are late together get in each other's way
    domain: str = ""  # of REGISTER; also whom OPTIONS asks for, the target's address without one
    password: str = ""
    ha1: str = ""
    expires: int = 120
    unregister: bool = True  # take the contact away at the end
    retransmit: bool = True  # UDP: timer E
    t1: float = 0.5
    t2: float = 4.0
    timeout: float = 32.0  # timer F: then a request is lost
    source: str = ""  # own address; empty: the one that the route takes
    any_source: bool = False  # take answers from elsewhere too; a NAT router would not
    who_header: str = "Server"
    reconnect_after: float = 1.0  # TCP: a connection is given up after so long without an answer

    def account(self, number: int) -> Account:
        """Whose turn it is at this request."""
        return Account(f"{self.user}-{number % self.users}" if self.users > 1 else self.user, self.password, self.ha1)

    @property
    def count(self) -> int:
        return max(1, round(self.rate * self.seconds))

    @classmethod
    def load(cls, values: dict[str, Any]) -> Settings:
        """From JSON or a module's arguments. SettingsError for unknown names, wrong types, values out of range."""
        only_known(cls, values)
        known = {one.name: one.default for one in fields(cls)}
        for name, value in values.items():
            _typed(name, value, str if name == "target" else type(known[name]))
        if "target" not in values:
            raise SettingsError("target is missing: set it to the address to ask")
        settings = cls(**values)
        settings.check()
        return settings

    def check(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"{name} is {value:g}, set it to {low:g} to {high:g}")
        for name in ("target", "source"):
            _address(name, getattr(self, name))
        if self.source and (":" in self.source) != (":" in self.target):
            raise SettingsError(f"source {self.source} and target {self.target} are not of one family, set both IPv4 or both IPv6")
        for name, value, choices in (("transport", self.transport, ("udp", "tcp")), ("method", self.method, ("OPTIONS", "REGISTER"))):
            if value not in choices:
                raise SettingsError(f"{name} is {value!r}, set it to {' or '.join(choices)}")
        if not HEADER.match(self.who_header):
            raise SettingsError(f"who_header is {self.who_header!r}, set it to the name of one SIP header")
        if self.domain and not DOMAIN.match(self.domain):
            raise SettingsError(f"domain is {self.domain!r}, set it to a domain or an address")
        if self.method == "REGISTER":
            self._check_account()

    def _check_account(self) -> None:
        if not self.domain or not NAME.match(self.user):
            raise SettingsError("REGISTER needs user and domain: set them to an address of record of the probe's own")
        if bool(self.password) == bool(self.ha1):
            raise SettingsError("REGISTER needs a password or an ha1: set one of them")
        if self.ha1 and self.users > 1:
            raise SettingsError(f"users is {self.users}, and an ha1 is that of one: set a password")
        if self.ha1 and (len(self.ha1) not in HA1 or not re.fullmatch(r"[0-9A-Fa-f]+", self.ha1)):
            raise SettingsError("ha1 is none: set it to 32 hex digits (MD5) or 64 (SHA-256)")


def _typed(name: str, value: Any, kind: type) -> None:
    allowed = (int, float) if kind is float else (kind,)
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise SettingsError(f"{name} is {type(value).__name__}, set it to {kind.__name__}")


def _address(name: str, value: str) -> None:
    if name == "source" and not value:
        return
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise SettingsError(f"{name} is {value!r}, set it to an IPv4 or IPv6 address") from None
