"""The runs that a questionnaire's figures are drawn from, and their shifts in the unit that is shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, cast

from traitbench.charts.chart import Estimate, stretched
from traitbench.tasks.block import Facts
from traitbench.tasks.questionnaire.scorecard import Contrast, Scorecard, Shift
from traitbench.tasks.questionnaire.summary import QuestionnaireBlock, Scored
from traitbench.tasks.views import Shown
from traitbench.types import Mode

__all__ = ["Run", "effects", "modes", "per_point", "runs", "scaled"]


class Run(NamedTuple):
    """One questionnaire of one run."""

    label: str
    """Short and unlike those of the other runs in the figure."""
    task: str
    block: QuestionnaireBlock
    facts: Facts

    def scored(self, mode: Mode) -> Scored | None:
        """What the run has of one scoring mode."""
        return self.block.modes.get(mode)

    def cards(self) -> Iterable[Scorecard]:
        """The contrasts of every scoring mode."""
        return [scored.scorecard for scored in self.block.modes.values()]

    def verdict(self, mode: Mode) -> str:
        """The verdict's word."""
        return self.block.modes[mode].verdict.verdict


def runs(shown: Iterable[Shown]) -> list[Run]:
    """The runs of what is shown."""
    return [Run(one.label, one.task, cast(QuestionnaireBlock, one.block), one.facts) for one in shown]


def modes(runs: Iterable[Run]) -> list[Mode]:
    """The scoring modes that any of `runs` has, statement first."""
    found = dict.fromkeys(mode for run in runs for mode in run.block.modes)
    return sorted(found, key=lambda mode: mode != "statement")


def per_point(run: Run, mode: Mode) -> float | None:
    """What one point of the mode's own scale is in the unit shown: 1 for statement, else 100 / range.

    The range is read off two scores of the run that differ; None where all of them are the same.
    """
    if mode == "statement":
        return 1.0
    scored = run.scored(mode)
    every = (s for scores in scored.scores.values() for s in scores) if scored else iter(())
    known = sorted((s.value, s.pomp) for s in every if s.value is not None and s.pomp is not None)
    if not known or known[-1][0] - known[0][0] < 1e-6:
        return None
    return 100 / round(100 * (known[-1][0] - known[0][0]) / (known[-1][1] - known[0][1]))


def scaled(shift: Shift | None, run: Run, mode: Mode) -> Estimate:
    """The shift and its interval in the unit of `unit`."""
    if shift is None or shift.value is None:
        return Estimate(None)
    shown = shift.value if mode == "statement" else shift.pomp
    return Estimate(None) if shown is None else stretched(shift.value, shift.ci, shown, per_point(run, mode))


def effects(run: Run, mode: Mode) -> list[tuple[Contrast, Estimate]]:
    """The contrasts that aim at one trait, with that trait's shift."""
    scored = run.scored(mode)
    found = [(c, scaled(c.effect, run, mode)) for c in scored.scorecard.contrasts] if scored else []
    return [(c, e) for c, e in found if e.value is not None]
