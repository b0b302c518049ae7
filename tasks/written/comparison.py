"""What two runs are compared and ranked by: the shifts of their questions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from traitbench.tables import plain
from traitbench.tasks import effects
from traitbench.tasks.block import Facts
from traitbench.tasks.board import Part
from traitbench.tasks.differences import design_of
from traitbench.tasks.effects import aimed
from traitbench.tasks.shifts import DESIGNS, Shifts
from traitbench.tasks.written.cards import named
from traitbench.tasks.written.effects import ReplyContrast
from traitbench.tasks.written.records import Written

__all__ = ["FILTER", "group", "part", "ranked", "shifts"]

FILTER: Final = "generate"
_WRITING = ("max_tokens", "temperature", "repetition_penalty")
_ASKED = ("templates", "repeats", *_WRITING)
"""What of an administration decides how replies were written; it holds no repetition penalty where there was none."""


def shifts(found: Written, facts: Facts, facets: Mapping[str, str]) -> list[Shifts]:
    """The contrasts that aim at one trait and have a number; `facets` are those of the questions that have one."""
    asked = {"judges": named(found.counted, facts), **_how(facts)}
    return [
        Shifts(
            filter=FILTER,
            design=design_of(contrast.high, contrast.low, facts.conditions[0].name),
            part=part(contrast, found, facets),
            unit=found.unit,
            asked=asked,
        )
        for contrast in ranked(found)
    ]


def ranked(found: Written) -> list[ReplyContrast]:
    """The contrasts of the run's number that aim at one trait and may be interpreted."""
    held = found.rated.contrasts if found.rated else []
    return [contrast for contrast in aimed(held) if contrast.check != "not interpretable"]


def part(contrast: ReplyContrast, found: Written, facets: Mapping[str, str]) -> Part:
    """One target: its questions' shifts in the direction aimed at."""
    return effects.part(contrast, found.templates, facets, {}, "items")


def group(found: Written, facts: Facts) -> str:
    """Name what a run was asked and aimed at, and who judged; runs that share it are rivals. Empty without a contrast.

    A judge counts with its card: numbers of another version of a judge are other numbers.
    """
    held = ranked(found)
    if not held:
        return ""
    designs = {design_of(c.high, c.low, facts.conditions[0].name) for c in held}
    words = DESIGNS[designs.pop()] if len(designs) == 1 else "several kinds of targets"
    how = [f"{name} {value}" for name, value in _how(facts).items() if name in _WRITING]
    return "; ".join([words, ", ".join(sorted(c.target for c in held)), named(found.counted, facts), *how])


def _how(facts: Facts) -> dict[str, str]:
    return {name: plain(facts.administration[name]) for name in _ASKED if name in facts.administration}
