"""Sums of several means, whose units are drawn apart and whose replicates are the same: of traits, or of targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from traitbench.statistics.intervals import NORMAL, Estimate, Weights, item_means, stratified_mean
from traitbench.statistics.variances import Spread, layout, together

__all__ = ["Term", "total"]


class Term(NamedTuple):
    """One mean in a sum."""

    share: float
    """What it is multiplied by."""
    values: NDArray[np.float64]
    """(units,) or (units, r1, ...): the axes of replicates are the same for all terms of a sum."""
    strata: NDArray[np.int_]
    clusters: Sequence[str] | None = None
    weights: Weights = "items"


def total(terms: Sequence[Term], over: Sequence[str] = (), level: float = 0.95) -> Estimate:
    """Sum of means, each times its share, with its interval.

    Units (items) are drawn for each term apart, so their errors add up. Replicates (templates, fits) are the same for
    all terms: their part of the variance is that of the sum in each of them, so that what all terms have in common adds
    up or cancels as the shares say. SE^2 = sum_j c_j^2 SE_j^2 + sum_a (Var_a(sum_j c_j m_ja) - sum_j c_j^2 Var_a(m_ja))
    / n_a with m_ja the mean of term j at level a, never below the units' part; t with Satterthwaite's (1946) df for the
    units, and both joined as in `variances.together`. `over` names the axes of replicates, as in `stratified_mean`. No
    value where a term has none.
    """
    whole = [stratified_mean(t.values, t.strata, t.weights, level, t.clusters, over) for t in terms]
    n = sum(e.n for e in whole)
    held = [e.value for e in whole if e.value is not None]
    if not held or len(held) < len(whole):
        return Estimate(None, None, None, n)
    shares = np.array([t.share for t in terms])
    value = float(shares @ np.array(held))
    axes = [axis for axis in range(1, terms[0].values.ndim) if terms[0].values.shape[axis] > 1]
    units = (
        [stratified_mean(item_means(t.values), t.strata, t.weights, level, t.clusters) for t in terms]
        if axes
        else whole
    )
    if any(e.se is None for e in (*whole, *units)):
        return Estimate(value, None, None, n)
    squares = [(shares * np.array([e.se for e in es], dtype=float)) ** 2 for es in (whole, units)]
    drawn = float(squares[1].sum())
    shared = max(float(squares[0].sum()) - drawn + sum(_common(terms, axis) for axis in axes), 0.0)
    variance = drawn + shared
    rest = float(sum(square**2 / e.df for square, e in zip(squares[1], units, strict=True) if e.df))
    parts = [Spread(drawn, drawn**2 / rest)] if rest > 0 else []
    fewest = min((terms[0].values.shape[axis] - 1 for axis in axes), default=1)
    parts += [Spread(shared, float(fewest))] if shared > 0 else []
    df = together(parts).df if parts else None
    half = float(special.stdtrit(df or NORMAL, (1 + level) / 2)) * variance**0.5
    low, high = _lengths(shares, whole, squares[0], level)
    covers = tuple(dict.fromkeys(name for e in whole for name in e.covers))
    return Estimate(value, variance**0.5, (value - low * half, value + high * half), n, None, df, covers)


def _lengths(
    shares: NDArray[np.float64], terms: Sequence[Estimate], squares: NDArray[np.float64], level: float
) -> tuple[float, float]:
    """How much longer than t both sides of a sum are because those of its terms are: skewed items lengthen one."""
    if not squares.sum():
        return 1.0, 1.0
    sides = []
    for side in (0, 1):
        longer = []
        for share, e in zip(shares, terms, strict=True):
            end = e.ci[side if share > 0 else 1 - side] if e.ci else e.value or 0.0
            half = float(special.stdtrit(e.df or NORMAL, (1 + level) / 2)) * (e.se or 0.0)
            longer.append(abs(end - (e.value or 0.0)) / half if half else 1.0)
        sides.append(float(np.sqrt((squares * np.square(longer)).sum() / squares.sum())))
    return sides[0], sides[1]


def _common(terms: Sequence[Term], axis: int) -> float:
    """Variance that the terms' covariances over one axis of replicates add to that of the sum."""
    levels = terms[0].values.shape[axis]
    means = np.array([
        [t.share * _mean(t._replace(values=np.take(t.values, [level], axis))) for level in range(levels)] for t in terms
    ])  # fmt: skip
    means = means[:, ~np.isnan(means).any(axis=0)]
    if means.shape[1] < 2:
        return 0.0
    return float((means.sum(axis=0).var(ddof=1) - means.var(axis=1, ddof=1).sum()) / levels)


def _mean(term: Term) -> float:
    """The mean of a term by its weights; NaN where no unit has a value."""
    means = item_means(term.values)
    kept = ~np.isnan(means)
    if not kept.any():
        return float("nan")
    design = layout(tuple(term.strata[kept].tolist()), term.weights)
    return float(design.shares @ design.means(means[kept]))
