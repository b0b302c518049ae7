"""The situations on the leaderboard: the numbers of a run in one scoring mode, and its tables."""

from __future__ import annotations

from collections.abc import Sequence

from traitbench.charts.chart import digits, plain
from traitbench.tables import Table, number
from traitbench.tasks import paired
from traitbench.tasks.block import Facts
from traitbench.tasks.board import Cell, Entry
from traitbench.tasks.effect_board import TargetEffect, rivals, told
from traitbench.tasks.effects import aimed, mean_known, toward
from traitbench.tasks.paired import PairedMetrics
from traitbench.tasks.situations.summary import PairScores
from traitbench.tasks.standing import Standing
from traitbench.types import Mode

__all__ = ["Metrics", "TargetCell", "board_tables", "metrics", "situations_standing"]


class TargetCell(TargetEffect):
    """One target of a run, in the direction aimed at."""

    matched: float | None = None
    """On the pairs of matched desirability."""


class Metrics(PairedMetrics):
    """One run in one scoring mode."""

    matched: float | None
    """The effect on the pairs of matched desirability."""
    by_target: list[TargetCell] = []


def metrics(scored: PairScores, facts: Facts, mode: Mode) -> Metrics:
    """What the leaderboard says of one scoring mode, without the rank."""
    cells = [TargetCell(**told(c), matched=toward(c, c.matched)) for c in aimed(scored.contrasts)]
    return Metrics(
        **paired.metrics(scored, scored.contrasts, facts, mode),
        matched=mean_known([cell.matched for cell in cells]), by_target=cells,
    )  # fmt: skip


def board_tables(task: str, mode: Mode, entries: Sequence[Entry]) -> list[Table]:
    """The leaderboard of one scoring mode: a table a group of rivals, then what aims at nothing."""
    held = {entry.run: Metrics.model_validate(entry.metrics[mode]) for entry in entries}
    return rivals(
        entries, held, lambda words, m: f"{task}, {mode}: {words}",
        lambda entry, m, measured: paired.cells(entry, m, mode, measured, {"matched": number(m.matched)}),
    )  # fmt: skip


def situations_standing(entry: Entry, mode: Mode) -> Standing:
    """The mean effect over targets, each target, and what stands beside; without targets it is trivial."""
    m = Metrics.model_validate(entry.metrics[mode])
    beside = {"matched": Cell(plain(m.matched, digits(mode)), m.matched)}
    return paired.paired_standing(entry, mode, m, m.by_target, "moves the replies that it is aimed at furthest", beside)
