"""Permutation tests: a statistic beside the same statistic under shuffled labels.

Labels are shuffled within strata, such as the two poles of a scene or a question, so that what a stratum has in common
decides nothing. Where at most as many other labelings exist as were to be drawn, all of them are taken, once each, and
p is exact; else they are drawn with replacement, by seed. p = (1 + shuffles that reach what was observed) /
(1 + shuffles), which keeps its level for any number of shuffles and is never 0 (Phipson & Smyth 2010).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traitbench.errors import BadData, TraitbenchUsage
from traitbench.types import Find

__all__ = ["DRAWS", "Permuted", "compared", "flips", "labelings", "permuted"]

DRAWS = 999
"""Shuffles, where the caller says nothing else: p goes down to .001, and so survives a correction for fifty tests."""
_SAME = 1e-9
"""Relative difference below which two statistics count as equal: a shuffle adds up in another order."""

Labels = NDArray[Any]
"""One labeling, (units,), or one a row, (shuffles, units)."""


class Permuted(NamedTuple):
    """A statistic and what shuffled labels make of it; the fields are those of `traitbench.types.Find`."""

    observed: float
    null: tuple[float, float]
    """Mean and 95th percentile under shuffled labels."""
    draws: int
    """How many shuffles."""
    p: float

    def find(self, statistic: str, on: str) -> Find:
        """The record that a fit keeps: `statistic` says what is compared, `on` what it was computed on."""
        return Find(statistic=statistic, on=on, **self._asdict())


def permuted(
    statistic: Callable[[Labels], float],
    labels: ArrayLike,
    draws: int = DRAWS,
    seed: int = 0,
    within: ArrayLike | None = None,
) -> Permuted:
    """Compute `statistic` of `labels` (units,) and of their shuffles; the larger it is, the more was found.

    within: (units,) the stratum of each unit, inside which labels are shuffled; None: all are one. draws: shuffles at
    most. TraitbenchUsage where there is no other labeling, BadData where the statistic is not a number.
    """
    given = np.asarray(labels)
    return compared(float(statistic(given)), [float(statistic(s)) for s in labelings(given, draws, seed, within)])


def compared(observed: float, null: Sequence[float] | NDArray[np.float64]) -> Permuted:
    """Set an observed statistic beside `null`, its values under shuffled labels; for those who compute them at once."""
    values = np.asarray(null, dtype=np.float64)
    if not len(values):
        raise TraitbenchUsage("no shuffle to compare with; expected one at least")
    if not math.isfinite(observed) or not np.isfinite(values).all():
        raise BadData(f"a statistic that is not finite cannot be tested (observed: {observed:g})")
    reached = int((values >= observed - _SAME * max(abs(observed), _SAME)).sum())
    spread = float(values.mean()), float(np.quantile(values, 0.95))
    return Permuted(float(observed), spread, len(values), (1 + reached) / (1 + len(values)))


def labelings(labels: ArrayLike, draws: int = DRAWS, seed: int = 0, within: ArrayLike | None = None) -> Labels:
    """Shuffles of `labels` (units,) within the strata `within` (units,): (shuffles, units).

    All other labelings, each once, where there are at most `draws`; else `draws` that are drawn by `seed`.
    TraitbenchUsage where there is none: every stratum holds one label only.
    """
    given = np.asarray(labels)
    strata = np.zeros(len(given), dtype=np.intp) if within is None else np.unique(within, return_inverse=True)[1]
    if strata.shape != given.shape:
        raise TraitbenchUsage(f"{strata.size} strata for {given.size} labels; expected one each")
    members = [np.flatnonzero(strata == stratum) for stratum in range(int(strata.max(initial=-1)) + 1)]
    number = math.prod(_count(given[places]) for places in members)
    if number < 2 or draws < 1:
        raise TraitbenchUsage(
            f"{len(given)} labels in {len(members)} strata have {number - 1} other labelings, {draws} shuffles are "
            "wanted; expected one of each at least: units with different labels in one stratum"
        )
    if number - 1 <= draws:
        return np.stack([found for found in _every(given, members) if (found != given).any()])
    generator = np.random.default_rng(seed)
    out = np.tile(given, (draws, 1))
    for row in out:
        for places in members:
            row[places] = given[generator.permutation(places)]
    return out


def flips(units: int, draws: int = DRAWS, seed: int = 0) -> NDArray[np.int8]:
    """Signs (shuffles, units) that swap the two labels of each pair or leave them: +1 as it was, -1 swapped.

    What `labelings` of pairs are, for statistics that are made of their differences: all other signs, each once, where
    there are at most `draws`.
    """
    if units < 1 or draws < 1:
        raise TraitbenchUsage(f"{units} pairs and {draws} shuffles; expected one of each at least")
    if 2**units - 1 <= draws:
        turned = np.arange(1, 2**units)[:, None] >> np.arange(units) & 1
    else:
        turned = np.random.default_rng(seed).integers(0, 2, (draws, units))
    return (1 - 2 * turned).astype(np.int8)


def _count(labels: Labels) -> int:
    """How many different orders `labels` have."""
    counts = np.unique(labels, return_counts=True)[1]
    return math.factorial(len(labels)) // math.prod(math.factorial(int(n)) for n in counts)


def _every(given: Labels, members: Sequence[NDArray[np.intp]]) -> Iterator[Labels]:
    """Every labeling, the given one among them."""
    for orders in product(*(list(_orders(given[places])) for places in members)):
        found = given.copy()
        for places, order in zip(members, orders, strict=True):
            found[places] = order
        yield found


def _orders(labels: Labels) -> Iterator[Labels]:
    """Every different order of `labels`: places for the first label, then for the next among what is left."""
    first, *others = np.unique(labels)
    if not others:
        yield labels
        return
    rest = labels[labels != first]
    for where in combinations(range(len(labels)), len(labels) - len(rest)):
        for order in _orders(rest):
            out = np.full(len(labels), first, dtype=labels.dtype)
            out[np.delete(np.arange(len(labels)), where)] = order
            yield out
