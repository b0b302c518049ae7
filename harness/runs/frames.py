"""A run's numbers as pandas data frames. pandas is imported when a frame is made, never before.

The columns that every frame of a kind begins with have the same dtype whatever they hold, an empty frame's too: words
are pandas' own text, numbers float64, what is never missing int64, `aimed` boolean. Of the others, those of nothing but
numbers have a dtype of numbers. A value that is missing is NaN, in words too (`aimed`: NA).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitbench.samples import Condition, Sample
from traitbench.store import read_lines
from traitbench.tasks.block import Block
from traitbench.tasks.board import Entry

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["EFFECTS", "ENTRIES", "SAMPLES", "SCORES", "effect_frame", "entry_frame", "sample_frame", "score_frame"]

SCORES = ("task", "condition", "target", "coef", "scoring", "metric", "value", "se", "ci_low", "ci_high")
EFFECTS = (
    "task", "target", "high", "low", "scoring", "metric", "aimed", "value", "se", "ci_low", "ci_high", "verdict",
)  # fmt: skip
SAMPLES = (
    "task", "condition", "target", "coef", "scoring", "item", "trait", "facet", "keyed", "order", "symbols", "template",
    "respondent", "repeat", "judge", "against", "fit", "status", "value_raw", "value_keyed", "option_mass", "loglik",
    "tokens", "reply", "text", "prompt",
)  # fmt: skip
ENTRIES = (
    "task", "scoring", "model", "method", "settings", "row", "rank", "rank_high", "verdict", "conditions", "profiles",
    "n", "limit", "contaminated", "backend", "revision", "evaluation_seconds", "fit_seconds", "stored_parameters",
    "run",
)  # fmt: skip
"""What every frame of its kind begins with, in this order; what a task adds follows."""

_NUMBERS = frozenset({
    "coef", "value", "se", "ci_low", "ci_high", "respondent", "fit", "value_raw", "value_keyed", "option_mass",
    "loglik", "tokens", "rank", "rank_high", "limit", "evaluation_seconds", "fit_seconds", "stored_parameters",
})  # fmt: skip
_COUNTS = frozenset({"keyed", "template", "repeat", "conditions", "profiles", "n", "contaminated"})
"""Of the leading columns: those of numbers that are never missing; what is in neither set, nor `aimed`, is words."""

_SETTINGS = frozenset({"method_version", "kind", "metrics", "administration_hash", "joined"})
"""Of an entry: what is no column."""
Row = dict[str, Any]


def score_frame(
    blocks: Mapping[str, Block], conditions: Sequence[Condition], table: Mapping[str, Mapping[str, Any]]
) -> DataFrame:
    """A row a task, condition, scoring and metric. `table` is the results file's, for blocks of an unknown kind."""
    known = {condition.name: condition for condition in conditions}
    rows = []
    for task, block in blocks.items():
        for row in block.score_rows() or _metric_rows(task, table, conditions):
            mine = known.get(row["condition"])
            told = {"target": mine.target, "coef": mine.coef} if mine else {}
            rows.append({"task": task, **told, **row})
    return _frame(rows, SCORES)


def _metric_rows(task: str, table: Mapping[str, Mapping[str, Any]], conditions: Sequence[Condition]) -> list[Row]:
    """The rows of a block by lm-eval's table, whose keys are the task, of the baseline, and task@condition."""
    lines: dict[str, dict[str, dict[str, Any]]] = {}
    for key, line in table.items():
        if key == task or key.startswith(f"{task}@"):
            name = key.removeprefix(task).removeprefix("@") or conditions[0].name
            lines[name] = {n: value for n, value in line.items() if n != "alias"}
    return [
        row | {"condition": name} for name, line in lines.items() for row in _Listed(kind="", line=line).score_rows()
    ]


class _Listed(Block):
    """One line of lm-eval's table as a block, to read it in the same way."""

    line: dict[str, Any]

    def metrics(self) -> dict[str, dict[str, float | None]]:
        """The line, of no condition in particular."""
        return {"": self.line}


def effect_frame(blocks: Mapping[str, Block]) -> DataFrame:
    """A row a task, contrast, scoring and metric; none of a task that has no effects."""
    return _frame([{"task": task, **row} for task, block in blocks.items() for row in block.effect_rows()], EFFECTS)


def sample_frame(files: Iterable[Path]) -> DataFrame:
    """A row a response, of samples files; published samples hold neither prompts nor texts that are restricted."""
    rows = []
    for sample in (each for file in files for each in read_lines(file, Sample)):
        row = {name: getattr(sample, name, None) for name in SAMPLES}
        row["reply"] = sample.resps[0][0] if sample.scoring == "generate" else None
        row["text"] = sample.doc.get("text")
        row["prompt"] = sample.arguments[0] if sample.arguments else None
        rows.append(row)
    return _frame(rows, SAMPLES)


def entry_frame(entries: Iterable[Entry]) -> DataFrame:
    """A row a run, task and scoring; several where the task has rows of its own there, `row` says which."""
    rows = []
    for entry in entries:
        told = entry.model_dump(mode="json", exclude=set(_SETTINGS))
        told["settings"] = ",".join(f"{key}={value}" for key, value in entry.settings.items())
        for scoring, metrics in entry.metrics.items():
            flat = _flat(metrics)
            held = [each for value in metrics.values() if _is_rows(value) for each in value] or [{}]
            for each in held:
                mine = _flat(each)
                mine = {"row": mine.pop("name"), **mine} if "name" in mine else mine
                rows.append({**told, "scoring": scoring, **flat, **mine})
    return _frame(rows, ENTRIES)


def _is_rows(value: Any) -> bool:
    """Whether it is rows of a table, each with a name; what has none (a run's targets) is no column."""
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) and "name" in each for each in value)


def _flat(metrics: Mapping[str, Any]) -> Row:
    """Numbers and words as they are, an interval as two numbers; what else is nested is left out."""
    out: Row = {}
    for name, value in metrics.items():
        if name == "ci" or name.endswith("_ci"):
            out[f"{name}_low"], out[f"{name}_high"] = value or (None, None)
        elif value is None or isinstance(value, str | int | float):
            out[name] = value
    return out


def _frame(rows: Sequence[Row], first: Sequence[str]) -> DataFrame:
    import pandas

    columns = [*first, *(name for name in dict.fromkeys(n for row in rows for n in row) if name not in first)]
    frame = pandas.DataFrame.from_records(rows, columns=columns)
    for name in first:
        frame[name] = frame[name].astype(_dtype(name))
    for name in columns[len(first) :]:
        held = [row[name] for row in rows if row.get(name) is not None]
        if held and all(isinstance(value, int | float) and not isinstance(value, bool) for value in held):
            frame[name] = pandas.to_numeric(frame[name])
        elif rows and not held:
            frame[name] = frame[name].astype(float)
    return frame


def _dtype(name: str) -> Any:
    """The dtype of a leading column; text is `str` from pandas 3 on, and objects before."""
    import pandas

    if name in _NUMBERS or name in _COUNTS:
        return "float64" if name in _NUMBERS else "int64"
    return "boolean" if name == "aimed" else pandas.Series(["words"]).dtype
