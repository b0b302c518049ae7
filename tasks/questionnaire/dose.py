"""Dose curves: what a control does as its edits grow stronger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from traitbench.samples import Condition
from traitbench.statistics.style import Style
from traitbench.tasks.questionnaire.scorecard import Difference, Setting, Shift, aims, by_trait, contrast
from traitbench.types import Record

__all__ = ["Dose", "DosePoint", "doses"]


class DosePoint(Record):
    """One target at one strength, beside the baseline."""

    condition: str
    coef: float
    """In the method's own unit; 0: its messages alone."""
    headline: bool
    """Whether it is the strength that the method chose on development data."""
    dose: float | None
    """Size of the edits beside the activations that they change."""
    perplexity: float | None
    """Of neutral text, over the baseline's."""
    effect: Shift | None
    """Shift of the trait aimed at; positive is up, whatever the target's level."""
    leakage: float | None
    mean_abs_shift: float | None
    option_mass: float | None
    """Probability of all options before renormalising; null for statement."""


class Dose(Record):
    """The curve of one target, weakest first."""

    target: str
    points: list[DosePoint]
    monotone: bool | None
    """Whether the effect in the direction aimed at never falls with strength; null with fewer than three strengths."""


def doses(
    values: Mapping[str, NDArray[np.float64]],
    conditions: Sequence[Condition],
    styles: Mapping[str, Style],
    setting: Setting,
) -> list[Dose]:
    """Make the curve of every trait target whose control has a strength.

    `values`: condition -> raw item values, as for the scorecard; `styles`: condition -> response style.
    """
    curves: dict[str, list[Condition]] = {}
    for condition in conditions:
        if condition.coef is not None and condition.levels and condition.variant is None:
            curves.setdefault(condition.target or "", []).append(condition)
    baseline = values[conditions[0].name]
    out = []
    for target, mine in curves.items():
        mine = sorted(mine, key=lambda c: c.coef or 0.0)
        for name, aimed, beside in by_trait(target, aims(mine[0])):
            points = [
                _point(
                    Difference(c.name, c.name, conditions[0].name, aimed, values[c.name] - baseline, beside),
                    c, styles.get(c.name), setting,
                )
                for c in mine
            ]  # fmt: skip
            out.append(Dose(target=name, points=points, monotone=_monotone(points, aimed)))
    return out


def _point(difference: Difference, condition: Condition, style: Style | None, setting: Setting) -> DosePoint:
    row = contrast(difference, setting)
    return DosePoint(
        condition=condition.name, coef=condition.coef or 0.0, headline=condition.headline, dose=condition.dose,
        perplexity=condition.perplexity, effect=row.effect, leakage=row.leakage, mean_abs_shift=row.mean_abs_shift,
        option_mass=style.option_mass if style else None,
    )  # fmt: skip


def _monotone(points: Sequence[DosePoint], aimed: Mapping[str, float]) -> bool | None:
    sign = next(iter(aimed.values()), 1.0)
    effects = [sign * p.effect.value for p in points if p.effect is not None and p.effect.value is not None]
    if len(effects) < 3:
        return None
    return all(b >= a for a, b in pairwise(effects))
