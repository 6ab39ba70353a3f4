"""Comparison of two values that nobody drew: within strata in which both occurred, and no claim beyond that.

In: arrays of outcomes, which of the two values, strata, clusters. Out: a :class:`Contrast` with its interval and
p-value. A module of its own because nothing of it leans on propensities: what it finds is an association, and whatever
else differs within a stratum between runs with one value and runs with the other is in it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special, stats  # type: ignore[import-untyped]

from ..statistics import Floats, Ints, cluster_sums, newcombe


class Contrast(NamedTuple):
    """Second value minus first within strata."""

    estimate: float
    low: float
    high: float
    p: float
    """Two-sided, of no difference."""
    n_first: int
    n_second: int
    strata: int
    """Strata in which both values occurred."""
    left_out: int
    """Units in strata in which only one did."""
    mean_first: float
    mean_second: float


def contrast(outcome: Floats, is_second: Floats, stratum: Ints, cluster: Ints, *, is_share: bool) -> Contrast | None:
    """The mean difference within strata, or None where no stratum holds both values or only two units are left.

    Strata weigh ``n_1 n_2 / (n_1 + n_2)``: W. G. Cochran, "Some methods for strengthening the common χ² tests",
    Biometrics 10 (1954), 417-451; for shares this is the Mantel-Haenszel risk difference of S. Greenland and
    J. M. Robins, "Estimation of a common effect parameter from sparse follow-up data", Biometrics 41 (1985), 55-68. It
    equals least squares with a constant per stratum, so its variance is that of the scores of that regression, each
    scaled by ``1/√(1 - leverage)`` (J. G. MacKinnon and H. White, "Some heteroskedasticity-consistent covariance matrix
    estimators with improved finite sample properties", Journal of Econometrics 29 (1985), 305-325, HC2) and summed by
    cluster.
    That keeps it right from one large stratum to many pairs. Student's t has as many degrees of freedom as there are
    clusters beyond strata, less one; where that is none, nothing is bounded and the p-value is 1.

    Where outcomes of each value are all equal within each stratum that variance is 0 and says nothing. Shares of
    clusters of one unit then have the interval of :func:`~..statistics.newcombe` and an exact test given the counts
    (Fisher's): in one stratum, and in several that all say the same without exception (:func:`_exact`). Counts of
    strata that differ are never pooled, for that brings back what stratifying took out. All else has no bounds.
    """
    second, total = _by_stratum(is_second, stratum), _by_stratum(np.ones_like(outcome), stratum)
    kept = (second > 0) & (second < total)
    left_out = int((~kept).sum())
    y, x, s = outcome[kept], is_second[kept], np.unique(stratum[kept], return_inverse=True)[1].reshape(-1)
    strata = int(s.max()) + 1 if len(s) else 0
    if len(y) - strata < 1:
        return None
    size = total[kept]
    within_x, within_y = x - second[kept] / size, y - _by_stratum(y, s) / size
    spread = float((within_x**2).sum())
    slope = float((within_x * within_y).sum() / spread)
    residual = within_y - slope * within_x
    leverage = np.minimum(1 / size + within_x**2 / spread, 1 - 1e-9)
    groups = np.unique(cluster[kept], return_inverse=True)[1].reshape(-1)
    scores = cluster_sums(within_x * residual / np.sqrt(1 - leverage), groups)
    se = float(np.sqrt((scores**2).sum()) / spread)
    freedom = len(scores) - strata - 1
    counts = int((x == 0).sum()), int(x.sum())
    means = float(y[x == 0].mean()), float(y[x == 1].mean())
    if se > 1e-12 and freedom >= 1:
        low, high, p = _interval(slope, se, freedom, is_share)
    elif is_share and len(scores) == len(y) and (strata == 1 or abs(slope) > 1 - 1e-9):
        low, high, p = _exact(slope, counts, means, x, s)
    else:
        low, high, p = (-1.0, 1.0, 1.0) if is_share else (-float("inf"), float("inf"), 1.0)
    return Contrast(slope, low, high, p, *counts, strata, left_out, *means)


def _by_stratum(values: Floats, stratum: Ints) -> Floats:
    """Each unit's sum over its stratum."""
    return cluster_sums(values, stratum)[stratum]


def _interval(slope: float, se: float, freedom: int, is_share: bool) -> tuple[float, float, float]:
    half = float(stats.t.ppf(0.975, freedom)) * se
    p = float(2 * stats.t.sf(abs(slope) / se, freedom))
    low, high = slope - half, slope + half
    return (max(-1.0, low), min(1.0, high), p) if is_share else (low, high, p)


def _exact(
    slope: float, counts: tuple[int, int], means: tuple[float, float], x: Floats, stratum: Ints
) -> tuple[float, float, float]:
    """Bounds and p-value where every unit of a value came out alike: one stratum, or several with the same difference.

    Given its counts a stratum of ``n`` units, ``m`` of them with the second value, separates them with probability
    ``1 / C(n, m)`` if the value means nothing; strata are independent.
    """
    hits = [round(n * mean) for n, mean in zip(counts, means, strict=True)]
    found = newcombe(hits[0], counts[0], hits[1], counts[1])
    low, high = min(found.low, slope), max(found.high, slope)
    if abs(slope) < 1e-9:
        return low, high, 1.0
    size, second = np.bincount(stratum), np.bincount(stratum, weights=x)
    log_p = sum(
        -special.gammaln(n + 1) + special.gammaln(m + 1) + special.gammaln(n - m + 1)
        for n, m in zip(size, second, strict=True)
    )
    return low, high, float(min(1.0, 2 * np.exp(log_p)))
