"""The whole campaign on a stream, as ``auto`` would run it: a cold start with an incumbent, gates, promotion, rollback.

In: a :class:`~.scenarios.Stream`, which model is the incumbent. Out: :class:`Played`: the model of each unit and what
the campaign told on the way. Each promotion is accepted as soon as the campaign calls it ready.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trimtab_tracer.policy_rules import draw
from trimtab_tuner.learn import Arm, Campaign, CampaignSpec, Objective, Observation

from .replay import LAG, SECOND, rules, teach
from .scenarios import Stream
from .tables import Table

MARGIN = 0.02
EXPLORATION = 0.2


class Played(NamedTuple):
    """One campaign's replay."""

    chosen: np.ndarray
    """Model of each unit."""
    promotions: list[tuple[int, str]]
    """When, and which model."""
    rollbacks: list[tuple[int, str]]
    dropped: list[tuple[int, str]]


def play(stream: Stream, incumbent: int, seed: int, *, margin: float = MARGIN, most: float = EXPLORATION) -> Played:
    """Run a campaign that looks for the cheapest model within the margin, with the ramp of ``auto``."""
    table = stream.table
    arms = tuple(Arm(model) for model in table.models)
    spec = CampaignSpec(
        f"gated-{seed}",
        arms,
        table.models[incumbent],
        Objective("cheapest", margin),
        exploration=most,
        ramp=True,
        seed=seed,
    )
    campaign = Campaign(spec)
    index = {model: i for i, model in enumerate(table.models)}
    t = len(stream.quality)
    chosen, propensity = np.zeros(t, dtype=np.int64), np.zeros(t)
    played = Played(chosen, [], [], [])
    published = rules({None: {spec.incumbent: 1.0}}, spec.campaign_id)
    for at in range(t):
        if at % LAG == 0:
            advice = campaign.advance(at * SECOND)
            for event in advice.events:
                if event.kind == "rollback":
                    played.rollbacks.append((at, event.arm))
                elif event.kind == "arm_dropped":
                    played.dropped.append((at, event.arm))
            if advice.ready is not None and advice.phase == "exploring":
                campaign.promote(advice.ready, at * SECOND)
                played.promotions.append((at, advice.ready))
                advice = campaign.advance(at * SECOND)
            published = rules(advice.weights, spec.campaign_id)
        drawn = draw(published[None], f"{seed}-{at}", "replay")
        chosen[at], propensity[at] = index[drawn.value], drawn.propensity
        teach(campaign.observe, stream, at, chosen, propensity)
    return played


def placebos(table: Table, incumbent: int, seed: int, margin: float = MARGIN) -> Table:
    """The incumbent with two models that are made of it: ``equal``, its own answers and costs to other questions of the
    same context; ``worse``, the same at half the price with twice the margin less quality (on average, as far as
    qualities stay in [0, 1]).
    """
    rng = np.random.default_rng([seed, 3])
    rows = np.arange(len(table.context))
    columns = {"incumbent": (table.quality[:, incumbent], table.cost_usd[:, incumbent])}
    for name in ("equal", "worse"):
        other = rows.copy()
        for context in np.unique(table.context):
            own = np.flatnonzero(table.context == context)
            other[own] = rng.permutation(own)
        columns[name] = (table.quality[other, incumbent], table.cost_usd[other, incumbent])
    quality, cost = columns["worse"]
    if set(np.unique(quality)) <= {0.0, 1.0}:
        quality = np.where(rng.random(len(quality)) < 2 * margin / quality.mean(), 0.0, quality)
    else:
        quality = np.clip(quality - 2 * margin, 0.0, 1.0)
    columns["worse"] = (quality, cost / 2)
    qualities, costs = (np.stack([column[i] for column in columns.values()], axis=1) for i in (0, 1))
    return Table(tuple(columns), qualities, costs, None, table.context, table.contexts)


def rollback_after(seed: int, before: float = 0.9, after: float = 0.6) -> int | None:
    """Units from a fall of the promoted model's success until it is rolled back; None where it never was. Openly
    synthetic: both models succeed with ``before``, the challenger costs a fifth; 200 units after its promotion it
    succeeds with ``after`` only.
    """
    rng = np.random.default_rng([seed, 5])
    spec = CampaignSpec(
        f"fall-{seed}", (Arm("old"), Arm("new")), "old", Objective("cheapest", 0.05), ramp=True, seed=seed
    )
    campaign = Campaign(spec)
    cost = {"old": 0.01, "new": 0.002}
    published, fell_at, promoted_at = rules({None: {"old": 1.0}}, spec.campaign_id), None, None
    for at in range(20_000):
        if at % LAG == 0:
            advice = campaign.advance(at * SECOND)
            if fell_at is not None and any(event.kind == "rollback" for event in advice.events):
                return at - fell_at
            if advice.ready and advice.phase == "exploring" and promoted_at is None:
                campaign.promote(advice.ready, at * SECOND)
                promoted_at = at
                advice = campaign.advance(at * SECOND)
            published = rules(advice.weights, spec.campaign_id)
        if promoted_at is not None and fell_at is None and at >= promoted_at + 200:
            fell_at = at
        drawn = draw(published[None], f"{seed}-{at}", "replay")
        share = after if fell_at is not None and drawn.value == "new" else before
        success = float(rng.random() < share)
        campaign.observe(
            Observation(drawn.value, drawn.propensity, success, cost[drawn.value], at_ns=at * SECOND, unit=str(at))
        )
        if fell_at is not None and at - fell_at > 2_000:
            return None
    return None
