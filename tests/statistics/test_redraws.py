"""Sums of mean errors over redraws of persons, against plain loops and the bootstrap that redraws one at a time."""

from __future__ import annotations

import math
from statistics import fmean

import numpy as np
import pytest
from scipy import stats

from traitbench.errors import BadData, UnknownName
from traitbench.statistics.bootstrap import cluster_bootstrap
from traitbench.statistics.redraws import Redraws, mean_over_persons, pearson

GROUPS = ["a"] * 4 + ["b"] * 6


def errors(n: int = 25, seed: int = 0, missing: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = rng.gamma(2, 0.5, (n, 10)) + rng.normal(0, 0.2, n)[:, None] ** 2
    return np.where(rng.random(found.shape) < missing, np.nan, found)


def by_hand(table: np.ndarray) -> float:
    cells = {g: [float(v) for r in table for v, h in zip(r, GROUPS, strict=True) if h == g and v == v] for g in "ab"}
    return fmean(cells["a"]) + fmean(cells["b"])


def loop(table: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        return float(np.nanmean(table[:, :4]) + np.nanmean(table[:, 4:]))


class TestAverage:
    def test_value_and_interval(self) -> None:
        table = errors()
        found = Redraws(25, GROUPS, 2000, 1).average(table)
        assert found.value == pytest.approx(by_hand(table), abs=1e-12) and found.n == 25
        other = cluster_bootstrap(table, range(25), loop, 2000, 2)
        assert found.ci and other.se
        half = float(stats.t.isf(0.025, 24)) * other.se * math.sqrt(25 / 24)
        assert found.ci == pytest.approx((found.value - half, found.value + half), abs=0.08 * half)

    def test_covers(self) -> None:
        """Intervals of twenty persons hold the truth in about 95 of 100 samples."""
        rng = np.random.default_rng(0)
        hits = 0
        for trial in range(400):
            table = rng.normal(1, 0.3, 20)[:, None] + rng.normal(0, 0.5, (20, 10))
            ci = Redraws(20, GROUPS, 300, trial).average(table).ci
            hits += bool(ci and ci[0] <= 2 <= ci[1])
        assert 0.92 <= hits / 400 <= 0.98

    def test_seeded(self) -> None:
        one, two, three = (Redraws(25, GROUPS, 200, seed).average(errors()) for seed in (3, 3, 4))
        assert one == two != three

    def test_one_person(self) -> None:
        found = Redraws(1, GROUPS).average(errors(1, missing=0))
        assert found.value is not None and found.ci is None and "one person" in found.reason

    def test_only_one_person_has_cells(self) -> None:
        table = errors(4, missing=0)
        table[1:] = np.nan
        found = Redraws(4, GROUPS).average(table)
        assert found.value == pytest.approx(by_hand(table)) and (found.n, found.ci) == (1, None)

    def test_nothing(self) -> None:
        for table in (np.full((3, 10), np.nan), np.where(np.arange(10) < 4, np.nan, errors(3, missing=0))):
            found = Redraws(3, GROUPS).average(table)
            assert found.value is None and found.ci is None and "no item" in found.reason
        empty = Redraws(0, GROUPS).average(np.empty((0, 10)))
        assert empty.value is None and empty.n == 0

    def test_a_group_that_few_answered(self) -> None:
        table = errors(10, missing=0)
        table[1:, :4] = np.nan
        found = Redraws(10, GROUPS).average(table)
        assert found.value is not None and found.ci is None and "redraws" in found.reason

    def test_no_variance(self) -> None:
        found = Redraws(5, GROUPS).average(np.ones((5, 10)))
        assert found.value == 2 and found.ci == pytest.approx((2, 2))

    def test_each(self) -> None:
        table = errors(6)
        table[2, :4] = np.nan
        found = Redraws(6, GROUPS).each(table)
        assert np.isnan(found[2])
        for row, value in zip(np.delete(table, 2, 0), np.delete(found, 2), strict=True):
            assert value == pytest.approx(by_hand(row[None]), abs=1e-12)


class TestDifference:
    def test_paired_by_cell(self) -> None:
        a, b = errors(30, 1), errors(30, 2)
        found = Redraws(30, GROUPS, 2000, 0).difference(a, {"b": b})
        both = np.isfinite(a) & np.isfinite(b)
        x, y = np.where(both, a, np.nan), np.where(both, b, np.nan)
        assert found.to == "b" and found.value == pytest.approx(by_hand(x) - by_hand(y), abs=1e-12)
        pairs = np.stack([x, y], axis=2)
        other = cluster_bootstrap(pairs, range(30), lambda t: loop(t[..., 0]) - loop(t[..., 1]), 2000, 5)
        assert found.ci and other.se and found.p is not None and found.value is not None
        se = other.se * math.sqrt(30 / 29)
        half = float(stats.t.isf(0.025, 29)) * se
        assert found.ci == pytest.approx((found.value - half, found.value + half), abs=0.08 * half)
        assert found.p == pytest.approx(2 * stats.t.sf(abs(found.value) / se, 29), abs=0.05)

    def test_complete_cells_are_the_paired_t_test(self) -> None:
        a, b = errors(40, 1, 0) + 0.06, errors(40, 2, 0)
        found = Redraws(40, GROUPS, 20000, 0).difference(a, {"b": b})
        sums = [x[:, :4].mean(axis=1) + x[:, 4:].mean(axis=1) for x in (a, b)]
        test = stats.ttest_rel(*sums)
        low, high = test.confidence_interval()
        assert found.p == pytest.approx(test.pvalue, rel=0.1) and 0.001 < test.pvalue < 0.9
        assert found.ci == pytest.approx((low, high), abs=0.03 * (high - low))

    def test_pairing_helps(self) -> None:
        rng = np.random.default_rng(0)
        hard = rng.normal(2, 1, 30)[:, None]
        a, b = hard + rng.normal(0, 0.1, (30, 10)), hard + 0.2 + rng.normal(0, 0.1, (30, 10))
        redraws = Redraws(30, GROUPS, 500, 0)
        ci, alone = redraws.difference(a, {"b": b}).ci, redraws.average(a).ci
        assert ci and alone and ci[1] < 0 and ci[1] - ci[0] < 0.2 * (alone[1] - alone[0])

    def test_nearest_is_looked_for_in_every_redraw(self) -> None:
        a, others = errors(20, 1, 0), {name: errors(20, seed, 0) for name, seed in (("b", 2), ("c", 3), ("d", 4))}
        found = Redraws(20, GROUPS, 2000, 0).difference(a, others)
        lowest = min(others, key=lambda name: by_hand(others[name]))
        assert found.to == lowest and found.p is None and found.reason == ""
        assert found.value == pytest.approx(by_hand(a) - by_hand(others[lowest]))
        every = np.stack([a, *others.values()], axis=2)

        def statistic(t: np.ndarray) -> float:
            return loop(t[..., 0]) - min(loop(t[..., i]) for i in (1, 2, 3))

        other = cluster_bootstrap(every, range(20), statistic, 2000, 9)
        assert found.ci and found.value is not None and other.se
        half = float(stats.t.isf(0.025, 19)) * other.se * math.sqrt(20 / 19)
        assert found.ci[1] - found.value == pytest.approx(half, rel=0.08)

    def test_the_same_for_everybody(self) -> None:
        a = errors(10, missing=0)
        found = Redraws(10, GROUPS).difference(a + 0.1, {"b": a})
        assert found.value == pytest.approx(0.2) and found.p is None and "same for every person" in found.reason
        assert found.ci == (found.value, found.value)

    def test_nothing_in_common(self) -> None:
        a, b = errors(4, missing=0), errors(4, missing=0)
        a[:, :4], b[:2] = np.nan, np.nan
        found = Redraws(4, GROUPS).difference(a, {"b": b})
        assert (found.to, found.value, found.ci, found.p, found.n) == ("b", None, None, None, 2) and found.reason

    def test_one_person(self) -> None:
        found = Redraws(1, GROUPS).difference(errors(1, 1, 0), {"b": errors(1, 2, 0)})
        assert found.value is not None and (found.ci, found.p) == (None, None) and "one person" in found.reason


def test_out_of_range() -> None:
    with pytest.raises(UnknownName, match="iterations 1 is out of range"):
        Redraws(3, GROUPS, 1)
    with pytest.raises(BadData, match="an item at least"):
        Redraws(3, [])


def test_mean_over_persons() -> None:
    x = np.random.default_rng(0).normal(0.4, 0.2, 15)
    found = mean_over_persons([*x, np.nan])
    low, high = stats.ttest_1samp(x, 0).confidence_interval()
    assert found.value == pytest.approx(x.mean()) and found.ci == pytest.approx((low, high)) and found.n == 15
    assert mean_over_persons([np.nan]).value is None and mean_over_persons([]).reason
    assert mean_over_persons([0.5]).ci is None and "one person" in mean_over_persons([0.5]).reason


def test_pearson() -> None:
    a, b = np.random.default_rng(0).normal(0, 1, (2, 30))
    assert pearson(a, b) == pytest.approx(stats.pearsonr(a, b).statistic, abs=1e-12)
    a[3], b[5] = np.nan, np.nan
    held = np.delete(np.arange(30), [3, 5])
    assert pearson(a, b) == pytest.approx(stats.pearsonr(a[held], b[held]).statistic, abs=1e-12)
    assert pearson(a, 2 * a + 1) == pytest.approx(1) and pearson(a, -a) == pytest.approx(-1)
    assert pearson(np.full(30, 0.1) * 3, b) is None and pearson(a, np.full(30, 4.0)) is None
    assert pearson([1, 2], [2, 1]) is None and pearson([1, np.nan, 2, np.nan], [1, 2, np.nan, 3]) is None
