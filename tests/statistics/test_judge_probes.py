"""Planted judges are named by their own index and by no other, a good one by none; slopes against statsmodels."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from traitbench.errors import BadData, UnknownName
from traitbench.statistics.judge_probes import (
    Probe,
    length_preference,
    position_preference,
    score_spread,
    self_preference,
)
from traitbench.statistics.preferences import Comparison

Array = NDArray[np.float64]


class Texts(NamedTuple):
    """Texts of four levels of quality; better ones are longer, and those of the judge's family are too."""

    quality: Array
    length: Array
    own: NDArray[np.bool_]
    noise: Array


Score = Callable[[Texts], Array]


def texts(seed: int, n: int = 160) -> Texts:
    rng = np.random.default_rng(seed)
    quality, own = np.arange(n) % 4 * 1.0, np.arange(n) // 4 % 2 == 0
    length = 60 * 2 ** (0.3 * quality + 0.4 * own + rng.normal(0, 0.5, n))
    return Texts(quality, length, own, rng.standard_normal(n))


def good(t: Texts) -> Array:
    return np.clip(0.8 + t.quality + 0.5 * t.noise, 0, 5)


def long(t: Texts) -> Array:
    return np.clip(good(t) + 0.8 * (np.log2(t.length) - 6), 0, 5)


def own(t: Texts) -> Array:
    return np.clip(good(t) + 0.8 * t.own, 0, 5)


def constant(t: Texts) -> Array:
    return np.full(len(t.quality), 3.0)


def almost_constant(t: Texts) -> Array:
    return 3 + 0.02 * t.noise


def compared(t: Texts, score: Array, likes_first: float = 0.0, only_first: bool = False) -> list[Comparison]:
    """Each text against the next, in both orders: the higher score, and the first by `likes_first` more."""
    found = []
    for i in range(0, len(score) - 1, 2):
        for a, b in ((i, i + 1), (i + 1, i)):
            gap = score[a] - score[b] + likes_first
            outcome = "first" if only_first or gap > 0 else "second" if gap < 0 else "tie"
            found.append(Comparison(i, f"c{a}", f"c{b}", outcome))
    return found


def probes(t: Texts, score: Array, comparisons: list[Comparison]) -> list[Probe]:
    same = t.quality.tolist()
    return [
        score_spread(score, 0, 5, 200),
        length_preference(score, t.length, same, 0, 5, t.own),
        self_preference(score, t.own, same, 0, 5, t.length),
        position_preference(comparisons),
    ]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("judge", "first", "named"),
    [
        (good, False, []), (constant, False, ["score_spread"]), (almost_constant, False, ["score_spread"]),
        (long, False, ["length_preference"]), (own, False, ["self_preference"]), (good, True, ["position_preference"]),
    ],
)  # fmt: skip
def test_planted_judges_are_named_by_their_own_index(judge: Score, first: bool, named: list[str], seed: int) -> None:
    t = texts(seed)
    found = probes(t, judge(t), compared(t, judge(t), only_first=first))
    assert [probe.name for probe in found if probe.level] == named
    assert all(probe.level == "not interpretable" for probe in found if probe.level)
    assert all(probe.value is not None and probe.ci and not probe.reason for probe in found)


def test_length_and_family_are_told_apart_only_where_both_are_given() -> None:
    """Texts of the own family are longer: who likes length seems to like the family."""
    t = texts(0)
    alone = self_preference(long(t), t.own, t.quality.tolist(), 0, 5)
    assert alone.level and not self_preference(long(t), t.own, t.quality.tolist(), 0, 5, t.length).level
    # And better texts are longer: without their quality a good judge seems to like length.
    assert length_preference(good(t), t.length, [0] * len(t.length), 0, 5).level


@pytest.mark.parametrize("with_own", [True, False])
def test_slopes_are_those_of_a_regression_with_a_column_a_label(with_own: bool) -> None:
    import statsmodels.api as sm

    t = texts(1, 37)
    score = long(t)
    score[3] = np.nan
    found = length_preference(score, t.length, t.quality.tolist(), 0, 5, t.own if with_own else None)
    columns = [np.log2(t.length), *([t.own.astype(float)] if with_own else [])]
    x = np.column_stack([*columns, *[(t.quality == q).astype(float) for q in range(4)]])
    theirs = sm.OLS(score / 5, x, missing="drop").fit(cov_type="HC2", use_t=True)
    low, high = theirs.conf_int()[0]
    assert found.value == pytest.approx(theirs.params[0]) and found.ci == pytest.approx((low, high)) and found.n == 36


def test_a_text_and_its_longer_versions() -> None:
    """Each text is a label of its own; a label with one text says nothing."""
    rng = np.random.default_rng(2)
    quality = np.repeat(rng.uniform(0.5, 3.5, 20), 2)
    length, same = np.tile([50.0, 100.0], 20), np.repeat(np.arange(20), 2).tolist()
    score = quality + np.tile([0, 1.0], 20)
    found = length_preference(score, length, same, 0, 5)
    assert found.value == pytest.approx(0.2) and found.ci == pytest.approx((0.2, 0.2)) and found.limit == 0.1
    more = length_preference([*score, 5.0], [*length, 900.0], [*same, "alone"], 0, 5)
    assert (more.value, more.n) == (pytest.approx(found.value), 40)
    assert length_preference(-score, length, same, -5, 0).value == pytest.approx(-0.2)


def test_the_interval_of_a_slope_covers() -> None:
    rng, covered = np.random.default_rng(3), 0
    for _ in range(300):
        length, same = 2 ** rng.normal(6, 1, 40), np.repeat(np.arange(20), 2).tolist()
        score = 2 + 0.3 * np.log2(length) + np.repeat(rng.normal(0, 1, 20), 2) + rng.normal(0, 0.5, 40)
        ci = length_preference(score, length, same, 0, 5).ci
        covered += ci is not None and ci[0] <= 0.06 <= ci[1]
    assert 0.92 <= covered / 300 <= 0.98


def test_position_by_hand() -> None:
    """Ten pairs: five flips to the first, one to the second, three agree, one is a tie in one order."""
    pairs = [("first", "first")] * 5 + [("second", "second")] + [("first", "second")] * 3 + [("tie", "first")]
    data = [
        Comparison(t, *names, outcome)
        for t, outcomes in enumerate(pairs)
        for names, outcome in zip((("a", "b"), ("b", "a")), outcomes, strict=True)
    ]
    found = position_preference([*data, Comparison("once", "a", "b", "second")])
    assert found.value == pytest.approx((5 + 0 + 3 * 0.5 + 0.75) / 10 - 0.5) and found.n == 10
    assert found.first.value == pytest.approx(0.725) and found.flips.value == pytest.approx(0.6)
    assert found.level is None, "an interval of ten pairs reaches zero"
    many = position_preference([one._replace(text=(one.text, k)) for one in data for k in range(10)])
    assert many.level == "not interpretable" and many.limit == 0.2


def test_flips_both_ways_are_no_preference_for_a_place() -> None:
    rng = np.random.default_rng(4)
    data = [
        Comparison(t, *names, str(rng.choice(["first", "second"])))
        for t in range(200)
        for names in (("a", "b"), ("b", "a"))
    ]
    found = position_preference(data)
    assert not found.level and found.flips.value == pytest.approx(0.5, abs=0.1)


def test_what_cannot_be_had_says_why() -> None:
    t = texts(5)
    same = t.quality.tolist()
    assert score_spread(good(t)[:9], 0, 5).reason == "9 texts with a score; expected at least 10"
    assert position_preference([]).reason == "0 pairs judged in both orders; expected at least 10"
    alone = length_preference(good(t), t.length, range(160), 0, 5)
    assert alone.value is None and alone.reason.startswith("0 texts with another of the same quality")
    for flat in (
        length_preference(good(t), np.full(160, 70.0), same, 0, 5),
        self_preference(good(t), np.ones(160), same, 0, 5),
        self_preference(good(t), t.own, same, 0, 5, 2.0**t.own),
    ):
        assert flat.value is None and flat.reason == "no texts of the same quality differ in this alone"
    silent = self_preference(np.full(160, np.nan), t.own, same, 0, 5)
    assert silent.value is None and silent.n == 0


def test_what_cannot_be_is_refused() -> None:
    t = texts(6, 20)
    for lengths in (t.length * 0, np.full(20, np.nan)):
        with pytest.raises(BadData, match="expected numbers above 0"):
            length_preference(good(t), lengths, t.quality.tolist(), 0, 5)
    with pytest.raises(BadData, match="as many of each"):
        self_preference(good(t), t.own[:-1], t.quality.tolist(), 0, 5)
    with pytest.raises(UnknownName, match="its low end below its high end"):
        score_spread(good(t), 5, 0)
    with pytest.raises(BadData, match="one a text"):
        score_spread([[1, 2]], 0, 5)
    with pytest.raises(UnknownName, match="expected first, second or tie"):
        position_preference([Comparison(1, "a", "b", "b")])
