"""Paired differences, Holm and power against scipy, statsmodels, hand calculation and simulation."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import integrate, special, stats
from statsmodels.stats.multitest import multipletests

from traitbench.errors import BadData, UnknownName
from traitbench.statistics import stratified_mean
from traitbench.statistics.comparison import PairedDifference, holm, n_for_power, paired, power

A = np.array([3.1, 4.2, 2.8, 3.9, 4.4, 3.0, 2.2, 3.7, 2.9, 4.8, 3.3, 1.9])
B = np.array([2.7, 4.0, 2.9, 3.1, 4.1, 2.2, 2.4, 3.0, 2.9, 4.1, 3.4, 1.2])
KEYS = np.array([1] * 8 + [-1] * 4)


def test_holm_by_hand() -> None:
    """Holm (1979): the smallest times the number of tests, the next times one less, never falling, at most 1."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    rng = np.random.default_rng(0)
    p = list(rng.uniform(0, 0.2, 20))
    by_hand, running = [0.0] * 20, 0.0
    for rank, i in enumerate(sorted(range(20), key=p.__getitem__)):
        running = max(running, min(1.0, (20 - rank) * p[i]))
        by_hand[i] = running
    assert holm(p) == pytest.approx(by_hand)


@pytest.mark.parametrize("n", [1, 2, 7, 120])
def test_holm_is_statsmodels_to_the_last_digit(n: int) -> None:
    """Ties, zeros and ones included."""
    p = np.round(np.random.default_rng(n).random(n) ** 3, 2)
    assert holm(p.tolist()) == multipletests(p, method="holm")[1].tolist()


def test_holm_passes_over_tests_that_were_not_made() -> None:
    assert holm([None, 0.01, None, 0.04]) == [None, pytest.approx(0.02), None, pytest.approx(0.04)]
    assert holm([None, None]) == [None, None] and holm([]) == []
    assert all(type(p) is float for p in holm([np.float64(0.01), 0, 1]))


def test_holm_keeps_the_error_rate() -> None:
    """At most 5 % of families of six true nulls have a rejection; unadjusted it is 26 %."""
    families = np.random.default_rng(1).uniform(size=(1000, 6))
    smallest = families.min(axis=1)
    rejected = sum(min(p or 0 for p in holm(list(family))) < 0.05 for family in families) / 1000
    assert 0.028 < rejected < 0.07
    assert np.mean(smallest < 0.05) > 0.24


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan, math.inf])
def test_holm_refuses_what_is_no_p_value(wrong: float) -> None:
    with pytest.raises(UnknownName, match="out of range"):
        holm([0.5, wrong])


def test_one_stratum_is_the_paired_t_test() -> None:
    found, theirs = paired(A, B), stats.ttest_rel(A, B)
    ci = theirs.confidence_interval(0.95)
    assert found.difference == pytest.approx((A - B).mean())
    assert (found.t, found.p, found.df) == (pytest.approx(theirs.statistic), pytest.approx(theirs.pvalue), 11)
    assert found.ci == pytest.approx((ci.low, ci.high))
    assert found.d_z == pytest.approx((A - B).mean() / (A - B).std(ddof=1))
    assert (found.n, found.missing, found.reason) == (12, 0, "")


@pytest.mark.parametrize("weights", ["items", "halves"])
def test_strata_agree_with_the_intervals_of_scores(weights: Any) -> None:
    """p < .05 exactly where the 95 % interval of stratified_mean leaves out 0."""
    found, estimate = paired(A, B, KEYS, weights), stratified_mean(A - B, KEYS, weights)
    assert (found.difference, found.se, found.ci) == estimate[:3] and found.df == 10
    for shift in np.linspace(-0.3, 1.1, 29):
        moved = paired(A - shift, B, KEYS, weights)
        assert moved.ci and moved.p is not None
        assert (moved.p < 0.05) == (not moved.ci[0] <= 0 <= moved.ci[1])
    edge = paired(A - estimate.ci[0], B, KEYS, weights) if estimate.ci else None
    assert edge and edge.p == pytest.approx(0.05)


SKEWED = np.random.default_rng(21).lognormal(0, 1.2, 24)
OUTLIERS = np.random.default_rng(37).standard_t(2, 24)
MIXED = np.array([1, -1] * 12)


@pytest.mark.parametrize("weights", ["items", "halves"])
@pytest.mark.parametrize("values", [SKEWED, -SKEWED, OUTLIERS], ids=["right", "left", "outliers"])
@pytest.mark.parametrize("level", [0.95, 0.9])
def test_p_belongs_to_the_interval_of_skewed_differences(values: Any, weights: Any, level: float) -> None:
    """p < 1 - level exactly where the interval leaves out 0, whichever rule made its sides."""
    factors = set()
    for shift in np.linspace(-4, 4, 161):
        found = paired(values - shift, np.zeros(24), MIXED, weights, level)
        assert found.ci and found.p is not None and found.se and found.df and found.difference is not None
        assert (found.p < 1 - level) == (not found.ci[0] <= 0 <= found.ci[1]), shift
        assert found.se == stratified_mean(values - shift, MIXED, weights).se
        critical = stats.t.isf((1 - level) / 2, found.df) * found.se
        factors |= {round((found.ci[1] - found.difference) / critical, 3),
                    round((found.difference - found.ci[0]) / critical, 3)}  # fmt: skip
    assert factors != {1.0}


def test_flipped_signs_are_fishers_test() -> None:
    """All 2^10 flips of ten differences with an outlier, studentised, against the interval that p belongs to."""
    d = np.array([0.3, -0.4, 0.2, 0.5, -0.1, 0.6, 6.0, 0.4, -0.2, 0.35])
    flips = np.array([[1 if mask >> i & 1 else -1 for i in range(10)] for mask in range(1024)]) * d
    t = np.abs(flips.mean(axis=1) / (flips.std(axis=1, ddof=1) / math.sqrt(10)))
    exact = np.mean(t >= abs(d.mean() / stats.sem(d)) - 1e-9)
    found = paired(d, np.zeros(10))
    assert found.p is not None and found.t is not None and found.df is not None
    # The left side is not lengthened, so the critical value there is the quantile of the flips.
    assert found.ci and found.difference and found.se
    ours = (found.difference - found.ci[0]) / found.se
    assert ours == pytest.approx(np.quantile(t, 0.95), rel=0.04) and ours < stats.t.isf(0.025, 9)
    assert (found.p < 0.05) == (exact < 0.05)


def test_facets_and_templates_of_both_runs() -> None:
    rng = np.random.default_rng(23)
    a, b = rng.normal(0, 1, (24, 3)) + rng.normal(0, 1, 3), rng.normal(0, 1, (24, 3))
    a[3, 1] = b[5] = np.nan
    facets = [f"f{i // 4}" for i in range(24)]
    found = paired(a, b, MIXED, clusters=facets, over=("templates",))
    estimate = stratified_mean(a - b, MIXED, clusters=facets, over=("templates",))
    assert (found.difference, found.se, found.ci, found.df) == (*estimate[:3], estimate.df)
    assert found.covers == list(estimate.covers) and found.covers[1] == "templates"
    assert (found.n, found.missing) == (23, 1)
    with pytest.raises(BadData, match="each of the fits"):
        paired(a, b, MIXED, over=("templates", "fits"))


def test_swapping_the_runs_swaps_the_sign() -> None:
    forth, back = paired(A, B, KEYS), paired(B, A, KEYS)
    assert forth.difference and forth.ci and back.ci and forth.d_z
    assert back.difference == pytest.approx(-forth.difference) and back.p == pytest.approx(forth.p)
    assert back.ci == pytest.approx((-forth.ci[1], -forth.ci[0])) and back.d_z == pytest.approx(-forth.d_z)


def test_items_missing_in_one_run_are_left_out_of_both() -> None:
    a, b = A.copy(), B.copy()
    a[0], b[0], b[5] = np.nan, np.nan, np.nan
    kept = np.delete(np.arange(12), [0, 5])
    found, plain = paired(a, b, KEYS), paired(A[kept], B[kept], KEYS[kept])
    assert found == plain.model_copy(update={"missing": 2}) and found.n == 10


def test_pairing_pays_and_the_null_is_rejected_as_often_as_it_says() -> None:
    rng, low = np.random.default_rng(2), 0
    for _ in range(2000):
        items = rng.normal(0, 1, 10)
        found = paired(items + rng.normal(0, 0.3, 10), items + rng.normal(0, 0.3, 10))
        low += found.p is not None and found.p < 0.05
    assert 76 <= low <= 126, low


@pytest.mark.parametrize("shift", [0.0, 0.1, -2.0])
@pytest.mark.parametrize("keys", [None, KEYS])
def test_differences_that_do_not_vary_have_no_test(shift: float, keys: Any) -> None:
    found = paired(A + shift, A, keys)
    assert found.difference == pytest.approx(shift, abs=1e-12) and found.se == 0 and found.n == 12
    assert found.ci == (found.difference, found.difference)
    assert found.p is None and found.t is None and found.d_z is None and "no differences vary" in found.reason


def test_too_few_pairs() -> None:
    for a, b, keys in (([2.0], [1.0], None), ([2.0, 4.0], [1.0, 3.5], [1, -1])):
        found = paired(a, b, keys)
        assert found.difference is not None and found.ci is None and found.p is None and "too few" in found.reason
    for a, b in (([], []), ([np.nan, 1.0], [1.0, np.nan])):
        found = paired(a, b)
        assert found.difference is None and found.n == 0 and found.missing == len(a) and "no item" in found.reason


def test_what_is_no_pair_is_refused() -> None:
    for a, b, keys in ((A, B[:-1], None), (A, B, KEYS[:-1]), (A[None], B[None], None)):
        with pytest.raises(BadData, match="no pairs"):
            paired(a, b, keys)


def test_paired_survives_json() -> None:
    for found in (paired(A, B, KEYS), paired(A, A), paired([1.0], [2.0])):
        text = json.dumps(found.model_dump(mode="json"), allow_nan=False)
        assert PairedDifference.model_validate_json(text) == found


@pytest.mark.parametrize(("d", "n", "alpha"), [(0.5, 34, 0.05), (0.2, 60, 0.01), (1.0, 6, 0.05), (0.0, 9, 0.05)])
def test_power_is_the_noncentral_t(d: float, n: int, alpha: float) -> None:
    critical = stats.t.isf(alpha / 2, n - 1)
    by_hand = stats.nct.sf(critical, n - 1, d * math.sqrt(n)) + stats.nct.cdf(-critical, n - 1, d * math.sqrt(n))
    for effect in (d * 3.0, -d * 3.0):
        assert power(effect, 3.0, n, alpha).value == pytest.approx(by_hand, abs=1e-9)


def test_power_of_cohens_example() -> None:
    """Cohen (1988): d = .5 and two-sided .05 need 34 pairs for a power of .80 (as G*Power, which prints .8078)."""
    assert power(0.5, 1, 34).value == pytest.approx(0.8078, abs=5e-5)
    assert n_for_power(0.5, 1).value == 34
    assert n_for_power(0.2, 1).value == 199 and n_for_power(0.8, 1).value == 15


@pytest.mark.parametrize(("effect", "n"), [(0.3, 12), (0.6, 24), (1.2, 8)])
def test_power_is_how_often_the_test_rejects(effect: float, n: int) -> None:
    """10,000 simulated pairs of runs."""
    rng = np.random.default_rng(3)
    differences = rng.normal(effect, 0.9, (10_000, n))
    rejected = np.mean(stats.ttest_1samp(differences, 0, axis=1).pvalue < 0.05)
    assert power(effect, 0.9, n).value == pytest.approx(rejected, abs=3 * 0.5 / 100)
    mine = np.mean([(paired(d, np.zeros(n)).p or 1) < 0.05 for d in differences[:1000]])
    # Not exactly t: the few samples that look skewed are tested with a longer side.
    assert mine == pytest.approx(np.mean(stats.ttest_1samp(differences[:1000], 0, axis=1).pvalue < 0.05), abs=0.01)


def test_power_where_the_library_has_none() -> None:
    """Large noncentralities, where statsmodels 0.15 gives NaN: against the integral over the chi density."""
    for d, n, alpha in ((50, 2, 0.05), (20, 2, 0.05), (2, 30, 0.05), (1.1528, 120, 0.05), (5.26646239348427, 50, 0.1),
                        (33.035991201283395, 2, 0.5), (0.0126, 100_000, 1e-6)):  # fmt: skip
        df, centre = n - 1, d * math.sqrt(n)
        critical = stats.t.isf(alpha / 2, df)
        scale = stats.chi(df, scale=1 / math.sqrt(df))

        def rejects(s: float, centre: float = centre, critical: float = critical, scale: Any = scale) -> float:
            both = special.ndtr(centre - critical * s) + special.ndtr(-centre - critical * s)
            return float(both * scale.pdf(s))

        low, high = scale.ppf([1e-13, 1 - 1e-13])
        exact = integrate.quad(rejects, low, high, limit=500, epsabs=1e-12)[0]
        assert power(d, 1, n, alpha).value == pytest.approx(exact, abs=1e-7)


def test_power_is_a_rising_probability() -> None:
    for d in np.geomspace(1e-4, 1e4, 25):
        found = [power(d, 1, n).value for n in (2, 3, 5, 8, 24, 60, 120, 1000, 100_000, 10_000_000)]
        assert all(v is not None and 0.05 - 1e-9 <= v <= 1 for v in found), (d, found)
        assert all(a <= b + 1e-9 for a, b in pairwise(found))  # type: ignore[operator]


@pytest.mark.parametrize("d", [0.02, 0.1, 0.35, 0.9, 3.0, 40.0])
@pytest.mark.parametrize(("share", "alpha"), [(0.8, 0.05), (0.95, 0.01)])
def test_n_for_power_is_the_smallest(d: float, share: float, alpha: float) -> None:
    n = n_for_power(-d * 2, 2.0, share, alpha).value
    assert n is not None and n == int(n) and n >= 2
    at, before = power(d, 1, int(n), alpha).value, power(d, 1, int(n) - 1, alpha).value
    assert at is not None and at >= share
    assert before is None or before < share


def test_power_with_nothing_to_find() -> None:
    assert power(0.0, 1.0, 20).value == pytest.approx(0.05)
    assert n_for_power(0.0, 1.0).reason == "no effect is found with any number of values"
    assert n_for_power(0.3, 1.0, power=0.01).value == 2
    assert n_for_power(0.3, 1.0, power=0.01, worth=0.3).value == 7
    assert "more than 1,000,000" in n_for_power(1e-5, 1.0).reason
    for effect, sd, reason in ((0.5, 0.0, "SD of zero"), (0.5, -1.0, "negative"), (math.nan, 1.0, "not a number"),
                               (0.5, math.inf, "not a number")):  # fmt: skip
        assert power(effect, sd, 20).value is None and reason in power(effect, sd, 20).reason
        assert n_for_power(effect, sd).value is None and reason in n_for_power(effect, sd).reason
    assert power(0.5, 1.0, 1) == (None, "a t test needs at least two values, not 1")
    assert power(1e300, 1e-300, 5).value == 1.0


@pytest.mark.parametrize("wrong", [0, 1, 5, -0.1, math.nan])
def test_power_refuses_what_is_no_share(wrong: float) -> None:
    with pytest.raises(UnknownName, match="out of range"):
        power(0.5, 1.0, 20, alpha=wrong)
    with pytest.raises(UnknownName, match="out of range"):
        n_for_power(0.5, 1.0, alpha=wrong)
    with pytest.raises(UnknownName, match="out of range"):
        n_for_power(0.5, 1.0, power=wrong)
