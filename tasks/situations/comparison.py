"""What two runs of the situations are compared and ranked by: the shifts of their pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from traitbench.samples import Sample
from traitbench.tasks import paired
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.board import Part
from traitbench.tasks.effects import aimed
from traitbench.tasks.shifts import Shifts
from traitbench.tasks.situations.summary import PairScores, SituationsBlock
from traitbench.tasks.written import comparison

__all__ = ["parts", "shifts"]


def shifts(facts: Facts, samples: Sequence[Sample], block: Block) -> list[Shifts]:
    """The contrasts that aim at one trait, scoring mode by scoring mode, those of written replies last."""
    held, out = cast(SituationsBlock, block), []
    for mode, scored in held.modes.items():
        rows = [row for row in samples if row.scoring == mode and row.judge is None]
        out += paired.shifts(scored, aimed(scored.contrasts), parts(scored, held), facts, rows, mode)
    return out + (comparison.shifts(held.written, facts, held.facets) if held.written else [])


def parts(scored: PairScores, block: SituationsBlock) -> list[Part]:
    """The pairs' shifts of each contrast that aims at one trait, in the direction aimed at."""
    return [paired.part(c, scored, block.facets, block.keys) for c in aimed(scored.contrasts)]
