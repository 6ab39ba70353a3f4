"""What a campaign is asked and what it says: plain records, so that the loop around it and the dashboard need no more.

In: nothing. Out: :class:`Arm` and :class:`CampaignSpec` (what is to be learned), :class:`Advice` with
:class:`Event` and :class:`Verdict` (what to publish and what to tell). Apart from :mod:`.campaign`, which decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final, Literal, NamedTuple

from .objective import Objective

Phase = Literal["exploring", "promoted", "halted"]
EventKind = Literal[
    "aa_passed",
    "aa_failed",
    "arm_added",
    "arm_dropped",
    "arm_readmitted",
    "budget_stop",
    "budget_resumed",
    "clock_back",
    "drift",
    "halted",
    "observation_refused",
    "price_changed",
    "promotion_ready",
    "promoted",
    "reset",
    "rollback",
    "share_mismatch",
]
MOST_ARMS: Final = 8
"""As many as a rule may have (docs/policy.md)."""


class Arm(NamedTuple):
    """One value of the knob that is tried."""

    key: str
    """Names it in observations and weights."""
    value: Any = None
    """What the policy sets; None for the incumbent that the code itself has."""
    price_usd: float | None = None
    """Declared cost of a unit; beats what is learned. None where it is to be learned."""


@dataclass(frozen=True, slots=True)
class CampaignSpec:
    """One learned experiment, as it was asked for. Immutable; :class:`~.campaign.Campaign` holds what changes."""

    campaign_id: str
    arms: tuple[Arm, ...]
    """2 to 8 with different keys, the incumbent among them."""
    incumbent: str
    """Key of the arm that the user's code has without us."""
    objective: Objective = field(default_factory=Objective)
    exploration: float = 0.2
    """Largest share of the units that may get a challenger before it is promoted; 0.02 per challenger at least."""
    ramp: bool = False
    """Whether a challenger may get more than its share of ``exploration`` before promotion, as far as the lower bound
    of its quality keeps the expected loss below one point (for ``auto``; never for ``recommend``)."""
    usd_per_day: float | None = None
    """Most that units which drew a challenger may cost in 24 hours before a promotion; then exploring pauses."""
    alpha: float = 0.05
    """Probability of a wrong promotion, over all challengers and all looks."""
    seed: int = 0
    contexts: bool = False
    """Whether contexts may get weights of their own."""
    self_check: bool = True
    """Whether the A/A check must pass before a challenger may be promoted."""
    holdout: float = 0.05
    """Share that the incumbent keeps after a promotion, so that the comparison goes on."""

    def __post_init__(self) -> None:
        keys = [arm.key for arm in self.arms]
        if not 2 <= len(keys) <= MOST_ARMS or len(set(keys)) != len(keys):
            raise ValueError(f"a campaign has 2 to {MOST_ARMS} arms with different keys, got {keys}")
        if self.incumbent not in keys:
            raise ValueError(f"the incumbent {self.incumbent!r} is none of the arms {keys}")
        for name, low, high in (("exploration", 0.02, 0.9), ("alpha", 1e-6, 0.5), ("holdout", 0.02, 0.5)):
            value = getattr(self, name)
            if not (isfinite(value) and low <= value <= high):
                raise ValueError(f"{name} lies in [{low:g}, {high:g}], got {value!r}")
        least = 0.02 * (len(keys) - 1)
        if self.exploration < least - 1e-9:
            raise ValueError(f"{len(keys) - 1} challengers need an exploration of at least {least:g}")
        if self.usd_per_day is not None and not (isfinite(self.usd_per_day) and self.usd_per_day >= 0):
            raise ValueError(f"usd_per_day is a number of at least 0, got {self.usd_per_day!r}")


class Event(NamedTuple):
    """Something that a person may want to know, once."""

    kind: EventKind
    arm: str | None
    text: str
    """One or two plain sentences."""
    figures: dict[str, float]
    """The numbers in the text, by name."""
    at_ns: int


class Bounds(NamedTuple):
    """A number and the interval that holds at any time; a bound is None where nothing is known yet."""

    estimate: float | None
    low: float | None
    high: float | None


class Verdict(NamedTuple):
    """What is known of one arm. Means are weighted with the logged propensities; None before anything is known."""

    arm: str
    units: int
    """Units that drew it."""
    rewards: int
    """Those of them whose quality is known."""
    quality: Bounds
    cost_usd: Bounds
    latency_s: Bounds
    errors: float | None
    """Share of its units that an error of transport or provider ended."""
    quality_change: Bounds
    """Against the incumbent; empty for the incumbent itself."""
    cost_change_usd: Bounds
    latency_change_s: Bounds
    in_set: bool
    """Whether it may still be drawn."""
    ready: bool
    """Whether it may be promoted now."""


class Advice(NamedTuple):
    """What to publish and what to tell, at one moment."""

    weights: dict[str | None, dict[str, float]]
    """By context; None is for everywhere else, and always there. An arm that is missing is not drawn."""
    events: list[Event]
    """What happened since the last advice; each is told once."""
    verdicts: dict[str, Verdict]
    """By arm, the incumbent first, dropped ones included."""
    phase: Phase
    leader: str
    """The arm that most units get: the incumbent, or the promoted one."""
    ready: str | None
    """The challenger that may be promoted now, the best of several."""
