"""evaluate(plan): make the controls, administer under each, keep every response, compute the results.

The only place where methods, backends, tasks and the store meet.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from traitbench import __version__, store
from traitbench.backends import BACKENDS
from traitbench.errors import BadData, UnsupportedControl
from traitbench.plan import Plan, Prepared, prepare
from traitbench.results import Facts, Kept, Results, summarise
from traitbench.samples import Condition, Sample, make_sample, regrade
from traitbench.types import Backend, Control, Request, Response, digest

if TYPE_CHECKING:
    from traitbench.inventories import Inventory

__all__ = ["Progress", "current", "evaluate", "graded", "inventory_of", "rescore", "samples_file"]


class Progress(Protocol):
    """Who is told how far a run is."""

    def plan(self, conditions: int, requests: int, held: int) -> None:
        """Called once, before the first request: how much there is and how much is already answered."""

    def condition(self, name: str) -> None:
        """Called when a condition begins."""

    def done(self, requests: int) -> None:
        """Called after a batch."""


def evaluate(plan: Plan, progress: Progress, tell: Callable[[str], None]) -> tuple[Results, Path]:
    """Run `plan` and return its results and their file. Safe to kill: the same call goes on where it stopped.

    `tell` gets diagnostics, one line each. Raises TraitbenchError before any model is loaded where the plan cannot
    work.
    """
    started = time.time()
    prepared = prepare(plan)
    needed = frozenset(kind for _, control in prepared.conditions for kind in control.kinds)
    kind = BACKENDS.load(prepared.backend)
    if needed - kind.applies:
        able = [name for name in BACKENDS if BACKENDS.load(name).applies >= needed]
        raise UnsupportedControl(
            f"the method {plan.method} makes {', '.join(sorted(needed))}, which the backend {prepared.backend} "
            f"cannot apply; backends that can: {', '.join(able) or 'none'}"
        )
    name = store.run_name(prepared.spec.name, plan.method, prepared.settings)
    folder = store.RunFolder(Path(plan.output_path) / name)
    with folder.open(fresh=plan.no_resume) as held:
        store.write_json(folder.path / "run.json", {"plan": plan.model_dump(mode="json"), "version": __version__})
        backend = kind.make(prepared.spec, plan.options())
        try:
            samples = _administer(prepared, backend, folder, held, progress, tell)
        finally:
            identity = backend.identity
            backend.close()
        facts = _facts(prepared, identity, started)
        results = summarise(facts, samples, {task.id: task.inventory for task in prepared.tasks})
        stamp = datetime.fromtimestamp(started, UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
        for task, rows in samples.items():
            store.write_samples(folder.path / f"samples_{task}_{stamp}.jsonl", rows)
        path = folder.path / f"results_{stamp}.json"
        store.write_json(path, results.model_dump(mode="json", by_alias=True))
    return results, path


def _administer(
    prepared: Prepared,
    backend: Backend,
    folder: store.RunFolder,
    held: dict[str, Response],
    progress: Progress,
    tell: Callable[[str], None],
) -> dict[str, list[Sample]]:
    """Ask everything that is not yet answered; return the samples of each task, condition by condition."""
    plan = prepared.plan
    requests: list[Request] = [r for task in prepared.tasks for r in task.requests(plan.seed)]
    inventories = {task.id: task.inventory for task in prepared.tasks}
    keys = {c.name: [_key(backend, control, r) for r in requests] for c, control in prepared.conditions}
    every = [key for mine in keys.values() for key in mine]
    progress.plan(len(keys), len(every), sum(key in held for key in every))
    samples: dict[str, list[Sample]] = {task.id: [] for task in prepared.tasks}
    for condition, control in prepared.conditions:
        mine = keys[condition.name]
        done = {i for i, key in enumerate(mine) if key in held}
        progress.condition(condition.name)
        with backend.under(control):
            if plan.write_out:
                _write_out(condition, backend, requests, tell)
            for batch in backend.run(requests, done):
                new = {mine[i]: response for i, response in batch.items() if mine[i] not in held}
                folder.append(new)
                held.update(new)
                progress.done(len(set(batch) - done))
            for index, request in enumerate(requests):
                if mine[index] not in held:
                    raise BadData(f"the backend {backend.name} left request {index} of {condition.name} unanswered")
                prompt = backend.prompt(request)
                samples[request.doc.task].append(
                    make_sample(request, held[mine[index]], condition, inventories[request.doc.task], prompt, plan.seed)
                )
    return samples


def _key(backend: Backend, control: Control, request: Request) -> str:
    """Name a response by all that decides it: model and precision, control, request, seed."""
    content: dict[str, Any] = {"model": backend.identity, "control": control.hash, "request": request.content()}
    if backend.name == "scripted":
        content["doc"] = request.doc.model_dump(mode="json")
        content["target"] = control.target.name if control.target else None
    return digest(content)


def _write_out(
    condition: Condition, backend: Backend, requests: Sequence[Request], tell: Callable[[str], None]
) -> None:
    seen: set[tuple[str, str, str | None]] = set()
    for request in requests:
        kind = (request.doc.task, request.doc.scoring, request.doc.order)
        if kind not in seen:
            seen.add(kind)
            words = " ".join(part for part in kind if part)
            tell(f"--- {condition.name}: {words}, item {request.doc.item}\n{backend.prompt(request)}⟨answer⟩")


def _facts(prepared: Prepared, identity: Mapping[str, Any], started: float) -> Facts:
    plan = prepared.plan
    seconds = time.time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    limited = [f"--limit {plan.limit}: the first {plan.limit} items only, not a score of the instrument"]
    wordings = [
        f"{task.id}: {item}: {note}" for task in prepared.tasks for item, note in task.inventory.wordings.items()
    ]
    config = plan.model_dump(mode="json", exclude={"write_out", "no_resume", "output_path"})
    return Facts(
        model_name=prepared.spec.label,
        model_source=prepared.backend,
        model=dict(identity),
        method={"name": plan.method, "version": prepared.method.version,
                "config": prepared.method.config.model_dump(mode="json"), "settings": prepared.settings},
        conditions=[condition for condition, _ in prepared.conditions],
        controls={c.name: [m.model_dump() for m in control.messages] for c, control in prepared.conditions},
        config=config,
        administration=plan.administration().model_dump(mode="json"),
        reference=prepared.reference,
        git_hash=_git_hash(),
        date=started,
        total_evaluation_time_seconds=seconds,
        cost={"fit_seconds": 0.0, "evaluation_seconds": seconds, "peak_memory_bytes": peak},
        warnings=(limited if plan.limit else []) + _unmeasured(prepared) + wordings,
    )  # fmt: skip


def _unmeasured(prepared: Prepared) -> list[str]:
    """Say which targets no task measures: they show what else moves, and no effect."""
    measured = {trait for task in prepared.tasks for trait in task.traits}
    aimed = dict.fromkeys(trait for condition, _ in prepared.conditions for trait in condition.levels)
    return [f"no task measures {trait}, so there is leakage but no effect" for trait in aimed if trait not in measured]


def _git_hash() -> str | None:
    """Return the commit of the checkout this package runs from; None where it is installed."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


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
    return summarise(facts.model_copy(update={"config": {**facts.config, **given}}), samples, inventories)


def inventory_of(task: str, old: Facts) -> Inventory:
    """Load the key of a task of `old` from where the run took it; texts are not needed."""
    from traitbench import inventories, tasks

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
