"""Which runs of a questionnaire are rivals: those with one design, the same targets and items asked in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from traitbench.tables import plain
from traitbench.tasks.block import Facts
from traitbench.tasks.differences import design_of
from traitbench.tasks.questionnaire.scorecard import Contrast
from traitbench.tasks.shifts import DESIGNS, Design
from traitbench.types import Mode

__all__ = ["design", "group"]

_ASKED: dict[Mode, tuple[str, ...]] = {
    "statement": ("respondents", "repeats"),
    "choice": ("orders", "symbols", "respondents", "repeats"),
    "generate": ("orders", "symbols", "respondents", "repeats", "max_tokens", "temperature", "repetition_penalty"),
}
"""What of the administration makes the items of two runs no pairs. Wordings are not in it: those that both runs have
are compared. A limited run has no rank anyway."""


def design(contrasts: Sequence[Contrast], baseline: str) -> Design | Literal["mixed", ""]:
    """What the contrasts are, if they are all the same; `baseline` is the condition without control."""
    kinds = {design_of(c.high, c.low, baseline) for c in contrasts}
    return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else ""


def group(contrasts: Sequence[Contrast], facts: Facts, mode: Mode) -> str:
    """Name what a run was asked and aimed at; empty without a contrast.

    The effects of two designs are two different things, and so are means over other targets; items that were asked
    in other ways are no pairs. None of these is held against each other.
    """
    if not contrasts:
        return ""
    made = design(contrasts, facts.conditions[0].name)
    words = DESIGNS[made] if made in DESIGNS else "several kinds of targets"
    asked = "; ".join(
        f"{name} {plain(facts.administration.get(name))}"
        for name in _ASKED[mode]
        if name != "repetition_penalty" or name in facts.administration
    )
    return f"{words}; {', '.join(sorted(c.target for c in contrasts))}; {asked}"
