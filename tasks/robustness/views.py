"""How the robustness of an effect is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from traitbench.charts.chart import Figure
from traitbench.tables import Table
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.board import Entry, Row
from traitbench.tasks.robustness.board import board_tables, contender, metrics, robustness_standing
from traitbench.tasks.robustness.figures import drift_figure, ladder_figure
from traitbench.tasks.robustness.summary import RobustnessBlock
from traitbench.tasks.robustness.tables import by_target, context_table, drift_table, ladder
from traitbench.tasks.stability_tables import stability_tables
from traitbench.tasks.standing import Standing
from traitbench.tasks.style_tables import headed, statement_first, styles, verdicts
from traitbench.tasks.views import Shown, Views
from traitbench.types import Mode

__all__ = ["RobustnessViews"]


class RobustnessViews(Views):
    """Contexts, the ladder, the drift curve, stability, and verdicts."""

    def tables(self, task: str, block: Block, facts: Facts) -> list[Table]:
        """Everything a reader of one run needs."""
        mine = cast(RobustnessBlock, block)
        judged = {mode: scored.verdict for mode, scored in mine.modes.items()}
        out = []
        for mode in statement_first(mine.modes):
            scored = mine.modes[mode]
            out += [context_table(task, mode, scored), by_target(mode, scored), ladder(mode, scored)]
            out += [drift_table(mode, scored), *stability_tables(f"contexts, {task}, {mode}", scored.stability)]
            if scored.response_style is not None:
                out.append(styles(task, {mode: scored.response_style}))
        return headed([*out, verdicts(task, judged)], judged)

    def figures(self, shown: Sequence[Shown]) -> list[Figure]:
        """The drift curve and the ladder of pressure, a figure each a scoring mode."""
        blocks = [cast(RobustnessBlock, run.block) for run in shown]
        modes = statement_first(dict.fromkeys(mode for block in blocks for mode in block.modes))
        drawn = [make(shown, mode) for mode in modes for make in (drift_figure, ladder_figure)]
        return [figure for figure in drawn if figure is not None]

    def entry(self, task: str, block: Block, facts: Facts) -> dict[str, Row]:
        """The plain effect and what is left of it; nothing is ranked."""
        out = {}
        for mode, scored in cast(RobustnessBlock, block).modes.items():
            found = metrics(scored, facts)
            out[str(mode)] = Row(
                metrics=found.model_dump(mode="json"), contenders=[contender(found)], verdict=scored.verdict.verdict,
                reasons=scored.verdict.reasons,
            )  # fmt: skip
        return out

    def board(self, task: str, filter: str, entries: Sequence[Entry]) -> list[Table]:
        """One table of all runs."""
        return board_tables(task, cast(Mode, filter), entries)

    def standings(self, filter: str, entries: Sequence[Entry]) -> list[Standing]:
        """The retained share of each run."""
        return [robustness_standing(entry, cast(Mode, filter)) for entry in entries]

    def legend(self, entries: Sequence[Entry]) -> list[str]:
        """What is retained."""
        return [
            "Robustness: retained is the share of the plain effect that the worst context leaves, and its interval is "
            "that of this one context. Nothing is ranked by it: the worst of many is a selection."
        ]

    def glossary(self) -> dict[str, str]:
        """Terms of the tables."""
        return {
            "Retained": "Share of an effect that is left in another context: after talk, under pressure, in other "
            "words.",
            "Caved, persuaded": "Under pressure to drop the persona the effect is weaker than in a talk of the same "
            "length. Caved: it comes back once the pressure is taken back. Persuaded: it does not.",
        }
