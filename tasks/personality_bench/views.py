"""How PersonalityBench is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from traitbench.charts.chart import Figure
from traitbench.tables import Table
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.board import Entry, Row
from traitbench.tasks.personality_bench.block import BenchBlock
from traitbench.tasks.standing import Standing
from traitbench.tasks.views import Shown, Views
from traitbench.tasks.written.board import LEGEND, board_tables, row, written_standing
from traitbench.tasks.written.comparison import FILTER
from traitbench.tasks.written.figures import forest
from traitbench.tasks.written.tables import tables

__all__ = ["BenchViews"]


class BenchViews(Views):
    """Effects, other traits, levels, judges with their cards, what was written, and the verdict."""

    def tables(self, task: str, block: Block, facts: Facts) -> list[Table]:
        """Everything a reader of one run needs; the verdict is the first note of every table of ratings."""
        return tables(task, cast(BenchBlock, block).written, facts)

    def figures(self, shown: Sequence[Shown]) -> list[Figure]:
        """The effects."""
        found = forest(shown[0].task, [(run.label, cast(BenchBlock, run.block).written) for run in shown])
        return [] if found is None else [found]

    def entry(self, task: str, block: Block, facts: Facts) -> dict[str, Row]:
        """Effect, composite, leakage, fluency and damage; the effect is ranked."""
        mine = cast(BenchBlock, block)
        return {FILTER: row(mine.written, facts, mine.facets, facts.contaminated.get(task, 0))}

    def board(self, task: str, filter: str, entries: Sequence[Entry]) -> list[Table]:
        """A table for each group of runs that are ranked with each other, and one of what aims at nothing."""
        return board_tables(task, entries)

    def standings(self, filter: str, entries: Sequence[Entry]) -> list[Standing]:
        """The effect of each run, its targets, and what stands beside it."""
        return [written_standing(entry) for entry in entries]

    def legend(self, entries: Sequence[Entry]) -> list[str]:
        """What the effect is an effect on."""
        return [LEGEND]
