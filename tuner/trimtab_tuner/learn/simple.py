"""Learners that need no model of the means: a fixed split, and epsilon-greedy with decay.

In: observations. Out: weights. The fixed split is for experiments whose shares a person set; epsilon-greedy is what is
easily explained and predicted, at the price of what it explores. Both answer alike for every context.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Final, Self

from .learner import Json, clamped
from .observation import Observation
from .states import Reader, StateError

DECAY_UNITS: Final = 50.0
"""Epsilon is halved when so many rewards are known, and falls with one over their number after that."""


class FixedSplit:
    """A :class:`~.learner.Learner` that learns nothing: weights stay as they are set."""

    KIND = "fixed"

    def __init__(self, shares: Mapping[str, float]) -> None:
        if not shares or not all(isfinite(share) and share >= 0 for share in shares.values()):
            raise ValueError(f"shares are numbers of at least 0, got {dict(shares)}")
        self._shares = dict(shares)

    @property
    def arms(self) -> Sequence[str]:
        """Keys of the arms, in the order in which they were added."""
        return list(self._shares)

    def weights(self, context: str | None = None) -> dict[str, float]:
        """The shares, none below the floor, whatever the context."""
        del context
        return clamped(self._shares)

    def learn(self, observation: Observation) -> None:
        """Nothing is learned."""
        del observation

    def add_arm(self, arm: str) -> None:
        """Add an arm with an equal share."""
        if arm in self._shares:
            raise ValueError(f"the arm {arm!r} is there already")
        self._shares[arm] = sum(self._shares.values()) / len(self._shares)

    def remove_arm(self, arm: str) -> None:
        """Take an arm out; the others keep their proportions."""
        _check_removal(arm, self._shares)
        del self._shares[arm]

    def reset(self, arm: str) -> None:
        """Nothing was learned."""
        if arm not in self._shares:
            raise KeyError(f"no arm {arm!r}; there are {list(self._shares)}")

    def state(self) -> Json:
        """As JSON."""
        return {"kind": self.KIND, "schema": 1, "shares": dict(self._shares)}

    @classmethod
    def of_state(cls, state: Json) -> Self:
        """From JSON; StateError where it does not fit."""
        reader = Reader(state, "fixed", cls.KIND, 1)
        shares = reader.numbers("shares", low=0.0)
        reader.end()
        if not shares:
            raise StateError("fixed.shares: expected at least one arm")
        return cls(shares)


class EpsilonGreedy:
    """The best arm so far, and with a probability that decays any arm.

    ``ε_t = ε / (1 + t / 50)``, the decay of P. Auer, N. Cesa-Bianchi and P. Fischer, "Finite-time analysis of the
    multiarmed bandit problem", Machine Learning 47 (2002), 235-256, Theorem 3, with t the rewards known. What is best
    is the mean of quality minus cost divided by ``value_usd``, each mean of its own units.
    """

    KIND = "epsilon-greedy"

    def __init__(self, arms: Sequence[str], epsilon: float = 1.0, value_usd: float | None = None) -> None:
        if not 0 < epsilon <= 1:
            raise ValueError(f"epsilon lies in (0, 1], got {epsilon!r}")
        if value_usd is not None and not (isfinite(value_usd) and value_usd > 0):
            raise ValueError(f"value_usd is a number above 0, got {value_usd!r}")
        self.epsilon = epsilon
        self.value_usd = value_usd
        self._sums: dict[str, list[float]] = {arm: [0.0] * 4 for arm in arms}
        """Per arm: rewards, their sum, costs known, their sum."""

    @property
    def arms(self) -> Sequence[str]:
        """Keys of the arms, in the order in which they were added."""
        return list(self._sums)

    def weights(self, context: str | None = None) -> dict[str, float]:
        """The best arm's weight, and the others' equal shares of epsilon, whatever the context."""
        del context
        rewards = sum(sums[0] for sums in self._sums.values())
        epsilon = self.epsilon / (1.0 + rewards / DECAY_UNITS)
        unknown = [arm for arm, sums in self._sums.items() if not sums[0]]
        best = unknown or [max(self._sums, key=self._mean)]
        each = epsilon / len(self._sums)
        return clamped({arm: each + (1 - epsilon) / len(best) * (arm in best) for arm in self._sums})

    def _mean(self, arm: str) -> float:
        rewards, total, costs, spent = self._sums[arm]
        cost = spent / costs if costs and self.value_usd is not None else 0.0
        return total / max(rewards, 1.0) - cost / (self.value_usd or 1.0)

    def learn(self, observation: Observation) -> None:
        """Take in a reward and a cost."""
        sums = self._sums.get(observation.value)
        if sums is None:
            return
        if observation.quality is not None:
            sums[0] += 1.0
            sums[1] += observation.quality
        if observation.cost_usd is not None:
            sums[2] += 1.0
            sums[3] += observation.cost_usd

    def add_arm(self, arm: str) -> None:
        """Add an arm; it is tried first, for nothing is known of it."""
        if arm in self._sums:
            raise ValueError(f"the arm {arm!r} is there already")
        self._sums[arm] = [0.0] * 4

    def remove_arm(self, arm: str) -> None:
        """Take an arm out, with what was learned of it."""
        _check_removal(arm, self._sums)
        del self._sums[arm]

    def reset(self, arm: str) -> None:
        """Forget an arm's rewards; its costs stay."""
        if arm not in self._sums:
            raise KeyError(f"no arm {arm!r}; there are {list(self._sums)}")
        self._sums[arm][:2] = [0.0, 0.0]

    def state(self) -> Json:
        """As JSON."""
        sums = {arm: list(one) for arm, one in self._sums.items()}
        return {"kind": self.KIND, "schema": 1, "epsilon": self.epsilon, "value_usd": self.value_usd, "sums": sums}

    @classmethod
    def of_state(cls, state: Json) -> Self:
        """From JSON; StateError where it does not fit."""
        reader = Reader(state, cls.KIND, cls.KIND, 1)
        epsilon, value = reader.number("epsilon", 1e-9, 1.0), reader.optional("value_usd", 1e-300)
        sums = reader.take("sums")
        if not isinstance(sums, dict) or not sums:
            raise StateError(f"{cls.KIND}.sums: expected an object of arms, got {sums!r}")
        made = cls(list(sums), epsilon, value)
        rows = Reader({"kind": "sums", "schema": 1, **sums}, f"{cls.KIND}.sums", "sums", 1)
        made._sums = {arm: rows.array(arm, (4,), low=0.0).tolist() for arm in sums}
        reader.end()
        return made


def _check_removal(arm: str, among: Mapping[str, object]) -> None:
    if arm not in among:
        raise KeyError(f"no arm {arm!r}; there are {list(among)}")
    if len(among) == 1:
        raise ValueError(f"{arm!r} is the last arm")
