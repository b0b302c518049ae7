"""Finished runs: which of their results files count, their samples graded anew, every number computed again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitbench import store
from traitbench.errors import BadData
from traitbench.plan import persons_keyed
from traitbench.results import Facts, Kept, Results, summarise
from traitbench.samples import Sample, regrade
from traitbench.types import digest

if TYPE_CHECKING:
    from traitbench.inventories import Inventory
    from traitbench.persons import Participants

__all__ = ["current", "graded", "inventory_of", "rescore", "samples_file"]


def current(run: Path) -> list[Path]:
    """The results files of a run's folder that count: the newest of each that asked the same, oldest first.

    A results file itself stands for itself. BadData where there is none.
    """
    found = sorted(run.glob("results_*.json")) if run.is_dir() else [run]
    newest = {_asked(_read(path)): path for path in found if path.is_file()}
    if not newest:
        raise BadData(f"{run} holds no results_*.json; expected a folder that `traitbench run` wrote")
    return sorted(newest.values())


def _asked(kept: Kept) -> str:
    """Name what a run asked: a run that asked the same later replaces it, another one stands beside it."""
    conditions = [condition.target or condition.name for condition in kept.conditions]
    asked = {name: value for name, value in kept.administration.items() if name != "limit"}
    return digest([sorted(kept.versions), asked, conditions])


def _read(path: Path) -> Kept:
    try:
        return Kept.model_validate(store.read_json(path))
    except ValueError as error:
        detail = str(error).splitlines()[0]
        raise BadData(f"{path} is no results file of this version: {detail}; repeat the `traitbench run`") from None


def graded(path: Path) -> tuple[Kept, dict[str, list[Sample]], dict[str, Inventory]]:
    """Read what a results file was computed from, graded anew: the run's facts, and samples and key of each task.

    BadData where files are missing or damaged.
    """
    old = _read(path)
    stamp = path.stem.removeprefix("results_")
    samples, inventories = {}, {}
    for task in old.versions:
        inventories[task] = inventory_of(task, old)
        source = samples_file(path.parent, task, stamp)
        rows = store.read_samples(source)
        if len(rows) != old.n_responses[task]:
            raise BadData(
                f"{source} holds {len(rows)} samples, but {path.name} was computed from {old.n_responses[task]}; the "
                "copy is incomplete: copy it again, or repeat the `traitbench run` that made it"
            )
        samples[task] = [regrade(row, inventories[task]) for row in rows]
    return old, samples, inventories


def rescore(path: Path, **config: str | None) -> Results:
    """Compute every number of a results file again from the samples beside it, without a model.

    `config` overrides what of the run's configuration decides no answer (norms). Nothing is written. BadData where
    files are missing or damaged.
    """
    old, samples, inventories = graded(path)
    facts = Facts(**{name: getattr(old, name) for name in Facts.model_fields})
    given = {name: value for name, value in config.items() if value is not None}
    facts = facts.model_copy(update={"config": {**facts.config, **given}})
    return summarise(facts, samples, inventories, _persons_again(facts, path))


def _persons_again(facts: Facts, path: Path) -> Participants | None:
    """Read the persons of a run anew: their answers are not in its files. BadData where they are others by now."""
    if not facts.persons:
        return None
    from traitbench import persons

    target = str(facts.config.get("target") or "")
    name = target.partition(":")[2] if target.startswith("person:") else persons.PAPI
    found = persons.load(name, keyed=persons_keyed(facts.config))
    if found.hashes != facts.persons:
        raise BadData(
            f"{path} was computed with other answers than {name} holds now; expected the persons "
            f"{', '.join(facts.persons)} as they were; put that data back, or repeat the `traitbench run`"
        )
    return found


def inventory_of(task: str, old: Facts) -> Inventory:
    """Load the key of a task of `old` from where the run took it; texts are not needed."""
    from traitbench import inventories, tasks

    if task in tasks.TASKS:
        made: Any = tasks.load(task, tasks.Administration())[0]
        return made.inventory  # type: ignore[no-any-return]
    include = old.config.get("include_path", ())
    for name in old.config["tasks"]:
        if name not in tasks.SUITES:
            found = inventories.load(name, texts=False, include=include)
            if found.id == task:
                return found
    return inventories.load(task, texts=False, include=include)


def samples_file(folder: Path, task: str, stamp: str) -> Path:
    """Find the samples of `task` that belong to the results of `stamp`; BadData where they are missing."""
    for name in (f"samples_{task}_{stamp}.jsonl", f"samples_{task}_{stamp}.jsonl.gz"):
        if (folder / name).is_file():
            return folder / name
    raise BadData(f"{folder} lacks samples_{task}_{stamp}.jsonl(.gz), from which the scores are computed")
