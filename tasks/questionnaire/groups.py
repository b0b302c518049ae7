"""Which runs of a questionnaire are rivals: those with one design, the same targets and items asked in the same way."""

from __future__ import annotations

from collections.abc import Sequence

from traitbench.tasks.block import Facts
from traitbench.tasks.questionnaire.scorecard import PROFILES, Contrast
from traitbench.types import Mode

__all__ = ["DESIGNS", "design", "group"]

DESIGNS = {
    "poles": "high minus low",
    "baseline": "controlled minus plain",
    "profiles": "over drawn profiles",
    "mixed": "several kinds of targets",
}
"""Design of a run's contrasts -> what they are in words."""

_ASKED: dict[Mode, tuple[str, ...]] = {
    "statement": ("respondents", "repeats"),
    "choice": ("orders", "symbols", "respondents", "repeats"),
    "generate": ("orders", "symbols", "respondents", "repeats", "max_tokens", "temperature"),
}
"""What of the administration makes the items of two runs no pairs. Wordings are not in it: those that both runs have
are compared. A limited run has no rank anyway."""


def design(contrasts: Sequence[Contrast], baseline: str) -> str:
    """What the contrasts are, if they are all the same; `baseline` is the condition without control."""
    kinds = {"profiles" if c.high == PROFILES else "baseline" if c.low == baseline else "poles" for c in contrasts}
    return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else ""


def group(contrasts: Sequence[Contrast], facts: Facts, mode: Mode) -> str:
    """Name what a run was asked and aimed at; empty without a contrast.

    The effects of two designs are two different things, and so are means over other targets; items that were asked
    in other ways are no pairs. None of these is held against each other.
    """
    if not contrasts:
        return ""
    made = DESIGNS[design(contrasts, facts.conditions[0].name)]
    asked = "; ".join(f"{name} {_plain(facts.administration.get(name))}" for name in _ASKED[mode])
    return f"{made}; {', '.join(sorted(c.target for c in contrasts))}; {asked}"


def _plain(value: object) -> str:
    return "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
