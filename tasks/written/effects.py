"""What a control did to the ratings of written replies: effects, the composite, other traits, and their length.

A unit is a question. Its value is the rating of the replies to it on its own trait, 0 to 5 points; all questions of a
trait count alike, clustered by facet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.samples import Condition
from traitbench.statistics.thresholds import Level
from traitbench.tasks.differences import design_of, differences
from traitbench.tasks.effects import Contrast, Setting, UnitShift, contrast, counted, shift, troubles
from traitbench.tasks.written.ratings import RANGE
from traitbench.types import Record, Trait

__all__ = ["Composite", "Doubt", "ReplyContrast", "contrasts"]

_OF_FIVE = 4 / RANGE
"""Points of a scale from 1 to 5 that a point of ours is."""

Values = Mapping[str, NDArray[np.float64]]
"""Condition -> (units, templates, fits)."""


class Composite(Record):
    """High mean plus 6 minus low mean, ratings taken to a scale from 1 to 5 (1 + 0.8 x rating): 2 to 10, 6 is none."""

    value: float
    se: float | None
    ci: tuple[float, float] | None
    sd: float | None
    """Between questions."""


class Doubt(NamedTuple):
    """What speaks against the ratings of a trait."""

    level: Level
    why: str


class ReplyContrast(Contrast):
    """Two conditions on the same questions.

    The check is `caution` where the interval of the effect reaches zero, or does so once the run's contrasts are
    counted (Holm), where it goes against the target, or where judges agree little on the trait; `not interpretable`
    where they do not agree on it.
    """

    composite: Composite | None = None
    """Of high minus low; null of other contrasts."""
    spill: list[UnitShift] = []
    """How far each other trait moved in the replies to the questions about the trait aimed at."""
    length: UnitShift | None = None
    """How many tokens longer the replies to these questions became: longer replies may be rated otherwise."""


def contrasts(
    values: Values,
    others: Mapping[Trait, Values],
    lengths: Values,
    conditions: Sequence[Condition],
    setting: Setting,
    doubts: Mapping[Trait, Doubt],
) -> list[ReplyContrast]:
    """Every contrast that the conditions allow, all of them counted (Holm).

    `values` are ratings on the question's own trait; `others`: dimension -> ratings on it, whatever the question is
    about; `lengths` are in tokens. `doubts`: trait -> what speaks against its ratings.
    """
    found = list(differences(values, conditions))
    beside = {dimension: [d.moved for d in differences(each, conditions)] for dimension, each in others.items()}
    longer = [d.moved for d in differences(lengths, conditions)]
    baseline, made = conditions[0].name, []
    for place, difference in enumerate(found):
        one = ReplyContrast(**dict(contrast(difference, setting)))
        if one.effect is not None:
            i, own = setting.traits[one.effect.trait], one.effect.trait
            poles = design_of(one.high, one.low, baseline) == "poles" and list(one.aimed.values()) == [1.0]
            one = one.model_copy(update={
                "composite": _composite(difference.moved[i], i, setting) if poles else None,
                "spill": [shift(d, beside[d][place][i], i, setting) for d in beside if d != own],
                "length": shift("tokens", longer[place][i], i, setting),
            })  # fmt: skip
        made.append(one)
    return [_judged(one, doubts) for one in counted(made, _reasons(doubts))]


def _reasons(doubts: Mapping[Trait, Doubt]) -> Callable[[ReplyContrast], list[str]]:
    def reasons(found: ReplyContrast) -> list[str]:
        assert found.effect is not None
        return ([doubts[found.effect.trait].why] if found.effect.trait in doubts else []) + troubles(found)

    return reasons


def _judged(found: ReplyContrast, doubts: Mapping[Trait, Doubt]) -> ReplyContrast:
    doubt = doubts.get(found.effect.trait) if found.effect and found.check else None
    return found.model_copy(update={"check": doubt.level}) if doubt and doubt.level != "caution" else found


def _composite(moved: NDArray[np.float64], index: NDArray[np.int_], setting: Setting) -> Composite | None:
    found = setting.estimated(moved, index)
    if found.value is None:
        return None
    return Composite(
        value=6 + _OF_FIVE * found.value,
        se=None if found.se is None else _OF_FIVE * found.se,
        ci=None if found.ci is None else (6 + _OF_FIVE * found.ci[0], 6 + _OF_FIVE * found.ci[1]),
        sd=None if found.sd is None else _OF_FIVE * found.sd,
    )
