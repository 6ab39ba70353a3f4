"""What a person asks of an experiment, as the learner takes it, and back from the store. Pure.

In: a goal as the API gives it, an experiment's arms, the settings. Out: a :class:`~..learn.CampaignSpec`, and JSON of
what it says. Apart from :mod:`.begin` and :mod:`.live` because both make the same one: the first when it is asked for,
the second whenever a sidecar starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab_tracer.prices import PriceList
from trimtab_tracer.settings import Settings

from ..control.campaigns import EVERYWHERE, INCUMBENT, Event, Weights, arm_key
from ..control.document import Json
from ..learn import Advice, Arm, CampaignSpec, Objective, Verdict
from ..learn import Event as LearnedEvent


def spec_json(goal: Json, settings: Settings, now_ns: int, *, is_auto: bool) -> Json:
    """What is asked for, with the settings in the place of what the goal leaves out."""
    share = goal.get("max_share")
    budget = goal.get("explore_usd_per_day")
    return {
        "objective": goal.get("objective", "cheapest"),
        "margin": goal.get("margin", 0.02),
        "usd_per_day": goal.get("usd_per_day"),
        "value_usd": goal.get("value_usd"),
        "max_share": settings.tune_max_share if share is None else share,
        "explore_usd_per_day": settings.tune_max_usd_per_day if budget is None else budget,
        "context_key": goal.get("context_key"),
        "is_auto": is_auto,
        "prices": {"identity": PriceList(settings.prices).identity, "checked_ns": now_ns},
    }


def campaign_spec(experiment_id: str, arms: list[Json], spec: Mapping[str, Any]) -> CampaignSpec:
    """The learner's specification.

    Raises:
        ValueError: in one sentence, what can't be asked for.
    """
    return CampaignSpec(
        campaign_id=experiment_id,
        arms=tuple(Arm(arm_key(arm), arm.get("value")) for arm in arms),
        incumbent=INCUMBENT,
        objective=Objective(spec["objective"], spec["margin"], spec["usd_per_day"], spec["value_usd"]),
        exploration=max(spec["max_share"], 0.02 * (len(arms) - 1)),
        ramp=spec["is_auto"],
        usd_per_day=spec["explore_usd_per_day"],
        seed=int(experiment_id[:8], 16),
        contexts=spec["context_key"] is not None,
    )


def weights_of(advice: Advice) -> Weights:
    """As the control takes them."""
    return {EVERYWHERE if context is None else context: dict(shares) for context, shares in advice.weights.items()}


def event_of(event: LearnedEvent) -> Event:
    """As the control takes it."""
    return Event(event.kind, event.arm, event.text, dict(event.figures))


def verdict_json(advice: Advice) -> Json:
    """What is known of each arm, the incumbent first."""
    return {
        "leader": advice.leader,
        "ready": advice.ready,
        "arms": [_verdict(verdict) for verdict in advice.verdicts.values()],
    }


def _verdict(verdict: Verdict) -> Json:
    return {name: value._asdict() if hasattr(value, "_asdict") else value for name, value in verdict._asdict().items()}
