"""Rules about where hosts are: what is lost together, by `sipha_failure_domain` and by sharing a machine."""

from __future__ import annotations

from collections.abc import Iterator

from .model import Host, Topology
from .rule import Problem, rule
from .rules_media import RELAYING


def _domains(hosts: list[Host]) -> dict[str, list[str]]:
    """Host names by failure domain; who has none is in none."""
    domains: dict[str, list[str]] = {}
    for host in hosts:
        if host.failure_domain:
            domains.setdefault(host.failure_domain, []).append(host.name)
    return domains


def _all_in_one(hosts: list[Host]) -> str:
    """The domain that holds all of several hosts, or ""."""
    return next((domain for domain, names in _domains(hosts).items() if len(names) == len(hosts) > 1), "")


@rule("PLC001", "error", "half of the database votes or more in one failure domain")
def votes_apart(topology: Topology) -> Iterator[Problem]:
    """Its loss leaves no majority, and no database can be written to. Two places are not enough: the third vote needs a third."""
    voters = [host for host in topology.hosts.values() if {"databases", "arbitrators"} & set(host.groups)]
    for domain, names in sorted(_domains(voters).items()):
        if len(names) > 1 and 2 * len(names) >= len(voters):
            problem = f"{', '.join(sorted(names))} are {len(names)} of {len(voters)} votes in '{domain}', and the rest is no majority"
            remedy = "Spread databases and arbitrators over three domains"
            yield "", "sipha_failure_domain", problem, remedy


@rule("PLC002", "error", "all proxies in one failure domain")
def proxies_apart(topology: Topology) -> Iterator[Problem]:
    """Its loss takes all of SIP: a VIP with nowhere to go."""
    domain = _all_in_one(topology.group("proxies"))
    if domain:
        yield "", "sipha_failure_domain", f"all proxies are in '{domain}'", "Put one of them elsewhere"


@rule("PLC003", "error", "all relays in one failure domain")
def relays_apart(topology: Topology) -> Iterator[Problem]:
    """Its loss ends all audio, and calls that need a relay are refused."""
    domain = _all_in_one(topology.group("relays"))
    if domain and topology.settings.get("sipha_media_relay") in RELAYING:
        yield "", "sipha_failure_domain", f"all relays are in '{domain}'", "Put one of them elsewhere"


@rule("PLC004", "warning", "a host of which no failure domain is said")
def domains_known(topology: Topology) -> Iterator[Problem]:
    """Others have one, and this host may well be in it: the rules can't see what is lost together."""
    if any(host.failure_domain for host in topology.hosts.values()):
        for host in topology.hosts.values():
            if not host.failure_domain:
                problem = "it is not set, and other hosts have one"
                yield host.name, "sipha_failure_domain", problem, "Set it to what fails together with this host (hypervisor, rack, site)"


@rule("PLC005", "error", "a database on a proxy")
def databases_off_proxies(topology: Topology) -> Iterator[Problem]:
    """Both want SQL at 127.0.0.1:3306: a proxy has the way to the writer there, a database has MariaDB."""
    for host in topology.group("databases"):
        if "proxies" in host.groups:
            yield host.name, "group databases", "it is in the group proxies too", "Put the database on a host of its own"


@rule("PLC006", "warning", "a database on a relay")
def databases_off_relays(topology: Topology) -> Iterator[Problem]:
    """Media in bursts delays the group's messages, a relay has a foot in the public network, and one loss takes both."""
    for host in topology.group("databases"):
        if "relays" in host.groups:
            yield host.name, "group databases", "it is in the group relays too", "Put the database on a host of its own"


RULES = (votes_apart, proxies_apart, relays_apart, domains_known, databases_off_proxies, databases_off_relays)
