"""How much better one contender is than another: paired over the units that both have, where they say which."""

from __future__ import annotations

import numpy as np

from traitbench.statistics.intervals import Estimate
from traitbench.statistics.ranking import unpaired
from traitbench.statistics.sums import Term, total
from traitbench.tasks.alignment import aligned
from traitbench.tasks.board import Contender, Part

__all__ = ["difference"]

SAME = 1e-12
"""Of the largest value: a smaller difference is the last digits of equal numbers."""


def difference(a: Contender, b: Contender) -> Estimate | None:
    """How much better `a` is than `b`; None where that cannot be tested.

    With parts on both sides it is the mean over the shared parts of paired differences; their units are different
    units, so their errors add up. Without, both intervals are taken as independent.
    """
    found = _paired(a, b) if a.parts and b.parts else _apart(a, b)
    if found is None or found.value is None or found.se is None:
        return None
    if a.higher_is_better:
        return found
    return found._replace(value=-found.value, ci=(-found.ci[1], -found.ci[0]) if found.ci else None)


def _apart(a: Contender, b: Contender) -> Estimate | None:
    if a.value is None or b.value is None or a.ci is None or b.ci is None:
        return None
    return unpaired(a.value, a.ci, b.value, b.ci)


def _paired(a: Contender, b: Contender) -> Estimate | None:
    others = {part.name: part for part in b.parts}
    shared = [(part, others[part.name]) for part in a.parts if part.name in others]
    if not shared:
        return None
    names = sorted({name for part in (*a.parts, *b.parts) for name in part.over})
    return total([_part(mine, other, names)._replace(share=1 / len(shared)) for mine, other in shared], names)


def _part(a: Part, b: Part, names: list[str]) -> Term:
    """The paired differences of one part, over the units and what else both have."""
    both = aligned(a, b, names)
    found = both.a - both.b
    found = np.where(np.abs(found) <= SAME * np.maximum(np.abs(both.a), np.abs(both.b)), 0.0, found)
    return Term(1.0, found, both.strata, both.clusters, both.weights)
