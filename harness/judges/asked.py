"""Asking a judge and keeping what it answers: nothing is asked twice, and nothing that was answered is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from traitbench.errors import BadData
from traitbench.journal import RunFolder
from traitbench.judges.judge import Judge
from traitbench.judges.records import Ask
from traitbench.types import Response

__all__ = ["ask_once"]


def ask_once(
    judge: Judge,
    asked: Sequence[Ask],
    keys: Sequence[str],
    held: dict[str, Response],
    folder: RunFolder,
    step: Callable[[int], None] = lambda _: None,
) -> None:
    """Ask what is not in `held` (key -> response) yet, each content once; `held` and `folder` get every batch.

    `keys` name the requests, in their order; `step` is told how many were answered. BadData where the judge leaves one
    unanswered.
    """
    first = {key: place for place, key in reversed(list(enumerate(keys)))}
    once = sorted(first.values())
    done = {n for n, place in enumerate(once) if keys[place] in held}
    if len(done) < len(once):
        for batch in judge.answer([asked[place] for place in once], done):
            new = {keys[once[n]]: r for n, r in batch.items() if keys[once[n]] not in held}
            folder.append(new)
            held.update(new)
            step(len(new))
    if missing := [place for place in once if keys[place] not in held]:
        raise BadData(f"the judge {judge.name} left request {missing[0]} of {len(asked)} unanswered")
