"""All that a campaign knows of its arms apart from the learner: comparisons, and what follows from them.

In: units as they are observed. Out: comparisons for the gates and :class:`~.advice.Verdict` for people. Apart from the
campaign, which decides with it; apart from the learner, because a gate must not lean on a model's prior.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from trimtab_analyzer.effects.sequences import LEAST_ASYMPTOTIC, Sequence

from .advice import Bounds, Verdict
from .cells import Floats
from .contrast import Contrasts, one_sided
from .gate import DROP_ALPHA, LEAST_DRAWN, Compared, spent
from .observation import Observation
from .states import Reader

NOTHING = Bounds(None, None, None)


class Evidence:
    """Comparisons of every arm with the incumbent, of quality, cost and latency."""

    KIND = "evidence"

    def __init__(self, arms: list[str], incumbent: str) -> None:
        self.arms = list(arms)
        self.incumbent = incumbent
        self.quality = Contrasts(self.arms, incumbent, 0.5)
        self.cost = Contrasts(self.arms, incumbent, None)
        self.latency = Contrasts(self.arms, incumbent, None)
        self.units, self.failed = np.zeros(len(arms)), np.zeros(len(arms))
        self.restarts = dict.fromkeys(self.arms, 0)
        """How often each arm's comparison of quality began anew."""

    def add(self, observation: Observation, weights: Floats) -> None:
        """Take in a unit; ``weights`` are the arms' probabilities as published now."""
        column = self.arms.index(observation.value)
        if not observation.late:
            self.units[column] += 1.0
            self.failed[column] += observation.failed
        given = (observation.quality, observation.cost_usd, observation.latency_s)
        for contrasts, x in zip((self.quality, self.cost, self.latency), given, strict=True):
            if x is not None:
                contrasts.add(column, observation.propensity, x, observation.context, weights)

    def compared(self, arm: str, alpha: float) -> Compared:
        """An arm minus the incumbent; each bound holds with 1 - alpha by itself, whatever began anew."""
        column = self.arms.index(arm)
        level = one_sided(spent(alpha, self.restarts[arm]))
        return Compared(*(one.difference(column, level) for one in (self.quality, self.cost, self.latency)))

    def is_enough(self, arm: str) -> bool:
        """Whether both the arm and the incumbent have so many rewards that a promotion may rest on them."""
        return bool(self.quality.drew[:, self.arms.index(arm)].min() >= LEAST_DRAWN)

    def giving_up(self, arm: str) -> Compared:
        """The same at the level at which a challenger is given up."""
        column = self.arms.index(arm)
        level = one_sided(DROP_ALPHA)
        return Compared(*(one.difference(column, level) for one in (self.quality, self.cost, self.latency)))

    def likely_least(self, arm: str) -> float:
        """What an arm's quality minus the incumbent's is likely not below: two standard errors less than estimated, for
        one look, so no promise; -1 where little is known.
        """
        column = self.arms.index(arm)
        if self.quality.drew[:, column].min() < LEAST_ASYMPTOTIC:
            return -1.0
        _, change = self.quality.estimated(column)
        return max(change.estimate - 2 * change.se, -1.0)

    def fell(self, arm: str) -> None:
        """An arm's quality changed: its comparisons begin anew; the incumbent's are those of all."""
        self.quality.forget(self.arms.index(arm))
        for other in self.arms if arm == self.incumbent else [arm]:
            self.restarts[other] += 1

    def verdict(self, arm: str, alpha: float, *, in_set: bool, ready: bool) -> Verdict:
        """What is known of an arm."""
        column = self.arms.index(arm)
        means, changes = [NOTHING] * 3, [NOTHING] * 3
        for at, one in enumerate((self.quality, self.cost, self.latency)):
            means[at] = _bounds(one.mean(column, alpha))
            if arm != self.incumbent:
                changes[at] = _bounds(one.difference(column, alpha))
        units = int(self.units[column])
        return Verdict(
            arm=arm,
            units=units,
            rewards=self.quality.known(column),
            quality=means[0],
            cost_usd=means[1],
            latency_s=means[2],
            errors=float(self.failed[column] / units) if units else None,
            quality_change=changes[0],
            cost_change_usd=changes[1],
            latency_change_s=changes[2],
            in_set=in_set,
            ready=ready,
        )

    def add_arm(self, arm: str) -> None:
        """One more arm."""
        self.arms.append(arm)
        for one in (self.quality, self.cost, self.latency):
            one.add_arm(arm)
        self.units, self.failed = np.append(self.units, 0.0), np.append(self.failed, 0.0)
        self.restarts[arm] = 0

    def state(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "kind": self.KIND,
            "schema": 1,
            "arms": list(self.arms),
            "incumbent": self.incumbent,
            "quality": self.quality.state(),
            "cost": self.cost.state(),
            "latency": self.latency.state(),
            "units": self.units.tolist(),
            "failed": self.failed.tolist(),
            "restarts": [self.restarts[arm] for arm in self.arms],
        }

    @classmethod
    def of_state(cls, state: Any, where: str) -> Self:
        """From JSON; StateError where it does not fit."""
        reader = Reader(state, where, cls.KIND, 1)
        arms = reader.texts("arms", least=2)
        made = cls(arms, reader.text("incumbent", tuple(arms)))
        for name, prior in (("quality", 0.5), ("cost", None), ("latency", None)):
            setattr(made, name, Contrasts.of_state(reader.take(name), f"{where}.{name}", arms, prior))
        k = len(arms)
        made.units, made.failed = reader.array("units", (k,), low=0.0), reader.array("failed", (k,), low=0.0)
        restarts = reader.array("restarts", (k,), low=0.0)
        made.restarts = {arm: int(n) for arm, n in zip(arms, restarts, strict=True)}
        reader.end()
        return made


def _bounds(sequence: Sequence) -> Bounds:
    """As an interval with None where nothing is known."""
    if not (np.isfinite(sequence.low) and np.isfinite(sequence.high)):
        return NOTHING
    return Bounds((sequence.low + sequence.high) / 2, sequence.low, sequence.high)
