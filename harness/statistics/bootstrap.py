"""The bootstrap for statistics without a closed form: whole clusters are redrawn.

Answers to one item (or of one respondent) hang together, so a redraw of single rows counts the same information
several times and its interval is too narrow. Redrawing the clusters keeps what hangs together together (Davison &
Hinkley 1997, section 3.8). scipy.stats.bootstrap redraws single observations only, hence this module. Means of items
have a closed form and a better interval: `traitbench.statistics.stratified_mean`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traitbench.errors import BadData, UnknownName
from traitbench.types import Record

__all__ = ["Bootstrap", "cluster_bootstrap"]

FEWEST = 0.9
"""Share of the redraws that must have a value: an interval from the convenient ones alone would be a selection."""


class Bootstrap(Record):
    """A statistic with its bootstrap standard error and interval; null where `reason` says why."""

    value: float | None
    se: float | None = None
    """SD of the redrawn values."""
    ci: tuple[float, float] | None = None
    clusters: int
    redraws: int = 0
    """Redraws that had a value."""
    reason: str = ""
    """Why a field is null; empty where none is."""
    note: str = ""


def cluster_bootstrap(
    values: ArrayLike,
    clusters: ArrayLike,
    statistic: Callable[[NDArray[Any]], float],
    iterations: int = 2000,
    seed: int = 0,
    strata: ArrayLike | None = None,
    level: float = 0.95,
    interval: Literal["percentile", "basic"] = "percentile",
) -> Bootstrap:
    """Standard error and interval of `statistic(values)` from redraws of whole clusters.

    `values` (n, ...) rows; `clusters` (n,) and `strata` (n,) a label a row. As many clusters as there were are redrawn
    with replacement, within each stratum where strata are given, from a generator seeded with `seed`: the same call
    gives the same digits. `statistic` takes the redrawn rows, cluster after cluster, and returns a number; a redraw in
    which it is undefined (NaN, a division by zero) is left out and counted.

    "percentile" (the default) takes the quantiles of the redrawn values: it keeps to the range of the statistic (a
    correlation, a share) and follows any rescaling of it. "basic" reflects them about the value, 2 * value - quantile:
    it corrects a bias of the statistic, and may leave its range. Neither is studentised, so with few clusters (below
    about 30) both are narrow, by about sqrt((k - 1) / k) and the difference of t from normal quantiles.

    BadData where lengths differ or a cluster lies in two strata; UnknownName for a level, number of iterations or
    interval that cannot be.
    """
    x = np.asarray(values)
    labels = np.asarray(clusters)
    groups = np.zeros(labels.shape, dtype=int) if strata is None else np.asarray(strata)
    _check(x, labels, groups, iterations, level, interval)
    if len(x) == 0:
        return Bootstrap(value=None, clusters=0, reason="there are no rows")
    layout = _layout(labels, groups)
    k, homes = len(layout.sizes), layout.homes
    value = float(_apply(statistic, x, [np.arange(len(x))])[0])
    if not np.isfinite(value):
        return Bootstrap(value=None, clusters=k, reason="the statistic is undefined for these values")
    lone = sum(len(home) == 1 for home in homes)
    if lone == len(homes):
        where = "there is one cluster" if lone == 1 else "every stratum has one cluster"
        return Bootstrap(value=value, clusters=k, reason=f"{where}: nothing can be redrawn")
    found = _apply(statistic, x, _redraws(layout, iterations, seed))
    found = found[np.isfinite(found)]
    note = f"{lone} of {len(homes)} strata have one cluster, which adds no variance" if lone else ""
    if len(found) < max(2, FEWEST * iterations):
        reason = f"the statistic is undefined in {iterations - len(found)} of {iterations} redraws"
        return Bootstrap(value=value, clusters=k, redraws=len(found), reason=reason, note=note)
    low, high = (float(q) for q in np.quantile(found, [(1 - level) / 2, (1 + level) / 2]))
    ci = (low, high) if interval == "percentile" else (2 * value - high, 2 * value - low)
    se = float(found.std(ddof=1)) if found.min() < found.max() else 0.0
    return Bootstrap(value=value, se=se, ci=ci, clusters=k, redraws=len(found), note=note)


def _check(
    x: NDArray[Any], labels: NDArray[Any], groups: NDArray[Any], iterations: int, level: float, interval: str
) -> None:
    if x.ndim == 0 or labels.shape != (len(x),) or groups.shape != (len(x),):
        raise BadData(
            f"{x.shape[0] if x.ndim else 'no'} rows, cluster labels of shape {labels.shape} and strata of shape "
            f"{groups.shape}: expected one label of each a row"
        )
    if iterations < 2:
        raise UnknownName(f"iterations {iterations} is out of range: expected at least 2, e.g. 2000")
    if not 0 < level < 1:
        raise UnknownName(f"level {level} is out of range: expected a share between 0 and 1, e.g. 0.95")
    if interval not in ("percentile", "basic"):
        raise UnknownName(f"unknown interval {interval!r}; expected percentile or basic")


class _Layout(NamedTuple):
    """Where every cluster's rows are, and every stratum's clusters, both in the order of the labels."""

    rows: NDArray[np.intp]
    """Row numbers, cluster after cluster."""
    starts: NDArray[np.intp]
    """Per cluster the place of its first row in `rows`."""
    sizes: NDArray[np.intp]
    homes: list[NDArray[np.intp]]
    """Per stratum its clusters."""


def _layout(labels: NDArray[Any], groups: NDArray[Any]) -> _Layout:
    names, cluster, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    strata, stratum = np.unique(groups, return_inverse=True)
    rows = np.argsort(cluster, kind="stable")
    starts = np.cumsum(sizes) - sizes
    home = stratum[rows[starts]]
    torn = np.flatnonzero(stratum != home[cluster])
    if torn.size:
        raise BadData(
            f"cluster {names[cluster[torn[0]]]} lies in more than one stratum; expected one stratum a cluster"
        )
    return _Layout(rows, starts, sizes, [np.flatnonzero(home == s) for s in range(len(strata))])


def _redraws(layout: _Layout, iterations: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """Row numbers of one redraw after another."""
    rng = np.random.default_rng(seed)
    for _ in range(iterations):
        chosen = np.concatenate([home[rng.integers(0, len(home), len(home))] for home in layout.homes])
        sizes = layout.sizes[chosen]
        ends = np.cumsum(sizes)
        yield layout.rows[np.arange(ends[-1]) + np.repeat(layout.starts[chosen] - ends + sizes, sizes)]


def _apply(
    statistic: Callable[[NDArray[Any]], float], x: NDArray[Any], redraws: Iterable[NDArray[np.intp]]
) -> NDArray[np.float64]:
    """The statistic of every redraw of `x`; NaN where it is undefined, whichever way it says so."""
    found = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # numpy reports an empty or constant redraw as a RuntimeWarning: here that is counted, not news.
        warnings.simplefilter("ignore", RuntimeWarning)
        for rows in redraws:
            try:
                found.append(float(statistic(x[rows])))
            except ZeroDivisionError:
                found.append(np.nan)
    return np.array(found)
