"""Rules about the inventory as such: groups, required values, choices."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .model import CHOICES, MAX_PROXIES, REQUIRED_GROUPS, Topology
from .rule import Problem, found_while_reading, rule


@rule("INV001", "error", "a group without hosts that no cluster can be without", waivable=False)
def required_groups(topology: Topology) -> Iterator[Problem]:
    """Without proxies and databases there is no cluster."""
    for group in REQUIRED_GROUPS:
        if not topology.group(group):
            yield "", f"group {group}", "it is missing or empty", f"Put hosts into the group {group}"


@rule("INV002", "error", "a host without an address it needs", waivable=False)
def addresses_present(topology: Topology) -> Iterator[Problem]:
    """Every host needs a core address, proxies and relays a public one as well."""
    unread = {(f.host, f.variable) for f in topology.findings}
    for host in topology.hosts.values():
        wanted = [("sipha_core_address", host.core)]
        if {"proxies", "relays"} & set(host.groups):
            wanted.append(("sipha_public_address", host.public))
        for variable, value in wanted:
            if value is None and (host.name, variable) not in unread:
                remedy = "Set it in the inventory to the host's address with prefix, like 198.18.20.11/24"
                yield host.name, variable, "it is missing", remedy


@rule("INV005", "error", "a choice that does not exist", waivable=False)
def options(topology: Topology) -> Iterator[Problem]:
    """Roles know what is in the list of choices, and nothing else."""
    for variable, allowed in CHOICES.items():
        value = topology.settings.get(variable)
        if value not in allowed:
            yield "", variable, f"'{value}' is not known here", f"Set it to one of: {', '.join(allowed)}"


@rule("INV007", "error", "too few proxies to fail over, or too many")
def two_proxies(topology: Topology) -> Iterator[Problem]:
    """One proxy can't fail over; VRRP priorities leave room for a bounded number."""
    count = len(topology.group("proxies"))
    if count == 1:
        yield "", "group proxies", "it has one host, so there is nowhere to fail over to", "Add a second"
    if count > MAX_PROXIES:
        problem = f"it has {count} hosts, more than the {MAX_PROXIES} that VRRP priorities leave room for"
        yield "", "group proxies", problem, "Make two clusters"


@rule("INV010", "error", "no SIP domain", waivable=False)
def domain(topology: Topology) -> Iterator[Problem]:
    """The SIP domain is the realm of every subscriber."""
    if not topology.settings.get("sipha_domain"):
        yield "", "sipha_domain", "it is missing", "Set it to the SIP domain, like sip.example.org"


@rule("INV018", "error", "a SIP domain that is no domain name", waivable=False)
def domain_is_a_name(topology: Topology) -> Iterator[Problem]:
    """It stands in the engine's script, in every subscriber's hash and in every phone: other characters break one of them."""
    value = topology.settings.get("sipha_domain")
    label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    if value and not (isinstance(value, str) and len(value) <= 64 and re.fullmatch(rf"{label}(\.{label})*", value)):
        # 64 characters is what the engine's tables hold
        problem = f"'{str(value)[:80]}' is not a domain name of at most 64 characters"
        yield "", "sipha_domain", problem, "Set it to letters, digits, '-' and '.', like sip.example.org"


@rule("INV019", "error", "a cluster name that the database or certificates can't carry", waivable=False)
def cluster_name(topology: Topology) -> Iterator[Problem]:
    """Galera's cluster name has at most 32 characters; Mediaproxy compares it in certificates, where ',' and ':' separate."""
    value = str(topology.settings.get("sipha_cluster_name") or "")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", value):
        problem = f"'{value[:80]}' is not 1 to 32 letters, digits, '_', '.' and '-'"
        yield "", "sipha_cluster_name", problem, "Choose such a name; on a running cluster keep the old one"


@rule("INV020", "error", "numbers of proxies that are pinned for some of them only, or twice", waivable=False)
def node_ids_pinned(topology: Topology) -> Iterator[Problem]:
    """Proxies know each other, their calls and their transactions by these numbers. Those without opensips_node_id are numbered by name, so
    that one that comes or goes would renumber others, maybe to a number that is taken."""
    proxies = topology.group("proxies")
    pinned = [host for host in proxies if "opensips_node_id" in topology.variables.get(host.name, {})]
    unread = {finding.host for finding in topology.findings if finding.variable == "opensips_node_id"}
    owners: dict[int, str] = {}
    for host in proxies if pinned and not unread else ():
        if host not in pinned:
            problem = f"it is missing here, and set on {', '.join(other.name for other in pinned)}"
            yield (
                host.name,
                "opensips_node_id",
                problem,
                f"Set it to {host.node_id} if that is what runs there, or to a number that none has had",
            )
        elif topology.variables[host.name]["opensips_node_id"] is None:
            yield host.name, "opensips_node_id", "it is not known before hosts are reached", "Set it to a plain number"
        elif host.node_id in owners:
            problem = f"{host.node_id} is the number of {owners[host.node_id]} too"
            yield host.name, "opensips_node_id", problem, "Give each proxy its own number"
        else:
            owners[host.node_id] = host.name


RULES = (
    required_groups,
    addresses_present,
    found_while_reading("INV003", "error", "an address that is none", "Nobody can be reached at it, and no rule can judge it."),
    found_while_reading(
        "INV004",
        "error",
        "a variable with one of our prefixes that nothing reads",
        "A misspelling would be silent otherwise: the default would be used.",
        waivable=True,
    ),
    options,
    two_proxies,
    found_while_reading(
        "INV008",
        "error",
        "a cluster-wide variable that is not the same on every host",
        "The cluster is one: hosts that disagree about it can't work together.",
    ),
    found_while_reading("INV009", "error", "a template that can't be resolved", "Its value would be missing in the middle of a run."),
    domain,
    found_while_reading("INV011", "error", "sipha_waivers is not a mapping", "A waiver without its reason is none."),
    found_while_reading(
        "INV012",
        "error",
        "a value of the wrong kind",
        "Text where a number belongs ends in a daemon that does not start, in the middle of a run.",
    ),
    found_while_reading(
        "INV013", "error", "a number outside the range that its role accepts", "The role would refuse it, after hosts have changed."
    ),
    found_while_reading("INV014", "error", "a waiver for a rule that does not exist", "A misspelt waiver waives nothing."),
    found_while_reading("INV015", "error", "a waiver without a reason", "Who reads it in a year must see why it was right."),
    found_while_reading(
        "INV016",
        "warning",
        "a waiver that waives nothing",
        "What it waived is gone; left there it would hide the next case.",
        waivable=True,
    ),
    found_while_reading("INV017", "error", "a waiver for a rule that can't be waived", "The roles can't work with what that rule finds."),
    domain_is_a_name,
    cluster_name,
    node_ids_pinned,
)
