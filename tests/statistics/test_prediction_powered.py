"""PPI++ against the authors' package, against means, and by the coverage of its intervals."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from traitbench.errors import BadData, UnknownName
from traitbench.statistics.prediction_powered import corrected_difference, corrected_mean

Array = NDArray[np.float64]
PLACE = np.arange(200)
SCORES = 2.5 + 1.5 * np.sin(PLACE * 1.7) + 0.2 * np.cos(PLACE * 0.9)
PEOPLE = 1 + 0.7 * SCORES + 0.8 * np.sin(PLACE * 2.3 + 1)
RATINGS = np.where(PLACE % 5 == 0, PEOPLE, np.nan)
"""Forty of two hundred texts rated."""
PACKAGE = {
    1.0: (2.73064483, 2.470680012619077, 2.990609655485267),
    0.5: (2.72898411, 2.524098128572636, 2.9338700815026866),
    0.0: (2.72732338, 2.434436523447203, 3.020210228599098),
}
"""ppi-python 0.2.3 (its authors' package): ppi_mean_pointestimate and ppi_mean_ci by lam, of these numbers."""
TUNED, LAMBDA = (2.72920711, 2.5257814515097974, 2.9326327751942087), 0.567141692712384
"""The same with lam=None, and the lambda that it chooses."""


def drawn(rng: np.random.Generator, n: int, rest: int, judge: float, shift: float = 0.0) -> tuple[Array, Array]:
    people = rng.standard_normal(n + rest)
    scores = 1 + judge * people + rng.standard_normal(n + rest)
    return scores, np.where(np.arange(n + rest) < n, people + shift, np.nan)


@pytest.mark.parametrize("weight", [1.0, 0.5, 0.0])
def test_the_authors_package_at_a_given_weight(weight: float) -> None:
    """Theirs divides variances by n and takes the normal distribution."""
    found = corrected_mean(SCORES, RATINGS, weight)
    value, low, high = PACKAGE[weight]
    assert found.value == pytest.approx(value, abs=1e-8) and found.weight == weight
    n, rest, held = 40, 160, PLACE % 5 == 0
    parts = (PEOPLE - weight * SCORES)[held].var() / n, weight**2 * SCORES[~held].var() / rest
    assert (high - low) / 2 / stats.norm.ppf(0.975) == pytest.approx(sum(parts) ** 0.5, abs=1e-6)
    assert found.se == pytest.approx((parts[0] * 40 / 39 + parts[1] * 160 / 159) ** 0.5, abs=1e-9)
    assert found.ci and found.ci[0] < low and found.ci[1] > high


def test_the_weight_is_the_authors_but_for_a_divisor() -> None:
    """The covariance is over n - 1, theirs over n."""
    found = corrected_mean(SCORES, RATINGS)
    assert found.weight == pytest.approx(LAMBDA * 40 / 39, abs=1e-9)
    assert corrected_mean(SCORES, RATINGS, LAMBDA).value == pytest.approx(TUNED[0], abs=1e-8)
    assert found.ci == pytest.approx(TUNED[1:], abs=0.01)
    assert (found.texts, found.rated) == (200, 40)
    assert found.judge == pytest.approx(SCORES.mean()) and found.people == pytest.approx(np.nanmean(RATINGS))


def test_it_is_never_much_longer_than_the_interval_of_people_alone_and_shorter_with_a_good_judge() -> None:
    rng = np.random.default_rng(0)
    for judge, most in ((0.0, 1.05), (3.0, 0.65), (-3.0, 1.05)):
        scores, ratings = drawn(rng, 60, 600, judge)
        alone = corrected_mean(scores, ratings, 0.0)
        assert corrected_mean(scores, ratings).se < most * alone.se  # type: ignore[operator]


def test_without_a_judge_worth_its_name_it_is_the_mean_rating() -> None:
    rated = RATINGS[np.isfinite(RATINGS)]
    t = stats.ttest_1samp(rated, 0).confidence_interval()
    for scores in (np.full(200, 3.0), -SCORES):
        found = corrected_mean(scores, RATINGS)
        assert found.weight == 0 and found.value == pytest.approx(rated.mean())
        assert found.ci == pytest.approx((t.low, t.high)) and found.df == 39
    everyone = corrected_mean(SCORES, PEOPLE)
    assert everyone.weight == 0 and everyone.value == pytest.approx(PEOPLE.mean()) and everyone.rated == 200


@pytest.mark.parametrize(("n", "rest", "judge"), [(10, 100, 1.0), (30, 300, 0.5), (30, 60, 3.0), (40, 400, 0.0)])
def test_intervals_cover(n: int, rest: int, judge: float) -> None:
    """A judge who is wrong by 1 on the average; 800 draws: .95 is known to .008."""
    rng, covered, biased = np.random.default_rng(1), 0, 0
    for _ in range(800):
        scores, ratings = drawn(rng, n, rest, judge)
        found = corrected_mean(scores, ratings)
        covered += found.ci is not None and found.ci[0] <= 0 <= found.ci[1]
        biased += abs(found.judge or 0) < 2 * found.se  # type: ignore[operator]
    assert 0.925 <= covered / 800 <= 0.975 and biased < 0.1 * 800


def test_a_difference_of_two_groups() -> None:
    rng, covered = np.random.default_rng(2), 0
    for _ in range(300):
        a, b = drawn(rng, 25, 150, 1.0, shift=0.5), drawn(rng, 15, 100, 2.0)
        found = corrected_difference(*a, *b)
        assert found.value == pytest.approx((found.a.value or 0) - (found.b.value or 0))
        assert found.se == pytest.approx(np.hypot(found.a.se or 0, found.b.se or 0))
        covered += found.ci is not None and found.ci[0] <= 0.5 <= found.ci[1]
    assert 0.915 <= covered / 300 <= 0.985
    welch = stats.ttest_ind(PEOPLE[:30], SCORES[:50], equal_var=False)
    found = corrected_difference(np.ones(30), PEOPLE[:30], np.ones(50), SCORES[:50])
    assert found.df == pytest.approx(welch.df)
    assert found.ci == pytest.approx((welch.confidence_interval().low, welch.confidence_interval().high))


def test_what_cannot_be_had_says_why() -> None:
    none = corrected_mean(SCORES, np.full(200, np.nan))
    assert none.value is None and none.reason == "no text has both a score and a rating" and none.texts == 200
    few = np.where(PLACE < 9, PEOPLE, np.nan)
    found = corrected_mean(SCORES, few)
    assert found.value is not None and found.ci is None
    assert found.reason == "9 ratings; an interval needs at least 10"
    both = corrected_difference(SCORES, few, SCORES, RATINGS)
    assert both.value is not None and both.ci is None and both.reason == found.reason
    assert corrected_difference(SCORES, RATINGS, [], []).value is None
    one = corrected_mean([1.0], [2.0])
    assert one.value == 2 and one.ci is None
    equal = corrected_mean(np.ones(20), np.ones(20))
    assert equal.value == 1 and equal.se == 0 and equal.ci == (1, 1)


def test_a_text_without_a_score_is_left_out() -> None:
    scores = np.append(SCORES, [np.nan, np.nan])
    assert corrected_mean(scores, np.append(RATINGS, [3.0, np.nan])) == corrected_mean(SCORES, RATINGS)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(BadData, match="a place a text in both"):
        corrected_mean(SCORES, RATINGS[:-1])
    with pytest.raises(BadData, match="infinite"):
        corrected_mean([1, np.inf], [1, 2])
    with pytest.raises(UnknownName, match="weight 2"):
        corrected_mean(SCORES, RATINGS, 2)
    with pytest.raises(UnknownName, match="level 95"):
        corrected_mean(SCORES, RATINGS, level=95)
