"""Comparison of two values that nobody drew: within strata in which both occurred, and no claim beyond that.

In: arrays of outcomes, which of the two values, strata, clusters. Out: a :class:`Contrast` with its interval and
p-value. A module of its own because nothing of it leans on propensities: what it finds is an association, and whatever
else differs within a stratum between runs with one value and runs with the other is in it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

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
    clusters beyond strata, less one.

    Where outcomes of each value are all equal that variance is 0 and says nothing. Shares then have the interval of
    :func:`~..statistics.newcombe` on the counts and Fisher's exact test, other outcomes no bounds.
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
    freedom = max(1, len(scores) - strata - 1)
    counts = int((x == 0).sum()), int(x.sum())
    means = float(y[x == 0].mean()), float(y[x == 1].mean())
    low, high, p = _interval(slope, se, freedom, counts, means, is_share)
    return Contrast(slope, low, high, p, *counts, strata, left_out, *means)


def _by_stratum(values: Floats, stratum: Ints) -> Floats:
    """Each unit's sum over its stratum."""
    return cluster_sums(values, stratum)[stratum]


def _interval(
    slope: float, se: float, freedom: int, counts: tuple[int, int], means: tuple[float, float], is_share: bool
) -> tuple[float, float, float]:
    if se > 1e-12:
        half = float(stats.t.ppf(0.975, freedom)) * se
        p = float(2 * stats.t.sf(abs(slope) / se, freedom))
        bounds = (slope - half, slope + half)
        return (max(-1.0, bounds[0]), min(1.0, bounds[1]), p) if is_share else (*bounds, p)
    if not is_share:
        return -float("inf"), float("inf"), 1.0
    hits = [round(n * mean) for n, mean in zip(counts, means, strict=True)]
    found = newcombe(hits[0], counts[0], hits[1], counts[1])
    table = [[hit, n - hit] for hit, n in zip(hits, counts, strict=True)]
    return min(found.low, slope), max(found.high, slope), float(stats.fisher_exact(table).pvalue)
