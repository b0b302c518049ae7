"""The gap: how far a control moves what a model says of itself, beside how far it moves what the model does.

Self-report alone is no evidence of behaviour. Which task is evidence of what each task says (`Task.evidence`); the item
shifts are those by which runs are compared (`Task.shifts`), so any task that has both is set beside the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from traitbench.samples import Sample
from traitbench.tables import Table
from traitbench.tasks.across import Across, Joined, Told
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.board import Cell, Entry
from traitbench.tasks.gap.board import KEY, apart, board_table, cells, lines
from traitbench.tasks.gap.effects import Pairing, Side, pairings
from traitbench.tasks.gap.tables import gap_table
from traitbench.tasks.task import Task

if TYPE_CHECKING:
    from traitbench.charts.chart import Figure

__all__ = ["GapBlock", "Gaps"]


class GapBlock(Block):
    """Every self-report task of a run beside every kind of behaviour."""

    kind: Literal["gap"] = "gap"
    pairings: list[Pairing]


class Gaps(Across):
    """Self-report against behaviour."""

    @classmethod
    def block(cls) -> type[Block]:
        """Effects of both kinds on one scale, and their differences."""
        return GapBlock

    def join(self, facts: Facts, tasks: Mapping[str, Task], samples: Mapping[str, Sequence[Sample]]) -> GapBlock | None:
        """Set both kinds beside each other; None where one is not in the run, or nothing was aimed at."""
        if {"self-report", "behaviour"} - {tasks[name].evidence for name in samples}:
            return None
        sides = []
        for name, rows in samples.items():
            evidence = tasks[name].evidence
            if evidence is None:
                continue
            found: dict[str, dict[tuple[str, str], Any]] = {}
            for shift in tasks[name].shifts(facts, rows):
                if shift.part.sized:
                    found.setdefault(shift.filter, {})[shift.design, shift.part.name] = shift.part
            sides += [Side(name, filter, evidence, parts) for filter, parts in found.items()]
        made = pairings(sides)
        return GapBlock(pairings=made) if made else None

    def tables(self, block: Block) -> list[Table]:
        """A table of all targets."""
        return [gap_table(cast(GapBlock, block).pairings)]

    def figures(self, shown: Sequence[Joined]) -> list[Figure]:
        """Self-report against behaviour, a figure for each two that are set beside each other."""
        from traitbench.tasks.gap.figures import gap_figures

        return gap_figures([(one.label, cast(GapBlock, one.block).pairings) for one in shown])

    def arrows(self, rows: Sequence[tuple[str, Entry]]) -> list[Figure]:
        """An arrow a run from no control to what its control did, a figure for each two that are set beside each other.

        What a single run holds both of is drawn by `figures`, target by target.
        """
        from traitbench.tasks.gap.figures import gap_arrows

        return gap_arrows([(label, entry.run, entry.task, entry.joined.get(KEY, {})) for label, entry in rows])

    def beside(self, told: Sequence[Told]) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
        """The mean gap beside each row of self-report: of its own run, else of another one with the same controls."""
        return lines(told)

    def cells(self, lines: Sequence[Mapping[str, Any]]) -> dict[str, Cell]:
        """Self-report, behaviour and gap."""
        return cells(lines)

    def apart(self, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Cell]]:
        """A line a kind of behaviour."""
        return [apart(line) for line in lines]

    def board(self, entries: Sequence[Entry]) -> list[Table]:
        """One table of all runs that have both."""
        return board_table(entries)
