"""How long answers take where some were never waited for; second requests and time limits from that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tuner.learn.waits import Waits, hedge, timeout_s

SECONDS = st.lists(st.floats(0.001, 1000), min_size=1, max_size=60)


@given(SECONDS, st.floats(0.01, 0.99))
def test_without_cut_waits_it_is_the_empirical_distribution(seconds: list[float], q: float) -> None:
    """The share that takes longer is counted, and a quantile is the first time that so many lie at or below."""
    waits = Waits(seconds, np.ones(len(seconds), bool))
    for at in seconds:
        assert waits.longer(at) == pytest.approx(np.mean(np.array(seconds) > at), abs=1e-9)
    found = waits.quantile(q)
    assert found is not None
    assert np.mean(np.array(seconds) <= found) >= q - 1e-9
    assert np.mean(np.array(seconds) < found) < q + 1e-9


@given(st.lists(st.tuples(st.floats(0.01, 100), st.booleans()), min_size=1, max_size=60), st.floats(0, 200))
def test_shares_are_shares_and_fall(waits: list[tuple[float, bool]], at: float) -> None:
    """From 1 down, within their interval, whatever was cut."""
    made = Waits([s for s, _ in waits], [came for _, came in waits])
    shares = [made.longer(t) for t in np.linspace(0, 150, 40)]
    assert all(0 <= share <= 1 for share in shares)
    assert shares == sorted(shares, reverse=True)
    within = made.longer_within(at)
    assert 0 <= within.low <= within.share <= within.high <= 1


def test_a_worked_example() -> None:
    """Six waits of 1, 2+, 3, 3, 4+, 5 seconds (+: cut): 5/6, then 5/6 x 2/4, then nothing is left."""
    waits = Waits([1, 2, 3, 3, 4, 5], [True, False, True, True, False, True])
    assert [waits.longer(t) for t in (0.5, 1, 2, 3, 4, 5)] == pytest.approx([1, 5 / 6, 5 / 6, 5 / 12, 5 / 12, 0])


def test_cut_waits_do_not_make_answers_look_fast() -> None:
    """Half of the agents leave after a time of their own: the median is found again, and not by those that came."""
    rng = np.random.default_rng(3)
    answers, patience = rng.exponential(10, 20_000), rng.exponential(10, 20_000)
    came = answers <= patience
    waits = Waits(np.minimum(answers, patience), came)
    assert waits.quantile(0.5) == pytest.approx(10 * np.log(2), rel=0.05)
    assert np.median(answers[came]) < 0.6 * 10 * np.log(2)


def test_a_limit_that_cut_the_tail_leaves_it_unknown() -> None:
    """Nobody waited longer than 5 s, so nothing is said of what lies behind."""
    rng = np.random.default_rng(4)
    answers = rng.exponential(10, 2_000)
    waits = Waits(np.minimum(answers, 5.0), answers <= 5.0)
    assert waits.quantile(0.3) == pytest.approx(-10 * np.log(0.7), rel=0.1)
    assert (waits.quantile(0.99), timeout_s(waits), hedge(waits)) == (None, None, None)


def test_the_interval_covers_at_its_rate() -> None:
    """Of 400 samples with cut waits the true share lies within 95 %, less three standard errors, at least."""
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        answers, patience = rng.exponential(10, 300), rng.exponential(30, 300)
        within = Waits(np.minimum(answers, patience), answers <= patience).longer_within(20.0)
        covered += within.low <= np.exp(-2) <= within.high
    assert covered / 400 >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 400)


def test_a_hedge_pays_where_the_tail_is_heavy() -> None:
    """One call in twenty is sent twice; a heavy tail is cut by far, as drawn pairs show, a light one hardly."""
    rng = np.random.default_rng(1)
    heavy, light = rng.lognormal(0, 1.2, 5000), rng.uniform(1.0, 1.2, 5000)
    cut, kept = hedge(Waits(heavy, np.ones(5000, bool))), hedge(Waits(light, np.ones(5000, bool)))
    assert cut is not None
    assert kept is not None
    assert cut.extra.share == pytest.approx(0.05, abs=0.002)
    pairs = np.minimum(rng.choice(heavy, 200_000), cut.delay_s + rng.choice(heavy, 200_000))
    assert cut.after_s == pytest.approx(np.quantile(pairs, 0.99), rel=0.03)
    assert cut.saved_s == pytest.approx(heavy.mean() - pairs.mean(), rel=0.15)
    assert cut.after_s < 0.7 * cut.before_s
    assert kept.after_s > 0.9 * kept.before_s


def test_little_is_said_of_the_tail_before_enough_is_known() -> None:
    """Below 100 answers there is neither a hedge nor a time limit; what is no wait is refused."""
    waits = Waits([1.0] * 99, [True] * 99)
    assert (hedge(waits), timeout_s(waits)) == (None, None)
    assert (Waits([], []).quantile(0.5), Waits([], []).longer(1.0)) == (None, 1.0)
    for wrong in (float("nan"), -1.0, float("inf")):
        with pytest.raises(ValueError, match="finite number"):
            Waits([wrong], [True])
    with pytest.raises(ValueError, match="shape"):
        Waits([1.0, 2.0], [True])
