"""How much better one contender is than another: paired over the units that both have, where they say which."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from traitbench.statistics.intervals import Estimate
from traitbench.statistics.ranking import unpaired
from traitbench.statistics.sums import Term, total
from traitbench.tasks.board import Contender, Part

__all__ = ["difference"]

UNPAIRED = ("fits",)
"""Axes whose levels are nobody's pairs: the first fit of one method has nothing to do with the first of another."""

SAME = 1e-12
"""Of the largest value: a smaller difference is the last digits of equal numbers."""


def difference(a: Contender, b: Contender) -> Estimate | None:
    """How much better `a` is than `b`; None where that cannot be tested.

    With parts on both sides it is the mean over the shared parts of paired differences; their units are different
    units, so their errors add up. Without, both intervals are taken as independent.
    """
    found = _paired(a, b) if a.parts and b.parts else _apart(a, b)
    if found is None or found.value is None or found.se is None:
        return None
    # The interval, which would have to be turned too, is no part of a rank.
    return found._replace(value=found.value if a.higher_is_better else -found.value, ci=None)


def _apart(a: Contender, b: Contender) -> Estimate | None:
    if a.value is None or b.value is None or a.ci is None or b.ci is None:
        return None
    return unpaired(a.value, a.ci, b.value, b.ci)


def _paired(a: Contender, b: Contender) -> Estimate | None:
    others = {part.name: part for part in b.parts}
    shared = [(part, others[part.name]) for part in a.parts if part.name in others]
    if not shared:
        return None
    names = sorted({name for part in (*a.parts, *b.parts) for name in part.over})
    return total([_part(mine, other, names)._replace(share=1 / len(shared)) for mine, other in shared], names)


def _part(a: Part, b: Part, names: list[str]) -> Term:
    """The paired differences of one part, over the units and what else both have.

    Of templates, those that both were asked with are compared: the first ones. Where one side was fitted once and the
    other several times, that one fit stands against each.
    """
    units = [unit for unit in a.values if unit in b.values]
    x, y = _array(a, units, names), _array(b, units, names)
    for axis, name in enumerate(names, 1):
        fewest = min(x.shape[axis], y.shape[axis])
        if name not in UNPAIRED or fewest > 1:
            x, y = x.take(range(fewest), axis), y.take(range(fewest), axis)
    found = x - y
    found = np.where(np.abs(found) <= SAME * np.maximum(np.abs(x), np.abs(y)), 0.0, found)
    strata = np.array([a.strata.get(unit, 1) for unit in units])
    known = bool(units) and all(unit in a.clusters for unit in units)
    clusters = [a.clusters[unit] for unit in units] if known else None
    return Term(1.0, found, strata, clusters, a.weights)


def _array(part: Part, units: list[str], names: list[str]) -> NDArray[np.float64]:
    """Values (units, one axis for each of `names`), of length 1 where the part has no such axis; NaN where missing."""
    values = [[np.nan if v is None else v for v in part.values[unit]] for unit in units]
    own = np.array(values, dtype=float).reshape(len(units), *part.shape)
    own = own.transpose(0, *(1 + part.over.index(name) for name in names if name in part.over))
    return np.expand_dims(own, [axis for axis, name in enumerate(names, 1) if name not in part.over])
