"""Two correlation matrices of the same traits, compared cell by cell; and the draws that say how far chance goes.

A matrix is compared through its cells: the t (t - 1) / 2 correlations above the diagonal, in the order of
`numpy.triu_indices(t, 1)`. Undefined cells are NaN in here.
"""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

__all__ = [
    "Agreement",
    "agreement",
    "bootstrap_cells",
    "correlations",
    "leave_one_out_cells",
    "mantel",
    "sampled_cells",
]

Array = NDArray[np.float64]


class Agreement(NamedTuple):
    """Statistics of each draw of cells against one matrix, (draws,) each."""

    distance: Array
    """Frobenius norm of the difference off the diagonal: each pair counts twice."""
    mean_abs_difference: Array
    sign_agreement: Array
    """Share of cells with the same sign; 0 agrees only with 0."""
    spearman: Array
    """Rank correlation of the cells, ties at their mean rank; NaN where all cells of a side are equal."""


def correlations(scores: ArrayLike) -> Array:
    """Pearson correlations (t, t) of complete `scores` (n, t).

    NaN in the row and column (and on the diagonal) of a trait without variance, and everywhere below 3 rows.
    """
    x = np.asarray(scores, dtype=float)
    t = x.shape[1]
    if x.shape[0] < 3:
        return np.full((t, t), np.nan)
    centre = x.mean(axis=0)
    spread = np.sqrt(((x - centre) ** 2).mean(axis=0))
    # A repeated value leaves rounding, not variance.
    flat = spread <= 1e-9 * np.maximum(1.0, np.abs(centre))
    z = (x - centre) / np.where(flat, 1.0, spread)
    r = np.clip(z.T @ z / x.shape[0], -1.0, 1.0)
    np.fill_diagonal(r, 1.0)
    r[flat, :] = np.nan
    r[:, flat] = np.nan
    return np.asarray(r, dtype=float)


def agreement(cells: Array, reference: Array) -> Agreement:
    """Compare each row of `cells` (draws, k) with `reference` (k,), all defined, k at least 1."""
    difference = cells - reference
    ranks, base = stats.rankdata(cells, axis=1), stats.rankdata(reference)
    ranks, base = ranks - ranks.mean(axis=1, keepdims=True), base - base.mean()
    size = np.sqrt((ranks**2).sum(axis=1) * (base**2).sum())
    rank_r = np.where(size > 0, ranks @ base / np.where(size > 0, size, 1.0), np.nan)
    return Agreement(
        distance=np.sqrt(2 * (difference**2).sum(axis=1)),
        mean_abs_difference=np.abs(difference).mean(axis=1),
        sign_agreement=(np.sign(cells) == np.sign(reference)).mean(axis=1),
        spearman=np.clip(rank_r, -1.0, 1.0),
    )


def mantel(a: Array, b: Array) -> float:
    """Exact one-sided p of Mantel (1967) for two defined (t, t) matrices.

    It is the share of all t! relabellings of the traits of `a`, its own included, under which `a` is as similar to
    `b` as it is, or more. A relabelling only moves cells about, so their mean and spread stay, and the cross product,
    the correlation of the cells and (turned round) the Frobenius distance order the relabellings alike.
    """
    orders = np.array(list(permutations(range(len(a)))))
    rows, columns = np.triu_indices(len(a), 1)
    products = a[orders[:, rows], orders[:, columns]] @ b[rows, columns]
    return float(np.mean(products >= products[0] - 1e-12))


def sampled_cells(matrix: Array, n: int, draws: int, seed: int) -> Array:
    """Cells (draws, k) of the correlation matrices of normal samples of `n` >= 3 people with correlations `matrix`.

    Drawn as Wishart matrices with n - 1 degrees of freedom (Bartlett 1933), so the cost does not grow with n.
    """
    t = len(matrix)
    rng = np.random.default_rng((seed, 0))
    if n - 1 < t:
        factor = rng.standard_normal((draws, t, n - 1))
    else:
        factor = np.tril(rng.standard_normal((draws, t, t)), -1)
        factor[:, range(t), range(t)] = np.sqrt(rng.chisquare(n - 1 - np.arange(t), (draws, t)))
    # The symmetric root is unique, so a seed means the same draws everywhere. Pairwise deletion or rounding may leave a
    # matrix slightly indefinite; then the nearest root serves.
    values, vectors = np.linalg.eigh(matrix)
    people = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T @ factor
    s = people @ people.transpose(0, 2, 1)
    rows, columns = np.triu_indices(t, 1)
    cells = s[:, rows, columns] / np.sqrt(s[:, rows, rows] * s[:, columns, columns])
    return np.asarray(np.clip(cells, -1.0, 1.0), dtype=float)


def bootstrap_cells(scores: Array, draws: int, seed: int) -> Array:
    """Cells (draws, k) of the correlation matrices of `scores` (n, t) with its rows redrawn.

    NaN where a trait is constant in the redrawn rows, or in all.
    """
    n, t = scores.shape
    weights = np.random.default_rng((seed, 1)).multinomial(n, np.full(n, 1 / n), size=draws) / n
    flat = np.isnan(np.diag(correlations(scores)))
    z = (scores - scores.mean(axis=0)) / np.where(flat, 1.0, scores.std(axis=0))
    means = weights @ z
    variances = weights @ z**2 - means**2
    scale = np.sqrt(np.where(flat | (variances <= 1e-12), np.nan, variances))
    rows, columns = np.triu_indices(t, 1)
    covariances = weights @ (z[:, rows] * z[:, columns]) - means[:, rows] * means[:, columns]
    cells = covariances / (scale[:, rows] * scale[:, columns])
    return np.asarray(np.clip(cells, -1.0, 1.0), dtype=float)


def leave_one_out_cells(scores: Array) -> Array:
    """Cells (n, k) of the correlation matrices of `scores` (n, t) with each row left out in turn."""
    pairs = np.triu_indices(scores.shape[1], 1)
    return np.array([correlations(np.delete(scores, i, axis=0))[pairs] for i in range(len(scores))])
