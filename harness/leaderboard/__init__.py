"""The leaderboard: pure functions over the published results files. It knows no task, method or backend by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from traitbench.errors import BadData
from traitbench.leaderboard.joined import joined, side_by_side
from traitbench.leaderboard.labels import labelled, left_out
from traitbench.leaderboard.ranking import ranked
from traitbench.runs.folders import without_digest
from traitbench.runs.results import SCHEMA_VERSION as CURRENT
from traitbench.runs.results import Results, expected_sha256
from traitbench.runs.sealed import opened
from traitbench.runs.side_effects import checked
from traitbench.store import check_samples, read_json, samples_file
from traitbench.tables import escaped, markdown
from traitbench.tasks import ACROSS, views_of
from traitbench.tasks.board import Entry
from traitbench.types import Record

__all__ = ["SCHEMA_VERSION", "Leaderboard", "board_of", "build", "published_results", "render"]

SCHEMA_VERSION = 5


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
    return Leaderboard(generated_at=stamp, suite="self-report", entries=joined(ranked(labelled(entries)), runs))


def published_results(published: Path) -> dict[str, Results]:
    """Every results file below `published`, by its path there.

    BadData where there is none, where one is damaged, or where samples are not those that it was computed from.
    """
    paths = sorted(published.glob("*/results_*.json"), key=lambda p: (Path(without_digest(p.as_posix())), p))
    if not paths:
        raise BadData(f"{published} holds no <run>/results_*.json; `traitbench export RUN` publishes a run there")
    found, sums = {}, dict[str, Path]()
    for path in paths:
        held = read_json(path)
        try:
            results = opened(path, held)
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
        checked(path, results.side_effects)
        if (first := sums.setdefault(held["checksum"], path)) != path:
            raise BadData(f"{path} is a copy of {first}, and a run counts once; remove one of the two")
        found[path.relative_to(published).as_posix()] = results.kept_at(path)
    return found


def render(board: Leaderboard) -> str:
    """The leaderboard as Markdown: tables a task and scoring mode, the task with most ranked runs first."""
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
        "",
        *(f"- {line}" for line in (*RANKS, *_unfound(board.entries), *legends, *_left_out(board.entries))),
        "",
    ]
    out += [text for table in side_by_side(board.entries) for text in (markdown(table), "")]
    for name in ACROSS:
        out += [text for table in ACROSS.load(name)().board(board.entries) for text in (markdown(table), "")]
    for task in sorted(dict.fromkeys(e.task for e in board.entries), key=lambda task: -_most_ranked(board, task)):
        mine = [e for e in board.entries if e.task == task]
        for filter in sorted({f for e in mine for f in e.metrics}, key=lambda f: (f != "statement", f)):
            asked = [e for e in mine if filter in e.metrics]
            for kind in dict.fromkeys(e.kind for e in asked):
                found = views_of(kind).board(task, filter, [e for e in asked if e.kind == kind])
                out += [text for table in found for text in (markdown(table), "")]
    return "\n".join(out).rstrip() + "\n"


RANKS = (
    "Rank: every two runs of a table are compared by a test over the same items (or persons), corrected for the number "
    "of comparisons (Holm). 2–4 means: at least one run is better beyond doubt, and four runs are not worse beyond "
    "doubt, this one among them. Runs that share a rank cannot be told apart.",
    "No rank: the interval reaches zero, the effect goes the wrong way, the answers are not interpretable, the method "
    "was fitted on test items (contaminated), or part of the items was asked. Such runs stand below, and hold back "
    "nobody.",
    "P(better): the probability that a run is better than another one with a rank, mean over the others.",
)
"""What every table with ranks has in common."""


def _unfound(entries: Sequence[Entry]) -> list[str]:
    """What it means that nothing was found, where that is said of any run or target."""
    if not any(entry.findings and entry.findings.nothing for entry in entries):
        return []
    return [
        "Found nothing: what was fitted does no better than under shuffled labels of the poles, adjusted over the "
        "run's targets (docs/verdicts.md). A result; where it holds of all targets the run has no rank."
    ]


def _most_ranked(board: Leaderboard, task: str) -> int:
    """Runs with a rank in the task's best filled filter."""
    counts = Counter(f for e in board.entries if e.task == task for f, m in e.metrics.items() if m.get("rank"))
    return max(counts.values(), default=0)


def _left_out(entries: Sequence[Entry]) -> list[str]:
    """Settings that no name holds, since all runs of the method have them."""
    shared = {f"{method} {k}={v}": None for (_, method), mine in left_out(entries).items() for k, v in mine.items()}
    return (
        [f"Left out of the names, since all runs of a method share it: {escaped(', '.join(shared))}."] if shared else []
    )
