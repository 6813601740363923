"""What module_utils/sip_schema.py plans for a database."""

from __future__ import annotations

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.sip_schema import (
    Account,
    Found,
    FoundAccount,
    Index,
    SchemaError,
    check_files,
    check_versions,
    one_privilege_per_column,
    parse,
    password_hash,
    plan,
    plan_account,
    quoted,
    split_statements,
)

STANDARD = """CREATE TABLE version (
    table_name CHAR(32) NOT NULL,
    table_version INT UNSIGNED DEFAULT 0 NOT NULL,
    CONSTRAINT t_name_idx UNIQUE (table_name)
) ENGINE=InnoDB;
"""
USRLOC = """INSERT INTO version (table_name, table_version) values ('location','1013');
CREATE TABLE location (
    contact_id BIGINT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
    username CHAR(64) DEFAULT '' NOT NULL,
    q FLOAT(10,2) DEFAULT 1.0 NOT NULL,
    expires INT(10) UNSIGNED NOT NULL
) ENGINE=InnoDB;
"""
ACC = """INSERT INTO version (table_name, table_version) values ('acc','7');
CREATE TABLE acc (
    id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
    callid CHAR(64) DEFAULT '' NOT NULL
) ENGINE=InnoDB;

CREATE INDEX callid_idx ON acc (callid);
"""
FILES = {"standard-create.sql": STANDARD, "usrloc-create.sql": USRLOC, "acc-create.sql": ACC}
EXPECTED = {"location": 1013, "acc": 7}
EXTRA = {"location": {"aor_idx": ["username", "domain"], "exp_idx": ["expires"]}}
PRIMARY = Index("PRIMARY", ("id",), unique=True)
COMPLETE = {
    "version": Found("version", "InnoDB", True, (Index("PRIMARY", ("table_name",), unique=True),)),
    "location": Found("location", "InnoDB", True, (PRIMARY, Index("aor_idx", ("username", "domain")), Index("exp_idx", ("expires",)))),
    "acc": Found("acc", "InnoDB", True, (PRIMARY, Index("callid_idx", ("callid",)))),
}


def said(found: dict[str, Found], versions: dict[str, int]) -> list[str]:
    return [step.says for step in plan(parse(FILES), found, versions, EXTRA)]


def test_statements_are_cut_outside_quotes_and_without_comments() -> None:
    sql = "-- a; comment\nSELECT ';', 'it''s'; # another;\n/* one; more */ SELECT 2;\n"
    assert split_statements(sql) == ["SELECT ';', 'it''s'", "SELECT 2"]
    with pytest.raises(SchemaError, match="middle of a statement"):
        split_statements("SELECT 1")


def test_parse_finds_tables_versions_and_indexes() -> None:
    tables = parse(FILES)
    assert {name: table.version for name, table in tables.items()} == {"version": None, "location": 1013, "acc": 7}
    assert tables["acc"].indexes == {"callid_idx": "CREATE INDEX callid_idx ON acc (callid)"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"usrloc-create.sql": USRLOC}, "no file creates the table 'version'"),
        ({"a.sql": STANDARD, "b.sql": STANDARD}, "b.sql: table version is also made by a.sql"),
        ({"a.sql": STANDARD + "DROP TABLE location;"}, "a.sql: a statement that sip_schema does not know: 'DROP TABLE"),
        ({"a.sql": STANDARD + "CREATE INDEX i ON nothing (a);"}, "no file creates that table"),
    ],
)
def test_files_that_are_not_a_schema(files: dict[str, str], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        parse(files)


def test_an_empty_database_gets_everything_and_version_rows_last() -> None:
    assert said({}, {}) == [
        "create table version",
        "create table acc",
        "add index callid_idx to acc",
        "note version 7 of acc",
        "create table location",
        "add index aor_idx to location",
        "add index exp_idx to location",
        "note version 1013 of location",
    ]


def test_a_created_table_has_its_primary_key_at_once() -> None:
    assert "PRIMARY KEY (`table_name`)" in plan(parse(FILES), {}, {}, EXTRA)[0].sql


def test_further_columns_are_added_once_and_may_be_null() -> None:
    columns = {"acc": {"caller": "VARCHAR(255) NULL", "callid": "CHAR(64) NULL"}}

    def steps(have: dict[str, bool]) -> list[str]:
        acc = Found("acc", "InnoDB", True, COMPLETE["acc"].indexes, have)
        return [step.says for step in plan(parse(FILES), {**COMPLETE, "acc": acc}, EXPECTED, EXTRA, columns)]

    assert steps({"id": False, "callid": False}) == ["add column acc.caller", "let acc.callid be NULL"]
    assert steps({"id": False, "callid": True, "caller": True}) == []


def test_a_new_table_gets_its_columns_relaxed_too() -> None:
    steps = plan(parse(FILES), {}, {}, {}, {"acc": {"callid": "CHAR(64) NULL"}})
    assert [s.says for s in steps if "acc." in s.says] == ["let acc.callid be NULL"]


def test_a_unique_index_with_a_length_is_not_satisfied_by_a_plain_one() -> None:
    wanted = {"location": {"binding_idx": {"columns": ["username", "contact(512)"], "unique": True}}}
    plain = Found("location", "InnoDB", True, (PRIMARY, Index("mine", ("username", "contact"))))
    (step,) = plan(parse(FILES), {**COMPLETE, "location": plain}, EXPECTED, wanted)
    assert step.sql == "CREATE UNIQUE INDEX `binding_idx` ON `location` (`username`, `contact`(512))"
    unique = Found("location", "InnoDB", True, (PRIMARY, Index("mine", ("username", "contact"), unique=True)))
    assert plan(parse(FILES), {**COMPLETE, "location": unique}, EXPECTED, wanted) == []


def test_a_complete_database_gets_nothing() -> None:
    assert said(COMPLETE, EXPECTED) == []


def test_an_interrupted_run_is_finished() -> None:
    half = {**COMPLETE, "acc": Found("acc", "InnoDB", False, (PRIMARY,))}
    check_versions(EXPECTED, half, {"location": 1013}, "OpenSIPS 3.6")
    assert said(half, {"location": 1013}) == ["add index callid_idx to acc", "note version 7 of acc"]


def test_an_index_of_another_name_is_enough() -> None:
    location = Found("location", "InnoDB", True, (PRIMARY, Index("mine", ("username", "domain", "contact"))))
    assert said({**COMPLETE, "location": location}, EXPECTED) == ["add index exp_idx to location"]


def test_another_engine_and_a_missing_primary_key_are_put_right() -> None:
    version = Found("version", "MyISAM", True, (Index("t_name_idx", ("table_name",), unique=True),))
    assert said({**COMPLETE, "version": version}, EXPECTED) == [
        "change version to InnoDB",
        "add primary key version(table_name)",
    ]
    nullable = Found("acc", "InnoDB", True, (Index("u", ("callid",), unique=True, nullable=True),))
    with pytest.raises(SchemaError, match="Table acc has no primary key"):
        said({**COMPLETE, "acc": nullable}, EXPECTED)


def test_another_version_in_the_database_is_one_clear_error() -> None:
    with pytest.raises(SchemaError) as error:
        check_versions(EXPECTED, COMPLETE, {"location": 1012, "acc": 6}, "OpenSIPS 3.6")
    assert str(error.value).startswith(
        "The database does not fit OpenSIPS 3.6: table acc: found version 6, expected 7; table location: found version "
        "1012, expected 1013. Nothing was changed. Migrating a schema is part of an upgrade of the engine's packages"
    )


def test_rows_without_a_version_are_an_error() -> None:
    with pytest.raises(SchemaError, match="table acc: found no version but rows, expected version 7"):
        check_versions(EXPECTED, COMPLETE, {"location": 1013}, "OpenSIPS 3.6")


def test_files_of_another_version_are_an_error() -> None:
    with pytest.raises(SchemaError, match=r"usrloc-create.sql makes table location at version 1013, expected 1014"):
        check_files(parse(FILES), {"location": 1014}, "OpenSIPS 5.0")
    with pytest.raises(SchemaError, match="no SQL file creates table domain"):
        check_files(parse(FILES), {"domain": 4}, "OpenSIPS 3.6")


def test_password_hash_is_mysql_native_password() -> None:
    assert password_hash("password") == "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"


def account(privileges: dict[str, tuple[str, ...]]) -> Account:
    return Account("opensips", "localhost", password_hash("x"), privileges)


def test_a_new_account_gets_only_its_privileges_and_no_plain_password() -> None:
    steps = plan_account(account({"dispatcher": ("SELECT", "UPDATE (state)")}), None, "opensips")
    assert [(step.sql, step.values) for step in steps] == [
        ("CREATE USER %s@%s IDENTIFIED BY PASSWORD %s", ("opensips", "localhost", password_hash("x"))),
        ("GRANT SELECT, UPDATE (state) ON `opensips`.`dispatcher` TO %s@%s", ("opensips", "localhost")),
    ]


def test_an_account_as_wanted_changes_nothing() -> None:
    found = FoundAccount(password_hash("x"), {"location": frozenset({"SELECT"})})
    assert plan_account(account({"location": ("SELECT",)}), found, "opensips") == []


def test_a_changed_password_and_privileges_too_many() -> None:
    found = FoundAccount(password_hash("y"), {"location": frozenset({"SELECT", "DROP"}), "old": frozenset({"SELECT"})})
    assert [step.says for step in plan_account(account({"location": ("SELECT", "INSERT")}), found, "opensips")] == [
        "change the password of opensips@localhost",
        "revoke DROP on location from opensips@localhost",
        "grant INSERT on location to opensips@localhost",
        "revoke SELECT on old from opensips@localhost",
    ]


def test_privileges_on_everything_are_taken_away() -> None:
    found = FoundAccount(password_hash("x"), {"location": frozenset({"SELECT"})}, ("ALTER on opensips.*",))
    assert [step.says for step in plan_account(account({"location": ("SELECT",)}), found, "opensips")] == [
        "take ALTER on opensips.* from opensips@localhost",
        "grant SELECT on location to opensips@localhost",
    ]


def test_only_privileges_of_an_engine() -> None:
    assert one_privilege_per_column(["UPDATE (a, b)"], "t") == {"UPDATE (a)", "UPDATE (b)"}
    with pytest.raises(SchemaError, match="'DROP' on table t is not a privilege"):
        one_privilege_per_column(["DROP"], "t")


def test_names_are_checked() -> None:
    assert quoted("location") == "`location`"
    with pytest.raises(SchemaError, match="is not a name"):
        quoted("a`; DROP")
