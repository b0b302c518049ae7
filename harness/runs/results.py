"""The results file of a run: lm-eval's keys where they exist, a block a task beside them, all from the samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import ConfigDict, Field, PrivateAttr, SerializeAsAny, field_validator, model_validator

from traitbench.errors import BadData
from traitbench.runs.folders import without_digest
from traitbench.runs.projected import kept
from traitbench.runs.side_effects.records import SideEffects
from traitbench.runs.trained import effort, spent
from traitbench.store import check_samples, samples_file
from traitbench.tasks import ACROSS, block_of, views_of
from traitbench.tasks.across import Joined
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.board import Entry
from traitbench.tasks.findings import findings
from traitbench.tasks.views import Shown, named
from traitbench.types import digest

if TYPE_CHECKING:
    from pandas import DataFrame

    from traitbench.charts.chart import Figure

__all__ = [
    "SCHEMA_VERSION",
    "Kept",
    "Results",
    "UnknownBlock",
    "expected_sha256",
    "row_name",
]

SCHEMA_VERSION = 5


class Kept(Facts):
    """What of a results file the numbers are computed from again, whatever version wrote the rest of it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = 0
    versions: dict[str, str]
    n_responses: dict[str, int]
    samples_sha256: dict[str, str] = {}
    side_effects: SideEffects | None = None


class UnknownBlock(Block):
    """A block of a kind that this installation does not know: kept as it is, and shown as its metrics."""

    model_config = ConfigDict(frozen=True, extra="allow")

    _metrics: dict[str, dict[str, float | None]] = PrivateAttr(default_factory=dict)

    def metrics(self) -> dict[str, dict[str, float | None]]:
        """What the file's `results` hold of the task."""
        return self._metrics


class Results(Facts):
    """results_{date}.json."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: int = SCHEMA_VERSION
    results: dict[str, dict[str, Any]]
    """task or task@condition -> "metric,filter" and "metric_stderr,filter"."""
    configs: dict[str, dict[str, Any]]
    versions: dict[str, str]
    n_shot: dict[str, int] = Field(alias="n-shot")
    higher_is_better: dict[str, dict[str, bool | None]]
    """Null where neither is better, as with the level of a trait."""
    n_samples: dict[str, dict[str, int]] = Field(alias="n-samples")
    n_responses: dict[str, int]
    """task -> lines of its samples file."""
    samples_sha256: dict[str, str] = {}
    """task -> sha256 of those lines, uncompressed; files of older versions have none, and theirs are not checked."""
    n_failed: dict[str, int]
    """task -> calls that ended in an error; `run` then exits with 3."""
    task_hashes: dict[str, str]
    checksum: str = Field(default="", exclude_if=lambda value: not value)
    """In a file: the beginning of the sha256 of all that stands beside it (`runs.sealed`). Not kept once read."""
    uncertainty: dict[str, Any]
    """What all intervals share; a block says what its own are over."""
    tasks: dict[str, SerializeAsAny[Block]]
    """task -> everything that was computed of it; told apart by `kind`."""
    across: dict[str, SerializeAsAny[Block]] = {}
    """What joins tasks."""
    side_effects: SideEffects | None = None
    """What the controls did to lm-eval's tasks (`--side_effects`); null where none was asked."""
    _path: Path | None = PrivateAttr(None)

    @field_validator("checksum", mode="after")
    @classmethod
    def _read(cls, given: str) -> str:
        return ""

    @field_validator("tasks", mode="before")
    @classmethod
    def _tasks(cls, given: Any) -> Any:
        return _blocks(given, block_of)

    @field_validator("across", mode="before")
    @classmethod
    def _across(cls, given: Any) -> Any:
        return _blocks(given, lambda kind: ACROSS.load(kind).block() if kind in ACROSS else None)

    @model_validator(mode="after")
    def _told(self) -> Self:
        """Give each block of an unknown kind the metrics that `results` hold of it."""
        for task, block in self.tasks.items():
            if isinstance(block, UnknownBlock):
                block._metrics = {
                    condition.name: {name: value for name, value in line.items() if name != "alias"}
                    for place, condition in enumerate(self.conditions)
                    if (line := self.results.get(row_name(task, condition.name, place == 0)))
                }
        return self

    @property
    def path(self) -> Path | None:
        """The results file that this was written to or read from; its folder holds the samples. None: of no file."""
        return self._path

    def kept_at(self, path: Path) -> Self:
        """Return the same results, which know that they lie in the file `path`."""
        found = self.model_copy()
        found._path = path
        return found

    def scores(self) -> DataFrame:
        """Return every score as a pandas data frame, a row a task, condition, scoring and metric.

        Columns: `task`; `condition`, with its `target` and the strength `coef` of its edits; `scoring` (choice,
        statement, generate); `metric`, of an inventory the trait; `value`, `se` and the 95 % interval `ci_low`,
        `ci_high`. Inventories add `pomp` (percent of the scale's range), `plus` and `minus` (the key halves), `n` items
        and `unscored`. A value that is missing is NaN.
        """
        from traitbench.runs.frames import score_frame

        return score_frame(self.tasks, self.conditions, self.results)

    def effects(self) -> DataFrame:
        """Return what the control did as a pandas data frame, a row a task, contrast, scoring and metric.

        Columns: `task`; `target`, the trait or condition aimed at; `high` and `low`, the conditions compared;
        `scoring`; `metric`, of an inventory the trait that moved; `aimed`, whether it is the one aimed at; `value`,
        `se`, `ci_low`, `ci_high`; the `verdict` on the scoring. Inventories add `pomp`, `sds` (between-person SDs),
        `d`, `plus`, `minus`, `p` (two-sided, of no shift), `covers` (what the interval is over), of the trait aimed at
        `p_holm` and the `specific` effect with its interval and p, of the contrast `evaluative`, `leakage`, `check`.
        """
        from traitbench.runs.frames import effect_frame

        return effect_frame(self.tasks)

    def samples(self) -> DataFrame:
        """Return every response as a pandas data frame, a row each, from the samples files beside the results.

        Columns: `task`, `condition`, `target`, `coef`, `scoring`; the cell of the grid (`item`, `trait`, `facet`,
        `keyed`, `order`, `symbols`, `template`, `respondent`, `repeat`, `fit`); `judge`, where it is not the model that
        answered, and `against`, the condition of the second reply, where it compares two; `status`; `value_raw`,
        `value_keyed`; `option_mass`, `loglik` (nats) and `tokens`; the written `reply`; `text` of the item and the
        `prompt`, where they are kept. BadData where the files are not there, or are not those that the numbers were
        computed from.
        """
        from traitbench.runs.frames import sample_frame

        if self.path is None:
            raise BadData(
                "these results lie in no file, so there are no samples beside them; expected results of evaluate or "
                "load_results"
            )
        stamp = self.path.stem.removeprefix("results_")
        files = {task: samples_file(self.path.parent, task, stamp) for task in self.versions}
        for task, file in files.items():
            check_samples(file, expected_sha256(self.path, self, task))
        return sample_frame(files.values())

    def leaderboard(self) -> DataFrame:
        """Return the run as the leaderboard would show it, as a pandas data frame: a row a task and scoring.

        Columns: `task`, `scoring`, `model`, `method`, `settings` (those that are not the defaults), `row` (where a task
        has several), `rank` (empty: a run alone has none, see `load_leaderboard`), `verdict`, how much was asked, what
        it cost, `run`, and the task's metrics. A task without an entry has no row.
        """
        from traitbench.runs.frames import entry_frame

        run = f"{self.path.parent.name}/{self.path.name}" if self.path else ""
        return entry_frame(self.entry(task, run) for task in self.tasks)

    def figures(self) -> list[Figure]:
        """Return what the tasks, what joins them, lm-eval's tasks and projections draw of the run, with numbers.

        A notebook shows a figure as it is.
        """
        from traitbench.runs.projected.figures import projected
        from traitbench.runs.side_effects.figures import damages

        out: list[Figure] = []
        for task, block in self.tasks.items():
            out += views_of(block.kind).figures(named([Shown("", task, block, self)]))
        for name, block in self.across.items():
            if name in ACROSS:
                out += ACROSS.load(name)().figures([Joined(self.method["name"], block, self)])
        out += damages(self.side_effects, self.conditions, self.method["name"])
        return [*out, *(projected(kept(self.path), self.conditions, self.method["name"]) if self.path else ())]

    def entry(self, task: str, run: str) -> Entry:
        """Return one task of the run as a row of the leaderboard, without a rank; `run` names the results file."""
        cost, block = spent(self), self.tasks[task]
        rows, found = views_of(block.kind).entry(task, block, self), findings(self)
        if found and found.whole:
            rows = {filter: row.found_nothing() for filter, row in rows.items()}
        return Entry(
            model=self.model_name,
            revision=self.model.get("revision") or self.model.get("weights"),
            method=self.method["name"],
            settings=self.method["settings"],
            method_version=self.method["version"],
            backend=self.model_source,
            task=task,
            kind=block.kind,
            conditions=len(self.conditions),
            profiles=sum(c.profile for c in self.conditions),
            respondents=int(self.administration.get("respondents") or 0),
            n=self.n_samples[task]["effective"],
            limit=self.config.get("limit"),
            contaminated=self.contaminated.get(task, 0),
            findings=found,
            metrics={filter: row.metrics for filter, row in rows.items()},
            capability=self.side_effects.capability if self.side_effects else None,
            evaluation_seconds=self.cost.get("evaluation_seconds"),
            fit_seconds=cost[0] if cost else None,
            stored_parameters=cost[1] if cost else None,
            effort=effort(self),
            administration_hash=digest({"administration": self.administration, "asked": self.task_hashes[task]}),
            run=run,
            place=without_digest(run),
            asked=self._asked(),
            rows=rows,
        )

    def _asked(self) -> dict[str, Any]:
        """What a run aims at, how it was asked and how often fitted; a file by its name alone."""
        target = str(self.config.get("target") or "all").rpartition("/")[2]
        asked = {name: value for name, value in self.administration.items() if name != "scoring"}
        return {"target": target, **asked, "fit_seeds": self.config.get("fit_seeds", 1)}


def expected_sha256(path: Path, held: Kept | Results, task: str) -> str | None:
    """What the samples of `task` beside the results file `path` must digest to; None: older versions did not say.

    BadData where a file that has to say it does not.
    """
    found = held.samples_sha256.get(task)
    if found is None and held.schema_version >= 4:
        raise BadData(
            f"{path} lacks the sha256 of the samples of {task} (samples_sha256), so it was changed; copy it again, or "
            "repeat the `traitbench run` that made it: its responses are kept, so this takes seconds"
        )
    return found


def _blocks(given: Any, known: Callable[[str], type[Block] | None]) -> Any:
    """Read each block by its kind; one of an unknown kind is kept raw."""
    if not isinstance(given, dict):
        return given
    found = {}
    for name, value in given.items():
        if isinstance(value, dict) and isinstance(value.get("kind"), str):
            value = (known(value["kind"]) or UnknownBlock).model_validate(value)
        found[name] = value
    return found


def row_name(task: str, condition: str, baseline: bool) -> str:
    """The key of a condition in lm-eval's `results`."""
    return task if baseline else f"{task}@{condition}"
