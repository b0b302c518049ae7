"""A task on the leaderboard: the numbers of a run's row, and what of it is ranked against whom."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pydantic import Field

from traitbench.tasks.verdict import Word
from traitbench.types import Record

__all__ = ["Cell", "Contender", "Entry", "Row", "standing"]


class Contender(Record):
    """A number that is ranked among the others of its group.

    A rank is one plus the contenders whose interval lies wholly on the better side.
    """

    name: str
    """Of the row that it stands for, unlike the others of the run."""
    value: float | None
    ci: tuple[float, float] | None
    """95 %."""
    higher_is_better: bool = True
    group: str = ""
    """Names what was asked, where runs of one task and filter differ in it; rivals share it."""
    unranked: str = ""
    """Why it may not be ranked; empty where it may."""
    once: Literal["run", "model", "all"] = "run"
    """How often it may stand in a group: once a run; once a model and administration, whichever run brings it; once."""


class Row(Record):
    """One filter (scoring mode) of a run on a task: what its views make of a block."""

    metrics: dict[str, Any]
    """Flat numbers and words; `verdict` and `rank` are known to the frame."""
    contenders: list[Contender] = []
    verdict: Word | Literal[""] = ""
    """Empty where the task gives none."""
    reasons: list[str] = []
    """Of the verdict."""


class Entry(Record):
    """One published run on one task."""

    model: str
    revision: str | None
    method: str
    settings: dict[str, Any]
    method_version: str
    backend: str
    task: str
    kind: str
    """Of the block: by it the views are found."""
    conditions: int
    profiles: int
    """Of these, targets whose levels were drawn independently (`--target profiles`)."""
    respondents: int = 0
    """Simulated respondents; 0: the model answered as itself."""
    n: int
    """Items."""
    limit: int | None
    contaminated: int
    """Of these, items that the method was fitted on; if any, the run is not ranked."""
    metrics: dict[str, dict[str, Any]]
    """Filter -> the numbers of the row, `rank` among them."""
    evaluation_seconds: float | None
    fit_seconds: float | None
    """Over all targets; null where nothing was fitted."""
    stored_parameters: int | None
    """Numbers in the controls' tensors; null where nothing was fitted."""
    administration_hash: str
    run: str
    """The results file, below results/published."""
    label: str = ""
    """A short name, unlike those of the other runs of the task and model; the leaderboard gives it."""
    place: str = Field(default="", exclude=True)
    """The run by name and date, to order by: digests would shuffle the runs of one name."""
    asked: dict[str, Any] = Field(default={}, exclude=True)
    """How the run was asked: orders, symbols, templates and the rest."""
    rows: dict[str, Row] = Field(default={}, exclude=True)
    """What the metrics were made of."""


class Cell(NamedTuple):
    """A number as the overview shows it and as it is sorted by."""

    text: str
    value: float | None = None
    unit: str = ""
    """Keeps apart, in sorting, what cannot be compared."""
    small: str = ""
    """Beside the number, in small print."""


def standing(entry: Entry, filter: str) -> str:
    """What the column of verdicts says: the verdict, or that the test items were fitted on."""
    if entry.contaminated:
        return f"contaminated ({entry.contaminated} item{'' if entry.contaminated == 1 else 's'})"
    return str(entry.metrics[filter].get("verdict") or "–")
