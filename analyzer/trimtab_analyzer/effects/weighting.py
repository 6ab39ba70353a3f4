"""Estimates from logged propensities: inverse weights, self-normalised ones, and doubly robust ones.

In: a :class:`~.sample.Sample`, and which two values, or which candidate policy. Out: an :class:`Estimate` per method,
with a standard error that is robust to dependence within clusters, and the rows of the doubly robust one, which
:mod:`.sequences` turns into intervals that hold at any time. Nothing here reads a store.

All intervals of this module are for one look at a number of units that was fixed before. With weights that follow
the outcomes (adaptive assignment) each unit's weight is still right, because its propensity was logged at the draw;
but the interval of the plain methods leans on a normal limit that such weights may lack. Look at the sequences then.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from ..statistics import Floats, cluster_sums, cluster_variance, number
from .sample import Sample

SHRINK: Final = 5.0
"""Past units of a stratum that weigh as much as the mean over all strata in the model of outcomes."""


class Estimate(NamedTuple):
    """A number with its standard error and 95 % interval for one look."""

    estimate: float
    se: float
    low: float
    high: float

    @classmethod
    def of(cls, estimate: float, variance: float, clusters: int) -> Estimate:
        """With Student's t of ``clusters - 1`` degrees of freedom; without bounds where nothing can be said."""
        if clusters < 2 or not np.isfinite(variance):
            return cls(estimate, float("inf"), -float("inf"), float("inf"))
        se = float(np.sqrt(variance))
        half = float(stats.t.ppf(0.975, clusters - 1)) * se
        return cls(estimate, se, estimate - half, estimate + half)

    def as_json(self) -> dict[str, float | None]:
        """Keys ``estimate``, ``se``, ``low``, ``high``; None where unbounded."""
        return {name: number(value) for name, value in self._asdict().items()}


class Scores(NamedTuple):
    """The doubly robust rows, one per cluster in the order of the first draws: each has the estimand as its mean."""

    score: Floats
    bound: Floats
    """No score was further from 0 than this, and that was known before the draw; for outcomes in [0, 1]."""
    weight: Floats
    """How much the row counts: known before the draw, larger where the draw was more even."""


def least_clusters(sample: Sample, arms: tuple[int, ...]) -> int:
    """The number of clusters in which the rarer of these values was drawn."""
    return min(len(np.unique(sample.cluster[sample.value == arm])) for arm in arms)


def ipw(sample: Sample, base: int, other: int) -> Estimate:
    """``other`` minus ``base`` by inverse probability weights: mean of ``(1{A=b}/p - 1{A=a}/p) Y``.

    D. G. Horvitz and D. J. Thompson, "A generalization of sampling without replacement from a finite universe", Journal
    of the American Statistical Association 47 (1952), 663-685. Unbiased, whatever the propensities followed.
    """
    rows = (sample.arm(other) - sample.arm(base)) / sample.propensity * sample.outcome
    estimate = float(rows.mean())
    variance = cluster_variance((rows - estimate) / len(rows), sample.cluster)
    return Estimate.of(estimate, variance, least_clusters(sample, (base, other)))


def arm_mean(sample: Sample, arm: int) -> tuple[float, Floats]:
    """The self-normalised mean outcome under one value, and each unit's influence on it.

    J. Hájek, comment in "Foundations of Statistical Inference", Holt, Rinehart and Winston (1971), 236: ``Σ w Y / Σ w``
    with ``w = 1{A=a} / p``. Consistent, stays in the range of the outcomes, and varies less than :func:`ipw`.
    """
    weights = sample.arm(arm) / sample.propensity
    total = weights.sum()
    mean = float((weights * sample.outcome).sum() / total)
    return mean, weights * (sample.outcome - mean) / total


def snips(sample: Sample, base: int, other: int) -> Estimate:
    """``other`` minus ``base`` by self-normalised weights: the difference of two :func:`arm_mean`.

    A. Swaminathan and T. Joachims, "The self-normalized estimator for counterfactual learning", NIPS 2015; the variance
    is that of the linearised ratio, summed by cluster.
    """
    (first, psi_first), (second, psi_second) = arm_mean(sample, base), arm_mean(sample, other)
    variance = cluster_variance(psi_second - psi_first, sample.cluster)
    return Estimate.of(second - first, variance, least_clusters(sample, (base, other)))


def predicted(sample: Sample, arm: int, prior: float | None) -> Floats:
    """What each unit's outcome under ``arm`` was to be expected to be, from the past alone.

    The mean of earlier units of the same stratum that drew ``arm``, shrunk by :data:`SHRINK` units towards that of
    all strata, and that by one unit towards ``prior`` (or the mean of all earlier units). The own cluster is never
    part of it: this is cross-fitting in the direction of time, so that a score's mean given its past is the estimand.
    """
    n = len(sample)
    everyone = _past(np.arange(n), sample.outcome, sample.first)
    before = np.full(n, prior) if prior is not None else everyone[0] / np.maximum(everyone[1], 1.0)
    drew = np.flatnonzero(sample.value == arm)
    total, count = _past(drew, sample.outcome[drew], sample.first)
    overall = (total + before) / (count + 1.0)
    # One line of places, stratum behind stratum: thousands of strata of a few units are the common case.
    place = sample.stratum * n
    own = np.sort(place[drew] + drew)
    sums, counts = _past(own, sample.outcome[own % n], np.concatenate((place, place + sample.first)))
    total, count = (one[n:] - one[:n] for one in (sums, counts))
    return np.asarray((total + SHRINK * overall) / (count + SHRINK))


def _past(at: np.ndarray, outcome: Floats, before: np.ndarray) -> tuple[Floats, Floats]:
    """Sum and number of the outcomes at the places ``at`` (ascending) that lie before each of ``before``."""
    seen = np.searchsorted(at, before, side="left")
    return np.concatenate(([0.0], np.cumsum(outcome)))[seen], seen.astype(np.float64)


def contrast_scores(sample: Sample, base: int, other: int, *, is_share: bool) -> Scores:
    """The doubly robust rows of ``other`` minus ``base``.

    ``m_b(X) - m_a(X) + 1{A=b} (Y - m_b(X)) / p - 1{A=a} (Y - m_a(X)) / p``: J. M. Robins, A. Rotnitzky and L. P. Zhao,
    "Estimation of regression coefficients when some regressors are not always observed", Journal of the American
    Statistical Association 89 (1994), 846-866. With :func:`predicted` for m, which knows the past alone, the rows are
    martingale differences around the estimand also where the propensities follow earlier outcomes. Outcomes and m
    in [0, 1] keep them within ``1 / floor``. Of a cluster of several units the row is their mean, so clusters count
    alike.
    """
    prior = 0.5 if is_share else None
    m_base, m_other = predicted(sample, base, prior), predicted(sample, other, prior)
    rows = m_other - m_base
    rows += sample.arm(other) * (sample.outcome - m_other) / sample.propensity
    rows -= sample.arm(base) * (sample.outcome - m_base) / sample.propensity
    return by_cluster(sample, rows, 1.0 / sample.floor, is_share)


def by_cluster(sample: Sample, rows: Floats, bound: Floats, is_share: bool) -> Scores:
    """The mean of each cluster's rows, in the order of the clusters' first units."""
    starts, inverse = np.unique(sample.first, return_inverse=True)
    sizes = np.bincount(inverse).astype(np.float64)
    weight = np.sqrt(cluster_sums(sample.floor, inverse) / sizes)
    if not is_share:
        weight[starts == 0] = 0.0  # nothing was known before the first one, of what size outcomes are
    largest = np.zeros(len(starts))
    np.maximum.at(largest, inverse, bound)
    return Scores(cluster_sums(rows, inverse) / sizes, largest, weight)


def weighted_mean(scores: Scores, clusters: int) -> Estimate:
    """The mean of the rows, each with its weight, and what it may be off for one look.

    The weights ``√floor`` are those that steady the variance of a contrast under adaptive assignment: V. Hadad,
    D. A. Hirshberg, R. Zhan, S. Wager and S. Athey, "Confidence intervals for policy evaluation in adaptive
    experiments", Proceedings of the National Academy of Sciences 118 (2021), e2014602118. Where propensities do not
    change they are all equal, and this is the plain mean.
    """
    total = scores.weight.sum()
    if total <= 0 or len(scores.score) < 2:
        return Estimate.of(float(scores.score.mean()) if len(scores.score) else 0.0, float("inf"), 0)
    estimate = float((scores.weight * scores.score).sum() / total)
    psi = scores.weight * (scores.score - estimate) / total
    g = len(psi)
    return Estimate.of(estimate, float(g / (g - 1) * (psi**2).sum()), clusters)


def doubly_robust(sample: Sample, base: int, other: int, *, is_share: bool) -> Estimate:
    """``other`` minus ``base``, doubly robust: :func:`contrast_scores`, then :func:`weighted_mean`."""
    scores = contrast_scores(sample, base, other, is_share=is_share)
    return weighted_mean(scores, least_clusters(sample, (base, other)))
