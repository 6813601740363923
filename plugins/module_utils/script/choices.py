"""Flags and values that come as text, which the engine's own check (-C) lets pass when they are wrong. From the engine's source."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Flags:
    """The flags of one argument. Style: "list" = a,b=1; "pipe" = a|b; "letters" = abc."""

    argument: int
    style: str
    names: tuple[str, ...]
    with_value: tuple[str, ...] = ()
    versions: tuple[str, ...] = ("3.4", "3.6", "4.0")
    ignore_case: bool = False

    def wrong(self, text: str) -> list[str]:
        """What in the text is no flag of this function."""
        if self.style == "letters":
            known = "".join(self.names)
            return [letter for letter in text if letter not in known]
        if self.style == "list":
            text = re.sub(r"ua-filtering=.*", "ua-filtering=x", text, flags=re.DOTALL)  # a regular expression, maybe with commas
        found = []
        for part in re.split(r"\|" if self.style == "pipe" else ",", text):
            flag = part.strip()
            name, equals, value = flag.partition("=")
            if self.ignore_case:
                flag, name = flag.lower(), name.lower()
            if flag in self.names or (name in self.with_value and equals and value):
                continue
            if flag:
                found.append(flag)
        return found


SAVE = Flags(
    1,
    "list",
    (
        "memory-only",
        "no-reply",
        "socket-header",
        "path-strict",
        "path-lazy",
        "path-off",
        "path-received",
        "force-registration",
        "only-request-contacts",
    ),
    ("max-contacts", "min-expires", "max-expires", "matching-mode"),
)
LOOKUP = Flags(
    1,
    "list",
    (
        "method-filtering",
        "no-branches",
        "global",
        "sort-by-latency",
        "branch",
        "to-branches-only",
        "case-insensitive",
        "extended-regexp",
    ),
    ("ua-filtering", "max-ping-latency"),
)
FLAGS: dict[str, tuple[Flags, ...]] = {
    "nat_uac_test": (
        Flags(
            0,
            "list",
            (
                "private-contact",
                "diff-ip-src-via",
                "private-via",
                "private-sdp",
                "diff-port-src-via",
                "diff-ip-src-contact",
                "diff-port-src-contact",
                "carrier-grade-nat",
            ),
        ),
    ),
    "fix_nated_sdp": (
        Flags(0, "list", ("add-dir-active", "rewrite-media-ip", "add-no-rtpproxy", "rewrite-origin-ip", "rewrite-null-ips")),
    ),
    "fix_nated_contact": (Flags(1, "list", ("preserve-uri",), versions=("4.0",)),),
    "t_relay": (Flags(0, "list", ("no-auto-477", "no-dns-failover", "pass-reason-hdr", "allow-no-cancel")),),
    "save": (SAVE,),
    "mid_registrar_save": (SAVE,),
    "lookup": (LOOKUP,),
    "mid_registrar_lookup": (LOOKUP,),
    "create_dialog": (
        Flags(0, "letters", ("P", "p", "B", "R", "r", "E"), versions=("3.4", "3.6")),
        Flags(
            0,
            "list",
            (
                "bye-on-timeout",
                "options-ping-caller",
                "options-ping-callee",
                "reinvite-ping-caller",
                "reinvite-ping-callee",
                "end-on-race-condition",
                "auto-prack",
            ),
            versions=("4.0",),
            ignore_case=True,
        ),
    ),
    "do_accounting": (
        Flags(0, "pipe", ("log", "aaa", "db", "evi"), ignore_case=True),
        Flags(1, "pipe", ("cdr", "missed", "failed"), ignore_case=True),
    ),
    "ds_select_dst": (Flags(2, "letters", tuple("fFuUdDaA ")),),
    "sipmsg_validate": (Flags(0, "letters", tuple("shmrtfcSHMRTFC")),),
}

PRESETS = (
    "single-instance-no-db",
    "single-instance-sql-write-through",
    "single-instance-sql-write-back",
    "federation-cluster",
    "federation-cachedb-cluster",
    "full-sharing-cluster",
    "full-sharing-cachedb-cluster",
    "sql-only",
)
PROBING = ("all", "by-shtag", "distributed")
VALUES: dict[tuple[str, str], tuple[str, ...]] = {
    ("usrloc", "working_mode_preset"): PRESETS,
    ("usrloc", "cluster_mode"): ("none", "federation", "federation-cachedb", "full-sharing", "full-sharing-cachedb", "sql-only"),
    ("usrloc", "restart_persistency"): ("none", "load-from-sql", "sync-from-cluster"),
    ("usrloc", "sql_write_mode"): ("none", "write-through", "write-back"),
    ("usrloc", "pinging_mode"): ("ownership", "cooperation"),
    ("dispatcher", "cluster_probing_mode"): PROBING,
    ("drouting", "cluster_probing_mode"): PROBING,
    ("mediaproxy", "ice_candidate"): ("none", "low-priority", "high-priority"),
}
NONCE_SECRET_LENGTH = 32

# Functions whose first argument is /expression/replacement/flags.
SUBSTITUTIONS = ("subst", "subst_uri", "subst_user", "subst_body")
