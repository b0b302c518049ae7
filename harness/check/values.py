"""The values that are compared: one an item, for each task, scoring mode, condition and trait."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from traitbench.samples import Sample
from traitbench.tasks.block import Facts
from traitbench.types import Mode, Record, Trait

__all__ = ["POINTS", "Line", "lines_of", "unit_of"]

POINTS = "points of the task"
"""Unit of a scale that has no ends."""


class Line(Record):
    """The items of one trait in one condition and scoring mode."""

    task: str
    scoring: Mode
    judge: str | None = None
    """Who rated, where it is not the model that answers."""
    condition: str
    trait: Trait
    unit: str
    """POMP (percent of the scale's range), nats a token, or points of the task."""
    shift: bool
    """Whether the values are shifts from the run's baseline condition; else they are levels."""
    values: dict[str, float | None]
    """Item -> mean over orders, wordings, respondents, repeats and fits, keyed; null where no answer was valid."""

    @property
    def place(self) -> tuple[str, Mode, str | None, str, Trait]:
        """What it is of."""
        return self.task, self.scoring, self.judge, self.condition, self.trait

    @property
    def name(self) -> str:
        """In words."""
        judged = f" by {self.judge}" if self.judge else ""
        return f"{self.task}, {self.scoring}{judged}, {self.condition}: {self.trait}"


def unit_of(row: Sample) -> str:
    """What a sample is a value of: its item, in the context in which it was asked."""
    return row.item if row.context is None else f"{row.item} {row.context}"


def lines_of(task: str, facts: Facts, rows: Sequence[Sample]) -> list[Line]:
    """Sum up the samples of a task, graded, in the order in which they were asked.

    Without a control the value of an item is its level; under a control how far it lies from that, where it was asked
    without one too.
    """
    held: dict[tuple[str, Mode, str | None, str, Trait], dict[str, list[float]]] = {}
    units: dict[tuple[Mode, str | None], str] = {}
    for row in rows:
        mine = held.setdefault((task, row.scoring, row.judge, row.condition, row.trait), defaultdict(list))
        found, (value, unit) = mine[unit_of(row)], _value(row)
        units.setdefault((row.scoring, row.judge), unit)
        if value is not None and row.status == "valid":
            found.append(value)
    plain = facts.conditions[0].name
    means = {place: {u: fmean(v) if v else None for u, v in mine.items()} for place, mine in held.items()}
    graded = {place[:3] for place, values in means.items() if any(v is not None for v in values.values())}
    lines = []
    for place, values in means.items():
        if place[:3] not in graded:
            continue  # replies that others rate have no value of their own
        _, scoring, judge, condition, trait = place
        without = means.get((task, scoring, judge, plain, trait)) if condition != plain else None
        if without is not None:
            values = {unit: _less(value, without.get(unit)) for unit, value in values.items()}
        lines.append(
            Line(
                task=task, scoring=scoring, judge=judge, condition=condition, trait=trait,
                unit=units[scoring, judge], shift=without is not None, values=values,
            )
        )  # fmt: skip
    return lines


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _value(row: Sample) -> tuple[float | None, str]:
    """The keyed value of a sample, and its unit."""
    if row.scoring == "statement":
        return (None if row.value_raw is None else row.keyed * row.value_raw), "nats a token"
    value = row.value_keyed if row.value_keyed is not None else row.value_raw
    ends = row.option_values or ()
    if not ends or min(ends) == max(ends):
        return value, POINTS
    low, high = min(ends), max(ends)
    return (None if value is None else 100 * (value - low) / (high - low)), "POMP"
