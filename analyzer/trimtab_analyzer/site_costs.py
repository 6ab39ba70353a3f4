"""Where the money of each calling line went, by class of the ledger.

In: the store, and which runs. Out: one row per line and class; the classes of a line sum to what its calls cost. Apart
from :mod:`.waste`, which names the line that *decided* (a client's constructor, a tool's definition): this names the
line that made the call, which is where people look first.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from trimtab_tracer.prices import PriceList

from . import cost, load
from .load import Connection, RunIds

SITE_COSTS: Final[load.Schema] = {
    "site_id": pl.String,
    "cls": pl.String,
    "cost_musd": pl.Int64,
    "attempts": pl.Int64,
    "unknown": pl.Int64,
}


def site_costs(con: Connection, run_ids: RunIds = None, prices: PriceList | None = None) -> pl.DataFrame:
    """What the calls of each line paid for (:data:`SITE_COSTS`), the dearest class of a line first.

    ``attempts`` with a part in the class; ``unknown`` those of them whose cost is not known, counted as 0.

    Args:
        con: The store.
        run_ids: The runs; None for all.
        prices: The price list (:func:`~.cost.ledger`).

    Raises:
        StoreError: the store is of another version.
    """
    with load.snapshot(con):
        parts = cost.ledger(con, run_ids, prices).drop("site_id")
        places = load.attempts(con, run_ids).select("attempt_id", "site_id")
    found = (
        parts.join(places, on="attempt_id")
        .group_by("site_id", "cls")
        .agg(
            pl.col("cost_musd").sum(),
            attempts=pl.col("attempt_id").n_unique(),
            unknown=pl.col("attempt_id").filter(~pl.col("cost_known")).n_unique(),
        )
    )
    order = ["site_id", "cost_musd", "attempts", "cls"]
    return found.cast(pl.Schema(SITE_COSTS)).sort(order, descending=[False, True, True, False])
