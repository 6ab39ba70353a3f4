"""Gates: what earns a promotion, when a promoted arm must go, when an arm is learned anew."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab_analyzer.effects.sequences import Sequence
from trimtab_tuner.learn import Objective
from trimtab_tuner.learn.drift import USUAL_AFTER, Drift
from trimtab_tuner.learn.gate import Compared, Rollback, deserves, hopeless, spent


def compared(
    quality: tuple[float, float], cost: tuple[float, float], latency: tuple[float, float] = (0, 0)
) -> Compared:
    return Compared(*(Sequence(low, high, 0.0, False) for low, high in (quality, cost, latency)))


CHEAPER, UNSURE = (-0.02, -0.01), (-0.01, 0.01)


@pytest.mark.parametrize(
    ("objective", "found", "earned", "lost"),
    [
        (Objective("cheapest", 0.02), compared((-0.01, 0.03), CHEAPER), True, False),
        (Objective("cheapest", 0.02), compared((-0.01, 0.03), UNSURE), False, False),
        (Objective("cheapest", 0.02), compared((-0.03, 0.03), CHEAPER), False, False),
        (Objective("cheapest", 0.02), compared((-0.09, -0.03), CHEAPER), False, True),
        (Objective("cheapest", 0.02), compared((-0.01, 0.03), (0.01, 0.02)), False, True),
        (Objective("fastest", 0.02), compared((-0.01, 0.03), UNSURE, (-2.0, -1.0)), True, False),
        (Objective("best_within", usd_per_day=9.0), compared((0.01, 0.03), (0.1, 0.2)), True, False),
        (Objective("best_within", usd_per_day=9.0), compared((-0.03, -0.01), CHEAPER), False, True),
        (Objective("value", value_usd=1.0), compared((-0.005, 0.03), CHEAPER), True, False),
        (Objective("value", value_usd=1.0), compared((-0.09, -0.05), CHEAPER), False, True),
    ],
)
def test_what_has_to_be_proven(objective: Objective, found: Compared, earned: bool, lost: bool) -> None:
    """A challenger is promoted for what the objective asks with confidence, and dropped when it can't be any more."""
    assert earned == deserves(objective, found)
    assert lost == hopeless(objective, found)


def test_restarts_never_spend_more_than_alpha() -> None:
    """A comparison that begins anew again and again uses at most α in all."""
    assert sum(spent(0.05, restarts) for restarts in range(100)) <= 0.05


def test_a_fall_of_a_promoted_arm_is_seen_within_60_rewards() -> None:
    """From .90 to .60 the rollback gate, which guards .85, needs fewer than 60 rewards in the median of 40 falls."""
    taken = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        gate = Rollback(0.85)
        for _ in range(300):
            gate.must(float(rng.random() < 0.9))
        taken.append(next((i for i in range(1, 1000) if gate.must(float(rng.random() < 0.6))), 1000))
    assert np.median(taken) <= 60


def test_an_arm_that_keeps_its_promise_stays() -> None:
    """In 30 times 1,000 rewards of exactly the quality that is guarded, alarms stay rarer than one in 2,000."""
    alarms = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        gate = Rollback(0.85)
        for quality in (rng.random(1000) < 0.85).astype(float):
            if gate.must(float(quality)):
                alarms += 1
                gate = Rollback(0.85)
    assert alarms <= 15


@pytest.mark.parametrize("kind", ["success", "score"])
def test_drift_of_an_arm_is_seen_and_none_where_there_is_none(kind: str) -> None:
    """A halved quality is found within 150 rewards; 3,000 rewards of one quality give no alarm."""
    rng = np.random.default_rng(3)

    def rewards(n: int, factor: float) -> list[float]:
        if kind == "success":
            return (rng.random(n) < 0.9 * factor).astype(float).tolist()
        return (rng.beta(9, 1, n) * factor).tolist()

    drift = Drift()
    assert not any(drift.fell(reward) for reward in rewards(3000, 1.0))
    again = Drift.of_state(drift.state(), "drift")
    fall = rewards(150, 0.5)
    assert any(drift.fell(reward) for reward in fall)
    assert any(again.fell(reward) for reward in fall)


def test_nothing_is_usual_at_first() -> None:
    """Before an arm has enough rewards nothing is unusual for it."""
    drift = Drift()
    assert not any(drift.fell(reward) for reward in [1.0] * (USUAL_AFTER - 10) + [0.0] * 10)
