"""The axis from the low to the high pole of a trait, of activations that come in pairs, one of either pole.

Two ways of finding it: the difference of the means (Marks and Tegmark, 2023), and the first principal component of the
pairs (Zou et al., 2023), as repeng computes it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import BadData

__all__ = ["Direction", "between"]

Direction = Literal["mean", "pca"]
"""mean: the difference of the means. pca: the first principal component of the pairs."""
States = NDArray[np.float32]


def between(differences: States, direction: Direction) -> States:
    """Return the way from the low pole to the high one, (..., width), of `differences` (pairs, ..., width), high - low.

    mean: their mean. pca: along the first principal component of the pairs, each about its own middle (repeng's
    pca_center), as far as the means of the poles lie apart along it, so that it leads to the high pole too. BadData
    without a pair.
    """
    if not len(differences):
        raise BadData("no pair of activations of both poles, so that nothing lies between them; expected one or more")
    means: States = differences.mean(axis=0)
    return means if direction == "mean" else _principal(differences, means)


def _principal(differences: States, means: States) -> States:
    """Project `means` on the component, whose own sign then decides nothing."""
    pairs, *shape, width = differences.shape
    rows = differences.reshape(pairs, -1, width).astype(np.float64)
    found = np.empty(rows.shape[1:])
    for n, mean in enumerate(means.reshape(-1, width).astype(np.float64)):
        # A pair about its middle is half its difference, and that turned round: together their mean is 0, and their
        # components are the right singular vectors of the differences.
        axis = np.linalg.svd(rows[:, n], full_matrices=False)[2][0]
        found[n] = (mean @ axis) * axis
    shaped: States = found.reshape(*shape, width).astype(np.float32)
    return shaped
