"""The production learner and sampler on a stream, with publish lag.

In: a :class:`~.scenarios.Stream`. Out: which model each unit got. The draw is the agent's own
(``trimtab_tracer.policy_rules.draw``), from weights as they were when last published.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trimtab_tracer.policy_rules import Arm, Match, Rule, draw
from trimtab_tuner.learn.drift import Drift
from trimtab_tuner.learn.objective import Objective
from trimtab_tuner.learn.observation import Observation
from trimtab_tuner.learn.thompson import Thompson

from .scenarios import Stream

LAG = 10
"""Units between two publications."""
SECOND = 10**9


def rules(weights: Mapping[str | None, Mapping[str, float]], experiment: str) -> dict[str | None, Rule]:
    """Weights as the rules that an agent obeys."""
    return {
        context: Rule(
            f"{experiment}:{context}", "model", Match(), "experiment", tuple(Arm(k, w) for k, w in row.items())
        )
        for context, row in weights.items()
    }


def bare(stream: Stream, value_usd: float, seed: int, **options: object) -> np.ndarray:
    """The learner alone: uniform start, no incumbent, no gate. Returns the model of each unit."""
    table = stream.table
    waiting = stream.added[1] if stream.added else None
    names = [name for i, name in enumerate(table.models) if i != waiting]
    learner = Thompson(
        names, Objective("value", value_usd=value_usd), contexts=len(table.contexts) > 1, seed=seed, **options
    )
    index = {name: i for i, name in enumerate(table.models)}
    chosen = np.zeros(len(stream.quality), dtype=np.int64)
    propensity = np.zeros(len(chosen))
    published = rules(learner.table(), f"bare-{seed}")
    drift = {name: Drift() for name in table.models}

    def learn(observation: Observation) -> None:
        learner.learn(observation)
        if observation.quality is not None and drift[observation.value].fell(observation.quality):
            learner.reset(observation.value)

    for t in range(len(chosen)):
        if stream.added and t == stream.added[0]:
            learner.add_arm(table.models[stream.added[1]])
        if stream.repriced and t == stream.repriced.at:
            learner.reprice(table.models[stream.repriced.arm], None, stream.repriced.factor)
        if t % LAG == 0:
            published = rules(learner.table(), f"bare-{seed}")
        context = table.contexts[stream.context[t]]
        drawn = draw(published.get(context, published[None]), f"{seed}-{t}", "replay")
        chosen[t], propensity[t] = index[drawn.value], drawn.propensity
        teach(learn, stream, t, chosen, propensity)
    return chosen


def teach(learn, stream: Stream, t: int, chosen: np.ndarray, propensity: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    """What becomes known after unit ``t``: its own cost, and the quality that is due."""
    table = stream.table
    now = t * SECOND
    prompt = stream.delay == 0 and bool(stream.is_shown[t]) and not stream.failed[t]
    arm = chosen[t]
    learn(
        Observation(
            table.models[arm], propensity[t], float(stream.shown[t, arm]) if prompt else None,
            None if stream.failed[t] else float(stream.cost_usd[t, arm]), None, bool(stream.failed[t]),
            table.contexts[stream.context[t]], now, str(t),
        )
    )  # fmt: skip
    due = t - stream.delay
    if stream.delay and due >= 0 and stream.is_shown[due]:
        arm = chosen[due]
        learn(
            Observation(
                table.models[arm], propensity[due], float(stream.shown[due, arm]), None, None, False,
                table.contexts[stream.context[due]], now, str(due), True,
            )
        )  # fmt: skip
