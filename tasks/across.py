"""What joins the tasks of a run: a block of its own, from the samples of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from traitbench.samples import Sample
from traitbench.tables import Table
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.board import Cell, Entry, Row
from traitbench.tasks.task import Task
from traitbench.types import Evidence

if TYPE_CHECKING:
    from traitbench.charts.chart import Figure

__all__ = ["Across", "Joined", "Told", "fitted_on", "whole"]


class Joined(NamedTuple):
    """The block of one run."""

    label: str
    """Short and unlike those of the other runs in a figure."""
    block: Block
    facts: Facts


class Told(NamedTuple):
    """One row of the leaderboard, as what joins tasks sees it."""

    run: str
    task: str
    filter: str
    evidence: Evidence | None
    made: str
    """Names the model and the method: runs that do not share it have nothing in common."""
    controls: Mapping[str, str]
    """Name of a target -> what its controls are, by their contents: two runs that share it were controlled alike."""
    row: Row
    contaminated: int = 0
    """Items of the task that the method was fitted on."""
    items: int = 0
    """All of them."""

    def fitted(self, part: str = "") -> dict[str, int]:
        """What `fitted_on` reads of this row, as part of what is told; nothing where no item was fitted on."""
        seen = {f"{part}contaminated": self.contaminated, f"{part}items": self.items}
        return seen if self.contaminated else {}


def fitted_on(line: Mapping[str, Any], part: str = "") -> str:
    """How many of its items the method was fitted on, in words; empty where on none."""
    seen = line.get(f"{part}contaminated", 0)
    return f"{seen} of {line[f'{part}items']} items fitted on" if seen else ""


def whole(cell: Cell) -> str:
    """A cell as text, what stands in small print beside it."""
    return cell.text + (f" ({cell.small})" if cell.small else "")


class Across:
    """A comparison of tasks within one run, and on the leaderboard of runs of the same controls."""

    @classmethod
    def block(cls) -> type[Block] | None:
        """Return the class of what `join` returns; None where all it does is tell beside the leaderboard's rows."""
        return None

    def join(self, facts: Facts, tasks: Mapping[str, Task], samples: Mapping[str, Sequence[Sample]]) -> Block | None:
        """Compute the block from the run's samples (task -> samples); None where the run holds too little for it."""
        return None

    def tables(self, block: Block) -> list[Table]:
        """What a reader of one run needs."""
        return []

    def figures(self, shown: Sequence[Joined]) -> list[Figure]:
        """The figures of several runs."""
        return []

    def beside(self, told: Sequence[Told]) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
        """Run, task and filter of a row -> what is told beside it, as flat dictionaries, for rows that have anything.

        `told` are the rows of all runs; what `row.contenders` hold is all that is known of their answers.
        """
        return {}

    def arrows(self, rows: Sequence[tuple[str, Entry]]) -> list[Figure]:
        """The figures of what `beside` told: label and entry, whatever runs the parts come from."""
        return []

    def cells(self, lines: Sequence[Mapping[str, Any]]) -> dict[str, Cell]:
        """Column -> cell, of what `beside` told of one row."""
        return {}

    def apart(self, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Cell]]:
        """The same as lines of a table, one or more: column -> cell each."""
        return [self.cells(lines)]

    def board(self, entries: Sequence[Entry]) -> list[Table]:
        """The leaderboard's tables of its own; what `beside` told of an entry stands in `Entry.joined`."""
        return []
