"""Costs computed anew for everything that is in the store: the price list or the user's own prices have changed.

In: a store and the prices now in force. Out: rows of ``attempts`` with provider, cost and price version as ingestion
would write them today, and the calls they belong to. What the provider reported stays and wins as before; tokens, and
everything else that was recorded, are read only. A module of its own because ingestion looks at a batch of records and
this at a whole store. Each batch of calls is one transaction: killed anywhere, some calls have the new prices and the
rest the old ones, and running it again ends the work. A second run changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]

from .ingest_rows import Row, price_attempt
from .prices import PriceList
from .store import Store, arrow_table, execute_for, query

BATCH = 5_000
"""Calls that are looked at, and written, together."""

_PRICED = pa.schema(
    [
        ("attempt_id", pa.string()),
        ("provider", pa.string()),
        ("cost_computed_musd", pa.int64()),
        ("price_version", pa.string()),
        ("cost_musd", pa.int64()),
        ("cost_source", pa.string()),
    ]
)
"""Columns that follow from the prices."""


class Repriced(NamedTuple):
    """What changed. Amounts are sums over all attempts, in micro-USD."""

    attempts: int
    """Looked at."""
    changed: int
    before_musd: int
    after_musd: int
    unpriced_before: int
    """Attempts whose cost was not known."""
    unpriced_after: int


def reprice(store: Store, prices: PriceList, on_batch: Callable[[int], None] = lambda calls: None) -> Repriced:
    """Price every attempt of ``store`` with ``prices``; ``on_batch`` is told how many calls each batch had.

    Raises:
        duckdb.Error: the database failed; the batches before are written.
    """
    attempts = changed = 0
    with closing(store.cursor()) as con:
        before = _sums(con)
    for rows in _batches(store):
        news = []
        for row in rows:
            old = [row[name] for name in _PRICED.names]
            price_attempt(row, prices)
            if old != [row[name] for name in _PRICED.names]:
                news.append(row)
        on_batch(len({row["call_id"] for row in rows}))
        attempts += len(rows)
        changed += len(news)
        if news:
            with store.transaction() as con:
                _write(con, news)
    with closing(store.cursor()) as con:
        after = _sums(con)
    return Repriced(attempts, changed, before[0], after[0], before[1], after[1])


def _batches(store: Store) -> Iterator[list[Row]]:
    """All attempts, those of a call together, in the order of their calls' ids."""
    last = ""
    while True:
        with closing(store.cursor()) as con:
            found = con.execute(
                "SELECT * FROM attempts WHERE call_id IN"
                " (SELECT DISTINCT call_id FROM attempts WHERE call_id > $last ORDER BY call_id LIMIT $batch)",
                {"last": last, "batch": BATCH},
            )
            names = [column[0] for column in found.description or ()]
            rows = [dict(zip(names, values, strict=True)) for values in found.fetchall()]
        if not rows:
            return
        last = max(row["call_id"] for row in rows)
        yield rows


def _write(con: duckdb.DuckDBPyConnection, rows: list[Row]) -> None:
    con.register("repriced", arrow_table(rows, _PRICED))
    sets = ", ".join(f"{name} = new.{name}" for name in _PRICED.names if name != "attempt_id")
    con.execute(f"UPDATE attempts SET {sets} FROM repriced AS new WHERE attempts.attempt_id = new.attempt_id")
    con.unregister("repriced")
    execute_for(con, query("calls"), batch_calls={row["call_id"] for row in rows})


def _sums(con: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    sql = "SELECT coalesce(sum(cost_musd), 0)::BIGINT, count_if(cost_musd IS NULL)::BIGINT FROM attempts"
    ((known, unpriced),) = con.execute(sql).fetchall()
    return known, unpriced
