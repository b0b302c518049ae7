"""Finished runs: which of their results files count, their samples graded anew, every number computed again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from traitbench import store, tasks
from traitbench.errors import BadData, TraitbenchError, UnknownName
from traitbench.files import user_path
from traitbench.journal import damaged, fault
from traitbench.runs.folders import UNDECIDING, find_run, strays
from traitbench.runs.owed import grade_of
from traitbench.runs.results import Kept, Results, expected_sha256
from traitbench.runs.sealed import check_file
from traitbench.runs.side_effects import again
from traitbench.runs.summary import beside, summarise
from traitbench.samples import Sample
from traitbench.samples import graded as with_grade
from traitbench.tasks.administration import Administration
from traitbench.tasks.block import Facts
from traitbench.tasks.task import Task
from traitbench.types import digest

__all__ = ["Graded", "computed", "current", "graded", "rescore", "task_of"]


class Graded(NamedTuple):
    """What a results file is computed from."""

    kept: Kept
    """The run's facts, with the sha256 of the samples that were read."""
    samples: dict[str, list[Sample]]
    """Task -> its samples, graded anew."""
    tasks: dict[str, Task]


_OWN = re.compile(r"[\w.]+:[\w.<>]+(:.*)?")
"""What a plan calls a task of the caller's own: module:Class, or module:Class:id of an object."""


def current(named: str | Path, tell: Callable[[str], None], every: bool = False) -> list[Path]:
    """The results files of a run that count, one of each design, oldest first; a results file stands for itself.

    `named` is the run's folder or the beginning of its name (see `find_run`). A folder holds one plan, but may have
    been measured again, with changed weights too, and folders of older versions hold several plans. Of one design the
    newest counts, a whole run before a limited one; `tell` gets a line on each that is passed over. With `every` none
    is, and `named` may be a folder of runs. BadData where there is none.
    """
    whole = every and user_path(named).is_dir()
    run = user_path(named) if whole else find_run(named)
    results = sorted((run.rglob if whole else run.glob)("results_*.json"), key=lambda path: path.name)
    found = [path for path in (results if run.is_dir() else [run]) if path.is_file()]
    for folder in dict.fromkeys(path.parent for path in found):
        _journal(folder / "responses.jsonl", tell)
    if every and found:
        return found
    kept = {path: _read(path) for path in found}
    for path, facts in list(kept.items()):
        if run.is_dir() and (apart := strays(run, facts.config)):
            del kept[path]
            told = ", ".join(apart)
            tell(f"passed over {path}: it is of another plan than its folder ({told}); copy it back to its own")
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


def _journal(path: Path, tell: Callable[[str], None]) -> None:
    """Say which kept answers are damaged; the numbers are of the samples, which are checked where they are read."""
    wrong = damaged(path)[1] if path.is_file() else []
    if wrong:
        tell(f"{fault(path, wrong)}; the numbers shown are of the samples beside it")


def _design(kept: Kept) -> str:
    """Name what a run asked, on all items or some: one that asked something else stands beside it."""
    asked = {name: value for name, value in kept.administration.items() if name != "limit"}
    aims = [kept.config.get("target") or "all", list(kept.config.get("coefs", ())), *_fits(kept)]
    return digest([sorted(kept.versions), asked, kept.method["name"], kept.method["settings"], aims])


def _fits(kept: Kept) -> list[int]:
    """How many fits, where several: a name of before there were such runs stays as it was."""
    return [n] if (n := kept.config.get("fit_seeds", 1)) > 1 else []


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
    held = store.read_json(path)
    check_file(path, held)
    try:
        return Kept.model_validate(held)
    except ValueError as error:
        detail = str(error).splitlines()[0]
        raise BadData(f"{path} is no results file of this version: {detail}; repeat the `traitbench run`") from None


def graded(path: Path) -> Graded:
    """Read what a results file was computed from, graded anew.

    BadData where files are missing, damaged or not those that the numbers were computed from.
    """
    old = _read(path)
    stamp = path.stem.removeprefix("results_")
    samples, made, written = {}, {}, {}
    for name in old.versions:
        task = made[name] = task_of(name, old)
        source = store.samples_file(path.parent, name, stamp)
        rows = store.read_lines(source, Sample)
        if len(rows) != old.n_responses[name]:
            raise BadData(
                f"{source} holds {len(rows)} samples, but {path.name} was computed from {old.n_responses[name]}; the "
                "copy is incomplete: copy it again, or repeat the `traitbench run` that made it"
            )
        _same_key(task, rows, old.versions[name], path)
        samples[name] = [with_grade(row, grade_of(task, row)) for row in rows]
        written[name] = store.check_samples(source, expected_sha256(path, old, name))
    return Graded(old.model_copy(update={"samples_sha256": written}), samples, made)


def _same_key(task: Task, rows: Sequence[Sample], version: str, path: Path) -> None:
    """Refuse to score answers with another key than they were asked with: BadData for an inventory that was edited."""
    inventory = task.inventory
    if inventory is None:
        return

    def refuse(what: str, then: object, now: object) -> None:
        raise BadData(
            f"the inventory {task.id} is not the one that {path} was asked with: {what} was {then}, and is {now}; put "
            "it back as it was, or give the edited one another id and run that"
        )

    scale = inventory.response_scale
    asked, held = {row.item for row in rows}, {item.id: item for item in inventory.items}
    if version != task.version:
        refuse("its version", version, task.version)
    if others := sorted(asked ^ {item.id for item in task.items}):
        one = others[0]
        refuse(f"the item {one!r}", *(("asked", "not there") if one in asked else ("not there", "in it")))
    for row in rows:
        item = held[row.item]
        wordings = {item.text_hash, *(other.hash for id, other in inventory.alternatives.items() if id == item.id)}
        if row.doc_hash not in wordings:
            refuse(f"the text of item {item.id!r} (its sha256)", row.doc_hash[:12], item.text_hash[:12])
        for name in ("trait", "facet", "keyed"):
            if getattr(row, name) != getattr(item, name):
                refuse(f"{name} of item {item.id!r}", getattr(row, name), getattr(item, name))
        if row.option_values and (min(row.option_values), max(row.option_values)) != (scale.min, scale.max):
            was = f"{min(row.option_values)} to {max(row.option_values)}"
            refuse("the response scale", was, f"{scale.min} to {scale.max}")
        if row.order and (other := _unseen(scale.labels[:: -1 if row.order == "reverse" else 1], row.arguments)):
            refuse(f"the label {other!r} of the response scale", "not shown, or in another place", "there")


def _unseen(labels: Sequence[str], arguments: Sequence[str]) -> str | None:
    """The first label that a kept prompt does not show behind those before it; None too where no prompt is kept."""
    at = 0
    for label in labels if arguments else ():
        # A prompt that went out as JSON holds it escaped.
        at = max(arguments[0].find(label, at), arguments[0].find(json.dumps(label)[1:-1], at)) + 1
        if not at:
            return label
    return None


def rescore(path: Path, **config: str | None) -> Results:
    """Compute every number of a results file again from the samples beside it, without a model.

    `config` overrides what of the run's configuration decides no answer (norms). Nothing is written. BadData where
    files are missing or damaged.
    """
    return computed(path, graded(path), **config)


def computed(path: Path, found: Graded, **config: str | None) -> Results:
    """Compute the numbers of a results file of what `graded` found, see `rescore`; `path` is for messages."""
    old = found.kept
    facts = Facts(**{name: getattr(old, name) for name in Facts.model_fields})
    given = {name: value for name, value in config.items() if value is not None}
    facts = facts.model_copy(update={"config": {**facts.config, **given}})
    try:
        results = summarise(facts, found.tasks, found.samples)
        results = beside(results, again(path, old.side_effects, results.conditions))
    except BadData as error:
        raise BadData(f"{path}: {error}") from None
    return results.model_copy(update={"samples_sha256": old.samples_sha256})


def task_of(name: str, old: Facts) -> Task:
    """Make a task of `old` again from where the run took it; texts are not needed.

    BadData where the run took it from its caller, and no table names it.
    """
    asked = Administration.model_validate(old.administration)
    include = [user_path(folder) for folder in old.config.get("include_path", ())]
    own = [given for given in old.config["tasks"] if _OWN.fullmatch(given) and not given.endswith(".json")]
    for given in (*(each for each in old.config["tasks"] if each not in own), name):
        try:
            made = tasks.load(given, asked, include, texts=False)
        except TraitbenchError as error:
            if isinstance(error, UnknownName) and given == name and own:
                mine = [each for each in own if each.endswith(f":{name}")] or own
                raise BadData(
                    f"task {name} was the caller's own class {' or '.join(mine)}, which cannot be made again here; the "
                    "same evaluate call computes it again, or name it by an entry point (traitbench.tasks)"
                ) from None
            if not include:
                raise
            named = ",".join(map(str, include))
            raise BadData(
                f"{error}; the run was made with --include_path {named}: type this in the folder in which the run was "
                "made"
            ) from None
        if found := next((task for task in made if task.id == name), None):
            return found
    raise BadData(f"no task is called {name}; expected one that --tasks takes, or that of a run with --include_path")
