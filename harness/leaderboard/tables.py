"""The leaderboard as tables: one a task and scoring mode, and for persons one each set of persons and items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from traitbench.tables import Table, interval, number
from traitbench.tasks.person_alignment.ranking import lines
from traitbench.types import Mode

if TYPE_CHECKING:
    from traitbench.leaderboard import Entry
    from traitbench.tasks.person_alignment.ranking import Apart, Line, PersonRow

__all__ = ["preface", "ratio", "standing", "tables"]


def preface(entries: Sequence[Entry]) -> list[str]:
    """Explain the columns that stand only where a run has them."""
    if all(m.perplexity is None for e in entries for m in e.metrics.values()):
        return []
    return [
        "Damage is the largest perplexity of neutral text under the edits, over that without; fit (s) is the time that "
        "fitting took, all targets together."
    ]


def tables(task: str, mode: Mode, entries: Sequence[Entry]) -> list[Table]:
    """One table, and one for each set of persons."""
    mine = [e for e in entries if mode in e.metrics]
    plain = [e for e in mine if not e.metrics[mode].persons]
    sets: dict[str | None, list[Entry]] = {}
    for entry in sorted((e for e in mine if e.metrics[mode].persons), key=lambda e: (-e.n, e.persons_hash or "")):
        sets.setdefault(entry.persons_hash, []).append(entry)
    label = " (persons {})" if len(sets) > 1 else ""
    aligned = [_persons(task, mode, found, label.format(name)) for name, found in sets.items()]
    return [*aligned, *([_table(task, mode, plain)] if plain else [])]


def _table(task: str, mode: Mode, entries: Sequence[Entry]) -> Table:
    unit = entries[0].metrics[mode].unit
    # A wide interval can leave a larger effect behind a smaller one.
    order = sorted(
        entries, key=lambda e: (e.metrics[mode].rank or len(entries) + 1, -(e.metrics[mode].effect or 0), e.place)
    )
    damage = any(e.metrics[mode].perplexity is not None for e in entries)
    cost = any(e.fit_seconds is not None for e in entries)
    rows = []
    for entry in order:
        m = entry.metrics[mode]
        settings = ", ".join([f"{k}={v}" for k, v in entry.settings.items()]
                             + ([f"{entry.profiles} profiles"] if entry.profiles else []))  # fmt: skip
        rows.append([
            "–" if m.rank is None else str(m.rank),
            entry.model,
            f"{entry.method}{f' ({settings})' if settings else ''}",
            interval(m.effect, m.effect_ci),
            number(m.effect_sds),
            number(m.leakage),
            number(m.mean_abs_shift),
            f"{m.targets - m.cautions}/{m.targets}" if m.targets else "–",
            number(m.position_bias),
            number(m.option_mass),
            f"{number(m.alpha)} ({m.respondents})" if m.respondents else "–",
            f"{number(m.human_distance)} ({m.human_mode})" if m.human_distance is not None else "–",
            *([ratio(m.perplexity)] if damage else []),
            *([number(entry.fit_seconds, 0)] if cost else []),
            standing(entry, mode),
        ])  # fmt: skip
    columns = [
        "rank", "model", "method", f"effect ({unit}) [95 %]", "effect (SDs)", "leakage", "mean abs. shift", "traits ok",
        "position bias", "option mass", "lowest alpha (respondents)", "distance to people",
        *(["damage (perplexity)"] if damage else []), *(["fit (s)"] if cost else []), "verdict",
    ]  # fmt: skip
    return Table(title=f"{task}, {mode}", columns=columns, rows=rows)


def _persons(task: str, mode: Mode, entries: Sequence[Entry], label: str = "") -> Table:
    """One table of `entries` with the same persons and items; `label` tells it from others of its kind."""
    found = lines(entries, mode)
    damage = any(line.entry.metrics[mode].perplexity is not None for line in found)
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
            "Error: mean |expected answer - the person's answer| by trait, summed over traits; lower is nearer, and a "
            "rank is one plus the rows whose interval lies wholly below. argmax: the likeliest option. published: "
            "that, counted as PAPI does. Differences are paired; below 0 is nearer. oracle: the strength chosen for "
            "each person on the test items, a bound and not a result.",
        ],
    )


def _cells(line: Line, mode: Mode, damage: bool, cost: bool) -> list[str]:
    entry, row = line
    made = row.kind == "method"
    settings = ", ".join(f"{k}={v}" for k, v in entry.settings.items())
    name = row.name
    if row.kind in ("method", "part") and settings:
        name = f"{entry.method} ({settings}){row.name.removeprefix(entry.method)}"
    return [
        "–" if row.rank is None else str(row.rank),
        "(trivial)" if row.kind == "baseline" else entry.model,
        name,
        interval(row.error, row.error_ci),
        number(row.argmax),
        number(row.published),
        number(row.correlation),
        _difference(row.to_nearest, named=True),
        _difference(row.to_prompt),
        interval(row.oracle, row.oracle_ci),
        *([ratio(entry.metrics[mode].perplexity if made else None)] if damage else []),
        *([number(entry.fit_seconds if made else None, 0)] if cost else []),
        _verdict(entry, row, mode),
    ]


def _difference(apart: Apart | None, named: bool = False) -> str:
    if apart is None:
        return "–"
    return f"{apart.to}: {interval(apart.value, apart.ci)}" if named else interval(apart.value, apart.ci)


def _verdict(entry: Entry, row: PersonRow, mode: Mode) -> str:
    if row.unranked:
        return row.unranked
    return entry.metrics[mode].verdict if row.kind in ("method", "part") else "–"


def standing(entry: Entry, mode: Mode) -> str:
    """What the column of verdicts says: the verdict, or that the test items were fitted on."""
    if entry.contaminated:
        return f"contaminated ({entry.contaminated} item{'' if entry.contaminated == 1 else 's'})"
    return entry.metrics[mode].verdict


def ratio(value: float | None) -> str:
    """A perplexity ratio; past a thousand no more than that: the model has broken down."""
    return "> 1000" if value is not None and value > 1000 else number(value)
