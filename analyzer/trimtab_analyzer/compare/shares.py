"""How much of a measure varies with harness, model and task, with what they do together, and with nothing else.

In: a measure and the levels of up to four factors, as arrays. Out: :class:`Shares`, one component per factor and per
combination, and the noise of repeats, that add up to 1. A module of its own because it knows neither files nor names.

The components are those of :mod:`.pairs`. What they assume: which levels met is unrelated to how good they are. Where
stronger models were given another harness, the main parts of both are mixed up; ``alone`` is not: pairs that differ in
this one factor and agree in all others.

An estimate below 0 is told as it is in ``raw``; its share is 0, and the other shares are scaled so that all add up to
1. A combination that noise alone may have made (the design is drawn again with nothing else) counts as noise. What
the design can't tell apart (no repeats: the highest combination and noise) is told under one name.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from ..statistics import Floats, Ints, codes, number
from .pairs import Groups, Solver

MOST_FACTORS: Final = 4
"""Factors that are told apart at once; the pairs of more are too few in any table."""
REWEIGHTINGS: Final = 400
"""Draws of the bootstrap; fewer for more than 50,000 rows, never below 100."""
NULLS: Final = 100
"""Draws of nothing but noise."""
CHANCE: Final = 2.5
"""Standard deviations of such draws above which a combination is told; noise exceeds them once in 160 tables."""


@dataclass(frozen=True, slots=True)
class Component:
    """What one factor, one combination, or noise accounts for."""

    name: str
    """``harness``, ``harness x model``, ``noise``."""
    share: float
    low: float
    """95 % interval of the bootstrap."""
    high: float
    raw: float
    """Unbiased share of the total variance; may be below 0."""
    alone: float | None = None
    """Of a factor: share of the total variance between runs that differ in it alone, noise taken off."""
    includes: tuple[str, ...] = ()
    """What the design can't tell apart from it."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Components of one measure."""

    measure: str
    scale: str
    """``share`` (success), ``log`` or ``raw``."""
    rows: int
    runs: int
    clusters: int
    variance: float
    """Total variance of a run, in the units of the scale, squared."""
    components: tuple[Component, ...]

    def as_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        said = asdict(self)
        for one in said["components"]:
            one |= {"alone": number(one["alone"]), "includes": list(one["includes"])}
        return said | {"components": list(said["components"])}


def variance_shares(
    outcome: Floats,
    factors: dict[str, Ints],
    clusters: Ints,
    *,
    trials: Ints | None = None,
    measure: str = "success",
    scale: str = "share",
    rng: np.random.Generator | None = None,
    reweightings: int = REWEIGHTINGS,
) -> Shares:
    """Components of ``outcome``.

    Args:
        outcome: one finite number per row.
        factors: levels by name, at most four factors.
        clusters: rows that stay together in the bootstrap.
        trials: runs that a row stands for. Where some stand for more than one, outcomes are shares of successes, and
            the runs within a row are repeats.
        measure: for the answer.
        scale: for the answer.
        rng: for the bootstrap; seeded with 0 if None.
        reweightings: draws of the bootstrap, at most; 0 makes none, and intervals are [0, 1].

    Raises:
        ValueError: there are more than four factors, none, or fewer than three rows.
    """
    if not 1 <= len(factors) <= MOST_FACTORS:
        raise ValueError(f"1 to {MOST_FACTORS} factors can be told apart, got {len(factors)}: {', '.join(factors)}")
    if len(outcome) < 3:
        raise ValueError(f"variation needs at least 3 rows, got {len(outcome)}")
    levels, stay, draw = list(factors.values()), codes(clusters), rng or np.random.default_rng(0)
    if trials is None or not (trials > 1).any():
        groups = Groups.of_runs(outcome, levels, stay)
    else:
        groups = Groups.of_shares(outcome, levels, stay, trials)
    solved = Solver(groups, list(factors))
    raw = solved.components()
    rest = _without_chance(solved, groups, raw, draw) if reweightings else np.eye(len(raw))
    drawn = _bootstrap(solved, groups, draw, reweightings)
    shares, low, high = _intervals(raw, drawn, rest)
    variance = float(raw.sum())
    components = tuple(
        Component(
            name,
            float(shares[i]),
            float(low[i]),
            float(high[i]),
            float(raw[i] / variance) if variance > 0 else 0.0,
            solved.alone(name, variance),
            merged,
        )
        for i, (name, merged) in enumerate(solved.named())
    )
    runs, seen = int(groups.trials.sum()), len(np.unique(clusters))
    return Shares(measure, scale, len(outcome), runs, seen, variance, components)


def _shares(raw: Floats) -> Floats:
    """Parts below 0 are 0, and the rest add up to 1; without any variation all is noise."""
    kept = np.maximum(raw, 0.0)
    if kept.sum() <= 0:
        kept[-1] = 1.0
    return np.asarray(kept / kept.sum())


def _without_chance(solver: Solver, groups: Groups, raw: Floats, rng: np.random.Generator) -> Floats:
    """The linear map that takes combinations that noise alone may have made out of the estimates.

    Noise alone is drawn :data:`NULLS` times in the same design. Combinations whose estimate is not :data:`CHANCE`
    standard deviations of that above 0 are set to 0, and what they are mixed up with is corrected by its regression on
    them: the best linear unbiased estimate given that they are 0. Where repeats are few, the highest combination and
    noise are known only in their sum; so the noise gets all of it.
    """
    is_combination = np.array([" x " in name for name, _ in solver.named()])
    if not is_combination.any():
        return np.eye(len(raw))
    noise = max(float(raw[-1]), float(raw[-1] + raw[is_combination].sum()), 1e-12)
    within = solver.repeats() if groups.is_of_shares else noise
    nulls = [groups.noise_alone(within, max(0.0, noise - within), rng) for _ in range(NULLS)]
    null = np.array([solver.components(of=one) for one in nulls])
    most = CHANCE * null.std(axis=0)
    is_gone = is_combination & (raw <= most)
    by_noise = is_gone & (raw >= -most)  # what is further below 0 comes from elsewhere, and tells nothing of the noise
    found = np.eye(len(raw))
    if by_noise.any():
        covariance, kept = np.cov(null.T), ~is_gone
        regression = covariance[np.ix_(kept, by_noise)] @ np.linalg.pinv(covariance[np.ix_(by_noise, by_noise)])
        found[np.ix_(kept, by_noise)] = -regression
    found[is_gone, is_gone] = 0.0
    return found


def _intervals(raw: Floats, drawn: Floats, rest: Floats) -> tuple[Floats, Floats, Floats]:
    """Shares after ``rest``, and intervals that hold the draws before and after it."""
    shares = _shares(rest @ raw)
    if not len(drawn):
        return shares, np.zeros(len(raw)), np.ones(len(raw))
    both = [np.array([_shares(one) for one in rows]) for rows in (drawn, drawn @ rest.T)]
    low = np.min([np.quantile(rows, 0.025, axis=0) for rows in both], axis=0)
    high = np.max([np.quantile(rows, 0.975, axis=0) for rows in both], axis=0)
    return shares, np.minimum(low, shares), np.maximum(high, shares)


def _bootstrap(solver: Solver, groups: Groups, rng: np.random.Generator, most: int) -> Floats:
    """Components under random weights of the clusters, one row per draw.

    Weights are independent and exponential: D. B. Rubin, "The Bayesian bootstrap", Annals of Statistics 9 (1981),
    130-134; as weights and not as copies (A. B. Owen and D. Eckles, "Bootstrapping data arrays of arbitrary order",
    Annals of Applied Statistics 6 (2012), 895-927), so that no run is ever its own repeat. Levels of harness and model
    are kept: the interval is about other tasks or runs, and the same harnesses and models.
    """
    g = int(groups.clusters.max()) + 1
    if g < 2 or not most:
        return np.empty((0, 0))
    draws = min(most, max(100, int(most * 50_000 / len(groups.trials))))
    return np.array([solver.components(rng.exponential(size=g)[groups.clusters]) for _ in range(draws)])
