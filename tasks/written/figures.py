"""The figure of written replies: effects with their intervals, by trait."""

from __future__ import annotations

from collections.abc import Sequence

from traitbench.charts.chart import Figure
from traitbench.tasks.effect_figures import effect_rows, effects_drawn
from traitbench.tasks.written.comparison import FILTER
from traitbench.tasks.written.records import Written

__all__ = ["forest"]


def forest(task: str, runs: Sequence[tuple[str, Written]]) -> Figure | None:
    """Effects of each run (its label first) with their 95 % intervals; None where no run aims at a trait."""
    rows = []
    for label, found in runs:
        if found.rated is not None:
            rows += effect_rows(label, found.rated.contrasts, found.unit, found.verdict, 2)
    return effects_drawn(
        task, FILTER, "Effect of the control on written replies",
        "How far the judges' rating of the trait moved, in {unit} of 0 to 5, with its 95 % interval over questions. "
        "Where the line crosses zero, the replies do not show that it moved at all.", rows, 2,
    )  # fmt: skip
