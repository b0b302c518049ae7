"""How consistently complete rows answer a scale: the coefficients that follow from their covariances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from traitbench.statistics import reliability
from traitbench.statistics.coefficient import Coefficient
from traitbench.statistics.moments import to_correlation
from traitbench.types import Record, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Item

__all__ = ["CompleteRows", "Consistency", "consistency"]


class Consistency(Record):
    """One scale over the complete rows; a coefficient is null where `reasons` says why."""

    trait: Trait
    items: int
    n: int
    """Who answered every item; with pairwise covariances the fewest who answered both items of a pair."""
    mean: float | None = None
    """Of the scale scores; a score is the mean of the keyed items."""
    sd: float | None = None
    alpha: float | None = None
    alpha_ci: tuple[float, float] | None = None
    """Feldt (1965), 95 %."""
    omega_total: float | None = None
    lambda_6: float | None = None
    mean_inter_item_r: float | None = None
    min_item_rest_r: float | None = None
    """Lowest correlation of an item with the sum of the others."""
    min_item_rest_item: str | None = None
    reasons: dict[str, str] = Field(default_factory=dict)
    """Field -> why it is null."""


class CompleteRows(NamedTuple):
    """The complete rows of a table, or its pairs of items, as moments."""

    items: Sequence[Item]
    n: int
    mean: NDArray[np.float64]
    """(items,); of no use without a complete row."""
    covariance: NDArray[np.float64]
    """(items, items); zeros with fewer than two complete rows."""
    answered: str = "every item of the table"
    """What a row must hold to count."""

    def no_people(self, least: int) -> str:
        """Say so where fewer than `least` (1 or 2) rows are complete."""
        return "" if self.n >= least else f"{'one' if self.n else 'no'} person answered {self.answered}"

    def no_covariance(self, places: Sequence[int]) -> str:
        """Say why these items have no covariance matrix; empty where they do."""
        few = {0: "the table has none of its items", 1: "the table has one of its items only"}
        return few.get(len(places)) or self.no_people(2)

    def no_correlation(self, places: Sequence[int]) -> str:
        """Say why these items have no correlation matrix; empty where they do."""
        flat = [self.items[i].id for i in places if self.covariance[i, i] == 0]
        return self.no_covariance(places) or (f"no variance: {', '.join(flat)}" if flat else "")


def consistency(sample: CompleteRows, places: Sequence[int]) -> dict[str, Any]:
    """Every field of Consistency but `trait` for the scale whose items stand at `places`."""
    covariance = sample.covariance[np.ix_(places, places)]
    found = _coefficients(sample, places, covariance)
    interval = reliability.alpha_interval(found["alpha"].value, sample.n, len(places))
    found["min_item_rest_r"], item = _lowest(sample, places, covariance)
    reasons = {field: c.reason for field, c in found.items() if c.value is None}
    if interval is None:
        reasons["alpha_ci"] = found["alpha"].reason
    return {
        "items": len(places),
        "n": sample.n,
        "alpha_ci": interval,
        "min_item_rest_item": item,
        "reasons": reasons,
        **{field: c.value for field, c in found.items()},
    }


def _coefficients(
    sample: CompleteRows, places: Sequence[int], covariance: NDArray[np.float64]
) -> dict[str, Coefficient]:
    """Mean and SD of the scale score, and what the items' covariances and correlations give."""

    def unless(reason: str, compute: Callable[[], float | Coefficient]) -> Coefficient:
        found = Coefficient(None, reason) if reason else compute()
        return found if isinstance(found, Coefficient) else Coefficient(found)

    none = "" if places else sample.no_covariance(places)
    apart, unlike = sample.no_covariance(places), sample.no_correlation(places)
    correlation = covariance if unlike else to_correlation(covariance)
    return {
        "mean": unless(none or sample.no_people(1), lambda: float(sample.mean[places].mean())),
        # The variance of a mean of items is the mean of their covariance matrix.
        "sd": unless(none or sample.no_people(2), lambda: float(np.sqrt(max(covariance.mean(), 0.0)))),
        "alpha": unless(apart, lambda: reliability.alpha(covariance)),
        "omega_total": unless(unlike, lambda: reliability.omega_total(correlation)),
        "lambda_6": unless(unlike, lambda: reliability.lambda6(correlation)),
        "mean_inter_item_r": unless(unlike, lambda: reliability.mean_inter_item_r(correlation)),
    }


def _lowest(
    sample: CompleteRows, places: Sequence[int], covariance: NDArray[np.float64]
) -> tuple[Coefficient, str | None]:
    """Find the item that correlates least with the sum of the others."""
    if reason := sample.no_covariance(places):
        return Coefficient(None, reason), None
    found = reliability.item_rest(covariance)
    held = [(c.value, place) for c, place in zip(found, places, strict=True) if c.value is not None]
    if not held:
        return Coefficient(None, found[0].reason), None
    value, place = min(held)
    return Coefficient(value), sample.items[place].id
