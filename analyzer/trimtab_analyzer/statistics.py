"""The little statistics that findings and comparisons need: intervals for shares, sums by cluster, many tests at once.

In: counts, or arrays. Out: numbers with an interval, or one answer per test. Apart from the rules, so that each formula
stands beside its source.
"""

from __future__ import annotations

from math import sqrt
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Z_95: Final = 1.959963984540054
"""Standard normal quantile of .975: a two-sided 95 % interval."""


class Interval(NamedTuple):
    """A share and the interval around it, all in [0, 1]."""

    share: float
    low: float
    high: float

    def numbers(self, k: int, n: int) -> dict[str, float]:
        """As evidence: ``hit``, ``of``, ``share``, ``low``, ``high``."""
        return {"hit": k, "of": n, "share": self.share, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        return f"{100 * self.low:.0f}–{100 * self.high:.0f} %"


def wilson(k: int, n: int, z: float = Z_95) -> Interval:
    """Score interval of a binomial share: ``k`` of ``n``.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
    Statistical Association 22 (1927), 209-212: the p for which ``(p̂ - p)² = z² p (1 - p) / n``, that is
    ``(p̂ + z²/2n ± z √(p̂(1-p̂)/n + z²/4n²)) / (1 + z²/n)``. It stays inside [0, 1] and is usable at small n, where
    the textbook ``p̂ ± z√(p̂q̂/n)`` collapses to a point at p̂ = 1.

    Assumes independent trials of one probability. Calls of one run are not independent, so the true coverage is below
    the nominal one where few runs make up the n. It is no correction for looking often or at many tools.

    Args:
        k: successes (here: errors), 0 <= k <= n.
        n: trials; 0 gives the whole range [0, 1] with share 0.
        z: normal quantile; the default gives 95 %.

    Raises:
        ValueError: k or n is negative, or k exceeds n.
    """
    if not 0 <= k <= n:
        raise ValueError(f"a share needs 0 <= k <= n, got k = {k}, n = {n}")
    if n == 0:
        return Interval(0.0, 0.0, 1.0)
    p = k / n
    centre = p + z * z / (2 * n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At k = 0 and k = n one bound is exactly the share; rounding must not push it to the other side.
    return Interval(p, min(p, max(0.0, (centre - half) / scale)), max(p, min(1.0, (centre + half) / scale)))


class Difference(NamedTuple):
    """The difference of two shares, second minus first, and the interval around it, all in [-1, 1]."""

    estimate: float
    low: float
    high: float


def newcombe(k1: int, n1: int, k2: int, n2: int) -> Difference:
    """Interval of the difference of two independent binomial shares: ``k2 / n2 - k1 / n1``.

    R. G. Newcombe, "Interval estimation for the difference between independent proportions: comparison of eleven
    methods", Statistics in Medicine 17 (1998), 873-890, method 10: the Wilson bounds (l, u) of each share are combined,
    ``d - √((p₂-l₂)² + (u₁-p₁)²)`` to ``d + √((u₂-p₂)² + (p₁-l₁)²)``. It stays inside [-1, 1] and has an interval
    of some width also where both shares are 0 or 1.

    Assumes that the trials are independent, also between the two groups. It says how far chance alone may carry the
    difference, and nothing of what else differed between the groups.

    Args:
        k1: successes before, 0 <= k1 <= n1.
        n1: trials before, at least 1.
        k2: successes after.
        n2: trials after, at least 1.

    Raises:
        ValueError: a group is empty, or a count is impossible.
    """
    if not n1 or not n2:
        raise ValueError(f"a difference needs two groups, got n1 = {n1}, n2 = {n2}")
    first, second = wilson(k1, n1), wilson(k2, n2)
    d = second.share - first.share
    below = sqrt((second.share - second.low) ** 2 + (first.high - first.share) ** 2)
    above = sqrt((second.high - second.share) ** 2 + (first.share - first.low) ** 2)
    return Difference(d, max(-1.0, d - below), min(1.0, d + above))


def codes(labels: ArrayLike) -> Ints:
    """Whole numbers from 0 that tell equal labels from different ones, in the order of the labels."""
    given = np.asarray(labels)
    if given.dtype == object:  # texts, which numpy sorts one comparison of Python objects at a time
        return pl.Series(given, dtype=pl.String).rank("dense").cast(pl.Int64).to_numpy() - 1
    _, found = np.unique(given, return_inverse=True)
    return np.asarray(found, dtype=np.int64).reshape(-1)


def cluster_sums(values: Floats, clusters: Ints) -> Floats:
    """The sum of ``values`` in each cluster, in the order of the clusters' numbers; ``clusters`` are :func:`codes`."""
    return np.bincount(clusters, weights=values).astype(np.float64)


def cluster_variance(influence: Floats, clusters: Ints) -> float:
    """Variance of an estimate that is, to first order, its target plus the sum of ``influence`` over rows.

    ``G / (G - 1) · Σ_g (Σ_{i in g} ψ_i)²`` over the ``G`` clusters: K.-Y. Liang and S. L. Zeger, "Longitudinal data
    analysis using generalized linear models", Biometrika 73 (1986), 13-22, with the usual correction for few clusters.
    Rows of one cluster may depend on each other in any way, those of two may not. Infinite for a single cluster.
    """
    sums = cluster_sums(influence, clusters)
    g = len(sums)
    return float(g / (g - 1) * np.sum(sums**2)) if g > 1 else float("inf")


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """Adjusted p-values: calling what is at most q keeps the expected share of false calls at q.

    Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate: a practical and powerful approach to multiple
    testing", Journal of the Royal Statistical Society B 57 (1995), 289-300: of m sorted values
    ``min_{j >= i} m p_(j) / j``. Holds for independent tests and for positively dependent ones.

    Args:
        p: one p-value per comparison that was made, in any order; also those that nobody looks at belong here.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)
    m = len(values)
    scaled = values[order] * m / np.arange(1, m + 1)
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted


def e_benjamini_hochberg(e: ArrayLike, level: float = 0.05) -> NDArray[np.bool_]:
    """Which hypotheses to reject by their e-values, with a false discovery rate of at most ``level``.

    R. Wang and A. Ramdas, "False discovery rate control with e-values", Journal of the Royal Statistical Society B 84
    (2022), 822-852: of m e-values the k largest, for the largest k with ``k e_(k) >= m / level``. Holds however the
    hypotheses depend on each other, and at any time at which somebody chooses to look.
    """
    values = np.asarray(e, dtype=np.float64)
    m = len(values)
    sorted_down = np.sort(values)[::-1]
    enough = np.flatnonzero(sorted_down * np.arange(1, m + 1) >= m / level)
    return values >= sorted_down[enough[-1]] if len(enough) else np.zeros(m, dtype=bool)


def number(value: Any) -> float | None:
    """A plain number for JSON, which has neither infinity nor NaN: those are None."""
    return float(value) if value is not None and np.isfinite(value) else None
