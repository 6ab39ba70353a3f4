"""Running contrasts are what the analyzer's estimators say of the same units."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab_analyzer.effects import Sample, weighting
from trimtab_tuner.learn.contrast import Contrasts, one_sided


def test_a_running_contrast_is_the_analyzers() -> None:
    """With two arms and fixed weights the sums give the doubly robust estimate and error of the whole sample."""
    rng = np.random.default_rng(0)
    weights = np.array([0.7, 0.3])
    running = Contrasts(["a", "b"], "a", 0.5)
    n = 400
    drawn = (rng.random(n) < 0.3).astype(int)
    context = rng.integers(0, 3, n)
    quality = (rng.random(n) < 0.5 + 0.1 * context + 0.05 * drawn).astype(float)
    for at in range(n):
        running.add(drawn[at], weights[drawn[at]], quality[at], f"c{context[at]}", weights)
    sample = Sample.of(drawn, weights[drawn], quality, floor=np.full(n, 0.3), stratum=context)
    whole = weighting.doubly_robust(sample, 0, 1, is_share=True)
    _, difference = running.estimated(1)
    assert pytest.approx(whole.estimate, abs=1e-9) == difference.estimate
    assert pytest.approx(whole.se, rel=1e-6) == difference.se


def test_propensities_take_the_choice_out() -> None:
    """Where the better arm is drawn in the harder context, the contrast still has the right sign."""
    rng = np.random.default_rng(1)
    running = Contrasts(["a", "b"], "a", 0.5)
    for _ in range(4000):
        hard = bool(rng.integers(2))
        weights = np.array([0.1, 0.9]) if hard else np.array([0.9, 0.1])
        arm = int(rng.random() < weights[1])
        quality = float(rng.random() < (0.3 if hard else 0.8) + 0.1 * arm)
        running.add(arm, float(weights[arm]), quality, None, weights)
    cells = running.forecast.cells
    assert cells.overall()[1] < cells.overall()[0]
    assert running.difference(1, 0.05).low > 0


def test_an_arm_that_can_not_be_drawn_is_not_compared() -> None:
    """Units at which an arm had no weight say nothing of it."""
    running = Contrasts(["a", "b"], "a", 0.5)
    for _ in range(200):
        running.add(0, 1.0, 1.0, None, np.array([1.0, 0.0]))
    assert 0 == running.units[1]
    assert running.difference(1, 0.05).high == float("inf")


def test_what_is_forgotten_is_compared_anew() -> None:
    """Forgetting an arm voids its contrast alone, forgetting the base all of them."""
    running = Contrasts(["a", "b", "c"], "a", 0.5)
    for at in range(300):
        running.add(at % 3, 1 / 3, 0.5, None, np.full(3, 1 / 3))
    running.forget(1)
    assert [300, 0, 300] == running.units.tolist()
    running.forget(0)
    assert [0, 0, 0] == running.units.tolist()


def test_a_one_sided_level_is_the_less_daring() -> None:
    """The two-sided sequence at that level has no higher lower bound than the one-sided one."""
    for alpha in (0.001, 0.05, 0.3):
        for root in (1.0, 3.0, 50.0):
            assert np.log(root / one_sided(alpha)) >= np.log(1 + root / (2 * alpha)) - 1e-12
