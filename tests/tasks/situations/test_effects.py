"""Levels and effects against brute force, and where a liking for A is not to be told from a trait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from traitbench.samples import Condition
from traitbench.statistics.intervals import stratified_mean
from traitbench.tasks.effects import levels, overall
from traitbench.tasks.situations.effects import PairSetting, contrasts
from traitbench.tasks.situations.pairs import load
from traitbench.types import Mode

PAIRS = load("test")
N = len(PAIRS)
CONDITIONS = [
    Condition(name="baseline"),
    Condition(name="extraversion=high", target="extraversion=high", levels={"extraversion": 1.0}),
    Condition(name="extraversion=low", target="extraversion=low", levels={"extraversion": -1.0}),
]
OWN = np.array([pair.trait == "extraversion" for pair in PAIRS])
MATCHED = np.array([pair.desirability == "matched" for pair in PAIRS])
BETTER = np.array([{"high": 1, "low": -1}.get(pair.desirability, 0) for pair in PAIRS])
Values = Mapping[str, NDArray[np.float64]]


def setting(mode: Mode = "statement", orders: int = 2) -> PairSetting:
    return PairSetting(PAIRS, mode, orders, 50, 0)


def moved(by: NDArray[np.float64], noise: float = 0.01, shape: tuple[int, ...] = (1, 1)) -> Values:
    """The high pole moves by half of `by`, the low pole by minus that."""
    rng = np.random.default_rng(0)
    base = rng.normal(0, 1, (N, 1, 1))
    half = by.reshape(-1, 1, 1) / 2
    return {
        "baseline": base + np.zeros((N, shape[0], 1)),
        "extraversion=high": base + half + rng.normal(0, noise, (N, *shape)),
        "extraversion=low": base - half + rng.normal(0, noise, (N, *shape)),
    }


def test_an_effect_is_the_mean_over_pairs_clustered_by_facet() -> None:
    values = moved(0.3 * OWN)
    (found,) = contrasts(values, CONDITIONS, setting())
    gap = (values["extraversion=high"] - values["extraversion=low"])[OWN].ravel()
    facets = [pair.facet for pair in PAIRS if pair.trait == "extraversion"]
    plain = stratified_mean(gap, np.ones(gap.size), clusters=facets)
    assert found.effect is not None and found.effect.value == pytest.approx(gap.mean()) == plain.value
    assert found.effect.ci == pytest.approx(plain.ci) and found.effect.n == OWN.sum()
    assert found.effect.d == pytest.approx(gap.mean() / gap.std(ddof=1))
    assert found.check == "ok" and found.reasons == [] and found.moved is not None and found.moved.value == 1
    assert found.matched is not None and found.unmatched is not None
    assert found.matched.value == pytest.approx(gap[MATCHED[OWN]].mean())
    assert found.unmatched.value == pytest.approx(gap[~MATCHED[OWN]].mean())
    assert found.matched.n + found.unmatched.n == OWN.sum()
    whole = overall(values, CONDITIONS, setting())
    assert whole is not None and whole.value == pytest.approx(gap.mean()) and whole.ci == pytest.approx(plain.ci)


def test_a_control_that_makes_better_replies_likelier_is_told_from_one_that_moves_the_trait() -> None:
    (found,) = contrasts(moved(0.4 * BETTER), CONDITIONS, setting())
    assert found.evaluative is not None and found.evaluative.value == pytest.approx(0.4, abs=0.01)
    assert found.matched is not None and found.matched.value == pytest.approx(0, abs=0.01)
    (found,) = contrasts(moved(0.8 * (BETTER > 0)), CONDITIONS, setting())
    assert found.effect is not None and found.effect.ci is not None and found.effect.ci[0] > 0
    assert found.check == "caution" and ["matched desirability" in why for why in found.reasons] == [True]
    (true,) = contrasts(moved(0.4 * OWN), CONDITIONS, setting())
    assert true.evaluative is not None and true.evaluative.value == pytest.approx(0, abs=0.01)


def test_what_moves_the_wrong_way_or_not_at_all_is_a_caution() -> None:
    (wrong,) = contrasts(moved(-0.3 * OWN), CONDITIONS, setting())
    assert wrong.reasons == ["moves against the target"]
    (nothing,) = contrasts(moved(0.0 * OWN, noise=0.3), CONDITIONS, setting())
    assert nothing.reasons[0] == "interval reaches zero" and nothing.check == "caution"


def test_leakage_is_of_the_other_traits() -> None:
    other = np.array([pair.trait == "openness" for pair in PAIRS])
    (found,) = contrasts(moved(0.3 * OWN + 0.2 * other), CONDITIONS, setting())
    assert found.leakage == pytest.approx(0.1, abs=0.005)  # the root of 0.2 squared over four traits
    assert {s.trait: round(s.value or 0, 1) for s in found.shifts} == {
        "openness": 0.2, "conscientiousness": 0.0, "extraversion": 0.3, "agreeableness": 0.0, "neuroticism": 0.0,
    }  # fmt: skip


def test_in_one_order_a_liking_for_a_cancels_between_the_keys() -> None:
    """Pairs of one key are left out, so that the keys are of unequal number."""
    mine = [i for i, pair in enumerate(PAIRS) if pair.keyed == 1 or i % 4 == 0]
    some = [PAIRS[i] for i in mine]
    for_a = np.array([-10.0 * pair.keyed for pair in some]).reshape(-1, 1, 1)
    values = {"baseline": 50 + for_a}
    (one,) = (levels(values, "baseline", PairSetting(some, "choice", orders, 50, 0)) for orders in (1,))
    assert [level.value for level in one["baseline"]] == pytest.approx([50] * 5)
    both = levels(values, "baseline", PairSetting(some, "choice", 2, 50, 0))
    assert all(level.value is not None and level.value < 47 for level in both["baseline"])


def test_wordings_and_fits_are_drawn_at_random() -> None:
    (found,) = contrasts(moved(0.3 * OWN, noise=0.2, shape=(3, 2)), CONDITIONS, setting())
    assert found.effect is not None and {"templates", "fits"} <= set(found.effect.covers)
    assert {len(cells) for cells in found.items.values()} == {6}


def test_missing_is_not_zero() -> None:
    values: Any = moved(0.3 * OWN)
    gone = np.flatnonzero(OWN)[:5]
    values["extraversion=high"][gone] = np.nan
    (found,) = contrasts(values, CONDITIONS, setting())
    assert found.effect is not None and found.effect.n == OWN.sum() - 5
    assert found.effect.value == pytest.approx(0.3, abs=0.01)
    assert found.moved is not None and found.moved.n == OWN.sum() - 5
    level = levels(values, "baseline", setting())["extraversion=high"]
    assert {x.trait: x.unscored for x in level}["extraversion"] == 5
    values["extraversion=high"][OWN] = np.nan
    (none,) = contrasts(values, CONDITIONS, setting())
    assert none.effect is not None and none.effect.value is None and none.check is None


def test_drawn_profiles_have_slopes() -> None:
    rng = np.random.default_rng(1)
    drawn = [
        Condition(name=f"p{n}", profile=True, levels={"extraversion": float(x), "openness": float(y)})
        for n, (x, y) in enumerate(rng.uniform(-1, 1, (8, 2)))
    ]
    base = rng.normal(0, 1, (N, 1, 1))
    values = {"baseline": base} | {c.name: base + 0.2 * c.levels["extraversion"] * OWN.reshape(-1, 1, 1) for c in drawn}
    found = contrasts(values, [CONDITIONS[0], *drawn], setting())
    assert [c.target for c in found] == ["extraversion", "openness"]
    assert found[0].effect is not None and found[0].effect.value == pytest.approx(0.4)
    assert found[1].effect is not None and found[1].effect.value == pytest.approx(0, abs=1e-9)
