"""The seam between what learns and what uses it: weights of arms out, observations in.

In: :class:`~.observation.Observation`. Out: for each context the probability with which each arm is to be drawn. The
publisher puts these weights into the policy and the agent draws from them (``trimtab_tracer.policy_rules.draw``), so a
learner never chooses by itself: what it says has a propensity. A module of its own because the campaign, the
benchmark and the contract tests know no more of a learner than this.

Learners are sans-IO: no store, no HTTP, no clock, no global random numbers. The same observations in the same order
give the same weights. A learner trusts its observations (:func:`~.observation.refusal` is asked before), and knows
neither incumbents nor gates: these are the campaign's (:mod:`.campaign`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol, Self

from .observation import Observation

FLOOR: Final = 0.02
"""The least probability of an arm in the candidate set, and one minus the largest (docs/policy.md)."""

Json = dict[str, Any]


class Learner(Protocol):
    """Turns observations into weights."""

    @property
    def arms(self) -> Sequence[str]:
        """Keys of the candidate set, in the order in which they were added."""

    def weights(self, context: str | None = None) -> dict[str, float]:
        """Probability of each arm of the candidate set for a unit of this context.

        Sums to 1; each lies in [0.02, 0.98], unless there is one arm only, which has 1. A learner that does not tell
        contexts apart, or has too little of this one, answers as for None.
        """

    def learn(self, observation: Observation) -> None:
        """Take in what came of a unit, in any order and however late. Arms that are not in the set are ignored."""

    def add_arm(self, arm: str) -> None:
        """Add an arm of which nothing is known. ValueError where it is there already."""

    def remove_arm(self, arm: str) -> None:
        """Take an arm out of the candidate set. KeyError where it is not in it, ValueError where it is the last."""

    def reset(self, arm: str) -> None:
        """Forget what was learned of an arm's quality: it changed. KeyError where it is not in the set."""

    def state(self) -> Json:
        """All that the learner is, as JSON without NaN or infinity."""

    @classmethod
    def of_state(cls, state: Json) -> Self:
        """The learner that gave this state. :class:`~.states.StateError` where it does not fit its schema."""


def clamped(shares: dict[str, float], floor: float = FLOOR) -> dict[str, float]:
    """The nearest weights in proportion to ``shares`` of which none is below ``floor``, summing to 1.

    What lies below is raised to the floor, and the others give up for that in proportion to what they have; repeated,
    because giving up may take another one below. One arm alone has 1.
    """
    total = sum(shares.values())
    weights = {arm: share / total if total > 0 else 1 / len(shares) for arm, share in shares.items()}
    floor = min(floor, 1 / len(weights))
    low = {arm for arm, weight in weights.items() if weight < floor}
    while low:
        rest = sum(weight for arm, weight in weights.items() if arm not in low)
        scale = (1 - floor * len(low)) / rest if rest > 0 else 0.0
        weights = {arm: floor if arm in low else weight * scale for arm, weight in weights.items()}
        below = {arm for arm, weight in weights.items() if arm not in low and weight < floor}
        if not below:
            break
        low |= below
    return weights
