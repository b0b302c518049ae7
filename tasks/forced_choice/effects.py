"""From kept answers to what each pair says of its traits, and to what a control did.

Scores are simple counts: of a trait, how often the statement is taken that whoever is high on it would take. A pair of
two traits counts for both, so what one gains another may lose: such scores are partly ipsative, and leakage holds what
the form itself makes (Brown & Maydeu-Olivares 2011). So each contrast is also solved for all traits at once, by least
squares over the pairs: the linear form of a Thurstonian model in which all statements tell their trait equally well.
Pairs of one trait with itself, and of statements keyed towards opposite ends, are what tells the traits' levels apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from traitbench.samples import Condition, Sample
from traitbench.statistics.intervals import item_means
from traitbench.tasks.differences import differences
from traitbench.tasks.effects import Setting, contrast, counted, sign, troubles
from traitbench.tasks.forced_choice.pairs import Pair, Statement, Unit
from traitbench.tasks.scoring import item_grid
from traitbench.tasks.weighed import Pole, WeighedContrast, with_texts
from traitbench.types import Mode, Record, Trait

__all__ = [
    "ForcedContrast", "SolvedShift", "contrasts", "of_units", "pair_grid", "pole_grids", "solved", "solved_levels",
]  # fmt: skip

Array = NDArray[np.float64]


class SolvedShift(Record):
    """How far one trait moved, or where it stands, with the others held apart.

    On a pair of its own two poles, in the unit of the scores.
    """

    trait: Trait
    value: float
    se: float
    ci: tuple[float, float]


class ForcedContrast(WeighedContrast):
    """Two conditions on the same pairs. The check is `caution` too where the solved effect's interval reaches zero."""

    apart: list[SolvedShift] = []
    """Empty where the pairs that were answered do not tell the traits apart."""


def pair_grid(samples: Sequence[Sample], pairs: Sequence[Pair], templates: Sequence[int], mode: Mode) -> Array:
    """Preference for the second statement, (pairs, templates, fits), NaN where unscored.

    Choice and generate: the probability or share in percent, mean over orders and symbols. Statement: log-likelihood a
    token of the second minus that of the first.
    """
    if mode != "statement":
        return 100 * item_grid(samples, pairs, templates)
    first, second = _weighed(samples, pairs, templates)
    return second - first


def _weighed(samples: Sequence[Sample], pairs: Sequence[Pair], templates: Sequence[int]) -> tuple[Array, Array]:
    """Log-likelihood a token of the first and of the second statements, each (pairs, templates, fits)."""
    held = {pair.id: pair for pair in pairs}

    def of(row: Sample, own: Statement) -> bool:
        return (row.trait, row.keyed) == (own.trait, own.keyed)

    # Statements of a pair differ in trait or in key, so that both tell which of the two was weighed.
    first = item_grid([row for row in samples if of(row, held[row.item].first)], pairs, templates)
    return first, item_grid([row for row in samples if of(row, held[row.item].second)], pairs, templates)


def pole_grids(
    samples: Sequence[Sample], pairs: Sequence[Pair], units: Sequence[Unit], templates: Sequence[int]
) -> dict[Pole, Array]:
    """Log-likelihood a token of each unit's statement of either pole of its trait, (units, ...); NaN without one."""
    place = {pair.id: index for index, pair in enumerate(pairs)}
    weighed = _weighed(samples, pairs, templates)
    none = np.full_like(weighed[0][:1], np.nan)

    def of(unit: Unit, key: int) -> Array:
        k = place[unit.pair]
        own = (grid[k] for grid, s in zip(weighed, (pairs[k].first, pairs[k].second), strict=True)
               if (s.trait, s.keyed) == (unit.trait, key))  # fmt: skip
        return next(own, none[0])

    return {"high": np.array([of(unit, 1) for unit in units]), "low": np.array([of(unit, -1) for unit in units])}


def of_units(values: Array, pairs: Sequence[Pair], units: Sequence[Unit], mode: Mode) -> Array:
    """Preference for what the high pole takes, (units, ...), from that for the second statement (pairs, ...)."""
    place = {pair.id: index for index, pair in enumerate(pairs)}
    mine = values[[place[unit.pair] for unit in units]]
    signs = np.array([unit.sign for unit in units]).reshape(-1, *[1] * (values.ndim - 1))
    return signs * mine if mode == "statement" else np.where(signs == 1, mine, 100 - mine)


def contrasts(
    values: Mapping[str, Array], conditions: Sequence[Condition], pairs: Sequence[Pair], setting: Setting, mode: Mode,
    weighed: Mapping[str, Mapping[Pole, Array]] | None = None,
) -> list[ForcedContrast]:  # fmt: skip
    """Every contrast that the conditions allow; `values`: condition -> what `pair_grid` gives.

    `weighed`: condition -> what `pole_grids` gives, of statement scoring.
    """
    units = {name: of_units(mine, pairs, setting.units, mode) for name, mine in values.items()}  # type: ignore[arg-type]
    made, halves = [], setting.weights == "halves"
    for by_unit, by_pair in zip(differences(units, conditions), differences(values, conditions), strict=True):
        held = contrast(by_unit, setting)
        made.append(ForcedContrast(**dict(held), apart=solved(item_means(by_pair.moved), pairs, halves)))
    return counted(with_texts(made, weighed, conditions, setting), _doubts)


def solved(moved: Array, pairs: Sequence[Pair], position: bool = False) -> list[SolvedShift]:
    """Least squares of how far the preference for the second statements moved, (pairs,), on the traits of both.

    `position`: with a liking for A or B solved for too, which choices in one order do not cancel. Standard errors take
    the residuals of all pairs as alike. Empty where the traits cannot be told apart.
    """
    traits = list(dict.fromkeys(own.trait for pair in pairs for own in (pair.first, pair.second)))
    design = np.zeros((len(pairs), len(traits)))
    for row, pair in enumerate(pairs):
        design[row, traits.index(pair.second.trait)] += pair.second.keyed
        design[row, traits.index(pair.first.trait)] -= pair.first.keyed
    known = np.isfinite(moved)
    if position:
        design = np.column_stack([design, np.ones(len(pairs))])
    design, wanted, free = design[known], moved[known], int(known.sum()) - design.shape[1]
    if free < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        return []
    inverse = np.linalg.inv(design.T @ design)
    found, k = inverse @ design.T @ wanted, len(traits)
    variance = float(((wanted - design @ found) ** 2).sum()) / free
    errors, t = np.sqrt(variance * np.diag(inverse)), float(stats.t.ppf(0.975, free))
    return [
        SolvedShift(trait=trait, value=2 * b, se=2 * se, ci=(2 * (b - t * se), 2 * (b + t * se)))
        for trait, b, se in zip(traits, map(float, found[:k]), map(float, errors[:k]), strict=True)
    ]


def solved_levels(values: Array, pairs: Sequence[Pair], mode: Mode, position: bool = False) -> list[SolvedShift]:
    """Where each trait stands with the others held apart, from what `pair_grid` gives of one condition.

    As `solved`, of how far the preferences lie from none; choice and generate in percent, 50
    without a preference. Counts order persons less well: what one trait has, the others of its pairs lack.
    """
    middle = 0 if mode == "statement" else 50
    return [
        SolvedShift(trait=s.trait, value=middle + s.value, se=s.se, ci=(middle + s.ci[0], middle + s.ci[1]))
        for s in solved(item_means(values) - middle, pairs, position)
    ]


def _doubts(found: ForcedContrast) -> list[str]:
    """Why a contrast that aims at one trait may not have done what it should."""
    if reasons := troubles(found):
        return reasons
    own = next((each for each in found.apart if found.effect and each.trait == found.effect.trait), None)
    if own is None:
        return ["the pairs do not tell the traits apart: the effect may be another trait's"]
    if own.ci[0] <= 0 <= own.ci[1] or own.value * sign(found) < 0:
        return ["the interval reaches zero once the other traits are held apart: the effect may be another trait's"]
    return []
