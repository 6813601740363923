# SPDX-License-Identifier: MIT
"""What a Galera node says about itself, and what to do with a set of nodes.

Pure functions on text and plain data: no Ansible, no connection, no file is opened here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

ZERO_UUID = "00000000-0000-0000-0000-000000000000"
RECOVER_PLAYBOOK = "playbooks/recover.yml"
SYSTEM_DIRECTORIES = frozenset({"mysql", "sys", "performance_schema", "lost+found", "#rocksdb"})

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_POSITION = re.compile(rf"(?:wsrep_start_position=|Recovered position:?\s*)({_UUID}):(-?\d+)")


class GaleraError(ValueError):
    """A tool or a file said something this collection does not understand."""


@dataclass(frozen=True)
class Position:
    """A point in the history `uuid`; seqno -1 means unknown or nothing."""

    uuid: str = ZERO_UUID
    seqno: int = -1

    @property
    def empty(self) -> bool:
        return self.uuid == ZERO_UUID


@dataclass(frozen=True)
class GraState:
    """grastate.dat: seqno is -1 while the server runs and after a crash; not present on a host that never was a member."""

    position: Position = Position()
    safe_to_bootstrap: bool = False
    present: bool = False


@dataclass(frozen=True)
class Node:
    """One database host as the module galera_state found it."""

    name: str
    service: str = "inactive"
    connected: bool = False
    cluster_status: str = ""
    local_state: int = 0
    ready: bool = False
    cluster_size: int = 0
    read_only: bool = False
    grastate: GraState = GraState()
    recovered: Position | None = None
    user_databases: tuple[str, ...] = ()

    @property
    def primary(self) -> bool:
        return self.connected and self.cluster_status.lower() == "primary"

    @property
    def synced(self) -> bool:
        return self.primary and self.local_state == 4 and self.ready

    @property
    def standalone(self) -> bool:
        """Answers SQL but takes part in no cluster, as the distribution's own configuration starts it."""
        return self.connected and self.cluster_status.lower() not in ("primary", "non-primary")

    @property
    def stranger(self) -> bool:
        """Never was a member and has databases of its own: joining would delete them."""
        return not self.grastate.present and self.position.empty and bool(self.user_databases)

    @property
    def stopped(self) -> bool:
        return self.service in ("inactive", "failed", "not-found")

    @property
    def position(self) -> Position:
        """Recovered position if known (it is exact, also after kill -9), else the saved one."""
        return self.recovered if self.recovered is not None else self.grastate.position


@dataclass(frozen=True)
class Plan:
    """What one run does. Exactly one of `error` and a set of steps is given.

    stop: servers to stop before anything else (they wait for a cluster that nobody has started)
    bootstrap: the one node that starts a new primary component, or ""
    join: nodes to start afterwards, one at a time, in this order
    """

    action: str
    stop: tuple[str, ...] = ()
    bootstrap: str = ""
    join: tuple[str, ...] = ()
    error: str = ""
    notes: tuple[str, ...] = field(default_factory=tuple)

    def as_dict(self) -> dict[str, object]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def parse_grastate(text: str) -> GraState:
    """Read grastate.dat. An empty text is a node that never was in a cluster."""
    if not text.strip():
        return GraState()
    values = dict(re.findall(r"^\s*(uuid|seqno|safe_to_bootstrap)\s*:\s*(\S+)\s*$", text, re.MULTILINE))
    try:
        uuid = values["uuid"].lower()
        seqno = int(values["seqno"])
        safe = values.get("safe_to_bootstrap", "0") == "1"
    except (KeyError, ValueError) as err:
        raise GaleraError(f"grastate.dat: missing or odd {err}; the file says: {text!r}") from err
    if not re.fullmatch(_UUID, uuid):
        raise GaleraError(f"grastate.dat: uuid {uuid!r} is none; the file says: {text!r}")
    return GraState(Position(uuid, seqno), safe, True)


def parse_recovery(text: str) -> Position:
    """Read the output of galera_recovery or the log of `mariadbd --wsrep-recover`."""
    found = _POSITION.findall(text)
    if not found:
        raise GaleraError(f"no recovered position in the output of galera_recovery: {text.strip()[-2000:]!r}")
    uuid, seqno = found[-1]
    return Position(uuid.lower(), int(seqno))


def user_databases(names: Iterable[str]) -> tuple[str, ...]:
    """Directories of a data directory that are databases of users."""
    return tuple(sorted(n for n in names if n not in SYSTEM_DIRECTORIES and not n.startswith((".", "#"))))


def node_from_status(name: str, service: str, status: Mapping[str, str], variables: Mapping[str, str]) -> Node:
    """Make a Node from SHOW GLOBAL STATUS LIKE 'wsrep_%' and SHOW GLOBAL VARIABLES."""

    def number(key: str, default: str = "0") -> int:
        value = status.get(key, default)
        try:
            return int(value)
        except ValueError as err:
            raise GaleraError(f"{key} is {value!r}, a number was expected") from err

    # The server counts in unsigned numbers; "nothing yet" is the largest of them.
    committed = number("wsrep_last_committed", "-1")
    committed = -1 if committed >= 2**63 else committed
    return Node(
        name=name,
        service=service,
        connected=True,
        cluster_status=status.get("wsrep_cluster_status", ""),
        local_state=number("wsrep_local_state"),
        ready=status.get("wsrep_ready", "OFF") == "ON",
        cluster_size=number("wsrep_cluster_size"),
        read_only=variables.get("read_only", "OFF") not in ("OFF", "0"),
        recovered=Position(status.get("wsrep_local_state_uuid", ZERO_UUID) or ZERO_UUID, committed),
    )


def node_as_dict(node: Node) -> dict[str, object]:
    result: dict[str, object] = asdict(node)
    result["user_databases"] = list(node.user_databases)
    result.update(primary=node.primary, synced=node.synced, stopped=node.stopped, position=asdict(node.position))
    return result


def _position(data: Mapping[str, object] | None) -> Position:
    return Position(str(data["uuid"]), int(str(data["seqno"]))) if data else Position()


def node_from_dict(data: Mapping[str, object]) -> Node:
    """The way back from node_as_dict: facts of a host become a Node again."""
    try:
        grastate = data["grastate"]
        recovered = data["recovered"]
        databases = data["user_databases"]
        assert isinstance(grastate, Mapping)
        assert recovered is None or isinstance(recovered, Mapping)
        assert isinstance(databases, Sequence)
        return Node(
            name=str(data["name"]),
            service=str(data["service"]),
            connected=bool(data["connected"]),
            cluster_status=str(data["cluster_status"]),
            local_state=int(str(data["local_state"])),
            ready=bool(data["ready"]),
            cluster_size=int(str(data["cluster_size"])),
            read_only=bool(data["read_only"]),
            grastate=GraState(_position(grastate["position"]), bool(grastate["safe_to_bootstrap"]), bool(grastate["present"])),
            recovered=_position(recovered) if recovered else None,
            user_databases=tuple(str(d) for d in databases),
        )
    except (KeyError, AssertionError, ValueError) as err:
        raise GaleraError(f"this is not a result of sipha.cluster.galera_state ({err!r}): {data!r}") from err


def describe(node: Node) -> str:
    """One line for an operator."""
    if node.connected:
        what = f"running, {node.cluster_status or 'no wsrep'}, state {node.local_state}, sees {node.cluster_size} members"
    elif not node.stopped:
        what = f"service {node.service}, does not answer SQL"
    else:
        what = f"service {node.service}"
    where = "no data" if node.position.empty else f"position {node.position.uuid}:{node.position.seqno}"
    return f"{node.name}: {what}, {where}"


def votes_error(databases: Sequence[str], arbitrators: Sequence[str]) -> str:
    """An even number of votes can be cut into halves that both stop."""
    votes = len(databases) + len(arbitrators)
    if not databases:
        return "Group databases is empty: put 3 hosts into it, or 2 and one into arbitrators."
    if len(arbitrators) > 1:
        return f"Group arbitrators has {len(arbitrators)} hosts ({', '.join(arbitrators)}): leave one, more make a cluster no safer."
    if votes % 2 == 0:
        fix = "take the arbitrator away" if arbitrators else "put one more host into databases or one into arbitrators"
        return (
            f"The database cluster has {len(databases)} databases and {len(arbitrators)} arbitrators, an even number of votes: "
            f"cut in halves, both stop. Change the inventory: {fix}."
        )
    return ""


def elect(nodes: Sequence[Node]) -> Node:
    """The most advanced node; of equals the one that was shut down last, then the first by name."""
    return min(nodes, key=lambda n: (-n.position.seqno, not n.grastate.safe_to_bootstrap, n.name))


def plan(members: Sequence[str], nodes: Mapping[str, Node]) -> Plan:
    """Decide what a run does. `nodes` holds the members that could be asked; the others are unreachable.

    Never starts a second cluster: bootstrap is only planned when no member is Primary and every member was asked.
    """
    known = [nodes[m] for m in sorted(members) if m in nodes]
    missing = sorted(set(members) - set(nodes))
    if not known:
        return Plan("none")
    if any(n.primary for n in known):
        waiting = [n for n in known if not n.connected or n.standalone]
        strangers = [f"{n.name} ({', '.join(n.user_databases)})" for n in waiting if n.stranger]
        if strangers:
            return Plan(
                "error",
                error=f"Never a member of the running cluster, yet with databases of its own: {'; '.join(strangers)}. "
                "Joining would delete them: save or remove them on that host first.",
            )
        notes = tuple(f"{m} could not be asked; the cluster is Primary without it" for m in missing)
        return Plan(
            "join" if waiting else "none",
            stop=tuple(n.name for n in waiting if n.standalone),
            join=tuple(n.name for n in waiting),
            notes=notes,
        )

    picture = "; ".join(describe(n) for n in known)
    lost = [n.name for n in known if n.connected and not n.standalone]
    if lost:
        return Plan(
            "error",
            error=f"No database node is Primary, and {', '.join(lost)} runs without quorum, so it refuses writes. "
            f"Bring the missing members back, then it heals by itself; if they are lost for good run {RECOVER_PLAYBOOK}. Seen: {picture}",
        )
    if missing:
        return Plan(
            "error",
            error=f"All database nodes that can be reached are down, and {', '.join(missing)} can't be asked: it may hold newer "
            f"data or run. Make it reachable (no --limit) and run again; if it is lost for good run {RECOVER_PLAYBOOK}. Seen: {picture}",
        )

    with_data = [n for n in known if not n.position.empty]
    histories = sorted({n.position.uuid for n in with_data})
    stop = tuple(n.name for n in known if not n.stopped)
    if stop:
        return Plan("look", stop=stop, notes=("servers are stopped to read their exact positions",))
    if len(histories) > 1:
        return Plan(
            "error",
            error="The database nodes hold data of different clusters, so the newest can't be found by number. "
            f"Choose one with {RECOVER_PLAYBOOK}. Seen: {picture}",
        )
    if with_data:
        chosen = elect(with_data)
    else:
        filled = [n for n in known if n.stranger]
        if len(filled) > 1:
            return Plan(
                "error",
                error="A new cluster keeps the data of one node, but these have databases of their own: "
                + ", ".join(f"{n.name} ({', '.join(n.user_databases)})" for n in filled)
                + f". Remove those you don't want, or choose one with {RECOVER_PLAYBOOK}.",
            )
        chosen = elect(filled or known)
    return Plan("bootstrap", bootstrap=chosen.name, join=tuple(n.name for n in known if n.name != chosen.name))


def recover_error(members: Sequence[str], nodes: Mapping[str, Node], chosen: str, lost: Sequence[str]) -> str:
    """Why the operator's choice can't be carried out, or ""."""
    missing = sorted(set(members) - set(nodes))
    known = [nodes[m] for m in sorted(members) if m in nodes]
    picture = "\n".join(f"  {describe(n)}" for n in known) or "  none could be asked"
    primary = [n.name for n in known if n.primary]
    if primary:
        return f"The cluster is Primary on {', '.join(primary)}: nothing to recover. Run playbooks/site.yml to start the others."
    if sorted(lost) != missing:
        return (
            f"Members that can't be asked: {', '.join(missing) or 'none'}; galera_recover_lost names: {', '.join(sorted(lost)) or 'none'}. "
            "Make sure that the missing ones do not run as a cluster of their own, then name exactly these in galera_recover_lost."
        )
    histories = {n.position.uuid for n in known if not n.position.empty}
    best = elect([n for n in known if not n.position.empty] or known).name if known else ""
    advice = f"most advanced is {best}" if len(histories) <= 1 else "their histories differ, so look at the data of each before you choose"
    if not chosen:
        return f"Choose the node whose data the cluster continues with: -e galera_recover_from=NAME ({advice}). Seen:\n{picture}"
    if chosen not in nodes:
        return f"galera_recover_from={chosen} is not a database host that can be asked. Seen:\n{picture}"
    return ""


def native_hash(password: str) -> str:
    """The text MariaDB keeps for a mysql_native_password account."""
    inner = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(inner, usedforsecurity=False).hexdigest().upper()
