"""Whether the search found anything: whether two halves of the scenes or questions name the same neurons.

The two sets of a pole are chosen as the search itself chooses, and compared by the share of the smaller one that is in
both; the mean over poles is the statistic. Under shuffles the poles of whole blocks change places, in either half: what
is left is what replies have in common whatever their pole.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.methods.npti.counting import Activity
from traitbench.statistics.permutations import DRAWS, compared, flips
from traitbench.types import Find, digest

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench
    from traitbench.methods.npti.reading import Both

__all__ = ["FEWEST", "STATISTIC", "shared", "tested"]

STATISTIC = "share of a pole's neurons that two halves have in common"
FEWEST = 6
"""Blocks with which a p of .05 can be reached: 2 of their 64 labelings tell the halves apart alike."""
_AT_ONCE = 32
"""Shuffles that are added up in one product: memory of as many numbers a neuron, for either half."""

Floats = NDArray[np.float32]


def tested(bench: Bench, both: Both, threshold: float, least: int, on: str) -> Find | None:
    """Test the halves of what was found for a trait, once: both poles rest on it. None where there are too few blocks.

    threshold, least: as in `choose`; on: in words.
    """
    counted = [[sha256(one.positive.tobytes()).hexdigest(), one.tokens.tolist()] for one in both]
    name = digest(["npti halves", counted, threshold, least, bench.seed, DRAWS])

    def shares() -> dict[str, NDArray[np.float64]]:
        found = shared(both.high, both.low, threshold, least, DRAWS, bench.seed)
        return {"shares": np.zeros(0) if found is None else found}

    found = bench.once(f"npti-{name}", shares)["shares"]
    return compared(found[0], found[1:]).find(STATISTIC, on) if len(found) else None


def shared(
    high: Activity, low: Activity, threshold: float, least: int, draws: int = DRAWS, seed: int = 0
) -> NDArray[np.float64] | None:
    """The share of neurons that two halves have in common: as found, then under shuffled poles, (1 + shuffles,).

    threshold, least: as in `choose`. None where fewer than FEWEST blocks have tokens of both poles.
    """
    used = np.flatnonzero((high.tokens > 0) & (low.tokens > 0))
    halves = [used[used % 2 == half] for half in (0, 1)]
    if len(used) < FEWEST or not all(map(len, halves)):
        return None
    order = np.concatenate(halves)
    signs = np.concatenate([np.ones((1, len(order)), dtype=np.int8), flips(len(order), draws, seed)])
    counts, found = [_Half.of(high, low, mine) for mine in halves], list[float]()
    for start in range(0, len(signs), _AT_ONCE):
        parts = np.split(signs[start : start + _AT_ONCE].astype(np.float32), [len(halves[0])], axis=1)
        first, second = (half.delta(part) for half, part in zip(counts, parts, strict=True))
        found += [_overlap(a, b, threshold, least) for a, b in zip(first, second, strict=True)]
    return np.array(found)


class _Half(NamedTuple):
    """The counts of one half's blocks."""

    apart: Floats
    """(blocks, neurons): active tokens under the high pole less those under the low."""
    whole: Floats
    """(neurons,): active tokens of both."""
    lean: Floats
    """(blocks,): tokens of the high pole less those of the low."""
    tokens: float

    @classmethod
    def of(cls, high: Activity, low: Activity, blocks: NDArray[np.intp]) -> _Half:
        ups, downs = (one.positive[blocks].reshape(len(blocks), -1).astype(np.float32) for one in (high, low))
        more, less = (one.tokens[blocks].astype(np.float32) for one in (high, low))
        return cls(ups - downs, (ups + downs).sum(axis=0), more - less, float((more + less).sum()))

    def delta(self, signs: Floats) -> Floats:
        """P(active) under what is called the high pole less that under the low, (shuffles, neurons).

        signs: (shuffles, blocks) -1 where the poles of a block have changed places. What bears a label, summed over
        blocks, is half of all, plus or less half of the signed differences.
        """
        apart, lean = signs @ self.apart, (signs @ self.lean)[:, None]
        found: Floats = (self.whole + apart) / (self.tokens + lean) - (self.whole - apart) / (self.tokens - lean)
        return found


def _overlap(a: Floats, b: Floats, threshold: float, least: int) -> float:
    """Mean over both poles of the share of the smaller set that is in the other; 0 where one is empty."""
    shares = []
    for sign in (1, -1):
        first, second = (_chosen(sign * delta, threshold, least) for delta in (a, b))
        smaller = min(first.sum(), second.sum())
        shares.append(float((first & second).sum() / smaller) if smaller else 0.0)
    return sum(shares) / 2


def _chosen(delta: Floats, threshold: float, least: int) -> NDArray[np.bool_]:
    """Mark the neurons with delta >= threshold, or the `least` largest above 0 where these are more."""
    # As in `choose`, what is meant to be the threshold counts; a float32 is off by less.
    found: NDArray[np.bool_] = delta >= threshold - 1e-6
    above = int((delta > 0).sum())
    number = min(least, above)
    if int(found.sum()) >= number:
        return found
    found = np.zeros(len(delta), dtype=np.bool_)
    found[np.argpartition(-delta, number - 1)[:number]] = True
    return found
