"""Errors of cells (person x item), averaged by group of items and added up, with intervals from redraws of persons.

A mean over all cells of a group is a ratio of two sums that vary with the person, so it has no closed form. Whole
persons are redrawn (Davison & Hinkley 1997, section 3.8): what `cluster_bootstrap` does, with all redraws in one
product, and the same redraws for whatever is compared, so that differences are paired. The SE of the redraws is
multiplied by sqrt(n / (n - 1)) and the interval is t with n - 1 degrees of freedom, since the quantiles of redraws of
twenty persons are too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from traitbench.errors import BadData, UnknownName
from traitbench.types import Record

__all__ = ["Average", "Difference", "Redraws", "mean_over_persons", "pearson"]

Array = NDArray[np.float64]

FEWEST = 0.9
"""Share of the redraws that must have a value, as in `cluster_bootstrap`."""

ALONE = "one person: nothing can be redrawn"


class Average(Record):
    """A figure over persons with its 95 % interval; what is null has a reason."""

    value: float | None
    ci: tuple[float, float] | None = None
    n: int = 0
    """Persons that entered."""
    reason: str = ""
    """Why value or interval is null; empty where neither is."""


class Difference(Record):
    """The error of one row of a table minus that of another, over the cells that both have: below 0, it is nearer."""

    to: str
    """Name of the other row."""
    value: float | None
    """Of the errors added up over groups."""
    ci: tuple[float, float] | None = None
    """95 %."""
    p: float | None = None
    """Two-sided, of no difference, for this comparison alone; null against the nearest of several."""
    n: int = 0
    """Persons with a cell that both have."""
    reason: str = ""
    """Why something is null; empty where nothing is, or where several rows were looked through."""


class Redraws:
    """Seeded redraws of persons, and the groups of items whose mean errors are added up."""

    def __init__(self, persons: int, groups: ArrayLike, iterations: int = 2000, seed: int = 0) -> None:
        """`groups` (items,) a label an item. UnknownName for fewer than two redraws, BadData without an item."""
        labels = np.asarray(groups)
        if iterations < 2:
            raise UnknownName(f"iterations {iterations} is out of range: expected at least 2, e.g. 2000")
        if labels.ndim != 1 or not labels.size:
            raise BadData(f"groups of shape {labels.shape}; expected one label an item, and an item at least")
        self._members = (labels[:, None] == np.unique(labels)).astype(float)
        self._whole = np.ones((1, persons))
        chance = np.full(persons, 1 / max(persons, 1))
        drawn = np.random.default_rng(seed).multinomial(persons, chance, iterations) if persons else np.zeros((0, 0))
        self._drawn = np.asarray(drawn, dtype=float)

    def average(self, errors: Array) -> Average:
        """Mean of `errors` (persons, items), NaN where there is none, by group over all cells, added up."""
        cells = self._cells(errors)
        n = int(np.isfinite(errors).any(axis=1).sum())
        value = float(_composite(self._whole, *cells)[0])
        if not np.isfinite(value):
            return Average(value=None, n=n, reason="a trait has no item with both an answer and a value")
        spread, reason = _spread(_composite(self._drawn, *cells), n)
        return Average(value=value, ci=None if spread is None else _bounds(value, spread, n), n=n, reason=reason)

    def each(self, errors: Array) -> Array:
        """The same for each person alone, (persons,); NaN where a group has no cell."""
        return _composite(np.eye(len(errors)), *self._cells(errors))

    def difference(self, errors: Array, others: Mapping[str, Array]) -> Difference:
        """`errors` (persons, items) minus those of the nearest of `others`, over the cells that both have.

        With several others the nearest is looked for anew in every redraw, so that the choice is in the interval.
        """
        names, pairs = list(others), []
        held = np.zeros(len(errors), dtype=bool)
        for other in others.values():
            # An item that one of the two leaves out is an easy or a hard one for both.
            both = np.isfinite(errors) & np.isfinite(other)
            pairs.append([self._cells(np.where(both, x, np.nan)) for x in (errors, other)])
            held |= both.any(axis=1)

        def differences(weights: Array) -> Array:
            return np.array([_composite(weights, *a) - _composite(weights, *b) for a, b in pairs])

        n, observed = int(held.sum()), differences(self._whole)[:, 0]
        if not np.isfinite(observed).all():
            return Difference(to=names[0], value=None, n=n, reason="a trait has no item that both answer")
        nearest = int(observed.argmax())
        to, value = names[nearest], float(observed[nearest])
        spread, reason = _spread(differences(self._drawn).max(axis=0), n)
        if spread is None:
            return Difference(to=to, value=value, n=n, reason=reason)
        # Equal differences of unequal numbers are equal but for their last digits.
        if spread <= 1e-12:
            same = "the difference is the same for every person"
            return Difference(to=to, value=value, ci=(value, value), n=n, reason=same)
        p = float(2 * special.stdtr(n - 1, -abs(value) / spread)) if len(names) == 1 else None
        return Difference(to=to, value=value, ci=_bounds(value, spread, n), p=p, n=n)

    def _cells(self, errors: Array) -> tuple[Array, Array]:
        """Sums and counts by person and group, (persons, groups) each: they add up over persons."""
        held = np.isfinite(errors)
        return np.where(held, errors, 0) @ self._members, held.astype(float) @ self._members


def mean_over_persons(values: ArrayLike) -> Average:
    """Mean of a figure of each person (persons,), NaN where it has none; redrawing a mean has a closed form."""
    x = np.asarray(values, dtype=float)
    x = x[np.isfinite(x)]
    if not x.size:
        return Average(value=None, reason="no person has a value")
    value = float(x.mean())
    if x.size < 2:
        return Average(value=value, n=1, reason=ALONE)
    return Average(value=value, ci=_bounds(value, float(x.std(ddof=1) / np.sqrt(x.size)), x.size), n=x.size)


def pearson(a: ArrayLike, b: ArrayLike) -> float | None:
    """Pearson's r over the places that have both; None below three of them, or where one of the two does not vary."""
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    if x.size < 3:
        return None
    x, y = x - x.mean(), y - y.mean()
    lengths = float(np.sqrt((x**2).sum())), float(np.sqrt((y**2).sum()))
    # Equal values are equal but for their last digits.
    if min(lengths) <= 1e-9:
        return None
    return float(np.clip((x @ y) / (lengths[0] * lengths[1]), -1, 1))


def _composite(weights: Array, sums: Array, counts: Array) -> Array:
    """Mean error by group, added up, for each row of `weights` (redraws, persons); NaN where a group has no cell."""
    drawn, of = weights @ sums, weights @ counts
    means = np.full(drawn.shape, np.nan)
    np.divide(drawn, of, out=means, where=of > 0)
    return np.asarray(means.sum(axis=1))


def _spread(redrawn: Array, n: int) -> tuple[float | None, str]:
    """Standard error from the redraws of `n` persons, or why there is none."""
    if n < 2:
        return None, ALONE
    found = redrawn[np.isfinite(redrawn)]
    if len(found) < max(2, FEWEST * len(redrawn)):
        return None, f"a trait has no answers in {len(redrawn) - len(found)} of {len(redrawn)} redraws"
    return float(found.std(ddof=1)) * float(np.sqrt(n / (n - 1))), ""


def _bounds(value: float, spread: float, n: int) -> tuple[float, float]:
    half = float(special.stdtrit(n - 1, 0.975)) * spread
    return value - half, value + half
