"""The figures of a questionnaire: effects, matrices, doses, correlations and what the numbers rest on."""

from __future__ import annotations

from collections.abc import Sequence

from traitbench.charts.chart import Figure
from traitbench.tasks.questionnaire.figures.correlations import correlations, distances
from traitbench.tasks.questionnaire.figures.diagnostics import reliability, response_style
from traitbench.tasks.questionnaire.figures.doses import dose, strengths
from traitbench.tasks.questionnaire.figures.effects import forest, matrices
from traitbench.tasks.questionnaire.figures.runs import modes, runs
from traitbench.tasks.views import Shown

__all__ = ["figures"]


def figures(shown: Sequence[Shown]) -> list[Figure]:
    """Every figure that the runs of one task have data for, by kind and, within it, statement scoring first."""
    every = runs(shown)
    moved = [run for run in every if any(card.contrasts for card in run.cards())]
    found: list[Figure | None] = []
    for draw in (forest, matrices, dose):
        found += [draw(moved, mode) for mode in modes(every)]
    for mode in modes(every):
        found += strengths(every, mode)
    for draw in (correlations, distances):
        found += [draw(moved, mode) for mode in modes(every)]
    for draw in (response_style, reliability):
        found += [draw(every, mode) for mode in modes(every)]
    return [one for one in found if one is not None]
