"""How far each item moved under a control: what two runs are compared by, item by item."""

from __future__ import annotations

from typing import Literal

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
    target: str
    """What is aimed at, e.g. a trait."""
    values: dict[str, float]
    """Item id -> shift, in `unit`; unscored items are missing."""
    keys: dict[str, int]
    """Item id -> key half, 1 or -1."""
    unit: str
    """POMP (percent of the scale's range) or nats a token."""
    weights: Literal["items", "halves"] = "items"
    """What counts alike in the mean: each item, or each key half."""
    hits: dict[str, bool] = {}
    """Item id -> whether the answer chosen moved as aimed; empty where none is chosen."""
    asked: str
    """How the items were asked, which must be the same in both runs."""
