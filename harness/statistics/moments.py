"""Counts, sums and cross-products of a table of answers, added up batch by batch: the table is never held whole.

Three sets are kept. Rows without a gap give one covariance matrix. Rows without a gap in one group of items (a scale, a
facet) give that group's. All rows give a covariance for each pair of items over those who answered both, which is what
a table with hardly a complete row still has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Moments", "Pairs", "Sample", "to_correlation"]

_T = TypeVar("_T", bound=np.generic)

_EXACT = 2**24
"""float32 holds every whole number up to here, so sums of whole products below it have no rounding error."""

_ROUNDING = 1e-12
"""A variance below this share of the mean squared deviation from `shift` is the rounding of fractional answers."""


class Sample(NamedTuple):
    """Rows without a gap in some items: how many, and what those items' means and covariances are over them."""

    n: int
    mean: NDArray[np.float64]
    """(items,); zeros without a row."""
    covariance: NDArray[np.float64]
    """(items, items), n - 1; zeros with fewer than two rows."""


class Pairs(NamedTuple):
    """Each pair of items over the rows that answer both; row i, column j is of item i, over the rows with j too."""

    n: NDArray[np.float64]
    """(items, items)."""
    mean: NDArray[np.float64]
    """(items, items), NaN without a row."""
    covariance: NDArray[np.float64]
    """(items, items), n - 1 of the pair; NaN with fewer than two rows."""


class Moments:
    """Moments of `items` columns about `shift`, a whole number near the middle of the response scale.

    Answers are small whole numbers, so a batch's products are exact in float32, the fastest matrix product; batches
    add up in float64, exact up to 2^53. n times the cross-products minus the product of the sums is then exact too,
    and a constant column has a variance of exactly 0. Fractional answers are multiplied in float64.
    """

    def __init__(self, items: int, shift: int = 0, groups: Sequence[Sequence[int]] = ()) -> None:
        """Begin with no rows; `groups` are the places of items whose complete rows are kept apart."""
        self.shift = shift
        self._groups = [_Group(list(places)) for places in groups]
        self._totals = Moments(len(groups)) if groups else None
        self.rows = 0
        self.complete = 0
        """Rows without a missing answer."""
        self._sums = np.zeros(items)
        self._products = np.zeros((items, items))
        square = (items, items)
        self._pair_counts, self._pair_sums = np.zeros(square), np.zeros(square)
        self._pair_squares, self._pair_products = np.zeros(square), np.zeros(square)

    def add(self, values: NDArray[np.floating]) -> None:
        """Add a batch of rows, (rows, items), NaN where an answer is missing."""
        present = ~np.isnan(values)
        whole_rows = present.all(axis=1)
        self.rows += len(values)
        if whole_rows.all():
            self._add_complete(values - self.shift)
            return
        self._add_complete(_rows(values, whole_rows) - self.shift)
        some = ~whole_rows & present.any(axis=1)
        self._add_partial(_rows(values, some) - self.shift, _rows(present, some))

    def _add_complete(self, deviations: NDArray[np.floating]) -> None:
        x = _narrowed(deviations)
        self.complete += len(x)
        self._sums += x.sum(axis=0, dtype=np.float64)
        self._products += x.T @ x

    def _add_partial(self, deviations: NDArray[np.floating], present: NDArray[np.bool_]) -> None:
        x = _narrowed(np.where(present, deviations, 0))
        held = present.astype(x.dtype)
        self._pair_counts += held.T @ held
        self._pair_sums += x.T @ held
        self._pair_squares += (x * x).T @ held
        self._pair_products += x.T @ x
        if self._totals:
            totals = np.stack([group.add(x, present) for group in self._groups], axis=1)
            self._totals._add_partial(totals, ~np.isnan(totals))

    @property
    def answered(self) -> NDArray[np.int_]:
        """Rows with an answer to each item, (items,)."""
        return np.asarray(np.diag(self._pair_counts), dtype=int) + self.complete

    def complete_rows(self) -> Sample:
        """All items over the rows without a gap."""
        return self._sample(self.complete, self._sums, self._products)

    def group(self, index: int) -> Sample:
        """The items of one of `groups` over the rows without a gap in them."""
        group = self._groups[index]
        block = np.ix_(group.places, group.places)
        return self._sample(
            self.complete + group.n, self._sums[group.places] + group.sums, self._products[block] + group.products
        )

    def _sample(self, n: int, sums: NDArray[np.float64], products: NDArray[np.float64]) -> Sample:
        if n < 2:
            return Sample(n, self.shift + sums if n else np.zeros(len(sums)), np.zeros(products.shape))
        matrix = (n * products - np.outer(sums, sums)) / (n * (n - 1))
        flat = np.diag(matrix) <= _ROUNDING * np.diag(products) / n
        matrix[flat] = matrix[:, flat] = 0
        return Sample(n, self.shift + sums / n, matrix)

    def group_correlation(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Correlation of the groups' sums, and its n, over the rows without a gap in either: (groups, groups) each.

        NaN where fewer than two rows are, or where a sum is constant over them.
        """
        if self._totals is None:
            return np.zeros((0, 0)), np.zeros((0, 0))
        member = np.zeros((len(self._groups), len(self._sums)))
        for row, group in enumerate(self._groups):
            member[row, group.places] = 1
        n, sums, squares, products = self._totals._pairwise()
        whole = member @ self._products @ member.T
        n = n + self.complete
        empty = ~member.any(axis=1)
        n[empty], n[:, empty] = 0, 0
        sums, squares = sums + (member @ self._sums)[:, None], squares + np.diag(whole)[:, None]
        found = _Sums(n, sums, squares, products + whole).correlation(2)
        np.fill_diagonal(found, np.where(np.isnan(np.diag(found)), np.nan, 1))
        return found, n

    def pairs(self) -> Pairs:
        """Each pair of items over the rows that answer both."""
        n, sums, squares, products = self._pairwise()
        with np.errstate(divide="ignore", invalid="ignore"):
            covariance = (n * products - sums * sums.T) / (n * (n - 1))
            mean = self.shift + sums / n
        covariance[n < 2] = np.nan
        flat = np.diag(n * squares - sums**2) <= _ROUNDING * np.diag(n * squares)
        covariance[flat] = np.where(np.isnan(covariance[flat]), np.nan, 0)
        covariance[:, flat] = np.where(np.isnan(covariance[:, flat]), np.nan, 0)
        return Pairs(n, mean, covariance)

    def _pairwise(self) -> _Sums:
        return _Sums(
            self._pair_counts + self.complete,
            self._pair_sums + self._sums[:, None],
            self._pair_squares + np.diag(self._products)[:, None],
            self._pair_products + self._products,
        )

    def pairwise_correlation(self, least: int = 10) -> NDArray[np.float64]:
        """Correlation of each pair of items over the rows that answer both, (items, items).

        Each item's SD is that over the pair's rows. NaN where fewer than `least` rows answer both, or where one of the
        two items is constant over them.
        """
        return self._pairwise().correlation(least)


class _Sums(NamedTuple):
    """Sums over the rows of each pair of columns: of the first one's deviations, their squares, and the products."""

    n: NDArray[np.float64]
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]
    products: NDArray[np.float64]

    def correlation(self, least: int) -> NDArray[np.float64]:
        n, sums, squares, products = self
        spread = n * squares - sums**2
        held = (n >= least) & (spread > _ROUNDING * n * squares)
        held &= held.T
        found = np.full(n.shape, np.nan)
        above = (n * products - sums * sums.T)[held]
        found[held] = np.clip(above / np.sqrt((spread * spread.T)[held]), -1, 1)
        return found


class _Group:
    """The rows with a gap elsewhere that are complete in some items."""

    def __init__(self, places: list[int]) -> None:
        self.places = places
        self.n = 0
        self.sums = np.zeros(len(places))
        self.products = np.zeros((len(places), len(places)))

    def add(self, deviations: NDArray[np.floating], present: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Add a batch; return each row's sum of the items, (rows,), NaN where it has a gap in them."""
        totals = np.full(len(deviations), np.nan)
        if self.places:
            whole = np.asarray(present[:, self.places].all(axis=1))
            x = _rows(deviations[:, self.places], whole)
            self.n += len(x)
            self.sums += x.sum(axis=0, dtype=np.float64)
            self.products += x.T @ x
            totals[whole] = x.sum(axis=1, dtype=np.float64)
        return totals


def to_correlation(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation matrix (k, k) of a covariance matrix whose variances are all above 0."""
    sd = np.sqrt(np.diag(covariance))
    matrix = np.clip(covariance / np.outer(sd, sd), -1, 1)
    np.fill_diagonal(matrix, 1)
    return np.asarray(matrix)


def _rows(values: NDArray[_T], chosen: NDArray[np.bool_]) -> NDArray[_T]:
    """Select rows along the axis that the table's memory layout makes cheap."""
    return values.T[:, chosen].T if values.flags.f_contiguous else values[chosen]


def _narrowed(deviations: NDArray[np.floating]) -> NDArray[np.floating]:
    """Take float32 where every product and sum of the batch is exact in it, else float64."""
    largest = float(np.abs(deviations).max(initial=0))
    if max(largest**2, 1) * len(deviations) < _EXACT and np.array_equal(deviations, np.rint(deviations)):
        return deviations.astype(np.float32, copy=False)
    return deviations.astype(np.float64, copy=False)
