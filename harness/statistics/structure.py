"""What lies behind the correlations of items and scales: how many factors, which, and whether they are the same.

Factor extraction and rotation have their own modules; their public names are here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg, stats

from traitbench.errors import BadData
from traitbench.statistics.coefficient import Coefficient
from traitbench.statistics.factors import NOT_INVERTIBLE, Array, Factors, flaw, inverse, minres, square
from traitbench.statistics.rotation import SchmidLeiman, oblimin, schmid_leiman, varimax

__all__ = [
    "KMO", "MTMM", "Bartlett", "Convergent", "Factors", "ParallelAnalysis", "SchmidLeiman", "bartlett", "flaw", "kmo",
    "minres", "multitrait_multimethod", "oblimin", "parallel_analysis", "procrustes", "schmid_leiman", "tucker",
    "varimax",
]  # fmt: skip


class KMO(NamedTuple):
    """Kaiser-Meyer-Olkin measure of sampling adequacy."""

    overall: Coefficient
    items: list[Coefficient]


class Bartlett(NamedTuple):
    """Bartlett's test that the items are uncorrelated; chi2 and p are None for the reason given."""

    chi2: float | None
    df: int
    p: float | None
    reason: str = ""


class ParallelAnalysis(NamedTuple):
    """Eigenvalues beside those of uncorrelated data; all None where the matrix is unfit."""

    factors: int | None
    """Leading observed eigenvalues above the simulated ones."""
    observed: Array | None
    """(k,), falling."""
    simulated: Array | None
    """(k,), falling: the percentile or the mean over the simulated samples."""
    reason: str = ""


class Convergent(NamedTuple):
    """One trait by two methods."""

    trait: str
    methods: tuple[str, str]
    r: float


class MTMM(NamedTuple):
    """Summary of a multitrait-multimethod matrix (Campbell & Fiske 1959)."""

    convergent: list[Convergent]
    """Monotrait-heteromethod correlations: the validity diagonals."""
    mean_convergent: Coefficient
    heterotrait_monomethod: Coefficient
    """Mean |r| of different traits by the same method."""
    heterotrait_heteromethod: Coefficient
    """Mean |r| of different traits by different methods."""
    exceeding: Coefficient
    """Share of comparisons in which a convergent r exceeds a heterotrait |r| in its row or column."""
    comparisons: int
    """How many comparisons that share is of."""


def kmo(correlation: ArrayLike) -> KMO:
    """Sampling adequacy of a correlation matrix (k, k), overall and per item (Kaiser 1970; Kaiser & Rice 1974).

    Sum of squared correlations over that sum plus the sum of squared partial correlations. None where singular.
    """
    r = square(correlation)
    reason = flaw(r)
    inverted = None if reason else inverse(r)
    if inverted is None:
        none = Coefficient(None, reason or NOT_INVERTIBLE)
        return KMO(none, [none] * len(r))
    scale = np.sqrt(np.diag(inverted))
    partial = (inverted / np.outer(scale, scale)) ** 2
    simple = r**2
    np.fill_diagonal(partial, 0)
    np.fill_diagonal(simple, 0)
    simple_sum, partial_sum = simple.sum(axis=0), partial.sum(axis=0)
    items = [_adequacy(float(s), float(p)) for s, p in zip(simple_sum, partial_sum, strict=True)]
    return KMO(_adequacy(float(simple_sum.sum()), float(partial_sum.sum())), items)


def _adequacy(simple: float, partial: float) -> Coefficient:
    if simple + partial == 0:
        return Coefficient(None, "uncorrelated with every other item")
    return Coefficient(simple / (simple + partial))


def bartlett(correlation: ArrayLike, n: int) -> Bartlett:
    """Bartlett's (1951) test of sphericity for a correlation matrix (k, k) of `n` respondents.

    chi2 = -(n - 1 - (2 k + 5) / 6) ln det R with k (k - 1) / 2 degrees of freedom.
    """
    r = square(correlation)
    k = len(r)
    df, factor = k * (k - 1) // 2, n - 1 - (2 * k + 5) / 6
    reason = flaw(r)
    if not reason and factor <= 0:
        reason = f"{n} respondents are too few for {k} items"
    if not reason and inverse(r) is None:
        reason = NOT_INVERTIBLE
    if reason:
        return Bartlett(None, df, None, reason)
    chi2 = factor * max(0.0, -float(np.linalg.slogdet(r).logabsdet))
    return Bartlett(chi2, df, float(stats.chi2.sf(chi2, df)))


def parallel_analysis(
    correlation: ArrayLike, n: int, iterations: int = 100, seed: int = 0, percentile: float | None = 95
) -> ParallelAnalysis:
    """Count the components of a correlation matrix (k, k) whose eigenvalue exceeds that of noise (Horn 1965).

    Noise is `iterations` samples of `n` respondents with k uncorrelated normal items; its eigenvalues are taken at
    `percentile` (Glorfeld 1995), or at their mean, as Horn did, where that is None. The samples' scatter matrices are
    drawn from their Wishart distribution, so that the cost does not grow with `n`.
    """
    r = square(correlation)
    k = len(r)
    reason = flaw(r)
    if not reason and n < 3:
        reason = "fewer than three respondents"
    if reason:
        return ParallelAnalysis(None, None, None, reason)
    rng = np.random.default_rng(seed)
    found = np.array([np.linalg.eigvalsh(_noise(n, k, rng))[::-1] for _ in range(iterations)])
    simulated = found.mean(axis=0) if percentile is None else np.percentile(found, percentile, axis=0)
    observed = np.asarray(np.linalg.eigvalsh(r)[::-1], dtype=float)
    above = observed > simulated
    return ParallelAnalysis(k if above.all() else int(np.argmin(above)), observed, np.asarray(simulated, dtype=float))


def _noise(n: int, k: int, rng: np.random.Generator) -> Array:
    """Correlation matrix (k, k) of `n` respondents to k uncorrelated normal items."""
    if n - 1 >= k:
        scatter = np.atleast_2d(stats.wishart.rvs(n - 1, np.eye(k), random_state=rng))
    else:
        x = rng.normal(size=(n - 1, k))
        scatter = x.T @ x
    scale = np.sqrt(np.diag(scatter))
    return np.asarray(scatter / np.outer(scale, scale), dtype=float)


def procrustes(loadings: ArrayLike, target: ArrayLike) -> Array:
    """Rotate loadings (k, f) orthogonally to the least-squares fit with a target (k, f) (Schoenemann 1966)."""
    a, b = _pair(loadings, target)
    if a.shape != b.shape:
        raise BadData(f"loadings {a.shape} and target {b.shape}; expected the same items and the same factors")
    return np.asarray(a @ linalg.orthogonal_procrustes(a, b)[0], dtype=float)


def tucker(a: ArrayLike, b: ArrayLike) -> Array:
    """Congruence of every factor of `a` (k, f) with every factor of `b` (k, g): (f, g) (Tucker 1951).

    The cosine of two columns of loadings on the same items. BadData for a factor without any loading.
    """
    first, second = _pair(a, b)
    lengths = np.outer(np.linalg.norm(first, axis=0), np.linalg.norm(second, axis=0))
    if not lengths.all():
        raise BadData("a factor has no loading but 0; expected at least one: leave that factor out")
    return np.asarray(first.T @ second / lengths, dtype=float)


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second):
        raise BadData(f"loadings of shapes {first.shape} and {second.shape}; expected (items, factors), items alike")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise BadData("a loading is missing; expected numbers: leave out items without variance")
    return first, second


def multitrait_multimethod(correlation: ArrayLike, traits: Sequence[str], methods: Sequence[str]) -> MTMM:
    """Summarise the correlations (p, p) of p measures, measure i being `traits[i]` by `methods[i]`.

    A convergent r is compared with each heterotrait |r| that shares a measure with it: those with another trait by
    the other method (its row and column of the heteromethod block) and by the same method (Campbell & Fiske 1959,
    criteria 2 and 3). Undefined correlations are left out.
    """
    r = square(correlation)
    if not len(r) == len(traits) == len(methods) == len(set(zip(traits, methods, strict=False))):
        raise BadData(
            f"{len(r)} measures, {len(traits)} traits and {len(methods)} methods; expected one trait and one method a "
            "measure, no pair of them twice"
        )
    trait, method = np.asarray(traits, dtype=object), np.asarray(methods, dtype=object)
    same_trait, same_method = trait[:, None] == trait, method[:, None] == method
    upper = np.triu(np.isfinite(r), 1)
    size = np.abs(r)
    pairs = np.argwhere(upper & same_trait & ~same_method)
    held = [Convergent(traits[i], (methods[i], methods[j]), float(r[i, j])) for i, j in pairs]
    exceeded = []
    for i, j in pairs:
        for own, other in ((i, j), (j, i)):
            rivals = np.isfinite(r[own]) & ~same_trait[own] & (same_method[own] | same_method[other])
            exceeded.extend(r[i, j] > size[own][rivals])
    return MTMM(
        held,
        _mean([c.r for c in held], "no trait is measured by two methods"),
        _mean(size[upper & ~same_trait & same_method], "no method measures two traits"),
        _mean(size[upper & ~same_trait & ~same_method], "no two traits are measured by different methods"),
        _mean(exceeded, "no convergent correlation has a heterotrait one beside it"),
        len(exceeded),
    )


def _mean(values: ArrayLike, reason: str) -> Coefficient:
    found = np.asarray(values, dtype=float)
    return Coefficient(float(found.mean())) if found.size else Coefficient(None, reason)
