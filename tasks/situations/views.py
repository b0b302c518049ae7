"""How the situations are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from traitbench.charts.chart import Figure
from traitbench.tables import Table
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.board import Entry, Row
from traitbench.tasks.effect_board import contender
from traitbench.tasks.paired import answers
from traitbench.tasks.situations.board import board_tables, metrics, situations_standing
from traitbench.tasks.situations.comparison import parts
from traitbench.tasks.situations.figures import forest
from traitbench.tasks.situations.summary import SituationsBlock
from traitbench.tasks.situations.tables import effects, levels, matrix
from traitbench.tasks.standing import Standing
from traitbench.tasks.style_tables import headed, statement_first, verdicts
from traitbench.tasks.views import Shown, Views
from traitbench.tasks.written import board, figures
from traitbench.tasks.written import tables as written
from traitbench.tasks.written.comparison import FILTER
from traitbench.types import Mode

__all__ = ["SituationsViews"]


class SituationsViews(Views):
    """Effects, matrices, levels, how the answers were given, and verdicts."""

    def tables(self, task: str, block: Block, facts: Facts) -> list[Table]:
        """Everything a reader of one run needs: what was weighed or chosen, then the model's own replies.

        The verdict of each scoring mode is the first note of every table.
        """
        mine = cast(SituationsBlock, block)
        judged = {mode: scored.verdict for mode, scored in mine.modes.items()}
        out = [effects(task, mine.modes)]
        out += [matrix(mode, mine.modes[mode]) for mode in statement_first(mine.modes)]
        out += [levels(task, mine, facts), answers(task, mine.modes, "reply")]
        out += [verdicts(task, judged)] if judged else []
        return headed(out, judged) + (written.tables(task, mine.written, facts) if mine.written else [])

    def figures(self, shown: Sequence[Shown]) -> list[Figure]:
        """The effects, a figure a scoring mode."""
        blocks = [cast(SituationsBlock, run.block) for run in shown]
        modes = statement_first(dict.fromkeys(mode for block in blocks for mode in block.modes))
        own = [(run.label, block.written) for run, block in zip(shown, blocks, strict=True) if block.written]
        drawn = [*(forest(shown, mode) for mode in modes), *([figures.forest(shown[0].task, own)] if own else [])]
        return [found for found in drawn if found is not None]

    def entry(self, task: str, block: Block, facts: Facts) -> dict[str, Row]:
        """Effect, desirability balance, leakage and damage; the effect is ranked."""
        mine = cast(SituationsBlock, block)
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
        if mine.written is not None:
            out[FILTER] = board.row(mine.written, facts, mine.facets, facts.contaminated.get(task, 0))
        return out

    def board(self, task: str, filter: str, entries: Sequence[Entry]) -> list[Table]:
        """A table for each group of runs that are ranked with each other, and one of what aims at nothing."""
        return (
            board.board_tables(task, entries) if filter == FILTER else board_tables(task, cast(Mode, filter), entries)
        )

    def standings(self, filter: str, entries: Sequence[Entry]) -> list[Standing]:
        """The effect of each run, its targets, and what stands beside it."""
        if filter == FILTER:
            return [board.written_standing(entry) for entry in entries]
        return [situations_standing(entry, cast(Mode, filter)) for entry in entries]

    def legend(self, entries: Sequence[Entry]) -> list[str]:
        """What the effect is an effect on."""
        return [
            "Situations: the effect is on the preference for the reply of the high pole in everyday situations, not on "
            "what the model says of itself. Matched: the same on pairs whose replies most people find equally good.",
            *([board.LEGEND] if any(FILTER in entry.metrics for entry in entries) else []),
        ]

    def glossary(self) -> dict[str, str]:
        """What stands beside an effect of this kind."""
        return {
            "Matched": "In situations, half of the pairs have two replies that most people would find equally good. An "
            "effect that they do not show may be a wish to look good, or bad."
        }
