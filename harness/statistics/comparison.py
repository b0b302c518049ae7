"""Two runs over the same items, several tests at once, and how many items an effect needs."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import integrate, special, stats

from traitbench.errors import BadData, UnknownName
from traitbench.statistics.coefficient import Coefficient
from traitbench.statistics.intervals import Interval, interval
from traitbench.statistics.skewness import shrunk
from traitbench.types import Record

__all__ = ["PairedDifference", "holm", "n_for_power", "paired", "power"]

MOST = 1_000_000
"""Items beyond which nobody will ask."""


class PairedDifference(Record):
    """The mean difference of two runs over the items both have; null where `reason` says why."""

    difference: float | None
    """Mean of a - b over the pairs, in the unit of the values."""
    se: float | None = None
    ci: tuple[float, float] | None = None
    t: float | None = None
    df: float | None = None
    """Of the t distribution: pairs minus strata, or Satterthwaite's."""
    p: float | None = None
    """Two-sided, of no difference."""
    d_z: float | None = None
    """Difference over the (within-stratum) SD of the differences; Cohen's (1988) d_z without strata."""
    n: int
    """Pairs."""
    missing: int = 0
    """Items without a value in one run or both: left out, never imputed."""
    covers: list[str] = []
    """What was drawn at random in the interval: items, facets, templates, fits."""
    reason: str = ""

    def within(self, most: float) -> PairedDifference:
        """The same with its interval cut off at -`most` and `most`, which no difference leaves."""
        if self.ci is None:
            return self
        return self.model_copy(update={"ci": (max(self.ci[0], -most), min(self.ci[1], most))})


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Adjust p values for the number of tests (Holm 1979), in the order given.

    None is a test that was not made: it stays None and does not count. The arithmetic is that of statsmodels'
    `multipletests`, which collects garbage in every call: in a large process it takes half a second. UnknownName for a
    value outside [0, 1].
    """
    for value in values:
        if value is not None and not 0 <= value <= 1:
            raise UnknownName(f"p value {value} is out of range: expected a number in [0, 1], or None for no test")
    given = np.array([value for value in values if value is not None], dtype=float)
    order = np.argsort(given, kind="stable")
    adjusted = np.empty(given.size)
    adjusted[order] = np.minimum(np.maximum.accumulate(given[order] * np.arange(given.size, 0, -1)), 1.0)
    rest = iter(adjusted.tolist())
    return [None if value is None else next(rest) for value in values]


def paired(
    a: ArrayLike,
    b: ArrayLike,
    strata: ArrayLike | None = None,
    weights: Literal["items", "halves"] = "items",
    level: float = 0.95,
    clusters: Sequence[object] | None = None,
    over: Sequence[str] = (),
) -> PairedDifference:
    """Difference `a` - `b` of two runs' item values, (k,) or (k, r1, ...), cell by cell, NaN where unscored.

    Estimate, standard error, df and interval are those of `stratified_mean` on the differences, so that they agree
    with the intervals of single scores: `strata` (k,) is the items' key (one stratum where it is left out), `weights`
    "halves" is for statement likelihood, `clusters` and `over` are facets and random axes. One thing is added: where
    the differences over items have outliers, the critical value comes from flipping their signs
    (`skewness.shrunk`), since two runs that are alike differ one way as often as the other.

    The test is the one whose acceptance region the interval is: p < 1 - `level` exactly where the interval leaves out
    0. p is the tail of t beyond |t| over what the side towards 0 is longer than that of t; away from 1 - `level` it
    is as good as that factor. BadData where the shapes differ.
    """
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    keys = np.ones(x.shape[:1], dtype=int) if strata is None else np.asarray(strata)
    each = "".join(f" and each of the {name}" for name in over)
    if x.ndim != 1 + len(over) or x.shape != y.shape or keys.shape != x.shape[:1]:
        raise BadData(
            f"item values of shape {x.shape} and {y.shape} with strata of shape {keys.shape} are no pairs: expected "
            f"one value of each run and one stratum for every item{each}"
        )
    differences = np.where(np.isfinite(x) & np.isfinite(y), x - y, np.nan)
    found = interval(differences, keys, weights, level, clusters, over)
    n = found.estimate.n
    if found.estimate.value is None:
        return PairedDifference(difference=None, n=0, missing=len(keys), reason="no item has a value in both runs")
    # Equal differences of unequal numbers are equal but for their last digits.
    tested = _tested(found, level, 1e-12 * float(np.nanmax(np.abs([x, y]))))
    return tested.model_copy(update={"missing": len(keys) - n, "covers": list(found.estimate.covers)})


def _tested(found: Interval, level: float, smallest: float) -> PairedDifference:
    """The t test of an estimate against none, with the interval that goes with it; an SE up to `smallest` is none."""
    _, se, _, n, sd, df, covers = found.estimate
    value = found.estimate.value or 0.0
    if se is None or df is None or sd is None or found.design is None:
        few = "too few pairs: a stratum needs a second item before differences can vary"
        return PairedDifference(difference=value, n=n, reason=few)
    if se <= smallest:
        same = "no differences vary: every item of a stratum differs by the same amount"
        return PairedDifference(difference=value, se=0.0, ci=(value, value), df=df, n=n, reason=same)
    flipped = shrunk(found.values, found.design, found.critical, level) if covers == ("items",) else 1.0
    below, above = (side if side > 1 and side > flipped else flipped for side in found.longer)
    t, length = value / se, found.critical * se
    return PairedDifference(
        difference=value,
        se=se,
        ci=(value - below * length, value + above * length),
        t=t,
        df=df,
        p=float(2 * special.stdtr(df, -abs(t) / (below if value > 0 else above))),
        d_z=value / sd if sd > 0 else None,
        n=n,
    )


def power(effect: float, sd: float, n: float, alpha: float = 0.05) -> Coefficient:
    """Power of the two-sided paired or one-sample t test to find a mean of `effect` where `n` values have SD `sd`.

    Cohen (1988, ch. 2): the noncentral t distribution with n - 1 degrees of freedom and noncentrality
    effect / sd * sqrt(n); `n` may be a fraction where the df are.
    `effect` and `sd` are in one unit; at no effect the power is `alpha`.
    """
    _check_alpha(alpha)
    if reason := _no_effect_size(effect, sd):
        return Coefficient(None, reason)
    if n < 2:
        return Coefficient(None, f"a t test needs at least two values, not {n:g}")
    size = abs(effect) / sd
    return Coefficient(min(1.0, _tail(size, n, alpha, "larger") + _tail(size, n, alpha, "smaller")))


def n_for_power(effect: float, sd: float, power: float = 0.80, alpha: float = 0.05, worth: float = 1.0) -> Coefficient:
    """Smallest number of values (pairs, items) with which the test of `power` finds `effect` that often.

    `worth`: how many values of a plain t test each one makes, less than 1 where strata or clusters take degrees of
    freedom. A whole number, at least 2. None where there is no effect, no variance, or where it takes more than a
    million.
    """
    _check_alpha(alpha)
    if not 0 < power < 1:
        raise UnknownName(f"power {power} is out of range: expected a share between 0 and 1, e.g. 0.8")
    if reason := _no_effect_size(effect, sd):
        return Coefficient(None, reason)
    if power <= alpha:
        return Coefficient(max(2.0, float(math.ceil(2 / worth))))
    if effect == 0:
        return Coefficient(None, "no effect is found with any number of values")
    size = abs(effect) / sd

    def reached(n: int) -> bool:
        plain = n * worth
        return plain >= 2 and _tail(size, plain, alpha, "larger") + _tail(size, plain, alpha, "smaller") >= power

    if not reached(MOST):
        return Coefficient(None, f"an effect of {size:.2g} SD takes more than {MOST:,} values")
    return Coefficient(float(2 + bisect_left(range(2, MOST), True, key=reached)))


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise UnknownName(f"alpha {alpha} is out of range: expected a share between 0 and 1, e.g. 0.05")


def _no_effect_size(effect: float, sd: float) -> str:
    """Say why there is no effect / sd; empty where there is one."""
    if not (math.isfinite(effect) and math.isfinite(sd)):
        return "the effect or its SD is not a number"
    if sd <= 0:
        return "an SD of zero has no effect size" if sd == 0 else "an SD cannot be negative"
    return ""


def _tail(size: float, n: float, alpha: float, side: Literal["larger", "smaller"]) -> float:
    """Probability that the test rejects on one side, for an effect of `size` >= 0 SDs.

    statsmodels has it but returns NaN for some large noncentralities (and wherever the far tail underflows). There it
    is the integral it stands for: over the sample SD, the normal probability of a mean beyond the critical value.
    """
    from statsmodels.stats.power import TTestPower

    # Beyond 1e6 SDs every test rejects; larger numbers overflow.
    size = min(size, 1e6)
    found = float(TTestPower().power(size, n, alpha / 2, alternative=side))
    if math.isfinite(found):
        return found
    centre = size * math.sqrt(n) * (1 if side == "larger" else -1)
    critical = float(stats.t.isf(alpha / 2, n - 1))

    def rejects(share: float) -> float:
        spread = math.sqrt(float(special.chdtri(n - 1, 1 - share)) / (n - 1))
        return float(special.ndtr(centre - critical * spread))

    return float(integrate.quad(rejects, 0, 1, limit=200)[0])
