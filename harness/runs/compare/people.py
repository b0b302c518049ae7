"""A run beside people: whether the items keep for simulated respondents the meaning that they have for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.answers.analyze import analyze
from traitbench.answers.functioning import Functioning, functioning, functioning_tables
from traitbench.answers.reading import Answers
from traitbench.errors import BadData, TraitbenchUsage
from traitbench.runs.finished import current, graded
from traitbench.runs.people import table_of
from traitbench.statistics.thresholds import THRESHOLDS
from traitbench.tables import Table
from traitbench.tasks.answered import Answered
from traitbench.tasks.task import Task
from traitbench.types import Record

if TYPE_CHECKING:
    from traitbench.inventories import Item

__all__ = ["Beside", "PeopleComparison", "Reading", "compare_people", "people_tables"]

MOST = 2
"""People a respondent that are compared. The size of DIF is a share of what all answers vary by: in a crowd of people,
a few respondents may answer an item as they like and add next to nothing to it."""


class Reading(NamedTuple):
    """How a table of answers is to be read (see `open_answers`)."""

    keyed: bool | None = None
    """Whether minus-keyed items are reversed already; None: it was not said."""
    coding: tuple[int, int] | None = None
    missing: Sequence[float] = ()
    columns: Mapping[str, str] | None = None


class Beside(Record):
    """The simulated respondents of one condition beside people."""

    scoring: str
    """Scoring mode."""
    condition: str
    respondents: int
    functioning: Functioning


class PeopleComparison(Record):
    """What `traitbench compare` prints of a run and a table of people's answers."""

    run: str
    """The results file."""
    table: str
    task: str
    people: int
    """Rows with an answer in the table."""
    compared: int
    """Of these, how many were compared."""
    items: int
    """That both have."""
    conditions: list[Beside]
    notes: list[str]


def compare_people(run: str | Path, table: Path, how: Reading, tell: Callable[[str], None]) -> PeopleComparison:
    """Compare the respondents of every condition of a run with the people of a table, scale by scale.

    TraitbenchUsage where `how` does not say how the table is keyed. BadData where the run has too few respondents or
    several designs, the table has no item of its tasks, or its answers contradict the keying.
    """
    if how.keyed is None:
        raise TraitbenchUsage(
            f"{table}: say how it is coded; --keyed if minus-keyed items are reversed already, --raw if the answers "
            "are as given"
        )
    paths = current(run, tell)
    if len(paths) > 1:
        raise BadData(f"{run} holds {len(paths)} results; name one: {', '.join(map(repr, map(str, paths)))}")
    kept, samples, tasks = graded(paths[0])
    answers = _read_by(run, table, how, tasks)
    task = next(task for task in tasks.values() if task.inventory is answers.inventory)
    # The answers must bear out their keying, as in `analyze`.
    found = analyze(table, answers.inventory, how.keyed, coding=how.coding, missing=how.missing, columns=how.columns)
    for warning in found.warnings:
        tell(f"{table}: {warning}")
    held = task.answered(kept, samples[task.id])
    _require_respondents(run, task, held)
    every = np.concatenate([np.asarray(batch, dtype=float) for batch in answers.batches(how.keyed)])
    ids = [item.id for item in answers.items]
    shared = [item for item in held[0].items if item.id in ids]
    if not shared:
        raise BadData(f"{table} has none of the items that {run} asked; repeat the `traitbench run` without --limit")
    most = MOST * max(len(one.values) for one in held)
    people = _drawn(every[:, [ids.index(item.id) for item in shared]], most, kept.seed)
    return PeopleComparison(
        run=str(paths[0]), table=str(table), task=task.id, people=len(every), compared=len(people), items=len(shared),
        conditions=[_beside(people, shared, one, table.name) for one in held],
        notes=_notes(len(every), people, answers, shared),
    )  # fmt: skip


def _read_by(run: str | Path, table: Path, how: Reading, tasks: Mapping[str, Task]) -> Answers:
    """Open the table by the instrument of the run whose items it has."""
    held = [task.inventory for task in tasks.values() if task.inventory is not None]
    try:
        return table_of(table, held, how.coding, how.missing, how.columns)
    except BadData as error:
        if len(held) == 1:
            raise
        names = ", ".join(tasks)
        if not held:
            raise BadData(f"{run}: none of its tasks ({names}) is an instrument that people answered") from None
        raise BadData(f"{error}. The run's tasks are {names}") from None


def _require_respondents(run: str | Path, task: Task, held: Sequence[Answered]) -> None:
    least, n = THRESHOLDS["respondents"].caution, max((len(one.values) for one in held), default=0)
    if n < least:
        raise BadData(
            f"{run} has {n or 'no'} simulated respondents that chose or wrote answers; expected at least {least:g} "
            f"to set beside people: traitbench run ... --tasks {task.id} --scoring choice --respondents 50"
        )


def _drawn(people: NDArray[np.float64], most: int, seed: int) -> NDArray[np.float64]:
    """At most `most` rows, in their order; of rows without a gap where there are enough."""
    if len(people) <= most:
        return people
    whole = people[~np.isnan(people).any(axis=1)]
    pool = whole if len(whole) >= most else people
    return pool[np.sort(np.random.default_rng(seed).choice(len(pool), most, replace=False))]


def _beside(people: NDArray[np.float64], shared: Sequence[Item], answered: Answered, name: str) -> Beside:
    places = [answered.items.index(item) for item in shared]
    return Beside(
        scoring=answered.filter, condition=answered.condition, respondents=len(answered.values),
        functioning=Functioning(
            first=f"people ({name})", second=answered.condition,
            scales=functioning(people, answered.values[:, places], shared),
        ),
    )  # fmt: skip


def _notes(every: int, people: NDArray[np.float64], answers: Answers, shared: Sequence[Item]) -> list[str]:
    """How the table was read, and who of it was compared on what."""
    whole = "" if np.isnan(people).any() else " of those who answered every item"
    found = []
    if len(people) < every:
        found.append(
            f"{len(people)} of {every} people were compared, {MOST} a respondent, drawn by the run's seed{whole}"
        )
    if len(shared) < len(answers.inventory.items):
        found.append(f"{len(shared)} of {len(answers.inventory.items)} items: those that the run and the table have")
    found += [*answers.notes, *answers.tally.notes()]
    return [f"{note[0].upper()}{note[1:]}." for note in found]


def people_tables(comparison: PeopleComparison) -> list[Table]:
    """A row a scale and condition, and the items that differ."""
    found = [(one.scoring, one.functioning) for one in comparison.conditions]
    first, *others = functioning_tables(found, comparison.task)
    head = f"a: {comparison.run}\nb: {comparison.table}\n"
    return [first.model_copy(update={"title": head + first.title, "notes": [*first.notes, *comparison.notes]}), *others]
