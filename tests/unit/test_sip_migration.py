"""What module_utils/sip_migration.py does to tables that 3.4 made, for 3.6, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.sip_columns import Column
from ansible_collections.sipha.cluster.plugins.module_utils.sip_migration import (
    check_start,
    plan_columns,
    plan_contract,
    plan_finish,
    plan_series,
    series_table,
    with_series_tables,
)
from ansible_collections.sipha.cluster.plugins.module_utils.sip_schema import Found, Index, SchemaError, Step
from sip_migration_facts import LIVE, OWN, VERSIONS, found_tables, series_tables_of

OLD, NEW = series_tables_of("3.4"), series_tables_of("3.6")
OBSOLETE = {"subscriber": ["email_address", "rpid"]}


class Rows:
    """Counts rows: `lossy` has what COUNT(*) says for a condition."""

    def __init__(self, **lossy: int) -> None:
        self.lossy, self.asked = lossy, []

    def __call__(self, table: str, condition: str) -> int:
        self.asked.append((table, condition))
        return self.lossy.get(table, 0)


def live_with(table: str, **columns: Column | None) -> dict[str, dict[str, Column]]:
    changed = {name: column for name, column in {**LIVE[table], **columns}.items() if column}
    return {**LIVE, table: changed}


def expand(series: str = "3.6", live: dict[str, dict[str, Column]] = LIVE, rows: Rows | None = None, **changed: str) -> list[Step]:
    return plan_columns(series_tables_of(series, **changed), found_tables(live), live, OWN, rows or Rows())


def test_the_series_that_made_the_tables_changes_nothing() -> None:
    assert expand("3.4") == []


def test_expand_from_34_to_36_in_single_statements() -> None:
    latin = "CHARACTER SET latin1 COLLATE latin1_swedish_ci"
    assert expand() == [
        Step(
            "ALTER TABLE `address` MODIFY COLUMN `mask` SMALLINT UNSIGNED NOT NULL DEFAULT 32",
            (),
            "change address.mask from tinyint(4) to smallint unsigned",
        ),
        Step(f"ALTER TABLE `dispatcher` MODIFY COLUMN `attrs` char(128) {latin} NULL DEFAULT NULL", (), "let dispatcher.attrs be NULL"),
        Step(
            f"ALTER TABLE `dispatcher` MODIFY COLUMN `description` char(64) {latin} NULL DEFAULT NULL",
            (),
            "let dispatcher.description be NULL",
        ),
        Step(
            "ALTER TABLE `domain` ADD COLUMN `accept_subdomain` INT(11) UNSIGNED NOT NULL DEFAULT 0",
            (),
            "add column domain.accept_subdomain",
        ),
    ]


def test_a_second_run_finds_nothing_to_do() -> None:
    def nullable(name: str) -> Column:
        return replace(LIVE["dispatcher"][name], nullable=True, default=None)

    live = live_with("dispatcher", attrs=nullable("attrs"), description=nullable("description"))
    live["address"] = {**LIVE["address"], "mask": Column("mask", "smallint(5) unsigned", nullable=False, default="32")}
    live["domain"] = {**LIVE["domain"], "accept_subdomain": Column("accept_subdomain", "int(11) unsigned", nullable=False, default="0")}
    assert expand(live=live) == []


def test_an_interrupted_expand_is_finished() -> None:
    live = {**LIVE, "address": {**LIVE["address"], "mask": Column("mask", "smallint(5) unsigned", nullable=False, default="32")}}
    assert [step.says for step in expand(live=live)] == [
        "let dispatcher.attrs be NULL",
        "let dispatcher.description be NULL",
        "add column domain.accept_subdomain",
    ]


def test_our_own_columns_and_what_we_relaxed_survive() -> None:
    steps = expand("3.4", acc="source CHAR(64) DEFAULT '' NOT NULL")
    assert steps == []
    with pytest.raises(SchemaError, match=r"acc\.source is a further column of ours \(varchar\(64\)\), the engine has another one \(INT\)"):
        expand("3.4", acc="source INT DEFAULT 0 NOT NULL")


def test_what_is_wider_or_may_be_null_here_stays_so() -> None:
    wide = Column("ip", "varchar(255)", nullable=True)
    assert expand("3.4", live=live_with("address", ip=wide)) == []
    assert expand("3.4", live=live_with("address", proto=replace(LIVE["address"]["proto"], nullable=True, default=None))) == []


def test_a_column_without_default_is_added_as_null_for_the_older_series() -> None:
    (step,) = expand("3.4", location="origin CHAR(9) NOT NULL")
    assert step.sql == "ALTER TABLE `location` ADD COLUMN `origin` CHAR(9) NULL DEFAULT NULL"


def test_another_default_is_taken_over_and_one_too_many_is_left() -> None:
    other = replace(LIVE["address"]["proto"], default="'udp'")
    (step,) = expand("3.4", live=live_with("address", proto=other))
    assert step.says == "change the default of address.proto to 'any'"
    assert step.sql.endswith("NOT NULL DEFAULT 'any'")
    assert expand("3.4", live=live_with("address", ip=replace(LIVE["address"]["ip"], default="''"))) == []


def test_rows_that_would_lose_something_are_counted_and_refused() -> None:
    rows = Rows(address=2)
    with pytest.raises(
        SchemaError, match=r"address\.mask is tinyint\(4\), the engine wants SMALLINT UNSIGNED, and values do not fit .rows: 2"
    ):
        expand(rows=rows)
    assert rows.asked == [("address", "`mask` < 0 OR `mask` > 65535")]


def test_all_that_can_not_be_done_is_in_one_message() -> None:
    live = live_with(
        "address", ip=Column("ip", "int(11)", nullable=False), proto=replace(LIVE["address"]["proto"], type="char(2)", extra="x")
    )
    with pytest.raises(SchemaError) as error:
        expand("3.4", live=live, domain="counter INT AUTO_INCREMENT NOT NULL")
    assert str(error.value) == (
        "The tables can't be migrated: address.ip is int(11), the engine wants CHAR(50), which is of another kind; "
        "address.proto has 'x', which a change would lose; "
        "domain.counter is new and counts up by itself, so it is part of a new key. "
        "Nothing was changed. Change these by hand, then run this again."
    )


def test_primary_keys_are_not_touched() -> None:
    live = live_with("domain", id=replace(LIVE["domain"]["id"], type="smallint(5) unsigned"))
    with pytest.raises(
        SchemaError, match=r"domain\.id is smallint\(5\) unsigned, the engine wants INT\(10\) UNSIGNED, but it is in the primary"
    ):
        expand("3.4", live=live)
    found = found_tables()
    found["domain"] = replace(found["domain"], indexes=(Index("PRIMARY", ("domain",), unique=True),))
    with pytest.raises(SchemaError, match=r"the primary key of domain is \(domain\), the engine wants \(id\)"):
        plan_columns(OLD, found, LIVE, OWN, Rows())


def test_an_indexed_column_does_not_become_a_text() -> None:
    live = live_with("location", contact=Column("contact", "char(255)", nullable=False))
    assert [step.says for step in expand("3.4", live=live)] == ["change location.contact from char(255) to text"]
    found = found_tables(live, location=(Index("binding_idx", ("contact",)),))
    with pytest.raises(SchemaError, match=r"location\.contact is char\(255\), the engine wants TEXT, but an index has it"):
        plan_columns(OLD, found, live, OWN, Rows())


def test_only_versions_with_a_known_way() -> None:
    expected = {**VERSIONS, "domain": 4}
    check_start({"domain": [3]}, expected, found_tables(), VERSIONS)
    check_start({"domain": [3]}, expected, found_tables(), expected)
    with pytest.raises(SchemaError) as error:
        check_start({"domain": [3]}, expected, found_tables(), {**VERSIONS, "domain": 2, "acc": 6})
    assert str(error.value) == (
        "No way is known to migrate these tables: table acc: found version 6, known are 7; table domain: found version 2, "
        "known are 3, 4. Nothing was changed. Bring them there by hand."
    )
    with pytest.raises(SchemaError, match="table domain: found no version but rows"):
        check_start({}, {"domain": 4}, found_tables(), {})


def contract(rows: Rows, **indexes: tuple[Index, ...]) -> tuple[list[str], list[str]]:
    steps, notes = plan_contract(NEW, found_tables(**indexes), LIVE, OBSOLETE, rows)
    return [step.says for step in steps if "version" not in step.says], notes


def test_contract_drops_old_columns_that_hold_nothing() -> None:
    rows = Rows()
    assert contract(rows) == (
        ["drop column subscriber.email_address, which is empty", "drop column subscriber.rpid, which is empty"],
        [],
    )
    assert rows.asked == [("subscriber", "NOT (`email_address` <=> '')"), ("subscriber", "NOT (`rpid` <=> NULL)")]


def test_contract_keeps_and_names_what_has_values_or_an_index() -> None:
    index = Index("mail", ("email_address",))
    assert contract(Rows(subscriber=7), subscriber=(index,)) == (
        [],
        [
            "subscriber.email_address is kept: the engine no longer has it, but an index has it.",
            "subscriber.rpid is kept: the engine no longer has it, but rows have a value there (7). Drop it by hand.",
        ],
    )


def test_contract_never_drops_what_the_series_has() -> None:
    assert [step.says for step in plan_contract(OLD, found_tables(), LIVE, OBSOLETE, Rows())[0] if "drop" in step.says] == []


def test_unique_keys_wait_for_the_contract() -> None:
    tables = series_tables_of("3.4", address="CONSTRAINT ip_idx UNIQUE (ip)")
    assert plan_columns(tables, found_tables(), LIVE, OWN, Rows()) == []
    steps, _ = plan_contract(tables, found_tables(), LIVE, {}, Rows())
    assert "CREATE UNIQUE INDEX `ip_idx` ON `address` (`ip`)" in [step.sql for step in steps]
    plain = found_tables(address=(Index("plain", ("ip",)),))
    assert any("address" in step.sql for step in plan_contract(tables, plain, LIVE, {}, Rows())[0])
    there = found_tables(address=(Index("other_name", ("ip",), unique=True),))
    assert not any("address" in step.sql for step in plan_contract(tables, there, LIVE, {}, Rows())[0])


def test_each_series_has_its_own_version_table() -> None:
    versions = {**VERSIONS, "dr_rules": 4}
    create, rows = plan_series("3.6", NEW, found_tables(), versions, {})
    assert create.says == "create table version_3_6"
    assert "PRIMARY KEY" in create.sql
    assert rows.says == "note in version_3_6: acc 7, address 5, dispatcher 9, domain 4, dr_rules 4, location 1013, subscriber 8"
    assert rows.values[6:10] == ("domain", 4, "dr_rules", 4)
    assert rows.sql.count("(%s, %s)") == 7


def test_a_series_version_table_is_kept_right_and_the_rows_of_others_alone() -> None:
    found = {**found_tables(), "version_3_6": Found("version_3_6", "InnoDB", True)}
    own = {**VERSIONS, "domain": 3, "dr_rules": 6}
    (step,) = plan_series("3.6", NEW, found, {**VERSIONS, "dr_rules": 4}, own)
    assert step.says == "note in version_3_6: domain 4"
    assert plan_series("3.6", NEW, found, {**VERSIONS, "dr_rules": 4}, {**own, "domain": 4}) == []


def test_the_end_brings_version_up_to_date_and_drops_other_series_tables() -> None:
    found = {**found_tables(), **{name: Found(name, "InnoDB") for name in ("version_3_4", "version_3_6", "version_mine")}}
    rows, last = plan_finish("3.6", NEW, found, VERSIONS)
    assert [step.says for step in rows] == ["note in version: domain 4"]
    assert [step.sql for step in last] == ["DROP TABLE `version_3_4`"]
    assert plan_finish("3.6", NEW, found_tables(), {**VERSIONS, "domain": 4}) == ([], [])


def test_the_name_of_a_version_table() -> None:
    assert series_table("4.0") == "version_4_0"
    with pytest.raises(SchemaError, match="is not a release series"):
        series_table("4")


def test_who_reads_version_reads_the_series_tables() -> None:
    assert with_series_tables({"version": ["SELECT"], "acc": ["INSERT"]}, ["version_3_6"]) == {
        "version": ("SELECT",),
        "acc": ("INSERT",),
        "version_3_6": ("SELECT",),
    }
    assert with_series_tables({"acc": ["INSERT"]}, ["version_3_6"]) == {"acc": ("INSERT",)}
