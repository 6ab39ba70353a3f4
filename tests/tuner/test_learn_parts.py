"""Weights under caps, pacing, spending, and what can't be learned from."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tuner.learn import Observation
from trimtab_tuner.learn.allotment import explore
from trimtab_tuner.learn.learner import FLOOR, clamped
from trimtab_tuner.learn.observation import refusal
from trimtab_tuner.learn.pacer import DAY_NS, Pacer
from trimtab_tuner.learn.spending import HOUR_NS, Spending

SHARES = st.lists(st.floats(0, 1), min_size=2, max_size=8)


@given(SHARES)
def test_clamped_weights_can_be_published(shares: list[float]) -> None:
    """Whatever the shares, weights sum to 1, lie within the floor and keep their order."""
    weights = list(clamped({str(i): share for i, share in enumerate(shares)}).values())
    assert pytest.approx(1.0) == sum(weights)
    assert all(FLOOR - 1e-9 <= weight <= 1 - FLOOR + 1e-9 for weight in weights)
    order = sorted(range(len(shares)), key=shares.__getitem__)
    assert all(weights[a] <= weights[b] + 1e-9 for a, b in pairwise(order))


@given(SHARES, st.floats(0.14, 0.9), st.none() | st.floats(-1, 1))
def test_the_incumbent_keeps_what_was_promised(shares: list[float], exploration: float, lowest: float | None) -> None:
    """Challengers get at most the exploration share; with a lower bound one half each, or one point of risk."""
    arms = {str(i): share for i, share in enumerate(shares)}
    bounds = None if lowest is None else dict.fromkeys(arms, lowest)
    weights = explore(arms, "0", exploration, bounds)
    assert pytest.approx(1.0) == sum(weights.values())
    assert all(FLOOR - 1e-9 <= weight for weight in weights.values())
    if lowest is None:
        assert weights["0"] >= 1 - exploration - 1e-9
    else:
        allowed = max(exploration, min(0.5, 0.01 / max(-lowest, 1e-9)))
        assert sum(weights.values()) - weights["0"] <= max(allowed, FLOOR * (len(arms) - 1)) + 1e-9


def test_the_pacer_keeps_a_day_within_its_budget() -> None:
    """A buyer who takes the dear answer where it is worth its price spends what the day allows, within a tenth."""
    pacer = Pacer(usd_per_day=10.0)
    rng = np.random.default_rng(2)
    step = DAY_NS // 5_000
    spent = 0.0
    for at in range(5_000):
        gain = float(rng.random()) * 0.2
        cost = 0.005 if gain > 0.004 * pacer.price_of_a_dollar else 0.001
        spent += cost
        pacer.spent(cost, at * step)
    assert 9.0 <= spent <= 11.0
    assert pacer.price_of_a_dollar > 0
    assert Pacer.of_state(pacer.state(), "pacer").state() == pacer.state()


def test_a_clock_that_stands_or_goes_back_does_not_stop_the_pacer() -> None:
    """Units at one time, or earlier ones, raise nothing and give no price that is not finite."""
    pacer = Pacer(usd_per_day=1.0)
    for at in (10, 10, 5, 10, 0) * 20:
        pacer.spent(0.1, at)
    assert np.isfinite(pacer.price_of_a_dollar)


def test_spending_is_that_of_the_last_day() -> None:
    """Costs older than 24 hours and the begun one are forgotten; months leave no trace."""
    spending = Spending()
    for hour in range(24 * 60):
        spending.add(1.0, hour * HOUR_NS)
    now = (24 * 60 - 1) * HOUR_NS
    assert 25.0 == spending.last_day_usd(now)
    assert 1.0 == spending.last_day_usd(now + 24 * HOUR_NS)
    assert spending.state() == Spending.of_state(spending.state(), "spending").state()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"propensity": 0.0}, "propensity"),
        ({"propensity": float("nan")}, "propensity"),
        ({"quality": float("nan")}, "quality"),
        ({"quality": 1.5}, "quality"),
        ({"cost_usd": -1.0}, "cost_usd"),
        ({"latency_s": float("inf")}, "latency_s"),
        ({"score": 2.0}, "score"),
    ],
)
def test_what_can_not_be_learned_from_is_named(change: dict[str, float], named: str) -> None:
    """NaN, infinity and what is out of range is refused with its name and value; the rest is taken."""
    good = Observation("a", 0.5, 1.0, 0.1, 1.0)
    assert refusal(good) is None
    assert named in (refusal(good._replace(**change)) or "")
