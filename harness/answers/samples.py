"""The figures of each scale, and of all items together, from a table's moments and the rows that are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from traitbench.answers.analysis import Correlations, Rows, ScaleAnalysis, Sphericity
from traitbench.answers.consistency import CompleteRows, consistency
from traitbench.answers.itemtable import Frequencies, items
from traitbench.statistics import reliability, structure
from traitbench.statistics.coefficient import Coefficient
from traitbench.statistics.moments import Moments, to_correlation
from traitbench.types import Trait

if TYPE_CHECKING:
    from traitbench.inventories import Item

__all__ = ["Samples", "Whole", "correlations", "whole"]

_ROUNDING = 1e-12
"""A scale's variance up to this is round-off: an SD of a millionth of a scale point."""


class Samples:
    """A table's moments, cut into what each scale's figures are of."""

    def __init__(self, items: Sequence[Item], moments: Moments, frequencies: Frequencies, rows: Rows) -> None:
        """`moments` has the scales and then the facets as its groups."""
        self.items, self.moments, self.frequencies, self.rows = items, moments, frequencies, rows
        self.complete = CompleteRows(items, *moments.complete_rows())
        self.pairs = moments.pairs()

    def scale(self, group: int, places: Sequence[int], trait: Trait, facet: str | None) -> ScaleAnalysis:
        """Everything about the scale or facet that is one of the moments' groups."""
        sample, k = self._sample(group, places), len(places)
        found = consistency(sample, range(k))
        reasons = found.pop("reasons")
        unlike = sample.no_correlation(range(k))
        block = self.pairs.covariance[np.ix_(places, places)]
        none = Coefficient(None, sample.no_covariance(range(k)))
        standardised = Coefficient(None, unlike) if unlike else reliability.alpha(to_correlation(sample.covariance))
        pairwise = reliability.alpha(block) if k > 1 else none
        more = {"alpha_standardised": standardised, "alpha_pairwise": pairwise}
        return ScaleAnalysis(
            trait=trait,
            facet=facet,
            reasons=reasons | {name: c.reason for name, c in more.items() if c.value is None},
            table=items(sample, places, self.moments.answered, self.frequencies),
            alpha_standardised=standardised.value,
            alpha_pairwise=pairwise.value,
            **found,
        )

    def _sample(self, group: int, places: Sequence[int]) -> CompleteRows:
        """The rows that this scale's figures are of."""
        own = [self.items[place] for place in places]
        block = np.ix_(places, places)
        if self.rows == "listwise":
            return CompleteRows(own, self.complete.n, self.complete.mean[places], self.complete.covariance[block])
        if self.rows == "scale":
            return CompleteRows(own, *self.moments.group(group), f"every item of {'the scale' if own else 'it'}")
        n = int(self.pairs.n[block].min()) if places else 0
        covariance = self.pairs.covariance[block] if n > 1 else np.zeros((len(places),) * 2)
        means = np.nan_to_num(np.diag(self.pairs.mean)[places])
        return CompleteRows(own, n, means, covariance, "both items of some pair")


class Whole(NamedTuple):
    """Measures of the correlation matrix of all items that vary, over the rows without a gap."""

    kmo: float | None
    kmo_items: dict[str, float | None]
    bartlett: Sphericity | None
    components: int | None
    flat: list[str]
    """Ids of the items without variance."""
    reasons: dict[str, str]


def whole(sample: CompleteRows) -> Whole:
    """Measure all items together; items without variance are left out, the others have their figures."""
    k, n = len(sample.items), sample.n
    reason = sample.no_covariance(range(k))
    varies = np.diag(sample.covariance) > 0
    flat = [] if reason else [item.id for item, held in zip(sample.items, varies, strict=True) if not held]
    places = np.flatnonzero(varies).tolist()
    kmo_items: dict[str, float | None] = dict.fromkeys(item.id for item in sample.items)
    if reason or len(places) < 2:
        reason = reason or "fewer than two items vary"
        return Whole(None, kmo_items, None, None, flat, dict.fromkeys(("kmo", "bartlett", "components"), reason))
    r = to_correlation(sample.covariance[np.ix_(places, places)])
    adequacy, test, parallel = structure.kmo(r), structure.bartlett(r, n), structure.parallel_analysis(r, n)
    kmo_items |= {sample.items[p].id: c.value for p, c in zip(places, adequacy.items, strict=True)}
    sphericity = None
    if test.chi2 is not None and test.p is not None:
        sphericity = Sphericity(chi2=test.chi2, df=test.df, p=test.p)
    reasons = {"kmo": adequacy.overall.reason, "bartlett": test.reason, "components": parallel.reason}
    return Whole(adequacy.overall.value, kmo_items, sphericity, parallel.factors, flat, reasons)


def correlations(held: Samples, scales: Mapping[str, Sequence[int]]) -> tuple[Correlations, str]:
    """Correlate the scale scores; also why some of them have none."""
    s = len(scales)
    there = [bool(places) for places in scales.values()]
    if held.rows == "scale":
        r, n = (found[:s, :s] for found in held.moments.group_correlation())
    else:
        r, n = _from_covariances(held, scales)
    matrix = [[None if np.isnan(value) else float(value) for value in row] for row in r]
    used = n[np.ix_(there, there)]
    fewest = int(used.min()) if used.size else 0
    without = ", ".join(scale for scale, row in zip(scales, r, strict=True) if np.isnan(row).all())
    reason = ""
    if without:
        lone = "" if fewest > 1 or held.rows == "scale" else held.complete.no_people(2)
        reason = lone or f"no item, too few persons or no variance: {without}"
    elif np.isnan(r).any():
        reason = "fewer than two persons are complete on both scales, or no variance among them"
    return Correlations(order=list(scales), matrix=matrix, n=fewest, ns=n.astype(int).tolist()), reason


def _from_covariances(
    held: Samples, scales: Mapping[str, Sequence[int]]
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """Correlate scale scores by the covariances of their items, with the fewest rows behind those."""
    s, whole = len(scales), held.rows == "listwise"
    covariances = held.complete.covariance if whole else held.pairs.covariance
    n = np.zeros((s, s))
    covariance = np.zeros((s, s))
    for a, first in enumerate(scales.values()):
        for b, second in enumerate(scales.values()):
            if first and second:
                block = np.ix_(first, second)
                covariance[a, b] = covariances[block].mean()
                n[a, b] = held.complete.n if whole else held.pairs.n[block].min()
    r = np.full((s, s), np.nan)
    defined = np.flatnonzero(np.diag(covariance) > _ROUNDING)
    r[np.ix_(defined, defined)] = to_correlation(covariance[np.ix_(defined, defined)])
    return r, n
