"""Person alignment's lines on the board: the trivial baselines once, then every row of the runs."""

from __future__ import annotations

from collections.abc import Sequence

from traitbench.charts.chart import Estimate
from traitbench.tables import interval
from traitbench.tasks.board import Cell, Entry
from traitbench.tasks.person_alignment.ranking import PROMPT_ONLY, Apart, Line, held, lines
from traitbench.tasks.standing import Standing

__all__ = ["alignment_standings"]


def alignment_standings(mode: str, entries: Sequence[Entry]) -> list[Standing]:
    """One line a row, of each set of persons and test items."""
    sets: dict[str, list[Entry]] = {}
    for entry in entries:
        sets.setdefault(held(entry, mode).persons_hash, []).append(entry)
    return [_standing(mode, name, line) for name, mine in sets.items() for line in lines(mine, mode)]


def _standing(mode: str, group: str, line: Line) -> Standing:
    entry, row = line
    m, controlled = held(entry, mode), row.kind in ("method", "part")
    part = row.name.removeprefix(entry.method)
    return Standing(
        entry=entry,
        label=f"{entry.label}{part}" if controlled else row.name,
        value=Estimate(row.error, *(row.error_ci or (None, None))),
        measure="error",
        unit=m.unit,
        higher_is_better=False,
        does="comes nearest to the persons' own answers",
        group=group,
        group_title=f"{row.persons} person{'' if row.persons == 1 else 's'}; {entry.n} test items",
        trivial=not controlled,
        rank=row.rank,
        rank_high=row.rank_high,
        superiority=row.superiority,
        unranked=row.unranked,
        verdict=m.verdict if row.kind != "baseline" else "",
        reasons=entry.rows[mode].reasons if row.kind != "baseline" else (),
        damage=m.perplexity if controlled and not row.name.endswith(f", {PROMPT_ONLY}") else None,
        beside={"beside the nearest guess": _apart(row.to_nearest),
                "beside the prompt alone": _apart(row.to_prompt)},
    )  # fmt: skip


def _apart(apart: Apart | None) -> Cell:
    if apart is None or apart.value is None:
        return Cell("–")
    return Cell(interval(apart.value, apart.ci), apart.value, small=apart.to)
