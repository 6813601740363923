#!/usr/bin/python
"""Ansible module: the SIP engine's tables and accounts in MariaDB."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sip_schema
short_description: Keep the SIP engine's tables and accounts in MariaDB
version_added: 0.1.0
author: The sipha.cluster founders (@sipha)
description:
  - Creates the database and every table that is missing, from the SQL files of the engine's own schema package.
  - Sees to it that every table is InnoDB with a primary key (Galera needs both) and has the indexes that are asked for.
  - Keeps accounts exactly at the privileges that are listed, on single tables or columns.
  - Refuses tables of another version than the engine expects, unless O(phase) tells it to migrate them.
  - Migrates from one release series to another in two phases, between which proxies of both series work on the same tables.
  - Runs on a database host, as root through the UNIX socket. Needs PyMySQL there (C(python3-pymysql)).
attributes:
  check_mode:
    description: Can run in check mode and tell what it would do.
    support: full
  diff_mode:
    description: Tells in diff mode what changes. Passwords are not shown.
    support: full
options:
  database:
    description: Name of the database.
    type: str
    default: opensips
  engine:
    description: Name and version of the engine, for messages.
    type: str
    required: true
  files:
    description: File name to SQL text, from the engine's schema package. One of them makes the table C(version).
    type: dict
    required: true
  expected:
    description: Table to the version that the engine expects.
    type: dict
    required: true
  phase:
    description:
      - V(steady) makes what is missing and refuses tables of another version.
      - V(expand) makes the tables fit the new series without harm to the older one, before the first proxy is upgraded. Adds columns,
        widens types, lets columns be NULL, changes defaults, adds tables and indexes, one statement for each. Refuses, before it
        changes anything, what would lose data or change a primary key. The table C(version) is left alone.
      - V(contract) follows when no proxy runs the older series any more. Adds unique keys, drops the columns in O(obsolete) that hold
        nothing, brings the table C(version) up to date, and drops the version tables of other series.
    type: str
    choices: [steady, expand, contract]
    default: steady
  series:
    description:
      - Release series of the engine, like V(3.6). It gets a version table of its own, C(version_3_6), for the engine's global parameter
        C(db_version_table), so that each series finds the versions that it insists on. Needed for V(expand) and V(contract).
      - Rows of tables that no file makes are copied from C(version) once.
      - An account that may SELECT from C(version) may do so from these tables too.
    type: str
  known:
    description: Table to versions from which its columns alone tell how to migrate. For V(expand); other versions are refused.
    type: dict
    default: {}
  obsolete:
    description: Table to columns that an older series made and this one does not have. For V(contract); a column with values is kept.
    type: dict
    default: {}
  indexes:
    description:
      - Further indexes, table to index name to list of columns; or to C(columns) and C(unique).
      - A column may have a length, like C(contact(512)).
    type: dict
    default: {}
  columns:
    description:
      - Further columns, table to column name to SQL definition.
      - A column that is there is changed only when it is NOT NULL and should not be.
    type: dict
    default: {}
  charset:
    description: Character set of the database, used when it is created.
    type: str
    default: latin1
  accounts:
    description: Accounts of the engine.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the account.
        type: str
        required: true
      hosts:
        description: Hosts that it comes from, as MariaDB sees them.
        type: list
        elements: str
        default: [127.0.0.1, localhost]
      password:
        description: Its password. Only its hash is sent to the database.
        type: str
        required: true
      privileges:
        description: Table to list of privileges (C(SELECT), C(INSERT), C(UPDATE), C(DELETE), or C(UPDATE (column))).
        type: dict
        required: true
  login_unix_socket:
    description: The socket of the MariaDB server.
    type: path
    default: /run/mysqld/mysqld.sock
"""

EXAMPLES = r"""
- name: Keep the tables and the engine's account
  sipha.cluster.sip_schema:
    engine: OpenSIPS 3.6
    files:
      standard-create.sql: "{{ lookup('ansible.builtin.file', 'standard-create.sql') }}"
      usrloc-create.sql: "{{ lookup('ansible.builtin.file', 'usrloc-create.sql') }}"
    expected: {location: 1013}
    indexes: {location: {aor_idx: [username, domain], exp_idx: [expires]}}
    accounts:
      - name: opensips
        password: "{{ sipha_secret_db_engine }}"
        privileges: {location: [SELECT, INSERT, UPDATE, DELETE], version: [SELECT]}

# Before the first proxy gets the new series:
- name: Make the tables fit both series
  sipha.cluster.sip_schema:
    engine: OpenSIPS 3.6
    phase: expand
    series: "3.6"
    files: "{{ sip_schema_sql }}"
    expected: {location: 1013, domain: 4}
    known: {domain: [3]}
"""

RETURN = r"""
actions:
  description: What was done (in check mode, what would be done), in order.
  returned: always
  type: list
  elements: str
  sample: [create table version, "add primary key version(table_name)"]
notes:
  description: What V(contract) leaves as it is, and why.
  returned: success
  type: list
  elements: str
  sample: ["subscriber.email_address is kept: the engine no longer has it, but rows have a value there (3). Drop it by hand."]
tables:
  description: Table to its version in the table C(version), after the run.
  returned: success
  type: dict
  sample: {location: 1013}
"""

import contextlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sipha.cluster.plugins.module_utils.sip_columns import Column, live_columns
from ansible_collections.sipha.cluster.plugins.module_utils.sip_migration import (
    check_start,
    plan_columns,
    plan_contract,
    plan_finish,
    plan_series,
    series_table,
    series_tables,
    with_series_tables,
)
from ansible_collections.sipha.cluster.plugins.module_utils.sip_schema import (
    VERSION_TABLE,
    Account,
    Found,
    FoundAccount,
    Index,
    SchemaError,
    Step,
    Table,
    check_files,
    check_versions,
    parse,
    password_hash,
    plan,
    plan_account,
    quoted,
)

LOCK_WAIT = 20  # seconds

try:
    import pymysql

    HAS_PYMYSQL = True
except ImportError:
    HAS_PYMYSQL = False


class Database:
    """Reads what is there, runs what is missing."""

    def __init__(self, connection: Any, database: str) -> None:
        self.connection = connection
        self.database = database

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall())

    def exists(self) -> bool:
        return bool(self.rows("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s", self.database))

    def tables(self) -> dict[str, Found]:
        found = {}
        listed = self.rows(
            "SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_TYPE = 'BASE TABLE'",
            self.database,
        )
        for name, engine in listed:
            filled = self.rows(f"SELECT 1 FROM {quoted(self.database)}.{quoted(name)} LIMIT 1")  # noqa: S608
            found[name] = Found(name, engine or "", bool(filled), self._indexes(name), self._columns(name))
        return found

    def _columns(self, table: str) -> dict[str, bool]:
        listed = self.rows(
            "SELECT COLUMN_NAME, IS_NULLABLE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
            self.database,
            table,
        )
        return {str(name): nullable == "YES" for name, nullable in listed}

    def _indexes(self, table: str) -> tuple[Index, ...]:
        parts: dict[str, list[tuple[str, bool, bool]]] = {}
        for index, column, non_unique, nullable in self.rows(
            "SELECT INDEX_NAME, COLUMN_NAME, NON_UNIQUE, NULLABLE FROM information_schema.STATISTICS "
            "WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY INDEX_NAME, SEQ_IN_INDEX",
            self.database,
            table,
        ):
            parts.setdefault(index, []).append((column, not int(non_unique), nullable == "YES"))
        return tuple(
            Index(name, tuple(c[0] for c in columns), columns[0][1], any(c[2] for c in columns)) for name, columns in parts.items()
        )

    def columns(self) -> dict[str, dict[str, Column]]:
        names = (
            "TABLE_NAME",
            "COLUMN_NAME",
            "COLUMN_TYPE",
            "IS_NULLABLE",
            "COLUMN_DEFAULT",
            "EXTRA",
            "CHARACTER_SET_NAME",
            "COLLATION_NAME",
            "COLUMN_COMMENT",
        )
        sql = f"SELECT {', '.join(names)} FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s"  # noqa: S608
        return live_columns(dict(zip(names, row, strict=True)) for row in self.rows(sql, self.database))

    def rows_where(self, table: str, condition: str) -> int:
        # The condition is sip_migration's own: quoted names, numbers, and defaults that the database gave.
        sql = f"SELECT COUNT(*) FROM {quoted(self.database)}.{quoted(table)} WHERE {condition}"  # noqa: S608
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return int(cursor.fetchone()[0])

    def versions(self, found: dict[str, Found], table: str = VERSION_TABLE) -> dict[str, int]:
        if table not in found:
            return {}
        listed = self.rows(f"SELECT table_name, table_version FROM {quoted(self.database)}.{quoted(table)}")  # noqa: S608
        return {str(name): int(version) for name, version in listed}

    def account(self, name: str, host: str) -> FoundAccount | None:
        users = self.rows("SELECT authentication_string, plugin FROM mysql.user WHERE User = %s AND Host = %s", name, host)
        if not users:
            return None
        stored, plugin = users[0]
        grantee = f"'{name}'@'{host}'"
        wide = [
            f"{privilege} on *.*"
            for (privilege,) in self.rows(
                "SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = %s AND PRIVILEGE_TYPE <> 'USAGE'",
                grantee,
            )
        ] + [
            f"{privilege} on {schema}.*"
            for schema, privilege in self.rows(
                "SELECT TABLE_SCHEMA, PRIVILEGE_TYPE FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE = %s",
                grantee,
            )
        ]
        privileges: dict[str, set[str]] = {}
        for schema, table, privilege, grantable in self.rows(
            "SELECT TABLE_SCHEMA, TABLE_NAME, PRIVILEGE_TYPE, IS_GRANTABLE FROM information_schema.TABLE_PRIVILEGES WHERE GRANTEE = %s",
            grantee,
        ):
            if schema != self.database or grantable == "YES":
                wide.append(f"{privilege} on {schema}.{table}")
            else:
                privileges.setdefault(table, set()).add(privilege)
        for schema, table, column, privilege in self.rows(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, PRIVILEGE_TYPE FROM information_schema.COLUMN_PRIVILEGES WHERE GRANTEE = %s",
            grantee,
        ):
            if schema != self.database:
                wide.append(f"{privilege} ({column}) on {schema}.{table}")
            else:
                privileges.setdefault(table, set()).add(f"{privilege} ({column})")
        return FoundAccount(
            str(stored) if plugin == "mysql_native_password" else "",
            {table: frozenset(names) for table, names in privileges.items()},
            tuple(wide),
        )

    def run(self, step: Step) -> None:
        with self.connection.cursor() as cursor:
            try:
                cursor.execute(step.sql, step.values or None)
            except pymysql.MySQLError as error:
                code, text = (*error.args, "")[:2]
                raise SchemaError(f"The database refused to {step.says}: {text} (error {code}).") from error


def converge(module: AnsibleModule, database: Database) -> dict[str, Any]:
    wanted = module.params
    tables = parse({str(name): str(text) for name, text in wanted["files"].items()})
    expected = {str(name): int(version) for name, version in wanted["expected"].items()}
    exists = database.exists()
    found = database.tables() if exists else {}
    for name in sorted(set(found) - set(tables)):
        if found[name].engine.lower() != "innodb" or not found[name].has_primary_key:
            module.warn(
                f"Table {wanted['database']}.{name} is not the engine's, and is not InnoDB with a primary key: Galera does "
                "not keep it equal on all nodes. Give it both, or drop it."
            )
    versions = database.versions(found)
    check_files(tables, expected, wanted["engine"])
    if wanted["phase"] == "steady":
        check_versions(expected, found, versions, wanted["engine"])
    else:
        known = {str(name): [int(version) for version in listed] for name, listed in wanted["known"].items()}
        check_start(known, expected, found, versions)

    steps: list[Step] = []
    if not exists:
        charset = quoted(wanted["charset"]).strip("`")
        name = quoted(wanted["database"])
        steps.append(Step(f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET {charset}", (), f"create database {name}"))
    steps.append(Step(f"USE {quoted(wanted['database'])}", (), ""))
    # A statement that waits for a table holds up everybody behind it: rather give up and be run again.
    steps.append(Step(f"SET SESSION lock_wait_timeout = {LOCK_WAIT}", (), ""))
    made, last, notes = plan_tables(wanted, tables, found, versions, database, module.check_mode)
    steps += made
    for account in wanted["accounts"]:
        missing = sorted(set(account["privileges"]) - set(tables) - set(found))
        if missing:
            raise SchemaError(f"Account {account['name']} has privileges on tables that nothing creates: {missing}.")
        privileges = with_series_tables(account["privileges"], readable_version_tables(wanted, found))
        for host in account["hosts"]:
            made_account = Account(account["name"], host, password_hash(account["password"]), privileges)
            steps += plan_account(made_account, database.account(account["name"], host), wanted["database"])
    steps += last

    actions = [step.says for step in steps if step.says]
    if not module.check_mode and actions:
        for step in steps:
            database.run(step)
        database.connection.commit()
    if wanted["phase"] != "expand":
        versions |= {name: table.version for name, table in tables.items() if table.version is not None}
    for note in notes:
        module.warn(note)
    return {
        "changed": bool(actions),
        "actions": actions,
        "notes": notes,
        "tables": {name: versions[name] for name in sorted(versions)},
        "diff": {"before": "", "after": "".join(f"{action}\n" for action in actions)},
    }


def plan_tables(
    wanted: dict[str, Any],
    tables: dict[str, Table],
    found: dict[str, Found],
    versions: dict[str, int],
    database: Database,
    check_mode: bool,
) -> tuple[list[Step], list[Step], list[str]]:
    """The steps for tables, those that come after the accounts', and notes."""
    missing = plan(tables, found, versions, wanted["indexes"], wanted["columns"])
    series: list[Step] = []
    if wanted["series"]:
        own = database.versions(found, series_table(wanted["series"]))
        series = plan_series(wanted["series"], tables, found, versions, own)
    if wanted["phase"] == "steady":
        return missing + series, [], []
    live = database.columns()
    expand = plan_columns(tables, found, live, wanted["columns"], database.rows_where) + missing + series
    if wanted["phase"] == "expand":
        return expand, [], []
    if expand and not check_mode:
        raise SchemaError(f"Run phase expand first, it is not complete: {', '.join(step.says for step in expand)}. Nothing was changed.")
    contract, notes = plan_contract(tables, found, live, wanted["obsolete"], database.rows_where)
    rows, last = plan_finish(wanted["series"], tables, found, versions)
    return contract + rows, last, notes


def readable_version_tables(wanted: dict[str, Any], found: dict[str, Found]) -> list[str]:
    """In the end only the series' own; until then all that there are."""
    own = [series_table(wanted["series"])] if wanted["series"] else []
    return own if wanted["phase"] == "contract" else sorted({*own, *series_tables(found)})


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "database": {"type": "str", "default": "opensips"},
            "engine": {"type": "str", "required": True},
            "files": {"type": "dict", "required": True},
            "expected": {"type": "dict", "required": True},
            "indexes": {"type": "dict", "default": {}},
            "columns": {"type": "dict", "default": {}},
            "phase": {"type": "str", "choices": ["steady", "expand", "contract"], "default": "steady"},
            "series": {"type": "str"},
            "known": {"type": "dict", "default": {}},
            "obsolete": {"type": "dict", "default": {}},
            "charset": {"type": "str", "default": "latin1"},
            "accounts": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "hosts": {"type": "list", "elements": "str", "default": ["127.0.0.1", "localhost"]},
                    "password": {"type": "str", "required": True, "no_log": True},
                    "privileges": {"type": "dict", "required": True},
                },
            },
            "login_unix_socket": {"type": "path", "default": "/run/mysqld/mysqld.sock"},
        },
        required_if=[("phase", "expand", ["series"]), ("phase", "contract", ["series"])],
        supports_check_mode=True,
    )
    if not HAS_PYMYSQL:
        module.fail_json(msg=missing_required_lib("PyMySQL"))
    try:
        connection = pymysql.connect(unix_socket=module.params["login_unix_socket"], user="root", charset="utf8mb4", autocommit=True)
    except pymysql.MySQLError as error:
        module.fail_json(
            msg=f"MariaDB does not let root in through {module.params['login_unix_socket']}: {error}. "
            "Is this a database host, does mariadb run there, and does the task run as root?"
        )
    with contextlib.closing(connection):
        try:
            result = converge(module, Database(connection, module.params["database"]))
        except SchemaError as error:
            module.fail_json(msg=str(error), actions=[])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
