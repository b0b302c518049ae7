"""Sources of variance of a run: the grid's own axes, known components, and what the D-study asks for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from traitbench import inventories
from traitbench.backends.scripted import Respondent
from traitbench.samples import Condition, Sample
from traitbench.tasks.questionnaire.respondents import Grid, grid
from traitbench.tasks.questionnaire.scorecard import Contrast
from traitbench.tasks.questionnaire.variance import TARGET, compared, dependability, variance

Administer = Callable[..., list[Sample]]


def components(found: dict[str, object]) -> dict[str, float]:
    return {e.name: e.variance for e in found["extraversion"].components.effects}  # type: ignore[attr-defined]


def test_the_axes_are_those_of_the_administration(administer: Administer) -> None:
    items = inventories.load("ipip_50").items
    samples = administer("ipip_50", Respondent(noise=0.1, person_sd=0.1, item_sd=0.1), respondents=6, templates=3)
    found = variance(grid(samples, items, "choice"), ("extraversion",))["extraversion"]
    assert found.components.sizes == {"item": 10, "order": 2, "symbols": 1, "template": 3, "respondent": 6, "repeat": 1}
    assert {e.name for e in found.components.effects} >= {"item", "respondent", "item x template", "residual"}
    assert found.study.sizes["template"] == 3
    assert set(found.needed) == {"item", "order", "template"}


def test_components_are_those_that_made_the_answers() -> None:
    """Respondents .5, items .3, their interaction 1: mean of 300 tables of 12 x 20, within 3 standard errors."""
    inventory = inventories.load("ipip_50")
    chosen = [i for i in inventory.items if i.trait == "extraversion"]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(300):
        k, n = len(chosen), 20
        table = rng.normal(0, 0.3**0.5, (k, 1)) + rng.normal(0, 0.5**0.5, (1, n)) + rng.normal(0, 1, (k, n))
        levels: dict[str, tuple[object, ...]] = {a: (None,) for a in ("order", "symbols", "template", "repeat")}
        levels |= {"item": tuple(i.id for i in chosen), "respondent": tuple(range(n))}
        answers = Grid(tuple(chosen), levels, table.reshape(k, 1, 1, 1, n, 1))
        drawn.append(components(dict(variance(answers, ("extraversion",)))))
    for name, truth in {"item": 0.3, "respondent": 0.5, "residual": 1.0}.items():
        values = np.array([one[name] for one in drawn])
        assert abs(values.mean() - truth) < 3 * values.std(ddof=1) / 300**0.5


def test_more_items_are_asked_for_until_phi_is_high_enough(administer: Administer) -> None:
    items = inventories.load("ipip_50").items
    weak = administer("ipip_50", Respondent(noise=0.3, person_sd=0.1, seed=2), respondents=40)
    for one in variance(grid(weak, items, "choice"), ("openness", "agreeableness")).values():
        phi, wanted = one.study.dependability, one.needed["item"]
        assert phi is not None and phi < TARGET
        assert wanted is None or wanted > 10


def test_without_respondents_nothing_is_told_apart(administer: Administer) -> None:
    found = variance(grid(administer("ipip_50"), inventories.load("ipip_50").items, "choice"), ("openness",))[
        "openness"
    ]
    assert found.components.effects
    assert found.study.dependability is None
    assert found.study.reason
    assert set(found.needed.values()) == {None}
    assert set(found.reasons) == set(found.needed)


def test_statement_without_respondents_has_one_axis_only(administer: Administer) -> None:
    items = inventories.load("ipip_50").items
    found = variance(grid(administer("ipip_50", scoring=("statement",)), items, "statement"), ("openness",))["openness"]
    assert found.components.effects == ()
    assert found.components.reason
    assert found.needed == {}


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_items_with_a_missing_cell_are_left_out_and_counted(share: float, administer: Administer) -> None:
    items = inventories.load("ipip_50").items
    samples = administer("ipip_50", Respondent(noise=0.2, person_sd=0.2), respondents=5, scoring=("choice",))
    lost = {i.id for i in items if i.trait == "extraversion"}
    lost = set(sorted(lost)[: int(share * len(lost))])
    kept = [
        s for s in samples if not (s.item in lost and s.order == "forward" and s.respondent == samples[0].respondent)
    ]
    found = variance(grid(kept, items, "choice"), ("extraversion",))["extraversion"]
    assert found.components.dropped == len(lost)
    assert found.components.sizes["item"] == 10 - len(lost)


def contrast(target: str, high: str, low: str, *aimed: str) -> Contrast:
    return Contrast(target=target, high=high, low=low, aimed=dict.fromkeys(aimed, 1.0), shifts=[])


def test_the_conditions_that_are_told_apart_are_those_that_the_contrasts_compare() -> None:
    contrasts = [
        contrast("openness", "o+", "o-", "openness"),
        contrast("both", "b", "baseline", "openness", "neuroticism"),
        contrast("neutral", "n", "baseline"),
    ]
    conditions = [Condition(name=name) for name in ("baseline", "o+", "o-", "b", "n")]
    assert compared(contrasts, conditions) == ["o+", "o-", "b", "baseline"]
    assert compared(contrasts, conditions, "neuroticism") == ["b", "baseline"]
    assert compared(contrasts, conditions, "extraversion") == []
    drawn = [Condition(name="baseline"), *(Condition(name=f"p{k}", profile=True) for k in range(3))]
    assert compared([contrast("openness", "profiles", "profiles", "openness")], drawn) == ["p0", "p1", "p2"]


def test_two_conditions_are_told_apart_as_well_as_their_difference_stands_out(administer: Administer) -> None:
    """E rho^2 = 1 - 1 / t^2 with t of the paired test over the scale's items; a scale nobody aims at has none."""
    inventory = inventories.load("ipip_50", texts=False)
    samples = {
        name: [s.model_copy(update={"condition": name}) for s in administer("ipip_50", who)]
        for name, who in {"h": Respondent(openness=0.7, noise=0.2, seed=1), "l": Respondent(noise=0.2, seed=2)}.items()
    }
    found = dependability(samples, {"openness": ["h", "l"], "neuroticism": []}, inventory.items, "choice")
    values = {
        name: np.array([np.mean([s.value_keyed for s in mine if s.item == i.id])  # type: ignore[misc]
                        for i in inventory.items if i.trait == "openness"]) for name, mine in samples.items()
    }  # fmt: skip
    gap = values["h"] - values["l"]
    t = gap.mean() / (gap.std(ddof=1) / len(gap) ** 0.5)
    own = found["openness"].aimed
    assert own is not None and own.study.generalizability == pytest.approx(1 - 1 / t**2, abs=1e-9)
    assert own.study.dependability is not None and own.study.dependability <= 1 - 1 / t**2 + 1e-9
    assert found["neuroticism"].aimed is None
    assert found["neuroticism"].run.components.sizes["condition"] == 2
    assert dependability(samples, {"openness": []}, inventory.items, "choice") == {}
