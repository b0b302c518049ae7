"""Critical values for items that no t distribution fits: the bootstrap-t and sign flips.

Both are factors on the critical value of t, so that one standard error, closed form, stands behind every interval.
The draws are the same for all calls with as many items and are kept: a call is a few small products.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

from traitbench.statistics.variances import Layout

__all__ = ["lengthened", "shrunk"]

DRAWS = 999
"""So that the 2.5 and 97.5 % points are order statistics."""
Draws = Callable[[int, int], NDArray[np.float64]]
"""From the number of items and of the stratum to the table of draws."""
FEWEST = 8
"""Items that moved from which draws are tried: of fewer, too many redraws or flips are the same."""
MARKED = 0.2
"""Skewness of the mean from which the bootstrap-t is asked, if it is twice its standard error for normal items as well.
It moves the error rate of one side of t by about 8 points a unit (Hall 1992, section 2.4): 1.7 points of 2.5."""
MOST = 3.0
"""Longest side, in those of t: where few items moved, redraws without one of them would make the side infinite."""
HEAVY = 4.0
"""Kurtosis about zero (of normal values without a mean: 3) from which signs are flipped."""


def lengthened(x: NDArray[np.float64], design: Layout, critical: float, level: float) -> tuple[float, float]:
    """How much longer than t the lower and the upper side must be for skewed values `x` (k,), at least 1 each.

    The bootstrap-t (Efron & Tibshirani 1993, section 12.5): items redrawn within their stratum, each redraw divided by
    its own standard error. Only where the estimated skewness of the mean is marked, and only ever longer: the
    short side of the bootstrap-t is too short for symmetric values with outliers, of which few items cannot be told
    from skewed ones. `critical` is that of t for `x`.
    """
    if x.size < FEWEST or abs(_skewness(x, design)) <= max(MARKED, 2 * _noise(design)):
        return 1.0, 1.0
    redrawn = np.sort(_studentised(x - design.means(x)[design.codes], design, _counts))
    low, high = (redrawn[_rank(share) - 1] for share in ((1 - level) / 2, (1 + level) / 2))
    # The upper end of the redraws is what the lower side needs. Rounded: products differ in their last digits.
    below, above = (min(max(round(float(q) / critical, 6), 1.0), MOST) for q in (high, -low))
    return below, above


def shrunk(x: NDArray[np.float64], design: Layout, critical: float, level: float) -> float:
    """Factor on the critical value of t with which differences `x` (k,) are tested against none, by flipped signs.

    Where two runs are alike, a difference is as likely as its negative, whatever the distribution: the quantile of
    |t| over flips of all signs is then exact but for the number of draws (Fisher 1935; Janssen 1997 for the
    studentised form), where t rejects outliers too rarely. 1 where the kurtosis about zero is at most HEAVY, which no
    flip changes, so that the choice spoils nothing.
    """
    squares = np.square(x)
    total = float(squares.sum())
    if np.count_nonzero(x) < FEWEST or x.size * float((squares / total) @ (squares / total)) <= HEAVY:
        return 1.0
    flipped = np.sort(np.abs(_studentised(x, design, _signs)))
    # Rounded up, so that a tie with the quantile is no rejection.
    return min(ceil(float(flipped[_rank(level) - 1]) / critical * 1e6) / 1e6 + 1e-6, MOST)


def _rank(share: float) -> int:
    """Which of the ordered draws has `share` of the distribution below it."""
    return min(max(round((DRAWS + 1) * share), 1), DRAWS)


def _skewness(x: NDArray[np.float64], design: Layout) -> float:
    """Estimated skewness of the stratified mean; of one stratum that of the items over sqrt(k)."""
    moved = x - design.means(x)[design.codes]
    largest = np.abs(moved).max()
    if largest == 0:
        return 0.0
    moved /= largest
    sums = np.array([moved**2, moved**3]) @ design.member
    w, k = design.shares, design.sizes
    variance = (w**2 * sums[0] / (k * np.maximum(k - 1, 1))).sum()
    return float((w**3 * sums[1] / (k * np.maximum(k - 1, 1) * np.maximum(k - 2, 1))).sum() / variance**1.5)


def _noise(design: Layout) -> float:
    """Standard error of the skewness of the mean where items are normal; of one stratum sqrt(6) / k."""
    w, k = design.shares, design.sizes
    return float(np.sqrt(6 * (w**6 / k**5).sum() / (w**2 / k).sum() ** 3))


def _studentised(x: NDArray[np.float64], design: Layout, draws: Draws) -> NDArray[np.float64]:
    """Means of the redrawn values over their standard errors, (DRAWS,)."""
    mean, squares = np.zeros(DRAWS), np.zeros((DRAWS, len(design.sizes)))
    for stratum, share in enumerate(design.shares):
        group = x[design.codes == stratum]
        table = draws(group.size, stratum)
        found = table @ group / group.size
        squares[:, stratum] = np.maximum(np.abs(table) @ np.square(group) - group.size * found**2, 0)
        mean += share * found
    factors = design.shares**2 / design.sizes
    if design.own:
        variance = squares @ (factors / (design.sizes - 1))
    else:
        variance = squares.sum(axis=1) * (factors.sum() / design.rest)
    # A redraw of one value over and over has no error of its own: its ratio is beyond all others.
    return np.asarray(mean / np.sqrt(np.maximum(variance, 1e-12 * float(np.square(x).mean()))), dtype=float)


@lru_cache(maxsize=128)
def _counts(k: int, stratum: int) -> NDArray[np.float64]:
    """How often each of `k` items is drawn, (DRAWS, k)."""
    rng = np.random.default_rng((k, stratum, 1))
    return rng.multinomial(k, np.full(k, 1 / k), size=DRAWS).astype(float)


@lru_cache(maxsize=128)
def _signs(k: int, stratum: int) -> NDArray[np.float64]:
    """+1 or -1 for each of `k` items, (DRAWS, k)."""
    return np.asarray(2.0 * np.random.default_rng((k, stratum, 2)).integers(0, 2, (DRAWS, k)) - 1, dtype=np.float64)
