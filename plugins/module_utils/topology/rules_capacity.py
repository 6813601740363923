"""Rules about what a host must hold: connections, memory."""

from __future__ import annotations

from collections.abc import Iterator

from .model import Host, Topology
from .rule import Problem, numbers, rule, shown

CORE_WORKERS = 2  # for probes at the core address
SPARE = 10  # connections of the health endpoint, schema work, an administrator
OTHER_PROCESSES = 10  # attendant, timers, management, TCP main, replication
SYSTEM_MEMORY = 512  # MB for the operating system and the small daemons


def _workers(topology: Topology, host: Host) -> float | None:
    udp, tcp = topology.number(host.name, "opensips_udp_workers"), topology.number(host.name, "opensips_tcp_workers")
    return None if udp is None or tcp is None else udp * max(1, len(topology.vips)) + CORE_WORKERS + tcp


def connections(topology: Topology, host: Host) -> float:
    """The fewest SQL connections of a proxy's engine: modules with the same database address share one in each process, so as many as it
    has workers. Timers and management come on top. 0 when not known."""
    return _workers(topology, host) or 0


@rule("CAP001", "error", "the proxies' workers want more connections than the database takes")
def database_connections(topology: Topology) -> Iterator[Problem]:
    """All proxies use one writer, the standby's workers too, and each holds a connection. An engine that gets none for a worker does not
    start."""
    wanted = sum(connections(topology, host) for host in topology.group("proxies"))
    spare = SPARE + OTHER_PROCESSES * len(topology.group("proxies"))
    for host, (limit,) in numbers(topology, "databases", "galera_tls_max_connections"):
        if wanted > limit:
            problem = f"the proxies have {shown(wanted)} workers, each with a connection to the writer, and it takes {shown(limit)}"
            remedy = f"Set it to {shown(wanted + spare)} or more (and galera_max_connections), or fewer workers"
            yield host, "galera_tls_max_connections", problem, remedy


@rule("CAP002", "error", "the TLS port lets more in than MariaDB takes")
def tls_connections(topology: Topology) -> Iterator[Problem]:
    """Those above its limit are refused by MariaDB, the health endpoint's own among them, and a healthy database looks dead."""
    for host, (tls, limit) in numbers(topology, "databases", "galera_tls_max_connections", "galera_max_connections"):
        if tls > limit:
            problem = f"{shown(tls)} is more than galera_max_connections, {shown(limit)}"
            yield host, "galera_tls_max_connections", problem, f"Set it to {shown(max(1, limit - SPARE))} or less, or raise the other"


@rule("CAP003", "error", "a proxy's workers want more connections than its router passes on")
def router_connections(topology: Topology) -> Iterator[Problem]:
    """What is above waits in a queue until it is refused, and the engine does not start."""
    for host in topology.group("proxies"):
        limit, wanted = topology.number(host.name, "db_router_maxconn"), connections(topology, host)
        if limit is not None and wanted > limit:
            problem = f"the engine has {shown(wanted)} workers, each with a connection, and it is {shown(limit)}"
            yield host.name, "db_router_maxconn", problem, f"Set it to {shown(wanted + SPARE + OTHER_PROCESSES)} or more, or fewer workers"


def programs(topology: Topology, host: Host) -> list[tuple[str, float, float]]:
    """(variable, MB taken at the start, MB at most) of the big programs of a host, where that is known."""
    given: list[tuple[str, float, float]] = []
    if "proxies" in host.groups:
        shared, private = topology.number(host.name, "opensips_shared_memory"), topology.number(host.name, "opensips_private_memory")
        workers = _workers(topology, host)
        if shared is not None and private is not None and workers is not None:
            given.append(("opensips_shared_memory", shared, shared + private * (workers + OTHER_PROCESSES)))
    pool = topology.number(host.name, "galera_buffer_pool_size")
    if "databases" in host.groups and pool is not None:
        given.append(("galera_buffer_pool_size", pool, pool))
    return given


@rule("CAP004", "warning", "a host with less memory than its programs are given")
def memory(topology: Topology) -> Iterator[Problem]:
    """The kernel ends the biggest program when memory is out, which is the engine or the database."""
    for host in topology.hosts.values():
        there = topology.number(host.name, "sipha_memory")
        given = programs(topology, host)
        needed = sum(most for _, _, most in given)
        if there is not None and needed and needed + SYSTEM_MEMORY > there:
            problem = f"programs may take {shown(needed)} MB, the system {SYSTEM_MEMORY} MB, and sipha_memory is {shown(there)} MB"
            yield host.name, given[-1][0], problem, "Lower it, or give the host more memory"


RULES = (database_connections, tls_connections, router_connections, memory)
