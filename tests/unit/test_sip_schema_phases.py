"""Module sip_schema in its phases, on tables recorded from MariaDB: what it runs, in which order, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.sip_columns import Column
from ansible_collections.sipha.cluster.plugins.module_utils.sip_schema import Found, FoundAccount, Index, SchemaError, Step, password_hash
from ansible_collections.sipha.cluster.plugins.modules.sip_schema import converge
from sip_migration_facts import COMMON, LIVE, OWN, STANDARD, TAILS, VERSIONS, found_tables, table_sql

WAIT = ["USE `opensips`", "SET SESSION lock_wait_timeout = 20"]


class Module:
    def __init__(self, check_mode: bool, params: dict[str, Any]) -> None:
        self.check_mode, self.params, self.warned = check_mode, params, []

    def warn(self, text: str) -> None:
        self.warned.append(text)


class Database:
    """Has the recorded tables; notes what is run."""

    def __init__(self, **more: Any) -> None:
        self.connection = self
        self.live: dict[str, dict[str, Column]] = {**LIVE, **more.get("live", {})}
        key = (Index("PRIMARY", ("table_name",), unique=True),)
        version_tables = {name: Found(name, "InnoDB", True, key) for name in more.get("version_tables", {})}
        self.found = {**found_tables(self.live), **version_tables}
        self.all_versions = {"version": dict(VERSIONS), **more.get("version_tables", {})}
        self.granted = more.get("granted", {"version": frozenset({"SELECT"})})
        self.filled: int = more.get("filled", 0)
        self.ran: list[str] = []

    def exists(self) -> bool:
        return True

    def tables(self) -> dict[str, Found]:
        return self.found

    def columns(self) -> dict[str, dict[str, Column]]:
        return self.live

    def versions(self, found: dict[str, Found], table: str = "version") -> dict[str, int]:
        return dict(self.all_versions.get(table, {}))

    def rows_where(self, table: str, condition: str) -> int:
        return self.filled if "<=>" in condition else 0

    def account(self, name: str, host: str) -> FoundAccount:
        return FoundAccount(password_hash("secret"), self.granted)

    def run(self, step: Step) -> None:
        self.ran.append(step.sql)

    def commit(self) -> None:
        self.ran.append("commit")


def run(database: Database, phase: str, series: str = "3.6", check_mode: bool = False, **params: Any) -> tuple[dict[str, Any], Module]:
    versions = {**VERSIONS, "domain": 4 if series == "3.6" else 3}
    files = {"standard.sql": STANDARD}
    for name, columns in COMMON.items():
        tail = TAILS[series].get(name)
        files[f"{name}.sql"] = table_sql(name, f"{columns}, {tail}" if tail else columns, versions[name])
    account = {"name": "opensips", "hosts": ["localhost"], "password": "secret", "privileges": {"version": ["SELECT"]}}
    wanted = {
        "files": files,
        "expected": versions,
        "engine": f"OpenSIPS {series}",
        "phase": phase,
        "series": series,
        "known": {"domain": [3]},
        "obsolete": {"subscriber": ["email_address", "rpid"]},
        "columns": OWN,
        "indexes": {},
        "accounts": [account],
        "database": "opensips",
        "charset": "latin1",
    }
    module = Module(check_mode, {**wanted, **params})
    return converge(module, database), module  # type: ignore[arg-type]


EXPANDED = {
    "address": {**LIVE["address"], "mask": Column("mask", "smallint(5) unsigned", nullable=False, default="32")},
    "dispatcher": {**LIVE["dispatcher"], "attrs": Column("attrs", "char(128)"), "description": Column("description", "char(64)")},
    "domain": {**LIVE["domain"], "accept_subdomain": Column("accept_subdomain", "int(11) unsigned", nullable=False, default="0")},
}
SERIES = {"version_3_6": {**VERSIONS, "domain": 4}}
BOTH = {**SERIES, "version_3_4": dict(VERSIONS)}
GRANTED = {name: frozenset({"SELECT"}) for name in ("version", *BOTH)}


def test_steady_refuses_the_tables_of_another_series() -> None:
    with pytest.raises(SchemaError, match=r"table domain: found version 3, expected 4\. Nothing was changed\. .*upgrade_engine"):
        run(Database(), "steady")


def test_expand_makes_columns_then_the_version_table_then_grants_and_leaves_version_alone() -> None:
    database = Database()
    result, _ = run(database, "expand")
    assert [action for action in result["actions"] if "version" not in action] == [
        "change address.mask from tinyint(4) to smallint unsigned",
        "let dispatcher.attrs be NULL",
        "let dispatcher.description be NULL",
        "add column domain.accept_subdomain",
    ]
    assert [action.partition(":")[0] for action in result["actions"][-3:]] == [
        "create table version_3_6",
        "note in version_3_6",
        "grant SELECT on version_3_6 to opensips@localhost",
    ]
    assert database.ran[:2] == WAIT
    assert database.ran[-1] == "commit"
    assert not [sql for sql in database.ran if "INTO `version`" in sql or "DROP" in sql]
    assert result["tables"]["domain"] == 3


def test_check_mode_says_the_same_and_runs_nothing() -> None:
    database = Database()
    result, _ = run(database, "expand", check_mode=True)
    assert result["actions"] == run(Database(), "expand")[0]["actions"]
    assert (result["changed"], database.ran) == (True, [])


def test_a_second_expand_changes_nothing() -> None:
    result, _ = run(Database(live=EXPANDED, version_tables=SERIES, granted={**GRANTED, "version_3_4": frozenset()}), "expand")
    assert (result["changed"], result["actions"]) == (False, [])


def test_the_older_series_may_read_its_version_table_until_the_end() -> None:
    result, _ = run(Database(live=EXPANDED, version_tables=BOTH, granted=GRANTED), "expand")
    assert result["actions"] == []


def test_contract_waits_for_expand_but_can_be_looked_at() -> None:
    with pytest.raises(SchemaError, match=r"Run phase expand first, it is not complete: .*add column domain\.accept_subdomain"):
        run(Database(), "contract")
    result, _ = run(Database(), "contract", check_mode=True)
    assert "note in version: domain 4" in result["actions"]


def test_contract_ends_with_the_older_series_version_table() -> None:
    database = Database(live=EXPANDED, version_tables=BOTH, granted=GRANTED)
    result, module = run(database, "contract")
    assert result["actions"] == [
        "drop column subscriber.email_address, which is empty",
        "drop column subscriber.rpid, which is empty",
        "note in version: domain 4",
        "revoke SELECT on version_3_4 from opensips@localhost",
        "drop table version_3_4",
    ]
    assert (result["tables"]["domain"], result["notes"], module.warned) == (4, [], [])


def test_contract_says_what_it_keeps() -> None:
    result, module = run(Database(live=EXPANDED, version_tables=BOTH, granted=GRANTED, filled=7), "contract")
    assert not [action for action in result["actions"] if "drop column" in action]
    assert result["notes"] == module.warned
    assert [note.partition(" ")[0] for note in result["notes"]] == ["subscriber.email_address", "subscriber.rpid"]


def test_expand_refuses_versions_from_which_no_way_is_known() -> None:
    database = Database()
    database.all_versions["version"]["location"] = 1012
    with pytest.raises(SchemaError, match="table location: found version 1012, known are 1013"):
        run(database, "expand")
    assert database.ran == []


def test_files_of_another_series_are_refused_in_every_phase() -> None:
    for phase in ("steady", "expand", "contract"):
        with pytest.raises(SchemaError, match=r"address\.sql makes table address at version 5, expected 6"):
            run(Database(), phase, expected={**VERSIONS, "domain": 4, "address": 6})


def test_steady_keeps_the_series_version_table_too() -> None:
    result, _ = run(Database(), "steady", series="3.4")
    assert [action.partition(":")[0] for action in result["actions"] if "3_4" in action] == [
        "create table version_3_4",
        "note in version_3_4",
        "grant SELECT on version_3_4 to opensips@localhost",
    ]
    assert not [action for action in run(Database(), "steady", series="3.4")[0]["actions"] if "column" in action]
