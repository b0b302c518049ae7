"""Person alignment on the leaderboard: one table for each set of persons and items."""

from __future__ import annotations

from collections.abc import Sequence

from traitbench.charts.chart import Estimate, plain, signed
from traitbench.tables import Table, interval, number, ratio
from traitbench.tasks.board import Cell, Entry, rank_text, standing
from traitbench.tasks.person_alignment.ranking import Apart, Line, PersonRow, head, held, is_fitted, lines

__all__ = ["board_tables", "overview_cells"]


def board_tables(task: str, mode: str, entries: Sequence[Entry]) -> list[Table]:
    """One table for each set of persons and items, the larger sets of items first."""
    sets: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: (-e.n, held(e, mode).persons_hash)):
        sets.setdefault(held(entry, mode).persons_hash, []).append(entry)
    label = " (persons {})" if len(sets) > 1 else ""
    return [_board(task, mode, found, label.format(name)) for name, found in sets.items()]


def _board(task: str, mode: str, entries: Sequence[Entry], label: str = "") -> Table:
    """One table of `entries` with the same persons and items; `label` tells it from others of its kind."""
    found = lines(entries, mode)
    damage = any(held(line.entry, mode).perplexity is not None for line in found)
    cost = any(line.entry.fit_seconds is not None for line in found)
    persons = max((line.row.persons for line in found), default=0)
    columns = [
        "rank", "model", "row", "error [95 %]", "argmax", "published", "r", "vs nearest trivial baseline [95 %]",
        "vs prompt only [95 %]", "oracle (not ranked)", *(["damage (perplexity)"] if damage else []),
        *(["fit (s)"] if cost else []), "verdict",
    ]  # fmt: skip
    return Table(
        title=f"{task}, {mode}: {persons} person{'' if persons == 1 else 's'}, {entries[0].n} test items{label}",
        columns=columns,
        rows=[_cells(line, mode, damage, cost) for line in found],
        notes=[
            "Error: mean |expected answer - the person's answer| by trait, summed over traits; lower is nearer. Ranks "
            "come from paired tests over the persons. argmax: the likeliest option. published: that, counted as PAPI "
            "does. Differences are paired; below 0 is nearer. oracle: the strength chosen for each person on the test "
            "items, a bound and not a result.",
        ],
    )


def _cells(line: Line, mode: str, damage: bool, cost: bool) -> list[str]:
    entry, row = line
    made = row.kind == "method"
    name = row.name
    if row.kind in ("method", "part"):
        name = (entry.label or entry.method) + row.name.removeprefix(entry.method)
    return [
        rank_text(row.rank, row.rank_high),
        "(trivial)" if row.kind == "baseline" else entry.model,
        name,
        interval(row.error, row.error_ci),
        number(row.argmax),
        number(row.published),
        number(row.correlation),
        _difference(row.to_nearest, named=True),
        _difference(row.to_prompt),
        interval(row.oracle, row.oracle_ci),
        *([ratio(held(entry, mode).perplexity if made else None)] if damage else []),
        *([number(entry.fit_seconds if made else None, 0)] if cost else []),
        _verdict(entry, row, mode),
    ]


def _difference(apart: Apart | None, named: bool = False) -> str:
    if apart is None:
        return "–"
    return f"{apart.to}: {interval(apart.value, apart.ci)}" if named else interval(apart.value, apart.ci)


def _verdict(entry: Entry, row: PersonRow, mode: str) -> str:
    if row.unranked:
        return row.unranked
    if is_fitted(row.name, row.kind):
        return standing(entry, mode)
    return held(entry, mode).verdict if row.kind == "part" else "–"


def overview_cells(entry: Entry, mode: str) -> dict[str, Cell]:
    """Column of the overview -> its cell; the distance from persons stands where other tasks have an effect."""
    m = held(entry, mode)
    own, seconds = head(m.persons), entry.fit_seconds
    shown = Cell("–")
    if own is not None:
        apart, words = own.to_nearest, "" if own.error is None else "error"
        if words and apart is not None and apart.value is not None:
            words += f"; {signed(apart.value, 2)} against {apart.to}"
        shown = Cell(Estimate(own.error, *(own.error_ci or (None, None))).text(2), own.error, "error", words)
    fitted = f"fitted in {seconds:.0f} s" if seconds is not None else ""
    return {
        "effect [95 %]": shown,
        "damage": Cell(ratio(m.perplexity), m.perplexity, small=fitted),
        "position bias": Cell(plain(m.position_bias), m.position_bias),
        "option mass": Cell(plain(m.option_mass), m.option_mass),
    }  # fmt: skip
