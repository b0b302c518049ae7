"""Agreement of judges: published tables, the definition written out pair by pair, gaps, and what cannot be had."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from traitbench.errors import BadData, UnknownName
from traitbench.statistics.agreement import agreement, krippendorff, krippendorff_interval
from traitbench.statistics.thresholds import judge

Array = NDArray[np.float64]
_ = np.nan
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _], [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _], [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
    ]
).T  # fmt: skip
"""Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, example C: four observers, twelve units."""
RATINGS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)
"""Shrout & Fleiss (1979), table 2: six targets, four judges."""


def drawn(seed: int = 0, texts: int = 40, judges: int = 3, gaps: float = 0.2, whole: bool = True) -> Array:
    rng = np.random.default_rng(seed)
    x = 2.5 + rng.normal(0, 1, (texts, 1)) + rng.normal(0, 0.8, (texts, judges))
    x = np.clip(np.rint(x), 0, 5) if whole else x
    x[rng.random(x.shape) < gaps] = np.nan
    return x


def by_pairs(table: Array, metric: str) -> float:
    """Alpha as it is defined: the coincidences of every ordered pair of scores, each weighed by 1 / (m - 1)."""
    units = [row[np.isfinite(row)] for row in table]
    units = [unit for unit in units if len(unit) > 1]
    scores = np.concatenate(units)
    names = sorted(set(scores.tolist()))
    count = {name: int((scores == name).sum()) for name in names}

    def distance(a: float, b: float) -> float:
        if metric == "interval":
            return (a - b) ** 2
        if metric == "nominal":
            return float(a != b)
        between = [count[g] for g in names if min(a, b) <= g <= max(a, b)]
        return float((sum(between) - (count[a] + count[b]) / 2) ** 2)

    observed = sum(distance(a, b) / (len(unit) - 1) for unit in units for a, b in permutations(unit, 2)) / len(scores)
    expected = sum(distance(a, b) for a, b in permutations(scores, 2)) / (len(scores) * (len(scores) - 1))
    return float(1 - observed / expected)


@pytest.mark.parametrize(("metric", "told"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorffs_own_example(metric: Any, told: float) -> None:
    """The package krippendorff 0.9.0 gives 0.743421, 0.815388 and 0.849107."""
    value = krippendorff(OBSERVERS, metric).value
    assert value == pytest.approx(told, abs=5e-4)
    assert value == pytest.approx({0.743: 0.743421, 0.815: 0.815388, 0.849: 0.849107}[told], abs=1e-6)


@pytest.mark.parametrize("metric", ["nominal", "ordinal", "interval"])
@pytest.mark.parametrize("whole", [True, False])
def test_it_is_the_definition(metric: Any, whole: bool) -> None:
    for seed in range(4):
        x = drawn(seed, texts=15, whole=whole)
        assert krippendorff(x, metric).value == pytest.approx(by_pairs(x, metric), abs=1e-12)


def test_what_alpha_does_not_depend_on() -> None:
    x = drawn()
    ordinal, interval = krippendorff(x).value, krippendorff(x, "interval").value
    assert krippendorff(np.exp(x)).value == pytest.approx(ordinal)
    assert krippendorff(3 - 7 * x, "interval").value == pytest.approx(interval)
    assert krippendorff(x[::-1, ::-1]).value == pytest.approx(ordinal)
    assert krippendorff(np.vstack([x, [5, _, _], [_, _, _]])).value == pytest.approx(ordinal)
    assert krippendorff(np.column_stack([x, np.full(len(x), _)])).value == pytest.approx(ordinal)


def test_agreement_chance_and_opposition() -> None:
    levels = np.arange(6.0)[:, None]
    assert krippendorff(levels + np.zeros((1, 3))).value == pytest.approx(1)
    assert krippendorff(np.hstack([levels, 5 - levels])).value < -0.5  # type: ignore[operator]
    noise = np.random.default_rng(1).integers(0, 6, (4000, 3)).astype(float)
    assert krippendorff(noise).value == pytest.approx(0, abs=0.02)


def test_the_interval_redraws_texts() -> None:
    x = drawn(texts=60)
    found = krippendorff_interval(x, iterations=400)
    assert found.value == krippendorff(x).value and found.ci and found.ci[0] < found.value < found.ci[1]  # type: ignore[operator]
    assert found == krippendorff_interval(np.vstack([x, [3, _, _]]), iterations=400)
    # Every text twice says nothing new where both are known to be one.
    twice, labels = np.vstack([x, x]), np.tile(np.arange(60), 2)
    assert krippendorff_interval(twice, iterations=400, clusters=labels).se == pytest.approx(found.se, rel=0.15)
    assert krippendorff_interval(twice, iterations=400).se < 0.8 * found.se  # type: ignore[operator]


def test_the_interval_covers() -> None:
    """Two judges of correlation .5 with equal levels: interval alpha is .5 in the long run. 50 draws of 40 texts."""
    rng, covered = np.random.default_rng(2), 0
    for seed in range(50):
        x = rng.normal(0, 1, (40, 1)) + rng.normal(0, 1, (40, 2))
        ci = krippendorff_interval(x, "interval", 100, seed).ci
        covered += ci is not None and ci[0] <= 0.5 <= ci[1]
    assert 43 <= covered <= 50


def test_shrout_and_fleiss() -> None:
    """Their table 4 has .29 and .62; the intervals are those of R psych's ICC."""
    found = agreement(RATINGS, iterations=100)
    assert found.single == pytest.approx(0.29, abs=5e-3) and found.mean == pytest.approx(0.62, abs=5e-3)
    assert found.single_ci == pytest.approx((0.01878651, 0.7610844), abs=1e-6)
    assert found.mean_ci == pytest.approx((0.07113682, 0.9272320), abs=1e-6)
    assert (found.judges, found.texts, found.left_out, found.reason) == (4, 6, 0, "")
    assert found.alpha == krippendorff(RATINGS).value and found.alpha_ci
    assert judge("agreement", found.single) == ("not interpretable", 0.4)
    assert judge("agreement", found.mean) is None


def test_a_text_with_a_gap_is_left_out_of_the_correlations_and_counted() -> None:
    holed = np.vstack([RATINGS, [5, _, 5, 5], [_] * 4, [_, 3, _, _]])
    found, whole = agreement(holed, iterations=100), agreement(RATINGS, iterations=100)
    assert (found.single, found.single_ci, found.mean) == (whole.single, whole.single_ci, whole.mean)
    assert (found.texts, found.left_out) == (6, 2) and found.alpha != whole.alpha
    assert found.alpha == pytest.approx(by_pairs(holed, "ordinal"))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ([[1, _], [_, 2], [3, _]], "ICC: fewer than two texts without a missing rating; alpha: no text has two scores"),
        (np.full((5, 3), 2.0), "ICC: the ratings have no variance; alpha: the scores do not vary"),
        ([[1.0], [2.0]], "ICC: fewer than two judges; alpha: no text has two scores"),
        (np.zeros((0, 2)), "ICC: fewer than two texts without a missing rating; alpha: no text has two scores"),
        ([[1, 1, _], [2, 2, _], [4, 4, _]], "ICC: fewer than two texts without a missing rating"),
        ([[1, 1], [2, 2], [4, 4]], "ICC: the scores leave no interval, as where judges agree without any error"),
    ],
)
def test_what_cannot_be_had_says_why(table: Any, reason: str) -> None:
    found = agreement(table, iterations=50)
    assert found.reason.startswith(reason)
    assert (found.single is None) == (found.mean is None)
    assert found.single_ci is None and ("alpha" in reason) == (found.alpha is None)


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(BadData, match=r"expected \(texts, judges\)"):
        agreement([1, 2, 3])
    with pytest.raises(BadData, match="infinite score"):
        krippendorff([[1, np.inf], [2, 3]])
    with pytest.raises(BadData, match="one label a text"):
        krippendorff_interval(RATINGS, clusters=[1, 2])
    with pytest.raises(UnknownName, match="did you mean 'ordinal'"):
        krippendorff(RATINGS, "ordinl")  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="iterations 1"):
        agreement(RATINGS, iterations=1)
