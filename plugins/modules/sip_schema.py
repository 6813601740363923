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
  - Refuses tables of another version than the engine expects. It never migrates and never drops anything.
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
"""

RETURN = r"""
actions:
  description: What was done (in check mode, what would be done), in order.
  returned: always
  type: list
  elements: str
  sample: [create table version, "add primary key version(table_name)"]
tables:
  description: Table to its version in the database, after the run.
  returned: success
  type: dict
  sample: {location: 1013}
"""

import contextlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sipha.cluster.plugins.module_utils.sip_schema import (
    VERSION_TABLE,
    Account,
    Found,
    FoundAccount,
    Index,
    SchemaError,
    Step,
    check_versions,
    parse,
    password_hash,
    plan,
    plan_account,
    quoted,
)

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

    def versions(self, found: dict[str, Found]) -> dict[str, int]:
        if VERSION_TABLE not in found:
            return {}
        listed = self.rows(f"SELECT table_name, table_version FROM {quoted(self.database)}.version")  # noqa: S608
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
    check_versions(tables, expected, found, versions, wanted["engine"])

    steps: list[Step] = []
    if not exists:
        charset = quoted(wanted["charset"]).strip("`")
        name = quoted(wanted["database"])
        steps.append(Step(f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET {charset}", (), f"create database {name}"))
    steps.append(Step(f"USE {quoted(wanted['database'])}", (), ""))
    steps += plan(tables, found, versions, wanted["indexes"], wanted["columns"])
    for account in wanted["accounts"]:
        missing = sorted(set(account["privileges"]) - set(tables) - set(found))
        if missing:
            raise SchemaError(f"Account {account['name']} has privileges on tables that nothing creates: {missing}.")
        for host in account["hosts"]:
            made = Account(account["name"], host, password_hash(account["password"]), account["privileges"])
            steps += plan_account(made, database.account(made.name, host), wanted["database"])

    actions = [step.says for step in steps if step.says]
    if not module.check_mode and actions:
        for step in steps:
            database.run(step)
        database.connection.commit()
    versions |= {name: table.version for name, table in tables.items() if table.version is not None}
    return {
        "changed": bool(actions),
        "actions": actions,
        "tables": {name: versions[name] for name in sorted(versions)},
        "diff": {"before": "", "after": "".join(f"{action}\n" for action in actions)},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "database": {"type": "str", "default": "opensips"},
            "engine": {"type": "str", "required": True},
            "files": {"type": "dict", "required": True},
            "expected": {"type": "dict", "required": True},
            "indexes": {"type": "dict", "default": {}},
            "columns": {"type": "dict", "default": {}},
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
