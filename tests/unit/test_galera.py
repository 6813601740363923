"""What role galera decides, from what nodes say about themselves."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import itertools
import os
import pathlib
from dataclasses import replace
from types import ModuleType

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils import galera
from ansible_collections.sipha.cluster.plugins.module_utils.galera import GraState, Node, Plan, Position
from hypothesis import given
from hypothesis import strategies as st

UUID = "8af98f91-e681-11f1-ab92-5b7105f6723a"
OTHER = "11111111-e681-11f1-ab92-5b7105f6723a"
MEMBERS = ["db1", "db2", "db3"]


def fresh(name: str) -> Node:
    return Node(name, "inactive", recovered=Position())


def down(name: str, seqno: int, uuid: str = UUID, safe: bool = False) -> Node:
    saved = GraState(Position(uuid, -1), safe, True)
    return Node(name, "failed", grastate=saved, recovered=Position(uuid, seqno))


def up(name: str, status: str = "Primary", state: int = 4) -> Node:
    saved = GraState(Position(UUID, -1), False, True)
    return Node(name, "active", True, status, state, state == 4, 3, grastate=saved)


def plan(*nodes: Node, members: list[str] | None = None) -> Plan:
    return galera.plan(members or MEMBERS, {n.name: n for n in nodes})


def test_grastate_of_a_stopped_node() -> None:
    text = f"# GALERA saved state\nversion: 2.1\nuuid:    {UUID}\nseqno:   42\nsafe_to_bootstrap: 1\n"
    assert galera.parse_grastate(text) == GraState(Position(UUID, 42), True, True)


def test_grastate_after_a_crash_knows_no_seqno() -> None:
    text = f"version: 2.1\nuuid: {UUID}\nseqno: -1\nsafe_to_bootstrap: 0\n"
    assert galera.parse_grastate(text).position == Position(UUID, -1)


def test_grastate_that_does_not_exist_is_no_member() -> None:
    assert galera.parse_grastate("") == GraState()


@pytest.mark.parametrize("text", ["seqno: 1\n", f"uuid: {UUID}\nseqno: x\n", "uuid: nonsense\nseqno: 3\n"])
def test_odd_grastate_is_an_error_with_the_text(text: str) -> None:
    with pytest.raises(galera.GaleraError, match=r"grastate\.dat"):
        galera.parse_grastate(text)


@pytest.mark.parametrize(
    "text",
    [
        f"--wsrep_start_position={UUID}:77\n",
        f"2026-11-22 14:33:14 0 [Note] WSREP: Recovered position: {UUID}:77\n",
        f"--wsrep_start_position={OTHER}:1\n--wsrep_start_position={UUID}:77",
        f"--wsrep_start_position={UUID}:77,0-1-5\n",
    ],
)
def test_recovered_position(text: str) -> None:
    assert galera.parse_recovery(text) == Position(UUID, 77)


def test_no_recovered_position_is_an_error() -> None:
    with pytest.raises(galera.GaleraError, match="galera_recovery"):
        galera.parse_recovery("")


def test_user_databases_leave_out_the_servers_own() -> None:
    assert galera.user_databases(["mysql", "opensips", "sys", ".sst", "#innodb_redo"]) == ("opensips",)


def test_status_of_a_synced_node() -> None:
    status = {"wsrep_cluster_status": "Primary", "wsrep_local_state": "4", "wsrep_ready": "ON", "wsrep_cluster_size": "3"}
    node = galera.node_from_status("db1", "active", status, {"read_only": "OFF"})
    assert node.synced
    assert node.cluster_size == 3
    assert not node.read_only


def test_a_running_node_knows_its_position() -> None:
    status = {"wsrep_local_state_uuid": UUID, "wsrep_last_committed": "178"}
    assert galera.node_from_status("db1", "active", status, {}).position == Position(UUID, 178)
    status["wsrep_last_committed"] = str(2**64 - 1)
    assert galera.node_from_status("db1", "active", status, {}).position == Position(UUID, -1)


def test_odd_status_is_an_error() -> None:
    with pytest.raises(galera.GaleraError, match="wsrep_local_state"):
        galera.node_from_status("db1", "active", {"wsrep_local_state": "four"}, {})


def test_a_node_survives_the_way_through_facts() -> None:
    for node in (fresh("db1"), down("db2", 9), up("db3"), replace(fresh("db1"), user_databases=("a",))):
        assert galera.node_from_dict(galera.node_as_dict(node)) == node


def test_strange_facts_are_an_error() -> None:
    with pytest.raises(galera.GaleraError, match="galera_state"):
        galera.node_from_dict({"name": "db1"})


def test_fresh_hosts_elect_one_whatever_the_order() -> None:
    nodes = [fresh(m) for m in MEMBERS]
    plans = {plan(*order) for order in itertools.permutations(nodes)}
    assert plans == {Plan("bootstrap", bootstrap="db1", join=("db2", "db3"))}


def test_fresh_hosts_keep_the_only_data_there_is() -> None:
    filled = replace(fresh("db2"), user_databases=("opensips",))
    assert plan(fresh("db1"), filled, fresh("db3")).bootstrap == "db2"


def test_fresh_hosts_with_two_sets_of_data_are_refused() -> None:
    filled = [replace(fresh(m), user_databases=("x",)) for m in ("db1", "db2")]
    result = plan(*filled, fresh("db3"))
    assert result.action == "error"
    assert "db1 (x), db2 (x)" in result.error


def test_primary_cluster_takes_the_stopped_ones_in() -> None:
    assert plan(up("db1"), down("db2", 5), fresh("db3")) == Plan("join", join=("db2", "db3"))


def test_primary_cluster_that_is_complete_needs_nothing() -> None:
    assert plan(up("db1"), up("db2"), up("db3")) == Plan("none")


def test_a_missing_member_does_not_hinder_a_primary_cluster() -> None:
    result = plan(up("db1"), down("db2", 5))
    assert (result.action, result.join) == ("join", ("db2",))
    assert "db3" in result.notes[0]


def test_a_stranger_with_data_is_not_overwritten() -> None:
    result = plan(up("db1"), up("db2"), replace(fresh("db3"), user_databases=("shop",)))
    assert result.action == "error"
    assert "db3 (shop)" in result.error


def test_a_failed_copy_is_no_stranger() -> None:
    torn = Node("db3", "failed", grastate=GraState(present=True), user_databases=("opensips",))
    assert plan(up("db1"), up("db2"), torn).join == ("db3",)


def test_all_down_elects_the_most_advanced() -> None:
    assert plan(down("db1", 10), down("db2", 12), down("db3", 11)) == Plan("bootstrap", bootstrap="db2", join=("db1", "db3"))


def test_of_equals_the_one_that_left_last_is_elected() -> None:
    assert plan(down("db1", 10), down("db2", 10, safe=True), down("db3", 10)).bootstrap == "db2"


def test_data_wins_over_a_fresh_host() -> None:
    assert plan(fresh("db1"), down("db2", 0), fresh("db3")).bootstrap == "db2"


def test_servers_that_wait_for_others_are_stopped_first() -> None:
    waiting = Node("db2", "activating", grastate=GraState(Position(UUID, -1), False, True))
    result = plan(down("db1", 3), waiting, down("db3", 3))
    assert (result.action, result.stop) == ("look", ("db2",))


def test_a_standalone_server_is_stopped_and_looked_at_again() -> None:
    alone = Node("db1", "active", True, "Disconnected", 0)
    assert plan(alone, fresh("db2"), fresh("db3")).stop == ("db1",)


def test_all_down_with_one_missing_is_refused() -> None:
    result = plan(down("db1", 10), down("db2", 12))
    assert result.action == "error"
    assert "db3 can't be asked" in result.error
    assert "playbooks/recover.yml" in result.error


def test_lost_quorum_is_refused() -> None:
    result = plan(up("db1", "non-Primary", 0), down("db2", 12), down("db3", 12))
    assert result.action == "error"
    assert "db1 runs without quorum" in result.error
    assert "playbooks/recover.yml" in result.error


def test_two_histories_are_refused() -> None:
    result = plan(down("db1", 10), down("db2", 12, OTHER), down("db3", 12))
    assert result.action == "error"
    assert "different clusters" in result.error


_nodes = st.sampled_from(
    [
        lambda n: fresh(n),
        lambda n: down(n, 3),
        lambda n: down(n, 7),
        lambda n: down(n, 7, OTHER),
        lambda n: up(n),
        lambda n: up(n, state=2),
        lambda n: up(n, "non-Primary", 0),
        lambda n: Node(n, "activating"),
        lambda n: None,
    ]
)


@given(st.tuples(_nodes, _nodes, _nodes))
def test_never_a_second_cluster(makers: tuple) -> None:
    nodes = {name: node for name, make in zip(MEMBERS, makers, strict=True) if (node := make(name)) is not None}
    result = galera.plan(MEMBERS, nodes)
    if result.bootstrap:
        assert set(nodes) == set(MEMBERS), "every member was asked"
        assert not any(n.connected for n in nodes.values()), "nobody runs"
        assert all(n.position.seqno <= nodes[result.bootstrap].position.seqno for n in nodes.values())
    assert bool(result.error) == (result.action == "error")


@pytest.mark.parametrize(
    ("databases", "arbitrators", "word"),
    [
        (["a", "b", "c"], [], ""),
        (["a", "b"], ["x"], ""),
        (["a"], [], ""),
        (["a", "b"], [], "even number"),
        (["a", "b", "c"], ["x"], "take the arbitrator away"),
        (["a"], ["x", "y"], "leave one"),
        ([], [], "empty"),
    ],
)
def test_votes(databases: list[str], arbitrators: list[str], word: str) -> None:
    message = galera.votes_error(databases, arbitrators)
    assert word in message
    assert bool(message) == bool(word)


def recover_error(*nodes: Node, chosen: str = "", lost: tuple[str, ...] = ()) -> str:
    return galera.recover_error(MEMBERS, {n.name: n for n in nodes}, chosen, lost)


def test_recover_refuses_while_a_primary_runs() -> None:
    assert "nothing to recover" in recover_error(up("db1"), chosen="db1", lost=("db2", "db3"))


def test_recover_wants_the_lost_members_named() -> None:
    assert "name exactly these" in recover_error(down("db1", 1), down("db2", 1), chosen="db1")


def test_recover_shows_what_there_is_and_advises() -> None:
    message = recover_error(down("db1", 1), down("db2", 5), lost=("db3",))
    assert "most advanced is db2" in message
    assert f"{UUID}:5" in message


def test_recover_gives_no_advice_between_histories() -> None:
    assert "histories differ" in recover_error(down("db1", 1), down("db2", 5, OTHER), lost=("db3",))


def test_recover_refuses_a_host_it_does_not_know() -> None:
    assert "db9" in recover_error(down("db1", 1), down("db2", 5), down("db3", 5), chosen="db9")


def test_recover_accepts_a_complete_answer() -> None:
    assert recover_error(down("db1", 1), up("db2", "non-Primary", 0), chosen="db2", lost=("db3",)) == ""


def test_native_hash_is_what_mariadb_stores() -> None:
    assert galera.native_hash("password") == "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"


@pytest.fixture(scope="module")
def health() -> ModuleType:
    path = pathlib.Path(__file__).parents[2] / "roles/galera/files/galera-health"
    loader = importlib.machinery.SourceFileLoader("galera_health", str(path))
    spec = importlib.util.spec_from_loader("galera_health", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


WRITABLE = {"wsrep_cluster_status": "Primary", "wsrep_local_state": "4", "wsrep_ready": "ON", "read_only": "OFF"}


def test_health_of_a_writable_node(health: ModuleType) -> None:
    assert health.reasons(WRITABLE) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("wsrep_cluster_status", "non-Primary"), ("wsrep_local_state", "2"), ("wsrep_ready", "OFF"), ("read_only", "ON")],
)
def test_health_says_what_is_wrong(health: ModuleType, name: str, value: str) -> None:
    assert len(health.reasons(WRITABLE | {name: value})) == 1


def test_health_of_a_server_that_says_nothing(health: ModuleType) -> None:
    assert len(health.reasons({})) == 4


def test_health_of_a_full_disk(health: ModuleType, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert health.short_of_room(str(tmp_path), 0) == []
    disk = os.statvfs_result((4096, 4096, 1000000, 30000, 16383, 0, 0, 0, 0, 255))  # 64 MB less one block for whoever is not root
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    assert health.short_of_room("/var/lib/mysql", 63) == []
    assert health.short_of_room("/var/lib/mysql", 64) == ["/var/lib/mysql has 63 MB free, less than 64"]


def test_health_of_a_disk_that_is_gone(health: ModuleType, tmp_path: pathlib.Path) -> None:
    assert health.short_of_room(str(tmp_path / "gone"), 0) == []
    (problem,) = health.short_of_room(str(tmp_path / "gone"), 64)
    assert problem.endswith("gone can't be seen: No such file or directory")
