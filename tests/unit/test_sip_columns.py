"""What module_utils/sip_columns.py reads out of SQL files and information_schema, and how types relate."""

from __future__ import annotations

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.sip_columns import (
    Column,
    created_columns,
    holds,
    live_columns,
    lossy_rows,
    same_default,
)
from ansible_collections.sipha.cluster.plugins.module_utils.sip_schema import SchemaError
from sip_migration_facts import LIVE, ROWS, series_tables_of


def test_a_create_statement_gives_its_columns_and_no_keys() -> None:
    columns = created_columns(
        "CREATE TABLE t (a INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL, q FLOAT(10,2) DEFAULT 1.0 NOT NULL,"
        " c CHAR(9) DEFAULT 'a, ''b' NOT NULL, d TEXT, e DATETIME NOT NULL, CONSTRAINT x UNIQUE (c, d), KEY e_idx (e)) ENGINE=InnoDB",
        "t",
    )
    assert list(columns.values()) == [
        Column("a", "INT(10) UNSIGNED", nullable=False, increments=True),
        Column("q", "FLOAT(10,2)", nullable=False, default="1.0"),
        Column("c", "CHAR(9)", nullable=False, default="'a, ''b'"),
        Column("d", "TEXT"),
        Column("e", "DATETIME", nullable=False),
    ]


@pytest.mark.parametrize("column", ["a INT CHECK", "a", "a INT NOT NULL ON UPDATE x"])
def test_what_is_not_understood_is_an_error(column: str) -> None:
    with pytest.raises(SchemaError, match="does not understand"):
        created_columns(f"CREATE TABLE t ({column})", "t")


def test_recorded_columns_are_read() -> None:
    assert LIVE["domain"]["id"] == Column("id", "int(10) unsigned", nullable=False, increments=True)
    assert LIVE["acc"]["to_tag"].nullable
    assert LIVE["acc"]["to_tag"].default is None
    assert LIVE["dispatcher"]["weight"].default == "'1'"
    assert LIVE["dispatcher"]["weight"].charset == "CHARACTER SET latin1 COLLATE latin1_swedish_ci"


def test_an_extra_that_is_not_counting_is_kept_apart() -> None:
    row = {**ROWS[0], "EXTRA": "on update current_timestamp()"}
    (column,) = live_columns([row])[row["TABLE_NAME"]].values()
    assert (column.increments, column.extra) == (False, "on update current_timestamp()")


def test_a_series_has_all_that_it_made() -> None:
    for name, table in series_tables_of("3.4").items():
        for column in created_columns(table.create, name).values():
            have = LIVE[name][column.name]
            assert holds(have.type, column.type), (name, column, have)
            assert holds(column.type, have.type), (name, column, have)
            assert have.nullable == column.nullable or (name, column.name) == ("acc", "to_tag")
            assert same_default(have, column) or column.name == "to_tag", (name, column, have)


@pytest.mark.parametrize(
    ("have", "want", "condition"),
    [
        ("tinyint(4)", "SMALLINT UNSIGNED", "`c` < 0 OR `c` > 65535"),
        ("int(11)", "INT UNSIGNED", "`c` < 0 OR `c` > 4294967295"),
        ("smallint(5) unsigned", "INT", ""),
        ("int(10) unsigned", "INT(11) UNSIGNED", ""),
        ("char(64)", "CHAR(128)", ""),
        ("char(64)", "VARCHAR(64)", ""),
        ("char(255)", "TEXT", ""),
        ("char(64)", "CHAR(10)", "CHAR_LENGTH(`c`) > 10"),
        ("text", "TEXT(512)", ""),
        ("blob", "BLOB(4096)", ""),
        ("tinyblob", "BLOB(4096)", ""),
        ("blob", "TINYBLOB", "LENGTH(`c`) > 255"),
        ("char(64)", "INT", None),
        ("text", "BLOB", None),
        ("float(10,2)", "FLOAT(12,2)", None),
        ("float(10,2)", "FLOAT(10, 2)", ""),
        ("datetime", "TIMESTAMP", None),
    ],
)
def test_what_a_change_of_type_may_lose(have: str, want: str, condition: str | None) -> None:
    assert lossy_rows(have, want, "c") == condition


def test_a_wider_column_holds_what_the_engine_wants() -> None:
    assert holds("varchar(255)", "CHAR(64)")
    assert holds("bigint(20)", "INT(10) UNSIGNED")
    assert not holds("char(64)", "CHAR(65)")
    assert not holds("tinyint(4)", "SMALLINT UNSIGNED")
    assert not holds("int(11)", "CHAR(64)")


@pytest.mark.parametrize(
    ("kind", "one", "other", "same"),
    [
        ("char(64)", "'1'", "1", True),
        ("char(64)", "'1'", "'01'", False),
        ("float(10,2)", "1.00", "1.0", True),
        ("int(11)", "13", "'13'", True),
        ("int(11)", "13", "14", False),
        ("datetime", "'1900-01-01 00:00:01'", "'1900-01-01 00:00:01'", True),
        ("datetime", "'1900-01-01 00:00:01'", "'1900-01-01 00:00:00'", False),
        ("char(64)", "''", None, False),
        ("char(64)", None, None, True),
    ],
)
def test_defaults(kind: str, one: str | None, other: str | None, same: bool) -> None:
    assert same_default(Column("c", kind, default=one), Column("c", kind, default=other)) is same


def test_a_definition_keeps_character_set_and_comment() -> None:
    column = Column("c", "CHAR(9)", nullable=False, default="''", charset="CHARACTER SET latin1 COLLATE latin1_bin", comment="it's \\ ours")
    assert column.definition() == "CHAR(9) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL DEFAULT '' COMMENT 'it''s \\\\ ours'"
    assert Column("c", "TEXT").definition() == "TEXT NULL DEFAULT NULL"
    assert Column("c", "TEXT", nullable=False).definition() == "TEXT NOT NULL"
