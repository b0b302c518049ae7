"""Ask everything of a run under each of its conditions, and keep every response."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from traitbench.backends.backend import Backend
from traitbench.errors import BadData
from traitbench.progress import Progress
from traitbench.runs.estimate import foresee
from traitbench.runs.owed import requests_owed
from traitbench.runs.paces import Meter
from traitbench.samples import Condition, Item, Sample, graded, make_sample
from traitbench.store import RunFolder
from traitbench.tasks.task import Task
from traitbench.types import Control, Request, Response, digest

if TYPE_CHECKING:
    from traitbench.runs.plan import Prepared

__all__ = ["administer", "key_of"]


class _Desk(NamedTuple):
    """What asking needs besides the requests."""

    tasks: Mapping[str, Task]
    items: Mapping[str, Mapping[str, Item]]
    """Task -> item id -> item."""
    backend: Backend
    folder: RunFolder
    held: dict[str, Response]
    """Key -> response, of everything answered so far."""
    progress: Progress
    meter: Meter
    seed: int


def administer(
    prepared: Prepared,
    backend: Backend,
    folder: RunFolder,
    held: dict[str, Response],
    progress: Progress,
    tell: Callable[[str], None],
) -> dict[str, list[Sample]]:
    """Ask everything that is not yet answered; return the samples of each task, condition by condition."""
    plan = prepared.plan
    tasks = {task.id: task for task in prepared.tasks}
    items = {name: {item.id: item for item in task.items} for name, task in tasks.items()}
    requests = [request for asked in prepared.requests.values() for request in asked]
    every = [key_of(backend, control, r) for _, control in prepared.conditions for r in requests]
    outlook = foresee(prepared, backend, requests, every, held)
    progress.plan(outlook.estimate)
    desk = _Desk(tasks, items, backend, folder, held, progress, outlook.meter, plan.seed)
    samples: dict[str, list[Sample]] = {task.id: [] for task in prepared.tasks}
    for condition, control in prepared.conditions:
        progress.condition(condition.name)
        with backend.under(control):
            if plan.write_out:
                _write_out(condition, backend, requests, tell)
            mine: dict[str, list[Sample]] = {name: [] for name in samples}
            asked = requests
            while asked:
                for sample in _ask(desk, condition, control, asked):
                    mine[sample.task].append(sample)
                asked = [r for name, task in tasks.items() for r in _more(task, mine[name])]
        for name, rows in mine.items():
            samples[name] += rows
    outlook.learn()
    return samples


def _more(task: Task, samples: Sequence[Sample]) -> list[Request]:
    return requests_owed(task, task.follow_up(samples), "follow_up")


def _ask(desk: _Desk, condition: Condition, control: Control, requests: Sequence[Request]) -> list[Sample]:
    """Ask `requests` under the present control; return their samples, graded, in the same order."""
    backend, held = desk.backend, desk.held
    mine = [key_of(backend, control, request) for request in requests]
    done = {i for i, key in enumerate(mine) if key in held}
    for batch in desk.meter.timed(backend.run(requests, done), requests):
        new = {mine[i]: response for i, response in batch.items() if mine[i] not in held}
        desk.folder.append(new)
        held.update(new)
        desk.progress.done(len(set(batch) - done))
    out = []
    for index, request in enumerate(requests):
        if mine[index] not in held:
            raise BadData(f"the backend {backend.name} left request {index} of {condition.name} unanswered")
        item = desk.items[request.doc.task][request.doc.item]
        sample = make_sample(request, held[mine[index]], condition, item, backend.prompt(request), desk.seed)
        out.append(graded(sample, desk.tasks[request.doc.task].grade(sample)))
    return out


def key_of(backend: Backend, control: Control, request: Request) -> str:
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
