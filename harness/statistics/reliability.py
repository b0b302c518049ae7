"""How far the answers to the items of a scale agree, with each other and between raters or occasions.

All but the intraclass correlations (a module of their own) is computed from a covariance or correlation matrix, so
that a table of any size can be streamed into one. Items are taken as keyed: nothing is reversed here, and a negative
alpha stays negative.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from traitbench.statistics.coefficient import Coefficient
from traitbench.statistics.factors import CONSTANT, NOT_INVERTIBLE, Array, flaw, inverse, minres, smc, square
from traitbench.statistics.intraclass import ICC, Intraclass, icc
from traitbench.statistics.rotation import oblimin, schmid_leiman

__all__ = [
    "ICC", "Intraclass", "SplitHalf", "alpha", "alpha_dropped", "alpha_interval", "icc", "item_rest", "item_whole",
    "lambda6", "mean_inter_item_r", "omega_hierarchical", "omega_total", "split_half",
]  # fmt: skip

ALL_SPLITS = 16
"""Up to this many items every split into halves is taken: 6,435 of them for 16."""

SALIENT = 0.3
"""Smallest loading that makes an item a mark of a factor (Gorsuch 1983)."""

NO_SUM = "the sum of the items has no variance"


class SplitHalf(NamedTuple):
    """Reliability by splitting a scale into halves."""

    best: Coefficient
    """Guttman's lambda-4: the best split."""
    worst: Coefficient
    """The worst split."""
    mean: Coefficient
    """Mean over all splits, exactly; for an even number of items it is standardised alpha."""


def alpha(covariance: ArrayLike) -> Coefficient:
    """Cronbach's (1951) alpha of the sum of k items from their covariance matrix (k, k).

    Raw alpha; of a correlation matrix it is standardised alpha. A constant item counts as one of the k: it is part of
    the sum whose reliability this is.
    """
    c = square(covariance)
    if reason := _unsound(c):
        return Coefficient(None, reason)
    k, total = len(c), float(c.sum())
    if total <= CONSTANT:
        return Coefficient(None, NO_SUM)
    return Coefficient(k / (k - 1) * (1 - float(np.trace(c)) / total))


def _unsound(covariance: Array) -> str:
    """Say why nothing can be had from a covariance matrix (k, k); empty where it is sound."""
    if len(covariance) < 2:
        return "fewer than two items"
    return "" if np.all(np.isfinite(covariance)) else "an item has too few answers"


def alpha_interval(value: float | None, n: int, k: int, level: float = 0.95) -> tuple[float, float] | None:
    """Interval of alpha for `n` respondents and `k` items by Feldt (1965): (1 - true) / (1 - found) is F distributed.

    It assumes essentially tau-equivalent items. None without a value, and for one respondent or one item.
    """
    if value is None or n < 2 or k < 2:
        return None
    df, tail = (n - 1, (n - 1) * (k - 1)), (1 - level) / 2
    low, high = (1 - (1 - value) * float(stats.f.ppf(q, *df)) for q in (1 - tail, tail))
    return low, high


def item_rest(covariance: ArrayLike) -> list[Coefficient]:
    """Correlation of each item with the sum of the others, from the covariance matrix (k, k)."""
    c = square(covariance)
    if reason := _unsound(c):
        return [Coefficient(None, reason)] * len(c)
    own = np.diag(c)
    shared = c.sum(axis=1) - own
    rest = c.sum() - own - 2 * shared
    found = []
    for item in range(len(c)):
        if own[item] <= CONSTANT:
            found.append(Coefficient(None, "the item has no variance"))
        elif rest[item] <= CONSTANT:
            found.append(Coefficient(None, "the sum of the other items has no variance"))
        else:
            found.append(Coefficient(float(shared[item] / np.sqrt(own[item] * rest[item]))))
    return found


def item_whole(correlation: ArrayLike) -> list[Coefficient]:
    """Correlation of each item with the whole scale, for overlap and unreliability corrected (psych's r.cor).

    Each item's variance in the sum of the standardised items is replaced by its squared multiple correlation with the
    others; from the correlation matrix (k, k) (Revelle, psych 2.2.9).
    """
    r = square(correlation).copy()
    reason = flaw(r)
    common = None if reason else smc(r)
    if common is None:
        return [Coefficient(None, reason or NOT_INVERTIBLE)] * len(r)
    np.fill_diagonal(r, common)
    total = float(r.sum())
    if total <= CONSTANT:
        return [Coefficient(None, "what the items have in common has no variance")] * len(r)
    return [Coefficient(float(value)) for value in r.sum(axis=0) / np.sqrt(total)]


def alpha_dropped(covariance: ArrayLike) -> list[Coefficient]:
    """Alpha of the scale without each item, from the covariance matrix (k, k)."""
    c = square(covariance)
    if len(c) < 3:
        return [Coefficient(None, "fewer than two items remain")] * len(c)
    return [alpha(np.delete(np.delete(c, item, 0), item, 1)) for item in range(len(c))]


def mean_inter_item_r(correlation: ArrayLike) -> Coefficient:
    """Mean correlation of the items of a scale, from their correlation matrix (k, k)."""
    r = square(correlation)
    if reason := flaw(r):
        return Coefficient(None, reason)
    return Coefficient(float(r[np.triu_indices(len(r), 1)].mean()))


def lambda6(correlation: ArrayLike) -> Coefficient:
    """Guttman's (1945) lambda-6: what the items share with all others, over the variance of their standardised sum."""
    r = square(correlation)
    if reason := flaw(r):
        return Coefficient(None, reason)
    common = smc(r)
    if common is None:
        return Coefficient(None, NOT_INVERTIBLE)
    total = float(r.sum())
    return Coefficient(1 - float((1 - common).sum()) / total) if total > CONSTANT else Coefficient(None, NO_SUM)


def omega_total(correlation: ArrayLike) -> Coefficient:
    """McDonald's (1999) omega of one common factor: (sum l)^2 / ((sum l)^2 + sum u), l and u by `minres`.

    A Heywood case has its uniqueness at the bound of `minres`. Fewer than three items do not identify a factor.
    """
    r = square(correlation)
    if reason := flaw(r):
        return Coefficient(None, reason)
    if len(r) < 3:
        return Coefficient(None, "fewer than three items do not identify a factor")
    found = minres(r, 1)
    common = float(found.loadings.sum()) ** 2
    return Coefficient(common / (common + float(found.uniquenesses.sum())))


def omega_hierarchical(correlation: ArrayLike, factors: int = 3) -> Coefficient:
    """Share of the standardised sum's variance that is due to one general factor, from a correlation matrix (k, k).

    (sum g)^2 / sum R with g the general loadings of a Schmid & Leiman (1957) transformation of `factors` oblimin
    rotated `minres` factors (Zinbarg, Revelle, Yovel & Li 2005).

    None where the items are too few to identify the factors, where the matrix is singular, and where a rotated factor
    has no loading of .30: items of one factor have no groups, and the value would be anywhere between 0 and omega.
    """
    r = square(correlation)
    if reason := flaw(r):
        return Coefficient(None, reason)
    k = len(r)
    if (k - factors) ** 2 < k + factors:
        return Coefficient(None, f"{k} items do not identify {factors} factors")
    if inverse(r) is None:
        return Coefficient(None, NOT_INVERTIBLE)
    total = float(r.sum())
    if total <= CONSTANT:
        return Coefficient(None, NO_SUM)
    pattern, phi = oblimin(minres(r, factors).loadings)
    if not (np.abs(pattern) >= SALIENT).any(axis=0).all():
        return Coefficient(None, f"the items do not form {factors} groups: a rotated factor has no loading of .30")
    return Coefficient(float(schmid_leiman(pattern, phi).general.sum()) ** 2 / total)


def split_half(correlation: ArrayLike, iterations: int = 10_000, seed: int = 0) -> SplitHalf:
    """Best, worst and mean split-half reliability, from the correlation matrix (k, k) of the items.

    The reliability of a split into A and B is 4 cov(A, B) / var(A + B) (Guttman 1945, lambda-4). Best and worst are
    over all splits up to 16 items, else over `iterations` random ones. With an odd number of items one half has one
    more; psych 2.2.9 then stops after half of the splits, so that its mean may differ.
    """
    r = square(correlation)
    reason = flaw(r)
    total = 0.0 if reason else float(r.sum())
    if not reason and total <= CONSTANT:
        reason = NO_SUM
    if reason:
        none = Coefficient(None, reason)
        return SplitHalf(none, none, none)
    k = len(r)
    half = _halves(k, iterations, seed)
    found = 4 * ((half @ r) * (1 - half)).sum(axis=1) / total
    # Each pair of items is parted in the same share of the splits.
    mean = 4 * (k // 2) * (k - k // 2) / (k * (k - 1)) * (1 - k / total)
    return SplitHalf(Coefficient(float(found.max())), Coefficient(float(found.min())), Coefficient(mean))


def _halves(k: int, iterations: int, seed: int) -> Array:
    """First halves, one a row: 1 for an item that is in it, (splits, k)."""
    if k <= ALL_SPLITS:
        members = np.array(list(combinations(range(k), k // 2)))
        if k % 2 == 0:
            # The second half of the list are the complements of the first.
            members = members[: len(members) // 2]
    else:
        rng = np.random.default_rng(seed)
        members = np.argpartition(rng.random((iterations, k)), k // 2, axis=1)[:, : k // 2]
    half = np.zeros((len(members), k))
    np.put_along_axis(half, members, 1, axis=1)
    return half
