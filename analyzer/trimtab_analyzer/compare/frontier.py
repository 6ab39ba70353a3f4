"""Cost against quality: which configurations no other one beats, and what so much quality at so little cost would need.

In: a :class:`~.table.Table`. Out: a :class:`Frontier`: every configuration (a harness with a model; without these the
other factors but the task) with its mean success and cost, their intervals, how surely it is on the frontier, and the
answer to a question such as "80 % of the quality at 30 % of the cost". A module of its own because it is about two
measures at once.

A configuration is on the frontier if none other is at least as good and at least as cheap, and better in one. Means are
over the runs that the configuration had; where it had other tasks than its rivals, that is in them. Success is that of
all runs with a known one and cost that of all with a known one: a failure of unknown cost is still a failure. How many
have no known cost is told.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from ..statistics import Floats, Ints, codes, number
from .table import Table

LEAST_RUNS: Final = 5
"""Runs below which a configuration is left out."""
REWEIGHTINGS: Final = 1000
"""Draws of the bootstrap."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """One harness with one model."""

    name: str
    runs: int
    quality: float
    quality_low: float
    quality_high: float
    cost: float
    cost_low: float
    cost_high: float
    unknown_cost: int
    """Runs of which success is known and cost is not: they are in ``quality`` and not in ``cost``."""
    on_frontier: bool
    frontier_share: float
    """Share of bootstrap draws in which it is on the frontier."""
    meets: bool
    """Reaches the asked share of the best quality within the asked share of its cost."""
    meets_share: float
    """Share of bootstrap draws in which it does."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """All configurations, the best first, and the answer to the question."""

    configurations: tuple[Configuration, ...]
    reference: str
    """The best configuration, whose quality and cost count as 100 %."""
    quality_share: float
    cost_share: float
    answer: str
    cheapest: str | None
    """The cheapest one that keeps the asked share of the quality."""
    cheapest_cost_share: float | None
    mix: dict[str, float]
    """Share of the runs for each of at most two configurations, to have the most quality within the asked cost."""
    mix_quality_share: float
    left_out: tuple[str, ...]
    """Configurations of which fewer than 5 runs have a known success, or a known cost."""

    def as_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        said = asdict(self) | {"configurations": [asdict(one) for one in self.configurations]}
        return said | {"cheapest_cost_share": number(self.cheapest_cost_share)}


def cost_frontier(
    table: Table, quality_share: float = 0.8, cost_share: float = 0.3, rng: np.random.Generator | None = None
) -> Frontier | None:
    """The frontier of success and cost; None where the table lacks one of them, or no two configurations compare.

    Args:
        table: the runs.
        quality_share: share of the best configuration's success that is asked for.
        cost_share: share of its cost that may be spent.
        rng: for the bootstrap; seeded with 0 if None.
    """
    names: list[str] = [name for name in ("harness", "model") if name in table.factors]
    names = names or [name for name in table.factors if name != "task"]
    if not names or not {"success", "cost"} <= table.measures.keys():
        return None
    labels = [" / ".join(table.levels[name][table.factors[name][row]] for name in names) for row in range(len(table))]
    found, config = np.unique(labels, return_inverse=True)
    known = {name: np.isfinite(table.measures[name]) for name in ("success", "cost")}
    runs = {name: np.bincount(config, weights=table.trials * one).astype(np.float64) for name, one in known.items()}
    kept = np.flatnonzero((runs["success"] >= LEAST_RUNS) & (runs["cost"] >= LEAST_RUNS))
    if len(kept) < 2:
        return None
    rows = np.flatnonzero(np.isin(config, kept))
    place = np.searchsorted(kept, config[rows])
    quality, costs = _means(table, rows, place, len(kept), rng or np.random.default_rng(0))
    unknown = np.bincount(config, weights=table.trials * (known["success"] & ~known["cost"])).astype(np.float64)
    return _frontier(
        [str(one) for one in found[kept]],
        _Counts(runs["success"][kept], unknown[kept]),
        quality,
        costs,
        (quality_share, cost_share),
        tuple(str(one) for one in np.delete(found, kept)),
    )


class _Counts(NamedTuple):
    runs: Floats
    unknown_cost: Floats


def _means(table: Table, rows: Ints, place: Ints, size: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Mean success and cost per configuration: first row of the data, then one row per reweighting of the clusters.

    Of each measure the rows that have it.
    """
    clusters = codes(table.clusters()[rows])
    trials = table.trials[rows].astype(np.float64)
    g = int(clusters.max()) + 1
    draws = int(np.clip(REWEIGHTINGS * 50_000 / len(rows), 100, REWEIGHTINGS))
    quality, costs = np.empty((draws + 1, size)), np.empty((draws + 1, size))
    measured = [(quality, table.measures["success"][rows]), (costs, table.measures["cost"][rows])]
    known = [np.isfinite(values) for _, values in measured]
    for draw in range(draws + 1):
        weights = trials if draw == 0 else trials * rng.exponential(size=g)[clusters]
        for (means, values), has in zip(measured, known, strict=True):
            total = np.bincount(place[has], weights=weights[has], minlength=size)
            means[draw] = np.bincount(place[has], weights=weights[has] * values[has], minlength=size) / total
    if table.is_aggregate and table.columns.get("task") is None:  # luck within a row, which weights of rows don't show
        n = np.bincount(place[known[0]], weights=trials[known[0]], minlength=size)
        noise = np.sqrt(quality[0] * (1 - quality[0]) / n)
        quality[1:] = np.clip(quality[1:] + rng.normal(size=(draws, size)) * noise, 0, 1)
    return quality, costs


def on_frontier(quality: Floats, costs: Floats) -> np.ndarray:
    """Which configurations (last axis) no other one beats."""
    better = quality[..., None, :] >= quality[..., :, None]
    cheaper = costs[..., None, :] <= costs[..., :, None]
    strictly = (quality[..., None, :] > quality[..., :, None]) | (costs[..., None, :] < costs[..., :, None])
    return np.asarray(~(better & cheaper & strictly).any(axis=-1))


def _frontier(
    names: list[str],
    counts: _Counts,
    quality: Floats,
    costs: Floats,
    asked: tuple[float, float],
    left_out: tuple[str, ...],
) -> Frontier:
    best = np.argmax(quality, axis=1)
    each = np.arange(len(quality))
    enough = quality >= asked[0] * quality[each, best][:, None]
    meets = enough & (costs <= asked[1] * costs[each, best][:, None])
    undominated = np.array([on_frontier(q, c) for q, c in zip(quality, costs, strict=True)])
    bounds = [np.quantile(x[1:], [0.025, 0.975], axis=0) for x in (quality, costs)]
    order = np.lexsort((costs[0], -quality[0]))
    configurations = tuple(
        Configuration(
            names[i],
            int(counts.runs[i]),
            float(quality[0, i]),
            float(bounds[0][0, i]),
            float(bounds[0][1, i]),
            float(costs[0, i]),
            float(bounds[1][0, i]),
            float(bounds[1][1, i]),
            int(counts.unknown_cost[i]),
            bool(undominated[0, i]),
            float(undominated[1:, i].mean()),
            bool(meets[0, i]),
            float(meets[1:, i].mean()),
        )
        for i in order
    )
    top = int(order[0])
    keeps = np.flatnonzero(enough[0])
    cheapest = int(keeps[np.argmin(costs[0, keeps])])
    mix, mixed = best_mix(quality[0], costs[0], asked[1] * float(costs[0, top]))
    mix_share = mixed / float(quality[0, top]) if quality[0, top] > 0 else 0.0
    cost_of_cheapest = float(costs[0, cheapest] / costs[0, top]) if costs[0, top] > 0 else None
    named = {names[i]: share for i, share in mix.items()}
    answer = _answer(configurations, asked, names[cheapest], cost_of_cheapest, named, mix_share)
    return Frontier(
        configurations, names[top], *asked, answer, names[cheapest], cost_of_cheapest, named, mix_share, left_out
    )


def best_mix(quality: Floats, costs: Floats, budget: float) -> tuple[dict[int, float], float]:
    """The most quality per run within a mean cost: shares of at most two configurations, and that quality.

    Sending a share of the runs to one and the rest to another reaches every point between them, so the best is on the
    upper hull; of a linear programme with one budget two values suffice.
    """
    affordable = np.flatnonzero(costs <= budget)
    if not len(affordable):
        cheapest = int(np.argmin(costs))
        return {}, 0.0 if costs[cheapest] > budget else float(quality[cheapest])
    one = int(affordable[np.argmax(quality[affordable])])
    shares, most = {one: 1.0}, float(quality[one])
    for cheap in affordable:
        for dear in np.flatnonzero(costs > budget):
            share = float((budget - costs[cheap]) / (costs[dear] - costs[cheap]))
            reached = float(share * quality[dear] + (1 - share) * quality[cheap])
            if reached > most:
                shares, most = {int(dear): share, int(cheap): 1 - share}, reached
    return shares, most


def _answer(
    configurations: tuple[Configuration, ...],
    asked: tuple[float, float],
    cheapest: str,
    cost_share: float | None,
    mix: dict[str, float],
    mix_share: float,
) -> str:
    question = f"{asked[0]:.0%} of the quality at {asked[1]:.0%} of the cost of {configurations[0].name}"
    met = sorted((one for one in configurations if one.meets), key=lambda one: -one.meets_share)
    if met:
        surely = f"{met[0].name} ({met[0].meets_share:.0%} of the draws agree)"
        return f"{question}: {surely}" + (f", and {len(met) - 1} more." if len(met) > 1 else ".")
    if cost_share is None:
        return f"{question}: the best configuration cost nothing, so there is nothing to save."
    keeps = f"{cheapest} keeps the quality at {cost_share:.0%} of the cost"
    if not mix:
        return f"{question}: none does, and nothing is that cheap; {keeps}."
    parts = " and ".join(f"{share:.0%} of the runs to {name}" for name, share in mix.items())
    verdict = (
        "does"
        if mix_share >= asked[0]
        else f"reaches {mix_share:.0%} of the quality within the cost, the most there is"
    )
    return f"{question}: none does by itself; sending {parts} {verdict}; {keeps}."
