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
from traitbench.statistics.intervals import item_means, stratified_mean

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
    facets: tuple[int, ...] = ()
    """Items of each facet; empty: no facets."""
    icc: float = 0.0
    """Share of the variance between facets."""
    over: tuple[str, ...] = ()
    """Random axes of `levels` each."""
    levels: int = 3
    spread: float = 0.0
    """SD of the replicates' own effects, in standard errors over items."""
    missing: float = 0.0
    """Share of the cells that were not asked."""

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
        return [f"f{facet}" for facet, size in enumerate(self.facets) for _ in range(size)] or None


KINDS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Values]] = {
    "normal": lambda rng, shape: rng.normal(0, 1, shape),
    "lognormal": lambda rng, shape: rng.lognormal(0, 1, shape) - np.exp(0.5),
    "sparse": lambda rng, shape: np.where(rng.random(shape) < 0.2, rng.normal(1, 0.5, shape), 0) - 0.2,
}
"""Draws with mean 0. Lognormal of sigma 1 has a skewness of 6; of sparse items one in five moved."""
MEAN = 0.5


def drawn(case: Case, rng: np.random.Generator, runs: int) -> Values:
    """Item values of a true mean of 0, (runs, k, levels, ...); NaN where a cell was not asked."""
    values = KINDS[case.kind](rng, (runs, case.n))
    if case.icc:
        common = np.repeat(rng.normal(0, 1, (runs, len(case.facets))), case.facets, axis=1)
        values = np.sqrt(1 - case.icc) * values + np.sqrt(case.icc) * common
    values = values * np.where(case.strata == 1, 1.0, case.ratio)
    if not case.over:
        return values
    shape = (case.levels,) * len(case.over)
    values = values.reshape(*values.shape, *[1] * len(shape)) + rng.normal(0, 0.7, (*values.shape, *shape))
    for axis in range(len(shape)):
        sizes = [case.levels if a == axis else 1 for a in range(len(shape))]
        values = values + rng.normal(0, case.spread / case.n**0.5, (runs, 1, *sizes))
    return np.where(rng.random(values.shape) < case.missing, np.nan, values) if case.missing else values


def pooled_t(values: Values, case: Case) -> tuple[Values, Values]:
    """What the intervals were before: t with the variance pooled over strata, items alone; mean and half, (runs,)."""
    x = np.array([item_means(each) for each in values])
    groups = [x[:, case.strata == key] for key in (1, -1)]
    counts = [(~np.isnan(g)).sum(axis=1) for g in groups]
    rest = sum(counts) - 2
    variance = sum(np.nansum((g - np.nanmean(g, axis=1, keepdims=True)) ** 2, axis=1) for g in groups) / rest
    shares = [0.5, 0.5] if case.weights == "halves" else [count / sum(counts) for count in counts]
    mean = sum(w * np.nanmean(g, axis=1) for w, g in zip(shares, groups, strict=True))
    error = np.sqrt(variance * sum(w**2 / count for w, count in zip(shares, counts, strict=True)))
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
FACETS = ((4,) * 2, (4,) * 3, (4,) * 6, (6,) * 4, (6,) * 6, (5,) * 12, (10,) * 6)
"""Items of each facet."""


def cases() -> list[Case]:
    """Rows of the coverage table."""
    rows = [Case(kind, even(n)) for kind in KINDS for n in SIZES]
    rows += [Case("normal", (3 * n // 4, n // 4), "halves", ratio=2) for n in (12, 24, 36, 60)]
    rows += [Case(kind, (22, 2), weights) for kind in KINDS for weights in ("items", "halves")]  # type: ignore[arg-type]
    rows += [Case("normal", (22, 2), "halves", ratio=2)]
    rows += [Case("normal", even(sum(f)), facets=f, icc=icc) for icc in (0.2, 0.0) for f in FACETS]
    rows += [Case("lognormal", even(sum(f)), facets=f, icc=0.2) for f in ((4,) * 6, (6,) * 6, (10,) * 6)]
    rows += [Case("normal", even(24), facets=f, icc=icc) for f, icc in (((16, 4, 2, 2), 0.2), ((20, 1, 1, 1, 1), 0.3))]
    rows += [Case("normal", even(n), over=("templates",), spread=s) for n in (12, 24, 60) for s in (0, 1.5, 3)]
    rows += [Case("normal", (18, 6), "halves", over=("templates",), spread=3)]
    rows += [Case("normal", even(24), over=("templates",), levels=2, spread=s) for s in (0, 3)]
    rows += [Case("normal", even(24), over=("templates",), spread=1.5, missing=m) for m in (0.1, 0.4)]
    rows += [Case("normal", even(24), over=("templates", "fits"), spread=s) for s in (0, 1.5, 3)]
    return rows


def paired_cases() -> list[Case]:
    """Rows of the table of error rates."""
    rows = [Case(kind, even(n)) for kind in KINDS for n in SIZES]
    rows += [Case("normal", (18, 6), "halves", ratio=2)]
    rows += [Case(kind, (22, 2)) for kind in KINDS]
    rows += [Case("normal", even(sum(f)), facets=f, icc=0.2) for f in FACETS[2:]]
    rows += [Case("normal", even(24), over=("templates",), spread=s) for s in (0, 1.5, 3)]
    return rows


def named(case: Case) -> Sequence[str]:
    """What a row is: items, n, keys, weights, what else is random."""
    keys = f"{case.keys[0]}/{case.keys[1]}" + (f", SD ratio {case.ratio:g}" if case.ratio != 1 else "")
    sizes = ", ".join(map(str, dict.fromkeys(case.facets) if len(set(case.facets)) == 1 else case.facets))
    facets = f"facets of {sizes}; ICC {case.icc:g}" if case.facets else ""
    axes = " x ".join(f"{case.levels} {axis}" for axis in case.over)
    over = f"{axes}, SD {case.spread:g} SE" + (f", {case.missing:.0%} missing" if case.missing else "") if axes else ""
    return case.kind, str(case.n), keys, case.weights, facets or over
