"""Columns of the SIP engine's tables: as its SQL files define them, as the database has them, and how the two relate.

Pure functions. sip_migration plans with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from ansible_collections.sipha.cluster.plugins.module_utils.sip_schema import SchemaError, quoted

_INTEGERS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_TEXTS = {"tinytext": 255, "text": 65535, "mediumtext": 2**24 - 1, "longtext": 2**32 - 1}
_BLOBS = {name.replace("text", "blob"): size for name, size in _TEXTS.items()}
_TYPE = re.compile(r"(\w+)(?:\s*\(([^)]*)\))?(\s+unsigned)?", re.IGNORECASE)
_COLUMN = re.compile(r"`?(\w+)`?\s+(\w+(?:\s*\([^)]*\))?(?:\s+UNSIGNED)?)(?=\s|$)\s*(.*)", re.IGNORECASE | re.DOTALL)
_DEFAULT = re.compile(r"\bDEFAULT\s+('(?:[^'\\]|\\.|'')*'|[\w.+-]+)", re.IGNORECASE)
_PIECE = re.compile(r"'(?:[^'\\]|\\.|'')*'|[(),]|[^'(),]+", re.DOTALL)
_NO_COLUMN = re.compile(r"(CONSTRAINT|PRIMARY|UNIQUE|KEY|INDEX)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """One column. `default` is SQL as it stands in a definition, None when there is none or it is NULL."""

    name: str
    type: str
    nullable: bool = True
    default: str | None = None
    increments: bool = False
    extra: str = ""
    charset: str = ""
    comment: str = ""

    def definition(self) -> str:
        """What ADD COLUMN or MODIFY COLUMN takes. Character set and comment are kept: MODIFY would lose them."""
        parts = [self.type, self.charset, "NULL" if self.nullable else "NOT NULL"]
        if self.default is not None:
            parts.append(f"DEFAULT {self.default}")
        elif self.nullable:
            parts.append("DEFAULT NULL")
        if self.comment:
            parts.append("COMMENT '" + self.comment.replace("\\", "\\\\").replace("'", "''") + "'")
        return " ".join(part for part in parts if part)


def created_columns(create: str, table: str) -> dict[str, Column]:
    """The columns of one of the engine's CREATE TABLE statements. What is not understood is an error."""
    columns = {}
    for item in _items(create[create.index("(") + 1 : create.rindex(")")]):
        if _NO_COLUMN.match(item):
            continue
        match = _COLUMN.fullmatch(item)
        if not match:
            raise SchemaError(f"table {table}: a column that sip_schema does not understand: {item[:80]!r}")
        name, kind, rest = match.groups()
        default = found.group(1) if (found := _DEFAULT.search(rest)) else None
        left = _DEFAULT.sub("", rest).upper()
        for word in ("AUTO_INCREMENT", "PRIMARY KEY", "NOT NULL", "NULL"):
            left = left.replace(word, "")
        if left.strip():
            raise SchemaError(f"table {table}, column {name}: sip_schema does not understand {left.strip()!r}")
        upper = rest.upper()
        columns[name] = Column(
            name,
            kind,
            nullable="NOT NULL" not in upper and "PRIMARY KEY" not in upper,
            default=None if default is None or default.upper() == "NULL" else default,
            increments="AUTO_INCREMENT" in upper,
        )
    return columns


def _items(body: str) -> list[str]:
    """Cut the inside of a CREATE TABLE at its outer commas."""
    items, depth = [""], 0
    for piece in _PIECE.findall(body):
        depth += (piece == "(") - (piece == ")")
        if piece == "," and not depth:
            items.append("")
        else:
            items[-1] += piece
    return [item.strip() for item in items if item.strip()]


def live_columns(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Column]]:
    """Table to its columns, from rows of information_schema.COLUMNS of MariaDB (whose COLUMN_DEFAULT is SQL)."""
    tables: dict[str, dict[str, Column]] = {}
    for row in rows:
        extra = str(row["EXTRA"] or "").lower()
        default = row["COLUMN_DEFAULT"]
        charset = ""
        if row["CHARACTER_SET_NAME"]:
            charset = f"CHARACTER SET {row['CHARACTER_SET_NAME']} COLLATE {row['COLLATION_NAME']}"
        tables.setdefault(str(row["TABLE_NAME"]), {})[str(row["COLUMN_NAME"])] = Column(
            str(row["COLUMN_NAME"]),
            str(row["COLUMN_TYPE"]),
            nullable=row["IS_NULLABLE"] == "YES",
            default=None if default is None or str(default).upper() == "NULL" else str(default),
            increments="auto_increment" in extra,
            extra=extra.replace("auto_increment", "").strip(),
            charset=charset,
            comment=str(row["COLUMN_COMMENT"] or ""),
        )
    return tables


def lossy_rows(have: str, want: str, column: str) -> str | None:
    """How a column of type `have` becomes one of type `want`: the condition of the rows that would lose something.

    "" when no row can; None when the types have nothing in common.
    """
    old, new = _kind(have), _kind(want)
    if old == new:
        return ""
    if old[0] != new[0] or old[0] not in ("integer", "text", "blob"):
        return None
    name = quoted(column)
    if old[0] == "integer":
        return "" if new[1] <= old[1] and old[2] <= new[2] else f"{name} < {new[1]} OR {name} > {new[2]}"
    if old[2] <= new[2]:
        return ""
    return f"{'CHAR_LENGTH' if old[0] == 'text' else 'LENGTH'}({name}) > {new[2]}"


def holds(have: str, want: str) -> bool:
    """A column of type `have` takes every value that the engine expects of type `want`."""
    return lossy_rows(want, have, "c") == ""


def _kind(sql: str) -> tuple[Any, ...]:
    """Family, least, and greatest value (or length); of other types the type itself, normalised."""
    match = _TYPE.fullmatch(sql.strip())
    name, size, unsigned = (match.group(1).lower(), match.group(2), bool(match.group(3))) if match else (sql.lower(), None, False)
    if name in _INTEGERS:
        bits = _INTEGERS[name]
        return ("integer", 0, 2**bits - 1) if unsigned else ("integer", -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if name in ("char", "varchar"):
        return ("text", 0, int(size or 1))
    for family, sizes in (("text", _TEXTS), ("blob", _BLOBS)):
        if name in sizes:
            return (family, 0, min(room for room in sizes.values() if room >= int(size)) if size else sizes[name])
    return (name, re.sub(r"\s", "", size or ""), unsigned)


def same_default(one: Column, other: Column) -> bool:
    """1 and '1' are one default of a CHAR, 1.0 and 1.00 one of a FLOAT."""
    if one.default is None or other.default is None:
        return one.default is other.default
    left, right = (_unquoted(column.default or "") for column in (one, other))
    try:
        return left == right or (_kind(one.type)[0] not in ("text", "blob") and Decimal(left) == Decimal(right))
    except InvalidOperation:
        return False


def _unquoted(sql: str) -> str:
    return sql[1:-1].replace("''", "'") if sql.startswith("'") else sql
