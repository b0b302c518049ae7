"""A line of the board: what a run did on one instrument, in the terms that the board draws, whatever the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from traitbench.charts.chart import Estimate
from traitbench.tasks.board import Cell, Entry

__all__ = ["Dot", "People", "Standing", "plainly"]


class Dot(NamedTuple):
    """One target of a run."""

    label: str
    shift: Estimate
    """In the direction aimed at."""
    ok: bool
    """Whether it moved as aimed beyond doubt."""
    reasons: Sequence[str] = ()
    """Why not."""


class People(NamedTuple):
    """Distance of a run's trait correlations to those of people, beside what says how far that is. Never ranked."""

    distance: float
    identity: float | None
    """The same for traits that have nothing to do with each other."""
    sampled: Estimate
    """The same for people themselves, in samples of the same size: mean and 95 % range."""
    reference: str
    """The people."""
    mode: str
    """What the correlations are over."""


class Standing(NamedTuple):
    """One line. Lines that share task, filter and `group` were asked the same and stand in one table."""

    entry: Entry
    label: str
    """Unlike those of the other lines of the table and model."""
    value: Estimate
    """The number that is ranked, with its 95 % interval."""
    measure: str
    """What it is, in a word: effect."""
    unit: str = ""
    places: int = 2
    higher_is_better: bool = True
    does: str = "scores best"
    """What the first of the table does, as a sentence about it goes on."""
    group: str = ""
    group_title: str = ""
    """The group in words, its parts joined by semicolons."""
    trivial: bool = False
    """It controls nothing: a baseline, or the model as it is."""
    rank: int | None = None
    """The lowest rank that it may have."""
    rank_high: int | None = None
    """The highest; null where only one number is known."""
    unranked: str = ""
    """Why it has no rank."""
    verdict: str = ""
    reasons: Sequence[str] = ()
    """Of the verdict; those of single targets stand with their dots."""
    dots: Sequence[Dot] = ()
    """In the order of the targets."""
    specific: Estimate = Estimate(None)
    """The effect less what made everything look better or worse."""
    leakage: float | None = None
    damage: float | None = None
    """Perplexity of plain prose over that of the plain model; null where nothing is edited."""
    people: People | None = None
    superiority: float | None = None
    covers: Sequence[str] = ()
    """What the interval covers."""
    beside: Mapping[str, Cell] = {}
    """Column -> further numbers that this kind of task shows."""
    more: Mapping[str, Cell] = {}
    """Column -> numbers that are shown on demand."""


def plainly(entry: Entry, filter: str) -> Standing:
    """The line of a row that only its contenders tell of: the first of them is its number."""
    row, metrics = entry.rows[filter], entry.metrics[filter]
    told = next(iter(row.contenders), None)
    return Standing(
        entry=entry,
        label=entry.label,
        value=Estimate(told.value, *(told.ci or (None, None))) if told else Estimate(None),
        measure=told.name if told else "",
        higher_is_better=told.higher_is_better if told else True,
        group=told.group if told else "",
        trivial=told is None,
        rank=metrics.get("rank"),
        rank_high=metrics.get("rank_high"),
        superiority=metrics.get("superiority"),
        unranked=told.unranked if told else "",
        verdict=row.verdict,
        reasons=row.reasons,
    )
