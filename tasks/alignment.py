"""Two parts laid beside each other, cell by cell: what a paired test of two runs is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.tasks.board import Part

__all__ = ["Aligned", "aligned"]

UNPAIRED = ("fits",)
"""Axes whose levels are nobody's pairs: the first fit of one method has nothing to do with the first of another."""


class Aligned(NamedTuple):
    """The values of two parts for the units that both have, in one order."""

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    """(units, one axis for each of `over`), NaN where there is no value."""
    strata: NDArray[np.int_]
    clusters: list[str] | None
    """None where a unit has none."""
    weights: Literal["items", "halves"]
    over: list[str]


def aligned(a: Part, b: Part, over: Sequence[str] | None = None) -> Aligned:
    """Lay `a` and `b` beside each other; `over` are the axes, by default those that one of the two has.

    Of templates, those that both were asked with are compared: the first ones. Where one side was fitted once and the
    other several times, that one fit stands against each.
    """
    names = sorted({*a.over, *b.over}) if over is None else list(over)
    units = [unit for unit in a.values if unit in b.values]
    x, y = _array(a, units, names), _array(b, units, names)
    for axis, name in enumerate(names, 1):
        fewest = min(x.shape[axis], y.shape[axis])
        if name not in UNPAIRED or fewest > 1:
            x, y = x.take(range(fewest), axis), y.take(range(fewest), axis)
    x, y = np.broadcast_arrays(x, y)
    known = bool(units) and all(unit in a.clusters for unit in units)
    return Aligned(
        x, y, np.array([a.strata.get(unit, 1) for unit in units]),
        [a.clusters[unit] for unit in units] if known else None, a.weights, names,
    )  # fmt: skip


def _array(part: Part, units: list[str], names: list[str]) -> NDArray[np.float64]:
    """Values (units, one axis for each of `names`), of length 1 where the part has no such axis; NaN where missing."""
    values = [[np.nan if v is None else v for v in part.values[unit]] for unit in units]
    own = np.array(values, dtype=float).reshape(len(units), *part.shape)
    own = own.transpose(0, *(1 + part.over.index(name) for name in names if name in part.over))
    return np.expand_dims(own, [axis for axis, name in enumerate(names, 1) if name not in part.over])
