"""The gap as a table of one run."""

from __future__ import annotations

from collections.abc import Sequence

from traitbench.tables import Table, interval, number
from traitbench.tasks.gap.effects import OverItems, Pairing, TargetGap

__all__ = ["SCALE", "gap_table", "shown"]

SCALE = (
    "d: the mean shift of the items in the direction aimed at over the SD of their shifts, less what few items add to "
    "it (Hedges 1981), so that instruments of any length and unit are on one scale; of two texts that are weighed "
    "against each other, each is an item. Gap: self-report minus behaviour. Brackets: 95 %."
)
WORDS = (
    "Only self-report moved: its interval lies above zero, that of behaviour does not, and is either within a small "
    "effect (.2) or shown to be the smaller one. Inconclusive: the intervals leave it open, which is a result too."
)


def shown(found: OverItems) -> str:
    """The effect with its interval."""
    return interval(found.d, found.ci)


def gap_table(pairings: Sequence[Pairing]) -> Table:
    """A row a target, and one of their mean, for each two tasks that are set beside each other."""
    rows, notes = [], []
    for pairing in pairings:
        said, done = _called(pairing)
        for gap in [*pairing.targets, *([pairing.mean] if pairing.mean else [])]:
            rows.append([gap.target, said, done, *_cells(gap)])
        if pairing.r is not None:
            r = interval(pairing.r, pairing.r_ci)
            notes.append(f"{said} and {done}: r = {r} over {pairing.r_n} targets.")
        if pairing.r_note:
            notes.append(f"{said} and {done}: {pairing.r_note}.")
    return Table(
        title="What the control did to self-report and to behaviour",
        columns=["target", "self-report", "behaviour", "self-report d [95 %]", "behaviour d [95 %]", "gap [95 %]",
                 "items", "what moved"],
        rows=rows,
        notes=[SCALE, WORDS, *notes],
    )  # fmt: skip


def _called(pairing: Pairing) -> tuple[str, str]:
    """Both tasks, each with its scoring mode."""
    return (
        f"{pairing.self_report}, {pairing.self_report_filter}", f"{pairing.behaviour}, {pairing.behaviour_filter}"
    )  # fmt: skip


def _cells(gap: TargetGap) -> list[str]:
    items = f"{number(gap.self_report.n, 0)} + {number(gap.behaviour.n, 0)}"
    return [shown(gap.self_report), shown(gap.behaviour), shown(gap.gap), items, gap.verdict]
