"""How far each item moved under a control: what two runs are compared by, item by item."""

from __future__ import annotations

from typing import Literal

from traitbench.tasks.board import Part
from traitbench.types import Record

__all__ = ["DESIGNS", "Design", "Shifts"]

Design = Literal["poles", "baseline", "profiles"]
"""What an effect is: high minus low, the condition minus the baseline, or a slope over drawn profiles."""

DESIGNS: dict[Design, str] = {
    "poles": "high minus low",
    "baseline": "the condition minus the baseline",
    "profiles": "twice the slope on the level, over drawn profiles",
}
"""An effect in words; effects of two designs are never subtracted from each other."""


class Shifts(Record):
    """The item shifts of one contrast, in the direction aimed at: more is more of the effect."""

    filter: str
    """Scoring mode."""
    design: Design
    """Effects of two designs are never subtracted from each other."""
    part: Part
    """What is aimed at, e.g. a trait, and the shift of each item in `unit`, with its key as stratum, its facet and what
    else was drawn; unscored items are missing."""
    unit: str
    """POMP (percent of the scale's range) or nats a token."""
    hits: dict[str, bool] = {}
    """Item id -> whether the answer chosen moved as aimed; empty where none is chosen."""
    asked: dict[str, str]
    """How the items were asked, in words (orders, templates and so on): the same in both runs."""
