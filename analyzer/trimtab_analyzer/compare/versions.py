"""What each version of the harness came to: success, cost and time, one row per version.

In: a frame of runs as :func:`~.table.read_store` reads them, with their starts. Out: one :class:`Version` each, in the
order of their first runs. Apart from the scorecard, which judges the harness by what it did: this is what came of it.
Versions ran at different times and on different tasks, so what differs between them is an association.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import stats  # type: ignore[import-untyped]

from ..statistics import wilson
from .scorecard import UNNAMED


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the harness."""

    version: str
    runs: int
    first_ns: int
    last_ns: int
    judged: int
    """Runs of known outcome."""
    succeeded: int
    success_low: float | None
    """95 %, Wilson's; None where no outcome is known."""
    success_high: float | None
    priced: int
    """Runs of known cost."""
    cost_musd: float | None
    """Mean of those."""
    cost_low: float | None
    """95 % of the mean, by Student's t; None of fewer than two runs."""
    cost_high: float | None
    latency_s: float | None
    """Median from a run's start to its end."""

    def as_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def versions(runs: pl.DataFrame) -> list[Version]:
    """The versions among these runs.

    Args:
        runs: One row per run, with ``harness`` (NULL where it named none), ``started_ns``, ``success`` and ``cost_usd``
            (NULL where unknown) and ``duration_s``.
    """
    named = runs.sort("started_ns").with_columns(pl.col("harness").fill_null(UNNAMED))
    return [_version(str(key[0]), group) for key, group in named.group_by("harness", maintain_order=True)]


def _version(name: str, runs: pl.DataFrame) -> Version:
    outcomes = runs["success"].drop_nulls()
    succeeded = int(outcomes.sum())
    share = wilson(succeeded, len(outcomes)) if len(outcomes) else None
    cost = runs["cost_usd"].drop_nulls().to_numpy() * 1e6
    mean = float(cost.mean()) if len(cost) else None
    half = None
    if mean is not None and len(cost) > 1:
        half = float(stats.t.ppf(0.975, len(cost) - 1) * cost.std(ddof=1) / np.sqrt(len(cost)))
    latency = runs["duration_s"].median()
    return Version(
        version=name,
        runs=runs.height,
        first_ns=int(runs["started_ns"][0]),
        last_ns=int(runs["started_ns"][-1]),
        judged=len(outcomes),
        succeeded=succeeded,
        success_low=share.low if share else None,
        success_high=share.high if share else None,
        priced=len(cost),
        cost_musd=mean,
        cost_low=None if mean is None or half is None else max(0.0, mean - half),
        cost_high=None if mean is None or half is None else mean + half,
        latency_s=float(latency) if isinstance(latency, int | float) else None,
    )
