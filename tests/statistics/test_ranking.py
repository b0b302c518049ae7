"""Ranks from paired tests: by hand, by brute force, and by simulation beside the overlap of intervals."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from traitbench.statistics.comparison import holm
from traitbench.statistics.intervals import Estimate, p_value, stratified_mean
from traitbench.statistics.ranking import Rank, ranks, superiority, unpaired
from traitbench.statistics.sums import Term, total


def estimate(value: float, se: float | None, df: float | None = None) -> Estimate:
    return Estimate(value, se, None, 0, None, df)


def test_three_by_hand() -> None:
    """0 is far above 2 (p .0004, x 3), not above 1 (p .32); 1 is above 2 at first (p .03), not with Holm (x 2)."""
    found = ranks(3, {(0, 1): estimate(1, 1), (0, 2): estimate(3.54, 1), (1, 2): estimate(2.17, 1)})
    assert [(r.low, r.high) for r in found] == [(1, 2), (1, 3), (2, 3)]
    phi = stats.norm.cdf
    by_hand = [(phi(1) + phi(3.54)) / 2, (phi(-1) + phi(2.17)) / 2, (phi(-3.54) + phi(-2.17)) / 2]
    assert [r.superiority for r in found] == pytest.approx(by_hand)
    assert sum(r.superiority or 0 for r in found) == pytest.approx(1.5), "one half each on average"


def test_alone_there_is_one_rank_and_nobody_to_be_better_than() -> None:
    assert ranks(1, {}) == [Rank(1, 1, None)]
    assert ranks(0, {}) == []


def test_a_pair_that_cannot_be_tested_tells_nothing_apart() -> None:
    found = ranks(3, {(0, 1): None, (0, 2): estimate(9, 1), (1, 2): estimate(5, None)})
    assert [(r.low, r.high) for r in found] == [(1, 2), (1, 3), (2, 3)]
    assert found[1].superiority is None
    # The untested pairs are no part of Holm's family: this p of .04 alone stays .04.
    lone = ranks(3, {(0, 1): None, (0, 2): estimate(stats.norm.isf(0.02), 1), (1, 2): None})
    assert [(r.low, r.high) for r in lone] == [(1, 2), (1, 3), (2, 3)]


def test_p_and_superiority_are_those_of_the_t_test() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.3, 1, 20), rng.normal(0, 1, 20)
    found = stratified_mean(a - b, np.ones(20))
    theirs = stats.ttest_rel(a, b)
    assert p_value(found) == pytest.approx(theirs.pvalue)
    assert superiority(found) == pytest.approx(1 - stats.ttest_rel(a, b, alternative="greater").pvalue)


def test_differences_that_do_not_vary() -> None:
    exact = [estimate(0.2, 0.0), estimate(-0.2, 0.0), estimate(0.0, 0.0)]
    assert [p_value(e) for e in exact] == [0, 0, 1]
    assert [superiority(e) for e in exact] == [1, 0, 0.5]
    assert p_value(estimate(1, None)) is superiority(estimate(1, None)) is None


def test_without_units_the_bounds_of_a_difference_are_recovered() -> None:
    """Of normal intervals it is the z test of independent estimates."""
    z = stats.norm.ppf(0.975)
    found = unpaired(0.5, (0.5 - z * 0.1, 0.5 + z * 0.1), 0.2, (0.2 - z * 0.2, 0.2 + z * 0.2))
    assert (found.value, found.se) == (pytest.approx(0.3), pytest.approx(0.05**0.5))
    assert found.ci == pytest.approx((0.3 - z * 0.05**0.5, 0.3 + z * 0.05**0.5))
    skewed = unpaired(0.5, (0.4, 0.9), 0.2, (0.1, 0.25))
    assert skewed.ci == pytest.approx((0.3 - np.hypot(0.1, 0.05), 0.3 + np.hypot(0.4, 0.1)))
    assert skewed.se == pytest.approx(np.hypot(0.1, 0.05) / z), "the side that faces zero"
    turned = unpaired(0.2, (0.1, 0.25), 0.5, (0.4, 0.9))
    assert (turned.value, turned.se) == (pytest.approx(-0.3), pytest.approx(skewed.se)), "the same seen from there"


def test_against_brute_force() -> None:
    """Ranks are counted from the definition, over random boards with ties, gaps and all sizes."""
    rng = np.random.default_rng(3)
    for _ in range(60):
        count = int(rng.integers(2, 9))
        means = rng.normal(0, 1, count).round(1)
        pairs: dict[tuple[int, int], Estimate | None] = {
            (i, j): None if rng.uniform() < 0.1 else estimate(means[i] - means[j], rng.uniform(0.1, 0.5), 30)
            for i, j in combinations(range(count), 2)
        }
        p = holm([None if found is None else p_value(found) for found in pairs.values()])
        # Who is significantly better than whom.
        beats = np.zeros((count, count), dtype=bool)
        for ((i, j), found), adjusted in zip(pairs.items(), p, strict=True):
            if found is not None and found.value and adjusted is not None and adjusted < 0.05:
                beats[(i, j) if found.value > 0 else (j, i)] = True
        expected = [(1 + sum(beats[:, i]), sum(~beats[i])) for i in range(count)]
        assert [(r.low, r.high) for r in ranks(count, pairs)] == expected
        assert all(1 <= low <= high <= count for low, high in expected)


class Board(NamedTuple):
    """One board: its methods in the order of their true effects, narrow ones, and the wide one with no effect last."""

    effects: NDArray[np.float64]
    ranked: list[int]
    """Those whose interval excludes zero, above it."""
    ranks: dict[int, Rank]
    overlap: list[int]
    """As ranks were before: one plus the number of intervals wholly above."""


TRUE = (0.10, 0.09, 0.08, 0.07, 0.0)
ITEMS, TARGETS = 24, 5
NARROW, WIDE = 0.06, 1.0
"""SD of the items' shifts: with 24 items on each of 5 targets, SEs of the mean effect of .005 and .09."""


def simulated(rng: np.random.Generator, true: tuple[float, ...] = TRUE, spread: float = WIDE) -> Board:
    """A board as it is made of items: shifts of each item, of which half is common to all methods."""
    sds = np.array([NARROW] * (len(true) - 1) + [spread])
    keys = np.tile([1, -1], ITEMS // 2)
    common = rng.normal(0, 1, (TARGETS, ITEMS))
    own = rng.normal(0, 1, (len(true), TARGETS, ITEMS))
    values = np.array(true)[:, None, None] + sds[:, None, None] * (common + own) / 2**0.5
    effects = [over_targets([values[m, t] for t in range(TARGETS)], keys) for m in range(len(true))]
    kept = [m for m, e in enumerate(effects) if e.ci is not None and e.ci[0] > 0]
    pairs = {
        (i, j): over_targets([values[kept[i], t] - values[kept[j], t] for t in range(TARGETS)], keys)
        for i, j in combinations(range(len(kept)), 2)
    }
    cis = [e.ci or (0.0, 0.0) for e in effects]
    return Board(
        np.array([e.value for e in effects]), kept, dict(zip(kept, ranks(len(kept), pairs), strict=True)),
        [1 + sum(other[0] > mine[1] for other in cis) for mine in cis],
    )  # fmt: skip


def over_targets(values: list[NDArray[np.float64]], keys: NDArray[np.int_]) -> Estimate:
    return total([Term(1 / len(values), v, keys) for v in values])


def test_a_wide_interval_does_not_stand_above_true_effects() -> None:
    """400 boards with four true effects of .07 to .10 and one of 0 that is measured badly."""
    rng = np.random.default_rng(7)
    boards = [simulated(rng) for _ in range(400)]
    wide = len(TRUE) - 1
    others = range(wide)
    above = [any(b.ranks[wide].low < b.ranks[m].low for m in others if m in b.ranks) for b in boards if wide in b.ranks]
    assert sum(above) <= 0.05 * len(boards)
    best = [b for b in boards if wide in b.ranks and b.ranks[wide].high < min(b.ranks[m].high for m in others)]
    assert len(best) <= 0.01 * len(boards), "nor can it be shown to be the best"
    ranked = sum(wide in b.ranks for b in boards) / len(boards)
    assert 0.01 <= ranked <= 0.05, "it has a rank where its interval excludes zero by chance"
    told = [b for b in boards if b.ranks[0].low == 1 and b.ranks[3].low > 1]
    assert len(told) > 0.5 * len(boards), "and what differs is told apart"

    # The rule that this one replaces: the wide one stood above .07 and .08 in most boards.
    fooled = sum(b.overlap[wide] < max(b.overlap[m] for m in others) for b in boards) / len(boards)
    assert fooled > 0.5


@pytest.mark.parametrize("spread", [NARROW, WIDE])
def test_equal_effects_are_seldom_told_apart(spread: float) -> None:
    """Five methods with one true effect: in at most 5 % of the boards any two are told apart."""
    rng = np.random.default_rng(11)
    boards = [simulated(rng, (0.2,) * 5, spread) for _ in range(400)]
    wrong = [any(r.low > 1 or r.high < len(b.ranked) for r in b.ranks.values()) for b in boards]
    assert np.mean(wrong) <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5
    chances = np.array([r.superiority for b in boards for r in b.ranks.values()])
    assert chances.mean() == pytest.approx(0.5)


def test_the_case_of_the_wide_interval_that_stood_above() -> None:
    """Effects of .02 [-.11, .15] and .10 [.06, .14]: the first reached zero, and stands below without a rank."""
    known = unpaired(0.10, (0.06, 0.14), 0.02, (-0.11, 0.15))
    assert (p_value(known) or 0) > 0.2, "they cannot be told apart"
    assert 0.85 < (superiority(known) or 0) < 0.9
