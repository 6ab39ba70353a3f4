"""Rows of the control's tables in and out: JSON columns are values here and text in the database.

In: a connection and plain mappings. Out: the same. Apart from the tables' own modules because all of them need it,
and from :mod:`trimtab_tracer.store`, whose ways are made for thousands of rows at a time. A table or a column that is
not there raises DuckDB's own error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trimtab_tracer.ingest_rows import json_text

from ..reads import Row, fetch

if TYPE_CHECKING:
    import duckdb

_JSON: Final = frozenset(
    {"arms", "document", "evidence", "expected", "figures", "from_value", "match", "spec", "state", "to_value"}
    | {"verdict", "weights"}
)
"""Columns that hold JSON, in all tables of the control."""


def insert(con: duckdb.DuckDBPyConnection, table: str, row: Row) -> None:
    """Add one row."""
    names = ", ".join(row)
    con.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", _encoded(row))


def update(con: duckdb.DuckDBPyConnection, table: str, key: str, value: str, row: Row) -> None:
    """Set the columns of ``row`` where ``key`` is ``value``."""
    sets = ", ".join(f"{name} = ?" for name in row)
    con.execute(f"UPDATE {table} SET {sets} WHERE {key} = ?", [*_encoded(row), value])


def one(con: duckdb.DuckDBPyConnection, table: str, key: str, value: str | int) -> Row | None:
    """The row whose ``key`` is ``value``."""
    known = sound(value) if isinstance(value, str) else value
    found = fetch(con, f"SELECT * FROM {table} WHERE {key} = $value", value=known)
    return found[0] if found else None


def sound(text: str) -> str:
    """``text`` without lone surrogates, which no database takes."""
    return text.encode("utf-8", "replace").decode()


def _encoded(row: Row) -> list[Any]:
    return [
        json_text(value) if name in _JSON else sound(value) if isinstance(value, str) else value
        for name, value in row.items()
    ]
