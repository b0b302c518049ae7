"""Where the variance of a scale's answers comes from, and how many conditions would be enough.

Two questions, two objects of measurement. Without a control, can respondents be told apart? With one, can the
conditions that it made? A model that rightly answers alike under every trait-free biography fails the first and may
well pass the second, and the second is what a control is judged by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traitbench.statistics.generalizability import DStudy, VarianceComponents, d_study, needed, variance_components
from traitbench.tasks.questionnaire.respondents import FACETS, Grid, laid_out
from traitbench.tasks.questionnaire.scorecard import PROFILES, Contrast
from traitbench.types import Mode, Record, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Item
    from traitbench.samples import Condition, Sample

__all__ = ["TARGET", "Dependability", "Variance", "compared", "dependability", "variance"]

TARGET = 0.80
"""The coefficient that `needed` asks for."""
FIXED = ("order", "symbols")
"""Facets whose levels are all there are."""


class Variance(Record):
    """G-study and D-study of one scale over item x order x symbols x template x respondent x repeat.

    Of the baseline, where respondents are told apart; or over the conditions of a control as well, which then are.
    """

    components: VarianceComponents
    study: DStudy
    """With the numbers of this run; `object` is what is told apart."""
    needed: dict[str, int | None]
    """Facet -> how many of it, the others as they are, for phi >= .80 (respondents) or E rho^2 >= .80 (conditions);
    null where `reasons` says why."""
    reasons: dict[str, str] = {}


def variance(answers: Grid, traits: Sequence[Trait]) -> dict[Trait, Variance]:
    """Study each trait that the grid holds items of; respondents are told apart."""
    return _studies(answers.values, FACETS, answers.items, traits, "respondent")


class Dependability(Record):
    """Whether a scale tells the conditions of a control apart, which are the object of measurement here.

    A control is judged by comparisons of its conditions on the same items, so E rho^2 is the coefficient that counts;
    phi holds what of an item's own level does not cancel as well.
    """

    aimed: Variance | None = None
    """Over the conditions that aim at the trait of the scale: what the verdict asks. Null where none does."""
    run: Variance
    """Over all conditions that aim at a trait. Shown, not judged: it falls the fewer of them move the scale, so a
    control that moves nothing but its own trait would come off worst."""


def compared(contrasts: Sequence[Contrast], conditions: Sequence[Condition], trait: Trait | None = None) -> list[str]:
    """Name the conditions between which the contrasts that aim at `trait`, or at any, compare."""
    names: dict[str, None] = {}
    for contrast in (one for one in contrasts if (trait in one.aimed if trait else one.aimed)):
        if contrast.high == PROFILES:
            names.update(dict.fromkeys(condition.name for condition in conditions if condition.profile))
        else:
            names.update({contrast.high: None, contrast.low: None})
    return list(names)


def dependability(
    samples: Mapping[str, Sequence[Sample]],
    between: Mapping[Trait, Sequence[str]],
    items: Sequence[Item],
    mode: Mode,
) -> dict[Trait, Dependability]:
    """Study each trait of `between`, which names the conditions that aim at it (none: []); {} without any.

    `samples`: condition -> its samples of this scoring mode.
    """
    names = list(dict.fromkeys(name for mine in between.values() for name in mine))
    if len(names) < 2:
        return {}
    axes = (*FACETS, "condition")
    _, values = laid_out([sample for name in names for sample in samples[name]], items, mode, axes)
    found = _studies(values, axes, items, list(between), "condition")
    out = {}
    for trait, study in found.items():
        own = [names.index(name) for name in between[trait]]
        aimed = _studies(values[..., own], axes, items, [trait], "condition")[trait] if own else None
        out[trait] = Dependability(aimed=aimed, run=study)
    return out


def _studies(
    values: NDArray[np.float64], axes: Sequence[str], items: Sequence[Item], traits: Sequence[Trait], object: str
) -> dict[Trait, Variance]:
    out = {}
    for trait in traits:
        index = [i for i, item in enumerate(items) if item.trait == trait]
        if not index:
            continue
        components = variance_components(values[index], axes, fixed=FIXED)
        varied = [f for f in axes if f != object and components.sizes[f] > 1] if components.effects else []
        relative = object == "condition"
        counts = {f: needed(components, object, f, target=TARGET, relative=relative) for f in varied}
        out[trait] = Variance(
            components=components,
            study=d_study(components, object),
            needed={facet: None if c.value is None else int(c.value) for facet, c in counts.items()},
            reasons={facet: c.reason for facet, c in counts.items() if c.value is None},
        )
    return out
