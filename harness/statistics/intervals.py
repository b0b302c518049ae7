"""Intervals for scale scores and for shifts of them.

An item's value is its mean over orders, respondents and repeats, which are taken as they are; items, and where they are
given facets, templates and fits, are a sample. Standard errors have a closed form (Efron & Tibshirani 1993, ch. 6, the
"ideal" bootstrap of a mean; `variances` has the others), so they are computed, not simulated; only where values are
skewed does a bootstrap say how long a side must be. docs/intervals.md holds what all this covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from traitbench.errors import BadData
from traitbench.statistics.skewness import lengthened
from traitbench.statistics.variances import Layout, Spread, facets, items, layout, replicates, together

__all__ = ["Estimate", "Leakage", "Weights", "item_means", "leakage", "p_value", "stratified_mean", "t_value"]


Weights = Literal["items", "halves"]
NORMAL = 1e9
"""Degrees of freedom at which t is normal: of an estimate without any."""
ROUNDING = 1e-12
"""Below it a value is zero, and times a value a standard error is."""


class Estimate(NamedTuple):
    """A value with its standard error and interval; the last three are None where they cannot be had."""

    value: float | None
    se: float | None
    ci: tuple[float, float] | None
    n: int
    sd: float | None = None
    """Within-stratum SD of the items."""
    df: float | None = None
    """Degrees of freedom of the t distribution behind the interval."""
    covers: tuple[str, ...] = ()
    """What was drawn at random in the interval: items, facets, templates, fits."""


class Leakage(NamedTuple):
    """How far a control moved the traits it did not aim at, in the unit of the shifts."""

    value: float
    """Root of mean(shift^2 - SE^2), floored at 0: noise alone gives 0 on average before the floor."""
    ci: tuple[float, float] | None
    mean_abs: float
    """Mean |shift|, which noise inflates."""
    n: int
    """Traits that entered."""


class Interval(NamedTuple):
    """An estimate with what a test needs of it beside."""

    estimate: Estimate
    values: NDArray[np.float64]
    """Mean of each item over its scored replicates, (k,), unscored items left out."""
    design: Layout | None
    critical: float
    """Of t at the level asked for, with the estimate's df."""
    longer: tuple[float, float]
    """What the lower and the upper side are longer than t, at least 1: the values are skewed."""


def stratified_mean(
    values: ArrayLike,
    strata: ArrayLike,
    weights: Weights = "items",
    level: float = 0.95,
    clusters: Sequence[object] | None = None,
    over: Sequence[str] = (),
) -> Estimate:
    """Mean of item values with an interval over items, stratified by key, and over what else was drawn.

    `values` (k,) item values, or (k, r1, ...) with a random axis for each name in `over` (templates, fits), NaN where
    unscored; `strata` (k,) the key, +1 or -1; `clusters` (k,) the facet of each item, None where there are none
    (one item without, None or "", is as good as none).
    Weights "items": every item counts the same (a scale mean); "halves": the mean of the plus-keyed mean and the
    minus-keyed mean, so that agreement as such cancels (statement likelihood).

    Items: each stratum with its own variance and Satterthwaite's df from five items a stratum (Welch 1947), pooled
    below: SE^2 = s^2 * sum_h w_h^2 / k_h with k - H df. Facets: the cluster-robust SE where it is the larger, from
    four facets. Replicates: (MS_items + MS_replicates - MS_residual) / (k r), never below the variance over items;
    the value and the variance over items are those of each item's mean over its scored cells, what the replicates add
    comes from the items scored in every cell, and a replicate with no scored item is left out. The interval is t; a
    side that a bootstrap-t of skewed items makes longer is as long as that (`skewness.lengthened`). `covers` says
    what of this was drawn at random in it. BadData where the shapes do not fit.
    """
    return interval(values, strata, weights, level, clusters, over).estimate


def interval(
    values: ArrayLike, strata: ArrayLike, weights: Weights, level: float, clusters: Sequence[object] | None,
    over: Sequence[str],
) -> Interval:  # fmt: skip
    """As `stratified_mean`, with what stands behind it."""
    cells, keys = np.asarray(values, dtype=float), np.asarray(strata)
    labels = None if clusters is None else list(clusters)
    if cells.ndim != 1 + len(over) or keys.shape != cells.shape[:1] or len(labels or keys) != len(keys):
        raise BadData(
            f"item values of shape {cells.shape} with strata of shape {keys.shape}"
            f"{'' if labels is None else f', {len(labels)} facets'} and random axes {list(over)}: expected a "
            "stratum (and a facet) for each item and an axis for each name"
        )
    kept = ~np.isnan(cells).all(axis=tuple(range(1, cells.ndim)))
    if not kept.any():
        return Interval(Estimate(None, None, None, 0), np.empty(0), None, np.nan, (1.0, 1.0))
    cells, names = _filled(cells[kept], over)
    x = item_means(cells)
    design = layout(tuple(keys[kept].tolist()), weights)
    value = float(design.shares @ design.means(x))
    spread, sd = items(x, design)
    if spread is None:
        return Interval(Estimate(value, None, None, x.size), x, design, np.nan, (1.0, 1.0))
    half = float(scipy.special.stdtrit(spread.df, (1 + level) / 2))
    longer = lengthened(x, design, half, level)
    covers: tuple[str, ...] = ("items",)
    mine = [label for label, held in zip(labels or (), kept, strict=False) if held]
    robust = facets(x, design, mine) if mine and not {None, ""} & set(mine) else None
    if robust and robust.variance > spread.variance:
        spread, covers = robust, ("facets",)
    whole = np.asarray(~np.isnan(cells).any(axis=tuple(range(1, cells.ndim))), dtype=bool)
    if names and (added := _replicates(cells, whole, design, weights)):
        # Never below the variance over items: what replicates add is then not known from zero.
        spread, covers = together([spread, added]) if added.variance > 0 else spread, (*covers, *names)
    critical = float(scipy.special.stdtrit(spread.df, (1 + level) / 2))
    se = float(np.sqrt(spread.variance))
    ci = (value - longer[0] * critical * se, value + longer[1] * critical * se)
    return Interval(Estimate(value, se, ci, x.size, sd, spread.df, covers), x, design, critical, longer)


def item_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of each item (items,) over the replicates that have a value; NaN where none has."""
    flat = values.reshape(values.shape[0], -1)
    counts = (~np.isnan(flat)).sum(axis=1)
    return np.where(counts > 0, np.nansum(flat, axis=1) / np.maximum(counts, 1), np.nan)


def t_value(estimate: Estimate, level: float = 0.95) -> float | None:
    """How many standard errors the value is from zero, by the side of the interval that faces zero.

    A side that is longer than t counts as that many times the standard error; without an interval it is value / SE.
    Infinite where the value does not vary, 0 where it is zero as well; None where neither interval nor SE is known.
    """
    value, se = estimate.value, estimate.se
    if value is None or (se is None and estimate.ci is None):
        return None
    if estimate.ci is not None:
        half = value - estimate.ci[0] if value > 0 else estimate.ci[1] - value
        se = half / float(scipy.special.stdtrit(estimate.df or NORMAL, (1 + level) / 2))
    if abs(value) < ROUNDING or not se or abs(se) <= ROUNDING * abs(value):
        return 0.0 if abs(value) < ROUNDING else float(np.copysign(np.inf, value))
    return value / se


def p_value(estimate: Estimate, level: float = 0.95) -> float | None:
    """Two-sided p of no effect; at .05 the 95 % interval ends at zero. None where `t_value` is."""
    t = t_value(estimate, level)
    return None if t is None else float(min(1.0, 2 * scipy.special.stdtr(estimate.df or NORMAL, -abs(t))))


def _filled(cells: NDArray[np.float64], over: Sequence[str]) -> tuple[NDArray[np.float64], list[str]]:
    """Leave out replicates without a scored item, and axes of which one replicate is left."""
    names: list[str] = []
    for axis, name in zip(range(len(over), 0, -1), reversed(over), strict=True):
        others = tuple(a for a in range(cells.ndim) if a != axis)
        cells = np.compress(~np.isnan(cells).all(axis=others), cells, axis=axis)
        if cells.shape[axis] == 1:
            cells = cells.squeeze(axis)
        else:
            names.insert(0, name)
    return cells, names


def _replicates(
    cells: NDArray[np.float64], whole: NDArray[np.bool_], design: Layout, weights: Weights
) -> Spread | None:
    """What replicates add, from the items that are scored in every cell; None where a stratum has none."""
    if whole.all():
        return replicates(cells, design)
    codes = tuple(design.codes[whole].tolist())
    return replicates(cells[whole], layout(codes, weights)) if len(set(codes)) == len(design.sizes) else None


def leakage(
    values: Sequence[NDArray[np.float64]],
    strata: Sequence[NDArray[np.int_]],
    weights: Weights,
    iterations: int,
    seed: int,
    clusters: Sequence[Sequence[object] | None] | None = None,
    over: Sequence[str] = (),
) -> Leakage | None:
    """Summarise the shifts of the traits a control did not aim at; None where none has a shift with an SE.

    `values` holds, per other trait, its items' shifts, `clusters` their facets; all as in `stratified_mean`, whose SE
    is the noise that is taken off. The interval comes from a bootstrap over items on the squared scale, where the
    statistic is unbiased, each redraw of a trait's mean stretched to its SE, as estimate +- t bootstrap SDs (t with
    the traits' df added up), then the root, floored at 0.
    """
    groups = clusters or [None] * len(values)
    found = [interval(v, s, weights, 0.95, c, over) for v, s, c in zip(values, strata, groups, strict=True)]
    held = [(place, f) for place, f in enumerate(found) if f.estimate.se is not None]
    if not held:
        return None
    shift = np.array([f.estimate.value for _, f in held], dtype=float)
    noise = np.array([f.estimate.se for _, f in held], dtype=float) ** 2
    square = float(np.mean(shift**2 - noise))
    ci = None
    if iterations > 1:
        redrawn = np.array([_redraw(f, iterations, seed + place) for place, f in held])
        spread = float(np.std(np.mean(redrawn**2, axis=0), ddof=1))
        half = float(scipy.special.stdtrit(sum(f.estimate.df or 0.0 for _, f in held), 0.975)) * spread
        ci = (float(np.sqrt(max(square - half, 0))), float(np.sqrt(max(square + half, 0))))
    return Leakage(float(np.sqrt(max(square, 0))), ci, float(np.abs(shift).mean()), len(held))


def _redraw(found: Interval, iterations: int, seed: int) -> NDArray[np.float64]:
    """Bootstrap means, (iterations,), with the estimate's SE: residuals redrawn as `items` pools them."""
    rng = np.random.default_rng(seed)
    x, design, estimate = found.values, found.design, found.estimate
    if design is None or estimate.value is None or not estimate.se:
        return np.full(iterations, estimate.value, dtype=float)
    residuals = x - design.means(x)[design.codes]
    moved, variance = np.zeros(iterations), 0.0
    for stratum, share in enumerate(design.shares):
        mine = design.codes == stratum
        source, k = residuals[mine] if design.own else residuals, int(mine.sum())
        moved += share * source[rng.integers(0, source.size, (iterations, k))].mean(axis=1)
        variance += share**2 * float(np.square(source).mean()) / k
    return estimate.value + moved * (estimate.se / variance**0.5 if variance > 0 else 0.0)
