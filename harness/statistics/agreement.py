"""How far judges agree about texts: Krippendorff's alpha, and the intraclass correlations that a judge is held to.

Both take a table of texts by judges. Alpha takes any pattern of gaps; an intraclass correlation needs every judge's
score of a text, so texts with a gap are left out of it and counted.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traitbench.errors import BadData, unknown
from traitbench.statistics.bootstrap import Bootstrap, cluster_bootstrap
from traitbench.statistics.coefficient import Coefficient
from traitbench.statistics.factors import CONSTANT
from traitbench.statistics.intraclass import icc
from traitbench.types import Record

__all__ = ["Agreement", "Metric", "agreement", "krippendorff", "krippendorff_interval"]

Array = NDArray[np.float64]
Metric = Literal["nominal", "ordinal", "interval"]
"""What counts as a difference of two scores: any; the ranks between them; their distance, squared."""


class Agreement(Record):
    """How far judges agree about the level of the same texts; what is null has a reason."""

    single: float | None
    """ICC(2,1) of Shrout & Fleiss (1979): one judge's score, the judges a sample of judges, their levels counted."""
    single_ci: tuple[float, float] | None = None
    mean: float | None = None
    """ICC(2,k): the mean of these judges' scores."""
    mean_ci: tuple[float, float] | None = None
    alpha: float | None = None
    """Krippendorff's alpha, of every text with two scores or more."""
    alpha_ci: tuple[float, float] | None = None
    judges: int = 0
    texts: int = 0
    """Texts that every judge scored: those of the intraclass correlations."""
    left_out: int = 0
    """Texts with a score and a gap: alpha alone has those of them with two scores."""
    reason: str = ""
    """Why something is null; empty where nothing is."""


def agreement(
    table: ArrayLike, metric: Metric = "ordinal", iterations: int = 2000, seed: int = 0, level: float = 0.95
) -> Agreement:
    """ICC(2,1), ICC(2,k) and Krippendorff's alpha of a table (texts, judges) of scores, NaN where there is none.

    The intervals of the correlations are those of `icc`, that of alpha is `krippendorff_interval`'s. A judge without
    any score counts as a judge, so that the correlations are null then rather than those of fewer judges. BadData for
    a table that is none; UnknownName for another metric, level or number of iterations.
    """
    x = _table(table)
    found, spread = icc(x, level), krippendorff_interval(x, metric, iterations, seed, level)
    one, many = found.icc2, found.icc2k
    correlation = one.reason.replace("subject", "text").replace("raters", "judges")
    if one.value is not None and one.ci is None:
        correlation = "the scores leave no interval, as where judges agree without any error"
    reasons = [f"{name}: {why}" for name, why in (("ICC", correlation), ("alpha", spread.reason)) if why]
    return Agreement(
        single=one.value, single_ci=one.ci, mean=many.value, mean_ci=many.ci, alpha=spread.value, alpha_ci=spread.ci,
        judges=x.shape[1], texts=found.n, left_out=int(np.isfinite(x).any(axis=1).sum()) - found.n,
        reason="; ".join(reasons),
    )  # fmt: skip


def krippendorff(table: ArrayLike, metric: Metric = "ordinal") -> Coefficient:
    """Krippendorff's alpha of a table (texts, judges), NaN where a judge gave no score (Krippendorff 2011, 2018).

    1 - D_o / D_e over pairs of scores: observed within texts, expected between all scores of texts with two or more;
    the others say nothing about agreement. Scores may be fractions. 1 is agreement, 0 what chance gives, and judges
    who disagree systematically are below 0. BadData for a table that is none, UnknownName for another metric.
    """
    x = _pairable(table, metric)
    if not len(x):
        return Coefficient(None, "no text has two scores")
    value = _alpha(x, metric)
    return Coefficient(value) if np.isfinite(value) else Coefficient(None, "the scores do not vary")


def krippendorff_interval(
    table: ArrayLike,
    metric: Metric = "ordinal",
    iterations: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    clusters: ArrayLike | None = None,
) -> Bootstrap:
    """As `krippendorff`, with the interval from redraws of texts, which Zapf et al. (2016) found to cover as it says.

    `clusters` (texts,) a label a text where several hang together (one prompt, one scene): these are redrawn whole.
    Texts with fewer than two scores are not redrawn.
    """
    x = _table(table)
    labels = np.arange(len(x)) if clusters is None else np.asarray(clusters)
    if labels.shape != (len(x),):
        raise BadData(f"{len(x)} texts with cluster labels of shape {labels.shape}; expected one label a text")
    value, reason = krippendorff(x, metric)
    if value is None:
        return Bootstrap(value=None, clusters=0, reason=reason)
    kept = _scored(x) > 1
    return cluster_bootstrap(x[kept], labels[kept], partial(_alpha, metric=metric), iterations, seed, level=level)


def _table(table: ArrayLike) -> Array:
    x = np.asarray(table, dtype=float)
    if x.ndim != 2:
        raise BadData(f"the table has shape {x.shape}; expected (texts, judges), NaN where a judge gave no score")
    if np.isinf(x).any():
        raise BadData("the table holds an infinite score; expected numbers, and NaN where a judge gave no score")
    return x


def _scored(x: Array) -> NDArray[np.intp]:
    return np.asarray(np.isfinite(x).sum(axis=1))


def _pairable(table: ArrayLike, metric: Metric) -> Array:
    """Rows with two scores or more."""
    if metric not in get_args(Metric):
        raise unknown("metric", metric, get_args(Metric))
    x = _table(table)
    return x[_scored(x) > 1]


def _alpha(x: Array, metric: Metric) -> float:
    """Alpha of rows with two scores or more, NaN where they do not vary; in the time of a sort.

    Squared differences of all pairs of m numbers add up to 2 m times their sum of squares, and every metric is a
    squared distance: of the ordinal metric between mid-ranks, since the ranks from c to k, each end counted half, are
    as many as lie between the two; of the nominal one between columns of zeros with a 1 in the score's own place.
    """
    held = np.isfinite(x)
    text, scores, sizes = np.nonzero(held)[0], x[held], held.sum(axis=1)
    n = len(scores)
    if float(np.ptp(scores)) ** 2 <= CONSTANT:
        return float("nan")
    names, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    if metric == "nominal":
        own = np.bincount(text * len(names) + places, minlength=len(x) * len(names)).reshape(len(x), len(names))
        within = sizes - np.square(own).sum(axis=1) / sizes
        total = n - float(np.square(counts).sum()) / n
    else:
        points = (np.cumsum(counts) - counts / 2)[places] if metric == "ordinal" else scores
        points = points - points.mean()
        about = points - (np.bincount(text, points, len(x)) / sizes)[text]
        within, total = np.bincount(text, about**2, len(x)), float(points @ points)
    return 1 - (n - 1) / n * float((sizes / (sizes - 1) * within).sum()) / total
