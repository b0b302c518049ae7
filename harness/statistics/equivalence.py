"""No difference worth speaking of, which a test that finds none does not show; flips; the smallest effect to be seen.

A difference that is not significant may be large and measured badly. Two one-sided tests (TOST; Schuirmann 1987) ask
the other question: is the difference smaller than one that would matter? The bounds are named before the data are seen
(Lakens 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from traitbench.errors import BadData, UnknownName
from traitbench.statistics.coefficient import Coefficient
from traitbench.statistics.comparison import PairedDifference, paired, power
from traitbench.types import Record

__all__ = ["BOUNDS", "SHARE", "Equivalence", "Flips", "detectable", "flips", "tost", "tost_shares"]

SHARE = "share from 0 to 1"
BOUNDS = {"POMP": 3.0, "nats a token": 0.1, SHARE: 0.03}
"""Unit -> the difference below which two things count as alike, unless the user says otherwise. 3 % of a scale's range
are .2 of the SD between persons on the IPIP-NEO-120 (12.8 to 16.6 POMP), which Cohen (1988) calls small; .1 nats a
token make each token about a tenth more likely; .03 is below Cohen's small h of .2 for every share from .01 to .99."""


class Equivalence(Record):
    """Two one-sided tests of a paired difference against bounds; null where `reason` says why."""

    bound: float
    """The difference counts as none between -bound and bound, in the unit of the values."""
    ci: tuple[float, float] | None = None
    """At 1 - 2 alpha: 90 % for alpha .05."""
    p: float | None = None
    """The larger of the two one-sided p: below alpha exactly where the interval lies inside the bounds."""
    equivalent: bool = False
    reason: str = ""


class Flips(Record):
    """Which items were hit (answered as aimed, or rightly) in two runs, and McNemar's exact test of the odd ones."""

    both: int
    a_only: int
    b_only: int
    neither: int
    p: float
    """Two-sided binomial of `a_only` among the items hit in one run alone; 1 where there is none."""
    p_holm: float | None = None
    """Adjusted (Holm 1979) over the family that the differences are adjusted over."""


def tost(
    a: ArrayLike,
    b: ArrayLike,
    bound: float,
    strata: ArrayLike | None = None,
    weights: Literal["items", "halves"] = "items",
    alpha: float = 0.05,
    clusters: Sequence[object] | None = None,
    over: Sequence[str] = (),
) -> Equivalence:
    """Test whether the mean difference `a` - `b` of pairs lies between -`bound` and `bound`.

    The tests are those of `paired`, which takes the same shapes, once against each bound, so that items, strata,
    weights, facets and random axes count as they do in the test of no difference.
    UnknownName where `bound` is no number above 0.
    """
    _check(bound)
    x, y, level = np.asarray(a, dtype=float), np.asarray(b, dtype=float), 1 - 2 * alpha
    found = paired(x, y, strata, weights, level, clusters, over)
    if found.ci is None:
        return Equivalence(bound=bound, reason=found.reason)
    inside = -bound < found.ci[0] and found.ci[1] < bound
    moved = (paired(x + side, y, strata, weights, level, clusters, over) for side in (bound, -bound))
    above, below = (_one_sided(one, side) for one, side in zip(moved, (bound, -bound), strict=True))
    p = None if above is None or below is None else max(above, below)
    return Equivalence(bound=bound, ci=found.ci, p=p, equivalent=inside, reason=found.reason)


def tost_shares(found: Flips, bound: float, alpha: float = 0.05) -> Equivalence:
    """Test whether the share of hits in a minus that in b lies between -`bound` and `bound`.

    Agresti & Min (2005): the normal interval of matched shares with half an item added to each of the four counts, so
    that few items without any flip are not taken for proof, as the t interval takes them.
    """
    _check(bound)
    one, other = found.a_only + 0.5, found.b_only + 0.5
    n = found.both + found.neither + 1 + one + other
    d = (one - other) / n
    se = float(np.sqrt(one + other - (one - other) ** 2 / n)) / n
    half = float(stats.norm.ppf(1 - alpha)) * se
    p = max(float(stats.norm.sf((bound - d) / se)), float(stats.norm.sf((bound + d) / se)))
    inside = -bound < d - half and d + half < bound
    return Equivalence(bound=bound, ci=(d - half, d + half), p=p, equivalent=inside)


def _check(bound: float) -> None:
    if not (np.isfinite(bound) and bound > 0):
        raise UnknownName(f"equivalence bound {bound:g} is out of range: expected a number above 0")


def _one_sided(found: PairedDifference, side: float) -> float | None:
    """P of a difference as far on the inner side of a bound as was found; None where the differences do not vary."""
    if found.p is None or found.t is None:
        return None
    return found.p / 2 if found.t * side > 0 else 1 - found.p / 2


def flips(a: Sequence[bool], b: Sequence[bool]) -> Flips:
    """Count the hits of two runs over the same items, in the same order; exact test of McNemar (1947).

    Of the items hit in one run alone, each run has half if the runs are alike: a binomial test, two-sided as twice the
    smaller tail. Items count as independent. BadData where the lengths differ.
    """
    x, y = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if x.shape != y.shape or x.ndim != 1:
        raise BadData(f"hits of shape {x.shape} and {y.shape} are no pairs: expected one of each run for every item")
    one, other = int((x & ~y).sum()), int((~x & y).sum())
    p = min(1.0, 2 * float(stats.binom.cdf(min(one, other), one + other, 0.5)))
    return Flips(both=int((x & y).sum()), a_only=one, b_only=other, neither=int((~x & ~y).sum()), p=p)


def detectable(sd: float, n: float, share: float = 0.80, alpha: float = 0.05) -> Coefficient:
    """Smallest mean that the t test of `power` finds with probability `share` where `n` values have SD `sd`.

    In the unit of `sd`.
    """
    if not 0 < alpha < share < 1:
        raise UnknownName(f"power {share} is out of range: expected a share between alpha ({alpha}) and 1, e.g. 0.8")
    asked = power(0.0, sd, n, alpha)
    if asked.value is None:
        return asked

    def lacking(size: float) -> float:
        return (power(size, 1.0, n, alpha).value or 0.0) - share

    most = 1.0
    while lacking(most) < 0:
        most *= 2
    return Coefficient(sd * float(optimize.brentq(lacking, 0.0, most, xtol=1e-10)))
