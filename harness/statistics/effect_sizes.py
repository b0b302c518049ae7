"""Standardised effects over items: one scale for what different instruments measure in units of their own.

d is a mean shift over the SD of the items' shifts. With few items that SD is often too small by chance, so that d is
too large on average (Hedges 1981): by 77 % with two degrees of freedom, by 1 % with 60. Two instruments of unequal
length are on one scale only once that is taken off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from traitbench.statistics.intervals import NORMAL, ROUNDING, Estimate

__all__ = ["SMALL", "apart", "correlation", "hedges", "mean_of", "standardised"]

SMALL = 0.2
"""A d that is small (Cohen 1988): an effect whose interval stays within it either way is as good as none."""


def hedges(df: float) -> float | None:
    """What d is multiplied by for its mean to be the effect (Hedges 1981); None below two degrees of freedom."""
    if df < 2:
        return None
    return math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)


def standardised(mean: Estimate, df: float, level: float = 0.95) -> Estimate:
    """A mean shift over the items' SD, corrected for their number, with its interval.

    `mean` is a mean with its SE and SD, `df` the items less the strata. SE^2 = J^2 ((SE / SD)^2 + d^2 / (2 df)): what
    the mean varies by, whatever that covers, and what the SD does (Hedges & Olkin 1985, eq. 5.17, with the mean's own
    SE). t with the df of both, joined as Satterthwaite (1946) does. Where nothing moved at all the effect is 0 without
    an error; where every item moved alike there is none, since d has no bound.
    """
    value, se, sd = mean.value, mean.se, mean.sd
    factor = hedges(df)
    if value is None or se is None or sd is None or factor is None:
        return Estimate(None, None, None, mean.n)
    if sd <= 1e-9 * max(1.0, abs(value)):
        nothing = abs(value) <= ROUNDING
        return Estimate(0.0, 0.0, (0.0, 0.0), mean.n) if nothing else Estimate(None, None, None, mean.n)
    d = factor * value / sd
    parts = ((factor * se / sd) ** 2, d**2 / (2 * df))
    return _spread(d, [(parts[0], mean.df or NORMAL), (parts[1], float(df))], mean.n, mean.covers, level)


def apart(a: Estimate, b: Estimate, level: float = 0.95) -> Estimate:
    """`a` minus `b`, whose errors have nothing in common (Welch 1947); no value where one has none."""
    n = a.n + b.n
    if a.value is None or b.value is None or a.se is None or b.se is None:
        return Estimate(None, None, None, n)
    covers = tuple(dict.fromkeys((*a.covers, *b.covers)))
    return _spread(a.value - b.value, [(e.se**2, e.df or NORMAL) for e in (a, b) if e.se is not None], n, covers, level)


def mean_of(estimates: Sequence[Estimate], level: float = 0.95) -> Estimate:
    """The mean of estimates whose errors have nothing in common; no value where one has none."""
    n = sum(e.n for e in estimates)
    values, errors = [e.value for e in estimates], [e.se for e in estimates]
    held = [v for v in values if v is not None]
    if not estimates or len(held) < len(values) or None in errors:
        return Estimate(None, None, None, n)
    k = len(estimates)
    parts = [((e.se or 0.0) ** 2 / k**2, e.df or NORMAL) for e in estimates]
    covers = tuple(dict.fromkeys(name for e in estimates for name in e.covers))
    return _spread(sum(held) / k, parts, n, covers, level)


def correlation(
    x: Sequence[float], y: Sequence[float], fewest: int = 3, level: float = 0.95
) -> tuple[float | None, tuple[float, float] | None]:
    """Pearson's r with Fisher's interval; no r below `fewest` pairs or without variance, no interval below four."""
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if a.size < fewest or min(a.std(), b.std()) <= ROUNDING:
        return None, None
    r = float(np.corrcoef(a, b)[0, 1])
    if a.size < 4:
        return r, None
    z = math.atanh(min(max(r, -1 + 1e-12), 1 - 1e-12))
    half = float(special.ndtri((1 + level) / 2)) / math.sqrt(a.size - 3)
    return r, (math.tanh(z - half), math.tanh(z + half))


def _spread(
    value: float, parts: Sequence[tuple[float, float]], n: int, covers: tuple[str, ...], level: float
) -> Estimate:
    """A value whose variance is the sum of `parts`, each with its degrees of freedom."""
    variance = sum(part for part, _ in parts)
    rest = sum(part**2 / df for part, df in parts)
    df = variance**2 / rest if rest > 0 else None
    half = float(special.stdtrit(df or NORMAL, (1 + level) / 2)) * variance**0.5
    return Estimate(value, variance**0.5, (value - half, value + half), n, None, df, covers)
