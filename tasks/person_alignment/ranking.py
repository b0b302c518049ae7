"""Person alignment on the leaderboard: how near each run comes to the same persons, beside what needs no model.

Rows are compared where persons, test items and scoring mode are the same. The trivial baselines stand there once and
are ranked with the rest, so that a reader sees what is beaten; the oracle has a column of its own and no rank.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from traitbench.statistics.thresholds import THRESHOLDS
from traitbench.tasks.person_alignment.rows import NO_CONTROL
from traitbench.types import Mode, Record, digest

if TYPE_CHECKING:
    from traitbench.leaderboard import Entry
    from traitbench.runs.results import Results
    from traitbench.statistics.redraws import Difference
    from traitbench.tasks.person_alignment.alignment import Alignment, AlignmentRow

__all__ = ["PROMPT_ONLY", "Apart", "Line", "PersonRow", "head", "lines", "person_rows", "persons_hash", "ranked"]

PROMPT_ONLY = "prompt only"
PARTS = (PROMPT_ONLY, "shift only")
"""Parts of a control that has messages and edits, as rows name them."""
Ci = tuple[float, float]


class Apart(Record):
    """The error of a row minus that of another, paired: below 0, it is nearer."""

    to: str
    """The other row."""
    value: float | None
    ci: Ci | None = None
    """95 %."""


class PersonRow(Record):
    """One way of answering in the persons' place. Errors are sums over traits of mean |value - answer|."""

    name: str
    """A trivial baseline, `no control`, the method, or the method and a part of its control."""
    kind: Literal["baseline", "no control", "method", "part"]
    persons: int
    """Persons that entered."""
    error: float | None
    """Of expected values, missing answers left out."""
    error_ci: Ci | None
    """95 %, over persons."""
    argmax: float | None
    """The error of the likeliest option."""
    published: float | None
    """The same as PAPI counts: keyed, a missing answer being an answer of 0."""
    correlation: float | None
    """Mean over persons of r with their own answers."""
    correlation_ci: Ci | None
    coverage: float
    """Share of persons x test items with a valid value."""
    to_nearest: Apart | None
    """Against the nearest trivial baseline."""
    to_prompt: Apart | None
    """Against the same control's messages alone."""
    oracle: float | None
    """With the strength chosen for each person on the test items: a bound, no result, and never ranked."""
    oracle_ci: Ci | None
    unranked: str = ""
    """Why it may not be ranked; empty where it may."""
    rank: int | None = None
    """One plus the rows of the same table whose interval lies wholly below; null where `unranked` says why."""


class Line(NamedTuple):
    """A row of a table, and the run that it is taken from."""

    entry: Entry
    row: PersonRow


def persons_hash(results: Results, task: str) -> str | None:
    """Name the persons and the test items: rows are compared where it is the same. None for a task without persons."""
    if not results.alignment.get(task):
        return None
    items = [task, results.versions[task], results.n_samples[task]["effective"]]
    return digest({"persons": results.persons, "items": items})


def person_rows(results: Results, task: str, mode: Mode) -> list[PersonRow]:
    """The rows of one run: trivial baselines, no control, the method and its parts. Other strengths are left out."""
    found = results.alignment.get(task, {}).get(mode)
    if found is None:
        return []
    method = str(results.method["name"])
    kinds: dict[str, Literal["no control", "method", "part"]] = {
        NO_CONTROL: "no control", method: "method", **{f"{method}, {part}": "part" for part in PARTS},
    }  # fmt: skip
    return [
        _row(results, task, mode, found, row, "baseline" if row.kind == "baseline" else kinds[row.name])
        for row in found.rows
        if row.kind == "baseline" or row.name in kinds
    ]


def _row(
    results: Results, task: str, mode: Mode, found: Alignment, row: AlignmentRow,
    kind: Literal["baseline", "no control", "method", "part"],
) -> PersonRow:  # fmt: skip
    best = next((o for o in found.oracle if kind == "method" and o.sweep == row.name), None)
    alone = (found.reference or "").endswith(f", {PROMPT_ONLY}") and kind in ("method", "part")
    return PersonRow(
        name=row.name,
        kind=kind,
        persons=row.mae_sum.n,
        error=row.mae_sum.value,
        error_ci=row.mae_sum.ci,
        argmax=row.mae_sum_argmax.value,
        published=row.published.value,
        correlation=row.correlation.value,
        correlation_ci=row.correlation.ci,
        coverage=row.coverage,
        to_nearest=_apart(row.to_nearest),
        to_prompt=_apart(row.to_reference) if alone else None,
        oracle=best.mae_sum.value if best else None,
        oracle_ci=best.mae_sum.ci if best else None,
        unranked=_unranked(results, task, mode, row, kind),
    )


def _apart(difference: Difference | None) -> Apart | None:
    if difference is None:
        return None
    return Apart(to=difference.to, value=difference.value, ci=difference.ci)


def _unranked(results: Results, task: str, mode: Mode, row: AlignmentRow, kind: str) -> str:
    """Say why a row may not be ranked: what it was fitted on, how its answers were given, what was asked."""
    if kind in ("method", "part"):
        if count := results.contaminated.get(task, 0):
            return f"contaminated ({count} items)"
        if results.verdict[task][mode].verdict == "not interpretable":
            return "not interpretable"
    if kind != "baseline" and (reason := _answers(results, task, mode, row, kind)):
        return reason
    if (limit := results.config.get("limit")) is not None:
        return f"first {limit} items"
    if row.mae_sum.value is None:
        return "no value"
    return "" if row.mae_sum.ci else "no interval"


def _answers(results: Results, task: str, mode: Mode, row: AlignmentRow, kind: str) -> str:
    """Whether the answers of the row itself say anything: those of its conditions, and all of them together."""
    part = row.name.rpartition(", ")[2] if kind == "part" else None
    if kind == "no control":
        names = [results.conditions[0].name]
    else:
        mine = [c for c in results.conditions if c.person is not None]
        names = [c.name for c in mine if (c.headline if part is None else c.variant == part)]
    styles = [s for name in names if (s := results.response_style[task].get(name, {}).get(mode)) is not None]
    limit = THRESHOLDS["degenerate"].caution
    if 2 * sum(s.degenerate for s in styles) > len(styles) or max(row.options, default=0) >= limit:
        return "degenerate"
    if kind == "no control" and any(f.startswith("not interpretable") for s in styles for f in s.flags.values()):
        return "not interpretable"
    return ""


def lines(entries: Iterable[Entry], mode: Mode) -> list[Line]:
    """Make the rows of one table from runs with the same persons and items, nearest first, whatever their order.

    Each baseline stands there once, and `no control` once a model and administration: from the run without a method,
    where there is one.
    """
    held: dict[tuple[str, ...], Line] = {}
    for entry in sorted(entries, key=lambda e: (e.method != "none", e.place)):
        for row in entry.metrics[mode].persons:
            held.setdefault(_key(entry, row), Line(entry, row))
    return sorted(held.values(), key=lambda line: _order(line.row, line.entry.place))


def _key(entry: Entry, row: PersonRow) -> tuple[str, ...]:
    if row.kind == "baseline":
        return (row.name,)
    if row.kind == "no control":
        return row.name, entry.model, str(entry.revision), entry.backend, entry.administration_hash
    return row.name, entry.run


def _order(row: PersonRow, run: str) -> tuple[bool, float, str, str]:
    return row.error is None, row.error or 0.0, row.name, run


def ranked(entry: Entry, mode: Mode, rivals: Sequence[Line]) -> list[PersonRow]:
    """The rows of `entry` with their ranks among `rivals` (see `lines`), which may hold them or the like of them."""
    bounds = [line.row.error_ci for line in rivals if not line.row.unranked]
    held = {_key(line.entry, line.row): line.row for line in rivals}
    out = []
    for row in entry.metrics[mode].persons:
        standing = held.get(_key(entry, row), row)
        rank = None
        if not standing.unranked and standing.error_ci:
            rank = 1 + sum(ci is not None and ci[1] < standing.error_ci[0] for ci in bounds)
        out.append(row.model_copy(update={"rank": rank}))
    return out


def head(rows: Sequence[PersonRow]) -> PersonRow | None:
    """The row that stands for a run: its method's, or that without control."""
    return next((row for kind in ("method", "no control") for row in rows if row.kind == kind), None)
