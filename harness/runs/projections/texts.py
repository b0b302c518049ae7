"""The texts of a run that can be projected, by condition and control, with the baseline's prompt beside each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from traitbench.errors import UnsupportedControl
from traitbench.runs.projected import Of
from traitbench.samples import BASELINE, Sample

__all__ = ["Group", "Shown", "groups"]


class Shown(NamedTuple):
    """A text as the model meets it."""

    item: str
    """Task and item: what an interval is over."""
    prompt: str
    reply: str | None
    """None where the prompt itself is looked at."""


class Group(NamedTuple):
    """The texts of a condition that one control made."""

    condition: str
    control: str | None
    """Hash of its control; None of the baseline."""
    coef: float | None
    own: tuple[Shown, ...]
    """Behind the prompts that the condition was asked with."""
    plain: tuple[Shown, ...]
    """The same behind those of the baseline; where the run has none, behind its own."""


def groups(samples: Mapping[str, Sequence[Sample]], of: Of, limit: int | None, run: object) -> list[Group]:
    """Sort the samples of a run, task by task; each prompt counts once, `limit` takes the first items of each task.

    UnsupportedControl for a run without written replies, where these are asked for, or without its prompts.
    """
    mine = [s for some in samples.values() for s in some if s.judge is None and (limit is None or s.doc_id < limit)]
    if of == "replies":
        mine = [s for s in mine if s.scoring == "generate" and _reply(s).strip()]
        if not mine:
            raise UnsupportedControl(
                f"{run} holds no written reply; expected a run of a task that has some, such as personality_bench, or "
                "--of prompts"
            )
    if not mine or not all(s.arguments for s in mine):
        raise UnsupportedControl(
            f"{run} holds hashes of its prompts and not the prompts, as published runs of restricted items do; "
            "repeat the `traitbench run` that made it"
        )
    plain = {_cell(s): s.arguments[0] for s in mine if s.condition == BASELINE}
    held: dict[tuple[str, str | None], list[Sample]] = defaultdict(list)
    for sample in mine:
        held[sample.condition, sample.control_hash if sample.condition != BASELINE else None].append(sample)
    return [
        Group(
            condition, control, some[0].coef,
            _once([_shown(s, s.arguments[0], of) for s in some]),
            _once([_shown(s, plain.get(_cell(s), s.arguments[0]), of) for s in some]),
        )
        for (condition, control), some in held.items()
    ]  # fmt: skip


def _once(shown: Sequence[Shown]) -> tuple[Shown, ...]:
    """Of prompts each once: a question with several statements behind it, or in several repeats, has one."""
    return tuple(dict.fromkeys(shown)) if shown and shown[0].reply is None else tuple(shown)


def _shown(sample: Sample, prompt: str, of: Of) -> Shown:
    return Shown(f"{sample.task}/{sample.item}", prompt, _reply(sample) if of == "replies" else None)


def _reply(sample: Sample) -> str:
    """What was written; nothing where the call failed."""
    first = sample.resps[0] if sample.resps else None
    found = first[0] if isinstance(first, list) and first else first
    return found if isinstance(found, str) else ""


def _cell(sample: Sample) -> tuple[object, ...]:
    """The place in the grid that a sample shares with those of other conditions."""
    return (
        sample.task, sample.item, sample.scoring, sample.order, sample.symbols, sample.template, sample.respondent,
        sample.repeat, sample.context, sample.rival,
    )  # fmt: skip
