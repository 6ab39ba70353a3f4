from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_analyzer.effects import NoOverlap, Sample, policy_value
from trimtab_analyzer.effects.sequences import asymptotic, bets, betting, final_log_capital, log_capital
from trimtab_analyzer.effects.stratified import contrast
from trimtab_analyzer.effects.weighting import (
    Estimate,
    Scores,
    contrast_scores,
    doubly_robust,
    ipw,
    predicted,
    snips,
)


def _drawn(n: int = 2000, p: float = 0.5, effect: float = 0.1, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    task = rng.integers(0, 5, n)
    value = (rng.random(n) < p).astype(int)
    success = rng.random(n) < 0.4 + 0.08 * task + effect * value
    propensity = np.where(value == 1, p, 1 - p)
    return Sample.of(value, propensity, success, floor=np.full(n, min(p, 1 - p)), stratum=task)


def test_weights_of_a_handful_of_units_are_those_of_the_papers() -> None:
    """Horvitz-Thompson and Hajek by hand: 1/.8 and 1/.2 as weights."""
    sample = Sample.of([0, 0, 0, 1], [0.8, 0.8, 0.8, 0.2], [1.0, 0.0, 0.0, 1.0])
    assert 1 / 0.2 / 4 - 1 / 0.8 / 4 == pytest.approx(ipw(sample, 0, 1).estimate)
    assert 1 - 1 / 3 == pytest.approx(snips(sample, 0, 1).estimate)


@pytest.mark.parametrize("method", [ipw, snips, lambda s, a, b: doubly_robust(s, a, b, is_share=True)])
def test_each_method_is_unbiased_for_uneven_draws(method) -> None:
    """The mean over 200 experiments with one value at 10 % is the effect, within four standard errors."""
    found = [method(_drawn(600, p=0.1, seed=seed), 0, 1).estimate for seed in range(200)]
    assert abs(np.mean(found) - 0.1) < 4 * np.std(found) / np.sqrt(200)


def test_a_sample_without_units_of_its_own_cluster_is_predicted_from_the_past_alone() -> None:
    """What comes later, and what belongs to the same run, changes no prediction."""
    value, half = np.array([1, 1, 1, 1]), np.full(4, 0.5)
    first = Sample.of(value, half, [1.0, 1.0, 0.0, 0.0], cluster=["a", "b", "b", "c"])
    other = Sample.of(value, half, [1.0, 0.0, 1.0, 1.0], cluster=["a", "b", "b", "c"])
    assert predicted(first, 1, 0.5)[:3].tolist() == predicted(other, 1, 0.5)[:3].tolist()
    assert 0.5 == predicted(first, 1, 0.5)[0]


def test_dependent_units_widen_the_interval() -> None:
    """Runs that are copies of each other tell as much as one: the standard error of clusters says so."""
    sample = _drawn(400)
    copies = [np.repeat(a, 5) for a in (sample.value, sample.propensity, sample.outcome, sample.stratum)]
    together = Sample.of(*copies[:3], stratum=copies[3], cluster=np.repeat(np.arange(400), 5))
    alone = Sample.of(*copies[:3], stratum=copies[3])
    assert snips(sample, 0, 1).se == pytest.approx(snips(together, 0, 1).se, rel=0.01)
    assert snips(alone, 0, 1).se < 0.5 * snips(together, 0, 1).se


def test_the_sequence_is_what_bets_do_not_refute() -> None:
    """Just inside its ends the capital is below 20, just outside above; and it finds ten points in 2,000 runs."""
    scores = contrast_scores(_drawn(), 0, 1, is_share=True)
    placed, found = bets(scores), betting(scores)
    assert 0 < found.low < 0.1 < found.high
    assert (
        final_log_capital(scores, placed, found.low + 1e-3)
        < np.log(20)
        < final_log_capital(scores, placed, found.low - 1e-3)
    )
    assert (
        final_log_capital(scores, placed, found.high - 1e-3)
        < np.log(20)
        < final_log_capital(scores, placed, found.high + 1e-3)
    )
    assert log_capital(scores, placed, 0.0)[-1] == pytest.approx(found.log_e)


@given(st.lists(st.tuples(st.floats(-2, 2), st.floats(0, 1)), min_size=1, max_size=40), st.floats(-1, 1))
@settings(max_examples=60)
def test_bets_follow_the_past_and_never_ruin(rows: list[tuple[float, float]], mean: float) -> None:
    """Whatever comes next, bets up to now stay; and no row takes all of the capital."""
    score = np.array([x for x, _ in rows])
    scores = Scores(score, np.full(len(score), 2.0), np.ones(len(score)))
    changed = Scores(np.append(score[:-1], -score[-1]), scores.bound, scores.weight)
    assert np.array_equal(bets(scores), bets(changed))
    assert np.isfinite(log_capital(scores, bets(scores), mean)).all()


def test_without_enough_units_nothing_asymptotic_is_said() -> None:
    """Fewer than 30 of the rarer value: no bounds and no evidence."""
    said = asymptotic(Estimate(1.0, 0.1, 0.8, 1.2), 1000, 29)
    assert (-np.inf, np.inf, 0.0) == said[:3]


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        (([0, 1], [0.5, 1.0], [0, 1]), "propensity lies in"),
        (([0, 1], [0.5, 0.5], [0, np.nan]), "finite"),
        (([0], [0.5, 0.5], [0, 1]), "same number"),
    ],
)
def test_a_sample_that_means_nothing_is_refused(arrays, says: str) -> None:
    """Propensities of 0 or 1, outcomes that are none, and unequal lengths are named."""
    with pytest.raises(ValueError, match=says):
        Sample.of(*arrays)


def test_the_value_of_a_policy_is_what_it_would_have_come_to() -> None:
    """Always the better value: its success, held by the interval; the logged half and half: the logged mean."""
    sample = _drawn(4000)
    contexts = [str(task) for task in range(5)]
    value = policy_value(sample, {"a": 0.0, "b": 1.0}, ["a", "b"], contexts, is_share=True)
    assert value.low < 0.66 < value.high
    assert value.dr.estimate == pytest.approx(0.66, abs=0.04)
    assert value.effective == pytest.approx((sample.value == 1).sum())
    same = policy_value(sample, {"a": 0.5, "b": 0.5}, ["a", "b"], contexts, is_share=True)
    assert (4000, sample.outcome.mean()) == (same.effective, pytest.approx(same.snips.estimate))


def test_a_policy_may_follow_the_context() -> None:
    """Per context its own probabilities; a context that it does not name is an error."""
    sample = _drawn(2000)
    by_task = {str(task): {"a" if task < 2 else "b": 1.0} for task in range(5)}
    value = policy_value(sample, by_task, ["a", "b"], [str(task) for task in range(5)], is_share=True)
    assert value.dr.estimate == pytest.approx(0.56 + 0.06, abs=0.05)
    with pytest.raises(ValueError, match="nothing about context '4'"):
        policy_value(sample, {k: v for k, v in by_task.items() if k != "4"}, ["a", "b"], list("01234"), is_share=True)


def test_too_little_overlap_is_refused_with_the_numbers() -> None:
    """A value that was never drawn, and one that was drawn 20 times, have no value; the sentence says what to do."""
    sample = _drawn(1000, p=0.02)
    contexts = list("01234")
    with pytest.raises(NoOverlap, match=r"as much as\s\d+ drawn under it, and 30 are needed"):
        policy_value(sample, {"b": 1.0}, ["a", "b"], contexts, is_share=True)
    with pytest.raises(NoOverlap, match=r"gives bb in context 0, where it was never drawn.*Did you mean 'b'"):
        policy_value(sample, {"bb": 1.0}, ["a", "b"], contexts, is_share=True)


@given(st.integers(0, 10**6), st.integers(1, 400), st.floats(0.02, 0.98), st.floats(0, 1), st.integers(1, 5))
@settings(max_examples=60)
def test_a_value_is_given_or_refused_by_its_overlap(seed: int, n: int, p: float, wanted: float, size: int) -> None:
    """Refused below 30 effective groups or where a value was never drawn; else in the range of the outcomes."""
    rng = np.random.default_rng(seed)
    group = np.arange(n) // size
    value = (rng.random(n) < p).astype(int)[group * size]
    sample = Sample.of(value, np.where(value == 1, p, 1 - p), rng.random(n) < 0.5, cluster=group)
    weights = np.where(value == 1, wanted / p, (1 - wanted) / (1 - p))
    sums = np.bincount(group, weights=weights)
    effective = sums.sum() ** 2 / (sums**2).sum() if weights.any() else 0.0
    candidate = {"a": 1 - wanted, "b": wanted}
    if effective < 30 or any(wants > 0 and arm not in value for arm, wants in enumerate(candidate.values())):
        with pytest.raises(NoOverlap) as refused:
            policy_value(sample, candidate, ["a", "b"], ["0"], is_share=True)
        assert "Did you mean" not in str(refused.value)
    else:
        found = policy_value(sample, candidate, ["a", "b"], ["0"], is_share=True)
        assert effective == pytest.approx(found.effective)
        assert effective <= len(sums) + 1e-9
        assert 0 <= found.low <= found.high <= 1


def _units(*strata: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcome, value and stratum of units: per stratum how many of either value, and what all of each came to."""
    rows = [
        (float(outcome), float(value), number)
        for number, (n_first, first, n_second, second) in enumerate(strata)
        for value, n, outcome in ((0, n_first, first), (1, n_second, second))
        for _ in range(n)
    ]
    outcome, value, stratum = (np.array(column) for column in zip(*rows, strict=True))
    return outcome, value, stratum.astype(np.int64)


def test_what_strata_explain_is_not_brought_back_by_pooling() -> None:
    """One task always succeeds and one never does, whatever the value: nothing is said, though the counts differ."""
    units = _units((90, 1, 10, 1), (10, 0, 90, 0))
    found = contrast(*units, np.arange(200), is_share=True)
    assert found is not None
    assert (0.0, -1.0, 1.0, 1.0) == (found.estimate, found.low, found.high, found.p)


def test_strata_that_all_say_the_same_are_tested_exactly() -> None:
    """Two strata of 3 and 3 that separate the values: one of 20 times 20 ways, on either side."""
    found = contrast(*_units((3, 0, 3, 1), (3, 0, 3, 1)), np.arange(12), is_share=True)
    assert found is not None
    assert 2 / 400 == pytest.approx(found.p)
    assert 1.0 == found.estimate
    assert 0.3 < found.low < 1.0 == found.high


@pytest.mark.parametrize("is_share", [True, False])
def test_one_cluster_bounds_nothing(is_share: bool) -> None:
    """A hundred units that depend on each other are one observation."""
    rng = np.random.default_rng(3)
    value = np.repeat([0.0, 1.0], 50)
    outcome = (rng.random(100) < 0.2 + 0.6 * value).astype(float)
    found = contrast(outcome, value, np.zeros(100, np.int64), np.zeros(100, np.int64), is_share=is_share)
    assert found is not None
    assert 1.0 == found.p
    assert found.low <= -1.0
    assert found.high >= 1.0
