"""Dose curves by hand."""

from __future__ import annotations

import numpy as np
import pytest

from traitbench import inventories
from traitbench.samples import Condition
from traitbench.tasks.questionnaire.dose import doses
from traitbench.tasks.questionnaire.scorecard import Setting

INVENTORY = inventories.load("mini_ipip")
ITEMS = INVENTORY.items
KEYS = np.array([item.keyed for item in ITEMS])
OWN = np.array([item.trait == "extraversion" for item in ITEMS])


def condition(coef: float, level: float = 1.0, headline: bool = False) -> Condition:
    name = f"extraversion={'high' if level > 0 else 'low'}"
    return Condition(
        name=name if headline else f"{name}@{coef:g}", target=name, levels={"extraversion": level}, coef=coef,
        headline=headline, perplexity=1 + coef, dose=coef / 10,
    )  # fmt: skip


def curve(effects: dict[float, float], level: float = 1.0, other: float = 0.0) -> tuple[dict[str, np.ndarray], list]:
    made = [Condition(name="baseline"), *(condition(c, level, c == 2) for c in effects)]
    values = {"baseline": np.zeros(len(ITEMS))}
    for c, effect in zip(made[1:], effects.values(), strict=True):
        values[c.name] = KEYS * np.where(OWN, effect, other * effect)
    return values, made


@pytest.mark.parametrize("mode", ["choice", "statement"])
def test_effect_leakage_and_what_they_cost_by_strength(mode: str) -> None:
    values, made = curve({4: 0.5, 1: 0.1, 2: 0.3}, other=0.5)
    (found,) = doses(values, made, {}, Setting(INVENTORY, ITEMS, mode, 50, 0))  # type: ignore[arg-type]
    assert [p.coef for p in found.points] == [1, 2, 4] and [p.headline for p in found.points] == [False, True, False]
    assert [p.effect.value for p in found.points if p.effect] == pytest.approx([0.1, 0.3, 0.5])
    assert [p.leakage for p in found.points] == pytest.approx([0.05, 0.15, 0.25])
    assert [p.perplexity for p in found.points] == [2, 3, 5] and [p.dose for p in found.points] == [0.1, 0.2, 0.4]
    assert found.monotone is True and found.target == "extraversion=high"


@pytest.mark.parametrize(
    ("effects", "level", "rises"),
    [
        ({1: 0.1, 2: 0.3, 4: 0.2}, 1.0, False),
        ({1: -0.1, 2: -0.3, 4: -0.4}, -1.0, True),
        ({1: -0.1, 2: -0.3, 4: -0.4}, 1.0, False),
        ({1: 0.1, 2: 0.3}, 1.0, None),
    ],
)
def test_rising_is_judged_in_the_direction_aimed_at(
    effects: dict[float, float], level: float, rises: bool | None
) -> None:
    values, made = curve(effects, level)
    (found,) = doses(values, made, {}, Setting(INVENTORY, ITEMS, "choice", 50, 0))
    assert found.monotone is rises


def test_conditions_without_a_strength_have_no_curve() -> None:
    made = [Condition(name="baseline"), Condition(name="p", person="7", coef=2.0),
            Condition(name="extraversion=high", levels={"extraversion": 1.0})]  # fmt: skip
    values = {c.name: np.zeros(len(ITEMS)) for c in made}
    assert doses(values, made, {}, Setting(INVENTORY, ITEMS, "choice", 50, 0)) == []
