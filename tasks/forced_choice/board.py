"""The forced choice on the leaderboard: the numbers of a run in one scoring mode, and its tables."""

from __future__ import annotations

from collections.abc import Sequence

from traitbench.charts.chart import digits, plain
from traitbench.tables import Table, number
from traitbench.tasks import paired
from traitbench.tasks.block import Facts
from traitbench.tasks.board import Cell, Entry
from traitbench.tasks.effect_board import TargetEffect, rivals, told
from traitbench.tasks.effects import aimed, mean_known, sign
from traitbench.tasks.forced_choice.effects import ForcedContrast
from traitbench.tasks.forced_choice.summary import ForcedScores
from traitbench.tasks.paired import PairedMetrics
from traitbench.tasks.standing import Standing
from traitbench.types import Mode

__all__ = ["Metrics", "TargetCell", "board_tables", "forced_standing", "metrics"]


class TargetCell(TargetEffect):
    """One target of a run, in the direction aimed at."""

    apart: float | None = None
    """With the other traits held apart."""


class Metrics(PairedMetrics):
    """One run in one scoring mode. Its leakage is partly made by the form."""

    apart: float | None
    """The effect with the other traits held apart."""
    by_target: list[TargetCell] = []


def metrics(scored: ForcedScores, facts: Facts, mode: Mode) -> Metrics:
    """What the leaderboard says of one scoring mode, without the rank."""
    cells = [TargetCell(**told(c), apart=_apart(c)) for c in aimed(scored.contrasts)]
    return Metrics(
        **paired.metrics(scored, scored.contrasts, facts, mode),
        apart=mean_known([cell.apart for cell in cells]), by_target=cells,
    )  # fmt: skip


def _apart(contrast: ForcedContrast) -> float | None:
    own = next((each for each in contrast.apart if each.trait in contrast.aimed), None)
    return None if own is None else sign(contrast) * own.value


def board_tables(task: str, mode: Mode, entries: Sequence[Entry]) -> list[Table]:
    """The leaderboard of one scoring mode: a table a group of rivals, then what aims at nothing."""
    held = {entry.run: Metrics.model_validate(entry.metrics[mode]) for entry in entries}
    return rivals(
        entries, held, lambda words, m: f"{task}, {mode}: {words}",
        lambda entry, m, measured: paired.cells(entry, m, mode, measured, {"apart": number(m.apart)}),
    )  # fmt: skip


def forced_standing(entry: Entry, mode: Mode) -> Standing:
    """The mean effect over targets, each target, and what stands beside; without targets it is trivial."""
    m = Metrics.model_validate(entry.metrics[mode])
    does = "moves the statements that it is aimed at furthest, against others that are as desirable"
    return paired.paired_standing(
        entry, mode, m, m.by_target, does, {"apart": Cell(plain(m.apart, digits(mode)), m.apart)}
    )
