"""Runs one file of ``queries/`` and checks the shape of its answer.

In: a DuckDB connection or cursor onto the store, a question, its parameters. Out: a polars frame with exactly the
columns and types asked for. A store that lacks a table or column, or answers in another type, stops the analysis with
a :class:`~trimtab_tracer.errors.StoreError`: a finding from a misread column would be worse than none.

Apart from :mod:`.load` for a reason of DuckDB's: where the store lacks a table, DuckDB takes a variable of that name
from the module that runs the query, so no name here may be that of a table.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import resources
from typing import Any

import duckdb
import polars as pl

from trimtab_tracer.errors import StoreError

Connection = duckdb.DuckDBPyConnection
Schema = dict[str, Any]
"""Column names and polars types, in order."""


@cache
def _text(question: str) -> str:
    return (resources.files(__package__) / "queries" / f"{question}.sql").read_text(encoding="utf-8")


def ask(con: Connection, question: str, schema: Schema, /, **parameters: Any) -> pl.DataFrame:
    """The answer of ``queries/<question>.sql``, with exactly the columns and types of ``schema``.

    Raises:
        StoreError: the store lacks a table or column that the query names, or a type differs.
    """
    try:
        frame: pl.DataFrame = con.sql(_text(question), params=parameters).pl()
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise StoreError(
            f"The store can't answer {question!r}: {str(error).partition(chr(10))[0]} It is not one of this version;"
            " open it once with this version's `trimtab up`, which brings it up to date."
        ) from error
    if dict(frame.schema) != schema:
        seen = ", ".join(f"{name} {kind}" for name, kind in frame.schema.items() if schema.get(name) != kind)
        missing = ", ".join(name for name in schema if name not in frame.schema)
        raise StoreError(
            f"The store's answer to {question!r} has the unexpected columns [{seen}] and lacks [{missing}]."
            " Its tables were changed by hand or by another version; use the trimtab that made it."
        )
    return frame


@contextmanager
def snapshot(con: Connection) -> Iterator[Connection]:
    """One transaction around several questions, so that a collector writing meanwhile can't tear them apart.

    A transaction that the caller already holds is used as it is and left open.
    """
    # A second BEGIN would abort the open transaction, so it can not be used to ask. Outside of one, each statement is
    # a transaction of its own, with a number of its own.
    first, second = (con.execute("SELECT txid_current()").fetchall() for _ in range(2))
    if first == second:
        yield con
        return
    con.begin()
    try:
        yield con
    except BaseException:
        with suppress(duckdb.Error):  # the first error is the one to report
            con.rollback()
        raise
    con.commit()
