"""What estimators of randomised comparisons take: one row per unit, as arrays, in the order of the draws.

In: which value each unit drew and with what probability, and what came of it. Out: a :class:`Sample`, checked once, so
that the estimators need not. A module of its own because the store, the simulations and the tests fill it alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike

from ..statistics import Floats, Ints, codes

LEAST_WEIGHT: Final = 0.02
"""The smallest probability that a policy may give a value (docs/policy.md)."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Units in the order in which their values were drawn. All arrays have one entry per unit."""

    value: Ints
    """Index of the value drawn."""
    propensity: Floats
    """Probability with which that value was drawn, in (0, 1), as it was logged: given everything before the draw."""
    floor: Floats
    """A probability that none of the values was below at the draw; known before it."""
    outcome: Floats
    stratum: Ints
    """What was known before the draw (task, model), as a number."""
    cluster: Ints
    """Units of one cluster (a run with all runs inside it) may depend on each other."""
    first: Ints
    """Index of the first unit of the own cluster: what comes before it is the past."""

    @classmethod
    def of(
        cls,
        value: ArrayLike,
        propensity: ArrayLike,
        outcome: ArrayLike,
        *,
        floor: ArrayLike | None = None,
        stratum: ArrayLike | None = None,
        cluster: ArrayLike | None = None,
    ) -> Self:
        """A sample of these arrays, which are in the order of the draws.

        Args:
            value: index of the value drawn, from 0.
            propensity: probability with which it was drawn.
            outcome: finite numbers.
            floor: see the class; without it the least that a policy may give, :data:`LEAST_WEIGHT`.
            stratum: labels; without them all units are alike.
            cluster: labels; without them each unit is its own.

        Raises:
            ValueError: lengths differ, a propensity is not in (0, 1), below its floor, or an outcome is not finite.
        """
        y = np.asarray(outcome, dtype=np.float64)
        n = len(y)
        a, p = np.asarray(value, dtype=np.int64), np.asarray(propensity, dtype=np.float64)
        least = np.minimum(LEAST_WEIGHT, p) if floor is None else np.asarray(floor, dtype=np.float64)
        strata = np.zeros(n, dtype=np.int64) if stratum is None else codes(stratum)
        groups = np.arange(n) if cluster is None else codes(cluster)
        if not (len(a) == len(p) == len(least) == len(strata) == len(groups) == n):
            raise ValueError("a sample's arrays have one entry per unit, all the same number")
        if n and not ((p > 0) & (p < 1)).all():
            raise ValueError(f"a propensity lies in (0, 1), got {p.min():g} to {p.max():g}")
        if not (least <= p * (1 + 1e-9)).all() or not (least > 0).all():
            raise ValueError("a floor is above 0 and not above the propensity of its unit")
        if not np.isfinite(y).all():
            raise ValueError("an outcome is a finite number; leave units without one out, and count them")
        started = np.full(int(groups.max()) + 1 if n else 0, n, dtype=np.int64)
        np.minimum.at(started, groups, np.arange(n))
        return cls(a, p, least, y, strata, groups, started[groups])

    def __len__(self) -> int:
        return len(self.outcome)

    def arm(self, index: int) -> Floats:
        """1 where this value was drawn, else 0."""
        return np.asarray(self.value == index, dtype=np.float64)
