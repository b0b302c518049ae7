"""Ask everything of a run under each of its conditions, and keep every response."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from traitbench.backends.backend import Backend, NotFinite
from traitbench.backends.lengths import TooLong, refuse_longest
from traitbench.errors import BadData
from traitbench.interrupts import handed_on
from traitbench.journal import RunFolder
from traitbench.progress import Progress
from traitbench.runs.estimate import foresee
from traitbench.runs.judging import Judging
from traitbench.runs.owed import requests_owed
from traitbench.runs.paces import Meter
from traitbench.samples import Condition, Item, Sample, graded, make_sample
from traitbench.tasks.task import Task
from traitbench.types import Control, Request, Response, digest

if TYPE_CHECKING:
    from traitbench.runs.plan import Prepared

__all__ = ["administer", "check_lengths", "key_of", "refuse_not_finite"]


Group = Sequence[tuple[Condition, Control]]
"""Conditions whose requests may share batches."""


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
    judging: Judging | None = None,
) -> dict[str, list[Sample]]:
    """Ask everything that is not yet answered; return the samples of each task, condition by condition.

    Those of judges follow behind, in the same order.
    """
    plan = prepared.plan
    tasks = {task.id: task for task in prepared.tasks}
    items = {name: {item.id: item for item in task.items} for name, task in tasks.items()}
    requests = [request for asked in prepared.requests.values() for request in asked]
    every = [key_of(backend, control, r) for _, control in prepared.conditions for r in requests]
    outlook = foresee(prepared, backend, requests, every, held)
    progress.plan(outlook.estimate)
    if any(key not in held for key in every):
        backend.start(tell)
    desk = _Desk(tasks, items, backend, folder, held, progress, outlook.meter, plan.seed)
    samples: dict[str, list[Sample]] = {task.id: [] for task in prepared.tasks}
    for group in [prepared.conditions] if plan.mix_conditions else [[each] for each in prepared.conditions]:
        # A control alone in its batches is put on once; where conditions mix, each request brings its own.
        with backend.under(group[0][1]) if len(group) == 1 else nullcontext():
            if plan.write_out:
                for condition, control in group:
                    with _under(backend, control, group):
                        _write_out(condition, backend, requests, tell)
            rows = _rounds(desk, group, requests)
        if judging is not None:
            judging.begin([condition for condition, _ in group], rows)
        for row in rows:
            samples[row.task].append(row)
    outlook.learn()
    for row in judging.finish(progress) if judging is not None else ():
        samples[row.task].append(row)
    return samples


def check_lengths(prepared: Prepared, backend: Backend) -> None:
    """Raise TooLong, before anything is asked, where a condition's prompts do not fit: of all the longest is named."""
    requests = [request for asked in prepared.requests.values() for request in asked]

    def check(made: tuple[Condition, Control]) -> None:
        condition, control = made
        try:
            backend.check_lengths(requests, control)
        except TooLong as error:
            raise TooLong(f"{condition.name}: {error}", error.over) from None

    refuse_longest(prepared.conditions, check)


def _under(backend: Backend, control: Control, group: Group) -> AbstractContextManager[None]:
    """The control in force, which it is already where it is alone."""
    return backend.under(control) if len(group) > 1 else nullcontext()


def _rounds(desk: _Desk, group: Group, requests: Sequence[Request]) -> list[Sample]:
    """Ask `requests` under each of the group's conditions, then what tasks want to follow; condition by condition."""
    found: list[dict[str, list[Sample]]] = [{name: [] for name in desk.tasks} for _ in group]
    asked = [list(requests) for _ in group]
    while any(asked):
        for mine, samples in zip(found, _ask(desk, group, asked), strict=True):
            for sample in samples:
                mine[sample.task].append(sample)
        asked = [
            [r for name, task in desk.tasks.items() for r in _more(task, mine[name])] if before else []
            for mine, before in zip(found, asked, strict=True)
        ]
    return [sample for mine in found for samples in mine.values() for sample in samples]


def _more(task: Task, samples: Sequence[Sample]) -> list[Request]:
    return requests_owed(task, task.follow_up(samples), "follow_up")


def _ask(desk: _Desk, group: Group, asked: Sequence[Sequence[Request]]) -> list[list[Sample]]:
    """Ask each condition of the group its own requests; return their samples, graded, in the same order."""
    backend, held = desk.backend, desk.held
    pairs = [(control, r) for (_, control), mine in zip(group, asked, strict=True) for r in mine]
    names = [condition.name for (condition, _), mine in zip(group, asked, strict=True) for _ in mine]
    keys = [key_of(backend, control, request) for control, request in pairs]
    # What two conditions ask alike, under one control, is asked once; `places` says how often it is answered then.
    places: dict[str, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    once = [mine[0] for mine in places.values()]
    done = {i for i, place in enumerate(once) if keys[place] in held}
    desk.progress.condition(names[0])
    every = [pairs[place][1] for place in once]
    answers = backend.run(every, done) if len(group) == 1 else backend.run_mixed([pairs[n] for n in once], done)
    # An interrupt waits until the batch is written, and then finds the backend, which keeps what is under way.
    with closing(handed_on(answers)) as batches, _overflown(names, desk):
        for batch in desk.meter.timed(batches, every):
            desk.progress.condition(names[max(once[i] for i in batch)])
            new = {keys[once[i]]: response for i, response in batch.items() if keys[once[i]] not in held}
            for i, response in batch.items():
                refuse_not_finite(response, names[once[i]], backend)
            desk.folder.append(new)
            held.update(new)
            desk.progress.done(sum(len(places[keys[once[i]]]) for i in set(batch) - done))
    if missing := [place for place, key in enumerate(keys) if key not in held]:
        raise BadData(f"the backend {backend.name} left request {missing[0]} of {names[missing[0]]} unanswered")
    out, answered = [], iter(keys)
    for (condition, control), mine in zip(group, asked, strict=True):
        with _under(backend, control, group):
            out.append([_sample(desk, condition, request, held[next(answered)]) for request in mine])
    return out


@contextmanager
def _overflown(names: Sequence[str], desk: _Desk) -> Iterator[None]:
    """Say of which condition it is that a model cannot write."""
    try:
        yield
    except NotFinite as error:
        raise _no_number(f"{names[0]}: the model's logits hold {error}", desk.backend) from None


def refuse_not_finite(response: Response, condition: str, backend: Backend) -> None:
    """Refuse numbers that are not finite before they are kept: no score can be made of them."""
    numbers = [*(response.option_logprobs or ()), response.loglik]
    if wrong := [number for number in numbers if number is not None and not math.isfinite(number)]:
        raise _no_number(f"{condition}: the model answers with {wrong[0]} where a log-probability should be", backend)


def _no_number(what: str, backend: Backend) -> BadData:
    dtype = backend.identity.get("dtype")
    told = f"{what}{f' (dtype {dtype})' if dtype else ''}; nothing of that batch is kept. "
    if dtype == "float32":
        return BadData(
            f"{told}float32 seldom overflows, so the weights give no numbers: expected finite ones, get them again or "
            "take another model; under a control, it is the control: take a weaker one or fit it again"
        )
    others = "float32" if dtype == "bfloat16" else "float32 or bfloat16"
    return BadData(
        f"{told}Half precision overflows in some models: use --model_args dtype={others}; under a control, a weaker one"
    )


def _sample(desk: _Desk, condition: Condition, request: Request, response: Response) -> Sample:
    item = desk.items[request.doc.task][request.doc.item]
    made = make_sample(request, response, condition, item, desk.backend.prompt(request), desk.seed)
    return graded(made, desk.tasks[request.doc.task].grade(made))


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
