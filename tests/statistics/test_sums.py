"""Sums of means: errors of units add up, what all terms have in common over replicates does not average out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from traitbench.statistics.intervals import Estimate, stratified_mean
from traitbench.statistics.sums import Term, total


def mean_of(values: list[np.ndarray], over: tuple[str, ...] = ()) -> Estimate:
    """The mean of several means, all of one key."""
    share = 1 / len(values)
    return total([Term(share, v, np.ones(len(v), dtype=int)) for v in values], over)


def test_a_mean_of_two_by_hand() -> None:
    """Errors add up; Satterthwaite's df; the second is turned."""
    one, two = np.array([0.1, 0.9, 0.5, 0.3, 0.7, 0.5]), np.array([-0.4, -0.2, -0.6, -0.1, -0.2])
    found = total([Term(0.5, one, np.ones(6, dtype=int)), Term(-0.5, two, np.ones(5, dtype=int))])
    squares = [stats.sem(one) ** 2 / 4, stats.sem(two) ** 2 / 4]
    df = sum(squares) ** 2 / (squares[0] ** 2 / 5 + squares[1] ** 2 / 4)
    assert found.value == pytest.approx((one.mean() - two.mean()) / 2)
    assert found.se == pytest.approx(math.sqrt(sum(squares))) and found.df == pytest.approx(df)
    half = stats.t.isf(0.025, df) * math.sqrt(sum(squares))
    assert found.ci == pytest.approx((found.value - half, found.value + half)) and found.n == 11


def test_one_term_is_its_own_interval() -> None:
    values = np.random.default_rng(1).normal(0, 1, (12, 3))
    keys = np.array([1, -1] * 6)
    ours = total([Term(1.0, values, keys, None, "halves")], ("templates",))
    theirs = stratified_mean(values, keys, "halves", over=("templates",))
    assert (ours.value, ours.se, ours.covers) == (theirs.value, pytest.approx(theirs.se), theirs.covers)


def test_a_mean_of_five_targets_covers() -> None:
    """Five targets of five items: normal quantiles would cover 93 %, where one of the errors is large 87 %."""
    rng, covered, normal = np.random.default_rng(9), 0, 0
    for _ in range(1500):
        found = mean_of([rng.normal(0, sd, 5) for sd in (1, 1, 1, 1, 4)])
        assert found.ci and found.value is not None and found.se
        covered += found.ci[0] <= 0 <= found.ci[1]
        normal += abs(found.value) <= 1.96 * found.se
    assert 0.93 <= covered / 1500 <= 0.97 and normal / 1500 < 0.92, (covered, normal)


def test_targets_that_share_their_templates_do_not_average_them_out() -> None:
    """Five targets of three templates that move all of them: the interval covers, where adding errors up would not."""
    rng, covered, apart = np.random.default_rng(12), 0, 0
    for _ in range(400):
        template = rng.normal(0, 1, 3)
        values = [rng.normal(0, 0.5, (8, 1)) + template + rng.normal(0, 0.3, (8, 3)) for _ in range(5)]
        found = mean_of(values, ("templates",))
        assert found.ci and found.value is not None
        covered += found.ci[0] <= 0 <= found.ci[1]
        alone = [stratified_mean(v, np.ones(8), over=("templates",)).se or 0.0 for v in values]
        apart += abs(found.value) <= 2.5 * math.hypot(*alone) / 5
    assert 0.92 <= covered / 400 <= 0.98 and apart / 400 < 0.85, (covered, apart)


def test_what_is_not_known() -> None:
    one, gone = np.arange(5.0), np.full(5, np.nan)
    assert mean_of([one, gone]).value is None
    bare = mean_of([one, np.array([1.0])])
    assert (bare.value, bare.se, bare.ci) == (1.5, None, None)
    flat = mean_of([np.full(4, 0.5)] * 2)
    assert flat.ci == (0.5, 0.5)


def test_templates_that_all_traits_share_cancel() -> None:
    """A template that makes everything more desirable widens the effect's interval and not the specific one's."""
    rng = np.random.default_rng(5)
    parts = [rng.normal(0, 0.3, (8, 3)) for _ in range(5)]
    keys = np.array([1, -1] * 4)
    shared = np.array([-0.6, 0.0, 0.6])
    shares = (1.0, -0.25, -0.25, -0.25, -0.25)
    plain = total([Term(c, v, keys) for c, v in zip(shares, parts, strict=True)], ("templates",))
    same = total([Term(c, v + shared, keys) for c, v in zip(shares, parts, strict=True)], ("templates",))
    assert same.value == pytest.approx(plain.value) and same.se == pytest.approx(plain.se, rel=0.02)
    assert set(same.covers) == {"items", "templates"}
    alone = total([Term(1.0, parts[0] + shared, keys)], ("templates",))
    assert alone.se and plain.se and alone.se > 2 * plain.se


def test_the_variance_of_a_sum_over_drawn_templates() -> None:
    """Mean squared SE is the variance of the sum over new items and templates, their traits' covariance included."""
    rng, keys = np.random.default_rng(7), np.ones(6, dtype=int)
    shares, found, squares = (1.0, 0.5), [], []
    for _ in range(1500):
        template = rng.normal(0, 0.5, 4)
        parts = [
            Term(c, rng.normal(0, 0.6, (6, 1)) + load * template + rng.normal(0, 0.3, (6, 4)), keys)
            for c, load in zip(shares, (1.0, 0.8), strict=True)
        ]
        estimate = total(parts, ("templates",))
        found.append(estimate.value)
        squares.append((estimate.se or 0) ** 2)
    true = sum(c**2 * (0.36 / 6 + 0.09 / 24) for c in shares) + 1.4**2 * 0.25 / 4
    assert np.var(found) == pytest.approx(true, rel=0.1)
    assert np.mean(squares) == pytest.approx(true, rel=0.12)
