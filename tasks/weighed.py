"""Units that set two weighed texts beside each other, as statement scoring does: what each text did by itself.

A difference of two texts moves by what both do, and varies by what both vary by: its SD is no SD of a text. So where a
task whose units are such differences stands beside one whose units are single texts, the size of an effect is told in
SDs of single texts (`single`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from traitbench.samples import Condition
from traitbench.statistics.effect_sizes import standardised
from traitbench.statistics.intervals import Estimate, item_means
from traitbench.tasks.differences import differences
from traitbench.tasks.effects import Contrast, Setting, sign

__all__ = ["Pole", "WeighedContrast", "single", "with_texts"]

Pole = Literal["high", "low"]
"""Of the trait that a text is on: which end it is typical of."""


class WeighedContrast(Contrast):
    """Two conditions on units of two texts."""

    texts: dict[str, dict[Pole, float]] = Field(default={}, exclude_if=lambda value: not value)
    """Unit of the trait aimed at -> pole of its texts on that trait -> how far each moved in the direction aimed at
    (down for one of the other pole), mean over templates and fits. Empty where a unit is one answer."""


Kind = TypeVar("Kind", bound=WeighedContrast)


def with_texts(
    made: Sequence[Kind],
    poles: Mapping[str, Mapping[Pole, NDArray[np.float64]]] | None,
    conditions: Sequence[Condition],
    setting: Setting,
) -> list[Kind]:
    """The contrasts, in the order of `differences`, with what their texts did; without `poles` as they are.

    `poles`: condition -> pole -> nats a token of each unit's text of it, NaN where it has none.
    """
    if not poles:
        return list(made)
    held = zip(made, _moves(poles, conditions), strict=True)
    return [one.model_copy(update={"texts": _texts(one, moved, setting)}) for one, moved in held]


def _moves(
    poles: Mapping[str, Mapping[Pole, NDArray[np.float64]]], conditions: Sequence[Condition]
) -> Iterator[dict[Pole, NDArray[np.float64]]]:
    """How far the texts of each pole moved towards it, (units, templates, fits), in every contrast."""
    high, low = ({name: held[pole] for name, held in poles.items()} for pole in ("high", "low"))
    for up, down in zip(differences(high, conditions), differences(low, conditions), strict=True):
        yield {"high": up.moved, "low": -down.moved}


def _texts(
    found: Contrast, moved: Mapping[Pole, NDArray[np.float64]], setting: Setting
) -> dict[str, dict[Pole, float]]:
    """What `WeighedContrast.texts` holds; empty where no trait is aimed at."""
    if found.effect is None:
        return {}
    means = {pole: sign(found) * item_means(shifts) for pole, shifts in moved.items()}
    return {
        setting.units[k].id: {pole: float(m[k]) for pole, m in means.items() if np.isfinite(m[k])}
        for k in setting.traits[found.effect.trait]
    }


def single(mean: Estimate, held: Sequence[Mapping[Pole, float]]) -> Estimate:
    """D in SDs of single texts of a `mean` over units, each taken a text of what is aimed at; `held`: their texts.

    The SD is that within poles. What the two texts of a unit share is counted once: with a correlation of r, the
    variance of n pairs of texts has 2 (n - 1) / (1 + r^2) degrees of freedom.
    """
    by_pole = [np.array([texts[pole] for texts in held if pole in texts]) for pole in ("high", "low")]
    rests = [x - x.mean() for x in by_pole if x.size]
    count, free = sum(x.size for x in rests), sum(x.size - 1 for x in rests)
    if free < 1:
        return Estimate(None, None, None, mean.n)
    sd = float(np.sqrt(sum(np.square(x).sum() for x in rests) / free))
    both = np.array([[texts["high"], texts["low"]] for texts in held if len(texts) == 2])
    varied = len(both) > 2 and bool(np.all(both.std(axis=0) > 0))
    r = float(np.corrcoef(both.T)[0, 1]) if varied else 0.0
    return standardised(mean._replace(sd=sd), free / (1 + r**2 * 2 * len(both) / count))
