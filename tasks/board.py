"""A task on the leaderboard: the numbers of a run's row, and what of it is ranked against whom."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pydantic import Field

from traitbench.tables import interval
from traitbench.tasks.administration import Limit, limited
from traitbench.tasks.findings import FOUND_NOTHING, Findings
from traitbench.tasks.verdict import Word
from traitbench.types import Record

__all__ = [
    "Capability",
    "Cell",
    "Contender",
    "Effort",
    "Entry",
    "Part",
    "Projection",
    "Ranked",
    "Row",
    "capability_cell",
    "projection_cell",
    "rank_text",
    "standing",
    "unranked",
]


class Part(Record):
    """One part of a ranked number, such as one target: a mean over units, by which two contenders are compared."""

    name: str
    """Contenders are compared over the parts that both have."""
    values: dict[str, list[float | None]]
    """Unit (item, person) -> its values, one for each cell of `shape`; null where there is none."""
    over: list[str] = []
    """What else was drawn at random and varies in `values`: templates, fits; empty where a unit has one value."""
    shape: list[int] = []
    """How many of each; the last varies fastest."""
    strata: dict[str, int] = {}
    """Unit -> its stratum, such as the key of an item; empty: there is one."""
    clusters: dict[str, str] = {}
    """Unit -> what it hangs together with, such as the facet of an item; empty: nothing."""
    weights: Literal["items", "halves"] = "items"
    """What counts alike in the mean: each unit, or each stratum."""
    texts: dict[str, dict[Literal["high", "low"], float]] = Field(default={}, exclude_if=lambda value: not value)
    """As `WeighedContrast.texts`."""
    sized: bool = Field(default=True, exclude_if=lambda value: value)
    """Whether d over its units is on one scale with d over single answers."""


class Contender(Record):
    """A number that is ranked among the others of its group.

    Every two of a group are compared by a test: of `parts`, unit by unit, where both have them, else of the two
    intervals as if they were independent, which is the safe side where the units are the same. Of one that may not be
    ranked no comparison is made.
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
    fitted: bool = True
    """Whether it rests on what the run fitted: where that found nothing, it is not ranked. Of what stands in a group
    once a model or once it never does."""
    once: Literal["run", "model", "all"] = "run"
    """How often it may stand in a group: once a run; once a model and administration, whichever run brings it; once."""
    parts: list[Part] = []
    """What it is the mean of; the value is the mean of the parts' means."""


class Ranked(NamedTuple):
    """Where a contender stands in its group; all null where it may not be ranked."""

    rank: int | None = None
    """One plus the number of those that are significantly better."""
    rank_high: int | None = None
    """The number of those that are not significantly worse, itself among them."""
    superiority: float | None = None
    """Probability that it is better than another of the group, mean over the others."""


class Capability(Record):
    """What the controls of a run took from what the model can do, or added to it: lm-eval's tasks, plain beside."""

    value: float | None
    """Change of accuracy: the mean over targets of controlled minus plain; tasks count alike, and documents in them."""
    ci: tuple[float, float] | None = None
    """95 %, over documents, each of which is asked under every condition."""
    n: int = 0
    """Documents."""
    metrics: dict[str, str] = {}
    """Task or group of lm-eval -> the metric that is its accuracy, as "metric,filter"."""
    targets: int = 0
    worst: str | None = None
    """The target under which the mean over tasks fell most."""
    worst_value: float | None = None
    limit: int | None = None
    """Documents a task, where not all were asked."""

    @property
    def text(self) -> str:
        """The change and its interval, in points."""
        ends = (100 * self.ci[0], 100 * self.ci[1]) if self.ci else None
        return interval(None if self.value is None else 100 * self.value, ends, 1)

    @property
    def about(self) -> str:
        """What was asked, in few words: the task, or how many there are, and how much of it."""
        named = next(iter(self.metrics)) if len(self.metrics) == 1 else f"{len(self.metrics)} tasks"
        return named + (f", first {self.limit}" if self.limit is not None else "")


class Projection(Record):
    """How far a run's texts moved along directions that aim at its targets (`traitbench project`).

    In standard deviations of the baseline's texts: the mean over targets, each on its own direction, and layers.
    """

    of: Literal["replies", "prompts"]
    method: str | None = None
    """That made the directions."""
    targets: int
    said: float | None = None
    """Of the replies read by the model without a control: whether the words follow. Prompts have none."""
    said_ci: tuple[float, float] | None = None
    """95 %, over items."""
    inside: float | None = None
    """Of the texts read under the control."""
    inside_ci: tuple[float, float] | None = None


class Effort(Record):
    """What the fits of a run took, and by what they were chosen."""

    steps: tuple[int, int] | None = None
    """Optimiser steps of an adapter, over all its stages: the fewest and the most; null where nothing was trained."""
    tokens: int | None = None
    """Trained on, over all adapters; null where nothing was trained."""
    chosen_on: str
    """What decided between strengths, layers, steps and rates, e.g. "held-out loss"."""


class Row(Record):
    """One filter (scoring mode) of a run on a task: what its views make of a block."""

    metrics: dict[str, Any]
    """Flat numbers and words; `verdict` and `rank` are known to the frame."""
    contenders: list[Contender] = []
    verdict: Word | Literal[""] = ""
    """Empty where the task gives none."""
    reasons: list[str] = []
    """Of the verdict."""

    def found_nothing(self) -> Row:
        """The same row of a run whose fits found nothing: what rests on them is not ranked, and says why."""
        contenders = [
            c.model_copy(update={"unranked": FOUND_NOTHING}) if c.fitted and c.once == "run" else c
            for c in self.contenders
        ]
        told = {"unranked": FOUND_NOTHING} if "unranked" in self.metrics and contenders != self.contenders else {}
        return self.model_copy(update={"contenders": contenders, "metrics": {**self.metrics, **told}})


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
    limit: Limit | None
    contaminated: int
    """Of these, items that the method was fitted on; if any, the run is not ranked."""
    findings: Findings | None = Field(default=None, exclude_if=lambda value: value is None)
    """Whether its fits found anything; written where they test themselves."""
    metrics: dict[str, dict[str, Any]]
    """Filter -> the numbers of the row, `rank` among them."""
    joined: dict[str, dict[str, list[dict[str, Any]]]] = Field(default={}, exclude_if=lambda value: not value)
    """Comparison of tasks -> filter -> what it tells beside the row; written where there is anything."""
    capability: Capability | None = None
    """Of the whole run, whatever the task (`--side_effects`); null where nothing was measured."""
    projection: Projection | None = Field(default=None, exclude_if=lambda value: value is None)
    """Of the whole run, whatever the task (`traitbench project`); written where it was measured."""
    evaluation_seconds: float | None
    fit_seconds: float | None
    """Over all targets; null where nothing was fitted."""
    stored_parameters: int | None
    """Numbers in the controls' tensors; null where nothing was fitted."""
    effort: Effort | None = Field(default=None, exclude_if=lambda value: value is None)
    """Written where the fits say by what they were chosen."""
    administration_hash: str
    run: str
    """The results file, below results/published."""
    label: str = ""
    """A short name, unlike those of the other runs of the task and model; the leaderboard gives it."""
    place: str = Field(default="", exclude=True)
    """The run by name and date, to order by: digests would shuffle the runs of one name."""
    asked: dict[str, Any] = Field(default={}, exclude=True)
    """What the run aims at, how it was asked (orders, symbols, templates and the rest) and how often fitted."""
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


def capability_cell(entry: Entry) -> Cell:
    """What the controls did to lm-eval's tasks; a dash where none was asked."""
    found = entry.capability
    if found is None or found.value is None:
        return Cell("–")
    return Cell(found.text, found.value, unit=" ".join([*sorted(found.metrics), str(found.limit)]), small=found.about)


def projection_cell(entry: Entry) -> Cell:
    """How far the texts moved along the directions of the targets; a dash where that was not looked at."""
    found = entry.projection
    if found is None:
        return Cell("–")
    aside = f"{found.of} along {found.method or 'a control'}"
    if found.said is None:
        return Cell(interval(found.inside, found.inside_ci), found.inside, unit=aside, small=aside)
    small = f"{aside}; inside {interval(found.inside, found.inside_ci)}" if found.inside is not None else aside
    return Cell(interval(found.said, found.said_ci), found.said, unit=aside, small=small)


def standing(entry: Entry, filter: str, unranked: str = "") -> str:
    """What the column of verdicts says: the verdict, or that nothing was found or the test items were fitted on.

    `unranked`: why there is no rank, told where that is not it; then the targets that nothing was found for.
    """
    found = entry.findings
    if found and found.whole:
        return FOUND_NOTHING
    said = str(entry.metrics[filter].get("verdict") or "–")
    if entry.contaminated:
        said = f"contaminated ({entry.contaminated} item{'' if entry.contaminated == 1 else 's'})"
    lacking = f"found nothing for {found.lacking}" if found and found.nothing else ""
    return "; ".join(dict.fromkeys(part for part in (said, unranked, lacking) if part))


def rank_text(low: int | None, high: int | None) -> str:
    """A rank as a range: "2", "1–3"; a dash where there is none."""
    if low is None:
        return "–"
    return str(low) if high is None or high == low else f"{low}–{high}"


def unranked(
    effect: float | None, ci: tuple[float, float] | None, verdict: str, limit: Limit | None, contaminated: int
) -> str:
    """Why an effect in the direction aimed at has no rank; empty where it has one.

    `limit` is --limit, `contaminated` how many of the items the method was fitted on.
    """
    if effect is None:
        return "no effect to rank"
    if verdict == "not interpretable":
        return verdict
    if limit is not None:
        return limited(limit)
    if contaminated:
        return f"contaminated ({contaminated} items)"
    if ci is None:
        return "no interval"
    if ci[0] <= 0 <= ci[1]:
        return "interval reaches zero"
    return "moves against the target" if effect < 0 else ""
