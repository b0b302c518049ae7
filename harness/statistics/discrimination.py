"""How well a score tells two classes apart: the area under the ROC curve, with intervals from redraws of clusters."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from traitbench.errors import BadData
from traitbench.statistics.bootstrap import Bootstrap, cluster_bootstrap

__all__ = ["area", "area_interval"]


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
