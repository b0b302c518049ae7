"""Intraclass correlations: how far raters, occasions or repeats agree about the subjects."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from traitbench.errors import BadData
from traitbench.statistics.factors import CONSTANT

__all__ = ["ICC", "Intraclass", "icc"]


class Intraclass(NamedTuple):
    """One intraclass correlation with its interval and the F test against 0."""

    value: float | None
    reason: str = ""
    """Why there is no value; empty where there is one."""
    ci: tuple[float, float] | None = None
    """None without a value, and where the raters agree without any error."""
    f: float | None = None
    """Between-subjects mean square over the error; None where that is 0."""
    df1: int = 0
    df2: int = 0
    p: float | None = None


class ICC(NamedTuple):
    """The six intraclass correlations of Shrout & Fleiss (1979)."""

    icc1: Intraclass
    """One rating, other raters for each subject."""
    icc2: Intraclass
    """One rating, raters a random sample: absolute agreement."""
    icc3: Intraclass
    """One rating, these raters: consistency."""
    icc1k: Intraclass
    """The mean of k ratings, each likewise."""
    icc2k: Intraclass
    icc3k: Intraclass
    n: int
    """Subjects that entered."""


def icc(table: ArrayLike, level: float = 0.95) -> ICC:
    """Intraclass correlations of n subjects by k raters or occasions, (n, k), by Shrout & Fleiss (1979).

    Intervals and F tests are theirs, with McGraw & Wong's (1996) degrees of freedom for ICC(2). Subjects with a
    missing rating are left out.
    """
    x = np.asarray(table, dtype=float)
    if x.ndim != 2:
        raise BadData(f"the table has shape {x.shape}; expected (n, k), one row a subject and one column a rater")
    x = x[np.isfinite(x).all(axis=1)]
    n, k = x.shape
    reason = "fewer than two raters" if k < 2 else "fewer than two subjects without a missing rating" if n < 2 else ""
    between = raters = within = error = 0.0
    if not reason:
        residual = x - x.mean(axis=1, keepdims=True) - x.mean(axis=0) + x.mean()
        between, raters = k * float(x.mean(axis=1).var(ddof=1)), n * float(x.mean(axis=0).var(ddof=1))
        error = float((residual**2).sum()) / ((n - 1) * (k - 1))
        between, raters, error = (0.0 if ms <= CONSTANT else ms for ms in (between, raters, error))
        within = (raters + (n - 1) * error) / n
        if between + within == 0:
            reason = "the ratings have no variance"
    if reason:
        none = Intraclass(None, reason)
        return ICC(none, none, none, none, none, none, n)
    one = _f_test(between, within, n - 1, n * (k - 1), level)
    two = _f_test(between, error, n - 1, (n - 1) * (k - 1), level)
    random = between + (k - 1) * error + k * (raters - error) / n
    ci = _random_interval(between, raters, error, n, k, level)
    return ICC(
        _intraclass(between - within, between + (k - 1) * within, one, _single(one, k)),
        _intraclass(between - error, random, two, ci),
        _intraclass(between - error, between + (k - 1) * error, two, _single(two, k)),
        _intraclass(between - within, between, one, _average(_single(one, k), k)),
        _intraclass(between - error, between + (raters - error) / n, two, _average(ci, k)),
        _intraclass(between - error, between, two, _average(_single(two, k), k)),
        n,
    )


class _FTest(NamedTuple):
    f: float | None
    df1: int
    df2: int
    p: float | None
    ends: tuple[float, float] | None
    """Interval of the ratio of expected mean squares."""


def _f_test(between: float, error: float, df1: int, df2: int, level: float) -> _FTest:
    if error == 0:
        return _FTest(None, df1, df2, None, None)
    f, upper = between / error, (1 + level) / 2
    ends = (f / float(stats.f.ppf(upper, df1, df2)), f * float(stats.f.ppf(upper, df2, df1)))
    return _FTest(f, df1, df2, float(stats.f.sf(f, df1, df2)), ends)


def _intraclass(above: float, below: float, test: _FTest, ci: tuple[float, float] | None) -> Intraclass:
    if below <= CONSTANT:
        return Intraclass(None, "the subjects do not differ", None, test.f, test.df1, test.df2, test.p)
    return Intraclass(above / below, "", ci, test.f, test.df1, test.df2, test.p)


def _single(test: _FTest, k: int) -> tuple[float, float] | None:
    """Interval of one rating's ICC from the interval of the mean squares' ratio."""
    if test.ends is None:
        return None
    low, high = ((end - 1) / (end + k - 1) for end in test.ends)
    return low, high


def _average(ci: tuple[float, float] | None, k: int) -> tuple[float, float] | None:
    """Interval of the mean of k ratings by Spearman and Brown."""
    if ci is None or 1 + ci[0] * (k - 1) <= CONSTANT:
        return None
    low, high = (k * end / (1 + end * (k - 1)) for end in ci)
    return low, high


def _random_interval(
    between: float, raters: float, error: float, n: int, k: int, level: float
) -> tuple[float, float] | None:
    """Interval of ICC(2), whose error mixes two mean squares: Satterthwaite's degrees of freedom."""
    below = between + (k - 1) * error + k * (raters - error) / n
    if error == 0 or below <= CONSTANT:
        return None
    value, ratio = (between - error) / below, raters / error
    rest = n * (1 + (k - 1) * value) - k * value
    df = (k - 1) * (n - 1) * (k * value * ratio + rest) ** 2 / ((n - 1) * (k * value * ratio) ** 2 + rest**2)
    if df < 1e-3:
        return None
    upper = (1 + level) / 2
    first, second = float(stats.f.ppf(upper, n - 1, df)), float(stats.f.ppf(upper, df, n - 1))
    mixed = k * raters + (k * n - k - n) * error
    low = n * (between - first * error) / (first * mixed + n * between)
    high = n * (second * between - error) / (mixed + n * second * between)
    return (low, high) if np.isfinite([low, high]).all() else None
