"""Person alignment on the leaderboard: how near each run comes to the same persons, beside what needs no model.

Rows are compared where persons, test items and scoring mode are the same. The trivial baselines stand there once and
are ranked with the rest, so that a reader sees what is beaten; the oracle has a column of its own and no rank.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from traitbench.statistics.thresholds import THRESHOLDS
from traitbench.tasks.block import Facts
from traitbench.tasks.board import Contender, Entry, Part
from traitbench.tasks.findings import FOUND_NOTHING, findings
from traitbench.tasks.person_alignment.rows import NO_CONTROL
from traitbench.types import Record, digest

if TYPE_CHECKING:
    from traitbench.statistics.redraws import Difference
    from traitbench.tasks.person_alignment.alignment import AlignmentRow
    from traitbench.tasks.person_alignment.summary import Near


__all__ = [
    "Apart",
    "Line",
    "Metrics",
    "PersonRow",
    "contender",
    "head",
    "held",
    "is_fitted",
    "lines",
    "person_rows",
    "persons_hash",
]

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
    """One plus the rows of the same table that are significantly nearer, by paired tests over the persons and Holm over
    all pairs; null where `unranked` says why."""
    rank_high: int | None = None
    """How many rows are not significantly farther, itself among them."""
    superiority: float | None = None
    """Probability that the row is nearer than another of the table that has a rank; mean over the others."""


class Metrics(Record):
    """One run in one scoring mode."""

    unit: str = "scale points, summed over traits"
    persons_hash: str
    """Names the persons aimed at and the test items; rows of persons are compared where it is the same."""
    option_mass: float | None
    position_bias: float | None
    acquiescence: float | None
    invalid: float | None
    respondents: int
    perplexity: float | None
    """Damage: the largest perplexity of neutral text under a control as the method made it, over that without."""
    dose: float | None
    """Median over those conditions of the size of the edits beside the activations that they change."""
    verdict: str
    rank: int | None = None
    """Of the run's own row: its method's, or that without control."""
    rank_high: int | None = None
    superiority: float | None = None
    persons: list[PersonRow]


class Line(NamedTuple):
    """A row of a table, and the run that it is taken from."""

    entry: Entry
    row: PersonRow


def persons_hash(task: str, version: str, items: int, facts: Facts) -> str:
    """Name the persons and the test items: rows are compared where it is the same."""
    return digest({"persons": facts.persons, "items": [task, version, items]})


def person_rows(near: Near, facts: Facts, contaminated: int) -> list[PersonRow]:
    """The rows of one run: trivial baselines, no control, the method and its parts. Other strengths are left out."""
    method = str(facts.method["name"])
    kinds: dict[str, Literal["no control", "method", "part"]] = {
        NO_CONTROL: "no control", method: "method", **{f"{method}, {part}": "part" for part in PARTS},
    }  # fmt: skip
    return [
        _row(near, facts, row, "baseline" if row.kind == "baseline" else kinds[row.name], contaminated)
        for row in near.alignment.rows
        if row.kind == "baseline" or row.name in kinds
    ]


def _row(
    near: Near, facts: Facts, row: AlignmentRow, kind: Literal["baseline", "no control", "method", "part"],
    contaminated: int,
) -> PersonRow:  # fmt: skip
    found = near.alignment
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
        unranked=_unranked(near, facts, row, kind, contaminated),
    )


def _apart(difference: Difference | None) -> Apart | None:
    if difference is None:
        return None
    return Apart(to=difference.to, value=difference.value, ci=difference.ci)


def _unranked(near: Near, facts: Facts, row: AlignmentRow, kind: str, contaminated: int) -> str:
    """Say why a row may not be ranked: what it was fitted on, how its answers were given, what was asked."""
    if is_fitted(row.name, kind) and (found := findings(facts)) and found.whole:
        return FOUND_NOTHING
    if kind in ("method", "part"):
        if contaminated:
            return f"contaminated ({contaminated} items)"
        if near.verdict.verdict == "not interpretable":
            return "not interpretable"
    if kind != "baseline" and (reason := _answers(near, facts, row, kind)):
        return reason
    if (limit := facts.config.get("limit")) is not None:
        return f"first {limit} items"
    if row.mae_sum.value is None:
        return "no value"
    return "" if row.mae_sum.ci else "no interval"


def is_fitted(name: str, kind: str) -> bool:
    """Whether the row rests on what was fitted; a control's messages alone do not."""
    return kind in ("method", "part") and not name.endswith(f", {PROMPT_ONLY}")


def _answers(near: Near, facts: Facts, row: AlignmentRow, kind: str) -> str:
    """Whether the answers of the row itself say anything: those of its conditions, and all of them together."""
    part = row.name.rpartition(", ")[2] if kind == "part" else None
    if kind == "no control":
        names = [facts.conditions[0].name]
    else:
        mine = [c for c in facts.conditions if c.person is not None]
        names = [c.name for c in mine if (c.headline if part is None else c.variant == part)]
    styles = [s for name in names if (s := near.response_style.get(name)) is not None]
    limit = THRESHOLDS["degenerate"].caution
    if 2 * sum(s.degenerate for s in styles) > len(styles) or max(row.options, default=0) >= limit:
        return "degenerate"
    if kind == "no control" and any(f.startswith("not interpretable") for s in styles for f in s.flags.values()):
        return "not interpretable"
    return ""


def contender(row: PersonRow, group: str, found: AlignmentRow) -> Contender:
    """The row among those of the same persons and items; by the persons' own errors, which `found` has, it is compared.

    Each baseline stands there once, and `no control` once a model and administration.
    """
    once: dict[str, Literal["run", "model", "all"]] = {"baseline": "all", "no control": "model"}
    return Contender(
        name=row.name, value=row.error, ci=row.error_ci, higher_is_better=False, group=group, unranked=row.unranked,
        once=once.get(row.kind, "run"), fitted=is_fitted(row.name, row.kind),
        parts=[Part(name="persons", values={id: [person.mae_sum] for id, person in found.persons.items()})],
    )  # fmt: skip


def held(entry: Entry, mode: str) -> Metrics:
    """The metrics of an entry, as they were made."""
    return Metrics.model_validate(entry.metrics[mode])


def lines(entries: Iterable[Entry], mode: str) -> list[Line]:
    """Make the rows of one table from runs with the same persons and items, nearest first, whatever their order.

    Each baseline stands there once, and `no control` once a model and administration: from the run without a method,
    where there is one.
    """
    found: dict[tuple[str, ...], Line] = {}
    for entry in sorted(entries, key=lambda e: (_controlled(held(e, mode).persons), e.place)):
        for row in held(entry, mode).persons:
            found.setdefault(_key(entry, row), Line(entry, row))
    return sorted(found.values(), key=lambda line: _order(line.row, line.entry.place))


def _controlled(rows: Sequence[PersonRow]) -> bool:
    return any(row.kind == "method" for row in rows)


def _key(entry: Entry, row: PersonRow) -> tuple[str, ...]:
    if row.kind == "baseline":
        return (row.name,)
    if row.kind == "no control":
        return row.name, entry.model, str(entry.revision), entry.backend, entry.administration_hash
    return row.name, entry.run


def _order(row: PersonRow, run: str) -> tuple[bool, float, str, str]:
    return row.error is None, row.error or 0.0, row.name, run


def head(rows: Sequence[PersonRow]) -> PersonRow | None:
    """The row that stands for a run: its method's, or that without control."""
    return next((row for kind in ("method", "no control") for row in rows if row.kind == kind), None)
