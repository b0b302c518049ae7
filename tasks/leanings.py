"""What answers lean towards, unit by unit: what a wish to look good is told by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.types import Trait

__all__ = ["Leaning", "Leanings"]


class Leaning(NamedTuple):
    """A unit of a task: an item, or what a pair says of one of its traits."""

    trait: Trait
    facet: str | None
    keyed: int
    """1 where more is more of the trait, -1 where it is less."""
    looks: int
    """1 where more looks good, -1 where it looks bad."""


class Leanings(NamedTuple):
    """The units of a task and their values under every condition."""

    units: list[Leaning]
    values: Mapping[str, NDArray[np.float64]]
    """Condition -> (units, templates, fits), NaN where unscored; agreement with an item, or the preference for what
    whoever is high on the trait would take."""
