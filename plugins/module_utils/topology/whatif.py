"""What-if: take hosts or a network away, and say what clients lose and why.

Judges the state after every failover is over; what the failover itself costs is in docs/failover.md. Everything depends only on how many
proxies, relays, databases and votes are left, so each number is judged once: all losses of one host are linear in the hosts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, NamedTuple

from . import rules_database, rules_inventory, rules_placement
from .model import Host, Topology
from .rule import Problem, Rule, rule
from .rules_media import RELAYING

SERVICES = ("new_calls", "running_media", "registrations", "cdrs", "management")
EFFECTS = NONE, SOME, STOPS = ("none", "some", "stops")  # from good to bad
NETWORKS = ("core", "public")


class Parts(NamedTuple):
    """What a host, or several, are for the cluster."""

    proxies: int = 0
    relays: int = 0
    databases: int = 0
    votes: int = 0


@dataclass(frozen=True)
class Verdict:
    effects: Mapping[str, str]  # by service
    reasons: Mapping[str, str]  # by service; only those that are not "none"
    causes: frozenset[str]  # what is missing for all clients: "network", "proxies", "databases", "votes"


@dataclass(frozen=True)
class Loss:
    """Something that is away, and what that does to each service."""

    kind: str  # "nothing" | "host" | "pair" | "domain" | "network"
    names: tuple[str, ...]  # of hosts, of the domain, of the network
    hosts: tuple[str, ...]  # that are away with it
    verdict: Verdict

    @property
    def effects(self) -> Mapping[str, str]:
        return self.verdict.effects

    @property
    def reasons(self) -> Mapping[str, str]:
        return self.verdict.reasons

    @property
    def ends_service(self) -> bool:
        """No call is billed any more, and not all can call or register."""
        return self.effects["cdrs"] == STOPS and NONE not in (self.effects["new_calls"], self.effects["registrations"])

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "names": list(self.names),
            "hosts": list(self.hosts),
            "effects": dict(self.effects),
            "reasons": dict(self.reasons),
        }


def _parts(host: Host) -> Parts:
    data = int("databases" in host.groups)
    # An arbitrator on a database is a second vote of that machine.
    return Parts(int("proxies" in host.groups), int("relays" in host.groups), data, data + int("arbitrators" in host.groups))


def _sum(parts: Iterable[Parts]) -> Parts:
    return Parts(*(sum(column) for column in zip(Parts(), *parts, strict=True)))


def _calls_without_relays(topology: Topology) -> str:
    """What becomes of new calls when there is no relay."""
    if topology.settings.get("sipha_media_relay") not in RELAYING:
        return NONE
    if topology.relays_nothing:
        return NONE
    modes = {topology.value(host.name, "opensips_media_relaying") for host in topology.group("proxies")}
    return STOPS if "always" in {mode for mode in modes if isinstance(mode, str)} else SOME


class WhatIf:
    """Losses of one cluster."""

    def __init__(self, topology: Topology) -> None:
        self.parts = {name: _parts(topology.hosts[name]) for name in sorted(topology.hosts)}
        self.all = _sum(self.parts.values())
        self.without_relays = _calls_without_relays(topology)
        self.in_memory = topology.settings.get("sipha_registrar_mode") == "full_sharing"
        self.domains: dict[str, list[str]] = {}
        for name in self.parts:
            if topology.hosts[name].failure_domain:
                self.domains.setdefault(topology.hosts[name].failure_domain, []).append(name)
        core, public = topology.network("core"), topology.network("public")
        self.one_network = bool(core and public and core.overlaps(public))
        self._known: dict[tuple[Parts, int, tuple[str, ...]], Verdict] = {}

    def nothing(self) -> Loss:
        """The cluster as it is, with all hosts."""
        return self._loss("nothing", (), ())

    def hosts(self) -> list[Loss]:
        return [self._loss("host", (name,), (name,)) for name in self.parts]

    def domain_losses(self) -> list[Loss]:
        return [self._loss("domain", (domain,), tuple(names)) for domain, names in sorted(self.domains.items())]

    def networks(self) -> list[Loss]:
        return [self._loss("network", (name,), (), NETWORKS if self.one_network else (name,)) for name in NETWORKS]

    def pairs(self) -> list[Loss]:
        """All of them, of hosts that are lost at the same time."""
        return [self._loss("pair", pair, pair) for pair in combinations(self.parts, 2)]

    def pairs_beyond(self) -> list[Loss]:
        """Pairs that cost more than one of the two. Hosts with the same parts are judged once, so this is quick for many hosts."""
        alike: dict[Parts, list[str]] = {}
        for name, parts in self.parts.items():
            alike.setdefault(parts, []).append(name)
        single = {parts: self._verdict(parts, 1, ()).effects for parts in alike}
        names: list[tuple[str, str]] = []
        for index, (one, hosts) in enumerate(alike.items()):
            for other in list(alike)[index:]:
                both = self._verdict(_sum((one, other)), 2, ()).effects
                if any(EFFECTS.index(both[s]) > max(EFFECTS.index(single[one][s]), EFFECTS.index(single[other][s])) for s in SERVICES):
                    names += combinations(hosts, 2) if one == other else product(hosts, alike[other])
        return [self._loss("pair", pair, pair) for pair in sorted((min(pair), max(pair)) for pair in names)]

    def _loss(self, kind: str, names: tuple[str, ...], hosts: tuple[str, ...], networks: tuple[str, ...] = ()) -> Loss:
        lost = self.parts[hosts[0]] if len(hosts) == 1 else _sum(self.parts[host] for host in hosts)
        return Loss(kind, names, hosts, self._verdict(lost, len(hosts), networks))

    def _verdict(self, lost: Parts, hosts: int, networks: tuple[str, ...]) -> Verdict:
        key = (lost, hosts, networks)
        if key not in self._known:
            self._known[key] = self._judge(Parts(*(a - b for a, b in zip(self.all, lost, strict=True))), len(self.parts) - hosts, networks)
        return self._known[key]

    def _judge(self, left: Parts, hosts: int, networks: tuple[str, ...]) -> Verdict:
        core, public = "core" not in networks, "public" not in networks
        causes: dict[str, str] = {}  # why nobody can be served
        said: dict[str, list[tuple[str, str]]] = {service: [] for service in SERVICES}

        def add(effect: str, reason: str, *services: str) -> None:
            for service in services:
                said[service].append((effect, reason))

        if not public:
            causes["network"] = "nobody reaches the VIP"
        elif not left.proxies:
            causes["proxies"] = "no proxy is left"
        for reason in causes.values():
            add(STOPS, reason, "new_calls", "registrations", "cdrs")

        database = {
            "network": "" if core else "no proxy reaches a database",
            "databases": "" if left.databases else "no database is left",
            "votes": ""
            if 2 * left.votes > self.all.votes
            else f"{left.votes} of {self.all.votes} votes are no majority, so SQL is refused",
        }
        cause, reason = next(((cause, text) for cause, text in database.items() if text), ("", ""))
        if cause:
            causes.setdefault("votes" if database["votes"] and core else cause, reason)
            add(STOPS, reason, "cdrs")
            if self.in_memory:
                add(SOME, f"{reason}: calls from carriers go on, phones' passwords can't be checked", "new_calls")
                add(SOME, f"{reason}: those in memory stay until they expire, none is renewed", "registrations")
            else:
                add(STOPS, reason, "new_calls", "registrations")
            add(SOME, "site.yml and data.yml need a database that takes writes", "management")

        if self.without_relays != NONE:
            gone = "no proxy controls a relay" if not core else "no relay is left" if not left.relays else ""
            if gone:
                calls = "every call needs one" if self.without_relays == STOPS else "calls with a party behind NAT are refused"
                add(self.without_relays, f"{gone}: {calls}", "new_calls")
            if not public:
                add(STOPS, "nobody reaches a relay", "running_media")
            elif not left.relays:
                add(STOPS, "no relay is left", "running_media")
            elif left.relays < self.all.relays:
                add(SOME, "audio ends for the calls on a relay that is lost", "running_media")

        if not core:
            add(STOPS, "hosts are managed over the core network", "management")
        elif not hosts:
            add(STOPS, "no host is left", "management")
        effects = {service: max((effect for effect, _ in said[service]), key=EFFECTS.index, default=NONE) for service in SERVICES}
        reasons = {s: "; ".join(text for effect, text in said[s] if effect == effects[s]) for s in SERVICES if effects[s] != NONE}
        return Verdict(effects, reasons, frozenset(causes))


def single_losses(topology: Topology) -> list[Loss]:
    """Each host alone, by name."""
    return WhatIf(topology).hosts()


def domain_losses(topology: Topology) -> list[Loss]:
    """Each failure domain with all its hosts, by name."""
    return WhatIf(topology).domain_losses()


def network_losses(topology: Topology) -> list[Loss]:
    """The core and the public network; both at once when they are one."""
    return WhatIf(topology).networks()


def pair_losses(topology: Topology) -> list[Loss]:
    """Every two hosts, lost at the same time."""
    return WhatIf(topology).pairs()


def rows(topology: Topology, all_pairs: bool = False) -> list[dict[str, Any]]:
    """All losses as plain data: what is already missing, hosts, domains, networks, and pairs (those that cost more than one of the two)."""
    cluster = WhatIf(topology)
    if not cluster.parts:
        return []
    nothing = cluster.nothing()
    losses = [nothing] if any(effect != NONE for effect in nothing.effects.values()) else []
    losses += [*cluster.hosts(), *cluster.domain_losses(), *cluster.networks()]
    losses += cluster.pairs() if all_pairs else cluster.pairs_beyond()
    return [loss.as_dict() for loss in losses]


# Rules that say it already, by cause. (INV001 does for a cluster that has no proxy or no database in the first place.)
_RULES: dict[str, Rule] = {r.id: r for r in (*rules_inventory.RULES, *rules_database.RULES, *rules_placement.RULES)}
_SAID_BY = {"proxies": ("INV007", "PLC002"), "votes": ("DB001", "DB002", "PLC001")}


def _unexplained(topology: Topology, cluster: WhatIf) -> list[Loss]:
    losses = [*cluster.hosts(), *(domain for domain in cluster.domain_losses() if len(domain.hosts) > 1)]
    fatal = [loss for loss in losses if loss.ends_service]
    if not fatal or cluster.nothing().ends_service:
        return []
    said = {cause for cause, ids in _SAID_BY.items() if any(next(_RULES[rule_id](topology), None) for rule_id in ids)}
    if cluster.all.databases == 1:
        said.add("databases")  # DB001
    return [loss for loss in fatal if loss.verdict.causes - said]


@rule("WHATIF001", "error", "one host or one failure domain whose loss ends all service")
def one_loss_ends_all(topology: Topology) -> Iterator[Problem]:
    """The promise is that no single loss stops calls. Most causes have a rule of their own, which is then the only one to speak; this one
    is for what is left, such as all databases in one domain that arbitrators elsewhere outvote."""
    for loss in _unexplained(topology, WhatIf(topology)):
        all_of_it = all(loss.effects[service] == STOPS for service in ("new_calls", "registrations"))
        what = "all service" if all_of_it else "all CDRs, and new calls and registrations of some"
        problem = f"the loss of {loss.names[0]} ({', '.join(loss.hosts)}) ends {what}: {loss.reasons['cdrs']}"
        variable = "groups" if loss.kind == "host" else "sipha_failure_domain"
        yield loss.names[0] if loss.kind == "host" else "", variable, problem, "Put some of what it holds elsewhere"


WHATIF_RULES: tuple[Rule, ...] = (one_loss_ends_all,)
