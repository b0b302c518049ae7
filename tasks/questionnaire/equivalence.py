"""An inventory beside itself in other words: whether both wordings say the same of a model.

Items written for people ask after bodies, parties and chores; reworded for a model they may measure something else.
Items are paired by number. A difference that is not significant is no sign of likeness, so two one-sided tests ask
whether it lies within bounds that are named beforehand (Lakens 2017).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

from traitbench.samples import Sample
from traitbench.tables import Table
from traitbench.tasks.across import Across
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.questionnaire.equated import Pairs, pair
from traitbench.tasks.questionnaire.equivalence_table import equivalence_table
from traitbench.tasks.scoring import modes
from traitbench.tasks.task import Task

__all__ = ["Equivalences", "EquivalencesBlock"]


class EquivalencesBlock(Block):
    """Every inventory of the run beside its rewordings."""

    kind: Literal["equivalence"] = "equivalence"
    pairs: list[Pairs]


class Equivalences(Across):
    """Whether an inventory that is reworded (`wording_of`) says what its original does."""

    @classmethod
    def block(cls) -> type[Block]:
        """Levels and effects in both wordings."""
        return EquivalencesBlock

    def join(
        self, facts: Facts, tasks: Mapping[str, Task], samples: Mapping[str, Sequence[Sample]]
    ) -> EquivalencesBlock | None:
        """Pair every rewording with its original; None without both in the run."""
        out = []
        for name, rows in samples.items():
            worded = tasks[name].inventory
            first = worded.wording_of if worded is not None else None
            if worded is None or first is None or first not in samples:
                continue
            original = tasks[first].inventory
            if original is None:
                continue
            for mode in modes(rows):
                both = [[row for row in given if row.scoring == mode] for given in (samples[first], rows)]
                if both[0] and both[1]:
                    out.append(pair(facts, (tasks[first], tasks[name]), (original, worded), both, mode))
        return EquivalencesBlock(pairs=out) if out else None

    def tables(self, block: Block) -> list[Table]:
        """One table of each two wordings in each scoring mode."""
        return [equivalence_table(one) for one in cast(EquivalencesBlock, block).pairs]
