"""Ranks as what a test can tell: every two are compared, and a rank is the range that the comparisons leave open.

Counting the rivals whose interval lies wholly above rewards imprecision: a wide interval has nobody above it. Two
intervals may also overlap where the paired difference is beyond doubt (Schenker & Gentleman 2001). So every difference
is tested, Holm's (1979) correction runs over all pairs, and who is not shown to be better counts as possibly better
(Goldstein & Spiegelhalter 1996 show ranks with such ranges).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import special

from traitbench.statistics.comparison import holm
from traitbench.statistics.intervals import NORMAL, Estimate, p_value, t_value

__all__ = ["Rank", "ranks", "superiority", "unpaired"]

Pairs = Mapping[tuple[int, int], Estimate | None]
"""(i, j), i below j -> how much better i is than j; None where that cannot be tested."""


class Rank(NamedTuple):
    """Where one of several stands."""

    low: int
    """One plus the number of those significantly better."""
    high: int
    """The number of those not significantly worse, itself among them."""
    superiority: float | None
    """Probability that it is better than another, mean over the others; None without another to compare with."""


def ranks(count: int, pairs: Pairs, alpha: float = 0.05) -> list[Rank]:
    """The rank of each of `count`, from the differences between every two; more is better.

    A difference is significant where its two-sided p, adjusted by Holm over all pairs, is below `alpha`: the chance
    that any of the pairs is wrongly told apart is at most that. A pair without a test tells nothing apart.
    """
    tested = {pair: found for pair, found in pairs.items() if found is not None and found.value is not None}
    adjusted = dict(zip(tested, holm([p_value(found) for found in tested.values()]), strict=True))
    better, worse = np.zeros(count, dtype=int), np.zeros(count, dtype=int)
    chances: list[list[float]] = [[] for _ in range(count)]
    for (i, j), found in tested.items():
        p, above = adjusted[i, j], (found.value or 0.0) > 0
        if p is not None and p < alpha:
            better[j if above else i] += 1
            worse[i if above else j] += 1
        if (chance := superiority(found)) is not None:
            chances[i].append(chance)
            chances[j].append(1 - chance)
    means = [sum(mine) / len(mine) if mine else None for mine in chances]
    return [Rank(1 + int(better[i]), count - int(worse[i]), means[i]) for i in range(count)]


def superiority(difference: Estimate) -> float | None:
    """Probability that the true difference is above zero, given this estimate alone; one half where nothing differs.

    The confidence distribution of the difference (Xie & Singh 2013): value + se * t.
    """
    t = t_value(difference)
    return None if t is None else float(special.stdtr(difference.df or NORMAL, t))


def unpaired(a: float, a_ci: tuple[float, float], b: float, b_ci: tuple[float, float], level: float = 0.95) -> Estimate:
    """The difference `a` - `b` of two values of which only `level` intervals are known, as if they were independent.

    Its bounds are recovered from theirs (Zou & Donner 2008), so intervals may be skewed; the standard error is that of
    the side that faces zero. What two runs share, such as their items, usually makes a paired difference more certain.
    """
    value = a - b
    down = float(np.hypot(a - a_ci[0], b_ci[1] - b))
    up = float(np.hypot(a_ci[1] - a, b - b_ci[0]))
    se = (down if value > 0 else up) / float(special.ndtri((1 + level) / 2))
    return Estimate(value, se, (value - down, value + up), 0)
