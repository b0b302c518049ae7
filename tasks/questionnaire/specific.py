"""What of an effect is specific: a control that makes a model look better moves every trait, the one aimed at too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from traitbench.statistics.intervals import Estimate
from traitbench.tasks.scoring import estimated, facets_of, item_means
from traitbench.types import Mode, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item

__all__ = ["Part", "combined", "p_value", "parts_of"]


class Part(NamedTuple):
    """One trait's shift in a sum of several."""

    share: float
    """What it is multiplied by."""
    values: NDArray[np.float64]
    """Keyed item shifts, (items,) or (items, templates, fits)."""
    keys: NDArray[np.int_]
    facets: tuple[str, ...] | None = None


def parts_of(
    trait: Trait, sign: float, inventory: Inventory, items: Sequence[Item], keyed: NDArray[np.float64]
) -> tuple[list[Part], list[Part], str]:
    """What the specific effect on `trait` and the evaluative component are sums of; and why there is none, or "".

    `keyed` are the keyed shifts of all `items`, `sign` the direction aimed at.
    """
    index = {t: [i for i, item in enumerate(items) if item.trait == t] for t in inventory.traits}
    measured = [t for t, mine in index.items() if mine]
    if silent := [t for t in measured if t not in inventory.desirable]:
        return [], [], f"no specific effect: {inventory.id} does not say which end of {silent[0]} is desirable"
    others = [t for t in measured if t != trait and inventory.desirable[t]]
    if not others:
        return [], [], "no specific effect: no other trait is measured, so the effect may be halo"

    def part(share: float, t: Trait) -> Part:
        mine = index[t]
        return Part(share, keyed[mine], np.array([items[i].keyed for i in mine]), facets_of([items[i] for i in mine]))

    halo = [part(inventory.desirable[t] / len(others), t) for t in others]
    out = -sign * inventory.desirable[trait]
    return [part(sign, trait), *(p._replace(share=out * p.share) for p in halo if out)], halo, ""


def combined(parts: Sequence[Part], mode: Mode, level: float = 0.95) -> Estimate:
    """Sum of traits' shifts, each times its share, with its interval.

    Items are drawn for each trait apart, so their errors add up. Templates and fits are the same for all traits: their
    part of the variance is that of the sum in each of them, so that what all traits have in common cancels where the
    shares do. SE^2 = sum_j c_j^2 SE_j^2 + sum_a (Var_a(sum_j c_j m_ja) - sum_j c_j^2 Var_a(m_ja)) / n_a with m_ja the
    shift of trait j at level a, never below the items' part; t with Satterthwaite's (1946) df. No value where a trait
    has none.
    """
    whole = [estimated(p.values, p.keys, mode, p.facets) for p in parts]
    n = sum(e.n for e in whole)
    held = [e.value for e in whole if e.value is not None]
    if not held or len(held) < len(whole):
        return Estimate(None, None, None, n)
    value = float(sum(p.share * v for p, v in zip(parts, held, strict=True)))
    axes = [axis for axis in range(1, parts[0].values.ndim) if parts[0].values.shape[axis] > 1]
    items = [estimated(item_means(p.values), p.keys, mode, p.facets) for p in parts] if axes else whole
    if any(e.se is None for e in (*whole, *items)):
        return Estimate(value, None, None, n)
    shares = np.array([p.share for p in parts])
    squares = [(shares * np.array([e.se for e in es], dtype=float)) ** 2 for es in (whole, items)]
    drawn = float(squares[1].sum())
    shared = max(float(squares[0].sum()) - drawn + sum(_common(parts, mode, axis) for axis in axes), 0.0)
    variance = drawn + shared
    rest = float(sum(square**2 / e.df for square, e in zip(squares[1], items, strict=True) if e.df))
    rest += shared**2 / min((parts[0].values.shape[axis] - 1 for axis in axes), default=1)
    df = variance**2 / rest if rest > 0 else None
    half = float(special.stdtrit(df or 1e9, (1 + level) / 2)) * variance**0.5
    low, high = _lengths(shares, whole, squares[0], level)
    covers = tuple(dict.fromkeys(name for e in whole for name in e.covers))
    return Estimate(value, variance**0.5, (value - low * half, value + high * half), n, None, df, covers)


def _lengths(
    shares: NDArray[np.float64], parts: Sequence[Estimate], squares: NDArray[np.float64], level: float
) -> tuple[float, float]:
    """How much longer than t both sides of a sum are because those of its parts are: skewed items lengthen one."""
    if not squares.sum():
        return 1.0, 1.0
    sides = []
    for side in (0, 1):
        longer = []
        for share, e in zip(shares, parts, strict=True):
            end = e.ci[side if share > 0 else 1 - side] if e.ci else e.value or 0.0
            half = float(special.stdtrit(e.df or 1e9, (1 + level) / 2)) * (e.se or 0.0)
            longer.append(abs(end - (e.value or 0.0)) / half if half else 1.0)
        sides.append(float(np.sqrt((squares * np.square(longer)).sum() / squares.sum())))
    return sides[0], sides[1]


def _common(parts: Sequence[Part], mode: Mode, axis: int) -> float:
    """Variance that the traits' covariances over one axis of templates or fits add to that of the sum."""
    levels = parts[0].values.shape[axis]
    means = np.array([
        [p.share * _mean(item_means(np.take(p.values, [level], axis)), p.keys, mode) for level in range(levels)]
        for p in parts
    ])  # fmt: skip
    means = means[:, ~np.isnan(means).any(axis=0)]
    if means.shape[1] < 2:
        return 0.0
    return float((means.sum(axis=0).var(ddof=1) - means.var(axis=1, ddof=1).sum()) / levels)


def _mean(values: NDArray[np.float64], keys: NDArray[np.int_], mode: Mode) -> float:
    """Mean of keyed item values (items,), key halves alike for statement; NaN where there is none."""
    kept = ~np.isnan(values)
    halves = [values[kept & (keys == key)] for key in (1, -1)] if mode == "statement" else [values[kept]]
    means = [float(half.mean()) for half in halves if half.size]
    return sum(means) / len(means) if means else float("nan")


def p_value(estimate: Estimate, level: float = 0.95) -> float | None:
    """Two-sided p of no effect: that of the t whose acceptance region is the interval's side towards zero.

    At .05 the 95 % interval ends at zero, where one side is longer than t as well. None without an interval.
    """
    if estimate.value is None or estimate.ci is None:
        return None
    size = abs(estimate.value)
    half = estimate.value - estimate.ci[0] if estimate.value > 0 else estimate.ci[1] - estimate.value
    if size < 1e-12 or half <= 1e-12 * size:
        return float(size < 1e-12)
    df = estimate.df or 1e9
    return float(2 * special.stdtr(df, -float(special.stdtrit(df, (1 + level) / 2)) * size / half))
