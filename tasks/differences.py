"""How far each item moved between two conditions, or over drawn profiles: what effects are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.samples import Condition
from traitbench.tasks.shifts import Design
from traitbench.types import Record, Trait

__all__ = ["PROFILES", "Difference", "Overall", "aims", "by_trait", "design_of", "differences", "pairs"]

PROFILES = "profiles"
"""Where a contrast names its conditions: all the drawn profiles together."""


class Overall(Record):
    """Mean over the contrasts that aim at one trait, in the direction aimed at."""

    value: float
    se: float | None
    ci: tuple[float, float] | None
    covers: list[str] = []
    """What the interval covers: items, facets, templates, fits; the targets are taken as they are."""


class Difference(NamedTuple):
    """How far the items moved in one contrast."""

    target: str
    high: str
    low: str
    """The conditions that are compared: high minus low."""
    aimed: dict[Trait, float]
    """The trait aimed at -> sign of the expected shift; empty where none is."""
    moved: NDArray[np.float64]
    """Raw item values: (items,) or (items, templates, fits)."""
    beside: tuple[Trait, ...] = ()
    """Traits that the same target aims at too: how they moved is neither leakage nor halo."""


def aims(condition: Condition) -> dict[Trait, float]:
    """Trait -> sign of the shift that the condition aims at; a level of 0 aims at none."""
    return {trait: 1.0 if level > 0 else -1.0 for trait, level in condition.levels.items() if level}


def by_trait(target: str, aimed: Mapping[Trait, float]) -> list[tuple[str, dict[Trait, float], tuple[Trait, ...]]]:
    """Name, trait aimed at and traits beside it; of a target of several traits a row each, named `target: trait`."""
    if len(aimed) < 2:
        return [(target, dict(aimed), ())]
    return [(f"{target}: {one}", {one: sign}, tuple(t for t in aimed if t != one)) for one, sign in aimed.items()]


def design_of(high: str, low: str, baseline: str) -> Design:
    """What a contrast of two conditions is; `baseline` names the condition without control."""
    return "profiles" if high == PROFILES else "baseline" if low == baseline else "poles"


def differences(values: Mapping[str, NDArray[np.float64]], conditions: Sequence[Condition]) -> Iterator[Difference]:
    """Every contrast that the conditions allow; a target of several traits has one for each of them.

    `values`: condition -> raw item values (items,) or (items, templates, fits), as `item_grid` gives them; the moves
    have the same shape. The one fit of a baseline stands for all.
    """
    for target, high, low, aimed in pairs(conditions):
        moved = values[high.name] - values[low.name]
        for name, own, beside in by_trait(target, aimed):
            yield Difference(name, high.name, low.name, own, moved, beside)
    profiles = [c for c in conditions if c.profile]
    traits = list(dict.fromkeys(t for c in profiles for t in c.levels))
    if len(profiles) <= len(traits) + 1:
        return
    levels = np.array([[1.0, *(c.levels.get(t, 0.0) for t in traits)] for c in profiles])
    slopes = _slopes(levels, np.array([values[c.name] for c in profiles]))
    for place, trait in enumerate(traits, 1):
        yield Difference(trait, PROFILES, PROFILES, {trait: 1.0}, 2 * slopes[place])


def pairs(conditions: Sequence[Condition]) -> list[tuple[str, Condition, Condition, dict[Trait, float]]]:
    """The contrasts a set of conditions allows: high minus low where a trait has both poles, else minus baseline."""
    poles = {(t, v): c for c in conditions if c.headline and len(c.levels) == 1 for t, v in c.levels.items()}
    out: list[tuple[str, Condition, Condition, dict[Trait, float]]] = []
    for condition in (c for c in conditions[1:] if c.headline and not c.profile and c.person is None):
        levels = condition.levels
        trait, level = next(iter(levels.items())) if len(levels) == 1 else ("", 0.0)
        other = poles.get((trait, -level))
        if trait and abs(level) == 1 and other is not None:
            if level == 1:
                out.append((trait, condition, other, {trait: 1.0}))
        else:
            out.append((condition.name, condition, conditions[0], aims(condition)))
    return out


def _slopes(levels: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares of item values (n, items, ...) on levels (n, 1 + traits): coefficients (1 + traits, items, ...)."""
    flat = values.reshape(values.shape[0], -1)
    out = np.full((levels.shape[1], flat.shape[1]), np.nan)
    whole = ~np.isnan(flat).any(axis=0)
    out[:, whole] = np.linalg.lstsq(levels, flat[:, whole], rcond=None)[0]
    for cell in np.flatnonzero(~whole):
        kept = ~np.isnan(flat[:, cell])
        if kept.sum() > levels.shape[1]:
            out[:, cell] = np.linalg.lstsq(levels[kept], flat[kept, cell], rcond=None)[0]
    return out.reshape(levels.shape[1], *values.shape[1:])
