"""When a challenger has earned its place, when it has lost its chance, and when a promoted one must go at once.

In: differences with intervals that hold at any time (:mod:`.contrast`), or rewards one by one. Out: yes or no, with the
numbers. A module of its own because what is promised, "a worse arm is promoted with a probability of at most α, however
often one looks", hangs on this alone.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Self

import numpy as np

from trimtab_analyzer.effects.sequences import Sequence

from .objective import Objective
from .states import Reader

DROP_ALPHA: Final = 0.1
"""Level at which a challenger is given up: a mistake costs a saving, never quality."""
LEAST_DRAWN: Final = 100
"""Rewards of the challenger, and of the incumbent, before the first may be promoted. The sequence holds in the limit;
of thirty successes without a failure, which one time in twenty-four is luck at .9, it is too sure."""
RESTARTS: Final = 0.2
"""Each time a comparison starts anew (the arm changed), this part of what is left of α is kept for what may follow."""
FALSE_ALARM: Final = 2_000
"""Rewards between two false alarms of the rollback gate, at least, of an arm that is a margin worse than it was."""
_BETS: Final = np.array((0.05, 0.1, 0.2, 0.4, 0.8))
"""Parts of the largest bet: the smaller find small falls, the larger find large ones sooner."""


class Compared(NamedTuple):
    """A challenger minus the incumbent, per measure, for one look."""

    quality: Sequence
    cost: Sequence
    latency: Sequence


def spent(alpha: float, restarts: int) -> float:
    """What a comparison may use of α after so many restarts; all of them together use at most α."""
    return alpha * (1 - RESTARTS) * RESTARTS**restarts


def deserves(objective: Objective, found: Compared) -> bool:
    """Whether a challenger may take the incumbent's place: what it has to be better in is better, and nothing else
    is worse than allowed. Each bound holds with 1 - α, and all must hold, so their conjunction errs with α at most.
    """
    kept = found.quality.low > -objective.margin
    if objective.kind == "cheapest":
        return bool(kept and found.cost.high < 0)
    if objective.kind == "fastest":
        return bool(kept and found.latency.high < 0)
    if objective.kind == "best_within":
        return bool(found.quality.low > 0)
    return bool(found.quality.low - found.cost.high / (objective.value_usd or 1.0) > 0)


def hopeless(objective: Objective, found: Compared) -> bool:
    """Whether a challenger can no longer be expected to earn it."""
    lost = found.quality.high < -objective.margin
    if objective.kind == "cheapest":
        return bool(lost or found.cost.low > 0)
    if objective.kind == "fastest":
        return bool(lost or found.latency.low > 0)
    if objective.kind == "best_within":
        return bool(found.quality.high < 0)
    return bool(found.quality.high - found.cost.low / (objective.value_usd or 1.0) < 0)


class Rollback:
    """Always on over a promoted arm: its quality fell below what it was promoted with, minus the margin.

    An e-detector: for each bet λ, ``M ← max(1, M) (1 + λ (m - x))`` over the rewards x, alarm when their mean over λ
    reaches :data:`FALSE_ALARM`. While rewards have a mean of m or more the expected number of them until an alarm is
    at least that: J. Shin, A. Ramdas and A. Rinaldo, "E-detectors: a nonparametric framework for sequential change
    detection", New England Journal of Statistics in Data Science 2 (2024), 229-260. Needs rewards in [0, 1], no model.
    """

    KIND = "rollback"

    def __init__(self, least: float) -> None:
        self.least = least
        """m: the quality that it must keep."""
        self._log = np.zeros(len(_BETS))

    def must(self, quality: float) -> bool:
        """Take in a reward. True where the arm must go."""
        self._log = np.maximum(self._log, 0.0) + np.log1p(_BETS / max(1.0 - self.least, 0.02) * (self.least - quality))
        return bool(np.exp(np.minimum(self._log, 50.0)).mean() >= FALSE_ALARM)

    def state(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.KIND, "schema": 1, "least": self.least, "log": self._log.tolist()}

    @classmethod
    def of_state(cls, state: Any, where: str) -> Self:
        """From JSON; StateError where it does not fit."""
        reader = Reader(state, where, cls.KIND, 1)
        made = cls(reader.number("least", -1.0, 1.0))
        made._log = reader.array("log", (len(_BETS),))
        reader.end()
        return made
