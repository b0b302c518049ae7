"""How well a score tells two classes apart: the area under the ROC curve, with an interval.

Of many texts that hang together from redraws of clusters; of few that do not in closed form, which has a width where
they are told apart without an error.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from traitbench.errors import BadData
from traitbench.statistics.bootstrap import Bootstrap, cluster_bootstrap
from traitbench.statistics.proportions import Share

__all__ = ["area", "area_interval", "auc"]

_Z = 1.959963984540054
"""97.5 % quantile of the normal distribution."""
_ASIDE = 1e-9


def area(scores: ArrayLike, positive: ArrayLike) -> float:
    """Probability that one of the class `positive` (n,) scores above one that is not, ties counting one half.

    It is the area under the ROC curve (Hanley & McNeil 1982): 0.5 for scores (n,) that say nothing. NaN where a class
    is absent.
    """
    x, y = np.asarray(scores, dtype=float), np.asarray(positive, dtype=bool)
    if x.ndim != 1 or x.shape != y.shape or not np.isfinite(x).all():
        raise BadData(f"scores of shape {x.shape} and classes of shape {y.shape}; expected finite scores, one a class")
    ones = int(y.sum())
    zeros = len(y) - ones
    if not ones or not zeros:
        return float("nan")
    return float((stats.rankdata(x)[y].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def area_interval(
    scores: ArrayLike,
    positive: ArrayLike,
    clusters: Sequence[Hashable],
    groups: Sequence[Hashable] | None = None,
    iterations: int = 2000,
    seed: int = 0,
) -> Bootstrap:
    """The area with its 95 % percentile interval from redraws of `clusters`, a label a score.

    With `groups`, a label a score, the mean of the groups' areas: the scores of one group are never compared with
    those of another, and a cluster may reach over several. BadData where lengths differ.
    """
    names = np.zeros(len(clusters)) if groups is None else np.unique(list(map(str, groups)), return_inverse=True)[1]
    rows = np.column_stack([np.asarray(scores, dtype=float), np.asarray(positive, dtype=float), names])
    kinds = np.unique(names)

    def mean(drawn: NDArray[np.float64]) -> float:
        return float(np.mean([area(part[:, 0], part[:, 1]) for part in (drawn[drawn[:, 2] == k] for k in kinds)]))

    return cluster_bootstrap(rows, list(map(str, clusters)), mean, iterations, seed)


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
    value = area(np.concatenate([a, b]), np.repeat([True, False], [m, n]))

    def beyond(t: float) -> float:
        more = 1 + ((m + n) / 2 - 1) * ((1 - t) / (2 - t) + t / (1 + t))
        return float((t - value) ** 2 - _Z**2 * t * (1 - t) * more / (m * n))

    # At 0 and 1 the value itself solves the equation too.
    low_end = 0.0 if value <= 0 else float(optimize.brentq(beyond, 0.0, value - _ASIDE))
    high_end = 1.0 if value >= 1 else float(optimize.brentq(beyond, value + _ASIDE, 1.0))
    return Share(value=value, ci=(low_end, high_end), n=m + n)
