"""Components of variance from pairs of runs.

In: runs grouped by every subset of the factors, and weights. Out: the variance of each component that the design tells
apart. Apart from :mod:`.shares`, which makes shares and intervals of them, because this is linear algebra alone.

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
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final, Self

import numpy as np

from ..statistics import Floats, Ints, codes

NOISE: Final = "noise"

Subset = frozenset[int]


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Runs grouped by every subset of the factors; a row is one run, or several of one cell and one cluster."""

    total: Floats
    """Sum of the outcomes of the runs in a row."""
    squares: Floats
    """Sum of their squares."""
    trials: Floats
    """Number of runs in a row."""
    by: dict[Subset, Ints]
    """Number of the group that a row is in, by the factors that the group agrees in."""
    cells: Ints
    """Runs that are repeats of each other: equal in all factors, or of one row that stands for many."""
    everything: Subset
    """All factors."""
    clusters: Ints
    """Rows that have one weight in the bootstrap."""

    @classmethod
    def of_runs(cls, outcome: Floats, levels: list[Ints], clusters: Ints) -> Self:
        """Single runs. Those of one cell and one cluster become one row: sums are all that is needed of them."""
        y = outcome - outcome.mean()  # differences are the same, and small numbers lose no digits
        everything = frozenset(range(len(levels)))
        by = _groupings(levels)
        _, first, row = np.unique(
            by[everything] * (int(clusters.max()) + 1) + clusters, return_index=True, return_inverse=True
        )
        total, squares = (
            np.bincount(row, weights=y).astype(np.float64),
            np.bincount(row, weights=y**2).astype(np.float64),
        )
        small = {subset: groups[first] for subset, groups in by.items()}
        trials = np.bincount(row).astype(np.float64)
        return cls(total, squares, trials, small, small[everything], everything, clusters[first])

    @classmethod
    def of_shares(cls, share: Floats, levels: list[Ints], clusters: Ints, trials: Ints) -> Self:
        """Rows of ``trials`` runs each, of which the ``share`` that succeeded is known."""
        everything = frozenset(range(len(levels)))
        by, rows = _groupings(levels), np.arange(len(share))
        # The runs of a row, and those of other rows of its cell, are repeats of two kinds.
        by[everything | {len(levels)}] = rows
        return cls(trials * share, trials * share, trials.astype(np.float64), by, rows, everything, clusters)

    @property
    def is_of_shares(self) -> bool:
        """Each row is a cell of its own, within which runs are repeats."""
        return len(self.by) > 1 << len(self.everything)

    def noise_alone(self, within: float, between: float, rng: np.random.Generator) -> Groups:
        """The same design with outcomes that are nothing but normal noise.

        Args:
            within: variance of a run around its row.
            between: variance of what the runs of a row share, where a row stands for many.
            rng: draws them.
        """
        mean = rng.normal(0, np.sqrt(between), len(self.trials))
        total = self.trials * mean + rng.normal(0, np.sqrt(within * self.trials))
        around = within * rng.chisquare(np.maximum(self.trials - 1, 1e-9))
        return replace(self, total=total, squares=total**2 / self.trials + around)


def _groupings(levels: list[Ints]) -> dict[Subset, Ints]:
    """Rows that agree in each subset of the factors, numbered from 0."""
    found: dict[Subset, Ints] = {frozenset(): np.zeros(len(levels[0]), dtype=np.int64)}
    for size in range(1, len(levels) + 1):
        for subset in combinations(range(len(levels)), size):
            joint = found[frozenset(subset[:-1])] * (int(levels[subset[-1]].max()) + 1) + levels[subset[-1]]
            found[frozenset(subset)] = codes(joint)
    return found


def _noise(groups: Groups, weights: Floats) -> Floats:
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


def _pairs(groups: Groups, weights: Floats, noise: Floats) -> tuple[dict[Subset, float], dict[Subset, float]]:
    """Per set S, of the pairs that agree in exactly S: sum of half squared differences, freed of noise, and number.

    Of the pairs within a group ``Σ_{i<j} w_i w_j (y_i - y_j)² / 2 = (W Q - S²) / 2``; those that agree in more are
    taken off.
    """
    differences: dict[Subset, float] = {}
    numbers: dict[Subset, float] = {}
    w, t, q = weights * groups.trials, weights * groups.total, weights * groups.squares
    own = weights**2 * groups.trials
    columns = (w, t, q, own, w * noise, own * noise)
    for subset in sorted(groups.by, key=len, reverse=True):
        group = groups.by[subset]
        sum_w, sum_t, sum_q, sum_own, sum_v, own_v = (np.bincount(group, weights=column) for column in columns)
        more = [one for one in differences if subset < one]
        found = float((sum_w * (sum_q - sum_v) - sum_t**2 + own_v).sum() / 2)
        differences[subset] = found - sum(differences[one] for one in more)
        numbers[subset] = float((sum_w**2 - sum_own).sum() / 2) - sum(numbers[one] for one in more)
    return differences, numbers


class Solver:
    """Which components the design tells apart, and how they follow from the pairs."""

    def __init__(self, groups: Groups, names: list[str]) -> None:
        self._groups, self._names = groups, names
        weights = np.ones(len(groups.trials))
        differences, numbers = _pairs(groups, weights, _noise(groups, weights))
        scale = sum(numbers.values())
        self._patterns = [s for s in groups.by if s <= groups.everything and numbers[s] > 1e-9 * scale]
        self._gamma = {subset: differences[subset] / numbers[subset] for subset in self._patterns}
        whole = sorted(
            (s for s in groups.by if s and s <= groups.everything), key=lambda subset: (len(subset), sorted(subset))
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

    def components(self, weights: Floats | None = None, of: Groups | None = None) -> Floats:
        """Estimates of the components, in the order of :meth:`named`.

        Args:
            weights: of the rows; None for equal ones.
            of: other outcomes of the same design; None for its own.
        """
        groups = of or self._groups
        weights = np.ones(len(groups.trials)) if weights is None else weights
        noise = _noise(groups, weights)
        differences, numbers = _pairs(groups, weights, noise)
        gamma = np.array([differences[one] / max(numbers[one], 1e-300) for one in self._patterns])
        trust = np.sqrt(np.array([max(numbers[one], 0.0) for one in self._patterns]))
        found = np.linalg.lstsq(self._matrix * trust[:, None], gamma * trust, rcond=None)[0]
        runs = weights * groups.trials
        found[-1] += float((runs * noise).sum() / runs.sum())
        return np.asarray(found)

    def repeats(self) -> float:
        """Variance of the repeats within cells; 0 where nothing was repeated."""
        noise = _noise(self._groups, np.ones(len(self._groups.trials)))
        return float((noise * self._groups.trials).sum() / self._groups.trials.sum())

    def alone(self, name: str, variance: float) -> float | None:
        """Share of the variance that comes with this factor when all others are equal."""
        if name not in self._names or variance <= 0:
            return None
        others = self._gamma.get(self._groups.everything - {self._names.index(name)})
        noise = self._gamma.get(self._groups.everything)
        return None if others is None or noise is None else (others - noise) / variance
