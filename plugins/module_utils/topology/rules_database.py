"""Rules about the database: votes, timeouts of the group, and that proxies look for it where it is."""

from __future__ import annotations

from collections.abc import Iterator

from .model import Topology
from .rule import Problem, differing, numbers, rule, shown

# Settings of MariaDB that the cluster is built on, and what each is for.
BUILT_ON = {
    "bind_address": "SQL without TLS stays on the host",
    "binlog_format": "Galera replicates rows only",
    "default_storage_engine": "Galera replicates InnoDB only",
    "innodb_autoinc_lock_mode": "other modes deadlock under Galera",
    "port": "the health endpoint and the TLS port look for MariaDB at 3306",
    "wsrep_cluster_address": "it names the members",
    "wsrep_cluster_name": "members with another name are not let in",
    "wsrep_node_address": "the others reach this node there",
    "wsrep_node_name": "the roles know the node by it",
    "wsrep_on": "without it nothing is replicated",
    "wsrep_provider": "it is Galera itself",
    "wsrep_provider_options": "TLS and all timeouts of the group are in it",
    "wsrep_sst_method": "the role sets up accounts and TLS for this one",
}


@rule("DB001", "error", "an even number of votes, or one database")
def quorum(topology: Topology) -> Iterator[Problem]:
    """When half of an even number is away, or the halves don't see each other, both halves stop."""
    data, arbitrators = len(topology.group("databases")), len(topology.group("arbitrators"))
    if data and (data + arbitrators) % 2 == 0:
        problem = (
            f"{data} databases and {arbitrators} arbitrators are an even number of votes: "
            "when half of them are away, the other half stops too"
        )
        yield "", "group databases", problem, "Use three databases, or two and a host in the group arbitrators"
    elif data == 1:
        yield "", "group databases", "one database is no cluster", "Use three, or two and an arbitrator"


@rule("DB002", "error", "an arbitrator on a database")
def arbitrators_apart(topology: Topology) -> Iterator[Problem]:
    """Its loss takes two votes at once, which of three are the majority."""
    for host in topology.group("arbitrators"):
        if "databases" in host.groups:
            problem = "it is a database as well, so its loss takes two votes"
            yield host.name, "group arbitrators", problem, "Use a host without a database"


@rule("DB003", "warning", "more arbitrators than the databases can outvote")
def few_arbitrators(topology: Topology) -> Iterator[Problem]:
    """Arbitrators that are a majority among themselves keep a quorum in which nobody has the data."""
    data, arbitrators = len(topology.group("databases")), len(topology.group("arbitrators"))
    if data > 1 and arbitrators >= data:
        problem = f"{arbitrators} arbitrators have as many votes as {data} databases, or more"
        yield "", "group arbitrators", problem, "One arbitrator is enough for two databases; three databases need none"


@rule("DB004", "error", "proxies look for the database where it is not")
def ports_meet(topology: Topology) -> Iterator[Problem]:
    """Then no proxy has a database: no registration, no new call."""
    for at_proxy, at_database in (("db_router_database_port", "galera_tls_port"), ("db_router_health_port", "galera_health_port")):
        there = {topology.number(host.name, at_database) for host in topology.group("databases")} - {None}
        for host, (port,) in numbers(topology, "proxies", at_proxy):
            for other in sorted(p for p in there if p is not None and p != port):
                problem = f"it is {shown(port)}, and {at_database} is {shown(other)}"
                yield host, at_proxy, problem, f"Set both to the same port; defaults are those of {at_database}"


@rule("DB005", "error", "timeouts of the group that contradict each other")
def group_timeouts(topology: Topology) -> Iterator[Problem]:
    """A member must be heard from, and looked for, several times before it is suspected, and suspected before it is dropped."""
    names = ("suspect_timeout", "inactive_timeout", "keepalive_period", "inactive_check_period")
    for group in ("databases", "arbitrators"):
        for host, (suspect, inactive, keepalive, look) in numbers(topology, group, *(f"galera_evs_{name}" for name in names)):
            if inactive <= suspect:
                problem = f"{shown(inactive)} s is not more than galera_evs_suspect_timeout, {shown(suspect)} s"
                yield host, "galera_evs_inactive_timeout", problem, f"Set it to {shown(3 * suspect)}"
            if 2 * keepalive >= suspect:
                problem = f"{shown(keepalive)} s is not less than half of galera_evs_suspect_timeout, {shown(suspect)} s"
                yield host, "galera_evs_keepalive_period", problem, f"Set it to {shown(suspect / 4)}"
            if look >= suspect:
                problem = f"{shown(look)} s is not less than galera_evs_suspect_timeout, {shown(suspect)} s"
                yield host, "galera_evs_inactive_check_period", problem, f"Set it to {shown(suspect / 8)}"


@rule("DB006", "warning", "members of the group with different timeouts")
def same_timeouts(topology: Topology) -> Iterator[Problem]:
    """The member with the shortest patience suspects the others, who do not suspect it: the group splits where nothing is broken."""
    members = topology.group("databases") + [h for h in topology.group("arbitrators") if "databases" not in h.groups]
    for name in ("galera_evs_suspect_timeout", "galera_evs_inactive_timeout"):
        for host, mine, most in differing(topology, members, name):
            problem = f"it is {shown(float(str(mine)))} s here and {shown(float(str(most)))} s on the other members"
            yield host, name, problem, "Set it once, in group_vars/all"


@rule("DB007", "error", "galera_extra_settings that take away what the cluster is built on")
def extra_settings(topology: Topology) -> Iterator[Problem]:
    """They win over the role's own settings."""
    for host in topology.group("databases"):
        for name in topology.value(host.name, "galera_extra_settings") or {}:
            reason = BUILT_ON.get(str(name).replace("-", "_").lower())
            if reason:
                yield host.name, "galera_extra_settings", f"it sets {name}: {reason}", f"Remove {name} from it"


@rule("DB008", "error", "the engine's database has two names")
def one_name(topology: Topology) -> Iterator[Problem]:
    """The schema would be made in one, and the engine would look into the other."""
    names = {topology.value(host.name, "sip_schema_database") for host in topology.group("databases")} - {None}
    for host in topology.group("proxies"):
        mine = topology.value(host.name, "opensips_db_name")
        for other in sorted(str(name) for name in names if mine is not None and name != mine):
            yield host.name, "opensips_db_name", f"it is '{mine}', and sip_schema_database is '{other}'", "Set both to the same name"


@rule("DB009", "warning", "the database's end of a session is shorter than the proxy's")
def idle_sessions(topology: Topology) -> Iterator[Problem]:
    """Who cuts an idle session first decides who notices: cut at the database's end, the engine's next request on it fails."""
    idle = [(host, seconds) for host, (seconds,) in numbers(topology, "proxies", "db_router_idle_timeout")]
    longest = max((seconds for _, seconds in idle), default=0)
    for host, (hours,) in numbers(topology, "databases", "galera_tls_session_timeout"):
        if hours * 3600 < longest:
            problem = f"{shown(hours)} h is less than db_router_idle_timeout, {shown(longest)} s"
            yield (
                host,
                "galera_tls_session_timeout",
                problem,
                f"Set it to {shown(longest // 3600 + 1)} hours, or lower db_router_idle_timeout",
            )


RULES = (
    quorum,
    arbitrators_apart,
    few_arbitrators,
    ports_meet,
    group_timeouts,
    same_timeouts,
    extra_settings,
    one_name,
    idle_sessions,
)
