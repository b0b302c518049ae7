"""How person alignment is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, cast

from traitbench.charts.chart import Figure
from traitbench.tables import Table
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.board import Cell, Entry, Ranked, Row
from traitbench.tasks.person_alignment.board import board_tables, overview_cells
from traitbench.tasks.person_alignment.figures import near, persons
from traitbench.tasks.person_alignment.ranking import (
    Metrics,
    PersonRow,
    contender,
    head,
    held,
    person_rows,
    persons_hash,
)
from traitbench.tasks.person_alignment.standing import alignment_standings
from traitbench.tasks.person_alignment.summary import AlignmentBlock, Near
from traitbench.tasks.person_alignment.tables import tables
from traitbench.tasks.standing import Standing
from traitbench.tasks.style_figures import styles_drawn
from traitbench.tasks.style_tables import headed, statement_first, styles, verdicts
from traitbench.tasks.views import Shown, Views

__all__ = ["AlignmentViews"]


class AlignmentViews(Views):
    """Rows of errors beside the trivial baselines, response style and verdicts."""

    def tables(self, task: str, block: Block, facts: Facts) -> list[Table]:
        """Every row beside the trivial baselines, then what the answers rest on."""
        modes = cast(AlignmentBlock, block).modes
        judged = {mode: near.verdict for mode, near in modes.items()}
        out = [table for near in modes.values() for table in tables(near.alignment)]
        out += [styles(task, {m: near.response_style["all"] for m, near in modes.items()}), verdicts(task, judged)]
        return headed(out, judged)

    def figures(self, shown: Sequence[Shown]) -> list[Figure]:
        """The errors of every row, each person's, and how the answers were given."""
        found: list[Figure | None] = []
        blocks = {run.label: cast(AlignmentBlock, run.block).modes for run in shown}
        modes = statement_first(dict.fromkeys(mode for mine in blocks.values() for mode in mine))
        for mode in modes:
            found += [*near(shown, mode), persons(shown, mode)]
        for mode in modes:
            style = {label: mine[mode].response_style["all"] for label, mine in blocks.items() if mode in mine}
            found.append(styles_drawn(shown[0].task, mode, style))
        return [one for one in found if one is not None]

    def entry(self, task: str, block: Block, facts: Facts) -> dict[str, Row]:
        """The rows of the run, ranked among those with the same persons and items."""
        out = {}
        for mode, found in cast(AlignmentBlock, block).modes.items():
            rows = person_rows(found, facts, facts.contaminated.get(task, 0))
            made = _metrics(task, found, facts, rows)
            held_by = {row.name: row for row in found.alignment.rows}
            contenders = [contender(row, made.persons_hash, held_by[row.name]) for row in rows]
            out[str(mode)] = Row(
                metrics=made.model_dump(mode="json"), contenders=contenders, verdict=found.verdict.verdict,
                reasons=found.verdict.reasons,
            )  # fmt: skip
        return out

    def ranked(self, metrics: Mapping[str, Any], ranks: Mapping[str, Ranked]) -> dict[str, Any]:
        """Each row's rank, and that of the row that stands for the run."""
        made = Metrics.model_validate(metrics)
        rows = [row.model_copy(update=ranks[row.name]._asdict()) for row in made.persons]
        own = head(rows)
        told = ranks[own.name] if own else Ranked()
        return made.model_copy(update={"persons": rows, **told._asdict()}).model_dump(mode="json")

    def board(self, task: str, filter: str, entries: Sequence[Entry]) -> list[Table]:
        """One table for each set of persons and items."""
        return board_tables(task, filter, entries)

    def called(self, name: str) -> str:
        """What is done with the instrument comes first."""
        return f"person alignment: {name}"

    def standings(self, filter: str, entries: Sequence[Entry]) -> list[Standing]:
        """The rows of each set of persons and items, the trivial baselines among them."""
        return alignment_standings(filter, entries)

    def glossary(self) -> dict[str, str]:
        """What stands where other tasks have an effect."""
        return {
            "Persons": "Where a control aims at persons, what counts is the distance between its answers and theirs, "
            "in the place of the effect: less is nearer. A guess that needs no model, such as the mean of what the "
            "person said elsewhere, must be beaten first."
        }

    def cells(self, entry: Entry, filter: str) -> dict[str, Cell]:
        """The run's own row: its method's, or that without control."""
        return overview_cells(entry, filter)

    def order(self, entry: Entry, filter: str) -> float:
        """By the error of the run's own row."""
        own = head(held(entry, filter).persons)
        return own.error or 0.0 if own else 0.0


def _metrics(task: str, found: Near, facts: Facts, rows: Sequence[PersonRow]) -> Metrics:
    edited = [c for c in facts.conditions if c.headline and c.perplexity is not None]
    doses = [c.dose for c in edited if c.dose is not None]
    style = found.response_style["all"]
    return Metrics(
        persons_hash=persons_hash(task, found.version, found.alignment.items, facts),
        option_mass=style.option_mass,
        position_bias=style.position_bias,
        acquiescence=style.acquiescence,
        invalid=sum(style.invalid.values()),
        respondents=int(facts.administration["respondents"]),
        perplexity=max((c.perplexity for c in edited if c.perplexity is not None), default=None),
        dose=median(doses) if doses else None,
        verdict=found.verdict.verdict,
        persons=list(rows),
    )
