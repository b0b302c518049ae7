"""Both indices against scipy's correlations pair by pair, and where they must be 1, 0 or missing."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from traitbench.tasks.stability import stability

TRAITS = ["a", "b", "c", "d"]


def made(contexts: int = 4, people: int = 12, noise: float = 0.5) -> np.ndarray:  # type: ignore[type-arg]
    rng = np.random.default_rng(3)
    return rng.normal(0, 1, (1, people, 4)) + noise * rng.normal(0, 1, (contexts, people, 4)) + np.arange(4)


def test_the_indices_are_means_of_correlations() -> None:
    x = made()
    found = stability(x, ["p", "q", "r", "s"], TRAITS, 200, 0)
    assert found is not None and found.respondents == 12
    pairs = list(combinations(range(4), 2))
    rank = [[stats.pearsonr(x[a, :, t], x[b, :, t]).statistic for a, b in pairs] for t in range(4)]
    assert found.rank_order.value == pytest.approx(np.mean(rank))
    assert found.by_trait["c"] == pytest.approx(np.mean(rank[2]))
    ipsative = [[stats.pearsonr(x[a, p], x[b, p]).statistic for p in range(12)] for a, b in pairs]
    assert found.ipsative.value == pytest.approx(np.mean(ipsative))
    y = x - x.mean(axis=1, keepdims=True)
    own = [[stats.pearsonr(y[a, p], y[b, p]).statistic for p in range(12)] for a, b in pairs]
    assert found.distinctive.value == pytest.approx(np.mean(own)) and np.mean(own) < np.mean(ipsative)
    first = found.pairs[1]
    assert (first.a, first.b) == ("p", "r") and first.ipsative == pytest.approx(np.mean(ipsative[1]))
    assert first.rank_order == pytest.approx(np.mean([row[1] for row in rank]))
    for index in (found.rank_order, found.ipsative, found.distinctive):
        assert index.ci is not None and index.value is not None and index.ci[0] < index.value < index.ci[1] + 0.05


def test_who_never_changes_is_stable_and_who_always_does_is_not() -> None:
    same = stability(made(noise=0), ["p", "q", "r", "s"], TRAITS, 50, 0)
    assert same is not None and same.rank_order.value == pytest.approx(1) == same.ipsative.value
    rng = np.random.default_rng(5)
    other = stability(rng.normal(0, 1, (5, 300, 4)), list("pqrst"), TRAITS, 50, 0)
    assert other is not None and other.rank_order.value == pytest.approx(0, abs=0.05)
    assert other.ipsative.value == pytest.approx(0, abs=0.05)


def test_what_cannot_be_had_says_why() -> None:
    assert stability(made(contexts=1), ["p"], TRAITS, 50, 0) is None
    assert stability(made(people=2), list("pqrs"), TRAITS, 50, 0) is None
    flat = stability(np.ones((2, 5, 4)), ["p", "q"], TRAITS, 50, 0)
    assert flat is not None and flat.rank_order.value is None and flat.ipsative.reason == "every profile is flat"
    two = stability(made()[:, :, :2], list("pqrs"), TRAITS[:2], 50, 0)
    assert two is not None and two.ipsative.value is None and "2 trait" in two.ipsative.reason
    gap = made()
    gap[0, 0, 0] = np.nan
    missing = stability(gap, list("pqrs"), TRAITS, 50, 0)
    assert missing is not None and missing.respondents == 11
