"""Variance of a stratified mean of items, for whatever was drawn at random: items, facets, templates, fits.

Every function returns the variance of the mean (SE^2) with its degrees of freedom. What depends on the
design alone is computed once and kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from math import prod
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST_FACETS", "WELCH", "Layout", "Spread", "facets", "items", "layout", "replicates", "together"]

WELCH = 5
"""Items a stratum from which each has a variance of its own; below, a variance from so few says less than a pooled
one, though the strata differ."""
FEWEST_FACETS = 4
"""Facets from which they can be a sample: three leave t with 2 degrees of freedom, an interval that says nothing."""


class Spread(NamedTuple):
    """Variance of a mean."""

    variance: float
    df: float


class Layout(NamedTuple):
    """Strata of k items."""

    codes: NDArray[np.intp]
    """Stratum of each item, (k,), 0 to H - 1."""
    member: NDArray[np.float64]
    """1 where the item is of the stratum, (k, H)."""
    sizes: NDArray[np.float64]
    """Items of each stratum, (H,)."""
    shares: NDArray[np.float64]
    """Weight of each stratum in the mean, (H,)."""
    own: bool
    """Whether each stratum has a variance of its own (Welch), else it is pooled."""

    @property
    def rest(self) -> int:
        """Items minus strata."""
        return len(self.codes) - len(self.sizes)

    def means(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean of each stratum of `x` (k, ...): (H, ...)."""
        sums = np.tensordot(self.member.T, x, 1)
        return np.asarray(sums / self.sizes.reshape(-1, *[1] * (x.ndim - 1)), dtype=float)

    def parts(self, squares: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each stratum adds to the variance of the mean, (H,), from its sum of squares about its mean (H,)."""
        variances = squares / (self.sizes - 1) if self.own else squares.sum() / self.rest
        return np.asarray(self.shares**2 / self.sizes * variances, dtype=float)


@lru_cache(maxsize=512)
def layout(keys: tuple[object, ...], weights: Literal["items", "halves"]) -> Layout:
    """Strata of the items with labels `keys`, weighted by their size ("items") or alike ("halves")."""
    names = list(dict.fromkeys(keys))
    codes = np.array([names.index(key) for key in keys])
    member = np.eye(len(names))[codes]
    sizes = member.sum(axis=0)
    shares = np.full(len(names), 1 / len(names)) if weights == "halves" else sizes / len(codes)
    return Layout(codes, member, sizes, shares, bool(sizes.min() >= WELCH))


def items(x: NDArray[np.float64], design: Layout) -> tuple[Spread | None, float | None]:
    """Variance over items drawn within their stratum, and the pooled within-stratum SD of `x` (k,).

    Welch's (1947) sum of w_h^2 s_h^2 / k_h with Satterthwaite's (1946) df where every stratum has at least WELCH
    items, else s^2 * sum of w_h^2 / k_h, s^2 pooled, with k - H. None where no stratum has a second item.
    """
    if design.rest < 1:
        return None, None
    squares = np.square(x - design.means(x)[design.codes]) @ design.member
    parts = design.parts(squares)
    variance, df = float(parts.sum()), float(design.rest)
    if design.own and variance > 0:
        # As shares: the square of a variance so small that it is zero would be 0 / 0.
        df = float(1 / (np.square(parts / variance) / (design.sizes - 1)).sum())
    return Spread(variance, df), float(np.sqrt(squares.sum() / design.rest))


def facets(x: NDArray[np.float64], design: Layout, clusters: Sequence[object]) -> Spread | None:
    """Variance over facets drawn whole, `clusters` (k,) the facet of each item, which may hold items of every stratum.

    The cluster-robust variance of the regression on the strata (Cameron & Miller 2015) with the correction CR2 and the
    Satterthwaite df of Bell & McCaffrey (2002): without bias where items are independent, however unequal the facets.
    With facets of one size it is the variance between facet means with G - 1 df. None below FEWEST_FACETS facets, or
    where every item is its own.
    """
    found = _sandwich(tuple(design.codes.tolist()), tuple(design.shares.tolist()), tuple(clusters))
    if found is None:
        return None
    bread, df = found
    # Of values that do not vary the residuals are zeros, and products with them too.
    return Spread(float(np.square(bread @ (x - design.means(x)[design.codes])).sum()), df)


@lru_cache(maxsize=512)
def _sandwich(
    codes: tuple[int, ...], shares: tuple[float, ...], clusters: tuple[object, ...]
) -> tuple[NDArray[np.float64], float] | None:
    """What the items' values are multiplied with, (facets, k), so that the sum of squares is the variance; and df."""
    names = list(dict.fromkeys(clusters))
    if len(names) < FEWEST_FACETS or len(names) == len(clusters):
        return None
    strata, facet = np.array(codes), np.array([names.index(name) for name in clusters])
    sizes = np.bincount(strata)
    hat = (strata[:, None] == strata) / sizes[strata]
    weights = np.array(shares)[strata] / sizes[strata]
    maker = np.eye(len(codes)) - hat
    rows = []
    for g in range(len(names)):
        mine = np.flatnonzero(facet == g)
        values, vectors = np.linalg.eigh(maker[np.ix_(mine, mine)])
        # A stratum that lies wholly in one facet leaves no residual there: a root of zero, left out.
        roots = np.where(values > 1e-9, 1 / np.sqrt(np.maximum(values, 1e-9)), 0.0)
        rows.append(weights[mine] @ ((vectors * roots) @ vectors.T) @ maker[mine])
    bread = np.array(rows)
    products = bread @ bread.T
    trace = float(np.trace(products))
    if trace <= 0:
        return None
    return bread, trace**2 / float(np.square(products).sum())


def replicates(x: NDArray[np.float64], design: Layout) -> Spread | None:
    """What random replicates add to the variance over items; `x` (k, r1, r2, ...) without holes, every r at least 2.

    The expected mean squares of a crossed random-effects design (Cornfield & Tukey 1956): of one axis
    (MS_replicates - MS_residual) / (k r); of several, main effects minus interactions, by inclusion and exclusion.
    The mean squares are those of the stratified means, their noise the residual of each stratum, so that weights and
    unequal strata count as they do in the mean. What is added may be below zero. The df are r - 1, of several axes
    Satterthwaite's for the sum of their main effects. None where no stratum has a second item.
    """
    if design.rest < 1:
        return None
    axes = range(1, x.ndim)
    strata = design.means(x)
    means = np.tensordot(design.shares, strata, 1)[None]
    residuals = x - strata[design.codes]
    added, main = 0.0, []
    for size in axes:
        for chosen in combinations(axes, size):
            free = prod(x.shape[a] - 1 for a in chosen)
            scale = free * prod(x.shape[a] for a in chosen)
            between = float(np.square(_effect(means, chosen)).sum()) / scale
            squares = np.square(_effect(residuals, chosen)).reshape(len(x), -1).sum(axis=1) @ design.member
            more = between - float(design.parts(squares).sum()) / scale
            added += more if size % 2 else -more
            if size == 1 and more > 0:
                main.append(Spread(more, free))
    if not main:
        return Spread(added, min(x.shape[1:]) - 1.0)
    total = sum(part.variance for part in main)
    return Spread(added, 1 / sum((part.variance / total) ** 2 / part.df for part in main))


def together(parts: Sequence[Spread]) -> Spread:
    """Sum of variances above zero; 1 / df is the mean of theirs, weighted by the variances.

    Satterthwaite's df weight by the squares, which is too many where the part with the fewest dominates.
    """
    total = sum(part.variance for part in parts)
    return Spread(total, 1 / sum(part.variance / total / part.df for part in parts))


def _effect(x: NDArray[np.float64], chosen: tuple[int, ...]) -> NDArray[np.float64]:
    """Interaction effect of the chosen axes: centred along each, averaged over the others but the first."""
    others = tuple(a for a in range(1, x.ndim) if a not in chosen)
    kept = x.mean(axis=others, keepdims=True) if others else x
    for axis in chosen:
        kept = kept - kept.mean(axis=axis, keepdims=True)
    return kept
