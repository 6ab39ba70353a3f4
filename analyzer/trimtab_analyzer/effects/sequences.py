"""Confidence sequences: intervals that hold at every number of units at once, so that anyone may look at any time.

In: rows whose mean given their past is the estimand (:class:`~.weighting.Scores`), or an estimate with its standard
error. Out: an interval, and an *e-value*: the capital of someone who bet against "no difference" and started with 1. It
is 20 or more with a probability of at most 1/20 if there is none, however often one looks.

For shares (outcomes in [0, 1]) the sequence is exact at every size. For cost and latency, which have no upper bound, it
is asymptotic: it holds as the number of units grows, and below :data:`LEAST_ASYMPTOTIC` units nothing is said.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from scipy import optimize, special  # type: ignore[import-untyped]

from ..statistics import Floats
from .weighting import Estimate, Scores

TUNED_AT: Final = 500.0
"""Independent units at which the sequences are narrowest; from 100 to 5,000 they lose at most a tenth of their width to
that. Of 2,000 runs that hang together in groups of four or five as much is independent."""
BEST_MIXTURE: Final = 8.2
"""Width of the mixture, in units of variance at :data:`TUNED_AT`, that makes a 95 % sequence narrowest there."""
LEAST_ASYMPTOTIC: Final = 30
"""Units with each value below which an asymptotic sequence says nothing."""
CAUTION: Final = 0.75
"""Share of the capital that a bet may lose at most."""
PRIOR_UNITS: Final = 5.0
"""Units that the first guess of the variance counts for."""
PRIOR_VARIANCE: Final = 0.5
"""That guess: variance of a row divided by its bound; a share of one half drawn with probability one half has it."""

_STEPS: Final = 20
_U: Final = np.sign(np.arange(-_STEPS, _STEPS + 1)) * 4.0 * (np.arange(-_STEPS, _STEPS + 1) / _STEPS) ** 2
"""Standard deviations of the mixture at which a bet is placed: closer together near 0, where large samples need it."""
_LOG_MASS: Final = np.log(np.exp(-(_U**2) / 2) * np.gradient(_U)) - np.log(
    (np.exp(-(_U**2) / 2) * np.gradient(_U)).sum()
)


class Sequence(NamedTuple):
    """An interval that holds at any time, and the evidence against 0."""

    low: float
    high: float
    log_e: float
    """Natural logarithm of the e-value."""
    is_exact: bool
    """Holds at every number of units; else asymptotic."""


def bets(scores: Scores) -> Floats:
    """How much is bet on each row by each part of the mixture: ``(rows, parts)``, from the past of each row alone.

    Parts are steps of a normal distribution, divided by the standard deviation that the rows before let expect (their
    variance grows with their bound, which is one over the smallest propensity), and cut so that no row, which is at
    most ``bound`` from 0, can take more than :data:`CAUTION` of the capital for any mean in [-1, 1].
    """
    x = scores.score / np.sqrt(scores.bound)
    n = np.arange(len(x), dtype=np.float64)
    total, squares = (np.concatenate(([0.0], np.cumsum(one)[:-1])) for one in (x, x**2))
    around = np.maximum(squares - total**2 / np.maximum(n, 1.0), 0.0)
    sd = np.sqrt((PRIOR_UNITS * PRIOR_VARIANCE + around) / (PRIOR_UNITS + n) * scores.bound)
    largest = (CAUTION / (scores.bound + 1.0))[:, None]
    rho = np.sqrt(BEST_MIXTURE / TUNED_AT)
    return np.asarray(np.clip(rho * _U / sd[:, None], -largest, largest))


def log_capital(scores: Scores, placed: Floats, mean: float, every: int = 1) -> Floats:
    """The logarithm of the capital after each (``every``-th) row, of one who bets against ``mean`` and starts with 1.

    ``K_t(m) = Σ_j q_j Π_{i<=t} (1 + λ_{i,j} (x_i - m))``: I. Waudby-Smith and A. Ramdas, "Estimating means of bounded
    random variables by betting", Journal of the Royal Statistical Society B 86 (2024), 1-27, section 4, with a mixture
    of bets for a normal prior over λ in place of a single one; for weighted rows I. Waudby-Smith, L. Wu, A. Ramdas, N.
    Karampatziakis and P. Mineiro, "Anytime-valid off-policy inference for contextual bandits", ACM/IMS Journal of Data
    Science 1 (2024). If m is the mean of each row given its past, K is a non-negative martingale, and by Ville's
    inequality reaches 1/α at any time with probability at most α.
    """
    gains = np.log1p(placed * (scores.score - mean)[:, None])
    growth = np.cumsum(np.add.reduceat(gains, np.arange(0, len(gains), every), axis=0), axis=0)
    return np.asarray(special.logsumexp(growth + _LOG_MASS, axis=1))


def final_log_capital(scores: Scores, placed: Floats, mean: float) -> float:
    """The last entry of :func:`log_capital`, without the way there."""
    return float(log_capital(scores, placed, mean, len(scores.score))[-1])


def betting(scores: Scores, alpha: float = 0.05) -> Sequence:
    """The means in [-1, 1] that bets can not refute, for outcomes in [0, 1].

    Each part of the capital is a product of linear functions of m that are positive and all fall or all rise, so it
    is convex, and so is their sum: what is not refuted is an interval, whose ends are looked for.
    """
    if not len(scores.score):
        return Sequence(-1.0, 1.0, 0.0, True)
    placed = bets(scores)
    limit = -np.log(alpha)

    def above(mean: float) -> float:
        return final_log_capital(scores, placed, mean) - float(limit)

    inside = float(np.clip(scores.score.mean(), -1.0, 1.0))
    if above(inside) >= 0:
        inside = float(optimize.minimize_scalar(above, bounds=(-1.0, 1.0), method="bounded").x)
        if above(inside) >= 0:  # refuted everywhere: the estimand moved; an empty set is told as a point
            return Sequence(inside, inside, above(0.0) + limit, True)
    low = optimize.brentq(above, -1.0, inside, xtol=1e-5) if above(-1.0) > 0 else -1.0
    high = optimize.brentq(above, inside, 1.0, xtol=1e-5) if above(1.0) > 0 else 1.0
    return Sequence(float(low), float(high), above(0.0) + limit, True)


def asymptotic(estimate: Estimate, units: int, least: int, alpha: float = 0.05) -> Sequence:
    """The asymptotic confidence sequence around an estimate.

    ``θ̂ ± se √(2 (tρ²+1)/(tρ²) · log(√(tρ²+1)/α))``: I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy and A. Ramdas,
    "Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 52 (2024), 2613-2640.
    The e-value is that of the same normal mixture, ``exp(z² tρ² / (2 (1+tρ²))) / √(1+tρ²)``. Assumes that the variance
    of the rows settles; holds in the limit of many units, not at every size.

    Args:
        estimate: with its standard error.
        units: independent units, t.
        least: units that drew the rarer value.
        alpha: one minus the coverage.
    """
    if least < LEAST_ASYMPTOTIC or not np.isfinite(estimate.se):
        return Sequence(-float("inf"), float("inf"), 0.0, False)
    if estimate.se == 0:  # all outcomes equal: nothing speaks against 0, unless all differ in the same way
        return Sequence(estimate.estimate, estimate.estimate, 0.0 if estimate.estimate == 0 else float("inf"), False)
    scaled = units * BEST_MIXTURE / TUNED_AT
    half = estimate.se * np.sqrt(2 * (scaled + 1) / scaled * np.log(np.sqrt(scaled + 1) / alpha))
    z = estimate.estimate / estimate.se
    log_e = z**2 * scaled / (2 * (1 + scaled)) - 0.5 * np.log1p(scaled)
    return Sequence(estimate.estimate - float(half), estimate.estimate + float(half), float(log_e), False)
