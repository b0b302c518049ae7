"""What joins tasks on the leaderboard: told beside a row, also where two runs of the same controls hold the parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from traitbench.runs.results import Results
from traitbench.tasks import ACROSS, evidence_of
from traitbench.tasks.across import Told
from traitbench.tasks.board import Entry
from traitbench.types import digest

__all__ = ["joined"]


def joined(entries: Sequence[Entry], runs: Mapping[str, Results]) -> list[Entry]:
    """The same entries, each with what is told beside its rows.

    `runs`: results by what the entries call them.
    """
    made = {run: (_made(results), _controls(run, results)) for run, results in runs.items()}
    told = [
        Told(entry.run, entry.task, filter, evidence_of(entry.kind), *made[entry.run], row)
        for entry in sorted(entries, key=lambda e: (e.place, e.run))
        for filter, row in entry.rows.items()
    ]
    held: dict[tuple[str, str], dict[str, dict[str, list[dict[str, object]]]]] = {}
    for name in ACROSS:
        for (run, task, filter), lines in ACROSS.load(name)().beside(told).items():
            held.setdefault((run, task), {}).setdefault(name, {})[filter] = lines
    return [
        entry.model_copy(update={"joined": held[entry.run, entry.task]}) if (entry.run, entry.task) in held else entry
        for entry in entries
    ]


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
