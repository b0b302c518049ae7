"""How well a score tells two groups of texts apart: the area under the ROC curve, with an interval at its ends too."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from traitbench.statistics.proportions import Share

__all__ = ["auc"]

_Z = 1.959963984540054
"""97.5 % quantile of the normal distribution."""
_ASIDE = 1e-9


def auc(high: ArrayLike, low: ArrayLike) -> Share:
    """Chance that a score of `high` (m,) lies above one of `low` (n,), ties a half; NaN is missing.

    The interval is method 5 of Newcombe (2006, Statistics in Medicine 25, 559-573): of all areas t those that lie
    within 1.96 of their own standard errors of the one found, with the variance
    t (1 - t) {1 + ((m + n) / 2 - 1) ((1 - t) / (2 - t) + t / (1 + t))} / (m n). It has a width at 0 and 1.
    """
    a, b = (x[np.isfinite(x)] for x in (np.asarray(high, dtype=float), np.asarray(low, dtype=float)))
    m, n = len(a), len(b)
    if not m or not n:
        return Share(value=None)
    ranks = stats.rankdata(np.concatenate([a, b]))
    value = float(ranks[:m].sum() - m * (m + 1) / 2) / (m * n)

    def beyond(t: float) -> float:
        more = 1 + ((m + n) / 2 - 1) * ((1 - t) / (2 - t) + t / (1 + t))
        return float((t - value) ** 2 - _Z**2 * t * (1 - t) * more / (m * n))

    # At 0 and 1 the value itself solves the equation too.
    low_end = 0.0 if value <= 0 else float(optimize.brentq(beyond, 0.0, value - _ASIDE))
    high_end = 1.0 if value >= 1 else float(optimize.brentq(beyond, value + _ASIDE, 1.0))
    return Share(value=value, ci=(low_end, high_end), n=m + n)
