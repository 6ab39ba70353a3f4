"""The harness scorecard: five dimensions, each a stated share in [0, 100], for each version of the harness.

In: the store. Out: one :class:`Score` per version and dimension. A module of its own because it judges the harness by
what it did and not by the outcome alone, with formulas that stay the same from version to version.

Every score is ``100 · Σ_runs k / Σ_runs n``, of the counts that :data:`DIMENSIONS` names. There is no total: five
shares of different things have no sum. A dimension that the recording says nothing about has no score, rather than 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import exp, log, sqrt
from typing import Any, Final

import numpy as np
import polars as pl

from trimtab_tracer.prices import PriceList

from ..ask import Connection, Schema, ask, snapshot
from ..cost import ledger
from ..effects import TRUSTED, read_runs
from ..load import RunIds
from ..statistics import Z_95, Floats, cluster_variance, codes, wilson

FACTS: Final[Schema] = {
    "run_id": pl.String,
    "version": pl.String,
    "calls": pl.Int64,
    "in_window": pl.Int64,
    "has_tools": pl.Boolean,
    "tool_calls": pl.Int64,
    "good_tools": pl.Int64,
    "met_error": pl.Boolean,
    "changed": pl.Boolean,
    "checked": pl.Boolean,
}
UNNAMED: Final = "(no version)"
"""Runs whose harness version was not recorded."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension and its formula."""

    id: str
    formula: str
    unit: str
    """What n counts."""
    hint: str
    """What to do where n is 0."""


DIMENSIONS: Final = (
    Dimension(
        "context",
        "LLM calls that met no context overflow and whose answer no token limit cut, of all LLM calls",
        "calls",
        "no LLM call was recorded",
    ),
    Dimension(
        "tools",
        "tool calls that named an offered tool, had arguments that parse, and did not fail, of those of known fate",
        "tool calls",
        "no tool call was recorded",
    ),
    Dimension(
        "error_recovery",
        "runs with success, of those in which a request or a tool call failed and whose outcome counts",
        "runs",
        "no run with an outcome met an error; tell outcomes with trimtab.outcome(), or see --outcomes",
    ),
    Dimension(
        "verification",
        "runs in which a tool that changes nothing ran well after the last change, of those that changed something",
        "runs",
        "no tool is known to change things; declare them with @trimtab.tool(mutates=True)",
    ),
    Dimension(
        "cost_discipline",
        "USD spent on what the ledger calls useful, of all USD of known cost",
        "USD",
        "no cost is known",
    ),
)
"""The dimensions, in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class Score:
    """One dimension of one version."""

    version: str
    dimension: str
    score: float | None
    """In [0, 100]; None where n is 0."""
    low: float | None
    """95 % interval, for runs that may depend on what is inside them."""
    high: float | None
    n: float
    """What the share is of, in ``unit``."""
    unit: str
    runs: int
    """Runs that count."""

    def as_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def scorecard(
    con: Connection, sources: Sequence[str] = TRUSTED, prices: PriceList | None = None, run_ids: RunIds = None
) -> list[Score]:
    """The scores of every harness version in the store, in the order of the versions' first runs.

    Args:
        con: The store.
        sources: Of outcomes that count.
        prices: For the ledger (:func:`~..cost.ledger`).
        run_ids: The runs that count; None for all.

    Raises:
        StoreError: the store is of another version.
        ValueError: a source is unknown.
    """
    with snapshot(con):
        facts = ask(con, "scorecard", FACTS)
        facts = facts if run_ids is None else facts.filter(pl.col("run_id").is_in(list(run_ids)))
        runs = read_runs(con, sources).select("run_id", "root", "whole", "success")
        parts = ledger(con, run_ids, prices)
    spent = (
        parts.filter("cost_known")
        .group_by("run_id")
        .agg(
            spent=pl.col("cost_musd").sum() / 1e6,
            useful=pl.col("cost_musd").filter(pl.col("cls") == "useful").sum() / 1e6,
        )
    )
    rows = facts.join(runs, on="run_id", how="left").join(spent, on="run_id", how="left")
    own = pl.col("run_id")
    rows = rows.with_columns(
        pl.col("spent", "useful").fill_null(0.0),
        pl.col("version").fill_null(UNNAMED),
        pl.col("root", "whole").fill_null(own),
    )
    # An error in a run inside a run is met by the whole, which has the outcome.
    is_tested = pl.col("met_error").any().over("whole") & (own == pl.col("whole")) & pl.col("success").is_not_null()
    rows = rows.with_columns(is_tested=is_tested, recovered=is_tested & pl.col("success"))
    rows = rows.filter((pl.col("calls") > 0) | pl.col("has_tools") | pl.col("is_tested"))
    found = []
    for key, of_version in rows.group_by("version", maintain_order=True):
        for dimension in DIMENSIONS:
            found.append(_score(str(key[0]), dimension, of_version))
    return found


def _score(version: str, dimension: Dimension, runs: pl.DataFrame) -> Score:
    k, n = (column.cast(pl.Float64).to_numpy() for column in _counts(dimension.id, runs))
    counted = n > 0
    score = low = high = None
    if counted.any():
        score, low, high = (100 * one for one in ratio(k[counted], n[counted], codes(runs["root"].to_numpy()[counted])))
    return Score(version, dimension.id, score, low, high, float(n.sum()), dimension.unit, int(counted.sum()))


def _counts(dimension: str, runs: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    if dimension == "context":
        return runs["in_window"], runs["calls"]
    if dimension == "tools":
        return runs["good_tools"], runs["tool_calls"]
    if dimension == "error_recovery":
        return runs["recovered"], runs["is_tested"]
    if dimension == "verification":
        return runs["checked"] & runs["changed"], runs["changed"]
    return runs["useful"], runs["spent"]


def ratio(k: Floats, n: Floats, clusters: np.ndarray) -> tuple[float, float, float]:
    """``Σ k / Σ n`` with its 95 % interval, for counts that come in clusters.

    The variance is that of the linearised ratio, summed by cluster (W. G. Cochran, "Sampling Techniques", Wiley 1977,
    section 6.4); the interval is made on the logit scale, so that it stays in [0, 1]. Where all of it is 0 or 1, or
    there is one cluster, the interval is Wilson's for as many trials as there are clusters, which errs on the wide
    side.
    """
    share = float(k.sum() / n.sum())
    variance = cluster_variance((k - share * n) / n.sum(), codes(clusters))
    if not 0 < share < 1 or not 0 < variance < float("inf"):
        g = len(np.unique(clusters))
        found = wilson(round(share * g), g)
        return share, min(share, found.low), max(share, found.high)
    half = Z_95 * sqrt(variance) / (share * (1 - share))
    centre = log(share / (1 - share))
    return share, 1 / (1 + exp(-centre + half)), 1 / (1 + exp(-centre - half))
