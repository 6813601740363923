"""Topology and findings -> what a drawing shows: nodes, edges, frames, notes. How it looks is in drawing.py.

Networks are nodes with one cell per flow; many-to-many flows pass through such a cell, so that the number of lines grows with the
hosts and not with their square.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from .model import Finding, Host, Topology, Vip

MAX_NOTES = 24  # more findings than anybody reads in a picture


@dataclass(frozen=True)
class Node:
    """One box. `kind` is also its row: outside, public, vip, proxy, relay, core or database."""

    id: str
    kind: str
    name: str
    lines: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()  # ids of findings; a node with marks is red
    frame: str = ""  # failure domain
    cells: tuple[tuple[str, str], ...] = ()  # (flow, text), of networks


@dataclass(frozen=True)
class Edge:
    """One line between two nodes, from the upper to the lower row."""

    source: str
    target: str
    flow: str  # sip, media, control, sql, vrrp or galera
    label: str = ""
    aside: bool = False  # not the usual way: a standby
    level: bool = False  # between two nodes of one row


@dataclass(frozen=True)
class Picture:
    """What is drawn."""

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    frames: tuple[str, ...]
    notes: tuple[tuple[str, str], ...] = field(default=())  # (id, text) of each finding; waived ones have the id in brackets


def _says(finding: Finding, name: str) -> bool:
    return re.search(rf"(?<!\S)VIP {re.escape(name)}(?![\w.-])", finding.problem) is not None


class _Marks:
    """Which box each finding belongs to; waived findings mark nothing."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = [f for f in findings if not f.waived]

    @staticmethod
    def _ids(findings: Iterable[Finding]) -> tuple[str, ...]:
        return tuple(sorted({f.id for f in findings}))

    def host(self, host: Host) -> tuple[str, ...]:
        return self._ids(f for f in self.findings if f.host == host.name)

    def vip(self, vip: Vip) -> tuple[str, ...]:
        return self._ids(f for f in self.findings if not f.host and "sipha_vips" in f.variable and _says(f, vip.name))

    def network(self, kind: str) -> tuple[str, ...]:
        return self._ids(f for f in self.findings if not f.host and f"sipha_{kind}_address" in f.variable)


def _programs(topology: Topology, group: str) -> str:
    setting = {key: str(value) for key, value in topology.settings.items()}
    relay = topology.media_relay
    engine = {"opensips": "OpenSIPS"}.get(setting.get("sipha_sip_engine", ""), setting.get("sipha_sip_engine", ""))
    if group == "proxies":
        dispatcher = ", media-dispatcher" if relay == "mediaproxy" else ""
        return f"{engine} {setting.get('sipha_opensips_version', '')}, keepalived, db_router{dispatcher}"
    if group == "relays":
        return {"mediaproxy": "media-relay", "rtpengine": "RTPEngine", "none": "not used"}.get(relay, relay)
    if group == "databases":
        return {"galera": "MariaDB Galera"}.get(setting.get("sipha_database", ""), setting.get("sipha_database", ""))
    return "garbd, a vote without data"


ROLE = {"proxies": "proxy", "relays": "media relay", "databases": "database", "arbitrators": "arbitrator"}


def _lines(topology: Topology, host: Host) -> tuple[str, ...]:
    lines = [f"{ROLE.get(group, group)} ({_programs(topology, group)})" for group in host.groups]
    if host.public or {"proxies", "relays"} & set(host.groups):
        lines.append(f"public {host.public.ip if host.public else 'address missing'}")
    if host.advertised:
        lines.append(f"advertised as {host.advertised}")
    return (*lines, f"core {host.core.ip if host.core else 'address missing'}")


def _row(host: Host) -> str:
    if "proxies" in host.groups:
        return "proxy"
    return "relay" if "relays" in host.groups else "database"


def names(wanted: Iterable[str]) -> dict[str, str]:
    """Identifiers that both languages take: letters, digits and underscores, each once, whatever the names are."""
    given: dict[str, str] = {}
    used: set[str] = set()
    for name in wanted:
        base = re.sub(r"[^A-Za-z0-9]+", "_", name)[:40]
        identifier, number = base, 2
        while identifier in used:
            identifier, number = f"{base}_{number}", number + 1
        used.add(identifier)
        given[name] = identifier
    return given


def _chain(ids: Sequence[str], flow: str, label: str) -> list[Edge]:
    """Neighbours only, with one label: each with each would be a ball of wool."""
    text = label if len(ids) == 2 else f"{label}, each with each"
    return [Edge(a, b, flow, text if not index else "", level=True) for index, (a, b) in enumerate(pairwise(ids))]


def _flows(topology: Topology, ids: dict[str, str], vips: list[str]) -> list[Edge]:
    relay = topology.media_relay
    proxies, relays, databases = (topology.group(group) for group in ("proxies", "relays", "databases"))
    edges = [Edge(outside, "public", "sip", "SIP") for outside in ("phones", "carriers")]
    audio = [host for host in relays if host.public] if relay != "none" else []
    if audio:
        edges += [Edge(outside, "public", "media", "RTP") for outside in ("phones", "carriers")]
    edges += [Edge("public", vip, "sip", "SIP") for vip in vips]
    for vip, identifier in zip(topology.vips, vips, strict=True):
        order = vip.priorities([host.name for host in proxies])
        first = max(order, key=lambda name: order[name], default="")
        edges += [
            Edge(identifier, ids[h.name], "sip", "first holder" if h.name == first else "", aside=h.name != first)
            for h in proxies
            if h.public
        ]
    edges += [Edge("public", ids[host.name], "media", "RTP") for host in audio]
    edges += _chain([ids[host.name] for host in _side_by_side(proxies) if host.public], "vrrp", "VRRP")
    if audio:
        edges += [Edge(ids[host.name], "core", "control", "relay control") for host in proxies if host.core]
        edges += [Edge("core", ids[host.name], "control", "relay control") for host in audio if host.core]
    if databases:
        edges += [Edge(ids[host.name], "core", "sql", "SQL by db_router") for host in proxies if host.core]
        edges += [Edge("core", ids[host.name], "sql", "SQL") for host in databases if host.core]
    members = {host.name: host for host in [*databases, *topology.group("arbitrators")] if host.core}
    edges += _chain([ids[host.name] for host in _side_by_side(members.values())], "galera", "Galera replication")
    return edges


def _side_by_side(hosts: Iterable[Host]) -> list[Host]:
    """Hosts of one failure domain next to each other."""
    return sorted(hosts, key=lambda host: (host.failure_domain == "", host.failure_domain, _counted(host.name), host.name))


def _counted(name: str) -> list[tuple[str, int]]:
    """sip2 before sip10."""
    return [(text, int(number or "0")) for text, number in re.findall(r"(\D*)([0-9]{0,9})", name)]


def _notes(findings: Iterable[Finding]) -> tuple[tuple[str, str], ...]:
    rows: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        before = f"waived ({finding.waived}), " if finding.waived else "" if finding.severity == "error" else "warning, "
        key = (f"({finding.id})" if finding.waived else finding.id, f"{before}{finding.variable}: {finding.problem}")
        rows.setdefault(key, []).append(finding.host)
    notes = []
    for (identifier, text), hosts in rows.items():
        on = [host for host in hosts if host]
        more = f" and {len(on) - 3} more" if len(on) > 3 else ""
        notes.append((identifier, f"{text} ({', '.join(on[:3])}{more})" if on else text))
    if len(notes) > MAX_NOTES:
        notes = [*notes[:MAX_NOTES], ("...", f"and {len(notes) - MAX_NOTES} more; playbooks/validate.yml shows all")]
    return tuple(notes)


def picture(topology: Topology, findings: Sequence[Finding]) -> Picture:
    """Everything that the drawings show, each host, VIP and network once."""
    marks = _Marks(findings)
    relay = topology.media_relay
    hosts = _side_by_side(topology.hosts.values())
    ids = {name: f"host_{identifier}" for name, identifier in names(host.name for host in hosts).items()}
    vips = [f"vip_{index}" for index in range(1, len(topology.vips) + 1)]
    relayed = relay != "none" and bool(topology.names("relays"))
    public, core = topology.network("public"), topology.network("core")
    control = f"relay control ({'TLS, each media-dispatcher to its relays' if relay == 'mediaproxy' else 'ng protocol'})"
    nodes = [
        Node("phones", "outside", "phones", ("mostly behind NAT",)),
        Node("carriers", "outside", "carriers, peers", ("trusted addresses, gateways",)),
        Node(
            "public",
            "public",
            "public network",
            (str(public or "not known"),),
            marks.network("public"),
            cells=(("sip", "SIP"), ("media", "RTP, media")) if relayed else (("sip", "SIP"),),
        ),
        *(
            Node(
                identifier,
                "vip",
                f"VIP {vip.name}",
                (str(vip.address or "address missing"), f"VRRP router id {vip.router_id}"),
                marks.vip(vip),
            )
            for vip, identifier in zip(topology.vips, vips, strict=True)
        ),
        *(Node(ids[h.name], _row(h), h.name, _lines(topology, h), marks.host(h), h.failure_domain) for h in hosts),
        Node(
            "core",
            "core",
            "core network",
            (str(core or "not known"),),
            marks.network("core"),
            cells=((("control", control),) if relayed else ()) + (("sql", "SQL by db_router: one writer, the others as backups"),),
        ),
    ]
    return Picture(
        title=f"SIP cluster {topology.settings.get('sipha_cluster_name', '')} of {topology.settings.get('sipha_domain') or 'no domain'}",
        nodes=tuple(nodes),
        edges=tuple(_flows(topology, ids, vips)),
        frames=tuple(dict.fromkeys(host.failure_domain for host in hosts if host.failure_domain)),
        notes=_notes(findings),
    )
