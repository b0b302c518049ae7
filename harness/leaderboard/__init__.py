"""The leaderboard: pure functions over the published results files. It knows no task, method or backend by name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from traitbench.errors import BadData
from traitbench.leaderboard.labels import labelled
from traitbench.leaderboard.ranking import ranked
from traitbench.runs.folders import without_digest
from traitbench.runs.results import SCHEMA_VERSION as CURRENT
from traitbench.runs.results import Results, check_version, expected_sha256
from traitbench.store import check_samples, read_json, samples_file
from traitbench.tables import markdown
from traitbench.tasks import views_of
from traitbench.tasks.board import Entry
from traitbench.types import Record

__all__ = ["SCHEMA_VERSION", "Leaderboard", "board_of", "build", "published_results", "render"]

SCHEMA_VERSION = 4


class Leaderboard(Record):
    """results/leaderboard.json."""

    schema_version: int = SCHEMA_VERSION
    generated_at: str
    """The date of the newest run in it, so that a rebuild gives the same bytes."""
    suite: str
    entries: list[Entry]


def build(published: Path) -> Leaderboard:
    """Read every results file below `published`; BadData where there is none or one is damaged."""
    return board_of(published_results(published))


def board_of(runs: Mapping[str, Results]) -> Leaderboard:
    """The leaderboard of `runs`: results by their path below the published folder."""
    newest, entries = 0.0, []
    for run, results in runs.items():
        newest = max(newest, results.date)
        entries += [entry for task in results.tasks if (entry := results.entry(task, run)).rows]
    entries.sort(key=lambda e: (e.task, e.model, e.method, e.place, e.run))
    stamp = datetime.fromtimestamp(newest, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Leaderboard(generated_at=stamp, suite="self-report", entries=ranked(labelled(entries)))


def published_results(published: Path) -> dict[str, Results]:
    """Every results file below `published`, by its path there.

    BadData where there is none, where one is damaged, or where samples are not those that it was computed from.
    """
    paths = sorted(published.glob("*/results_*.json"), key=lambda p: (Path(without_digest(p.as_posix())), p))
    if not paths:
        raise BadData(f"{published} holds no <run>/results_*.json; `traitbench export RUN` publishes a run there")
    found = {}
    for path in paths:
        held = read_json(path)
        check_version(path, held)
        try:
            results = Results.model_validate(held)
            if results.schema_version < CURRENT:
                raise ValueError(f"its schema version is {results.schema_version}, not {CURRENT}")
        except ValueError as error:
            raise BadData(
                f"{path} is no results file of this version: {str(error).splitlines()[0]}; compute it again with "
                f"`traitbench export '{path.parent}' --to '{published}'`"
            ) from None
        for task in results.versions:
            stamp = path.stem.removeprefix("results_")
            check_samples(samples_file(path.parent, task, stamp), expected_sha256(path, results, task))
        found[path.relative_to(published).as_posix()] = results
    return found


def render(board: Leaderboard) -> str:
    """The leaderboard as Markdown: a table a task and scoring mode."""
    legends = [
        line
        for kind in dict.fromkeys(e.kind for e in board.entries)
        for line in views_of(kind).legend([e for e in board.entries if e.kind == kind])
    ]
    out = [
        "# traitbench leaderboard",
        "",
        f"From {len({e.run for e in board.entries})} published runs, the newest of {board.generated_at}. Rebuild with "
        "`make leaderboard`.",
        "A rank is one plus the number of rivals whose interval lies wholly on the better side; runs that are not "
        "interpretable, that were fitted on test items (contaminated), or that aim at nothing, stand in the table "
        "without one.",
        *legends,
        "",
    ]
    for task in dict.fromkeys(e.task for e in board.entries):
        mine = [e for e in board.entries if e.task == task]
        for filter in sorted({f for e in mine for f in e.metrics}, key=lambda f: f != "statement"):
            asked = [e for e in mine if filter in e.metrics]
            for kind in dict.fromkeys(e.kind for e in asked):
                found = views_of(kind).board(task, filter, [e for e in asked if e.kind == kind])
                out += [text for table in found for text in (markdown(table), "")]
    return "\n".join(out).rstrip() + "\n"
