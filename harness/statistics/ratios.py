"""What is left of an effect: a ratio of two means that hang together, with Fieller's interval."""

from __future__ import annotations

from typing import NamedTuple

from scipy import special

from traitbench.statistics.intervals import NORMAL, Estimate

__all__ = ["Ratio", "ratio"]


class Ratio(NamedTuple):
    """A ratio of two means; `reason` says why something is None."""

    value: float | None
    ci: tuple[float, float] | None = None
    reason: str = ""


def ratio(top: Estimate, bottom: Estimate, difference: Estimate, level: float = 0.95) -> Ratio:
    """`top` over `bottom`, two means over the same units, of which `difference` is the paired difference.

    The interval holds every ratio r at which top - r bottom is not shown to differ from 0 (Fieller 1954); the
    covariance of the two follows from the variances of both and of their difference, t has the fewest degrees of
    freedom of the three. None where `bottom` is not clear of 0: any ratio fits then, or all but some.
    """
    if any(e.value is None or e.se is None for e in (top, bottom, difference)):
        return Ratio(None, None, "an effect has no error")
    a, b = float(top.value or 0.0), float(bottom.value or 0.0)
    v_a, v_b, v_d = ((e.se or 0.0) ** 2 for e in (top, bottom, difference))
    df = min(e.df or NORMAL for e in (top, bottom, difference))
    t2 = float(special.stdtrit(df, (1 + level) / 2)) ** 2
    both = (v_a + v_b - v_d) / 2
    square = b**2 - t2 * v_b
    if b == 0 or square <= 0:
        return Ratio(None, None, "the effect that it is a share of is not clear of 0")
    middle = a * b - t2 * both
    inner = max(middle**2 - square * (a**2 - t2 * v_a), 0.0) ** 0.5
    return Ratio(a / b, ((middle - inner) / square, (middle + inner) / square))
