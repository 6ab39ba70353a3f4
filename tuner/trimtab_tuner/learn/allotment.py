"""From what a learner wants to what may be published: caps, floors, and who keeps how much.

In: the learner's shares, which arms may be drawn, how much may be explored. Out: weights. Apart from
the campaign because it is arithmetic that must hold in every case: weights sum to 1, none is below the floor, and the
incumbent keeps what was promised.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .learner import FLOOR, clamped

RISK: Final = 0.01
"""Quality that a challenger may be expected to lose before its promotion, at the lower bound of what it is."""
MOST: Final = 0.5
"""Share that one challenger may get before its promotion: with one half each the comparison is the sharpest."""


def explore(
    shares: Mapping[str, float], incumbent: str, exploration: float, lowest: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Weights while challengers are tried.

    Args:
        shares: what the learner would give each arm that may be drawn, the incumbent among them.
        incumbent: its key.
        exploration: most that all challengers together may get.
        lowest: lower bound of each challenger's quality minus the incumbent's. Where given, a challenger may get more
            than ``exploration`` as far as its expected loss, at this bound, stays below :data:`RISK`.
    """
    challengers = [arm for arm in shares if arm != incumbent]
    if not challengers:
        return {incumbent: 1.0}
    own = {
        arm: max(exploration, min(MOST, RISK / max(-lowest[arm], 1e-9))) if lowest else exploration
        for arm in challengers
    }
    wanted = sum(shares[arm] for arm in challengers)
    least = FLOOR * len(challengers)
    budget = min(max(wanted, least), max(*own.values(), least), 1 - FLOOR)
    parts = clamped({arm: shares[arm] for arm in challengers}, FLOOR / budget)
    weights = {arm: min(part * budget, max(own[arm], FLOOR)) for arm, part in parts.items()}
    return {incumbent: 1.0 - sum(weights.values()), **weights}


def lead(leader: str, incumbent: str, holdout: float) -> dict[str, float]:
    """Weights after a promotion: the incumbent keeps the holdout."""
    return {leader: 1.0 - holdout, incumbent: holdout}
