"""What a drill may cost: the measures that are judged, the drills, their default budgets, and how an inventory changes them. Data.

A budget is the largest value that passes; None: measured and shown, not judged. `sipha_drill_budgets` in the inventory is a mapping of
drills (or `all`) to measures to numbers; the more special one wins, and a name that does not exist is an error and never ignored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

Budgets = dict[str, float | None]
VARIABLE = "sipha_drill_budgets"


class BudgetError(ValueError):
    """The inventory's budgets are wrong; the text says which variable, and what to set."""


@dataclass(frozen=True)
class Kind:
    """`what` continues "measured: 3 s …", in the words of who operates the cluster."""

    unit: str  # s, or empty for a number of things
    title: str
    what: str


MEASURES: dict[str, Kind] = {
    "outage_options": Kind("s", "OPTIONS outage", "longest time without a good and prompt answer to OPTIONS"),
    "outage_register": Kind("s", "REGISTER outage", "longest time without a good and prompt answer to REGISTER"),
    "outage_write": Kind("s", "Write outage", "longest time without a write through db_router"),
    "outage_options_tcp": Kind("s", "OPTIONS outage, TCP", "the same over TCP, connecting again included"),
    "outage_register_tcp": Kind("s", "REGISTER outage, TCP", "the same over TCP, connecting again included"),
    "outage_options_v6": Kind("s", "OPTIONS outage, IPv6", "the same over IPv6"),
    "outage_register_v6": Kind("s", "REGISTER outage, IPv6", "the same over IPv6"),
    "lost_requests": Kind("", "Requests lost", "requests without any answer, after all retransmissions"),
    "registrations_lost": Kind("", "Registrations lost", "registrations that were there before, and are gone"),
    "calls_ended": Kind("", "Calls cut", "calls that were up, and whose signalling ended"),
    "calls_silent": Kind("", "Calls without audio", "calls that were up, and whose audio stopped for good"),
    "audio_gap": Kind("s", "Audio gap", "longest time without audio in a call that was up"),
    "calls_failed": Kind("", "Call attempts failed", "calls that could not be set up, after all retransmissions"),
    "calls_cut_off": Kind("", "Call attempts cut off", "calls that had their 100 or rang, and never heard more"),
    "cdrs_lost": Kind("", "CDRs lost", "calls without their accounting row"),
    "cdrs_cut_off": Kind("", "CDRs cut off", "the same, of calls that ended in the half second before the fault was there"),
    "rows_lost": Kind("", "Writes lost", "rows that the database had confirmed, and are gone"),
    "two_holders": Kind("s", "Two holders of a VIP", "time in which two proxies had the same VIP, a partition's own time left out"),
    "two_pingers": Kind("s", "Two pingers", "time in which two proxies had the same sharing tag, a partition's own time left out"),
    "holders_at_end": Kind("", "VIPs not held once", "VIPs that do not have exactly one holder at the end"),
    "changes": Kind("", "Left behind", "tasks of site.yml that find something to change after the drill"),
    "trouble_before": Kind("", "Trouble before the fault", "requests that went wrong before anything was broken"),
}

DEFAULTS: Budgets = {
    "outage_options": 1.0,
    "outage_register": 1.0,
    "outage_write": 3.0,
    "outage_options_tcp": None,
    "outage_register_tcp": None,
    "outage_options_v6": None,
    "outage_register_v6": None,
    "lost_requests": 0,
    "registrations_lost": 0,
    "calls_ended": 0,
    "calls_silent": 0,
    "audio_gap": None,
    "calls_failed": 0,
    "calls_cut_off": 0,
    "cdrs_lost": 0,
    "cdrs_cut_off": 0,
    "rows_lost": 0,
    "two_holders": 0.5,  # a host that wakes up has its address until it hears the new holder
    "two_pingers": 1.5,  # the agent looks once a second
    "holders_at_end": 0,
    "changes": 0,
    "trouble_before": 0,
}
WRITER: Budgets = {"outage_register": 3.0}
# Whoever has a 100 does not retransmit, and what an engine that is dead or out of reach had not answered is lost. A CDR is written after
# the BYE was answered.
CRASH: Budgets = {"calls_cut_off": None, "cdrs_cut_off": None}
# Without a database there are no registrations, no new calls and no accounting (docs/failover.md); what was there must be there again.
NO_DATABASE: Budgets = dict.fromkeys(
    ("outage_register", "outage_write", "lost_requests", "calls_failed", "calls_cut_off", "cdrs_lost", "cdrs_cut_off")
)

# With every fifth packet lost the way to the database, and that between the engines, comes and goes.
DEGRADED: Budgets = {**NO_DATABASE, "two_pingers": None}


@dataclass(frozen=True)
class Drill:
    """`target` is who is broken: holder, standby, proxies, writer, database, databases, relay, holder+database, or none."""

    name: str
    title: str
    breaks: str
    target: str
    seconds: float  # that the fault lasts, before it is healed
    partition: bool = False  # two holders are what this fault is about, while it lasts
    budgets: Budgets = field(default_factory=dict)  # where they differ from DEFAULTS


DRILLS: dict[str, Drill] = {
    drill.name: drill
    for drill in (
        Drill("switchover", "Planned move of the VIP", "the holder gives its VIPs away in good order", "holder", 5),
        Drill("proxy_killed", "SIP engine killed", "the engine's processes end at once (kill -9)", "holder", 5, budgets=CRASH),
        Drill(
            "proxy_frozen", "SIP engine frozen", "the engine's processes stop and keep their sockets (SIGSTOP)", "holder", 10, budgets=CRASH
        ),
        Drill("host_killed", "Host killed", "power off, without a word", "holder", 10, budgets=CRASH),
        Drill("host_paused", "Host paused", "nothing on it runs, then all goes on as if no time had passed", "holder", 10, budgets=CRASH),
        Drill("host_rebooted", "Host rebooted", "an orderly reboot", "holder", 10),
        Drill("keepalived_killed", "keepalived killed", "nobody guards the address any more (kill -9)", "holder", 10),
        Drill("public_link_down", "Public link down", "the interface to clients is down", "holder", 10, partition=True, budgets=CRASH),
        Drill("core_link_down", "Core link down", "the interface to databases and relays is down", "holder", 10, partition=True),
        Drill("both_links_down", "Both links down", "the host runs, and nobody can reach it", "holder", 10, partition=True, budgets=CRASH),
        Drill("vrrp_lost", "VRRP lost between healthy proxies", "each proxy takes the others for dead", "proxies", 10, partition=True),
        Drill("gateway_gone", "Gateway gone", "the holder can't reach its gateway", "holder", 15),
        Drill("writer_killed", "Database writer killed", "the database that is written to ends at once", "writer", 10, budgets=WRITER),
        Drill("writer_paused", "Database writer paused", "the database that is written to stops", "writer", 10, budgets=WRITER),
        Drill("writer_partitioned", "Database writer cut off", "the others can't reach it, nor the proxies", "writer", 10, budgets=WRITER),
        Drill("two_databases_lost", "Two of three databases lost", "no majority is left", "databases", 15, budgets=NO_DATABASE),
        Drill("all_databases_lost", "All databases lost", "power cut; recovered by recover.yml", "databases", 15, budgets=NO_DATABASE),
        Drill("database_disk_full", "Disk full on the writer", "the database can't write to its disk", "writer", 15, budgets=WRITER),
        Drill("haproxy_killed", "HAProxy killed", "the holder's way to the database is gone", "holder", 10, budgets=WRITER),
        Drill("relay_killed", "Media relay killed", "its processes end at once", "relay", 10),
        Drill("relay_frozen", "Media relay frozen", "its processes stop and keep their sockets", "relay", 10),
        Drill("relay_cut_off", "Media relay cut off", "proxies and phones can't reach it", "relay", 10),
        Drill("dispatcher_killed", "Media dispatcher killed", "the holder can't ask for relays", "holder", 10),
        Drill("clock_stepped", "Clock stepped", "the holder's clock is one hour ahead", "holder", 15),
        Drill("core_degraded", "Bad core network", "20 % of packets are lost, the others 200 ms late", "proxies", 20, budgets=DEGRADED),
        Drill("dns_gone", "DNS gone", "no name can be resolved", "proxies", 15),
        Drill("link_flapping", "Flapping link", "the public link goes down and up ten times", "holder", 60, partition=True),
        Drill(
            "proxy_and_database", "Two faults at once", "holder and writer die together", "holder+database", 10, budgets={**WRITER, **CRASH}
        ),
    )
}


def _close(name: object, known: Iterable[str]) -> str:
    near = get_close_matches(str(name), list(known), 1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"


def _checked(where: str, given: Any) -> Budgets:
    if not isinstance(given, Mapping):
        raise BudgetError(f"{where} is {type(given).__name__}, set it to a mapping of measures to numbers")
    for name, value in given.items():
        if name not in MEASURES:
            raise BudgetError(f"{where}: there is no measure {name!r}, {_close(name, MEASURES)}")
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise BudgetError(f"{where}.{name} is {value!r}, set it to a number from 0, or to null to measure without judging")
    return dict(given)


def drill(name: str) -> Drill:
    """BudgetError for a drill that does not exist."""
    if name not in DRILLS:
        raise BudgetError(f"there is no drill {name!r}, {_close(name, DRILLS)}")
    return DRILLS[name]


def budgets(name: str, inventory: Any = None) -> Budgets:
    """All budgets of one drill, each from the last of these that has it: DEFAULTS, the inventory's `all`, the drill's own, the inventory's
    for this drill."""
    own = drill(name).budgets
    given = {} if inventory is None else inventory
    if not isinstance(given, Mapping):
        raise BudgetError(f"{VARIABLE} is {type(given).__name__}, set it to a mapping of drills (or all) to budgets")
    if unknown := [one for one in given if one != "all" and one not in DRILLS]:
        raise BudgetError(f"{VARIABLE}: there is no drill {unknown[0]!r}, {_close(unknown[0], [*DRILLS, 'all'])}")
    checked = {one: _checked(f"{VARIABLE}.{one}", value) for one, value in given.items()}
    return {**DEFAULTS, **checked.get("all", {}), **own, **checked.get(name, {})}
