"""Common factors of a correlation matrix by minimum residuals, and what makes a matrix unfit for that."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from traitbench.errors import BadData

__all__ = ["CONSTANT", "NOT_INVERTIBLE", "Array", "Factors", "flaw", "inverse", "minres", "smc", "square"]

Array = NDArray[np.float64]

CONSTANT = 1e-12
"""Variances up to this are round-off of a constant item (an SD of a millionth of a scale point)."""

SINGULAR = 1e-8
"""Smallest eigenvalue that counts as positive: below it an inverse has fewer correct digits than a table prints."""

NOT_INVERTIBLE = "the correlation matrix is singular: too few respondents, or items that repeat each other"
"""Why there is no value where `inverse` gives none."""

LOWEST = 0.005
"""Lower bound of a uniqueness: a Heywood case stays a defined value."""


class Factors(NamedTuple):
    """Unrotated common factors."""

    loadings: Array
    """(k, f), largest factor first, each with a positive sum."""
    uniquenesses: Array
    """(k,), from .005 to 1."""


def square(matrix: ArrayLike) -> Array:
    """`matrix` as a (k, k) array; BadData where it is not square."""
    found = np.asarray(matrix, dtype=float)
    if found.ndim != 2 or found.shape[0] != found.shape[1]:
        raise BadData(f"the matrix has shape {found.shape}; expected (k, k), one row and one column an item")
    return found


def flaw(correlation: ArrayLike) -> str:
    """Say why nothing can be had from a correlation matrix (k, k); empty where it is sound.

    BadData for a matrix that is no correlation matrix (not square, or a diagonal that is neither 1 nor undefined).
    """
    r = square(correlation)
    if len(r) < 2:
        return "fewer than two items"
    diagonal = np.diag(r)
    if np.any(diagonal == 0):
        return "an item has no variance"
    if not np.all(np.isfinite(r)):
        return "an item has no variance or too few answers"
    if not np.allclose(diagonal, 1, rtol=0, atol=1e-6):
        raise BadData(
            f"the diagonal of the correlation matrix runs from {diagonal.min():g} to {diagonal.max():g}; expected 1: "
            "divide a covariance matrix by the standard deviations first"
        )
    return ""


def inverse(correlation: ArrayLike) -> Array | None:
    """Invert a sound correlation matrix (k, k); None where it is singular or not positive definite.

    That is so with duplicated items, with no more respondents than items, and often after pairwise deletion.
    """
    r = square(correlation)
    values, vectors = np.linalg.eigh(r)
    return (vectors / values) @ vectors.T if values[0] > SINGULAR else None


def smc(correlation: ArrayLike) -> Array | None:
    """Squared multiple correlation of each item with all others, (k,) (Guttman 1953); None where singular."""
    inverted = inverse(correlation)
    return None if inverted is None else 1 - 1 / np.diag(inverted)


def minres(correlation: ArrayLike, factors: int) -> Factors:
    """Extract `factors` common factors from a correlation matrix (k, k) by minimum residuals.

    Minimises the squared off-diagonal residuals (Harman & Jones 1966) over the uniquenesses: the loadings for given
    uniquenesses are the leading eigenvectors of the reduced matrix (Joereskog 1977, unweighted least squares), and at
    the minimum the diagonal residuals vanish. A uniqueness that would fall below .005 stays there.

    BadData where `flaw` finds one, or for a number of factors outside 1 to k - 1.
    """
    r = square(correlation)
    if reason := flaw(r):
        raise BadData(f"no factors can be extracted: {reason}; leave such items out")
    k = len(r)
    if not 1 <= factors < k:
        raise BadData(f"{factors} factors of {k} items; expected 1 to {k - 1}")
    common = smc(r)
    start = np.full(k, 0.5) if common is None else np.clip(1 - common, LOWEST, 1)

    def loss(uniquenesses: Array) -> tuple[float, Array]:
        values, vectors = np.linalg.eigh(r - np.diag(uniquenesses))
        values[k - factors :] = np.minimum(values[k - factors :], 0)
        return float(values @ values) / 2, -(vectors**2 @ values)

    found = optimize.minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=[(LOWEST, 1.0)] * k, options={"ftol": 1e-13, "gtol": 1e-8}
    )
    values, vectors = np.linalg.eigh(r - np.diag(found.x))
    loadings = vectors[:, ::-1][:, :factors] * np.sqrt(np.maximum(values[::-1][:factors], 0))
    return Factors(loadings * np.where(loadings.sum(axis=0) < 0, -1, 1), found.x)
