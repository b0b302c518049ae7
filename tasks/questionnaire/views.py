"""How a questionnaire is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from traitbench.charts.chart import Figure
from traitbench.tables import Table, number
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.board import Cell, Entry, Row
from traitbench.tasks.questionnaire.board import GLOSSARY, board_tables, legend, overview_cells
from traitbench.tasks.questionnaire.contender import contender
from traitbench.tasks.questionnaire.evidence import evidence
from traitbench.tasks.questionnaire.figures import figures
from traitbench.tasks.questionnaire.metrics import metrics
from traitbench.tasks.questionnaire.standing import questionnaire_standing
from traitbench.tasks.questionnaire.summary import QuestionnaireBlock
from traitbench.tasks.questionnaire.tables import curves, effects, levels, matrix
from traitbench.tasks.standing import Standing
from traitbench.tasks.style_tables import headed, statement_first, styles, verdicts
from traitbench.tasks.views import Shown, Views
from traitbench.types import Mode

__all__ = ["QuestionnaireViews"]


class QuestionnaireViews(Views):
    """Effects, matrices, levels, what they rest on, and verdicts."""

    def tables(self, task: str, block: Block, facts: Facts) -> list[Table]:
        """Everything a reader of one run needs; the verdict of each scoring mode is the first note of every table."""
        mine = cast(QuestionnaireBlock, block)
        cards = {mode: scored.scorecard for mode, scored in mine.modes.items()}
        judged = {mode: scored.verdict for mode, scored in mine.modes.items()}
        out = []
        if any(card.contrasts for card in cards.values()):
            out.append(effects(f"Effect of the control: how far the trait aimed at moved, {task}", cards))
            out += [matrix(mode, cards[mode]) for mode in statement_first(cards)]
        drawn = {c.name for c in facts.conditions if c.profile}
        style = {mode: s.response_style["all"] for mode, s in mine.modes.items() if "all" in s.response_style}
        out += [
            *curves(mine, task),
            levels(mine, facts, task),
            *evidence(mine, task, drawn),
            styles(task, style),
            verdicts(task, judged),
        ]
        return headed(out, judged)

    def figures(self, shown: Sequence[Shown]) -> list[Figure]:
        """Effects, matrices, doses, correlations, response style and reliability."""
        return figures(shown)

    def details(self, shown: Sequence[Shown]) -> list[Table]:
        """The scores of every condition; persons, parts of a control and other strengths are left out."""
        rows, traits, aside = [], dict[str, None](), False
        for run in shown:
            left_out = {c.name for c in run.facts.conditions if not c.headline or c.person is not None}
            aside = aside or bool(left_out)
            for condition in (c.name for c in run.facts.conditions if c.name not in left_out):
                for mode, scored in cast(QuestionnaireBlock, run.block).modes.items():
                    if mode != "statement":
                        scores = scored.scores[condition]
                        traits.update(dict.fromkeys(score.trait for score in scores))
                        rows.append([run.label, condition, mode, *(number(score.value) for score in scores)])
        if not rows:
            return []
        notes = ["A level is neither good nor bad and is never ranked. Statement scoring has no absolute level."]
        if aside:
            notes.append("Persons, other strengths and parts of a control are left out; the results files hold them.")
        title = f"Levels on the instrument's scale, {shown[0].task}"
        return [Table(title=title, columns=["run", "condition", "scoring", *traits], rows=rows, notes=notes)]

    def entry(self, task: str, block: Block, facts: Facts) -> dict[str, Row]:
        """Effect, leakage, damage and what they rest on; the effect is ranked."""
        mine = cast(QuestionnaireBlock, block)
        out = {}
        for mode, scored in mine.modes.items():
            found = metrics(mine, facts, mode)
            told = contender(found, scored.scorecard, mode, facts, facts.contaminated.get(task, 0))
            out[str(mode)] = Row(
                metrics=found.model_copy(update={"unranked": told.unranked}).model_dump(mode="json"),
                contenders=[told],
                verdict=scored.verdict.verdict,
                reasons=scored.verdict.reasons,
            )
        return out

    def board(self, task: str, filter: str, entries: Sequence[Entry]) -> list[Table]:
        """A table for each group of runs that are ranked with each other, and one of what aims at nothing."""
        return board_tables(task, filter, entries)

    def standings(self, filter: str, entries: Sequence[Entry]) -> list[Standing]:
        """The effect of each run, its targets, and what it cost and broke."""
        return [questionnaire_standing(entry, cast(Mode, filter)) for entry in entries]

    def legend(self, entries: Sequence[Entry]) -> list[str]:
        """What is never ranked, and the columns that stand only where a run has them."""
        return legend(entries)

    def glossary(self) -> dict[str, str]:
        """What an effect is, and what stands beside it."""
        return GLOSSARY

    def cells(self, entry: Entry, filter: str) -> dict[str, Cell]:
        """The columns that compare runs on different instruments."""
        return overview_cells(entry, filter)
