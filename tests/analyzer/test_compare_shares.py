from __future__ import annotations

import numpy as np
import pytest

from trimtab_analyzer.compare.shares import variance_shares

PLANTED = {"harness": 0.1, "model": 0.2, "task": 0.3, "harness x model": 0.1}


def _raw(outcome, factors, **more) -> dict[str, float]:
    found = variance_shares(outcome, factors, np.arange(len(outcome)), reweightings=0, **more)
    assert 1 == pytest.approx(sum(one.share for one in found.components))
    assert all(0 <= one.low <= one.share <= one.high <= 1 for one in found.components)
    return {one.name: one.raw for one in found.components}


def _table(rng: np.random.Generator, n: int, balanced: bool) -> dict[str, np.ndarray]:
    sizes = {"harness": 12, "model": 12, "task": 20}
    if balanced:
        grid = np.meshgrid(*(np.arange(size) for size in sizes.values()), [0, 1], indexing="ij")
        return {name: levels.ravel() for name, levels in zip(sizes, grid[:3], strict=True)}
    return {name: (size * rng.random(n) ** 1.5).astype(int) for name, size in sizes.items()}


def _planted(rng: np.random.Generator, factors: dict[str, np.ndarray]) -> np.ndarray:
    size = {name: int(levels.max()) + 1 for name, levels in factors.items()}
    y = rng.normal(0, np.sqrt(0.3), len(factors["task"]))
    for name, variance in PLANTED.items():
        levels = factors[name] if name in factors else factors["harness"] * size["model"] + factors["model"]
        y += rng.normal(0, np.sqrt(variance), int(levels.max()) + 1)[levels]
    return y


@pytest.mark.parametrize("balanced", [True, False])
def test_planted_shares_come_back(balanced: bool) -> None:
    """The mean over 60 tables is what was planted, within four standard errors, whether every cell is filled or not."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(60):
        factors = _table(rng, 2500, balanced)
        y = _planted(rng, factors)
        result = variance_shares(y, factors, factors["task"], reweightings=0)
        found.append({one.name: one.raw * result.variance for one in result.components})
    for name, truth in (PLANTED | {"harness x task": 0, "noise": 0.3}).items():
        estimates = [one[name] for one in found]
        assert abs(np.mean(estimates) - truth) < 4 * np.std(estimates) / np.sqrt(60), name


def test_many_levels_without_a_difference_have_no_share() -> None:
    """150 harnesses in 400 runs of yes and no: the mean over 100 tables is 0, where plain R² would say .37."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(100):
        y = (rng.random(400) < 0.4).astype(float)
        found.append(_raw(y, {"harness": rng.integers(0, 150, 400), "model": rng.integers(0, 5, 400)}))
    for name in ("harness", "model", "harness x model"):
        estimates = [one[name] for one in found]
        assert abs(np.mean(estimates)) < 4 * np.std(estimates) / 10
        assert np.mean([max(0, x) for x in estimates]) < 0.08


def test_the_interval_holds_the_share_of_a_yes_or_no_outcome() -> None:
    """Tasks are drawn anew each time; the share of three fixed harnesses is held as often as chance lets expect."""
    rng = np.random.default_rng(2)
    effects = np.array([-0.2, 0.0, 0.2])
    truth = effects.var(ddof=1) / (effects.var(ddof=1) + 1 / 48 + 0.25 - 1 / 48 - 0.08 / 3)
    held = 0
    for _ in range(40):
        difficulty = rng.uniform(-0.25, 0.25, 60)
        task, harness = np.repeat(np.arange(60), 9), np.tile(np.repeat(np.arange(3), 3), 60)
        y = (rng.random(540) < 0.5 + difficulty[task] + effects[harness]).astype(float)
        found = variance_shares(y, {"harness": harness, "task": task}, task, reweightings=100)
        one = found.components[0]
        held += one.low <= truth <= one.high
    assert held >= 33


def test_rows_that_stand_for_many_runs_tell_their_luck_apart() -> None:
    """Pass rates of 100 cases each: the noise of the cases is known without any repeated row."""
    rng = np.random.default_rng(3)
    n = np.full(40, 100)
    share = 0.3 + 0.4 * (np.arange(40) % 4) / 3
    found = _raw(rng.binomial(n, share) / n, {"harness": np.arange(40) % 4, "model": np.arange(40) // 4}, trials=n)
    truth = np.var(share[:4], ddof=1)
    assert found["harness"] == pytest.approx(truth / (truth + np.mean(share * (1 - share))), abs=0.04)
    assert found["model"] == pytest.approx(0, abs=0.01)


def test_noise_that_differs_between_levels_is_nobodys_share() -> None:
    """Two harnesses never differ; one has shares near one half, and the models of it are no better for that."""
    rng = np.random.default_rng(4)
    harness = np.repeat([0, 1], [1500, 500])
    y = (rng.random(2000) < np.where(harness, 0.95, 0.5)).astype(float)
    found = _raw(y, {"harness": harness, "model": rng.integers(0, 4, 2000)})
    assert found["model"] == pytest.approx(0, abs=0.01)


def test_what_can_not_be_told_apart_is_told_under_one_name() -> None:
    """Without repeats the combination is noise; a model that ran in one harness only takes the combination with it."""
    rng = np.random.default_rng(5)
    grid = {"harness": np.repeat(np.arange(5), 8), "task": np.tile(np.arange(8), 5)}
    found = variance_shares(rng.normal(size=40), grid, np.arange(40), reweightings=9)
    assert ["harness", "task", "noise"] == [one.name for one in found.components]
    assert ("harness x task",) == found.components[-1].includes
    nested = {"harness": np.repeat([0, 1, 2], 20), "model": np.repeat(np.arange(6), 10)}
    found = variance_shares(rng.normal(size=60), nested, np.arange(60), reweightings=9)
    assert {"harness": (), "model": ("harness x model",), "noise": ()} == {c.name: c.includes for c in found.components}


def test_equal_outcomes_are_all_noise() -> None:
    """Nothing varies, and nothing is divided by 0."""
    found = variance_shares(np.ones(20), {"harness": np.arange(20) % 2}, np.arange(20))
    assert [("harness", 0.0), ("noise", 1.0)] == [(one.name, one.share) for one in found.components]


@pytest.mark.parametrize(("rows", "factors"), [(2, 1), (9, 5), (9, 0)])
def test_too_few_rows_and_too_many_factors_are_refused(rows: int, factors: int) -> None:
    """Two rows, five factors, none."""
    with pytest.raises(ValueError, match=r"at least 3 rows|1 to 4 factors"):
        variance_shares(
            np.arange(rows, dtype=float), {f"f{i}": np.zeros(rows, int) for i in range(factors)}, np.arange(rows)
        )
