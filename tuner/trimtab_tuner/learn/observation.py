"""What a learner learns from: one randomised unit, and what came of it.

In: nothing. Out: :class:`Observation` and :func:`refusal`, which says why one can not be learned from. A module of its
own because the live loop, the replay benchmark and the tests fill it alike; it holds no store's words and no clock.
"""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple


class Observation(NamedTuple):
    """One unit (run x site), or what became known of it later.

    Every fact is given once. A unit whose quality is known at its end is one observation. One whose quality comes late
    is two: the first with ``quality=None`` and its cost and latency, the second with the quality, ``late=True`` and
    neither cost nor latency. A unit whose quality never comes is the first of these alone.
    """

    value: str
    """Key of the arm that was drawn."""
    propensity: float
    """Probability with which it was drawn, as logged at the draw; in (0, 1]."""
    quality: float | None
    """0 to 1: success, or a score. None where it is not known (yet)."""
    cost_usd: float | None = None
    """What the unit cost, USD, >= 0."""
    latency_s: float | None = None
    """How long it took, seconds, >= 0."""
    failed: bool = False
    """An error of transport or provider ended it: says something of errors, nothing of quality (which is None then,
    unless the user's outcome says otherwise)."""
    context: str | None = None
    """What was known before the draw and may call for another value; None where nothing is."""
    at_ns: int = 0
    """When the unit ended, or for a late one when its quality came; nanoseconds since 1970."""
    unit: str = ""
    """Identifies the unit (run and site); its hash halves the incumbent for the A/A check. "" leaves that check out."""
    late: bool = False
    """The rest of this unit was given before."""
    is_first: bool = True
    """Whether it stands for its run where costs are counted against budgets: a run that draws at several lines costs
    what it costs once."""
    score: float | None = None
    """For an escalating knob: what the verifier said of the first answer, 0 to 1; None where nothing was verified."""


def refusal(observation: Observation) -> str | None:
    """Why this can't be learned from, as a sentence; None where it can.

    NaN and infinity, a propensity outside (0, 1], a quality or score outside [0, 1], a negative cost or latency.
    """
    if not (isfinite(observation.propensity) and 0 < observation.propensity <= 1):
        return f"a propensity lies in (0, 1], got {observation.propensity!r}"
    if observation.quality is not None and not (isfinite(observation.quality) and 0 <= observation.quality <= 1):
        return f"a quality lies in [0, 1], got {observation.quality!r}"
    if observation.score is not None and not (isfinite(observation.score) and 0 <= observation.score <= 1):
        return f"a verifier's score lies in [0, 1], got {observation.score!r}"
    for name, amount in (("cost_usd", observation.cost_usd), ("latency_s", observation.latency_s)):
        if amount is not None and not (isfinite(amount) and amount >= 0):
            return f"{name} is a finite number of at least 0, got {amount!r}"
    return None
