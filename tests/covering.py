"""Simulated items for which the true mean is known: how often an interval holds it, how often a test errs.

`tests/statistics/test_coverage.py` asserts the bounds on few draws; `tests/benchmarks/bench_coverage.py` writes the
table of docs/intervals.md from many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from traitbench.statistics.comparison import paired
from traitbench.statistics.intervals import stratified_mean

Values = NDArray[np.float64]
Draw = Callable[[np.random.Generator, "Case", int], Values]


class Case(NamedTuple):
    """One row of the table."""

    kind: str
    """Which distribution; a key of KINDS."""
    keys: tuple[int, int]
    """Plus- and minus-keyed items."""
    weights: Literal["items", "halves"] = "items"
    ratio: float = 1.0
    """SD of the minus-keyed items over that of the plus-keyed."""
    facet: int = 0
    """Items a facet; 0: no facets."""
    icc: float = 0.0
    """Share of the variance between facets."""
    over: tuple[str, ...] = ()
    """Random axes of three each."""
    spread: float = 0.0
    """SD of the replicates' own effects, in standard errors over items."""

    @property
    def n(self) -> int:
        """Items."""
        return sum(self.keys)

    @property
    def strata(self) -> NDArray[np.int_]:
        """Key of each item: spread over the facets as evenly as it goes."""
        order = np.argsort(np.modf(np.arange(self.n) * 0.61803398875)[0])
        keys = np.full(self.n, -1)
        keys[order[: self.keys[0]]] = 1
        return keys

    @property
    def clusters(self) -> list[str] | None:
        """Facet of each item."""
        return [f"f{i // self.facet}" for i in range(self.n)] if self.facet else None


KINDS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Values]] = {
    "normal": lambda rng, shape: rng.normal(0, 1, shape),
    "lognormal": lambda rng, shape: rng.lognormal(0, 1, shape) - np.exp(0.5),
    "sparse": lambda rng, shape: np.where(rng.random(shape) < 0.2, rng.normal(1, 0.5, shape), 0) - 0.2,
}
"""Draws with mean 0. Lognormal of sigma 1 has a skewness of 6; of sparse items one in five moved."""
MEAN = 0.5


def drawn(case: Case, rng: np.random.Generator, runs: int) -> Values:
    """Item values of a true mean of 0, (runs, k, 3, ...)."""
    values = KINDS[case.kind](rng, (runs, case.n))
    if case.icc:
        levels = np.repeat(rng.normal(0, 1, (runs, -(-case.n // case.facet))), case.facet, axis=1)[:, : case.n]
        values = np.sqrt(1 - case.icc) * values + np.sqrt(case.icc) * levels
    values = values * np.where(case.strata == 1, 1.0, case.ratio)
    if not case.over:
        return values
    shape = (3,) * len(case.over)
    values = values.reshape(*values.shape, *[1] * len(shape)) + rng.normal(0, 0.7, (*values.shape, *shape))
    for axis in range(len(shape)):
        sizes = [3 if a == axis else 1 for a in range(len(shape))]
        values = values + rng.normal(0, case.spread / case.n**0.5, (runs, 1, *sizes))
    return values


def pooled_t(values: Values, case: Case) -> tuple[Values, Values]:
    """What the intervals were before: t with the variance pooled over strata, items alone; mean and half, (runs,)."""
    x = values.reshape(*values.shape[:2], -1).mean(axis=2)
    groups = [x[:, case.strata == key] for key in (1, -1)]
    rest = case.n - 2
    variance = sum(((g - g.mean(axis=1, keepdims=True)) ** 2).sum(axis=1) for g in groups) / rest
    shares = [0.5, 0.5] if case.weights == "halves" else [g.shape[1] / case.n for g in groups]
    mean = sum(w * g.mean(axis=1) for w, g in zip(shares, groups, strict=True))
    error = np.sqrt(variance * sum(w**2 / g.shape[1] for w, g in zip(shares, groups, strict=True)))
    return np.asarray(mean), np.asarray(special.stdtrit(rest, 0.975) * error)


def coverage(case: Case, runs: int, seed: int = 1) -> tuple[float, float]:
    """Share of intervals that hold the true mean: ours, and t with pooled variance."""
    values = drawn(case, np.random.default_rng(seed), runs) + MEAN
    keys, clusters = case.strata, case.clusters
    found = [stratified_mean(x, keys, case.weights, clusters=clusters, over=case.over).ci for x in values]
    mean, half = pooled_t(values, case)
    held = [ci is not None and ci[0] <= MEAN <= ci[1] and ci[0] < ci[1] for ci in found]
    return float(np.mean(held)), float(np.mean((np.abs(mean - MEAN) <= half) & (half > 0)))


def errors(case: Case, runs: int, seed: int = 2) -> tuple[float, float]:
    """Share of paired tests below .05 for two runs that are alike: ours, and t with pooled variance."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 1, (runs, case.n)).reshape(runs, case.n, *[1] * len(case.over))
    a, b = (drawn(case, rng, runs) + shared for _ in range(2))
    keys, clusters = case.strata, case.clusters
    found = [paired(x, y, keys, case.weights, clusters=clusters, over=case.over).p for x, y in zip(a, b, strict=True)]
    mean, half = pooled_t(a - b, case)
    return float(np.mean([p is not None and p < 0.05 for p in found])), float(np.mean(np.abs(mean) > half))


def even(n: int) -> tuple[int, int]:
    """Balanced keys."""
    return n - n // 2, n // 2


SIZES = (8, 12, 24, 36, 60)
FACETS = ((8, 4), (12, 4), (24, 4), (24, 6), (36, 6), (60, 5), (60, 10))
"""Items, and items a facet."""


def cases() -> list[Case]:
    """Rows of the coverage table."""
    rows = [Case(kind, even(n)) for kind in KINDS for n in SIZES]
    rows += [Case("normal", (3 * n // 4, n // 4), "halves", ratio=2) for n in (12, 24, 36, 60)]
    rows += [Case(kind, (22, 2), weights) for kind in KINDS for weights in ("items", "halves")]  # type: ignore[arg-type]
    rows += [Case("normal", (22, 2), "halves", ratio=2)]
    rows += [Case("normal", even(n), facet=f, icc=icc) for icc in (0.2, 0.0) for n, f in FACETS]
    rows += [Case("lognormal", even(n), facet=f, icc=0.2) for n, f in ((24, 4), (36, 6), (60, 10))]
    rows += [Case("normal", even(n), over=("templates",), spread=s) for n in (12, 24, 60) for s in (0, 1.5, 3)]
    rows += [Case("normal", (18, 6), "halves", over=("templates",), spread=3)]
    rows += [Case("normal", even(24), over=("templates", "fits"), spread=s) for s in (0, 1.5, 3)]
    return rows


def paired_cases() -> list[Case]:
    """Rows of the table of error rates."""
    rows = [Case(kind, even(n)) for kind in KINDS for n in SIZES]
    rows += [Case("normal", (18, 6), "halves", ratio=2)]
    rows += [Case(kind, (22, 2)) for kind in KINDS]
    rows += [Case("normal", even(n), facet=f, icc=0.2) for n, f in FACETS[2:]]
    rows += [Case("normal", even(24), over=("templates",), spread=s) for s in (0, 1.5, 3)]
    return rows


def named(case: Case) -> Sequence[str]:
    """What a row is: items, n, keys, weights, what else is random."""
    keys = f"{case.keys[0]}/{case.keys[1]}" + (f", SD ratio {case.ratio:g}" if case.ratio != 1 else "")
    facets = f"facets of {case.facet}, ICC {case.icc:g}" if case.facet else ""
    over = f"3 {' x 3 '.join(case.over)}, SD {case.spread:g} SE" if case.over else ""
    return case.kind, str(case.n), keys, case.weights, facets or over
