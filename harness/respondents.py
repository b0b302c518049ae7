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

from traitbench.statistics import reliability as r
from traitbench.statistics.coefficient import Coefficient
from traitbench.types import Mode, Record, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Item
    from traitbench.samples import Sample

__all__ = ["FACETS", "Grid", "Reliability", "grid", "reliability"]

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


class Reliability(Record):
    """How consistently the respondents answer one scale; a coefficient is null where `reasons` says why."""

    trait: Trait
    items: int
    n: int
    """Respondents who answered every item of the scale."""
    mean: float | None = None
    sd: float | None = None
    """Of the scale scores over respondents."""
    alpha: float | None = None
    alpha_ci: tuple[float, float] | None = None
    """Feldt (1965), 95 %."""
    omega_total: float | None = None
    omega_hierarchical: float | None = None
    lambda_6: float | None = None
    split_half: float | None = None
    """Mean over splits of the items."""
    mean_inter_item_r: float | None = None
    min_item_rest_r: float | None = None
    retest: float | None = None
    """ICC(2,1) of the scale scores over the occasions."""
    retest_over: tuple[str, ...] = ()
    """What differed between the occasions."""
    occasions: int = 1
    reasons: dict[str, str] = {}


def grid(samples: Sequence[Sample], items: Sequence[Item], mode: Mode) -> Grid:
    """Lay the valid answers of one condition and mode out by item and cell of the administration."""
    levels: dict[str, tuple[object, ...]] = {"item": tuple(item.id for item in items)}
    for axis in FACETS[1:]:
        levels[axis] = tuple(dict.fromkeys(getattr(s, axis) for s in samples)) or (None,)
    place = {axis: {level: i for i, level in enumerate(mine)} for axis, mine in levels.items()}
    values = np.full([len(levels[axis]) for axis in FACETS], np.nan)
    for sample in samples:
        if sample.status == "valid" and sample.value_raw is not None and sample.item in place["item"]:
            value = sample.keyed * sample.value_raw if mode == "statement" else sample.value_keyed
            values[tuple(place[axis][getattr(sample, axis)] for axis in FACETS)] = value
    if mode == "statement":
        values = _without_level(values, np.array([item.keyed for item in items]))
    return Grid(tuple(items), levels, values)


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
            out.append(_scale(trait, people[:, index], occasions[:, index], answers.varied()))
    return out


def _scale(
    trait: Trait, table: NDArray[np.float64], occasions: NDArray[np.float64], varied: tuple[str, ...]
) -> Reliability:
    whole = table[~np.isnan(table).any(axis=1)]
    n, k = whole.shape
    scores = whole.mean(axis=1)
    known: dict[str, Coefficient] = {}
    if n < 3:
        known = dict.fromkeys(_COEFFICIENTS, Coefficient(None, f"{n} respondents answered every item; expected 3"))
    else:
        covariance = np.atleast_2d(np.cov(whole, rowvar=False))
        correlation, lost = _correlation(covariance)
        rest = [c.value for c in r.item_rest(covariance)]
        if lost:
            known = dict.fromkeys(_COEFFICIENTS, Coefficient(None, lost))
            known["alpha"] = r.alpha(covariance)
        else:
            halves = r.split_half(correlation, iterations=500)
            known = {
                "alpha": r.alpha(covariance),
                "omega_total": r.omega_total(correlation),
                "omega_hierarchical": r.omega_hierarchical(correlation),
                "lambda_6": r.lambda6(correlation),
                "split_half": halves.mean,
                "mean_inter_item_r": r.mean_inter_item_r(correlation),
                "min_item_rest_r": Coefficient(None, "an item-rest correlation is undefined")
                if None in rest else Coefficient(min(v for v in rest if v is not None)),
            }  # fmt: skip
    known["retest"] = _retest(occasions)
    alpha = known["alpha"].value
    return Reliability(
        trait=trait, items=k, n=n, mean=float(scores.mean()) if n else None,
        sd=float(scores.std(ddof=1)) if n > 1 else None,
        alpha_ci=r.alpha_interval(alpha, n, k) if alpha is not None else None,
        retest_over=varied, occasions=occasions.shape[2],
        reasons={name: c.reason for name, c in known.items() if c.value is None},
        **{name: c.value for name, c in known.items()},
    )  # fmt: skip


_COEFFICIENTS = (
    "alpha", "omega_total", "omega_hierarchical", "lambda_6", "split_half", "mean_inter_item_r", "min_item_rest_r",
)  # fmt: skip


def _correlation(covariance: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    """Correlations from covariances, or why there are none."""
    variances = np.diag(covariance)
    constant = int((variances <= 1e-12 * max(1.0, float(variances.max(initial=0)))).sum())
    if constant:
        return covariance, f"{constant} of {variances.size} items have the same value for every respondent"
    scale = np.sqrt(variances)
    return covariance / np.outer(scale, scale), ""


def _retest(occasions: NDArray[np.float64]) -> Coefficient:
    """ICC(2,1) of the scale scores: respondents x items x occasions."""
    if occasions.shape[2] < 2:
        return Coefficient(None, "one occasion: ask again with --templates, --orders or --repeats")
    scores = occasions[~np.isnan(occasions).any(axis=(1, 2))].mean(axis=1)
    if scores.shape[0] < 2:
        return Coefficient(None, "fewer than 2 respondents answered everything on every occasion")
    found = r.icc(scores).icc2
    return Coefficient(found.value, found.reason)
