"""Quantiles of many variables at once from counts in bins: bounded memory, bounded relative error, one pass.

The bins lie evenly within each octave and double in width from one to the next, as in HdrHistogram (Tene) and, with
a logarithm in place of octaves, DDSketch (Masson, Rim and Lee, 2019, VLDB 12(12), 2195-2205). The bin of a float32 is
read off its bits, so that every array library on every device puts a number into the same bin.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import BadData

__all__ = ["Bins", "quantile"]

_MANTISSA, _BIAS = 23, 127
"""Of a float32 (IEEE 754): bits of the mantissa, and what is added to the exponent."""


class Bins(NamedTuple):
    """Bins from 2**low to 2**high, 2**digits an octave, and one beyond either end."""

    low: int = -10
    high: int = 8
    digits: int = 6

    @property
    def number(self) -> int:
        """How many bins there are, those at the ends included."""
        return ((self.high - self.low) << self.digits) + 2

    @property
    def error(self) -> float:
        """The largest |read - true| / true for a value between 2**low and 2**high."""
        return 0.5 ** (self.digits + 1)

    def places(self, bits: Any) -> Any:
        """Return the bin of each number, given as float32 bits: `x.view(int32)` of a numpy or torch array, any shape.

        Bin 0 holds all that is below 2**low, negative numbers and zero included; the last holds 2**high and above.
        Numbers that are not finite have no bin of their own.
        """
        shifted = bits >> (_MANTISSA - self.digits)
        return (shifted - ((_BIAS + self.low) << self.digits) + 1).clip(0, self.number - 1)

    def values(self) -> NDArray[np.float64]:
        """Return what each bin is read as, shape (number,): its middle; 0 for the first, 2**high for the last."""
        steps = np.arange((self.high - self.low) << self.digits)
        octave, step = steps >> self.digits, steps & ((1 << self.digits) - 1)
        middle = np.exp2(self.low + octave) * (1 + (step + 0.5) / (1 << self.digits))
        return np.concatenate([[0.0], middle, [2.0**self.high]])


def quantile(counts: NDArray[Any], q: float, bins: Bins) -> NDArray[np.float64]:
    """Read the q-quantile (0 < q <= 1) off `counts` (..., bins.number); shape (...).

    It is the smallest value that at least a share q of the values do not exceed (numpy's "inverted_cdf"; definition 1
    of Hyndman and Fan, 1996), within `bins.error`; 0 where it lies below 2**low, 2**high where it lies above that.
    BadData where nothing was counted.
    """
    if not 0 < q <= 1:
        raise BadData(f"the quantile {q} does not lie in (0, 1]; e.g. 0.95")
    running = np.cumsum(counts, axis=-1, dtype=np.int64)
    total = running[..., -1]
    if not total.all():
        raise BadData("a quantile was asked of no values at all; count some first")
    # The product is rounded before it is rounded up, so that 0.07 * 100 = 7.000000000000001 means the 7th value.
    rank = np.ceil(np.round(q * total, 9))
    at = (running < rank[..., None]).sum(axis=-1)
    read: NDArray[np.float64] = bins.values()[at]
    return read
