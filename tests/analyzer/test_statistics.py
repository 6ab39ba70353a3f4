from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from trimtab_analyzer.statistics import newcombe, wilson

counts = st.integers(0, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts)
def test_the_interval_is_scipys_wilson_interval(kn: tuple[int, int]) -> None:
    """For every count the bounds are those of scipy's interval of the same name."""
    k, n = kn
    low, high = (0.0, 1.0) if n == 0 else binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx(wilson(k, n)[1:], abs=1e-12)


@given(counts)
def test_the_interval_lies_in_the_unit_range_around_the_share(kn: tuple[int, int]) -> None:
    """0 <= low <= share <= high <= 1, without rounding across."""
    share, low, high = wilson(*kn)
    assert 0 <= low <= share <= high <= 1


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.integers(2, 50))
def test_the_interval_shrinks_with_n(kn: tuple[int, int], times: int) -> None:
    """The same share seen more often has a narrower interval."""
    few, many = wilson(*kn), wilson(kn[0] * times, kn[1] * times)
    assert many.high - many.low < few.high - few.low


@given(st.integers(0, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_successes_and_failures_mirror_each_other(kn: tuple[int, int]) -> None:
    """The interval of the failures is the mirror image of that of the successes."""
    k, n = kn
    a, b = wilson(k, n), wilson(n - k, n)
    assert (1 - a.high, 1 - a.low) == pytest.approx((b.low, b.high), abs=1e-12)


def test_five_failures_of_five_lie_above_one_half_and_four_do_not() -> None:
    """Five is the least number of executions that can show a tool to be broken: 4 of 4 could still be a fair coin."""
    assert wilson(5, 5).low == pytest.approx(0.5655, abs=1e-4)
    assert wilson(4, 4).low > 0.5 > wilson(3, 3).low
    assert wilson(5, 6).low < 0.5
    assert str(wilson(5, 5)) == "57–100 %"


@pytest.mark.parametrize(("k", "n"), [(-1, 2), (3, 2), (0, -1)])
def test_an_impossible_count_is_refused(k: int, n: int) -> None:
    """More successes than trials, or fewer than none, is a mistake of the caller and says so."""
    with pytest.raises(ValueError, match=f"k = {k}, n = {n}"):
        wilson(k, n)


groups = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(groups, groups)
def test_a_difference_lies_in_its_range_and_mirrors(a: tuple[int, int], b: tuple[int, int]) -> None:
    """-1 <= low <= estimate <= high <= 1, and seen from the other side it is the same with its sign changed."""
    there, back = newcombe(*a, *b), newcombe(*b, *a)
    assert -1 <= there.low <= there.estimate + 1e-12
    assert there.estimate - 1e-12 <= there.high <= 1
    assert (-there.estimate, -there.high, -there.low) == pytest.approx(back, abs=1e-12)


@given(groups, groups, st.integers(2, 30))
def test_a_difference_is_told_better_by_more_trials(a: tuple[int, int], b: tuple[int, int], times: int) -> None:
    """The same two shares seen more often have a narrower interval."""
    few, many = newcombe(*a, *b), newcombe(*(x * times for x in a), *(x * times for x in b))
    assert many.high - many.low < few.high - few.low
