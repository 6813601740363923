"""From one release series of the SIP engine to another while both run on the same tables.

Expand: only what the older series can live with, before the first proxy is upgraded. Contract: the rest, when the last old proxy is gone.
What the engine never needs (a narrower type, NOT NULL, a column less) is not done to tables that have data for it.

Each series reads the table versions it wants in a table of its own (the engine's global parameter db_version_table), because its
modules refuse a version that is not exactly theirs. Pure functions: plain data in, steps out. The module sip_schema reads and runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ansible_collections.sipha.cluster.plugins.module_utils.sip_columns import Column, created_columns, holds, lossy_rows, same_default
from ansible_collections.sipha.cluster.plugins.module_utils.sip_schema import (
    VERSION_TABLE,
    Found,
    Index,
    SchemaError,
    Step,
    Table,
    created_indexes,
    quoted,
)

Columns = Mapping[str, Mapping[str, Column]]
RowsWhere = Callable[[str, str], int]  # table, SQL condition -> how many rows
_SERIES = re.compile(r"\d{1,3}\.\d{1,3}")
_SERIES_TABLE = re.compile(r"version_\d{1,3}_\d{1,3}")


def series_table(series: str) -> str:
    """Where a release series looks for the table versions: db_version_table in its script."""
    if not _SERIES.fullmatch(series):
        raise SchemaError(f"'{series}' is not a release series of the engine, like 3.6.")
    return f"version_{series.replace('.', '_')}"


def series_tables(found: Mapping[str, Found]) -> list[str]:
    return sorted(name for name in found if _SERIES_TABLE.fullmatch(name))


def check_start(
    known: Mapping[str, Sequence[int]], expected: Mapping[str, int], found: Mapping[str, Found], versions: Mapping[str, int]
) -> None:
    """Refuse tables of a version from which no way is known: a version may also change what values mean, which columns do not show."""
    wrong = []
    for name in sorted(set(expected) & set(found)):
        ways = sorted({*known.get(name, ()), expected[name]})
        if name not in versions and found[name].rows:
            wrong.append(f"table {name}: found no version but rows")
        elif name in versions and versions[name] not in ways:
            wrong.append(f"table {name}: found version {versions[name]}, known are {', '.join(map(str, ways))}")
    if wrong:
        raise SchemaError(f"No way is known to migrate these tables: {'; '.join(wrong)}. Nothing was changed. Bring them there by hand.")


def plan_columns(
    tables: Mapping[str, Table], found: Mapping[str, Found], live: Columns, own: Mapping[str, Mapping[str, str]], rows_where: RowsWhere
) -> list[Step]:
    """Expand: columns that are missing or too narrow, one statement for each. One error names all that can't be done."""
    steps: list[Step] = []
    wrong: list[str] = []
    for name in sorted(set(tables) & set(found) - {VERSION_TABLE}):
        keys = {index.name: index for index in created_indexes(tables[name].create)}
        wrong += _other_key(found[name], keys.get("PRIMARY"))
        for column in created_columns(tables[name].create, name).values():
            have = live[name].get(column.name)
            try:
                if column.name in own.get(name, {}):
                    _check_own(name, column, have)
                elif have is None:
                    steps.append(_add(name, column))
                else:
                    steps += _change(found[name], have, column, rows_where)
            except SchemaError as error:
                wrong.append(str(error))
    if wrong:
        raise SchemaError(
            f"The tables can't be migrated: {'; '.join(wrong)}. Nothing was changed. Change these by hand, then run this again."
        )
    return steps


def _other_key(table: Found, wanted: Index | None) -> list[str]:
    have = next((index.columns for index in table.indexes if index.name == "PRIMARY"), None)
    if wanted is None or have is None or have == wanted.columns:
        return []
    return [f"the primary key of {table.name} is ({', '.join(have)}), the engine wants ({', '.join(wanted.columns)})"]


def _check_own(table: str, column: Column, have: Column | None) -> None:
    """A column of ours that the engine has too keeps our definition, if it is of the same kind."""
    if have and not holds(have.type, column.type) and lossy_rows(have.type, column.type, column.name) is None:
        raise SchemaError(f"{table}.{column.name} is a further column of ours ({have.type}), the engine has another one ({column.type})")


def _add(table: str, column: Column) -> Step:
    if column.increments:
        raise SchemaError(f"{table}.{column.name} is new and counts up by itself, so it is part of a new key")
    if not column.nullable and column.default is None:
        column = replace(column, nullable=True)  # the older series inserts rows without it
    sql = f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(column.name)} {column.definition()}"
    return Step(sql, (), f"add column {table}.{column.name}")


def _change(table: Found, have: Column, want: Column, rows_where: RowsWhere) -> list[Step]:
    place = f"{table.name}.{have.name}"
    new, says = have, []
    if not holds(have.type, want.type):
        lossy = lossy_rows(have.type, want.type, have.name)
        if lossy is None:
            raise SchemaError(f"{place} is {have.type}, the engine wants {want.type}, which is of another kind")
        if any(have.name in index.columns for index in table.indexes if index.name == "PRIMARY"):
            raise SchemaError(f"{place} is {have.type}, the engine wants {want.type}, but it is in the primary key")
        if lossy and (rows := rows_where(table.name, lossy)):
            raise SchemaError(f"{place} is {have.type}, the engine wants {want.type}, and values do not fit (rows: {rows})")
        if "text" in want.type.lower() and any(have.name in index.columns for index in table.indexes):
            raise SchemaError(f"{place} is {have.type}, the engine wants {want.type}, but an index has it")
        new = replace(new, type=want.type)
        says.append(f"change {place} from {have.type} to {want.type.lower()}")
    if want.nullable and not have.nullable and not have.increments:
        new = replace(new, nullable=True)
        says.append(f"let {place} be NULL")
    if new.nullable == want.nullable and not (want.default is None and not want.nullable) and not same_default(have, want):
        if new.nullable == have.nullable:
            says.append(f"change the default of {place} to {want.default or 'NULL'}")
        new = replace(new, default=want.default)
    if says and have.extra:
        raise SchemaError(f"{place} has '{have.extra}', which a change would lose")
    sql = f"ALTER TABLE {quoted(table.name)} MODIFY COLUMN {quoted(have.name)} {new.definition()}"
    return [Step(sql, (), ", ".join(says))] if says else []


def plan_contract(
    tables: Mapping[str, Table], found: Mapping[str, Found], live: Columns, obsolete: Mapping[str, Sequence[str]], rows_where: RowsWhere
) -> tuple[list[Step], list[str]]:
    """What waits for the last old proxy: unique keys that it might break, its columns if they are empty. Also what is left, and why."""
    steps, notes = [], []
    for name in sorted(set(tables) & set(found)):
        have = {index.columns for index in found[name].indexes if index.unique}
        for index in created_indexes(tables[name].create):
            if index.name != "PRIMARY" and index.columns not in have:
                columns = ", ".join(quoted(column) for column in index.columns)
                sql = f"CREATE UNIQUE INDEX {quoted(index.name)} ON {quoted(name)} ({columns})"
                steps.append(Step(sql, (), f"add unique index {index.name} to {name}"))
    for name in sorted(set(obsolete) & set(tables) & set(found)):
        wanted = created_columns(tables[name].create, name)
        for column in (live[name][c] for c in obsolete[name] if c in live[name] and c not in wanted):
            place = f"{name}.{column.name}"
            if any(column.name in index.columns for index in found[name].indexes):
                notes.append(f"{place} is kept: the engine no longer has it, but an index has it.")
            elif rows := rows_where(name, f"NOT ({quoted(column.name)} <=> {column.default or 'NULL'})"):
                notes.append(f"{place} is kept: the engine no longer has it, but rows have a value there ({rows}). Drop it by hand.")
            else:
                steps.append(
                    Step(f"ALTER TABLE {quoted(name)} DROP COLUMN {quoted(column.name)}", (), f"drop column {place}, which is empty")
                )
    return steps, notes


def plan_series(
    series: str, tables: Mapping[str, Table], found: Mapping[str, Found], versions: Mapping[str, int], own: Mapping[str, int]
) -> list[Step]:
    """The series' own version table: the versions in its files, and those of tables that no file makes as `version` has them.

    `versions`: what the table `version` has; `own`: what the series' table has.
    """
    name = series_table(series)
    steps = []
    if name not in found:
        sql = (
            f"CREATE TABLE {quoted(name)} (table_name CHAR(32) NOT NULL PRIMARY KEY, "
            "table_version INT UNSIGNED DEFAULT 0 NOT NULL) ENGINE=InnoDB"
        )
        steps.append(Step(sql, (), f"create table {name}"))
    wanted = {table: version for table, version in versions.items() if table not in own}
    wanted |= {table.name: table.version for table in tables.values() if table.version is not None}
    return steps + _note_versions(name, {table: version for table, version in wanted.items() if own.get(table) != version})


def plan_finish(
    series: str, tables: Mapping[str, Table], found: Mapping[str, Found], versions: Mapping[str, int]
) -> tuple[list[Step], list[Step]]:
    """Contract, the end: the table `version` says what the tables are now; and, last of all, the other series' version tables go."""
    wanted = {table.name: table.version for table in tables.values() if table.version is not None}
    steps = _note_versions(VERSION_TABLE, {name: version for name, version in wanted.items() if versions.get(name) != version})
    old = [name for name in series_tables(found) if name != series_table(series)]
    return steps, [Step(f"DROP TABLE {quoted(name)}", (), f"drop table {name}") for name in old]


def _note_versions(table: str, versions: Mapping[str, int]) -> list[Step]:
    """One statement for all rows: an engine that starts meanwhile sees all of them or none."""
    if not versions:
        return []
    values = tuple(value for name in sorted(versions) for value in (name, versions[name]))
    marks = ", ".join(["(%s, %s)"] * len(versions))
    says = f"note in {table}: {', '.join(f'{name} {versions[name]}' for name in sorted(versions))}"
    return [Step(f"REPLACE INTO {quoted(table)} (table_name, table_version) VALUES {marks}", values, says)]  # noqa: S608


def with_series_tables(privileges: Mapping[str, Sequence[str]], names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """An account that may read `version` may read the series' version tables."""
    wanted = {table: tuple(listed) for table, listed in privileges.items()}
    if "SELECT" in wanted.get(VERSION_TABLE, ()):
        wanted |= dict.fromkeys(names, ("SELECT",))
    return wanted
