"""What is chosen on development data: effects with their standard errors, and the weakest that is as good as the best.

The one-standard-error rule of Breiman et al. (1984): a stronger edit is taken only where it does more than chance makes
of it, since damage and leakage grow with strength.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from traitbench.inventories import Item
from traitbench.statistics.intervals import stratified_mean
from traitbench.types import Point, Target

__all__ = ["best", "halves_error", "mean_error", "near", "shift_error", "spread", "target_shift", "top", "weakness"]

Array = NDArray[np.float64]
Thing = TypeVar("Thing")


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
    mine = [[(i.keyed * m, i.keyed, i.facet) for m, i in zip(moved, items, strict=True) if i.trait == t]
            for t in target.levels]  # fmt: skip
    return halves_error([rows for rows in mine if rows])


def halves_error(groups: Sequence[Sequence[tuple[float, int, Hashable]]]) -> float | None:
    """Standard error of the mean over groups of the mean of a group's two sides; None where one has none.

    A group holds (value, side, cluster) of what is drawn by side, or by cluster where that varies more.
    """
    errors = [
        stratified_mean(
            [v for v, _, _ in rows], [side for _, side, _ in rows], "halves", clusters=[c for *_, c in rows]
        ).se
        for rows in groups
    ]
    return mean_error(errors)


def mean_error(errors: Sequence[float | None]) -> float | None:
    """Standard error of a mean of independent values with these; None where one is not known, or there is none."""
    known = [error for error in errors if error is not None]
    return float(np.sqrt(np.sum(np.square(known)))) / len(known) if known and len(known) == len(errors) else None


def spread(things: Sequence[Thing], kind: Callable[[Thing], Hashable]) -> list[Thing]:
    """Order things so that every beginning holds its share of each kind; those of a kind stay in their order."""
    kinds: dict[Hashable, list[int]] = {}
    for place, thing in enumerate(things):
        kinds.setdefault(kind(thing), []).append(place)
    depth = {place: (n + 0.5) / len(mine) for mine in kinds.values() for n, place in enumerate(mine)}
    return [things[place] for place in sorted(depth, key=lambda place: (depth[place], place))]
