"""One inventory in two wordings: each level and effect, their difference, and what two one-sided tests say of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.inventories import Inventory
from traitbench.samples import Sample
from traitbench.statistics.comparison import holm, paired
from traitbench.statistics.effect_sizes import correlation
from traitbench.statistics.equivalence import BOUNDS, Equivalence, tost
from traitbench.statistics.intervals import Weights, item_means, stratified_mean
from traitbench.tasks.block import Facts
from traitbench.tasks.scoring import RANDOM, facets_of, item_grid, weights_of
from traitbench.tasks.shifts import Shifts
from traitbench.tasks.task import Task
from traitbench.types import Mode, Record

__all__ = ["MEAN", "Equated", "InWords", "Pairs", "Values", "equated", "pair"]

MEAN = "mean"
"""Where the targets stand, the mean over the items of all of them."""
ALPHA = 0.05
Array = NDArray[np.float64]
What = Literal["level", "effect"]
MIDDLE: dict[What, float] = {"level": 50.0, "effect": 0.0}
"""About which a minus-keyed value is turned."""


class InWords(Record):
    """A level or an effect in one wording, over the items that both have a value for."""

    value: float | None
    ci: tuple[float, float] | None


class Equated(Record):
    """One level or effect in both wordings, in the unit of its pairing."""

    what: What
    """level: of the baseline, keyed. effect: of a contrast, in the direction aimed at."""
    name: str
    """Trait of a level, target of an effect."""
    original: InWords
    reworded: InWords
    difference: float | None
    """Original minus reworded, item by item."""
    ci: tuple[float, float] | None
    """95 %."""
    p: float | None
    """Of no difference; 0 where every item differs by the same amount."""
    p_holm: float | None = None
    """Adjusted (Holm 1979) over the levels, or over the effects, of the pairing; null of their mean."""
    equivalence: Equivalence
    r: float | None
    """Over the items, of agreement, unkeyed: null below three of them, or where one wording does not vary."""
    r_ci: tuple[float, float] | None
    n: int
    """Items with a value in both."""
    verdict: Literal["original higher", "reworded higher", "equivalent", "inconclusive"] = "inconclusive"
    """higher: the adjusted p is below .05. equivalent: not so, and the 90 % interval lies within the bounds.
    inconclusive: neither, so nothing is known."""


class Pairs(Record):
    """An inventory and its rewording in one scoring mode."""

    original: str
    reworded: str
    mode: Mode
    unit: Literal["POMP", "nats a token"]
    bound: float
    """Differences within it either way count as none."""
    found: list[Equated]
    r: dict[What, tuple[float, tuple[float, float] | None]]
    """Over the items of all traits, with its interval; without what does not vary."""
    unpaired: int
    """Items without one of the same number, trait and key in the other wording: left out."""


class Values(NamedTuple):
    """The values of the same items in both wordings, in one order."""

    name: str
    original: Array
    reworded: Array
    """(items,), or with axes of templates and fits."""
    keys: NDArray[np.int_]
    facets: Sequence[str] | None = None
    weights: Weights = "items"


def pair(
    facts: Facts, tasks: tuple[Task, Task], inventories: tuple[Inventory, Inventory], both: Sequence[list[Sample]],
    mode: Mode,
) -> Pairs:  # fmt: skip
    """Set an inventory beside its rewording; `both` are the samples of each in one scoring mode."""
    asked = [{row.item for row in rows} for rows in both]
    items = [
        {(i.number, i.trait, i.keyed): i for i in inventory.items if i.id in held}
        for inventory, held in zip(inventories, asked, strict=True)
    ]
    twins = {items[0][place].id: items[1][place].id for place in items[0] if place in items[1]}
    unit: Literal["POMP", "nats a token"] = "nats a token" if mode == "statement" else "POMP"
    given: dict[What, list[Values]] = {
        "level": list(_levels(facts, inventories, both, twins)) if mode != "statement" else [],
        "effect": list(_effects([t.shifts(facts, rows) for t, rows in zip(tasks, both, strict=True)], twins, mode)),
    }
    found, r = [], {}
    for what, values in given.items():
        found += equated(what, values, BOUNDS[unit])
        x, y = (_joined(values, side) for side in ("original", "reworded"))
        keys = [key for one in values for key in one.keys]
        over, ci = (
            _correlated(item_means(x - MIDDLE[what]), item_means(y - MIDDLE[what]), np.array(keys))
            if len(x)
            else (None, None)
        )
        if over is not None:
            r[what] = (over, ci)
    return Pairs(
        original=tasks[0].id, reworded=tasks[1].id, mode=mode, unit=unit, bound=BOUNDS[unit], found=found, r=r,
        unpaired=len(items[0]) + len(items[1]) - 2 * len(twins),
    )  # fmt: skip


def _levels(
    facts: Facts, inventories: tuple[Inventory, Inventory], both: Sequence[list[Sample]], twins: Mapping[str, str]
) -> Iterator[Values]:
    """Keyed answers of the baseline in percent of the scale's range, trait by trait."""
    first = inventories[0]
    baseline = facts.conditions[0].name
    mine = [[row for row in rows if row.condition == baseline] for rows in both]
    templates = sorted({row.template for rows in mine for row in rows})
    held = [{item.id: item for item in inventory.items} for inventory in inventories]
    for trait in first.traits:
        own = [id for id in twins if held[0][id].trait == trait]
        if not own:
            continue
        keys = np.array([held[0][id].keyed for id in own])
        ids = (own, [twins[id] for id in own])
        grids = []
        for side, inventory in enumerate(inventories):
            raw = item_grid(mine[side], [held[side][id] for id in ids[side]], templates)
            scale = inventory.response_scale
            percent = 100 * (raw - scale.min) / (scale.max - scale.min)
            grids.append(np.where(keys.reshape(-1, 1, 1) == 1, percent, 100 - percent))
        yield Values(trait, grids[0], grids[1], keys, facets_of([held[0][id] for id in own]))


def _effects(both: Sequence[Sequence[Shifts]], twins: Mapping[str, str], mode: Mode) -> Iterator[Values]:
    """Item shifts of the contrasts that both have, in the direction aimed at."""
    others = {(shift.design, shift.part.name): shift.part for shift in both[1]}
    for shift in both[0]:
        part, other = shift.part, others.get((shift.design, shift.part.name))
        ids = [id for id in part.values if other and twins.get(id) in other.values]
        if other is None or not ids or part.shape != other.shape:
            continue
        known = all(id in part.clusters for id in ids)
        yield Values(
            part.name,
            _cells([part.values[id] for id in ids], part.shape),
            _cells([other.values[twins[id]] for id in ids], other.shape),
            np.array([part.strata[id] for id in ids]),
            [part.clusters[id] for id in ids] if known else None,
            weights_of(mode),
        )


def _cells(values: Sequence[Sequence[float | None]], shape: Sequence[int]) -> Array:
    return np.array([[np.nan if v is None else v for v in cells] for cells in values], dtype=float).reshape(-1, *shape)


def equated(what: What, values: Sequence[Values], bound: float) -> list[Equated]:
    """Set each level or effect beside its twin; where there are several effects, their mean over all items too.

    A mean of levels of different traits says nothing, so levels have none.
    """
    found = [_equated(what, one, bound) for one in values]
    adjusted = holm([one.p for one in found])
    out = [_judged(one.model_copy(update={"p_holm": p}), p) for one, p in zip(found, adjusted, strict=True)]
    # One target twice (both poles against the baseline) would count its items twice.
    traits = sum(len(one.keys) for one in values)
    if what == "effect" and len(values) > 1 and len({one.original.shape[1:] for one in values}) == 1 and traits:
        facets = [f for one in values for f in one.facets or ()]
        mean = Values(
            MEAN, _joined(values, "original"), _joined(values, "reworded"), np.concatenate([v.keys for v in values]),
            facets if len(facets) == traits else None, values[0].weights,
        )  # fmt: skip
        whole = _equated(what, mean, bound)
        out.append(_judged(whole, whole.p))
    return out


def _joined(values: Sequence[Values], side: Literal["original", "reworded"]) -> Array:
    """The items of all, one after the other."""
    return np.concatenate([getattr(one, side) for one in values]) if values else np.empty(0)


def _equated(what: What, one: Values, bound: float) -> Equated:
    over = RANDOM[: one.original.ndim - 1]
    known = np.isfinite(one.original) & np.isfinite(one.reworded)
    a, b = (np.where(known, side, np.nan) for side in (one.original, one.reworded))
    found = paired(a, b, one.keys, one.weights, 1 - ALPHA, one.facets, over)
    sides = [stratified_mean(side, one.keys, one.weights, clusters=one.facets, over=over) for side in (a, b)]
    r, r_ci = _correlated(item_means(a - MIDDLE[what]), item_means(b - MIDDLE[what]), one.keys)
    p = found.p
    if p is None and found.ci is not None:
        # Without spread t is infinite, or 0 / 0 where there is no difference either.
        p = 0.0 if abs(found.difference or 0.0) > 1e-9 else 1.0
    return Equated(
        what=what, name=one.name, original=InWords(value=sides[0].value, ci=sides[0].ci),
        reworded=InWords(value=sides[1].value, ci=sides[1].ci), difference=found.difference, ci=found.ci, p=p,
        equivalence=tost(a, b, bound, one.keys, one.weights, ALPHA, one.facets, over), r=r, r_ci=r_ci, n=found.n,
    )  # fmt: skip


def _judged(one: Equated, p: float | None) -> Equated:
    if p is not None and p < ALPHA and one.difference:
        return one.model_copy(update={"verdict": "original higher" if one.difference > 0 else "reworded higher"})
    return one.model_copy(update={"verdict": "equivalent" if one.equivalence.equivalent else "inconclusive"})


def _correlated(x: Array, y: Array, keys: NDArray[np.int_]) -> tuple[float | None, tuple[float, float] | None]:
    """Over the items, of agreement as it was given: keyed, whoever agrees with everything would be alike in both."""
    known = np.isfinite(x) & np.isfinite(y)
    return correlation((keys * x)[known].tolist(), (keys * y)[known].tolist())
