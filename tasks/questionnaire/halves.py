"""Whether two halves of the items agree on what a control did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["split_half"]


def split_half(
    differences: NDArray[np.float64],
    keys: NDArray[np.int_],
    groups: Sequence[NDArray[np.int_]],
    weights: Literal["items", "halves"],
    seed: int,
    splits: int = 200,
) -> float | None:
    """Agreement of two random halves of the items, split within trait and key, on the shifts (contrasts x traits).

    `differences` (contrasts, items) keyed. None with fewer than three cells, with a trait that cannot be split, or
    where the shifts of a half do not vary.
    """
    if differences.size == 0 or differences.shape[0] * len(groups) < 3:
        return None
    whole = np.asarray(~np.isnan(differences).any(axis=0))
    rng = np.random.default_rng(seed)
    halves = np.zeros((2, splits, differences.shape[0], len(groups)))
    for place, group in enumerate(groups):
        strata = [mine for key in (1, -1) if (mine := group[whole[group] & (keys[group] == key)]).size]
        if not strata or any(mine.size < 2 for mine in strata):
            return None
        count = sum(mine.size for mine in strata)
        for mine in strata:
            share = 1 / len(strata) if weights == "halves" else mine.size / count
            shuffled = rng.permuted(np.tile(mine, (splits, 1)), axis=1)
            cut = mine.size // 2
            for half, part in enumerate((shuffled[:, :cut], shuffled[:, cut:])):
                halves[half, :, :, place] += share * differences[:, part].mean(axis=2).T
    first, second = (half.reshape(splits, -1) - half.reshape(splits, -1).mean(1, keepdims=True) for half in halves)
    norms = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    if (norms < 1e-12).any():
        return None
    r = float(((first * second).sum(1) / norms).mean())
    return 2 * r / (1 + r) if r > -1 else None
