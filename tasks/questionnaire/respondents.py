"""Simulated respondents: their answers as tables, and how reliable the scales are over them.

The respondents of one condition (the baseline) are the sample; an occasion is one way of asking (template, symbols,
order, repeat). Choice and generate enter as keyed item values. Statement enters as the keyed log-likelihood per token
with the respondent's mean over all items taken out: a biography that makes every sentence likelier says nothing about
a trait, and the score (plus minus minus) is free of it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.answers.consistency import CompleteRows, Consistency, consistency
from traitbench.statistics import reliability as r
from traitbench.statistics.coefficient import Coefficient
from traitbench.statistics.moments import to_correlation
from traitbench.types import Mode, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Item
    from traitbench.samples import Sample

__all__ = ["FACETS", "Grid", "Reliability", "grid", "laid_out", "reliability"]

FACETS = ("item", "order", "symbols", "template", "respondent", "repeat")
"""The axes of a grid, in this order."""


class Grid(NamedTuple):
    """The answers of one condition in one scoring mode."""

    items: tuple[Item, ...]
    levels: dict[str, tuple[object, ...]]
    """Axis -> its levels, in the order of the axis."""
    values: NDArray[np.float64]
    """Keyed values, an axis for each of FACETS; NaN where there is no valid answer."""

    def people(self) -> NDArray[np.float64]:
        """Respondents x items, the mean over valid occasions."""
        counts = (~np.isnan(self.values)).sum(axis=(1, 2, 3, 5))
        total = np.nansum(self.values, axis=(1, 2, 3, 5))
        return np.where(counts > 0, total / np.maximum(counts, 1), np.nan).T

    def occasions(self) -> NDArray[np.float64]:
        """Respondents x items x occasions."""
        moved = np.moveaxis(self.values, (4, 0), (0, 1))
        return moved.reshape(moved.shape[0], moved.shape[1], -1)

    def varied(self) -> tuple[str, ...]:
        """Name the axes along which the occasions differ."""
        return tuple(f for f in ("order", "symbols", "template", "repeat") if len(self.levels[f]) > 1)


class Reliability(Consistency):
    """How consistently the respondents answer one scale; `mean` and `sd` are of their scale scores."""

    omega_hierarchical: float | None = None
    split_half: float | None = None
    """Mean over splits of the items."""
    retest: float | None = None
    """ICC(2,1) of the scale scores over the occasions."""
    retest_over: tuple[str, ...] = ()
    """What differed between the occasions."""
    occasions: int = 1


def grid(samples: Sequence[Sample], items: Sequence[Item], mode: Mode) -> Grid:
    """Lay the valid answers of one condition and mode out by item and cell of the administration."""
    levels, values = laid_out(samples, items, mode, FACETS)
    return Grid(tuple(items), levels, values)


def laid_out(
    samples: Sequence[Sample], items: Sequence[Item], mode: Mode, axes: Sequence[str]
) -> tuple[dict[str, tuple[object, ...]], NDArray[np.float64]]:
    """Lay keyed values of valid answers out along `axes`, the items first; the levels of each axis, and the table.

    Every other axis is a field of the samples. A cell that was answered several times, as by several fits, has their
    mean; NaN where there is no valid answer.
    """
    levels: dict[str, tuple[object, ...]] = {"item": tuple(item.id for item in items)}
    for axis in axes[1:]:
        levels[axis] = tuple(dict.fromkeys(getattr(s, axis) for s in samples)) or (None,)
    place = {axis: {level: i for i, level in enumerate(mine)} for axis, mine in levels.items()}
    total = np.zeros([len(levels[axis]) for axis in axes])
    counts = np.zeros(total.shape)
    for sample in samples:
        if sample.status == "valid" and sample.value_raw is not None and sample.item in place["item"]:
            value = sample.keyed * sample.value_raw if mode == "statement" else sample.value_keyed
            cell = tuple(place[axis][getattr(sample, axis)] for axis in axes)
            total[cell] += value
            counts[cell] += 1
    values = np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
    if mode == "statement":
        values = _without_level(values, np.array([item.keyed for item in items]))
    return levels, values


def _without_level(values: NDArray[np.float64], keys: NDArray[np.int_]) -> NDArray[np.float64]:
    """Take out what makes every item likelier in one cell: the mean over its items of the unkeyed values."""
    signs = keys.reshape(-1, *[1] * (values.ndim - 1))
    raw = signs * values
    counts = np.maximum((~np.isnan(raw)).sum(axis=0), 1)
    return np.asarray(signs * (raw - np.nansum(raw, axis=0) / counts))


def reliability(answers: Grid, traits: Sequence[Trait]) -> list[Reliability]:
    """Every coefficient for each trait; [] where there are no simulated respondents."""
    if answers.levels["respondent"] == (None,):
        return []
    people, occasions = answers.people(), answers.occasions()
    out = []
    for trait in traits:
        index = [i for i, item in enumerate(answers.items) if item.trait == trait]
        if index:
            held = [answers.items[i] for i in index]
            out.append(_scale(trait, held, people[:, index], occasions[:, index], answers.varied()))
    return out


def _scale(
    trait: Trait,
    items: Sequence[Item],
    table: NDArray[np.float64],
    occasions: NDArray[np.float64],
    varied: tuple[str, ...],
) -> Reliability:
    whole = table[~np.isnan(table).any(axis=1)]
    n, k = whole.shape
    covariance = np.atleast_2d(np.cov(whole, rowvar=False)) if n > 1 else np.zeros((k, k))
    flat = covariance.diagonal() <= CONSTANT
    covariance[flat], covariance[:, flat] = 0.0, 0.0
    sample = CompleteRows(items, n, whole.mean(axis=0) if n else np.zeros(k), covariance)
    fields = consistency(sample, range(k))
    reason = f"complete respondents: {n}; expected at least 3" if n < 3 else sample.no_correlation(range(k))
    if n < 3:
        fields |= dict.fromkeys(_COEFFICIENTS)
        fields["reasons"] |= dict.fromkeys(_COEFFICIENTS, reason)
    more = dict.fromkeys(("omega_hierarchical", "split_half"), Coefficient(None, reason))
    if not reason:
        correlation = to_correlation(covariance)
        more["omega_hierarchical"] = r.omega_hierarchical(correlation)
        more["split_half"] = r.split_half(correlation, iterations=500).mean
    more["retest"] = _retest(occasions)
    fields["reasons"] |= {name: c.reason for name, c in more.items() if c.value is None}
    fields |= {name: c.value for name, c in more.items()}
    return Reliability(trait=trait, retest_over=varied, occasions=occasions.shape[2], **fields)


_COEFFICIENTS = ("alpha", "alpha_ci", "omega_total", "lambda_6", "mean_inter_item_r", "min_item_rest_r")
CONSTANT = 1e-12
"""A variance up to this is round-off."""


def _retest(occasions: NDArray[np.float64]) -> Coefficient:
    """ICC(2,1) of the scale scores: respondents x items x occasions."""
    if occasions.shape[2] < 2:
        return Coefficient(None, "one occasion: ask again with --templates, --orders or --repeats")
    scores = occasions[~np.isnan(occasions).any(axis=(1, 2))].mean(axis=1)
    if scores.shape[0] < 2:
        return Coefficient(None, "fewer than 2 respondents answered everything on every occasion")
    found = r.icc(scores).icc2
    return Coefficient(found.value, found.reason)
