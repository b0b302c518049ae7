"""Whether a table's declared keying agrees with its correlations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import BadData

if TYPE_CHECKING:
    from traitbench.inventories import Item

__all__ = ["TOLERANCE", "assert_keyed_correlations", "opposite_pairs"]

TOLERANCE = 0.02
"""A mean correlation this near 0 contradicts neither keying."""


def assert_keyed_correlations(correlation: NDArray[np.float64], items: Sequence[Item], keyed: bool) -> float | None:
    """Refuse a table whose declared keying contradicts its own item correlations, (k, k), NaN where undefined.

    In keyed space plus- and minus-keyed items of one facet (of one scale, where no facet has both) correlate
    positively on average; in raw space negatively. Returns that mean in the space of `correlation`, None where no
    pair can tell; raises BadData for the wrong sign beyond TOLERANCE.
    """
    pairs = opposite_pairs(items)
    found = np.array([correlation[a, b] for a, b in pairs], dtype=float)
    found = found[~np.isnan(found)]
    if not found.size:
        return None
    mean = float(found.mean())
    if (mean > 0) != keyed and abs(mean) > TOLERANCE:
        declared, other = ("keyed", "raw") if keyed else ("raw", "keyed")
        raise BadData(
            f"the table is declared {declared}, but plus- and minus-keyed items of one facet correlate {mean:+.2f} on "
            f"average ({found.size} pairs): expected {'a positive' if keyed else 'a negative'} mean, so minus-keyed "
            f"items would be reversed {'too rarely' if keyed else 'twice'}; declare it {other} (--{other})"
        )
    return mean


def opposite_pairs(items: Sequence[Item]) -> list[tuple[int, int]]:
    """Indices of plus- and minus-keyed items of one facet, or of one scale where no facet has both."""
    for facets in (True, False):
        groups: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for index, item in enumerate(items):
            groups[(item.facet if facets else None) or item.scale][item.keyed].append(index)
        if pairs := [(a, b) for g in groups.values() for a in g[1] for b in g[-1]]:
            return pairs
    return []
