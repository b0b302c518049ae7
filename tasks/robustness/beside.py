"""What the worst context leaves of an effect, beside every other row of the leaderboard with the same controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from traitbench.tables import interval
from traitbench.tasks.across import Across, Told, fitted_on
from traitbench.tasks.board import Cell
from traitbench.tasks.robustness import Robustness
from traitbench.tasks.robustness.board import Metrics

__all__ = ["Kept"]


class Kept(Across):
    """The share of the effect that is left where least is."""

    def beside(self, told: Sequence[Told]) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
        """Of the row's own run, else of another one; in the row's scoring mode, else in the first that was asked."""
        kept = [one for one in told if one.task == Robustness.id and one.controls]
        out = {}
        for row in told:
            if row.task == Robustness.id or row.evidence is None:
                continue
            mine = [one for one in kept if (one.made, one.controls) == (row.made, row.controls)]
            mine.sort(key=lambda one: (one.run != row.run, one.filter != row.filter))
            if mine:
                out[row.run, row.task, row.filter] = [_line(mine[0])]
        return out

    def cells(self, lines: Sequence[Mapping[str, Any]]) -> dict[str, Cell]:
        """The share, in which context it was so little, and how many of the items the method was fitted on."""
        if not lines:
            return {}
        kept, how = lines[0]["retained"], lines[0]["robustness_filter"]
        why = lines[0]["context"] or ("no effect to keep" if lines[0]["contexts"] else "no other context asked")
        shown = interval(kept, lines[0]["retained_ci"])
        small = "; ".join(filter(None, [f"{why}, {how}", fitted_on(lines[0])]))
        return {"kept in the worst context": Cell(shown, kept, small=small)}


def _line(found: Told) -> dict[str, Any]:
    m = Metrics.model_validate(found.row.metrics)
    return {
        "robustness_run": found.run, "robustness_filter": found.filter, "retained": m.retained,
        "retained_ci": m.retained_ci, "context": m.worst, "contexts": m.others,
        "gone_at": m.gone_at, **found.fitted(),
    }  # fmt: skip
