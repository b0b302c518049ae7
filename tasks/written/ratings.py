"""From what judges said of each reply to a table of ratings, judge by judge and over judges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.samples import Sample
from traitbench.tasks.effects import Placed
from traitbench.types import Record, Trait

__all__ = ["MEAN", "RANGE", "Asking", "Place", "Ratings", "asking", "grid", "over_judges",
           "place_of", "ratings", "table"]  # fmt: skip

MEAN = "mean"
"""What the mean over judges is called, where there are several."""
RANGE = 5.0
"""Points from one end of the scale to the other."""


class Place(NamedTuple):
    """Which reply."""

    condition: str
    fit: int | None
    item: str
    template: int
    repeat: int


Ratings = Mapping[tuple[Place, Trait], float]
"""Reply and dimension -> 0 to 5, NaN where the judge was asked and there is no rating."""


class Asking(Record):
    """How one judge answered, over all conditions."""

    n: int
    """Judgements: two of a reply and dimension where both directions of the scale were shown."""
    valid: float
    """Share of them with a rating."""
    abstained: float
    """Share in which it could not tell."""
    unseen: float
    """Share that is no verdict: too little probability on the options, or words that say none."""
    failed: float
    option_mass: float | None
    """Probability of all options, mean."""
    direction_gap: float | None = None
    """Points between the ratings of one reply in the two directions of the scale, mean; null where there is one."""
    direction_bias: float | None = None
    """The same with its sign: above 0 where it likes high numbers, whatever they stand for."""
    spread: float | None = None
    """SD of its ratings over replies, own trait of the question, in points."""


def ratings(rows: Sequence[Sample]) -> dict[str, dict[tuple[Place, Trait], float]]:
    """Judge -> its ratings, in the order in which judges were asked; `rows` are judgements.

    A rating is the mean over both directions of the scale: where one of them has none, the rating is missing, since a
    liking for high numbers would be left in it.
    """
    found: dict[str, dict[tuple[Place, Trait], list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.judge is not None and row.against is None:
            value = row.value_raw if row.status == "valid" and row.value_raw is not None else np.nan
            found[row.judge][place_of(row), row.trait].append(value)
    return {judge: {key: fmean(told) for key, told in mine.items()} for judge, mine in found.items()}


def over_judges(found: Mapping[str, Ratings]) -> dict[tuple[Place, Trait], float]:
    """The mean over the judges that have a say on a dimension; missing where one of these has no rating of a reply."""
    say = {judge: {dimension for _, dimension in mine} for judge, mine in found.items()}
    every = dict.fromkeys(key for mine in found.values() for key in mine)
    return {
        (place, dimension): fmean(
            mine.get((place, dimension), np.nan) for judge, mine in found.items() if dimension in say[judge]
        )
        for place, dimension in every
    }


def asking(rows: Sequence[Sample], mine: Ratings, own: Mapping[str, Trait]) -> Asking:
    """How one judge answered: `rows` are its judgements, `own` item -> the trait that the question is about."""
    shares = {status: sum(row.status == status for row in rows) / len(rows) for status in _TOLD}
    masses = [row.option_mass for row in rows if row.option_mass is not None]
    both: dict[tuple[Place, Trait], dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row.order and row.status == "valid" and row.value_raw is not None:
            both[place_of(row), row.trait][row.order] = row.value_raw
    gaps = [told["forward"] - told["reverse"] for told in both.values() if len(told) == 2]
    rated = np.array([v for (place, dimension), v in mine.items() if dimension == own[place.item]], dtype=float)
    rated = rated[np.isfinite(rated)]
    return Asking(
        n=len(rows), valid=shares["valid"], abstained=shares["abstained"], unseen=max(1 - sum(shares.values()), 0.0),
        failed=shares["error"], option_mass=fmean(masses) if masses else None,
        direction_gap=fmean(map(abs, gaps)) if gaps else None, direction_bias=fmean(gaps) if gaps else None,
        spread=float(rated.std()) if rated.size else None,
    )  # fmt: skip


_TOLD = ("valid", "abstained", "error")


def grid(
    values: Mapping[Place, float], condition: str, units: Sequence[Placed], templates: Sequence[int]
) -> NDArray[np.float64]:
    """Value of each unit under each template and fit of one condition, (units, templates, fits), mean over repeats.

    NaN where there is none. A condition that was not fitted, or once only, has one fit.
    """
    mine = {place: value for place, value in values.items() if place.condition == condition}
    fits: list[int | None] = [*sorted({place.fit for place in mine if place.fit is not None})] or [None]
    cells: dict[tuple[str, int, int | None], list[float]] = defaultdict(list)
    for place, value in mine.items():
        if np.isfinite(value):
            cells[place.item, place.template, place.fit].append(value)
    out = np.full((len(units), len(templates), len(fits)), np.nan)
    for i, unit in enumerate(units):
        for j, template in enumerate(templates):
            for k, fit in enumerate(fits):
                if told := cells.get((unit.id, template, fit)):
                    out[i, j, k] = fmean(told)
    return out


def table(found: Sequence[Ratings], dimension: Trait, own: Mapping[str, Trait]) -> NDArray[np.float64]:
    """Ratings of all replies to questions about a dimension, on that dimension: (replies, judges), NaN for none."""
    places = dict.fromkeys(place for mine in found for place, rated in mine if rated == dimension == own[place.item])
    return np.array([[mine.get((place, dimension), np.nan) for mine in found] for place in places]).reshape(
        len(places), len(found)
    )


def place_of(row: Sample) -> Place:
    """Which reply a sample is, or is about."""
    return Place(row.condition, row.fit, row.item, row.template, row.repeat)
