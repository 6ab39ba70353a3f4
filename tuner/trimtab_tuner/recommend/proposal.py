"""What is proposed, and what may be expected of it.

In: nothing; the families fill these. Out: plain frozen values, whose fields are columns of the store's table
``recommendations``. A module of its own because the control and the dashboard rely on this shape and on nothing else of
the recommender.

What is expected from a finding is never more than an association: how calls fared that already ran as proposed, or how
many there are that the change could reach at all. Where values were drawn at random it is an effect, and says so. Where
nothing is known the place stays empty, which is not the same as no change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from trimtab_analyzer.statistics import Interval

METRICS: Final = ("success", "cost", "latency")
"""What may be expected to change. Success is the share of calls at the place that get an answer, from -1 to 1."""

SHARE: Final = "share of calls"
MICRO_USD: Final = "micro-USD per call"
SECONDS: Final = "seconds per call"
MICRO_USD_PER_RUN: Final = "micro-USD per run"
SHARE_OF_RUNS: Final = "share of runs"
SECONDS_EACH: Final = "seconds per call that it happens to"

Expected = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposed change of one knob at one place."""

    finding_id: str
    rule: str
    """The finding's."""
    knob: str
    service: str | None
    """Name of the agent; None where several are concerned."""
    model: str | None
    """The model that the calls ask for; None where there are several."""
    site_id: str
    file: str
    function: str
    line: int
    title: str
    why: str
    from_value: Any
    """In force now; None where nothing is set."""
    to_value: Any
    match: dict[str, str | None]
    """What the policy's rule will match: ``site``, ``service`` and ``model``, None for any."""
    expected: dict[str, Expected | None]
    """For each of :data:`METRICS` an :func:`association`, or None where nothing is known."""
    evidence: dict[str, Any]
    """``findings``, ``calls``, ``runs`` and ``attempts``: ids, a bounded number of each; ``numbers`` of the finding."""
    risk: str
    """One sentence: what may go wrong."""
    learned_by: str = "rule"
    """``rule``: a finding says so; ``effect``: values were drawn at random and compared; ``association``: they were
    compared as they came; ``shadow``: another value was asked the same beside the agent."""
    calls_per_day: float | None = None
    """Calls that it would change, by those of the last days; None where that is not known."""
    wrong_if: str | None = None
    """One sentence: what would make it wrong."""
    experiment_id: str | None = None
    """In which it was learned."""


def association(
    unit: str, *, low: float | None, high: float | None, estimate: float | None, n: int, basis: str
) -> Expected:
    """A change to expect, with what that rests on.

    Args:
        unit: Of the three figures, which are the change: after minus before.
        low: Lower bound, where one is known.
        high: Upper bound, where one is known.
        estimate: The most likely change; None where no data speaks for any.
        n: How many observations the figures rest on.
        basis: What those were.
    """
    basis = f"association: {basis}"
    return {"unit": unit, "low": low, "high": high, "estimate": estimate, "n": n, "basis": basis}


def effect(unit: str, *, low: float, high: float, estimate: float, n: int, basis: str) -> Expected:
    """A change that values drawn at random have shown; ``low`` to ``high`` holds at any time, at 95 %."""
    return {"unit": unit, "low": low, "high": high, "estimate": estimate, "n": n, "basis": f"effect: {basis}"}


def expected(
    success: Expected | None = None, cost: Expected | None = None, latency: Expected | None = None
) -> dict[str, Expected | None]:
    """All of :data:`METRICS`."""
    return {"success": success, "cost": cost, "latency": latency}


def gain(lost: Interval, lost_n: int, of: int, share: float | None, n: int, basis: str) -> Expected:
    """What success may gain where ``lost_n`` of ``of`` calls were lost and ``share`` of such calls got an answer.

    At worst nothing, at best all that is lost: the upper end of its interval.
    """
    estimate = None if share is None else lost_n / of * share
    return association(SHARE, low=0.0, high=lost.high, estimate=estimate, n=n, basis=basis)
