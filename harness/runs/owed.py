"""What a task and a method owe the frame, checked where they give it: one line in place of a traceback later."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from traitbench.errors import BadData, TraitbenchUsage
from traitbench.judges import grading
from traitbench.samples import Grade, Sample
from traitbench.tasks.block import Block
from traitbench.tasks.task import Task
from traitbench.types import Choose, Continue, Request, Write

__all__ = ["block_owed", "finite", "grade_of", "requests_owed"]


def requests_owed(task: Task, given: Any, of: str = "requests") -> list[Request]:
    """Return what a task asks, if it is requests of its own, about its own items, each in a place of its own.

    `of` is the method that gave it. TraitbenchUsage with the first that is not so.
    """
    if not isinstance(given, list | tuple):
        raise TraitbenchUsage(f"{_said(task, of)} gives {_kind(given)}; expected a list of Choose, Continue and Write")
    known = {item.id for item in task.items}
    seen = set()
    for number, request in enumerate(given):
        if not isinstance(request, Choose | Continue | Write):
            raise TraitbenchUsage(
                f"{_said(task, of)} gives {_kind(request)} at place {number}; expected Choose, Continue or Write"
            )
        doc = request.doc
        if doc.task != task.id:
            raise TraitbenchUsage(
                f"{_said(task, of)} gives a Doc of the task {doc.task!r} at place {number}; expected {task.id!r}"
            )
        if doc.item not in known:
            raise TraitbenchUsage(
                f"{_said(task, of)} asks about the item {doc.item!r}, which is not among its items; expected the id "
                f"of one of them, e.g. {_some(known)}"
            )
        # A key of plain values: hashing a record would cost more, over many thousands of requests.
        key = tuple(doc.__dict__.values())
        if key in seen:
            raise TraitbenchUsage(
                f"{_said(task, of)} gives two requests of one place, {doc.scoring} of the item {doc.item!r}; expected "
                "Docs that differ, e.g. in repeat"
            )
        seen.add(key)
    return list(given)


def grade_of(task: Task, sample: Sample) -> Grade:
    """What a sample is worth: a judge's verdict, or an answer of the model as the task grades it."""
    return task.grade(sample) if sample.judge is None else grading.grade(sample)


def block_owed(task: Task, given: Any) -> Block:
    """Return a task's block, if it is one. TraitbenchUsage where it is something else."""
    if not isinstance(given, Block):
        raise TraitbenchUsage(f"{_said(task, 'summarise')} gives {_kind(given)}; expected a traitbench.Block")
    return given


def finite(task: str, value: Any) -> None:
    """BadData where a block's fields or metrics hold NaN or infinity, which JSON has no word for."""
    for place, number in _numbers(value, ()):
        if not math.isfinite(number):
            raise BadData(
                f"the task {task} computed {number} as {'.'.join(place)}; expected a finite number, or null (None) "
                "for what is missing"
            )


def _numbers(value: Any, place: Sequence[str]) -> Iterator[tuple[Sequence[str], float]]:
    if isinstance(value, float):
        yield place, value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _numbers(each, (*place, str(name)))
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _numbers(each, (*place, str(number)))


def _said(task: Task, of: str) -> str:
    return f"the task {task.id}: {of}"


def _kind(value: Any) -> str:
    """A value by its type, as it may be long."""
    return "None" if value is None else f"{type(value).__name__} {str(value)[:60]!r}"


def _some(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:3]) or "none, for it has no items"
