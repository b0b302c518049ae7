"""What two runs of the forced choice are compared and ranked by: the shifts of their units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from traitbench.samples import Sample
from traitbench.tasks import paired
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.board import Part
from traitbench.tasks.effects import aimed
from traitbench.tasks.forced_choice.summary import ForcedChoiceBlock, ForcedScores
from traitbench.tasks.shifts import Shifts

__all__ = ["parts", "shifts"]


def shifts(facts: Facts, samples: Sequence[Sample], block: Block) -> list[Shifts]:
    """The contrasts that aim at one trait, scoring mode by scoring mode."""
    held, out = cast(ForcedChoiceBlock, block), []
    for mode, scored in held.modes.items():
        rows = [row for row in samples if row.scoring == mode]
        out += paired.shifts(scored, aimed(scored.contrasts), parts(scored, held), facts, rows, mode)
    return out


def parts(scored: ForcedScores, block: ForcedChoiceBlock) -> list[Part]:
    """The units' shifts of each contrast that aims at one trait, in the direction aimed at.

    In a choice between statements of two traits one of the two moves, so that d over such choices is smaller by what
    the form is, not by what the control does.
    """
    made = [(c, paired.part(c, scored, block.facets, block.keys)) for c in aimed(scored.contrasts)]
    return [part.model_copy(update={"sized": bool(c.texts)}) for c, part in made]
