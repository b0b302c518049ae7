"""How far each item moved under a control: what two runs are compared by, item by item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from traitbench.tasks.board import Part
from traitbench.tasks.scoring import RANDOM, weights_of
from traitbench.types import Mode, Record

__all__ = ["DESIGNS", "Design", "Shifts", "item_part"]

Design = Literal["poles", "baseline", "profiles"]
"""What an effect is: high minus low, the condition minus the baseline, or a slope over drawn profiles."""

DESIGNS: dict[Design, str] = {
    "poles": "high minus low",
    "baseline": "controlled minus plain",
    "profiles": "over drawn profiles",
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


def item_part(
    name: str, values: Mapping[str, Sequence[float | None]], shape: Sequence[int], keys: Mapping[str, int],
    facets: Mapping[str, str], mode: Mode,
) -> Part:  # fmt: skip
    """One target: item -> its shifts in the direction aimed at, one for each template and fit (`shape`).

    `keys` and `facets` may hold more items; the facets are clusters where every item of the part has one.
    """
    clusters = {item: facets[item] for item in values if item in facets}
    return Part(
        name=name,
        values={item: list(cells) for item, cells in values.items()},
        over=list(RANDOM),
        shape=list(shape),
        strata={item: keys[item] for item in values},
        clusters=clusters if len(clusters) == len(values) else {},
        weights=weights_of(mode),
    )
