"""What a control takes from what a model can do, or adds to it: lm-eval's tasks under every condition of a run.

`run --side_effects mmlu,gsm8k` puts stock tasks, or those of a folder, to the model that the run has loaded, under the
baseline and each control as its method made it, whatever the control is made of. What is heavy is imported when asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitbench.errors import TraitbenchUsage, UnsupportedControl
from traitbench.journal import RunFolder
from traitbench.runs.side_effects.records import SideEffects
from traitbench.samples import Condition
from traitbench.store import check_samples, read_lines, write_lines
from traitbench.types import Control, Response

if TYPE_CHECKING:
    from traitbench.backends.backend import Backend
    from traitbench.progress import Progress
    from traitbench.runs.side_effects.records import Graded
    from traitbench.runs.side_effects.tasks import Loaded
    from traitbench.tasks.shifts import Shifts

__all__ = ["SERVING", "again", "check", "checked", "kept", "loaded", "measured", "moved", "passed_on", "refuse_unasked"]

SERVING = ("hf",)
"""Backends whose loaded model lm-eval's tasks can be put to."""


def check(names: Sequence[str], limit: int | None, backend: str) -> None:
    """Refuse what cannot work, before anything is looked up: a backend, a limit of nothing, lm-eval not installed.

    UnsupportedControl, TraitbenchUsage or MissingExtra.
    """
    if not names:
        if limit is not None:
            raise TraitbenchUsage(
                f"--side_effects_limit {limit} limits lm-eval's tasks, and none is named; add --side_effects "
                "traitbench_reasoning, or leave it out"
            )
        return
    if len(set(names)) < len(names):
        raise TraitbenchUsage(f"--side_effects {','.join(names)} names a task twice; name each once")
    if backend not in SERVING:
        raise UnsupportedControl(
            f"--side_effects: the backend {backend} cannot answer lm-eval's tasks; backends that can: "
            f"{', '.join(SERVING)} (--backend {SERVING[0]} with a model of transformers)"
        )
    from traitbench.backends.lm_eval.kinds import installed

    installed()


def loaded(
    names: Sequence[str], include: Sequence[str], limit: int | None, made: Sequence[tuple[Condition, Control]],
    tell: Callable[[str], None],
) -> Loaded | None:  # fmt: skip
    """Find the tasks and load their data, see `tasks.load`; None where none is named.

    `made` are the controls that are there already: one that a task has no place for is refused before a model loads.
    """
    if not names:
        return None
    from traitbench.runs.side_effects.tasks import load

    found = load(names, include, limit, tell)
    refuse_unasked(found, made)
    return found


def refuse_unasked(tasks: Loaded | None, made: Sequence[tuple[Condition, Control]]) -> None:
    """UnsupportedControl for controls with messages where a task has no prompt to put them into."""
    whole = tasks.without_prompt() if tasks is not None else []
    if whole and any(control.messages for _, control in made):
        raise UnsupportedControl(
            f"--side_effects: {whole[0]} scores texts from their first word on, where no prompt stands, and the "
            "controls of this run hold messages; leave it out, or take a method without messages"
        )


def measured(
    tasks: Loaded | None, made: Sequence[tuple[Condition, Control]], backend: Backend, folder: RunFolder,
    held: dict[str, Response], progress: Progress, iterations: int,
) -> tuple[SideEffects, list[Graded]] | None:  # fmt: skip
    """Ask what is not yet answered; return the measurements without their differences, and their lines."""
    if tasks is None:
        return None
    from traitbench.runs.side_effects.asking import measure
    from traitbench.runs.side_effects.gathering import gathered

    outcomes = measure(tasks, made, backend, folder, held, progress, iterations)
    return gathered(tasks, outcomes), [line for outcome in outcomes for line in outcome.lines]


def kept(
    found: SideEffects, lines: Sequence[Graded], folder: Path, stamp: str, conditions: Sequence[Condition]
) -> SideEffects:
    """Write the lines beside the results of `stamp`, and compute the differences."""
    from traitbench.runs.side_effects.deltas import compared

    written = write_lines(folder / f"side_effects_{stamp}.jsonl", lines)
    return compared(found, lines, conditions).model_copy(update={"sha256": written})


def again(path: Path, found: SideEffects | None, conditions: Sequence[Condition]) -> SideEffects | None:
    """Compute the differences of a results file again from its lines, without a model; None where it has none.

    BadData where the lines are missing, damaged or not those that the numbers were computed from.
    """
    if found is None:
        return None
    from traitbench.runs.side_effects.deltas import compared

    return compared(found, _lines(path, found), conditions)


def moved(path: Path, found: SideEffects | None, conditions: Sequence[Condition]) -> list[tuple[str, Shifts]]:
    """Task -> how far each document moved under each control of a results file; see `deltas.shifts`."""
    if found is None:
        return []
    from traitbench.runs.side_effects.deltas import shifts

    return shifts(found, _lines(path, found), conditions)


def checked(path: Path, found: SideEffects | None) -> None:
    """BadData where the lines of a results file are missing, or not those that its numbers were computed from."""
    if found is not None:
        check_samples(_source(path), found.sha256)


def passed_on(path: Path, found: SideEffects | None, to: Path) -> SideEffects | None:
    """Copy the lines of the results file `path` into the folder `to`, gzipped. They hold no text of a document.

    Return the measurements with the sha256 of the copy, which differs where the lines are of an older version.
    """
    if found is None:
        return None
    name = f"side_effects_{path.stem.removeprefix('results_')}.jsonl.gz"
    return found.model_copy(update={"sha256": write_lines(to / name, _lines(path, found))})


def _lines(path: Path, found: SideEffects) -> list[Any]:
    from traitbench.runs.side_effects.records import Graded

    checked(path, found)
    return read_lines(_source(path), Graded)


def _source(path: Path) -> Path:
    source = path.with_name(f"side_effects_{path.stem.removeprefix('results_')}.jsonl")
    return source if source.is_file() else source.with_suffix(".jsonl.gz")
