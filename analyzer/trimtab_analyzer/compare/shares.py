"""How much of a measure varies with harness, model and task, with what they do together, and with nothing else.

In: a measure and the levels of up to four factors, as arrays. Out: :class:`Shares`, one component per factor and per
combination, and the noise of repeats, that add up to 1. A module of its own because it knows neither files nor names.

**Method.** ``y = μ + Σ_T u_T + e``, with one random term per non-empty set T of factors. Of two runs that agree in
exactly the factors S, half the squared difference has the mean ``γ_S = Σ_{T ⊄ S} σ²_T + σ²``. All pairs are averaged by
S, and the linear equations solved. These are U-statistics, so the components are unbiased for any design, balanced or
not, also with as many levels as rows (S. R. Searle, G. Casella and C. E. McCulloch, "Variance Components", Wiley 1992,
chapters 5 and 11; K. Gao and A. B. Owen, "Efficient moment calculations for variance components in large unbalanced
crossed random effects models", Electronic Journal of Statistics 11 (2017), 1235-1296). Sums over pairs come from sums
over groups, so the cost grows with the rows and not with the pairs. For balanced data they are the estimates of the
analysis of variance.

Noise is taken off where it arises: runs of one cell (equal in all factors), or of one row that stands for many, tell
their own variance, and each pair is freed of that of its two cells. So it does no harm that a share near one half
varies more than one near 1. Cells with a single run are given the mean noise of the others.

What it assumes: which levels met is unrelated to how good they are. Where stronger models were given another harness,
the main parts of both are mixed up; ``alone`` is not: pairs that differ in this one factor and agree in all others.

An estimate below 0 is told as it is in ``raw``; its share is 0, and the other shares are scaled so that all add up to
1. What the design can't tell apart (no repeats: the highest combination and noise) is told under one name.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np

from ..statistics import Floats, Ints, codes, number

NOISE: Final = "noise"
MOST_FACTORS: Final = 4
"""Factors that are told apart at once; the pairs of more are too few in any table."""
REWEIGHTINGS: Final = 400
"""Draws of the bootstrap; fewer for more than 50,000 rows, never below 100."""

Subset = frozenset[int]


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


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Rows grouped by every subset of the factors."""

    total: Floats
    """Sum of the outcomes of the runs in a row."""
    squares: Floats
    trials: Floats
    of: dict[Subset, Ints]
    cells: Ints
    """Runs that are repeats of each other: equal in all factors, or of one row."""
    everything: Subset


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
    counts = np.ones(len(outcome)) if trials is None else trials.astype(np.float64)
    total = counts * outcome
    squares = total if trials is not None and (trials > 1).any() else counts * outcome**2
    names, everything = list(factors), frozenset(range(len(factors)))
    of = _groupings(list(factors.values()))
    if squares is total:  # the runs of a row, and other rows of its cell, are repeats of two kinds
        of[everything | {len(names)}] = np.arange(len(outcome))
    groups = _Groups(
        total, squares, counts, of, of[everything | {len(names)}] if squares is total else of[everything], everything
    )
    solved = _Solver(groups, names, np.ones(len(outcome)))
    raw = solved.components(groups, np.ones(len(outcome)))
    drawn = _bootstrap(groups, solved, codes(clusters), rng or np.random.default_rng(0), reweightings)
    shares = _shares(raw)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0) if len(drawn) else (np.zeros(len(raw)), np.ones(len(raw)))
    variance = float(raw.sum())
    components = tuple(
        Component(
            name,
            float(shares[i]),
            float(min(low[i], shares[i])),
            float(max(high[i], shares[i])),
            float(raw[i] / variance) if variance > 0 else 0.0,
            solved.alone(name, variance),
            merged,
        )
        for i, (name, merged) in enumerate(solved.named())
    )
    clusters_seen = len(np.unique(clusters))
    return Shares(measure, scale, len(outcome), int(counts.sum()), clusters_seen, variance, components)


def _groupings(levels: list[Ints]) -> dict[Subset, Ints]:
    """Rows that agree in each subset of the factors, numbered from 0."""
    found: dict[Subset, Ints] = {frozenset(): np.zeros(len(levels[0]), dtype=np.int64)}
    for size in range(1, len(levels) + 1):
        for subset in combinations(range(len(levels)), size):
            joint = found[frozenset(subset[:-1])] * (int(levels[subset[-1]].max()) + 1) + levels[subset[-1]]
            found[frozenset(subset)] = codes(joint)
    return found


def _noise(groups: _Groups, weights: Floats) -> Floats:
    """The variance of repeats in each row's cell; the mean of all where the cell has one run, 0 without repeats."""
    size = int(groups.cells.max()) + 1
    w, own = weights * groups.trials, weights**2 * groups.trials
    columns = (w, weights * groups.total, weights * groups.squares, own)
    sum_w, sum_t, sum_q, sum_own = (np.bincount(groups.cells, weights=one, minlength=size) for one in columns)
    pairs, spread = sum_w**2 - sum_own, sum_w * sum_q - sum_t**2
    repeated = pairs > 1e-9 * sum_w**2
    if not repeated.any():
        return np.zeros(len(weights))
    pooled = spread[repeated].sum() / pairs[repeated].sum()
    variance = np.where(repeated, spread / np.where(repeated, pairs, 1.0), pooled)
    return np.asarray(variance[groups.cells])


def _pairs(groups: _Groups, weights: Floats, noise: Floats) -> tuple[dict[Subset, float], dict[Subset, float]]:
    """Per set S, of the pairs that agree in exactly S: sum of half squared differences, freed of noise, and number.

    Of the pairs within a group ``Σ_{i<j} w_i w_j (y_i - y_j)² / 2 = (W Q - S²) / 2``; those that agree in more are
    taken off.
    """
    differences: dict[Subset, float] = {}
    numbers: dict[Subset, float] = {}
    w, t, q = weights * groups.trials, weights * groups.total, weights * groups.squares
    own = weights**2 * groups.trials
    columns = (w, t, q, own, w * noise, own * noise)
    for subset in sorted(groups.of, key=len, reverse=True):
        group = groups.of[subset]
        sum_w, sum_t, sum_q, sum_own, sum_v, own_v = (np.bincount(group, weights=column) for column in columns)
        more = [one for one in differences if subset < one]
        found = float((sum_w * (sum_q - sum_v) - sum_t**2 + own_v).sum() / 2)
        differences[subset] = found - sum(differences[one] for one in more)
        numbers[subset] = float((sum_w**2 - sum_own).sum() / 2) - sum(numbers[one] for one in more)
    return differences, numbers


class _Solver:
    """Which components the design tells apart, and how they follow from the pairs."""

    def __init__(self, groups: _Groups, names: list[str], weights: Floats) -> None:
        self._names = names
        differences, numbers = _pairs(groups, weights, _noise(groups, weights))
        scale = sum(numbers.values())
        self._everything = groups.everything
        self._patterns = [s for s in groups.of if s <= groups.everything and numbers[s] > 1e-9 * scale]
        self._gamma = {subset: differences[subset] / numbers[subset] for subset in self._patterns}
        whole = sorted(
            (s for s in groups.of if s and s <= groups.everything), key=lambda subset: (len(subset), sorted(subset))
        )
        columns = {subset: tuple(not subset <= pattern for pattern in self._patterns) for subset in whole}
        noise = (True,) * len(self._patterns)
        self._parts: list[tuple[str, list[str], tuple[bool, ...]]] = []
        hidden: list[str] = []
        for subset in whole:
            label, column = self._label(subset), columns[subset]
            same = next((part for part in self._parts if part[2] == column), None)
            if column == noise or not any(column):
                hidden.append(label)
            elif same is not None:
                same[1].append(label)
            elif self._rank([*(part[2] for part in self._parts), noise, column]) == len(self._parts) + 2:
                self._parts.append((label, [], column))
            else:
                hidden.append(label)
        self._parts.append((NOISE, hidden, noise))
        self._matrix = np.array([part[2] for part in self._parts], dtype=float).T

    @staticmethod
    def _rank(columns: list[tuple[bool, ...]]) -> int:
        return int(np.linalg.matrix_rank(np.array(columns, dtype=float)))

    def _label(self, subset: Subset) -> str:
        return " x ".join(self._names[i] for i in sorted(subset))

    def named(self) -> list[tuple[str, tuple[str, ...]]]:
        """Each component's name and what it includes."""
        return [(name, tuple(merged)) for name, merged, _ in self._parts]

    def components(self, groups: _Groups, weights: Floats) -> Floats:
        """Estimates of the components, in the order of :meth:`named`."""
        noise = _noise(groups, weights)
        differences, numbers = _pairs(groups, weights, noise)
        gamma = np.array([differences[one] / max(numbers[one], 1e-300) for one in self._patterns])
        trust = np.sqrt(np.array([max(numbers[one], 0.0) for one in self._patterns]))
        found = np.linalg.lstsq(self._matrix * trust[:, None], gamma * trust, rcond=None)[0]
        runs = weights * groups.trials
        found[-1] += float((runs * noise).sum() / runs.sum())
        return np.asarray(found)

    def alone(self, name: str, variance: float) -> float | None:
        """Share of the variance that comes with this factor when all others are equal."""
        if name not in self._names or variance <= 0:
            return None
        others = self._gamma.get(self._everything - {self._names.index(name)})
        noise = self._gamma.get(self._everything)
        return None if others is None or noise is None else (others - noise) / variance


def _shares(raw: Floats) -> Floats:
    """Parts below 0 are 0, and the rest add up to 1; without any variation all is noise."""
    kept = np.maximum(raw, 0.0)
    if kept.sum() <= 0:
        kept[-1] = 1.0
    return np.asarray(kept / kept.sum())


def _bootstrap(groups: _Groups, solver: _Solver, clusters: Ints, rng: np.random.Generator, most: int) -> Floats:
    """Shares under random weights of the clusters, one row per draw.

    Weights are independent and exponential: D. B. Rubin, "The Bayesian bootstrap", Annals of Statistics 9 (1981),
    130-134; as weights and not as copies (A. B. Owen and D. Eckles, "Bootstrapping data arrays of arbitrary order",
    Annals of Applied Statistics 6 (2012), 895-927), so that no run is ever its own repeat. Levels of harness and model
    are kept: the interval is about other tasks or runs, and the same harnesses and models.
    """
    g = int(clusters.max()) + 1
    if g < 2 or not most:
        return np.empty((0, 0))
    draws = min(most, max(100, int(most * 50_000 / len(clusters))))
    return np.array([_shares(solver.components(groups, rng.exponential(size=g)[clusters])) for _ in range(draws)])
