"""The analyzer's cost ledger as the API answers it: sums by class, and the parts page by page; and its waste pins.

In: a cursor and which run. Out: :class:`~.models.Ledger`, and the JSON of the waste pins. Apart from :mod:`.computed`
because it brings polars, which a sidecar that has just started need not load before it can answer.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from trimtab_analyzer.case import Case
from trimtab_analyzer.cost import by_class
from trimtab_analyzer.waste import waste

from . import models, paging, reads

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from trimtab_analyzer.waste import By
    from trimtab_tracer.prices import PriceList


def read_ledger(con: duckdb.DuckDBPyConnection, run_id: str | None, prices: PriceList | None) -> pl.DataFrame:
    """The ledger of one run or of all; ``con`` is inside a transaction.

    Raises:
        LookupError: there is no such run.
    """
    if run_id is not None and not reads.runs(con, run_ids=[run_id], limit=1):
        raise LookupError(run_id)
    return Case.load(con, None if run_id is None else [run_id], prices).ledger


def read_waste(con: duckdb.DuckDBPyConnection, by: By, run_id: str | None, prices: PriceList | None) -> dict[str, Any]:
    """The waste pins of one run or of all, as JSON; ``con`` is inside a transaction.

    Raises:
        LookupError: there is no such run.
    """
    if run_id is not None and not reads.runs(con, run_ids=[run_id], limit=1):
        raise LookupError(run_id)
    return waste(con, by, None if run_id is None else [run_id], prices).as_json()


def page(frame: pl.DataFrame, p: paging.LedgerParameters) -> models.Ledger:
    """A page of a ledger; the classes sum to the total exactly, whatever page of the parts is shown."""
    shown = frame.slice(p.offset, p.limit)
    end = p.offset + shown.height
    parts = [
        models.LedgerPart.model_validate(row | {"value": None if row["value"] is None else json.loads(row["value"])})
        for row in shown.iter_rows(named=True)
    ]
    return models.Ledger(
        total_musd=int(frame["cost_musd"].sum()),
        classes=[models.LedgerClass.model_validate(row) for row in by_class(frame).iter_rows(named=True)],
        parts=models.Page[models.LedgerPart](
            items=parts, total=frame.height, next=paging.encode(end) if parts and end < frame.height else None
        ),
    )
