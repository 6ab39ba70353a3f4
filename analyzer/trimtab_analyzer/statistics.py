"""The little statistics that findings and comparisons need: intervals for a share and for the difference of two.

In: counts. Out: numbers with an interval. Apart from the rules, so that each formula stands beside its source.
"""

from __future__ import annotations

from math import sqrt
from typing import Final, NamedTuple

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
