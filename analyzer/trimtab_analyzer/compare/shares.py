"""How much of a measure varies with harness, model and task, with what they do together, and with nothing else.

In: a measure and the levels of up to four factors, as arrays. Out: :class:`Shares`, one component per factor and per
combination, and the noise of repeats, that add up to 1. A module of its own because it knows neither files nor names.

The components are those of :mod:`.pairs`. What they assume: which levels met is unrelated to how good they are. Where
stronger models were given another harness, the main parts of both are mixed up; ``alone`` is not: pairs that differ in
this one factor and agree in all others.

An estimate below 0 is told as it is in ``raw``; its share is 0, and the other shares are scaled so that all add up to
1. A combination that the bootstrap can't tell from nothing is counted as noise. What the design can't tell apart (no
repeats: the highest combination and noise) is told under one name.
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
    groups = Groups.of_runs(outcome, list(factors.values()), trials)
    solved = Solver(groups, list(factors))
    raw = solved.components(np.ones(len(outcome)))
    drawn = _bootstrap(solved, codes(clusters), rng or np.random.default_rng(0), reweightings)
    shares, low, high = _intervals(raw, drawn, np.array([" x " in name for name, _ in solved.named()]))
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


def _intervals(raw: Floats, drawn: Floats, is_combination: np.ndarray) -> tuple[Floats, Floats, Floats]:
    """Shares with their intervals.

    A combination that the draws can't tell from nothing (its lower bound is not above 0) is counted as noise: cutting
    several such estimates at 0 would add up to a share that is not there. Its interval still goes as far up as it did.
    """
    if not len(drawn):
        return _shares(raw), np.zeros(len(raw)), np.ones(len(raw))
    is_folded = is_combination & (np.quantile(drawn, 0.025, axis=0) <= 0)
    shares = _shares(_folded(raw, is_folded))
    both = [np.array([_shares(one) for one in rows]) for rows in (drawn, _folded(drawn, is_folded))]
    low = np.min([np.quantile(rows, 0.025, axis=0) for rows in both], axis=0)
    high = np.max([np.quantile(rows, 0.975, axis=0) for rows in both], axis=0)
    return shares, np.minimum(low, shares), np.maximum(high, shares)


def _folded(raw: Floats, is_folded: np.ndarray) -> Floats:
    """With the components that are folded moved to the noise, the last one."""
    found = np.where(is_folded, 0.0, raw)
    found[..., -1] += np.where(is_folded, raw, 0.0).sum(axis=-1)
    return found


def _bootstrap(solver: Solver, clusters: Ints, rng: np.random.Generator, most: int) -> Floats:
    """Components under random weights of the clusters, one row per draw.

    Weights are independent and exponential: D. B. Rubin, "The Bayesian bootstrap", Annals of Statistics 9 (1981),
    130-134; as weights and not as copies (A. B. Owen and D. Eckles, "Bootstrapping data arrays of arbitrary order",
    Annals of Applied Statistics 6 (2012), 895-927), so that no run is ever its own repeat. Levels of harness and model
    are kept: the interval is about other tasks or runs, and the same harnesses and models.
    """
    g = int(clusters.max()) + 1
    if g < 2 or not most:
        return np.empty((0, 0))
    draws = min(most, max(100, int(most * 50_000 / len(clusters))))
    return np.array([solver.components(rng.exponential(size=g)[clusters]) for _ in range(draws)])
