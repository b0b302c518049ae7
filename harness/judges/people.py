"""Human ratings beside judges' : how far people agree, how far a judge agrees with them, and judge means corrected."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from traitbench.judges.sheets import Rated
from traitbench.statistics.agreement import Agreement, agreement
from traitbench.statistics.prediction_powered import (
    Corrected,
    CorrectedDifference,
    corrected_difference,
    corrected_mean,
)
from traitbench.tables import Table, interval, number
from traitbench.types import Record, Trait

__all__ = ["Annotations", "Cell", "Contrast", "Scored", "annotated", "tables"]

Array = NDArray[np.float64]


class Scored(NamedTuple):
    """A reply that judges have scored, of a condition that counts for a trait."""

    id: str
    trait: Trait
    condition: str
    level: float | None
    """Which way the condition aims at the trait: 1 high, -1 low; None: not at it."""
    scores: Mapping[str, float]
    """Judge -> 0 to 5; NaN or missing where it gave none."""


class Cell(Record):
    """A judge on the replies of one condition to the questions about one trait."""

    trait: Trait
    condition: str
    judge: str
    mean: Corrected
    """What people would give on average: the judge's scores of all replies corrected by people's of some (PPI++)."""


class Contrast(Record):
    """A judge's high minus low on one trait, as it is and corrected."""

    trait: Trait
    judge: str
    high: str
    """The condition."""
    low: str
    uncorrected: float | None
    """Of the judge's means over all replies."""
    uncorrected_ci: tuple[float, float] | None = None
    """Welch's; it covers replies, not what is wrong with the judge."""
    corrected: CorrectedDifference


class Annotations(Record):
    """What people said of a run's replies, and what that says of its judges."""

    results: str
    """Name of the results file."""
    raters: dict[str, int]
    """Person -> replies rated."""
    blank: dict[str, int]
    """Person -> replies left out."""
    texts: int
    """Replies with a rating of anybody."""
    cannot_tell: int
    """Ratings that were "cannot tell": no number, so that the reply is without one of that person."""
    people: Agreement
    """Of people with each other."""
    judges: dict[str, Agreement]
    """Judge -> its agreement with the mean of people's ratings."""
    cells: list[Cell]
    contrasts: list[Contrast]


def annotated(
    results: str, replies: Sequence[Scored], given: Sequence[Rated], iterations: int = 2000, seed: int = 0
) -> Annotations:
    """Set people's ratings beside the scores of judges.

    `replies` are all of the run that may have been drawn, whether rated or not: they must be those that the rated ones
    are a random part of, within each trait and condition.
    """
    ids = [reply.id for reply in replies]
    rows = np.array([[_rating(one, id) for one in given] for id in ids]).reshape(len(ids), len(given))
    some = np.isfinite(rows).any(axis=1)
    mean = np.full(len(ids), np.nan)
    mean[some] = np.nanmean(rows[some], axis=1)
    judges = list(dict.fromkeys(name for reply in replies for name in reply.scores))
    scores = {name: np.array([reply.scores.get(name, math.nan) for reply in replies]) for name in judges}
    cells: dict[tuple[Trait, str], list[int]] = defaultdict(list)
    for place, reply in enumerate(replies):
        cells[reply.trait, reply.condition].append(place)
    return Annotations(
        results=results,
        raters={one.rater: len(one.ratings) for one in given},
        blank={one.rater: one.blank for one in given},
        texts=int(some.sum()),
        cannot_tell=sum(rating is None for one in given for rating in one.ratings.values()),
        people=agreement(rows[some], "ordinal", iterations, seed),
        judges={
            name: agreement(np.column_stack([mean, values])[some], "interval", iterations, seed)
            for name, values in scores.items()
        },
        cells=[
            Cell(trait=trait, condition=condition, judge=name, mean=corrected_mean(scores[name][at], mean[at]))
            for name in judges
            for (trait, condition), at in cells.items()
        ],
        contrasts=[found for name in judges for found in _contrasts(name, scores[name], mean, replies, cells)],
    )


def _rating(one: Rated, id: str) -> float:
    value = one.ratings.get(id)
    return math.nan if value is None else float(value)


def _contrasts(
    judge: str, scores: Array, ratings: Array, replies: Sequence[Scored], cells: Mapping[tuple[Trait, str], list[int]]
) -> list[Contrast]:
    out = []
    for trait in dict.fromkeys(trait for trait, _ in cells):
        poles: dict[float, tuple[str, list[int]]] = {}
        for (of, condition), at in cells.items():
            level = replies[at[0]].level
            if of == trait and level in (1.0, -1.0):
                poles.setdefault(level, (condition, at))
        if len(poles) < 2:
            continue
        (high, a), (low, b) = poles[1.0], poles[-1.0]
        value, ci = _welch(scores[a], scores[b])
        out.append(Contrast(
            trait=trait, judge=judge, high=high, low=low, uncorrected=value, uncorrected_ci=ci,
            corrected=corrected_difference(scores[a], ratings[a], scores[b], ratings[b]),
        ))  # fmt: skip
    return out


def _welch(a: Array, b: Array) -> tuple[float | None, tuple[float, float] | None]:
    """Difference of means with Welch's 95 % interval."""
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    if not len(a) or not len(b):
        return None, None
    value = float(a.mean() - b.mean())
    if len(a) < 2 or len(b) < 2:
        return value, None
    parts = [(float(x.var(ddof=1)) / len(x), len(x) - 1) for x in (a, b)]
    total = sum(part for part, _ in parts)
    if total == 0:
        return value, (value, value)
    df = total**2 / sum(part**2 / free for part, free in parts)
    half = float(special.stdtrit(df, 0.975)) * math.sqrt(total)
    return value, (value - half, value + half)


def tables(found: Annotations) -> list[Table]:
    """Agreement, and contrasts with and without people."""
    rows = [_agreement_row("people", found.people), *(_agreement_row(n, a) for n, a in found.judges.items())]
    missing = sum(found.blank.values())
    raters = ", ".join(f"{name} {many}" for name, many in found.raters.items())
    notes = [
        f"{found.texts} replies; ratings: {raters}; {found.cannot_tell} times cannot tell, {missing} left out",
        "people: with each other; a judge: with the mean of people's ratings",
    ]
    out = [Table(
        title="Human ratings", columns=["who", "ICC(2,1)", "ICC(2,k)", "alpha", "texts", "remark"], rows=rows,
        notes=notes,
    )]  # fmt: skip
    if found.contrasts:
        lines = [[
            one.judge, one.trait, interval(one.uncorrected, one.uncorrected_ci),
            interval(one.corrected.value, one.corrected.ci),
            f"{number(one.corrected.a.weight)}, {number(one.corrected.b.weight)}",
            f"{one.corrected.a.rated} of {one.corrected.a.texts}, {one.corrected.b.rated} of {one.corrected.b.texts}",
            one.corrected.reason or "–",
        ] for one in found.contrasts]  # fmt: skip
        out.append(Table(
            title="High minus low, points of 0 to 5",
            columns=["judge", "trait", "as judged", "corrected by people", "weight", "rated", "remark"], rows=lines,
            notes=["corrected: PPI++ (Angelopoulos, Duchi & Zrnic 2023), which covers what people would give to all "
                   "replies however wrong the judge is; weight: of the judge, of high and of low"],
        ))  # fmt: skip
    return out


def _agreement_row(name: str, found: Agreement) -> list[str]:
    return [
        name, interval(found.single, found.single_ci), interval(found.mean, found.mean_ci),
        interval(found.alpha, found.alpha_ci), str(found.texts), found.reason or "–",
    ]  # fmt: skip
