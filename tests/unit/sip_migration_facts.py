"""What the migration's tests know about OpenSIPS: columns of its tables, recorded from MariaDB 10.11 as 3.4 made them and we changed them,
and what the SQL files of 3.4, 3.6 and 4.0 differ in."""

from __future__ import annotations

import json
from pathlib import Path

from ansible_collections.sipha.cluster.plugins.module_utils.sip_columns import Column, live_columns
from ansible_collections.sipha.cluster.plugins.module_utils.sip_schema import Found, Index, Table, parse

NAMES = ["TABLE_NAME", "COLUMN_NAME", "COLUMN_TYPE", "IS_NULLABLE", "COLUMN_DEFAULT", "EXTRA"]
NAMES += ["CHARACTER_SET_NAME", "COLLATION_NAME", "COLUMN_COMMENT"]
ROWS = [dict(zip(NAMES, row, strict=True)) for row in json.loads(Path(__file__).with_name("sip_columns_live.json").read_text())]
LIVE = live_columns(ROWS)
VERSIONS = {"acc": 7, "address": 5, "dispatcher": 9, "domain": 3, "location": 1013, "subscriber": 8}
OWN = {"acc": {"caller": "VARCHAR(255) NULL", "source": "VARCHAR(64) NULL", "to_tag": "CHAR(64) NULL"}}

ID = "id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL"
STANDARD = """CREATE TABLE version (
    table_name CHAR(32) NOT NULL,
    table_version INT UNSIGNED DEFAULT 0 NOT NULL,
    CONSTRAINT t_name_idx UNIQUE (table_name)
) ENGINE=InnoDB;
"""
# What differs between the series: mask, attrs, description, accept_subdomain, email_address, rpid.
COMMON = {
    "location": """contact_id BIGINT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL, contact TEXT NOT NULL,
        expires INT(10) UNSIGNED NOT NULL, q FLOAT(10,2) DEFAULT 1.0 NOT NULL, cseq INT(11) DEFAULT 13 NOT NULL,
        last_modified DATETIME DEFAULT '1900-01-01 00:00:01' NOT NULL, kv_store TEXT(512) DEFAULT NULL, attr CHAR(255) DEFAULT NULL""",
    "acc": f"{ID}, to_tag CHAR(64) DEFAULT '' NOT NULL, sip_code CHAR(3) DEFAULT '' NOT NULL, time DATETIME NOT NULL",
    "dispatcher": f"{ID}, weight CHAR(64) DEFAULT 1 NOT NULL, priority INT DEFAULT 0 NOT NULL",
    "domain": f"{ID}, domain CHAR(64) DEFAULT '' NOT NULL, attrs CHAR(255) DEFAULT NULL",
    "subscriber": f"{ID}, username CHAR(64) DEFAULT '' NOT NULL, domain CHAR(64) DEFAULT '' NOT NULL",
    "address": f"{ID}, ip CHAR(50) NOT NULL, proto CHAR(4) DEFAULT 'any' NOT NULL",
}
TAILS = {
    "3.4": {
        "dispatcher": "attrs CHAR(128) DEFAULT '' NOT NULL, description CHAR(64) DEFAULT '' NOT NULL",
        "domain": "CONSTRAINT domain_idx UNIQUE (domain)",
        "subscriber": "email_address CHAR(64) DEFAULT '' NOT NULL, rpid CHAR(64) DEFAULT NULL, "
        "CONSTRAINT account_idx UNIQUE (username, domain)",
        "address": "mask TINYINT DEFAULT 32 NOT NULL",
    },
    "3.6": {
        "dispatcher": "attrs CHAR(128) DEFAULT NULL, description CHAR(64) DEFAULT NULL",
        "domain": "accept_subdomain INT(11) UNSIGNED DEFAULT 0 NOT NULL, CONSTRAINT domain_idx UNIQUE (domain)",
        "subscriber": "CONSTRAINT account_idx UNIQUE (username, domain)",
        "address": "mask SMALLINT UNSIGNED DEFAULT 32 NOT NULL",
    },
}


def table_sql(name: str, columns: str, version: int) -> str:
    # The series' own files have one column a line, which created_indexes() relies on.
    lines = columns.replace(", ", ",\n    ").replace("(username,\n    domain)", "(username, domain)")
    row = f"INSERT INTO version (table_name, table_version) values ('{name}','{version}');\n"  # noqa: S608
    return f"{row}CREATE TABLE {name} (\n    {lines}\n) ENGINE=InnoDB;\n"


def series_tables_of(series: str, **changed: str) -> dict[str, Table]:
    """The tables of a series; `changed` adds columns to a table."""
    files = {"standard-create.sql": STANDARD}
    for name, columns in COMMON.items():
        version = VERSIONS[name] if (series, name) != ("3.6", "domain") else 4
        parts = [columns, TAILS[series].get(name, ""), changed.get(name, "")]
        files[f"{name}-create.sql"] = table_sql(name, ", ".join(part for part in parts if part), version)
    return parse(files)


def found_tables(live: dict[str, dict[str, Column]] = LIVE, **more: tuple[Index, ...]) -> dict[str, Found]:
    """The tables as the module finds them, each with its first column as its key; `more` adds indexes."""
    unique = {
        "domain": Index("domain_idx", ("domain",), unique=True),
        "subscriber": Index("account_idx", ("username", "domain"), unique=True),
    }
    tables = {}
    for name, columns in live.items():
        indexes = (Index("PRIMARY", (next(iter(columns)),), unique=True), *([unique[name]] if name in unique else ()), *more.get(name, ()))
        tables[name] = Found(name, "InnoDB", True, indexes, {column.name: column.nullable for column in columns.values()})
    return tables
