"""Begins an experiment that is learned from.

In: a knob, values to try, a goal, who wants it. Out: a running experiment with its first weights, by way of the
control, which refuses what agents would refuse. Apart from :mod:`.live`, which goes on with it, because a person's
request begins one as well as the sidecar itself.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from trimtab_tracer.errors import PolicyError
from trimtab_tracer.policy_values import check_value

from ..control import Refused, campaigns, experiments, shadows
from ..control.campaigns import Event
from ..control.document import Json
from ..learn import Campaign, Observation
from ..reads import Row
from . import specs, units

if TYPE_CHECKING:
    from trimtab_tracer.store import Store

    from ..control import Actor, Control


def begin(
    control: Control,
    knob: str,
    match: Json,
    values: list[Any],
    goal: Json,
    *,
    actor: Actor,
    seen: int | None = None,
    why: str | None = None,
    is_auto: bool = False,
    after: Row | None = None,
    store: Store | None = None,
) -> Row:
    """Try ``values`` of ``knob`` against what the code does; the experiment's row.

    Args:
        control: Of the store.
        knob: What to draw.
        match: For which calls.
        values: To try, 1 to 7 different ones.
        goal: Objective, margin and caps, as the API has them.
        actor: Who wants it.
        seen: Version of the policy that they saw; None for the sidecar itself.
        why: Their reason.
        is_auto: Whether good values may get more than the share for exploring before one is promoted.
        after: An earlier experiment with the same values, whose runs are learned from again; needs ``store``.
        store: Where they are.

    Raises:
        Conflict: someone decided in the meantime, or something is in the way.
        Refused: it can't be tried like this; says why.
    """
    spec = specs.spec_json(goal, control.settings, control.now_ns(), is_auto=is_auto)
    for value in values:
        refuse_capped(control, knob, value)
    experiment_id = experiments.new_id()
    unweighted: list[Json] = [{"incumbent": True}, *({"value": value} for value in values)]
    try:
        campaign = Campaign(specs.campaign_spec(experiment_id, unweighted, spec))
    except ValueError as error:
        raise Refused(f"{error}. Nothing was changed.") from None
    advice = campaign.advance(control.now_ns())
    learned = 0
    if after is not None and store is not None:
        learned = _learn_again(campaign, after, store, spec, control.now_ns())
    if knob == "model" and store is not None:
        campaign.warm(pairs(store, match.get("site"), values))
    advice = campaign.advance(control.now_ns())
    weights = specs.weights_of(advice)
    first = weights[campaigns.EVERYWHERE]
    arms = [arm | {"weight": first[campaigns.arm_key(arm)]} for arm in unweighted if campaigns.arm_key(arm) in first]
    if len(arms) < len(unweighted):
        raise Refused("An experiment with the same values has shown that they are not worth it. Nothing was changed.")
    told = f"{knob}: {len(values)} other value{'s' if len(values) > 1 else ''} tried against the code's own"
    first_events = [Event("started", None, told), *map(specs.event_of, advice.events)]
    verdict = specs.verdict_json(advice)
    begun = campaigns.Begun(spec, campaign.state(), verdict, weights, learned, first_events)
    return control.start_campaign(experiment_id, knob, match, arms, begun, actor=actor, seen=seen, why=why)


def refuse_capped(control: Control, knob: str, value: Any) -> None:
    """Refuse a value that the caps of the settings would change.

    Raises:
        Refused: says to what.
    """
    if (cut := control.settings.caps.clamp(knob, value) if _is_valid(knob, value) else value) != value:
        raise Refused(f"{value!r} is above the caps and would be cut to {cut!r}. Nothing was changed.")


def _is_valid(knob: str, value: Any) -> bool:
    """Whether agents would take it; if not, the control says why."""
    try:
        check_value(knob, value)
    except PolicyError:
        return False
    return True


def pairs(store: Store, site: str | None, models: list[Any]) -> list[dict[str, Observation]]:
    """What shadow runs have shown of these models: they warm the learner, and pass no gate. Of a pair it is the quality
    alone: it cost and took what a call does, and an experiment counts runs."""
    with closing(store.cursor()) as con:
        found = shadows.warm_pairs(con, site, [model for model in models if isinstance(model, str)])
    return [
        {
            campaigns.INCUMBENT: _answer(campaigns.INCUMBENT, pair, "own_"),
            campaigns.value_key(pair["model"]): _answer(campaigns.value_key(pair["model"]), pair, ""),
        }
        for pair in found
    ]


def _answer(arm: str, pair: Row, whose: str) -> Observation:
    return Observation(arm, propensity=1.0, quality=pair[f"{whose}quality"], at_ns=pair["asked_ns"])


def _learn_again(campaign: Campaign, after: Row, store: Store, spec: Json, now_ns: int) -> int:
    """Take in what the runs of an earlier experiment came to: drawn with known probabilities, too. How many."""
    with closing(store.cursor()) as con:
        again = {**after, "experiment_id": campaign.spec.campaign_id}  # whose units no one has learned from
        known: dict[str, Any] = {"now_ns": now_ns, "wait_s": 0.0, "context_key": spec["context_key"]}
        fresh = units.news(con, again, **known, limit=units.ALL)
    arms = {arm.key for arm in campaign.spec.arms}
    seen = [unit.seen for unit in fresh if unit.seen is not None and unit.seen.value in arms]
    for observation in seen:
        campaign.observe(observation)
    return len(seen)
