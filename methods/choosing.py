"""What is chosen on development data: effects with their standard errors, and the weakest that is as good as the best.

The one-standard-error rule of Breiman et al. (1984): a stronger edit is taken only where it does more than chance makes
of it, since damage and leakage grow with strength.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from traitbench.inventories import Item
from traitbench.statistics.intervals import stratified_mean
from traitbench.types import Point, Target

__all__ = ["best", "near", "shift_error", "target_shift", "top", "weakness"]

Array = NDArray[np.float64]


def top(curve: Sequence[Point], limit: float, within: float = 1.0) -> Point | None:
    """The weakest point within `within` SE of the largest effect, all under the perplexity limit; None without any.

    The standard error is that of the largest effect; where it is not known, or `within` is 0, that point itself.
    """
    sound = [p for p in curve if p.effect is not None and (p.perplexity is None or p.perplexity <= limit)]
    most = max(sound, key=lambda p: (p.effect or 0.0, -abs(p.strength)), default=None)
    return min((p for p in sound if near(p, most, within)), key=weakness) if most is not None else None


def near(point: Point, most: Point, within: float) -> bool:
    """Whether a point may stand for the largest effect: never one without any effect for one that has."""
    effect, largest = point.effect or 0.0, most.effect or 0.0
    return effect >= largest - within * (most.se or 0.0) and (effect > 0 or largest <= 0)


def weakness(point: Point) -> tuple[float, float]:
    """By what the weakest comes first, of equal strengths the one with the largest effect."""
    return abs(point.strength), -(point.effect or 0.0)


def best(curve: Sequence[Point], limit: float, within: float = 1.0) -> Point:
    """The `top` of a curve, where its effect is above 0; else strength 0."""
    found = top(curve, limit, within)
    return found if found is not None and (found.effect or 0.0) > 0 else Point(strength=0.0, effect=0.0)


def target_shift(moved: Array, items: Sequence[Item], target: Target) -> float:
    """Mean shift (items,) towards the target: over its traits, each the mean of its plus- and minus-keyed halves."""
    shifts = []
    for trait, level in target.levels.items():
        mine = [(i.keyed, i.keyed * m) for m, i in zip(moved, items, strict=True) if i.trait == trait]
        signed = [np.mean([m for k, m in mine if k == key]) for key in sorted({k for k, _ in mine})]
        if signed:
            shifts.append(np.sign(level) * np.mean(signed))
    return float(np.mean(shifts))


def shift_error(moved: Array, items: Sequence[Item], target: Target) -> float | None:
    """Standard error of `target_shift` over items drawn by key, or over facets where that is larger; traits add up."""
    errors = []
    for trait in target.levels:
        mine = [(i, i.keyed * m) for m, i in zip(moved, items, strict=True) if i.trait == trait]
        if mine:
            keys, facets = [i.keyed for i, _ in mine], [i.facet for i, _ in mine]
            errors.append(stratified_mean([m for _, m in mine], keys, "halves", clusters=facets).se)
    known = [error for error in errors if error is not None]
    return float(np.sqrt(np.sum(np.square(known)))) / len(known) if known and len(known) == len(errors) else None
