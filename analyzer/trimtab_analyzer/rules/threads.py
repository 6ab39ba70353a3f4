"""Rows beside the one before them in the same thread (a run, a conversation, a line of code).

In: rows in order of time. Out: the same rows, sorted by thread, and expressions over them. A module of its own
because a window over several text columns takes seconds for a million rows, and each rule would pay for it again for
each column: here the columns are hashed once and neighbours are compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


def threads(rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """``rows`` sorted by ``thread``, the same number for rows alike in ``keys``; within one the order stays."""
    return rows.with_columns(thread=pl.struct(keys).hash()).sort("thread", maintain_order=True)


def before(name: str, n: int = 1) -> pl.Expr:
    """The column ``name`` of the ``n``-th row before in the same thread; NULL where there is none."""
    is_same = pl.col("thread") == pl.col("thread").shift(n)
    return pl.when(is_same).then(pl.col(name).shift(n))
