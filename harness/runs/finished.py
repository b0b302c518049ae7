"""Finished runs: which of their results files count, their samples graded anew, every number computed again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitbench import store
from traitbench.errors import BadData
from traitbench.runs.folders import UNDECIDING, find_run
from traitbench.runs.plan import persons_keyed
from traitbench.runs.results import Facts, Kept, Results, summarise
from traitbench.samples import Sample, regrade
from traitbench.types import digest

if TYPE_CHECKING:
    from traitbench.inventories import Inventory
    from traitbench.targets.persons import Participants

__all__ = ["current", "graded", "inventory_of", "rescore"]


def current(named: str | Path, tell: Callable[[str], None]) -> list[Path]:
    """The results files of a run that count, one of each design, oldest first; a results file stands for itself.

    `named` is the run's folder or the beginning of its name (see `find_run`). A folder holds one plan, but may have
    been measured again, with changed weights too, and folders of older versions hold several plans. Of one design the
    newest counts, a whole run before a limited one; `tell` gets a line on each that is passed over. BadData where
    there is none.
    """
    run = find_run(named)
    found = sorted(run.glob("results_*.json")) if run.is_dir() else [run]
    kept = {path: _read(path) for path in found if path.is_file()}
    if not kept:
        raise BadData(f"{run} holds no results_*.json; expected a folder that `traitbench run` wrote")
    designs: dict[str, list[Path]] = {}
    for path, facts in kept.items():
        designs.setdefault(_design(facts), []).append(path)
    counted = []
    for paths in designs.values():
        best = max(paths, key=lambda path: (kept[path].administration.get("limit") is None, path.name))
        counted.append(best)
        for path in paths:
            if path != best:
                why = _apart(kept[path], kept[best])
                tell(f"passed over {path}: {why}; {best.name} counts (name the file itself to use it)")
    return sorted(counted)


def _design(kept: Kept) -> str:
    """Name what a run asked, on all items or some: one that asked something else stands beside it."""
    asked = {name: value for name, value in kept.administration.items() if name != "limit"}
    aims = [kept.config.get("target") or "all", list(kept.config.get("coefs", ()))]
    return digest([sorted(kept.versions), asked, kept.method["name"], kept.method["settings"], aims])


def _apart(kept: Kept, best: Kept) -> str:
    """Say what tells a run that is passed over from the one that counts."""
    mine, theirs = ({**k.config, **{f"model {name}": v for name, v in k.model.items()}} for k in (kept, best))
    told = [
        f"{name} {mine.get(name)}, not {theirs.get(name)}"
        for name in dict.fromkeys((*mine, *theirs))
        if name not in UNDECIDING and mine.get(name) != theirs.get(name)
    ]
    if kept.persons != best.persons:
        told.append("other answers of the persons")
    return f"another run ({'; '.join(told)})" if told else "the same plan, measured earlier"


def _read(path: Path) -> Kept:
    try:
        return Kept.model_validate(store.read_json(path))
    except ValueError as error:
        detail = str(error).splitlines()[0]
        raise BadData(f"{path} is no results file of this version: {detail}; repeat the `traitbench run`") from None


def graded(path: Path) -> tuple[Kept, dict[str, list[Sample]], dict[str, Inventory]]:
    """Read what a results file was computed from, graded anew: the run's facts, and samples and key of each task.

    BadData where files are missing, damaged or not those that the numbers were computed from.
    """
    old = _read(path)
    stamp = path.stem.removeprefix("results_")
    samples, inventories, written = {}, {}, {}
    for task in old.versions:
        inventories[task] = inventory_of(task, old)
        source = store.samples_file(path.parent, task, stamp)
        rows = store.read_samples(source)
        if len(rows) != old.n_responses[task]:
            raise BadData(
                f"{source} holds {len(rows)} samples, but {path.name} was computed from {old.n_responses[task]}; the "
                "copy is incomplete: copy it again, or repeat the `traitbench run` that made it"
            )
        samples[task] = [regrade(row, inventories[task]) for row in rows]
        written[task] = store.check_samples(source, old.samples_sha256.get(task))
    return old.model_copy(update={"samples_sha256": written}), samples, inventories


def rescore(path: Path, **config: str | None) -> Results:
    """Compute every number of a results file again from the samples beside it, without a model.

    `config` overrides what of the run's configuration decides no answer (norms). Nothing is written. BadData where
    files are missing or damaged.
    """
    old, samples, inventories = graded(path)
    facts = Facts(**{name: getattr(old, name) for name in Facts.model_fields})
    given = {name: value for name, value in config.items() if value is not None}
    facts = facts.model_copy(update={"config": {**facts.config, **given}})
    results = summarise(facts, samples, inventories, _persons_again(facts, path))
    return results.model_copy(update={"samples_sha256": old.samples_sha256})


def _persons_again(facts: Facts, path: Path) -> Participants | None:
    """Read the persons of a run anew: their answers are not in its files. BadData where they are others by now."""
    if not facts.persons:
        return None
    from traitbench.targets import persons

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
