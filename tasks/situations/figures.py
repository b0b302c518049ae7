"""The one figure of the situations: effects with their intervals, by trait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from traitbench.charts.chart import Figure, digits
from traitbench.tasks.effect_figures import effect_rows, effects_drawn
from traitbench.tasks.situations.summary import SituationsBlock
from traitbench.tasks.views import Shown
from traitbench.types import Mode

__all__ = ["forest"]


def forest(runs: Sequence[Shown], mode: Mode) -> Figure | None:
    """Effects with their 95 % intervals, by target and run; None where no run aims at a trait."""
    held = [(run.label, cast(SituationsBlock, run.block).modes.get(mode)) for run in runs]
    rows = [
        row
        for label, scored in held
        if scored is not None
        for row in effect_rows(label, scored.contrasts, scored.unit, scored.verdict, digits(mode))
    ]
    return effects_drawn(
        runs[0].task, mode, f"Effect of the control on replies in situations, {mode} scoring",
        "How far the preference for the reply of the high pole moved, in {unit}, with its 95 % interval over pairs. "
        "Where the line crosses zero, the pairs do not show that it moved at all.", rows, digits(mode),
    )  # fmt: skip
