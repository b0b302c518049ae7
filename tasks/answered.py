"""What simulated respondents answered: what `traitbench compare` sets beside people's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from traitbench.inventories import Item

__all__ = ["Answered"]


class Answered(NamedTuple):
    """One condition in one scoring mode."""

    filter: str
    """Scoring mode."""
    condition: str
    items: tuple[Item, ...]
    values: NDArray[np.float64]
    """(respondents, items), keyed, in points of the scale; NaN where there is no valid answer."""
