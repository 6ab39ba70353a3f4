"""The harness gap: how far apart the best and the worst harness are with the same model, and why.

In: a :class:`~.table.Table`. Out: one :class:`Gap` per model that ran in several harnesses. A module of its own because
the best and the worst are chosen by looking at the data, and each number here takes that into account.

The best of several looks better than it is, and the worst worse (the winner's curse). So the plain difference is told
with an interval that holds for all pairs of harnesses at once, and therefore for the pair that was chosen; and beside
it stands ``corrected``, for which one half of the data chooses and the other half measures.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from ..statistics import Floats, Ints, codes, number
from .table import LEAST_TASKS, Table

LEAST_RUNS: Final = 5
"""Runs below which a harness is not ranked."""
SPLITS: Final = 100
"""Random halvings that ``corrected`` is the mean of."""
DRAWS: Final = 4000
"""Draws for the simultaneous interval."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Best against worst harness with one model."""

    model: str
    harnesses: int
    best: str
    worst: str
    best_mean: float
    worst_mean: float
    best_runs: int
    worst_runs: int
    difference: float
    low: float
    """95 %, for all pairs of harnesses at once."""
    high: float
    ratio: float | None
    """Best over worst; None where the worst never succeeded."""
    ratio_low: float | None
    ratio_high: float | None
    corrected: float
    """The difference between those that one half of the data calls best and worst, in the other half."""
    shared_tasks: int | None
    """Tasks that all of the harnesses ran, and to which the comparison is limited; None where they share too few."""
    never_started: float | None
    """Part of ``difference`` that comes from runs in which the agent never made a call; None where not known."""

    def as_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {name: number(value) if isinstance(value, float) else value for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """Sums per cluster (rows) and harness (columns)."""

    hits: Floats
    runs: Floats
    names: list[str]
    is_aggregate: bool

    def means(self) -> Floats:
        return np.asarray(self.hits.sum(axis=0) / self.runs.sum(axis=0))

    def covariance(self) -> Floats:
        """Of the means: robust to dependence within clusters, and never as if chance had no part.

        The robust covariance is 0 where all clusters came out alike, and so is that of a difference where two harnesses
        succeeded on just the same tasks. Each variance is therefore at least that of as many single runs with one
        success and one failure more (A. Agresti and B. Caffo, "Simple and effective confidence intervals for
        proportions and differences of proportions result from adding two successes and two failures", The American
        Statistician 54 (2000), 280-288); and the variance of each difference has that of half a cluster more that
        speaks for one and half a cluster that speaks for the other, ``1 / (G + 2)²`` (A. Agresti and Y. Min, "Simple
        improved confidence intervals for comparing matched proportions", Statistics in Medicine 24 (2005), 729-740).
        """
        n = self.runs.sum(axis=0)
        influence = (self.hits - self.runs * self.means()) / n
        g = len(influence)
        found = influence.T @ influence * (g / (g - 1) if g > 1 else 1.0)
        share = (self.hits.sum(axis=0) + 1) / (n + 2)
        least = np.maximum(np.diag(found), share * (1 - share) / (n + 2))
        np.fill_diagonal(found, least + 0.5 / (self.clusters() + 2) ** 2)
        return np.asarray(found)

    def clusters(self) -> Floats:
        """Clusters with each harness; of rows that stand for many runs, which are one cluster each: the runs."""
        return np.asarray(np.where(self.is_aggregate, self.runs.sum(axis=0), (self.runs > 0).sum(axis=0)))

    def freedom(self) -> float:
        """Degrees of freedom of a variance of any two of them."""
        return float(max(1.0, self.clusters().min() - 1))


def harness_gaps(table: Table, rng: np.random.Generator | None = None) -> list[Gap]:
    """The gap in success with each model that ran in several harnesses, the most runs first.

    Without a factor ``model`` all runs are taken as one model's; without ``harness`` or ``success`` there is none.
    """
    if "harness" not in table.factors or "success" not in table.measures:
        return []
    draw = rng or np.random.default_rng(0)
    known = np.isfinite(table.measures["success"])
    models = table.factors.get("model", np.zeros(len(known), dtype=np.int64))
    names = table.levels.get("model", ("all",))
    order = np.argsort(-np.bincount(models, weights=table.trials * known), kind="stable")
    found = [_gap(table, np.flatnonzero(known & (models == model)), names[model], draw) for model in order]
    return [one for one in found if one is not None]


def _gap(table: Table, rows: Ints, model: str, rng: np.random.Generator) -> Gap | None:
    harness = table.factors["harness"]
    runs = np.bincount(harness[rows], weights=table.trials[rows], minlength=len(table.levels["harness"]))
    ranked = np.flatnonzero(runs >= LEAST_RUNS)
    if len(ranked) < 2:
        return None
    rows = rows[np.isin(harness[rows], ranked)]
    rows, shared = _on_shared_tasks(table, rows, ranked)
    cells = _cells(table, rows, ranked)
    means, covariance = cells.means(), cells.covariance()
    order = np.argsort(-means, kind="stable")
    best, worst = int(order[0]), int(order[-1])  # two of them, also where all are equal
    critical = _critical(covariance, cells.freedom(), rng)
    difference = float(means[best] - means[worst])
    half = critical * np.sqrt(max(0.0, _variance(covariance, best, worst)))
    ratio, ratio_low, ratio_high = _ratio(means, covariance, best, worst, critical)
    counts = cells.runs.sum(axis=0)
    return Gap(
        model,
        len(ranked),
        cells.names[best],
        cells.names[worst],
        float(means[best]),
        float(means[worst]),
        int(counts[best]),
        int(counts[worst]),
        difference,
        max(-1.0, difference - float(half)),
        min(1.0, difference + float(half)),
        ratio,
        ratio_low,
        ratio_high,
        _corrected(table, cells, rng),
        shared,
        _never_started(table, rows, int(ranked[best]), int(ranked[worst])),
    )


def _on_shared_tasks(table: Table, rows: Ints, ranked: Ints) -> tuple[Ints, int | None]:
    """Only rows of tasks that all harnesses ran, where there are enough: else easy tasks would make a harness."""
    task = table.factors.get("task")
    if task is None:
        return rows, None
    ran = [set(task[rows[table.factors["harness"][rows] == one]].tolist()) for one in ranked]
    shared = set.intersection(*ran)
    if len(shared) < LEAST_TASKS and shared != set.union(*ran):
        return rows, None
    return rows[np.isin(task[rows], list(shared))], len(shared)


def _cells(table: Table, rows: Ints, ranked: Ints) -> _Cells:
    clusters = codes(table.clusters()[rows])
    column = np.searchsorted(ranked, table.factors["harness"][rows])
    shape = (int(clusters.max()) + 1, len(ranked))
    place = clusters * shape[1] + column
    trials = table.trials[rows].astype(np.float64)
    size = shape[0] * shape[1]
    hits = np.bincount(place, weights=trials * table.measures["success"][rows], minlength=size).astype(np.float64)
    runs = np.bincount(place, weights=trials, minlength=size).astype(np.float64)
    return _Cells(
        hits.reshape(shape), runs.reshape(shape), [table.levels["harness"][one] for one in ranked], table.is_aggregate
    )


def _variance(covariance: Floats, first: int, second: int) -> float:
    return float(covariance[first, first] + covariance[second, second] - 2 * covariance[first, second])


def _critical(covariance: Floats, freedom: float, rng: np.random.Generator) -> float:
    """How many standard errors hold for all pairs at once.

    The .95 quantile of the largest ``|Z_i - Z_j| / se_ij`` for Z normal with this covariance: V. Chernozhukov, D.
    Chetverikov and K. Kato, "Gaussian approximations and multiplier bootstrap for maxima of sums of high-dimensional
    random vectors", Annals of Statistics 41 (2013), 2786-2819. Divided by ``√(χ²_f / f)``, for the variance is
    estimated from few clusters; for equal variances it is Tukey's studentized range.
    """
    h = len(covariance)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    draws = rng.normal(size=(DRAWS, h)) @ root.T / np.sqrt(rng.chisquare(freedom, size=(DRAWS, 1)) / freedom)
    first, second = np.triu_indices(h, 1)
    se = np.sqrt(np.maximum(1e-18, [_variance(covariance, int(i), int(j)) for i, j in zip(first, second, strict=True)]))
    return float(np.quantile(np.abs((draws[:, first] - draws[:, second]) / se).max(axis=1), 0.95))


def _ratio(
    means: Floats, covariance: Floats, best: int, worst: int, critical: float
) -> tuple[float | None, float | None, float | None]:
    """Best over worst, with the interval of its logarithm by the delta method."""
    if means[worst] <= 0:
        return None, None, None
    gradient = np.zeros(len(means))
    gradient[best], gradient[worst] = 1 / means[best], -1 / means[worst]
    half = critical * np.sqrt(max(0.0, float(gradient @ covariance @ gradient)))
    ratio = float(means[best] / means[worst])
    return ratio, ratio * float(np.exp(-half)), ratio * float(np.exp(half))


def _corrected(table: Table, cells: _Cells, rng: np.random.Generator) -> float:
    """Halve the clusters (of rows that stand for many runs: the runs), choose in one half, measure in the other."""
    found = []
    hits, runs = cells.hits, cells.runs
    for _ in range(SPLITS):
        if table.is_aggregate:
            n = runs.astype(np.int64)
            k = np.minimum(np.rint(hits).astype(np.int64), n)
            one_runs = n // 2
            one_hits = rng.hypergeometric(k, n - k, one_runs)
            halves = [(one_hits.sum(0), one_runs.sum(0)), ((hits - one_hits).sum(0), (n - one_runs).sum(0))]
        else:
            half = rng.permutation(len(hits)) < len(hits) / 2
            halves = [(hits[side].sum(axis=0), runs[side].sum(axis=0)) for side in (half, ~half)]
        if min(float(n.min()) for _, n in halves) < 1:
            continue
        means = [k / n for k, n in halves]
        for choose, measure in (means, means[::-1]):
            found.append(measure[np.argmax(choose)] - measure[np.argmin(choose)])
    return float(np.mean(found)) if found else float("nan")


def _never_started(table: Table, rows: Ints, best: int, worst: int) -> float | None:
    """``(a_b - a_w) · (mean of both of: success when started - success when not)``.

    With a the share that started. E. M. Kitagawa, "Components of a difference between two rates", Journal of the
    American Statistical Association 50 (1955), 1168-1194: the rest of the difference lies between runs that did start.
    """
    if table.started is None:
        return None
    sides = []
    for one in (best, worst):
        mine = rows[table.factors["harness"][rows] == one]
        weights, began = table.trials[mine].astype(np.float64), table.started[mine]
        success = table.measures["success"][mine]
        started = float(np.average(began, weights=weights))
        when = [float(np.average(success[s], weights=weights[s])) if s.any() else None for s in (began, ~began)]
        sides.append((started, when[0], 0.0 if when[1] is None else when[1]))
    gains = [ran - idle for _, ran, idle in sides if ran is not None]
    return (sides[0][0] - sides[1][0]) * float(np.mean(gains)) if gains else 0.0
