"""How the forced choice is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from traitbench.charts.chart import Figure, digits
from traitbench.tables import Table
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.board import Entry, Row
from traitbench.tasks.effect_board import contender
from traitbench.tasks.effect_figures import effect_rows, effects_drawn
from traitbench.tasks.forced_choice.board import board_tables, forced_standing, metrics
from traitbench.tasks.forced_choice.comparison import parts
from traitbench.tasks.forced_choice.summary import ForcedChoiceBlock
from traitbench.tasks.forced_choice.tables import effects, levels, matrix
from traitbench.tasks.paired import answers
from traitbench.tasks.standing import Standing
from traitbench.tasks.style_tables import headed, statement_first, verdicts
from traitbench.tasks.views import Shown, Views
from traitbench.types import Mode

__all__ = ["ForcedChoiceViews", "forest"]


class ForcedChoiceViews(Views):
    """Effects, matrices, levels, how the answers were given, and verdicts."""

    def tables(self, task: str, block: Block, facts: Facts) -> list[Table]:
        """Everything a reader of one run needs; the verdict of each scoring mode is the first note of every table."""
        mine = cast(ForcedChoiceBlock, block)
        judged = {mode: scored.verdict for mode, scored in mine.modes.items()}
        out = [effects(task, mine)]
        for mode in statement_first(mine.modes):
            out += matrix(mode, mine.modes[mode])
        out += [levels(task, mine, facts), answers(task, mine.modes, "statement"), verdicts(task, judged)]
        return headed(out, judged)

    def figures(self, shown: Sequence[Shown]) -> list[Figure]:
        """The effects, a figure a scoring mode."""
        blocks = [cast(ForcedChoiceBlock, run.block) for run in shown]
        modes = statement_first(dict.fromkeys(mode for block in blocks for mode in block.modes))
        return [found for mode in modes if (found := forest(shown, mode)) is not None]

    def entry(self, task: str, block: Block, facts: Facts) -> dict[str, Row]:
        """Effect, leakage and damage; the effect is ranked."""
        mine = cast(ForcedChoiceBlock, block)
        out = {}
        for mode, scored in mine.modes.items():
            found = metrics(scored, facts, mode)
            told = contender(found, parts(scored, mine), facts, facts.contaminated.get(task, 0))
            out[str(mode)] = Row(
                metrics=found.model_copy(update={"unranked": told.unranked}).model_dump(mode="json"),
                contenders=[told],
                verdict=scored.verdict.verdict,
                reasons=scored.verdict.reasons,
            )
        return out

    def board(self, task: str, filter: str, entries: Sequence[Entry]) -> list[Table]:
        """A table for each group of runs that are ranked with each other, and one of what aims at nothing."""
        return board_tables(task, cast(Mode, filter), entries)

    def standings(self, filter: str, entries: Sequence[Entry]) -> list[Standing]:
        """The effect of each run, its targets, and what stands beside it."""
        return [forced_standing(entry, cast(Mode, filter)) for entry in entries]

    def legend(self, entries: Sequence[Entry]) -> list[str]:
        """What the effect is an effect on."""
        return [
            "Forced choice: the effect is on which of two statements is taken that people find equally desirable. "
            "Counts are partly ipsative; apart: the same with the other traits held apart."
        ]

    def glossary(self) -> dict[str, str]:
        """What stands beside an effect of this kind."""
        return {
            "Apart": "In a forced choice what one trait gains another may lose. Apart is the effect when all traits "
            "are solved for together."
        }


def forest(runs: Sequence[Shown], mode: Mode) -> Figure | None:
    """Effects with their 95 % intervals, by target and run; None where no run aims at a trait."""
    held = [(run.label, cast(ForcedChoiceBlock, run.block).modes.get(mode)) for run in runs]
    rows = [
        row
        for label, scored in held
        if scored is not None
        for row in effect_rows(label, scored.contrasts, scored.unit, scored.verdict, digits(mode))
    ]
    return effects_drawn(
        runs[0].task, mode, f"Effect of the control on forced choices, {mode} scoring",
        "How far the preference for what the high pole takes moved, in {unit}, with its 95 % interval over pairs. "
        "Where the line crosses zero, the pairs do not show that it moved at all.", rows, digits(mode),
    )  # fmt: skip
