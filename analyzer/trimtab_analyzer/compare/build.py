"""One comparison: shares of variance, harness gaps, the frontier, and of a store its scorecard and knobs.

In: a :class:`~.table.Table`, and for a store the connection. Out: a :class:`Comparison`, which prints as text or JSON.
Apart from the parts because each of them can be asked alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab_tracer.prices import PriceList

from ..ask import Connection
from ..effects import TRUSTED, Comparisons, compare_values, read_units
from ..statistics import Floats
from .columns import ColumnError
from .frontier import LEAST_RUNS, Frontier, cost_frontier
from .gap import Gap, harness_gaps
from .scorecard import Score, scorecard
from .shares import MOST_FACTORS, Shares, variance_shares
from .table import Table


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that was compared."""

    source: str
    rows: int
    runs: int
    columns: dict[str, str]
    """Which column plays which part."""
    levels: dict[str, int]
    """Number of levels of each factor."""
    means: dict[str, dict[str, float]]
    """By measure its ``mean`` over the ``runs`` of which it is known."""
    shares: tuple[Shares, ...]
    gaps: tuple[Gap, ...]
    frontier: Frontier | None
    notes: tuple[str, ...]
    scores: tuple[Score, ...] = ()
    knobs: Comparisons | None = None
    """Of a store: every comparison of two values of a knob."""

    def as_json(self) -> dict[str, Any]:
        """As plain JSON values; docs/compare.md says what the keys mean."""
        return {
            "source": self.source,
            "rows": self.rows,
            "runs": self.runs,
            "columns": self.columns,
            "levels": self.levels,
            "means": self.means,
            "shares": {one.measure: one.as_json() for one in self.shares},
            "gaps": [gap.as_json() for gap in self.gaps],
            "frontier": self.frontier.as_json() if self.frontier else None,
            "scorecard": [score.as_json() for score in self.scores],
            "knobs": self.knobs.as_json() if self.knobs else None,
            "notes": list(self.notes),
        }


def compare(
    table: Table,
    con: Connection | None = None,
    *,
    sources: Sequence[str] = TRUSTED,
    prices: PriceList | None = None,
    quality_share: float = 0.8,
    cost_share: float = 0.3,
    raw: bool = False,
    seed: int = 0,
) -> Comparison:
    """Compare.

    Args:
        table: the runs.
        con: the store they are from, for the scorecard and the knobs; None for a file.
        sources: of outcomes that count, for the scorecard and the knobs.
        prices: for the scorecard's ledger (:func:`~..cost.ledger`).
        quality_share: see :func:`~.frontier.cost_frontier`.
        cost_share: likewise.
        raw: shares of cost and latency themselves, and not of their logarithms.
        seed: of the bootstraps.

    Raises:
        ColumnError: there are too many factors.
    """
    if len(table.factors) > MOST_FACTORS:
        names = ", ".join(table.factors)
        raise ColumnError(
            f"At most {MOST_FACTORS} factors can be told apart at once, got {names}; name fewer with --by."
        )
    notes = list(table.notes)
    shares = [_shares(table, measure, raw, seed, notes) for measure in table.measures]
    gaps = harness_gaps(table, np.random.default_rng(seed))
    frontier = cost_frontier(table, quality_share, cost_share, np.random.default_rng(seed))
    notes += _not_compared(table, is_gapless=not gaps, is_frontierless=frontier is None)
    return Comparison(
        source=table.source,
        rows=len(table.trials),
        runs=int(table.trials.sum()),
        columns=table.columns,
        levels={name: len(levels) for name, levels in table.levels.items()},
        means=_means(table),
        shares=tuple(one for one in shares if one is not None),
        gaps=tuple(gaps),
        frontier=frontier,
        notes=tuple(notes),
        scores=tuple(scorecard(con, sources, prices)) if con is not None else (),
        knobs=compare_values(read_units(con, sources)) if con is not None else None,
    )


def _means(table: Table) -> dict[str, dict[str, float]]:
    found = {}
    for measure, values in table.measures.items():
        known = np.isfinite(values)
        if known.any():
            mean = float(np.average(values[known], weights=table.trials[known]))
            found[measure] = {"mean": mean, "runs": int(table.trials[known].sum())}
    return found


def _not_compared(table: Table, *, is_gapless: bool, is_frontierless: bool) -> Iterator[str]:
    """Why a part of the comparison is missing, and what it would take."""
    single = [f"{name} ({levels[0]})" for name, levels in table.levels.items() if len(levels) == 1]
    if single:
        yield f"All rows have the same {', '.join(single)}; what comes with that can't be said without another one."
    if list(table.levels) == ["task"]:
        yield "Only tasks differ here; name the column that tells harnesses or models apart with --harness or --model."
    if is_gapless and len(table.levels.get("harness", ())) > 1 and "success" in table.measures:
        yield f"No harness gap: no model has {LEAST_RUNS} runs of known success in each of two harnesses."
    if (
        is_frontierless
        and {"success", "cost"} <= table.measures.keys()
        and len(table.levels) > ("task" in table.levels)
    ):
        yield f"No frontier: it takes two configurations with {LEAST_RUNS} runs of known success and cost each."


def _shares(table: Table, measure: str, raw: bool, seed: int, notes: list[str]) -> Shares | None:
    values: Floats = table.measures[measure]
    known = np.isfinite(values)
    scale = "share" if measure == "success" else "raw" if raw else "log"
    if scale == "log":
        free = known & (np.where(known, values, 1.0) <= 0)
        if free.any():
            notes.append(
                f"{int(free.sum())} rows with a {measure} of 0 have no logarithm; how it varies is of the others."
            )
        known &= ~free
        values = np.log(np.where(known, values, 1.0))
    if known.sum() < 3:
        notes.append(f"{measure} is known of fewer than 3 rows, so its variation is not split.")
        return None
    return variance_shares(
        values[known],
        {name: levels[known] for name, levels in table.factors.items()},
        table.clusters()[known],
        # Of success the runs within a row are known one by one; of the mean cost of a row only that one number is.
        trials=table.trials[known] if measure == "success" else None,
        measure=measure,
        scale=scale,
        rng=np.random.default_rng(seed),
    )
