"""Counts, sums and cross-products of a table of answers, added up batch by batch: the table is never held whole.

Two sets are kept. Complete rows give one covariance matrix, from which every coefficient follows. All rows give a
correlation for each pair of items over those who answered both, which is what a table with hardly a complete row
still has.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Moments", "to_correlation"]

_T = TypeVar("_T", bound=np.generic)

_EXACT = 2**24
"""float32 holds every whole number up to here, so sums of whole products below it have no rounding error."""

_ROUNDING = 1e-12
"""A variance below this share of the mean squared deviation from `shift` is the rounding of fractional answers."""


class Moments:
    """Moments of `items` columns about `shift`, a whole number near the middle of the response scale.

    Answers are small whole numbers, so a batch's products are exact in float32, the fastest matrix product; batches
    add up in float64, exact up to 2^53. n times the cross-products minus the product of the sums is then exact too,
    and a constant column has a variance of exactly 0. Fractional answers are multiplied in float64.
    """

    def __init__(self, items: int, shift: int = 0) -> None:
        """Begin with no rows."""
        self.shift = shift
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

    @property
    def answered(self) -> NDArray[np.int_]:
        """Rows with an answer to each item, (items,)."""
        return np.asarray(np.diag(self._pair_counts), dtype=int) + self.complete

    def mean(self) -> NDArray[np.float64]:
        """Item means over the complete rows, (items,); there must be one row at least."""
        return np.asarray(self.shift + self._sums / self.complete)

    def covariance(self) -> NDArray[np.float64]:
        """Item covariances over the complete rows, (items, items), n - 1; there must be two rows at least."""
        n = self.complete
        matrix = (n * self._products - np.outer(self._sums, self._sums)) / (n * (n - 1))
        flat = np.diag(matrix) <= _ROUNDING * np.diag(self._products) / n
        matrix[flat] = matrix[:, flat] = 0
        return np.asarray(matrix)

    def pairwise_correlation(self, least: int = 10) -> NDArray[np.float64]:
        """Correlation of each pair of items over the rows that answer both, (items, items).

        NaN where fewer than `least` rows do, or where one of the two items is constant over them.
        """
        n = self._pair_counts + self.complete
        sums = self._pair_sums + self._sums[:, None]
        squares = self._pair_squares + np.diag(self._products)[:, None]
        products = self._pair_products + self._products
        spread = n * squares - sums**2
        held = (n >= least) & (spread > _ROUNDING * n * squares)
        held &= held.T
        found = np.full(n.shape, np.nan)
        above = (n * products - sums * sums.T)[held]
        found[held] = np.clip(above / np.sqrt((spread * spread.T)[held]), -1, 1)
        return found


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
