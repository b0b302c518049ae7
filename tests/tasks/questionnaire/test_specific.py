"""Specific effects and what the interval covers, by hand, by brute force and over whole summaries."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import stats

from traitbench import inventories
from traitbench.samples import Condition
from traitbench.statistics.comparison import holm
from traitbench.statistics.intervals import Estimate, p_value
from traitbench.tasks.questionnaire.scorecard import Scorecard, Setting, scorecard
from traitbench.types import BIG_FIVE, DESIRABILITY

INVENTORY = inventories.load("ipip_50")
ITEMS = INVENTORY.items
KEYS = np.array([item.keyed for item in ITEMS])
TRAITS = np.array([item.trait for item in ITEMS])
GOOD = np.array([DESIRABILITY[item.trait] for item in ITEMS])


def card(moves: dict[str, np.ndarray], inventory: Any = INVENTORY, mode: Any = "choice") -> Scorecard:
    """Keyed item shifts (items, ...) of `trait=high` from `trait=low`, a trait each."""
    conditions, values = [Condition(name="baseline")], {}
    for trait, moved in moves.items():
        signs = np.array([i.keyed for i in inventory.items]).reshape(-1, *[1] * (moved.ndim - 1))
        for level, word, share in ((1.0, "high", 0.75), (-1.0, "low", -0.25)):
            conditions.append(Condition(name=f"{trait}={word}", levels={trait: level}))
            values[conditions[-1].name] = signs * moved * share
    values["baseline"] = np.zeros(next(iter(moves.values())).shape)
    return scorecard(values, conditions, Setting(inventory, inventory.items, mode, 50, 0))


def noise(seed: int = 0, sd: float = 0.2) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sd, len(ITEMS))


def test_halo_is_no_specific_effect() -> None:
    """All traits move to their desirable end: the effect is there, and the check says that it may be halo."""
    for trait in ("extraversion", "openness"):
        (found,) = card({trait: GOOD + noise()}).contrasts
        assert found.effect and found.effect.ci and found.effect.ci[0] > 0.5
        assert found.specific and found.specific.ci and found.specific.ci[0] < 0 < found.specific.ci[1]
        assert found.check == "caution" and found.reasons == [
            "the specific effect's interval reaches zero: it may be halo"
        ]
    (found,) = card({"neuroticism": -GOOD + noise()}).contrasts
    assert found.effect and found.effect.value and found.effect.value > 0.5 and found.check == "caution"
    assert found.evaluative == pytest.approx(-1, abs=0.2)


@pytest.mark.parametrize("trait", BIG_FIVE)
def test_a_mover_of_one_trait_alone_is_specific(trait: str) -> None:
    (found,) = card({trait: np.where(TRAITS == trait, 1.0, 0.0) + noise()}).contrasts
    assert found.check == "ok" and found.reasons == []
    assert found.specific and found.specific.value == pytest.approx(1, abs=0.3)
    assert found.evaluative_ci and found.evaluative_ci[0] < 0 < found.evaluative_ci[1]


@pytest.mark.parametrize("mode", ["choice", "statement"])
def test_the_specific_effect_by_hand(mode: str) -> None:
    """Own shift minus desirability times the mean of the others' signed shifts, each with its own error."""
    moved = np.where(TRAITS == "neuroticism", -0.8, 0.3 * GOOD) + noise(3)
    (found,) = card({"neuroticism": moved}, mode=mode).contrasts
    by = {s.trait: s for s in found.shifts}
    others = [t for t in BIG_FIVE if t != "neuroticism"]
    evaluative = np.mean([DESIRABILITY[t] * (by[t].value or 0) for t in others])
    assert found.evaluative == pytest.approx(evaluative)
    assert (
        found.specific
        and found.effect
        and found.specific.value == pytest.approx((found.effect.value or 0) - -1 * evaluative)
    )
    squares = [(by["neuroticism"].se or 0) ** 2, *(((by[t].se or 0) / 4) ** 2 for t in others)]
    assert found.specific.se == pytest.approx(np.sqrt(sum(squares)))
    assert found.specific.n == 50 and found.effect.n == 10
    assert (found.specific.pomp is None) == (mode == "statement")
    assert found.check == "caution" and "moves against the target" in found.reasons


def test_a_low_target_is_turned() -> None:
    conditions = [Condition(name="baseline"), Condition(name="extraversion=low", levels={"extraversion": -1.0})]
    moved = np.where(TRAITS == "extraversion", -0.9, 0.1 * GOOD) + noise(1)
    values = {"baseline": np.zeros(50), "extraversion=low": KEYS * moved}
    (found,) = scorecard(values, conditions, Setting(INVENTORY, ITEMS, "choice", 50, 0)).contrasts
    assert found.effect and found.effect.value == pytest.approx(-0.9, abs=0.2)
    assert found.specific and found.specific.value == pytest.approx(-(found.effect.value - (found.evaluative or 0)))
    assert found.check == "ok"
    own = {i.id: [-v] for i, v in zip(ITEMS, moved, strict=True) if i.trait == "extraversion"}
    assert {name: pytest.approx(v) for name, v in own.items()} == found.items


def test_missing_cells_are_missing() -> None:
    moved = (np.where(TRAITS == "openness", 1.0, 0.0) + noise())[:, None, None] + np.zeros((1, 3, 2))
    moved = moved + np.random.default_rng(2).normal(0, 0.1, moved.shape)
    moved[:4, 0, 1], moved[9] = np.nan, np.nan
    (found,) = card({"openness": moved}).contrasts
    assert found.effect and found.specific and found.check == "ok"
    assert {"templates", "fits"} <= set(found.effect.covers) and {"templates", "fits"} <= set(found.specific.covers)
    mine = [i for i, item in enumerate(ITEMS) if item.trait == "openness"]
    assert found.effect.n == sum(i != 9 for i in mine)
    for i in mine:
        assert found.items[ITEMS[i].id] == [None if np.isnan(v) else pytest.approx(v) for v in moved[i].ravel()]


def test_holm_counts_the_contrasts_of_a_run() -> None:
    """Five effects just beyond .05 alone are none together."""
    rng, moves = np.random.default_rng(11), {}
    for trait in BIG_FIVE:
        moved = rng.normal(0, 0.5, 50)
        own = TRAITS == trait
        for key in (1, -1):
            moved[own & (key == KEYS)] -= moved[own & (key == KEYS)].mean()
        moves[trait] = moved
    for scale in itertools.count(0.2, 0.02):
        found = card({t: m + np.where(TRAITS == t, scale, 0.0) for t, m in moves.items()}).contrasts
        p = [c.effect.p for c in found if c.effect]
        if max(p) < 0.05:
            break
    adjusted = [c.effect.p_holm for c in found if c.effect]
    assert adjusted == holm(p) and max(adjusted) >= 0.05
    for c in found:
        assert c.effect and c.effect.ci and c.effect.ci[0] > 0
        told = "p (Holm) of the effect is .05 or more" in c.reasons
        assert told == (c.effect.p_holm >= 0.05) and (c.check == "caution") >= told


def test_no_other_trait_or_no_known_end_says_so() -> None:
    one = INVENTORY.model_copy(update={
        "scales": {"E": "extraversion"}, "items": tuple(i for i in ITEMS if i.trait == "extraversion"),
    })  # fmt: skip
    (found,) = card({"extraversion": np.linspace(0.5, 1, 10)}, one).contrasts
    assert found.specific is None and found.evaluative is None and found.check == "caution"
    assert found.reasons == ["no specific effect: no other trait is measured, so the effect may be halo"]

    renamed = [i.model_copy(update={"trait": "wit"}) if i.trait == "openness" else i for i in ITEMS]
    scales = {k: "wit" if t == "openness" else t for k, t in INVENTORY.scales.items()}
    own = INVENTORY.model_copy(update={"scales": scales, "items": tuple(renamed)})
    moved = {"extraversion": np.where(TRAITS == "extraversion", 1.0, 0.0) + noise()}
    (found,) = card(moved, own).contrasts
    assert found.reasons == ["no specific effect: ipip_50 does not say which end of wit is desirable"]
    for sign, count in ((0, 3), (1, 4)):
        (found,) = card(moved, own.model_copy(update={"desirability": {"wit": sign}})).contrasts
        signed = [DESIRABILITY.get(s.trait, sign) * (s.value or 0) for s in found.shifts if s.trait != "extraversion"]
        assert found.check == "ok" and found.evaluative == pytest.approx(sum(signed) / count)


def test_p_is_where_the_interval_ends() -> None:
    assert p_value(Estimate(1.0, 0.5, (0.0, 2.2), 10, 1.0, 7.0)) == pytest.approx(0.05)
    assert p_value(Estimate(-1.0, 0.5, (-2.2, 0.0), 10, 1.0, 7.0)) == pytest.approx(0.05)
    t = 1.3 / 0.5
    half = stats.t.isf(0.025, 7) * 0.5
    assert p_value(Estimate(1.3, 0.5, (1.3 - half, 1.3 + half), 10, 1.0, 7.0)) == pytest.approx(2 * stats.t.sf(t, 7))
    assert p_value(Estimate(1.0, 0.0, (1.0, 1.0), 10)) == 0 and p_value(Estimate(0.0, 0.0, (0.0, 0.0), 10)) == 1
    assert p_value(Estimate(1.0, None, None, 1)) is None


def test_a_target_of_several_traits_has_a_row_a_trait() -> None:
    """Each trait with the effect that it has alone; what it is aimed at together with is neither halo nor leakage."""
    own = {"extraversion": 1.0, "neuroticism": -0.5}
    moved = np.array([own.get(trait, 0.1) for trait in TRAITS]) + noise(5, 0.1)
    conditions = [Condition(name="baseline"), Condition(name="both", levels={"extraversion": 1.0, "neuroticism": -1.0})]
    made = scorecard({"baseline": np.zeros(len(ITEMS)), "both": KEYS * moved}, conditions,
                     Setting(INVENTORY, ITEMS, "choice", 50, 0))  # fmt: skip
    assert [(c.target, c.high, c.low, c.aimed) for c in made.contrasts] == [
        ("both: extraversion", "both", "baseline", {"extraversion": 1.0}),
        ("both: neuroticism", "both", "baseline", {"neuroticism": -1.0}),
    ]
    others = [t for t in BIG_FIVE if t not in own]
    halo = np.mean([DESIRABILITY[t] * np.mean(moved[TRAITS == t]) for t in others])
    for found, (trait, sign) in zip(made.contrasts, {"extraversion": 1, "neuroticism": -1}.items(), strict=True):
        effect = sign * np.mean(moved[TRAITS == trait])
        assert found.effect and found.specific and found.effect.p is not None
        assert found.effect.trait == trait and found.effect.value == pytest.approx(sign * effect)
        assert found.evaluative == pytest.approx(halo)
        assert found.specific.value == pytest.approx(effect - sign * DESIRABILITY[trait] * halo)
        assert found.leakage is not None and found.leakage < 0.2
        assert len(found.items) == np.sum(TRAITS == trait) and found.check == "ok"
    # What both rows take off for halo is the same shift of the same items, and not drawn twice.
    se = {s.trait: s.se or 0.0 for s in made.contrasts[0].shifts}
    squares = [*((se[t] / 2) ** 2 for t in own), *((se[t] / 3) ** 2 for t in others)]
    assert made.specific and made.specific.se == pytest.approx(np.sqrt(sum(squares)))
    assert made.effect and made.effect.value == pytest.approx(
        (np.mean(moved[TRAITS == "extraversion"]) - np.mean(moved[TRAITS == "neuroticism"])) / 2
    )
