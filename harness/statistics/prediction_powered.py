"""Judge means corrected by people: prediction-powered inference, PPI++ (Angelopoulos, Duchi & Zrnic 2023).

A judge scores all texts, people rate some. The judge's mean over the texts without a rating is added to what people and
judge differ by on the others, as much of the judge as makes the interval shortest. It covers the mean that people would
give to all texts however wrong the judge is, as long as the texts that people rate are a random part of all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from traitbench.errors import BadData, UnknownName
from traitbench.statistics.factors import CONSTANT
from traitbench.types import Record

__all__ = ["Corrected", "CorrectedDifference", "corrected_difference", "corrected_mean"]

Array = NDArray[np.float64]

FEWEST = 10
"""Ratings from which there is an interval: the weight of the judge is estimated from them too."""


class Corrected(Record):
    """The mean that people would give to all texts, in the unit of the ratings; what is null has a reason."""

    value: float | None
    se: float | None = None
    ci: tuple[float, float] | None = None
    df: float | None = None
    """Satterthwaite's degrees of freedom of t in the interval."""
    weight: float = 0.0
    """Of the judge, lambda of PPI++: 0 is the mean rating alone, 1 takes the judge's scores at their word."""
    judge: float | None = None
    """Mean score of the judge over all texts, as it is."""
    people: float | None = None
    """Mean rating over the texts that have one."""
    texts: int = 0
    rated: int = 0
    reason: str = ""
    """Why something is null; empty where nothing is."""


class CorrectedDifference(Record):
    """The mean that people would give to the texts of `a` minus that of `b`."""

    value: float | None
    se: float | None = None
    ci: tuple[float, float] | None = None
    df: float | None = None
    a: Corrected
    b: Corrected
    reason: str = ""
    """Why something is null; empty where nothing is."""


def corrected_mean(
    scores: ArrayLike, ratings: ArrayLike, weight: float | None = None, level: float = 0.95
) -> Corrected:
    """Estimate the mean rating of all texts from the judge's `scores` (n,) and people's `ratings` (n,), NaN where none.

    With N texts without a rating and n with one, the value is mean(y) + w (mean_N(f) - mean_n(f)), its variance
    var_n(y - w f) / n + w^2 var_N(f) / N, and the best w is cov_n(y, f) / ((1 + n / N) var(f)), var(f) over all texts,
    held within 0 and 1; fitting it costs a degree of freedom. `weight` sets w instead: 1 is the method of Angelopoulos
    et al. (2023, Science), without tuning. The interval is t, since ratings are few. Give the mean of several people's
    ratings of a text as one; for paired texts (one prompt under two conditions, both rated), the differences of scores
    and of ratings. Texts without a score are left out.

    No interval with fewer than ten ratings. BadData where shapes differ or a number is infinite, UnknownName for a
    weight or level outside 0 to 1.
    """
    f, y = _checked(scores, ratings, weight, level)
    parts = _parts(f, y, weight)
    if parts is None:
        reason = "no text has both a score and a rating"
        return Corrected(value=None, judge=float(f.mean()) if f.size else None, texts=f.size, reason=reason)
    rated = int(np.isfinite(y).sum())
    se, ci, df = _interval(parts.value, parts.spreads, level) if parts.spreads else (None, None, None)
    return Corrected(
        value=parts.value, se=se, ci=ci, df=df, weight=parts.weight, judge=float(f.mean()),
        people=float(np.nanmean(y)), texts=f.size, rated=rated,
        reason="" if parts.spreads else f"{rated} ratings; an interval needs at least {FEWEST}",
    )  # fmt: skip


def corrected_difference(
    scores_a: ArrayLike, ratings_a: ArrayLike, scores_b: ArrayLike, ratings_b: ArrayLike, level: float = 0.95
) -> CorrectedDifference:
    """Difference of two `corrected_mean`s over different texts, each with a weight of its own; Welch's interval."""
    groups = [_checked(f, y, None, level) for f, y in ((scores_a, ratings_a), (scores_b, ratings_b))]
    a, b = (corrected_mean(f, y, None, level) for f, y in groups)
    if a.value is None or b.value is None:
        return CorrectedDifference(value=None, a=a, b=b, reason=a.reason or b.reason)
    if a.reason or b.reason:
        return CorrectedDifference(value=a.value - b.value, a=a, b=b, reason=a.reason or b.reason)
    spreads = [spread for f, y in groups if (parts := _parts(f, y, None)) for spread in parts.spreads]
    se, ci, df = _interval(a.value - b.value, spreads, level)
    return CorrectedDifference(value=a.value - b.value, se=se, ci=ci, df=df, a=a, b=b)


class _Parts(NamedTuple):
    value: float
    weight: float
    spreads: list[tuple[float, float]]
    """What adds up to the variance: each with its degrees of freedom."""


def _checked(scores: ArrayLike, ratings: ArrayLike, weight: float | None, level: float) -> tuple[Array, Array]:
    """Scores and ratings of the texts with a score."""
    f, y = np.asarray(scores, dtype=float), np.asarray(ratings, dtype=float)
    if f.ndim != 1 or f.shape != y.shape:
        raise BadData(f"scores of shape {f.shape} and ratings of shape {y.shape}; expected a place a text in both")
    if np.isinf(f).any() or np.isinf(y).any():
        raise BadData("a score or rating is infinite; expected numbers, and NaN where there is none")
    for name, value in (("weight", weight), ("level", level)):
        if value is not None and not 0 <= value <= 1:
            raise UnknownName(f"{name} {value} is out of range: expected a number from 0 to 1")
    kept = np.isfinite(f)
    return f[kept], y[kept]


def _parts(f: Array, y: Array, weight: float | None) -> _Parts | None:
    """The estimate of scored texts and what its variance is made of; None without a rating."""
    held = np.isfinite(y)
    y, mine, others = y[held], f[held], f[~held]
    n, rest, free = len(y), len(others), len(y) - 1
    if not n:
        return None
    if rest < 2 or n < 2 or f.var() <= CONSTANT:
        weight = 0.0
    elif weight is None:
        covariance = float((y - y.mean()) @ (mine - mine.mean())) / (n - 1)
        weight = float(np.clip(covariance / ((1 + n / rest) * f.var(ddof=1)), 0, 1))
        # The weight is fitted to the same ratings, as the slope of a regression is.
        free -= 1 if weight else 0
    value = float(y.mean()) + (weight * float(others.mean() - mine.mean()) if weight else 0.0)
    if n < FEWEST:
        return _Parts(value, weight, [])
    spreads = [(float((y - weight * mine).var()) / free, float(free))]
    if weight:
        spreads.append((weight**2 * float(others.var(ddof=1)) / rest, rest - 1.0))
    return _Parts(value, weight, spreads)


def _interval(
    value: float, spreads: list[tuple[float, float]], level: float
) -> tuple[float, tuple[float, float], float]:
    """Standard error, t interval and Satterthwaite's degrees of freedom of a sum of independent variances."""
    total = sum(variance for variance, _ in spreads)
    if total <= 0:
        return 0.0, (value, value), min(df for _, df in spreads)
    df = 1 / sum((variance / total) ** 2 / df for variance, df in spreads)
    half = float(special.stdtrit(df, (1 + level) / 2)) * total**0.5
    return total**0.5, (value - half, value + half), df
