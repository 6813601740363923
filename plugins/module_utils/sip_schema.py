"""The SIP engine's database schema: what its SQL files say, what the database has, what has to be done.

Pure functions: SQL text and plain data in, plain data out. The module sip_schema reads the database and runs the SQL.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

VERSION_TABLE = "version"
_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_PRIVILEGE = re.compile(r"(SELECT|INSERT|UPDATE|DELETE)(?: \(([a-z0-9_]+(?:, [a-z0-9_]+)*)\))?")
_CREATE_TABLE = re.compile(r"CREATE\s+TABLE\s+`?(\w+)`?\s*\(", re.IGNORECASE)
_CREATE_INDEX = re.compile(r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+`?(\w+)`?\s+ON\s+`?(\w+)`?\s*\([\w\s,`()]+\)$", re.IGNORECASE)
_VERSION_ROW = re.compile(
    r"INSERT\s+INTO\s+`?version`?\s*\(\s*table_name\s*,\s*table_version\s*\)\s*VALUES\s*"
    r"\(\s*'(\w+)'\s*,\s*'?(\d+)'?\s*\)$",
    re.IGNORECASE,
)


class SchemaError(Exception):
    """Something a user has to know; the text is the message."""


@dataclass
class Table:
    """One table as the engine's SQL file makes it."""

    name: str
    file: str
    create: str
    indexes: dict[str, str] = field(default_factory=dict)
    version: int | None = None


@dataclass(frozen=True)
class Index:
    name: str
    columns: tuple[str, ...]
    unique: bool = False
    nullable: bool = False


@dataclass(frozen=True)
class Found:
    """One table as the database has it."""

    name: str
    engine: str
    rows: bool = False
    indexes: tuple[Index, ...] = ()
    columns: Mapping[str, bool] = field(default_factory=dict)  # name -> may be NULL

    @property
    def has_primary_key(self) -> bool:
        return any(index.name == "PRIMARY" for index in self.indexes)


@dataclass(frozen=True)
class Step:
    """One statement to run, its bound values, and how to say it to a user."""

    sql: str
    values: tuple[object, ...]
    says: str


@dataclass(frozen=True)
class Account:
    name: str
    host: str
    password_hash: str
    privileges: Mapping[str, tuple[str, ...]]

    @property
    def label(self) -> str:
        return f"{self.name}@{self.host}"


@dataclass(frozen=True)
class FoundAccount:
    """An account as the database has it. `wide`: privileges on everything or on a whole database."""

    password_hash: str
    privileges: Mapping[str, frozenset[str]]
    wide: tuple[str, ...] = ()


def quoted(name: str) -> str:
    """An identifier, safe inside a statement."""
    if not _NAME.fullmatch(name):
        raise SchemaError(f"'{name}' is not a name of a database, table, column or index (letters, digits, _).")
    return f"`{name}`"


def split_statements(sql: str) -> list[str]:
    """Cut SQL text at its semicolons, without comments, with respect for quotes."""
    statements, current = [], ""
    token = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"|--[ \t][^\n]*|#[^\n]*|/\*.*?\*/|;|.", re.DOTALL)
    for match in token.finditer(sql):
        piece = match.group()
        if piece == ";":
            statements.append(current.strip())
            current = ""
        elif not piece.startswith(("-- ", "--\t", "#", "/*")):
            current += piece
    if current.strip():
        raise SchemaError(f"the SQL ends in the middle of a statement: {current.strip()[:60]!r}")
    return [statement for statement in statements if statement]


def parse(files: Mapping[str, str]) -> dict[str, Table]:
    """The tables that the engine's SQL files make. A statement of another kind is an error: nothing is skipped."""
    tables: dict[str, Table] = {}
    late: list[tuple[str, str, str]] = []
    for file in sorted(files):
        for statement in split_statements(files[file]):
            if match := _CREATE_TABLE.match(statement):
                if match.group(1) in tables:
                    raise SchemaError(f"{file}: table {match.group(1)} is also made by {tables[match.group(1)].file}.")
                tables[match.group(1)] = Table(match.group(1), file, statement)
            elif match := _CREATE_INDEX.match(statement):
                late.append((file, match.group(2), statement))
            elif match := _VERSION_ROW.match(statement):
                late.append((file, match.group(1), match.group(2)))
            else:
                raise SchemaError(f"{file}: a statement that sip_schema does not know: {statement[:80]!r}")
    for file, name, text in late:
        if name not in tables:
            raise SchemaError(f"{file}: index or version of table {name}, but no file creates that table.")
        if text.isdigit():
            tables[name].version = int(text)
        elif match := _CREATE_INDEX.match(text):
            tables[name].indexes[match.group(1)] = text
    if VERSION_TABLE not in tables:
        raise SchemaError("no file creates the table 'version' (standard-create.sql does).")
    return tables


def check_files(tables: Mapping[str, Table], expected: Mapping[str, int], engine: str) -> None:
    """Refuse files of another version than the engine expects; one message names them all."""
    wrong = []
    for name, version in sorted(expected.items()):
        if name not in tables:
            wrong.append(f"no SQL file creates table {name} (version {version})")
        elif tables[name].version != version:
            wrong.append(f"{tables[name].file} makes table {name} at version {tables[name].version}, expected {version}")
    if wrong:
        raise SchemaError(
            f"The schema files are not those of {engine}: {'; '.join(wrong)}. Take them from the schema package of the "
            "version in sipha_opensips_version."
        )


def check_versions(expected: Mapping[str, int], found: Mapping[str, Found], found_versions: Mapping[str, int], engine: str) -> None:
    """Refuse tables of another version than the engine expects; one message names them all."""
    wrong = []
    for name, version in sorted(expected.items()):
        if name not in found:
            continue
        if name in found_versions and found_versions[name] != version:
            wrong.append(f"table {name}: found version {found_versions[name]}, expected {version}")
        elif name not in found_versions and found[name].rows:
            wrong.append(f"table {name}: found no version but rows, expected version {version}")
    if wrong:
        raise SchemaError(
            f"The database does not fit {engine}: {'; '.join(wrong)}. Nothing was changed. Migrating a schema is part "
            "of an upgrade of the engine's packages: playbooks/upgrade_engine.yml does it, and ends one that was interrupted. "
            "Or set sipha_opensips_version to the version that made them."
        )


def plan(
    tables: Mapping[str, Table],
    found: Mapping[str, Found],
    found_versions: Mapping[str, int],
    extra_indexes: Mapping[str, Mapping[str, Sequence[str] | Mapping[str, Any]]],
    extra_columns: Mapping[str, Mapping[str, str]] | None = None,
) -> list[Step]:
    """What is missing, in an order that can be interrupted anywhere: a table's version row comes last."""
    steps: list[Step] = []
    extra_columns = extra_columns or {}
    for name in sorted(tables, key=lambda table: (table != VERSION_TABLE, table)):
        table, old = tables[name], found.get(name)
        if old is None:
            old = Found(name, "InnoDB", indexes=created_indexes(table.create), columns=_created_columns(table.create))
            create = table.create
            if not old.has_primary_key:  # at once: with REQUIRED_PRIMARY_KEY Galera refuses a table that gets its key later
                key = Index("PRIMARY", _key_candidate(old), unique=True)
                create = with_primary_key(create, key.columns)
                old = replace(old, indexes=(*old.indexes, key))
            steps.append(Step(create, (), f"create table {name}"))
        if old.engine.lower() != "innodb":
            steps.append(Step(f"ALTER TABLE {quoted(name)} ENGINE=InnoDB", (), f"change {name} to InnoDB"))
        if not old.has_primary_key:
            columns = _key_candidate(old)
            steps.append(
                Step(
                    f"ALTER TABLE {quoted(name)} ADD PRIMARY KEY ({', '.join(quoted(column) for column in columns)})",
                    (),
                    f"add primary key {name}({', '.join(columns)})",
                )
            )
        for column, definition in extra_columns.get(name, {}).items():
            if column in old.columns:
                if not old.columns[column] and "NOT NULL" not in definition.upper():
                    steps.append(
                        Step(f"ALTER TABLE {quoted(name)} MODIFY COLUMN {quoted(column)} {definition}", (), f"let {name}.{column} be NULL")
                    )
            else:
                steps.append(
                    Step(f"ALTER TABLE {quoted(name)} ADD COLUMN {quoted(column)} {definition}", (), f"add column {name}.{column}")
                )
        present = {index.name for index in old.indexes}
        for index, statement in table.indexes.items():
            if index not in present:
                steps.append(Step(statement, (), f"add index {index} to {name}"))
        for index, entry in extra_indexes.get(name, {}).items():
            wanted, unique = _wanted_index(entry)
            plain = tuple(column.partition("(")[0] for column in wanted)
            if not any(have.columns[: len(plain)] == plain and (have.unique or not unique) for have in old.indexes):
                parts = ", ".join(_index_part(column) for column in wanted)
                kind = "UNIQUE INDEX" if unique else "INDEX"
                steps.append(Step(f"CREATE {kind} {quoted(index)} ON {quoted(name)} ({parts})", (), f"add index {index} to {name}"))
        if table.version is not None and name not in found_versions:
            steps.append(
                Step(
                    "INSERT INTO version (table_name, table_version) VALUES (%s, %s)",
                    (name, table.version),
                    f"note version {table.version} of {name}",
                )
            )
    return steps


def created_indexes(create: str) -> tuple[Index, ...]:
    """The keys that a CREATE TABLE of the engine makes: the PRIMARY KEY column, and its UNIQUE constraints."""
    keys = []
    if match := re.search(r"^\s*`?(\w+)`?\s[^,\n]*?PRIMARY\s+KEY", create, re.IGNORECASE | re.MULTILINE):
        keys.append(Index("PRIMARY", (match.group(1),), unique=True))
    for match in re.finditer(r"CONSTRAINT\s+`?(\w+)`?\s+UNIQUE\s*\(([\w\s,`]+)\)", create, re.IGNORECASE):
        columns = tuple(column.strip(" `\n") for column in match.group(2).split(","))
        nullable = any(not re.search(rf"^\s*`?{c}`?\s.*NOT\s+NULL", create, re.I | re.M) for c in columns)
        keys.append(Index(match.group(1), columns, unique=True, nullable=nullable))
    return tuple(keys)


def _created_columns(create: str) -> dict[str, bool]:
    """Column to whether it may be NULL, of a CREATE TABLE with one column a line."""
    lines = re.findall(
        r"^\s*`?(\w+)`?\s+(?:CHAR|VARCHAR|TEXT|INT|BIGINT|SMALLINT|TINYINT|DATETIME|FLOAT|BLOB|DECIMAL)\b(.*)$", create, re.I | re.M
    )
    return {name: "NOT NULL" not in rest.upper() for name, rest in lines}


def _wanted_index(wanted: Sequence[str] | Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
    """Columns (maybe with a length, like contact(512)) and whether it is unique."""
    if isinstance(wanted, Mapping):
        return tuple(wanted["columns"]), bool(wanted.get("unique", False))
    return tuple(wanted), False


def _index_part(column: str) -> str:
    name, _, length = column.partition("(")
    return quoted(name) + (f"({int(length.rstrip(')'))})" if length else "")


def with_primary_key(create: str, columns: Sequence[str]) -> str:
    """The same CREATE TABLE with a primary key."""
    names = ", ".join(quoted(column) for column in columns)
    return re.sub(r"\)([^()]*)$", rf", PRIMARY KEY ({names}))\1", create)


def _key_candidate(table: Found) -> tuple[str, ...]:
    for index in table.indexes:
        if index.unique and not index.nullable:
            return index.columns
    raise SchemaError(
        f"Table {table.name} has no primary key, which Galera needs, and no unique key over NOT NULL columns that "
        "could become one. Add a primary key to it by hand, or drop the table if it is empty."
    )


def password_hash(password: str) -> str:
    """What mysql_native_password stores, so that the password itself never goes to the server or its logs."""
    return "*" + hashlib.sha1(hashlib.sha1(password.encode()).digest()).hexdigest().upper()  # noqa: S324


def one_privilege_per_column(privileges: Iterable[str], table: str) -> frozenset[str]:
    """Normalise 'UPDATE (state, weight)' to 'UPDATE (state)' and 'UPDATE (weight)'."""
    found: set[str] = set()
    for privilege in privileges:
        match = _PRIVILEGE.fullmatch(privilege)
        if not match:
            raise SchemaError(
                f"'{privilege}' on table {table} is not a privilege that an engine gets: SELECT, INSERT, UPDATE or "
                "DELETE, with columns in brackets if it is for some columns only."
            )
        if match.group(2):
            found.update(f"{match.group(1)} ({column})" for column in match.group(2).split(", "))
        else:
            found.add(match.group(1))
    return frozenset(found)


def plan_account(account: Account, found: FoundAccount | None, database: str) -> list[Step]:
    """Make an account exactly what it should be: its password, and no privilege more or less."""
    who = (account.name, account.host)
    steps: list[Step] = []
    if found is None:
        steps.append(
            Step(
                "CREATE USER %s@%s IDENTIFIED BY PASSWORD %s",
                (*who, account.password_hash),
                f"create account {account.label}",
            )
        )
        found = FoundAccount(account.password_hash, {})
    if found.password_hash != account.password_hash:
        steps.append(
            Step(
                "ALTER USER %s@%s IDENTIFIED BY PASSWORD %s",
                (*who, account.password_hash),
                f"change the password of {account.label}",
            )
        )
    if found.wide:
        steps.append(
            Step(
                "REVOKE ALL PRIVILEGES, GRANT OPTION FROM %s@%s",
                who,
                f"take {', '.join(found.wide)} from {account.label}",
            )
        )
        found = FoundAccount(found.password_hash, {})
    wanted = {table: one_privilege_per_column(names, table) for table, names in account.privileges.items()}
    for table in sorted(set(wanted) | set(found.privileges)):
        want, have = wanted.get(table, frozenset()), found.privileges.get(table, frozenset())
        place = f"{quoted(database)}.{quoted(table)}"
        for verb, names, word in (("REVOKE", have - want, "FROM"), ("GRANT", want - have, "TO")):
            if names:
                listed = ", ".join(sorted(names))
                says = f"{verb.lower()} {listed} on {table} {word.lower()} {account.label}"
                steps.append(Step(f"{verb} {listed} ON {place} {word} %s@%s", who, says))
    return steps
