"""Shares of a few trials, with an interval that has a width where all of them ended alike."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from traitbench.types import Record

__all__ = ["Share", "share"]

_Z = 1.959963984540054
"""97.5 % quantile of the normal distribution."""


class Share(Record):
    """A share with its 95 % interval; both null where there were no trials."""

    value: float | None
    ci: tuple[float, float] | None = None
    n: int = 0
    """Trials that ended one way or the other."""


def share(outcomes: ArrayLike) -> Share:
    """Share of ones among `outcomes` (n,) of 0, 1 or NaN (missing), with the score interval of Wilson (1927)."""
    found = np.asarray(outcomes, dtype=float)
    kept = found[np.isfinite(found)]
    if not kept.size:
        return Share(value=None)
    n, p = int(kept.size), float(kept.mean())
    centre, half = p + _Z**2 / (2 * n), _Z * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n * n))
    low, high = ((centre + sign * half) / (1 + _Z**2 / n) for sign in (-1, 1))
    return Share(value=p, ci=(max(low, 0.0), min(high, 1.0)), n=n)
