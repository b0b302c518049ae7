"""Equivalence, flips and detectable effects against statsmodels, hand calculation and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from traitbench.errors import BadData, UnknownName
from traitbench.statistics.comparison import n_for_power, paired, power
from traitbench.statistics.equivalence import Flips, detectable, flips, tost, tost_shares

A = np.array([3.1, 4.2, 2.8, 3.9, 4.4, 3.0, 2.2, 3.7, 2.9, 4.8, 3.3, 1.9])
B = np.array([2.7, 4.0, 2.9, 3.1, 4.1, 2.2, 2.4, 3.0, 2.9, 4.1, 3.4, 1.2])
KEYS = np.array([1] * 8 + [-1] * 4)


@pytest.mark.parametrize("bound", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("sign", [1, -1])
def test_tost_is_that_of_statsmodels(bound: float, sign: int) -> None:
    found = tost(sign * A, sign * B, bound)
    p, *_ = ttost_paired(sign * A, sign * B, -bound, bound)
    assert found.p == pytest.approx(float(p), rel=1e-10)
    assert found.equivalent == (p < 0.05)


def test_tost_by_hand() -> None:
    """d = A - B: mean 1 / 3, SE .1163, t(11, .95) = 1.7959."""
    d = A - B
    se = d.std(ddof=1) / np.sqrt(12)
    found = tost(A, B, 0.5)
    half = stats.t.ppf(0.95, 11) * se
    assert found.ci == pytest.approx((d.mean() - half, d.mean() + half))
    assert found.p == pytest.approx(stats.t.cdf((d.mean() - 0.5) / se, 11))


@pytest.mark.parametrize("weights", ["items", "halves"])
def test_p_and_interval_agree_over_keyed_items(weights: str) -> None:
    base = paired(A, B, KEYS, weights, 0.9)  # type: ignore[arg-type]
    assert base.ci is not None
    edge = max(abs(base.ci[0]), abs(base.ci[1]))
    for bound, inside in ((edge * 1.001, True), (edge * 0.999, False)):
        found = tost(A, B, bound, KEYS, weights)  # type: ignore[arg-type]
        assert found.p is not None and (found.p < 0.05) == found.equivalent == inside


def test_at_the_bound_one_in_twenty_is_called_equivalent() -> None:
    rng = np.random.default_rng(3)
    d = rng.normal(0.4, 1, (2000, 60))
    share = np.mean([tost(row, np.zeros(60), 0.4).equivalent for row in d])
    assert 0.035 < share < 0.065


def test_equal_runs_are_equivalent_and_too_few_items_are_not() -> None:
    same = tost(A, A, 0.01)
    assert same.equivalent and same.p is None and same.ci == (0, 0) and "vary" in same.reason
    few = tost([1.0], [1.0], 0.5)
    assert not few.equivalent and few.ci is None and few.reason
    missing = tost(np.append(A, np.nan), np.append(B, 1.0), 0.5)
    assert missing == tost(A, B, 0.5)
    for bound in (0, -1, np.nan, np.inf):
        with pytest.raises(UnknownName, match="expected a number above 0"):
            tost(A, B, bound)


@pytest.mark.parametrize("counts", [(10, 5, 1, 4), (0, 0, 0, 3), (3, 7, 7, 0), (1, 0, 9, 1), (2, 30, 18, 5)])
def test_flips_are_mcnemars_of_statsmodels(counts: tuple[int, int, int, int]) -> None:
    both, one, other, neither = counts
    a = [True] * (both + one) + [False] * (other + neither)
    b = [True] * both + [False] * one + [True] * other + [False] * neither
    found = flips(a, b)
    assert (found.both, found.a_only, found.b_only, found.neither) == counts
    assert found.p == pytest.approx(float(mcnemar([[both, one], [other, neither]], exact=True).pvalue))
    turned = flips(b, a)
    assert (turned.a_only, turned.b_only, turned.p) == (other, one, found.p)


def test_flips_by_hand() -> None:
    """Six items in one run alone, five of them in a: 2 (1 + 6) / 64."""
    assert flips([True] * 5 + [False], [False] * 5 + [True]).p == pytest.approx(14 / 64)
    with pytest.raises(BadData, match="no pairs"):
        flips([True], [True, False])


def test_shares_by_hand() -> None:
    """Counts 7, 3, 1, 9, each with .5 more: d = 2 / 22, SE = sqrt(5 - 4 / 22) / 22."""
    found = tost_shares(Flips(both=7, a_only=3, b_only=1, neither=9, p=1), 0.3)
    se = np.sqrt(5 - 4 / 22) / 22
    assert found.ci == pytest.approx((2 / 22 - 1.6448536 * se, 2 / 22 + 1.6448536 * se))
    assert found.p == pytest.approx(stats.norm.cdf((2 / 22 - 0.3) / se)) and found.equivalent


@pytest.mark.parametrize(("n", "equivalent"), [(3, False), (30, False), (52, False), (53, True), (500, True)])
def test_no_flip_in_few_documents_is_no_proof(n: int, equivalent: bool) -> None:
    """Without a flip the interval is +- 1.645 / (n + 2): within .03 from 53 documents on."""
    assert tost_shares(flips([True] * n, [True] * n), 0.03).equivalent == equivalent


@pytest.mark.parametrize(("n", "shared"), [(60, 0.0), (300, 0.1), (1000, 0.02)])
def test_shares_at_the_bound_are_rarely_called_equivalent(n: int, shared: float) -> None:
    rng, bound, found = np.random.default_rng(5), 0.05, 0
    for one, other in rng.multinomial(n, [bound + shared, shared, 1 - bound - 2 * shared], 4000)[:, :2]:
        rest = n - int(one) - int(other)
        counts = Flips(both=rest, a_only=int(one), b_only=int(other), neither=0, p=1)
        found += tost_shares(counts, bound).equivalent
    assert found / 4000 < 0.075


@pytest.mark.parametrize("n", [3, 8, 24, 200])
def test_the_smallest_effect_to_be_seen(n: int) -> None:
    found = detectable(2.5, n).value
    assert found is not None
    assert found == pytest.approx(2.5 * float(TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)), rel=1e-5)
    assert power(found, 2.5, n).value == pytest.approx(0.8)
    assert n_for_power(found * 1.0001, 2.5).value == n


def test_what_cannot_be_seen_says_why() -> None:
    assert detectable(0.0, 10) == (None, "an SD of zero has no effect size")
    assert detectable(1.0, 1).reason
    with pytest.raises(UnknownName):
        detectable(1.0, 10, share=0.01)
