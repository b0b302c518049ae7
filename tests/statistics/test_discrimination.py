"""The area under the ROC curve against counting every two, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from traitbench.errors import BadData
from traitbench.statistics.discrimination import area, area_interval


def drawn(n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    high = rng.random(n) < 0.4
    return np.round(rng.normal(size=n) + high, 1), high


def test_it_is_the_share_of_pairs_in_order() -> None:
    scores, high = drawn()
    gaps = scores[high][:, None] - scores[~high][None, :]
    assert area(scores, high) == pytest.approx(np.mean((gaps > 0) + 0.5 * (gaps == 0)), abs=1e-12)
    assert area([1, 2, 3, 4], [0, 0, 1, 1]) == 1 and area([2, 2], [0, 1]) == 0.5


def test_scikit_learn_agrees() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    scores, high = drawn(300)
    assert area(scores, high) == pytest.approx(metrics.roc_auc_score(high, scores), abs=1e-12)


def test_one_class_has_none_and_bad_scores_are_refused() -> None:
    assert np.isnan(area([1.0, 2.0], [1, 1]))
    with pytest.raises(BadData, match="finite"):
        area([1.0, np.nan], [1, 0])


def test_an_interval_is_as_wide_as_theory_says() -> None:
    """The variance of Hanley & McNeil (1982) for normal scores, at 200 a class."""
    rng = np.random.default_rng(0)
    high = np.arange(400) < 200
    scores = rng.normal(size=400) + high
    found = area_interval(scores, high, range(400))
    a = found.value or 0
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    se = ((a * (1 - a) + 199 * (q1 - a * a) + 199 * (q2 - a * a)) / 200**2) ** 0.5
    assert found.se == pytest.approx(se, rel=0.1) and found.ci is not None and found.ci[0] < a < found.ci[1]


def test_copies_in_one_cluster_add_nothing() -> None:
    scores, high = drawn()
    once = area_interval(scores, high, range(80), iterations=400)
    twice = area_interval(np.tile(scores, 2), np.tile(high, 2), [*range(80), *range(80)], iterations=400)
    assert twice.ci == once.ci and twice.clusters == once.clusters == 80


def test_groups_are_averaged_and_never_mixed() -> None:
    scores, high = drawn()
    shifted = np.concatenate([scores, scores + 100])
    found = area_interval(shifted, np.tile(high, 2), range(160), ["a"] * 80 + ["b"] * 80, iterations=50)
    assert found.value == pytest.approx(area(scores, high), abs=1e-12)
