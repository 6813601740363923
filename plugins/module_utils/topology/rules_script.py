"""Rules about the engine's script and sockets: the same on every proxy, found where they are looked for, one pinger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .model import Host, Topology
from .rule import Problem, differing, numbers, rule, shown

HOOKS = ("request", "register", "call", "carrier", "reply")
GALERA_PORTS = {"SQL": 3306, "state transfer": 4444, "group communication": 4567, "incremental state transfer": 4568}


class Listener(NamedTuple):
    where: str  # the address: "local", "core", "public", "vip"
    protocol: str
    first: float
    last: float
    variable: str


def _port(topology: Topology, host: Host, where: str, protocol: str, variable: str) -> list[Listener]:
    port = topology.number(host.name, variable)
    return [] if port is None else [Listener(where, protocol, port, port, variable)]


def listeners(topology: Topology, host: Host) -> list[Listener]:
    """Everything the roles make a host listen on, as far as its ports are known."""
    media = topology.media_relay
    wanted: list[tuple[str, str, str]] = []
    found: list[Listener] = []
    if "proxies" in host.groups:
        wanted += [(where, protocol, "opensips_port") for where, protocol in (("vip", "udp"), ("vip", "tcp"), ("core", "udp"))]
        wanted += [("core", "tcp", "opensips_bin_port"), ("core", "tcp", "opensips_metrics_port")]
        wanted += [("local", "tcp", "db_router_port"), ("core", "tcp", "db_router_peers_port")]
        if topology.value(host.name, "opensips_rescue_ringing"):
            wanted.append(("local", "udp", "opensips_rescue_port"))
        if media == "mediaproxy":
            wanted += [("core", "tcp", "mediaproxy_control_port"), ("core", "tcp", "mediaproxy_management_port")]
    if "databases" in host.groups:
        wanted += [("core", "tcp", "galera_tls_port"), ("core", "tcp", "galera_health_port")]
        found += [Listener("core", "tcp", port, port, f"MariaDB's port for {what}") for what, port in GALERA_PORTS.items()]
    elif "arbitrators" in host.groups:
        found.append(Listener("core", "tcp", 4567, 4567, "the arbitrator's port for group communication"))
    if "relays" in host.groups and media == "rtpengine":
        wanted.append(("core", "udp", "rtpengine_control_port"))
        found.append(Listener("local", "tcp", 2224, 2224, "RTPEngine's local command port"))
    for where, protocol, variable in wanted:
        found += _port(topology, host, where, protocol, variable)
    return found


def _collisions(found: list[Listener]) -> list[tuple[Listener, Listener]]:
    return [
        (second, first)
        for index, first in enumerate(found)
        for second in found[index + 1 :]
        if (first.where, first.protocol) == (second.where, second.protocol) and first.first <= second.last and second.first <= first.last
    ]


@rule("SCR001", "error", "proxies with different ports")
def same_sockets(topology: Topology) -> Iterator[Problem]:
    """A registration is stored with the socket it came in on; where the other proxy does not have that socket, calls to the phone fail
    after a failover. Proxies also reach each other at their own port's number."""
    for variable in ("opensips_port", "opensips_bin_port", "db_router_peers_port"):
        for host, mine, most in differing(topology, topology.group("proxies"), variable):
            problem = f"it is {shown(float(str(mine)))} here and {shown(float(str(most)))} on the other proxies"
            yield host, variable, problem, "Set it once, for all proxies"


@rule("SCR002", "error", "the agent asks another port than the engine has")
def agent_asks_engine(topology: Topology) -> Iterator[Problem]:
    """Every proxy would look dead; and where all look dead, a really dead one gives nothing away."""
    for host, (asked, served) in numbers(topology, "proxies", "proxy_agent_sip_port", "opensips_port"):
        if asked != served:
            problem = f"it is {shown(asked)}, and opensips_port is {shown(served)}"
            yield host, "proxy_agent_sip_port", problem, "Set both to the same port"


@rule("SCR003", "error", "engine or agent look for SQL at another port than the router has")
def sql_is_there(topology: Topology) -> Iterator[Problem]:
    """No registration and no new call without it."""
    for variable in ("opensips_db_port", "proxy_agent_db_port"):
        for host, (asked, served) in numbers(topology, "proxies", variable, "db_router_port"):
            if asked != served:
                problem = f"it is {shown(asked)}, and db_router_port is {shown(served)}"
                yield host, variable, problem, "Set both to the same port"


@rule("SCR004", "warning", "registrations in memory, replicated (full_sharing)")
def full_sharing(topology: Topology) -> Iterator[Problem]:
    """The script is checked by the engine's parsers; it has had no failover tests. Once it has, this rule goes."""
    if topology.settings.get("sipha_registrar_mode") == "full_sharing":
        problem = "full_sharing has had no failover tests yet"
        yield "", "sipha_registrar_mode", problem, "Set it to sql_only, or waive SCR004 with what you have tested yourself"


@rule("SCR005", "error", "remove_on_timeout_bflag with registrations in the database")
def live_registrations_stay(topology: Topology) -> Iterator[Problem]:
    """In sql-only the engine deletes registrations of phones that answer (an uninitialised value decides)."""
    if topology.settings.get("sipha_registrar_mode") == "sql_only":
        for host in topology.group("proxies"):
            if "remove_on_timeout_bflag" in str(topology.value(host.name, "opensips_extra_modules") or ""):
                problem = "it sets remove_on_timeout_bflag, which deletes live registrations in sql_only"
                yield host.name, "opensips_extra_modules", problem, "Remove it; phones that are gone expire by themselves"


@rule("SCR006", "error", "a hook at a place that does not exist, or to a route that does not")
def hooks_exist(topology: Topology) -> Iterator[Problem]:
    """The engine's own check does not find a missing route; the first request does."""
    for host in topology.group("proxies"):
        routes = str(topology.value(host.name, "opensips_extra_routes") or "")
        for place, name in (topology.value(host.name, "opensips_hooks") or {}).items():
            if place not in HOOKS:
                yield host.name, "opensips_hooks", f"'{place}' is no place for a hook", f"Use one of: {', '.join(HOOKS)}"
            elif f"route[{name}]" not in routes:
                problem = f"{place} calls route[{name}], which opensips_extra_routes does not define"
                yield host.name, "opensips_hooks", problem, f"Define route[{name}] there"


@rule("SCR007", "error", "two programs of one host at one port")
def ports_apart(topology: Topology) -> Iterator[Problem]:
    """The second one does not start."""
    known: dict[tuple[Listener, ...], list[tuple[Listener, Listener]]] = {}
    for host in topology.hosts.values():
        found = tuple(listeners(topology, host))
        if found not in known:
            known[found] = _collisions(list(found))
        for second, first in known[found]:
            problem = f"{second.protocol} port {shown(second.first)} is {first.variable} too"
            yield host.name, second.variable, problem, "Give each its own port"


@rule("SCR008", "error", "calls that ring are rescued on some proxies only, or through different ports")
def rescue_everywhere(topology: Topology) -> Iterator[Problem]:
    """Each proxy finishes the calls of the others by what they have told it; one that tells nothing leaves nothing to finish. A script that
    is not the same everywhere is refused besides."""
    proxies = topology.group("proxies")
    on = [host.name for host in proxies if topology.value(host.name, "opensips_rescue_ringing")]
    if on and len(on) < len(proxies):
        for host in proxies:
            if host.name not in on:
                problem = f"it is off here, and on at {', '.join(on)}"
                yield host.name, "opensips_rescue_ringing", problem, "Set it once, for all proxies"
    for name, mine, most in differing(topology, proxies, "opensips_rescue_port") if on else ():
        problem = f"it is {shown(float(str(mine)))} here and {shown(float(str(most)))} on the other proxies"
        yield name, "opensips_rescue_port", problem, "Set it once, for all proxies"


@rule("SCR009", "warning", "calls that ring are rescued, and there are several VIPs")
def rescue_cancels_from_the_first(topology: Topology) -> Iterator[Problem]:
    """The engine sends a CANCEL that it only passes on from its first socket. A phone behind NAT that uses another VIP does not get it, and
    rings until somebody picks it up or it gives up by itself; answers find their way."""
    on = any(topology.value(host.name, "opensips_rescue_ringing") for host in topology.group("proxies"))
    if on and len(topology.vips) > 1:
        others = ", ".join(vip.name for vip in topology.vips[1:])
        problem = f"when a proxy dies, phones behind NAT that use {others} go on ringing after their caller has given up"
        yield "", "opensips_rescue_ringing", problem, "Waive SCR009 with a reason if that is acceptable, or use one VIP"


RULES = (
    same_sockets,
    agent_asks_engine,
    sql_is_there,
    full_sharing,
    live_registrations_stay,
    hooks_exist,
    ports_apart,
    rescue_everywhere,
    rescue_cancels_from_the_first,
)
