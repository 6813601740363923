"""The tables as Galera and the engine need them, and an account that can do its work and nothing else."""

from __future__ import annotations

from cluster_lab import Lab


def test_every_table_is_innodb_with_a_primary_key(lab: Lab) -> None:
    rows = lab.sql(
        "SELECT t.TABLE_NAME AS name FROM information_schema.TABLES t LEFT JOIN information_schema.STATISTICS s "
        "ON s.TABLE_SCHEMA = t.TABLE_SCHEMA AND s.TABLE_NAME = t.TABLE_NAME AND s.INDEX_NAME = 'PRIMARY' "
        "WHERE t.TABLE_SCHEMA = 'opensips' AND (t.ENGINE <> 'InnoDB' OR s.INDEX_NAME IS NULL)"
    )
    assert rows == []
    assert len(lab.sql("SELECT 1 AS one FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'opensips' AND TABLE_NAME = 'location'")) == 1


def test_a_lookup_reads_by_index(lab: Lab) -> None:
    (row,) = lab.sql("EXPLAIN SELECT * FROM location WHERE username = 'alice' AND domain = 'sip.example.org' ORDER BY q")
    assert (row["type"], row["key"] in ("aor_idx", "binding_idx")) == ("ref", True)


def test_one_binding_can_have_one_row_only(lab: Lab) -> None:
    rows = lab.sql(
        "SELECT COLUMN_NAME AS name FROM information_schema.STATISTICS WHERE TABLE_NAME = 'location' AND INDEX_NAME = 'binding_idx' "
        "AND NON_UNIQUE = 0 ORDER BY SEQ_IN_INDEX"
    )
    assert [row["name"] for row in rows] == ["username", "domain", "contact"]


def test_the_engines_account_has_single_tables_only(lab: Lab) -> None:
    rows = lab.sql(
        "SELECT TABLE_NAME AS name, PRIVILEGE_TYPE AS what FROM information_schema.TABLE_PRIVILEGES "
        "WHERE GRANTEE = '''opensips''@''127.0.0.1''' ORDER BY 1, 2"
    )
    granted: dict[str, list[str]] = {}
    for row in rows:
        granted.setdefault(row["name"], []).append(row["what"])
    assert granted["subscriber"] == ["SELECT"]
    assert granted["location"] == ["DELETE", "INSERT", "SELECT", "UPDATE"]
    assert granted["acc"] == ["INSERT"]
    for wider in ("USER_PRIVILEGES", "SCHEMA_PRIVILEGES"):
        found = lab.sql(f"SELECT PRIVILEGE_TYPE AS what FROM information_schema.{wider} WHERE GRANTEE LIKE '''opensips''@%'")  # noqa: S608
        assert {row["what"] for row in found} <= {"USAGE"}


def test_subscribers_are_stored_as_hashes_only(lab: Lab) -> None:
    rows = lab.sql("SELECT username, password, LENGTH(ha1) AS md5, LENGTH(ha1_sha256) AS sha FROM subscriber ORDER BY username")
    assert [(r["username"], r["password"], r["md5"], r["sha"]) for r in rows] == [
        (name, "", "32", "64") for name in sorted(entry["username"] for entry in lab.setting("sipha_subscribers"))
    ]


def test_the_packages_memory_settings_do_not_win(lab: Lab) -> None:
    """The unit reads /etc/default/opensips last; the processes really run with what the role wrote."""
    for name in lab.proxies:
        command = lab.host(name).check("cat /proc/$(cat /run/opensips/opensips.pid)/cmdline | tr '\\0' ' '")
        assert " -m 256 -M 32 " in f" {command} "
        assert lab.host(name).check("stat -c %U /proc/$(cat /run/opensips/opensips.pid)").strip() == "opensips"
