"""What NPTI counts: how often, and how strongly, each neuron is active on the tokens of a pole's replies.

Counts are kept by block, a share of the scenes or questions with the replies of both poles to them, so that two halves
can be compared and the labels of the poles shuffled block by block, without a number for every reply.

Memory: for every neuron one 32-bit counter a bin of the quantile sketch (1,154 by default) and one a block (64),
whatever the number of tokens: 0.2 GB for SmolLM2-135M's 46,080 neurons, 2.2 GB for Llama-3-8B's 458,752, for either
pole; besides the activations of some 64 tokens that are counted together. What is kept of it is one number a block.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from traitbench.errors import BadData
from traitbench.methods.npti.sources import BLOCKS, Neurons
from traitbench.statistics.quantiles import Bins, quantile

__all__ = ["Activity", "Tally", "choose", "overlap"]

_TOGETHER = 64
"""Tokens of a layer that are counted at once: one call a token is twice as slow, and more only takes memory."""


class Activity(NamedTuple):
    """What the neurons of a model did over the tokens of one pole's replies."""

    positive: NDArray[np.unsignedinteger[Any]]
    """(blocks, layers, width): tokens at which the activation was above 0. Even blocks are one half, odd the other."""
    tokens: NDArray[np.int64]
    """(blocks,): tokens of each."""
    high: NDArray[np.float32]
    """(layers, width): the quantile of the activation, read as 0 where it is below 2**-10."""

    def share(self, half: int | None = None) -> NDArray[np.float64]:
        """P(active), (layers, width), over all tokens or those of one half."""
        mine = slice(half, None, 1 if half is None else 2)
        whole: NDArray[np.float64] = self.positive[mine].sum(axis=0, dtype=np.int64) / self.tokens[mine].sum()
        return whole


class Tally:
    """Counts the activations of one pole's tokens, as they come, layer by layer."""

    def __init__(self, layers: int, width: int, bins: Bins, blocks: int = BLOCKS) -> None:
        """Prepare to count `layers` layers of `width` neurons."""
        self.bins, self.width, self.blocks = bins, width, blocks
        self.tokens = np.zeros(blocks, dtype=np.int64)
        self._waiting: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(layers)]
        self._positive: list[Tensor | None] = [None] * layers
        self._counts: list[Tensor | None] = [None] * layers

    def take(self, layer: int, activations: Tensor, blocks: Tensor) -> None:
        """Take the activations (tokens, width) of one layer, and the block (tokens,) of each token."""
        if not len(activations):
            return
        self._waiting[layer].append((activations, blocks))
        if sum(len(rows) for rows, _ in self._waiting[layer]) >= _TOGETHER:
            self._count(layer)

    @torch.inference_mode()
    def flush(self) -> None:
        """Count what still waits."""
        for layer in range(len(self._waiting)):
            self._count(layer)

    @torch.inference_mode()
    def _count(self, layer: int) -> None:
        waiting, self._waiting[layer] = self._waiting[layer], []
        if not waiting:
            return
        values = torch.cat([rows for rows, _ in waiting]).float()
        blocks = torch.cat([of for _, of in waiting]).to(values.device)
        if not bool(torch.isfinite(values).all()):
            raise BadData(
                f"layer {layer} of the model has activations that are not finite; load it in another precision, e.g. "
                "--model_args dtype=float32"
            )
        if layer == 0:
            self.tokens += np.bincount(blocks.cpu().numpy(), minlength=self.blocks)
        positive, counts = self._positive[layer], self._counts[layer]
        if positive is None or counts is None:
            positive = torch.zeros((self.blocks, self.width), dtype=torch.int32, device=values.device)
            counts = torch.zeros((self.width, self.bins.number), dtype=torch.int32, device=values.device)
            self._positive[layer], self._counts[layer] = positive, counts
        positive.index_add_(0, blocks, (values > 0).int())
        places = self.bins.places(values.view(torch.int32)).T.long()
        counts.scatter_add_(1, places, torch.ones((), dtype=torch.int32, device=values.device).expand_as(places))

    def activity(self, q: float) -> Activity:
        """Sum up; BadData where a half got no token at all."""
        self.flush()
        halves = self.tokens[::2].sum(), self.tokens[1::2].sum()
        if not all(halves):
            raise BadData(
                f"the model's replies to the search questions have {sum(halves)} tokens to record "
                f"({halves[0]} and {halves[1]} in the two halves): it ends its replies at once; expected a model that "
                "answers, or more questions_per_pole"
            )
        positive, counts = ([c for c in held if c is not None] for held in (self._positive, self._counts))
        high = np.stack([quantile(c.cpu().numpy(), q, self.bins) for c in counts])
        every: NDArray[np.int32] = torch.stack([p.cpu() for p in positive], dim=1).numpy()
        # Half the room where it is enough.
        kept = every.astype(np.uint16) if self.tokens.max() < 2**16 else every.astype(np.uint32)
        return Activity(kept, self.tokens, high.astype(np.float32))


def choose(mine: Activity, other: Activity, threshold: float, least: int, half: int | None = None) -> Neurons:
    """Choose the neurons of the pole whose activity is `mine`, most different first.

    Kept are those with delta = P(mine) - P(other) >= threshold, or the `least` largest if these are more; among them
    only neurons with delta > 0 and a quantile above 0. `half` takes delta from one half of the scenes or questions.
    """
    share = mine.share(half)
    # Shares are fractions of tokens: 0.3 - 0.2 is meant to be 0.1.
    delta = np.round(share - other.share(half), 12)
    able = np.flatnonzero((delta > 0) & (mine.high > 0))
    able = able[np.argsort(-delta.ravel()[able], kind="stable")]
    number = max(int((delta.ravel()[able] >= threshold).sum()), min(least, len(able)))
    layer, unit = np.divmod(able[:number], delta.shape[1])
    return Neurons(layer, unit, delta[layer, unit], share[layer, unit], mine.high[layer, unit].astype(np.float64))


def overlap(a: Neurons, b: Neurons, neurons: int, width: int) -> dict[str, float | int | None]:
    """Say how far two sets agree: Jaccard |a and b| / |a or b|, share |a and b| / min(|a|, |b|), and by chance.

    Chance is the same of the expected intersection of two random sets of these sizes among `neurons`. None for empty
    sets.
    """
    sets = [set((x.layer * width + x.unit).tolist()) for x in (a, b)]
    sizes = [len(s) for s in sets]

    def shares(common: float) -> tuple[float | None, float | None]:
        return (common / (sum(sizes) - common), common / min(sizes)) if min(sizes) else (None, None)

    (jaccard, share), (chance, chance_share) = shares(len(sets[0] & sets[1])), shares(sizes[0] * sizes[1] / neurons)
    return {
        "first": sizes[0], "second": sizes[1], "jaccard": jaccard, "jaccard_by_chance": chance,
        "share": share, "share_by_chance": chance_share,
    }  # fmt: skip
