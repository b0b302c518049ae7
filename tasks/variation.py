"""Whether the answers vary at all: what never does measures nothing, however neat its intervals are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traitbench.tasks.scoring import item_values
from traitbench.types import Record

if TYPE_CHECKING:
    from traitbench.samples import Item, Sample

__all__ = ["FLAT", "Variation", "correlated", "variation", "varied"]

FLAT = 1e-9
"""A difference up to this (of scale points, or nats a token) is round-off."""


class Variation(Record):
    """How much the answers of one scoring mode vary, and whether the two option orders agree on how."""

    items: float | None
    """SD of the items' raw values over all items and conditions; null without a valid answer."""
    moved: float | None = None
    """Largest distance between an item's raw values in two conditions; null with one condition."""
    orders: float | None = None
    """r of the items' raw values in forward and in reverse order, over items and conditions; null where there is one
    order, or no variance in one of them."""
    orders_ci: tuple[float, float] | None = None
    """95 % by Fisher's z, with the number of items as n: conditions ask the same items again."""


def variation(conditions: Mapping[str, Sequence[Sample]], items: Sequence[Item]) -> Variation:
    """Say how the answers of these conditions vary; `conditions`: name -> samples of one scoring mode."""
    table = np.array([item_values(mine, items) for mine in conditions.values()])
    forward, reverse = (
        np.array([item_values([s for s in mine if s.order == order], items) for mine in conditions.values()])
        for order in ("forward", "reverse")
    )
    return varied(table, forward, reverse)


def varied(
    table: NDArray[np.float64], forward: NDArray[np.float64] | None = None, reverse: NDArray[np.float64] | None = None
) -> Variation:
    """Say how raw values vary, (conditions, items) with NaN where there is none; `forward` and `reverse` by order."""
    held = table[~np.isnan(table)]
    if not held.size:
        return Variation(items=None)
    r, interval = correlated(forward, reverse) if forward is not None and reverse is not None else (None, None)
    return Variation(items=float(held.std()), moved=_moved(table), orders=r, orders_ci=interval)


def correlated(
    forward: NDArray[np.float64], reverse: NDArray[np.float64]
) -> tuple[float | None, tuple[float, float] | None]:
    """Correlate two tables (conditions, items) over all cells that both have; the interval counts the items."""
    both = ~(np.isnan(forward) | np.isnan(reverse))
    x, y, n = forward[both], reverse[both], int(both.any(axis=0).sum())
    if n < 4 or min(x.std(), y.std()) <= FLAT:
        return None, None
    r = float(np.corrcoef(x, y)[0, 1])
    z, half = math.atanh(min(max(r, -1 + 1e-12), 1 - 1e-12)), 1.959964 / math.sqrt(n - 3)
    return r, (math.tanh(z - half), math.tanh(z + half))


def _moved(table: NDArray[np.float64]) -> float | None:
    """Largest range of an item over the conditions in which it was answered; `table` (conditions, items)."""
    known = table[:, (~np.isnan(table)).sum(axis=0) >= 2]
    return float((np.nanmax(known, axis=0) - np.nanmin(known, axis=0)).max()) if known.size else None
