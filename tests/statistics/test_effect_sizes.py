"""Standardised effects, their differences and ratios, against closed forms, simulation and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from traitbench.statistics.effect_sizes import apart, correlation, hedges, mean_of, standardised
from traitbench.statistics.intervals import Estimate, stratified_mean
from traitbench.statistics.ratios import ratio


def mean(values: list[float] | np.ndarray) -> Estimate:  # type: ignore[type-arg]
    return stratified_mean(values, np.ones(len(values), dtype=int))


def test_hedges_factor_is_that_of_the_chi_distribution() -> None:
    """E(1 / s) for df degrees of freedom, by numerical integration."""
    for df in (3, 7, 40):
        inverse = stats.chi(df).expect(lambda x, df=df: math.sqrt(df) / x)
        assert hedges(df) == pytest.approx(1 / inverse, rel=1e-6)
    assert hedges(2) == pytest.approx(1 / math.sqrt(math.pi)) and hedges(1) is None


def test_d_is_unbiased_and_its_interval_covers() -> None:
    rng, true = np.random.default_rng(0), 0.8
    for n, few in ((4, True), (40, False)):
        found = [standardised(mean(rng.normal(true, 1, n)), n - 1) for _ in range(1500)]
        values = [e.value for e in found if e.value is not None]
        assert np.mean(values) == pytest.approx(true, abs=0.07)
        inside = np.mean([e.ci[0] <= true <= e.ci[1] for e in found if e.ci])
        assert inside > 0.925 and (few or inside < 0.975)


def test_d_is_the_mean_over_the_sd_less_what_few_items_add() -> None:
    x = [0.1, 0.4, 0.2, 0.5, 0.3]
    found = standardised(mean(x), 4)
    assert found.value == pytest.approx(hedges(4) * 0.3 / np.std(x, ddof=1))  # type: ignore[operator]
    d = found.value or 0
    assert found.se == pytest.approx(math.sqrt((hedges(4) or 0) ** 2 / 5 + d**2 / 8))
    assert standardised(mean([0.0] * 6), 5) == Estimate(0.0, 0.0, (0.0, 0.0), 6)
    assert standardised(mean([0.2] * 6), 5).value is None, "what has no SD has no d"
    assert standardised(mean([0.2, 0.3]), 1).value is None
    assert standardised(Estimate(None, None, None, 0), 5).value is None


def test_a_difference_of_two_is_welchs() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(1, 1, 12), rng.normal(0, 3, 9)
    found, theirs = apart(mean(a), mean(b)), stats.ttest_ind(a, b, equal_var=False)
    assert found.value == pytest.approx(a.mean() - b.mean()) and found.df == pytest.approx(theirs.df)
    assert found.value / (found.se or 0) == pytest.approx(theirs.statistic)
    assert apart(mean(a), Estimate(None, None, None, 0)).value is None


def test_a_mean_of_several_adds_up_their_errors() -> None:
    found = mean_of([Estimate(1.0, 0.3, (0, 2), 5, None, 4.0), Estimate(3.0, 0.4, (2, 4), 7, None, 6.0)])
    assert (found.value, found.n) == (2.0, 12) and found.se == pytest.approx(0.25)
    assert mean_of([]).value is None and mean_of([Estimate(1.0, None, None, 1)]).value is None


def test_a_correlation_says_what_it_rests_on() -> None:
    assert correlation([1, 2], [3, 4]) == (None, None)
    assert correlation([1, 2, 3], [1, 2, 4])[1] is None
    x, y = [1.0, 2, 3, 5, 4], [2.0, 1, 4, 5, 3]
    r, ci = correlation(x, y)
    theirs = stats.pearsonr(x, y)
    assert r == pytest.approx(theirs.statistic) and ci == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert correlation([1, 1, 1, 1], x[:4]) == (None, None)


def test_a_ratio_holds_every_share_that_is_not_refuted() -> None:
    """Fieller's interval by brute force: the shares r at which the t test of top - r bottom does not reject."""
    rng = np.random.default_rng(2)
    bottom = rng.normal(1, 0.5, 15)
    top = 0.6 * bottom + rng.normal(0, 0.3, 15)
    found = ratio(mean(top), mean(bottom), mean(top - bottom))
    grid = np.linspace(-1, 3, 40001)
    kept = grid[stats.ttest_1samp(top[:, None] - grid * bottom[:, None], 0).pvalue >= 0.05]
    assert found.value == pytest.approx(top.mean() / bottom.mean())
    assert found.ci == pytest.approx((kept[0], kept[-1]), abs=2e-3)
    same = ratio(mean(bottom), mean(bottom), mean(bottom - bottom))
    assert same.value == 1 and same.ci == pytest.approx((1, 1), abs=1e-6)


def test_a_share_of_nothing_is_none() -> None:
    noise = mean([-0.2, 0.3, 0.1, -0.1, 0.05])
    found = ratio(noise, noise, mean([0.0] * 5))
    assert found.value is None and "not clear of 0" in found.reason
    assert ratio(Estimate(1.0, None, None, 1), noise, noise).reason == "an effect has no error"
