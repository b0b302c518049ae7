"""Permutation tests: by hand, by brute force, and how often they are right about noise."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from traitbench.errors import BadData, TraitbenchUsage
from traitbench.statistics.permutations import DRAWS, compared, flips, labelings, permuted
from traitbench.statistics.thresholds import FIND
from traitbench.types import Find


def test_p_is_one_plus_what_reaches_it_over_one_plus_the_shuffles() -> None:
    found = compared(3.0, [1.0, 2.0, 3.0, 4.0])
    assert (found.observed, found.draws, found.p) == (3.0, 4, 3 / 5)
    assert found.null == (2.5, pytest.approx(3.85))
    assert compared(5.0, [1.0] * 19).p == 0.05
    assert compared(0.3, [0.1 + 0.2 - 1e-13]).p == 1, "a last digit is no difference"
    assert compared(-1.0, [-1.0, -2.0]).p == 2 / 3 and compared(0.0, [0.0]).p == 1


def test_the_record_of_a_fit() -> None:
    found = compared(2.0, [0.0] * 39).find("overlap", "two halves")
    assert found == Find(statistic="overlap", on="two halves", observed=2, null=(0, 0), draws=39, p=0.025)
    assert found.found and not compared(0.0, [1.0] * 39).find("x", "y").found
    limits = [compared(1.0, [1.0] * n + [0.0] * (99 - n)).find("x", "y") for n in (4, 5)]
    assert [f.p <= FIND.value for f in limits] == [f.found for f in limits] == [True, False]


def test_few_labelings_are_all_taken_once() -> None:
    found = {tuple(row) for row in labelings([0, 0, 1, 1])}
    assert found == {*permutations([0, 0, 1, 1])} - {(0, 0, 1, 1)} and len(labelings([0, 0, 1, 1])) == 5
    three = labelings(["a", "b", "c", "a"])
    assert {tuple(row) for row in three} == {*permutations("abca")} - {tuple("abca")} and len(three) == 11
    within = labelings([0, 1, 0, 1, 2], within=["x", "x", "y", "y", "z"])
    assert {tuple(row) for row in within} == {(1, 0, 0, 1, 2), (0, 1, 1, 0, 2), (1, 0, 1, 0, 2)}
    signs = flips(3)
    assert {tuple(row) for row in signs} == {*product([1, -1], repeat=3)} - {(1, 1, 1)} and len(signs) == 7


def test_many_labelings_are_drawn_by_seed_within_their_strata() -> None:
    labels, strata = np.array([0, 1] * 30), np.repeat(np.arange(20), 3)
    drawn = labelings(labels, 50, 3, strata)
    assert drawn.shape == (50, 60) and (drawn != labels).any()
    for stratum in range(20):
        where = strata == stratum
        assert (np.sort(drawn[:, where], axis=1) == np.sort(labels[where])).all()
    assert (drawn == labelings(labels, 50, 3, strata)).all() and (drawn != labelings(labels, 50, 4, strata)).any()
    assert len(labelings(labels)) == DRAWS
    signs = flips(40, 2000, 1)
    assert signs.shape == (2000, 40) and set(np.unique(signs)) == {-1, 1} and abs(signs.mean()) < 0.02


def test_all_labelings_give_the_exact_p() -> None:
    """scipy's own exact tests, of two samples and of pairs, one-sided."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=9)
    labels = np.array([1] * 4 + [0] * 5)

    def difference(y: NDArray[np.int_]) -> float:
        return float(x[y == 1].mean() - x[y == 0].mean())

    theirs = stats.permutation_test(
        (x[:4], x[4:]), lambda a, b: a.mean() - b.mean(), n_resamples=10**6, alternative="greater"
    )
    assert permuted(difference, labels).p == pytest.approx(theirs.pvalue)
    pairs = rng.normal(0.5, 1, (8, 2))
    theirs = stats.permutation_test(
        (pairs[:, 0], pairs[:, 1]), lambda a, b: (a - b).mean(), permutation_type="samples", n_resamples=10**6,
        alternative="greater",
    )  # fmt: skip
    gaps = pairs[:, 0] - pairs[:, 1]
    assert compared(gaps.mean(), flips(8) @ gaps / 8).p == pytest.approx(theirs.pvalue)
    both = permuted(lambda y: float(y @ pairs.ravel()) / 8, np.tile([1, -1], 8), within=np.repeat(np.arange(8), 2))
    assert both.p == pytest.approx(theirs.pvalue) and both.draws == 255


def test_drawn_labelings_come_near_it() -> None:
    gaps = np.random.default_rng(5).normal(0.4, 1, 14)
    exact = compared(gaps.mean(), flips(14, 2**14) @ gaps / 14)
    assert exact.draws == 2**14 - 1
    assert compared(gaps.mean(), flips(14, 4000) @ gaps / 14).p == pytest.approx(exact.p, abs=0.02)


def test_noise_is_called_nothing_and_an_effect_something() -> None:
    """200 seeds of noise, unlike strata included: at most 5 % and what chance adds; a planted effect is found."""
    strata = np.repeat(np.arange(12), 2)
    noise, planted = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        base = np.repeat(rng.normal(0, 5, 12), 2) + rng.normal(0, 1, 24)
        labels = rng.permuted(np.tile([1, -1], (12, 1)), axis=1).ravel()
        for held, x in ((noise, base), (planted, base + 1.5 * labels)):
            held.append(permuted(lambda y, x=x: float(y @ x), labels, 199, seed, strata).p)
    assert sum(p <= 0.05 for p in noise) <= 17, "binomial, 200 x .05: 17 is the 98th percentile"
    assert sum(p <= 0.05 for p in planted) >= 190
    assert 0.4 < float(np.mean(noise)) < 0.6


def test_what_cannot_be_tested_is_refused() -> None:
    for labels, within in (([1, 1, 1], None), ([0, 1], [0, 1]), ([], None)):
        with pytest.raises(TraitbenchUsage, match="0 other labelings"):
            labelings(labels, within=within)
    for wrong in ((0, 9), (3, 0)):
        with pytest.raises(TraitbenchUsage, match="expected one of each"):
            flips(*wrong)
    with pytest.raises(TraitbenchUsage, match="0 shuffles are wanted"):
        labelings([0, 1], 0)
    with pytest.raises(TraitbenchUsage, match="1 strata for 2 labels"):
        labelings([0, 1], within=[0])
    with pytest.raises(TraitbenchUsage, match="no shuffle"):
        compared(1.0, [])
    for observed, null in ((float("nan"), 0.0), (0.0, float("inf"))):
        with pytest.raises(BadData, match="not finite"):
            compared(observed, [null])
