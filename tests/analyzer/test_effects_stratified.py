from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from trimtab_analyzer.effects.stratified import contrast
from trimtab_analyzer.statistics import benjamini_hochberg, codes, e_benjamini_hochberg


def _each(n: int) -> np.ndarray:
    return np.arange(n)


def test_strata_weigh_as_mantel_and_haenszel_say() -> None:
    """Two strata by hand: differences .5 and 0 with weights 2·2/4 and 4·4/8."""
    y = np.array([0, 0, 1, 0, 1, 1, 0, 0, 1, 1, 0, 0], dtype=float)
    x = np.array([0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1], dtype=float)
    found = contrast(y, x, np.array([0] * 4 + [1] * 8), _each(12), is_share=True)
    assert found is not None
    assert (0.5 * 1 + 0 * 2) / 3 == pytest.approx(found.estimate)


def test_pairs_have_the_interval_of_the_paired_t_test() -> None:
    """Many strata of two are right, where a plain sandwich would be too narrow by the root of two."""
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=40), rng.normal(0.3, 1, 40)
    found = contrast(
        np.r_[before, after], np.repeat([0.0, 1.0], 40), np.tile(np.arange(40), 2), _each(80), is_share=False
    )
    paired = stats.ttest_rel(after, before)
    assert found is not None
    assert paired.pvalue == pytest.approx(found.p)
    assert paired.confidence_interval().low == pytest.approx(found.low)


def test_one_stratum_has_the_interval_of_welch() -> None:
    """Unequal variances are allowed for; the degrees of freedom are those of Student."""
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=50), rng.normal(1, 3, 70)
    found = contrast(
        np.r_[first, second], np.repeat([0.0, 1.0], [50, 70]), np.zeros(120, dtype=int), _each(120), is_share=False
    )
    se = np.sqrt(first.var(ddof=1) / 50 + second.var(ddof=1) / 70)
    assert found is not None
    assert se == pytest.approx((found.high - found.low) / 2 / stats.t.ppf(0.975, 118), rel=1e-6)


def test_strata_with_one_value_are_left_out_and_counted() -> None:
    """Only where both occurred is anything compared; without such a stratum there is no comparison."""
    y, x = np.array([0.0, 1.0, 1.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0, 1.0])
    found = contrast(y, x, np.array([0, 0, 0, 1, 1]), _each(5), is_share=True)
    assert found is not None
    assert (2, 1, 2, 1) == (found.n_first, found.n_second, found.left_out, found.strata)
    assert contrast(y, x, np.array([0, 0, 1, 1, 1]), _each(5), is_share=True) is None


def test_shares_that_are_all_equal_still_have_an_interval() -> None:
    """20 of 20 against 20 of 20 is no proof of equality, and 20 of 20 against none has Fisher's p."""
    x, one = np.repeat([0.0, 1.0], 20), np.zeros(40, dtype=int)
    same = contrast(np.ones(40), x, one, _each(40), is_share=True)
    assert same is not None
    assert same.low < -0.1 < 0.1 < same.high
    assert 1.0 == same.p
    apart = contrast(x.copy(), x, one, _each(40), is_share=True)
    assert apart is not None
    assert 0 < apart.p < 1e-9


def test_benjamini_and_hochberg_by_hand() -> None:
    """Adjusted p-values of their paper's recipe, in the order given."""
    assert benjamini_hochberg([0.04, 0.01, 0.03, 0.5]) == pytest.approx([0.16 / 3, 0.04, 0.16 / 3, 0.5])
    assert [] == list(benjamini_hochberg([]))


def test_e_values_are_held_against_their_number() -> None:
    """One of four needs 80; the second needs 40."""
    assert [True, False, False, False] == e_benjamini_hochberg([81, 39, 1, 0]).tolist()
    assert [True, True, False, False] == e_benjamini_hochberg([50, 41, 1, 0]).tolist()
    assert [False] * 2 == e_benjamini_hochberg([39, 19]).tolist()


def test_codes_tell_labels_apart() -> None:
    """Equal labels get equal numbers."""
    assert [1, 0, 1] == codes(["b", "a", "b"]).tolist()
