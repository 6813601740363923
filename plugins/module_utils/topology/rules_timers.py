"""Rules about timers that must fit each other."""

from __future__ import annotations

from collections.abc import Iterator

from .model import PRIORITY_BASE, Topology
from .rule import Problem, numbers, rule, shown

# RFC 3261: a client gives a request up after 64 x T1 (timer B for INVITE, F for others); T1 is 0.5 s.
TIMER_B = 32.0
AGENT = ("proxy_agent_sip_interval", "proxy_agent_sip_fall", "proxy_agent_sip_timeout")
GALERA = ("galera_evs_suspect_timeout", "galera_evs_inactive_check_period")
CHECK = ("db_router_check_interval", "db_router_check_fall", "db_router_check_fast_interval", "db_router_check_timeout")


def takeover(interval: float) -> float:
    """Seconds of silence after which a backup takes the VIP (RFC 5798: three advertisements and the skew of its priority)."""
    return 3 * interval + interval * (256 - PRIORITY_BASE) / 256


@rule("TIM001", "error", "pings that routers between forget in a failover")
def nat_pings(topology: Topology) -> Iterator[Problem]:
    """The new holder's first ping may come two intervals after the old one's last. A router that has forgotten the phone by then lets no
    call through to it until the phone registers again."""
    timeout = topology.settings.get("sipha_nat_timeout")
    for host, (interval,) in numbers(topology, "proxies", "opensips_natping_interval"):
        if isinstance(timeout, (int, float)) and 2 * interval >= timeout:
            problem = f"twice {shown(interval)} s is not less than sipha_nat_timeout, {shown(timeout)} s"
            remedy = f"Set it to {max(1, int((timeout - 1) // 2))} or less, or sipha_nat_timeout to what your phones' routers really keep"
            yield host, "opensips_natping_interval", problem, remedy


@rule("TIM002", "warning", "phones behind NAT are not pinged")
def nat_pings_on(topology: Topology) -> Iterator[Problem]:
    """Their routers forget them between two registrations, and calls to them get lost."""
    for host, (interval,) in numbers(topology, "proxies", "opensips_natping_interval"):
        if interval == 0:
            yield host, "opensips_natping_interval", "0 switches pings off", "Set it to 10, or waive TIM002 when no phone is behind NAT"


@rule("TIM003", "error", "a lost proxy is replaced later than clients wait")
def proxy_detection(topology: Topology) -> Iterator[Problem]:
    """A request that was sent to the lost proxy must reach the new holder by one of its retransmissions, which end after 32 s (timer B)."""
    for host, (advert, interval, fall, timeout) in numbers(topology, "proxies", "keepalived_advertisement_interval", *AGENT):
        needed = interval * fall + timeout + takeover(advert)
        if needed >= TIMER_B:
            problem = f"a dead engine is replaced after {shown(round(needed, 1))} s (agent, then VRRP), and clients give up after 32 s"
            remedy = "Lower keepalived_advertisement_interval or proxy_agent_sip_interval; 0.2 and 0.1 are the defaults"
            yield host, "keepalived_advertisement_interval", problem, remedy


@rule("TIM004", "error", "a lost database is left out later than clients wait")
def database_detection(topology: Topology) -> Iterator[Problem]:
    """REGISTER and INVITE wait for the database; after 32 s (timer B) nobody waits for them."""
    checks = [0.0]
    for _, (every, fall, fast, timeout) in numbers(topology, "proxies", *CHECK):
        checks.append((every + (fall - 1) * fast + fall * timeout) / 1000)
    for host, (suspect, look) in numbers(topology, "databases", *GALERA):
        needed = suspect + look + max(checks)
        if needed >= TIMER_B:
            problem = f"the next writer is used after {shown(round(needed, 1))} s (Galera, then the router), and clients give up after 32 s"
            yield host, "galera_evs_suspect_timeout", problem, "Lower it and the db_router_check_ variables; 2 s is the default"


@rule("TIM005", "warning", "the engine gives up a query before Galera has left out a dead member")
def query_patience(topology: Topology) -> Iterator[Problem]:
    """Writes stall that long when a member dies; an engine that does not wait asks again while the first write may still come through."""
    slowest = max((sum(values) for _, values in numbers(topology, "databases", *GALERA)), default=0)
    for host, (patience,) in numbers(topology, "proxies", "opensips_db_timeout"):
        if slowest and patience <= slowest:
            problem = f"{shown(patience)} s is not more than the {shown(slowest)} s in which Galera leaves out a dead member"
            yield host, "opensips_db_timeout", problem, f"Set it to {shown(int(slowest) + 3)}, or lower galera_evs_suspect_timeout"


@rule("TIM006", "error", "registrations shorter than clocks may differ")
def registrations_outlast_skew(topology: Topology) -> Iterator[Problem]:
    """They end at a time of day, and every proxy asks its own clock: on the fast one they are over before the phone renews them (at half
    their time, as many do)."""
    for host, (shortest, skew) in numbers(topology, "proxies", "opensips_min_expires", "time_sync_max_skew"):
        if shortest <= 2 * skew:
            problem = f"{shown(shortest)} s is not more than twice time_sync_max_skew, {shown(skew)} s"
            yield host, "opensips_min_expires", problem, "Set it to 60"


@rule("TIM007", "error", "expired registrations are swept before all clocks agree that they are")
def sweep_waits(topology: Topology) -> Iterator[Problem]:
    """The holder of the VIP sweeps by the database's clock what another machine's clock may still take for valid."""
    if topology.settings.get("sipha_registrar_mode") == "sql_only":
        for host, (grace, skew) in numbers(topology, "proxies", "opensips_expire_grace", "time_sync_max_skew"):
            if grace <= skew:
                problem = f"{shown(grace)} s is not more than time_sync_max_skew, {shown(skew)} s"
                yield host, "opensips_expire_grace", problem, "Set it to 60"


@rule("TIM008", "warning", "shortest, usual and longest registration out of order")
def expires_in_order(topology: Topology) -> Iterator[Problem]:
    """The engine bends what a phone asks for into these bounds; out of order one of them is ignored silently."""
    names = ("opensips_min_expires", "opensips_default_expires", "opensips_max_expires")
    for host, (shortest, usual, longest) in numbers(topology, "proxies", *names):
        if not shortest <= usual <= longest:
            problem = (
                f"{shown(usual)} s is not between opensips_min_expires {shown(shortest)} s and opensips_max_expires {shown(longest)} s"
            )
            yield host, "opensips_default_expires", problem, "Put the three in order"


@rule("TIM009", "warning", "a silent gateway is given up later than the caller gives up")
def gateway_patience(topology: Topology) -> Iterator[Problem]:
    """The next gateway is asked only after this; a caller stops at 32 s (timer B), so the second gateway never gets the call."""
    for host, (patience,) in numbers(topology, "proxies", "opensips_reply_timeout"):
        if 2 * patience >= TIMER_B:
            problem = (
                f"with {shown(patience)} s the second gateway has {shown(max(0, TIMER_B - patience))} s left before the caller gives up"
            )
            yield host, "opensips_reply_timeout", problem, "Set it to 5, below 16 at most"


RULES = (
    nat_pings,
    nat_pings_on,
    proxy_detection,
    database_detection,
    query_patience,
    registrations_outlast_skew,
    sweep_waits,
    expires_in_order,
    gateway_patience,
)
