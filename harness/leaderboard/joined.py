"""What joins tasks on the leaderboard: told beside a row, also where two runs of the same controls hold the parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from traitbench.runs.projected import kept, summed
from traitbench.runs.results import Results
from traitbench.tables import Table
from traitbench.tasks import ACROSS, evidence_of
from traitbench.tasks.across import Told, whole
from traitbench.tasks.board import Capability, Cell, Entry, Projection, capability_cell, projection_cell, standing
from traitbench.types import digest

__all__ = ["beside", "joined", "side_by_side"]

F = TypeVar("F")


def joined(entries: Sequence[Entry], runs: Mapping[str, Results]) -> list[Entry]:
    """The same entries, each with what is told beside its rows, and with what its controls did elsewhere.

    `runs`: results by what the entries call them.
    """
    controls = {run: _controls(run, results) for run, results in runs.items()}
    harm = _elsewhere(runs, controls, _harm, lambda found: found.n)
    moved = _elsewhere(runs, controls, _moved, lambda found: found.targets)
    entries = [
        entry.model_copy(
            update={
                "capability": entry.capability or harm(entry.run), "projection": moved(entry.run)
            }
        )
        for entry in entries
    ]  # fmt: skip
    told = [
        Told(
            entry.run, entry.task, filter, evidence_of(entry.kind), _made(runs[entry.run]), controls[entry.run], row,
            entry.contaminated, entry.n,
        )
        for entry in sorted(entries, key=lambda e: (e.place, e.run))
        for filter, row in entry.rows.items()
    ]  # fmt: skip
    held: dict[tuple[str, str], dict[str, dict[str, list[dict[str, object]]]]] = {}
    for name in ACROSS:
        for (run, task, filter), lines in ACROSS.load(name)().beside(told).items():
            held.setdefault((run, task), {}).setdefault(name, {})[filter] = lines
    return [
        entry.model_copy(update={"joined": held[entry.run, entry.task]}) if (entry.run, entry.task) in held else entry
        for entry in entries
    ]


def beside(entry: Entry, filter: str) -> dict[str, Cell]:
    """Column -> cell, of what is told beside a row."""
    return {
        column: cell
        for name, told in entry.joined.items()
        if name in ACROSS
        for column, cell in ACROSS.load(name)().cells(told.get(filter, [])).items()
    }


def side_by_side(entries: Sequence[Entry]) -> list[Table]:
    """What a control did to all that was measured, a row of self-report a line; no rank: the columns rank apart."""
    lines = []
    for entry in entries:
        if evidence_of(entry.kind) == "self-report":
            for filter in entry.metrics:
                told: list[dict[str, Cell]] = [{}]
                for name, held in entry.joined.items():
                    if name in ACROSS and (more := held.get(filter)):
                        told = [{**one, **each} for one in told for each in ACROSS.load(name)().apart(more)]
                alike = {"capability [95 %]": capability_cell(entry), "projection [95 %], SD": projection_cell(entry)}
                for column, cell in alike.items():
                    if cell.value is not None:
                        told = [{**one, column: cell} for one in told]
                lines += [(entry, filter, one) for one in told if any(cell.value is not None for cell in one.values())]
    names = list(dict.fromkeys(name for *_, cells in lines for name in cells))
    rows = [
        [entry.model, entry.label or entry.method, f"{entry.task}, {filter}", standing(entry, filter),
         *(whole(cells.get(name, Cell("–"))) for name in names)]
        for entry, filter, cells in lines
    ]  # fmt: skip
    return (
        [Table(title="Side by side", columns=["model", "method", "self-report by", "its verdict", *names], rows=rows)]
        if rows
        else []
    )


def _elsewhere(
    runs: Mapping[str, Results],
    controls: Mapping[str, Mapping[str, str]],
    find: Callable[[Results], F | None],
    much: Callable[[F], int],
) -> Callable[[str], F | None]:
    """Find what the controls of a run did in another run of the same: in that which has most of it."""
    held: dict[str, F] = {}
    for run in sorted(runs):
        found = find(runs[run])
        if found is not None and controls[run]:
            name = _named(runs[run], controls[run])
            held[name] = max(held.get(name, found), found, key=much)
    return lambda run: held.get(_named(runs[run], controls[run]))


def _harm(results: Results) -> Capability | None:
    """What controls took from lm-eval's tasks, or added to them."""
    return results.side_effects.capability if results.side_effects else None


def _moved(results: Results) -> Projection | None:
    """How far texts moved along the directions of their targets."""
    return summed(kept(results.path), results.conditions) if results.path else None


def _named(results: Results, controls: Mapping[str, str]) -> str:
    """Name a model under a method's controls, by their contents."""
    return digest([results.model, results.method["name"], results.method["version"], dict(controls)])


def _made(results: Results) -> str:
    """Name what is controlled, and by what method: runs that differ in it have nothing in common."""
    method = [results.method["name"], results.method["version"]]
    return digest([results.model, method, results.config.get("limit")])


def _controls(run: str, results: Results) -> dict[str, str]:
    """Name of a target -> what its controls are, by their contents; of several fits nobody else has the same."""
    held: dict[str, list[list[str | None]]] = {}
    for condition in (c for c in results.conditions[1:] if c.headline):
        own = list(condition.levels) if condition.profile or len(condition.levels) == 1 else []
        for name in dict.fromkeys([condition.name, *own]):
            held.setdefault(name, []).append([condition.name, condition.control_hash or run])
    return {name: digest(made) for name, made in held.items()}
