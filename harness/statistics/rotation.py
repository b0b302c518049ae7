"""Rotating factor loadings towards simple structure, and the general factor above oblique factors.

The rotations are the gradient projection of Bernaards & Jennrich (2005) as statsmodels has it. It finds a local
minimum, and may even stay where it starts when the unrotated loadings are symmetric, so it is started from the
unrotated position and from a few random ones; a random one is followed only if it leads clearly lower.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from traitbench.errors import BadData
from traitbench.statistics.factors import Array, minres

__all__ = ["SchmidLeiman", "oblimin", "schmid_leiman", "varimax"]

STARTS = 4
"""Random starts besides the unrotated position."""

TRIAL, STEPS = 30, 1000
"""Steps of the gradient from each start, and from where the best of them led."""


class SchmidLeiman(NamedTuple):
    """Orthogonal general and group factors (Schmid & Leiman 1957)."""

    general: Array
    """(k,) loadings on the general factor."""
    groups: Array
    """(k, f) loadings on the group factors, what the general factor leaves of the oblique ones."""
    uniquenesses: Array
    """(k,)"""


def varimax(loadings: ArrayLike) -> Array:
    """Rotate loadings (k, f) orthogonally by varimax with Kaiser's (1958) row normalisation.

    Returns (k, f), factors by falling sum of squares, each with a positive sum.
    """
    unrotated = _loadings(loadings)
    length = np.sqrt((unrotated**2).sum(axis=1, keepdims=True))
    length[length == 0] = 1
    return _ordered(_rotate(unrotated / length, "varimax")[0] * length)[0]


def oblimin(loadings: ArrayLike) -> tuple[Array, Array]:
    """Rotate loadings (k, f) obliquely by direct oblimin with gamma 0 (Jennrich & Sampson 1966), not normalised.

    Returns the pattern (k, f), factors by falling sum of squares, each with a positive sum, and the correlations of
    the factors (f, f).
    """
    rotated, transform = _rotate(_loadings(loadings), "quartimin")
    return _ordered(rotated, transform.T @ transform)


def schmid_leiman(loadings: ArrayLike, phi: ArrayLike) -> SchmidLeiman:
    """Split oblique factors, pattern (k, f) and correlations (f, f), into a general factor and what it leaves.

    The general factor is the one `minres` factor of `phi` (three or more factors identify it; of two, both load
    alike). BadData for a single factor: it has nothing above it.
    """
    pattern, between = _loadings(loadings), np.asarray(phi, dtype=float)
    if pattern.shape[1] < 2 or between.shape != (pattern.shape[1],) * 2:
        raise BadData(
            f"loadings {pattern.shape} and factor correlations {between.shape}; expected (k, f) and (f, f) with at "
            "least two factors, e.g. from oblimin"
        )
    above = minres(between, 1)
    general = pattern @ above.loadings[:, 0]
    groups = pattern * np.sqrt(above.uniquenesses)
    common = np.einsum("ij,jk,ik->i", pattern, between, pattern)
    return SchmidLeiman(general, groups, np.clip(1 - common, 0, 1))


def _loadings(loadings: ArrayLike) -> Array:
    found = np.asarray(loadings, dtype=float)
    if found.ndim != 2 or not np.all(np.isfinite(found)):
        raise BadData(f"the loadings have shape {found.shape}; expected (k, f), one column a factor, none missing")
    return found


def _rotate(loadings: Array, method: str) -> tuple[Array, Array]:
    """Rotated loadings (k, f) and the transformation (f, f) from the start that leads lowest."""
    from statsmodels.multivariate.factor_rotation import rotate_factors

    def descend(start: Array, steps: int) -> tuple[Array, Array]:
        # The library logs the gradient's norm, which may be 0 at the start.
        with np.errstate(divide="ignore"):
            rotated, transform = rotate_factors(loadings, method, T=start, tol=1e-5, max_tries=steps)
        return rotated, transform

    f = loadings.shape[1]
    if f == 1:
        return loadings, np.eye(1)
    random = stats.ortho_group(f, seed=0)
    best, lowest = np.eye(f), np.inf
    for start in (np.eye(f), *(random.rvs() for _ in range(STARTS))):
        rotated, transform = descend(start, TRIAL)
        criterion = _complexity(rotated, method)
        if criterion < lowest - 1e-6 * len(loadings):
            best, lowest = transform, criterion
    return descend(best, STEPS)


def _complexity(loadings: Array, method: str) -> float:
    """The criterion that the rotation lowers."""
    squares = loadings**2
    if method == "varimax":
        return -float(squares.var(axis=0).sum())
    return float((squares.sum(axis=1) ** 2).sum() - (squares**2).sum())


def _ordered(loadings: Array, phi: Array | None = None) -> tuple[Array, Array]:
    """Put the factors by falling sum of squares, each with a positive sum, and their correlations likewise."""
    between = np.eye(loadings.shape[1]) if phi is None else phi
    order = np.argsort(-(loadings**2).sum(axis=0), kind="stable")
    sign = np.where(loadings.sum(axis=0)[order] < 0, -1.0, 1.0)
    return loadings[:, order] * sign, between[np.ix_(order, order)] * np.outer(sign, sign)
