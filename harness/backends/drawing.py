"""The next token of each row of a batch: the likeliest, or a draw from a generator of the row's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn.functional import pad

from traitbench.backends.backend import NotFinite

__all__ = ["Ask", "Drawer", "drawn", "finite"]

Tokens = tuple[int, ...]

_BLOCK = 256
"""Tokens of the vocabulary whose weights are summed at once."""
_BELOW = 1 - 1e-12
"""So near to 1 a number may come that a sum is taken at, so that rounding leaves it below the sum."""


class Ask(NamedTuple):
    """What a reply is written after, and how."""

    prompt: Tokens
    most: int
    """Tokens of the reply."""
    temperature: float = 0.0
    """0 takes the likeliest token."""
    penalty: float = 1.0
    """Of tokens that the prompt or the reply holds already (Keskar et al., 2019): positive logits are divided by it,
    others multiplied."""
    seed: int = 0


def finite(logits: torch.Tensor, tokens: torch.Tensor) -> None:
    """Raise NotFinite unless the likeliest `tokens` (rows,) have finite logits (rows, vocabulary): a NaN wins."""
    peaks = logits.gather(-1, tokens[:, None])
    if not torch.isfinite(peaks).all():
        raise NotFinite(f"{float(peaks[~torch.isfinite(peaks)][0])}")


class Drawer:
    """Draws the tokens of the rows of one batch.

    A row's numbers come from a generator of its own, one a token, so that a reply hangs on no other row.
    """

    def __init__(self, asks: Sequence[Ask], vocabulary: int, device: torch.device) -> None:
        """Take what each row asks for; `vocabulary` is the number of logits of a row."""
        self._temperature = torch.tensor([[ask.temperature] for ask in asks], device=device)
        self._sampled = any(ask.temperature > 0 for ask in asks)
        self._penalty = torch.tensor([[ask.penalty] for ask in asks], device=device)
        self._uniform = torch.stack([_uniform(ask, max(a.most for a in asks)) for ask in asks]).to(device)
        self._step = 0
        self._seen: torch.Tensor | None = None
        if any(ask.penalty != 1 for ask in asks):
            seen = torch.zeros(len(asks), vocabulary, dtype=torch.bool)
            for row, ask in zip(seen, asks, strict=True):
                row[list(ask.prompt)] = True
            self._seen = seen.to(device)

    def next(self, logits: torch.Tensor) -> torch.Tensor:
        """Return a token for each row of logits (rows, vocabulary); NotFinite where they are no numbers."""
        logits = logits.float()
        if self._seen is not None:
            punished = torch.where(logits < 0, logits * self._penalty, logits / self._penalty)
            logits = torch.where(self._seen, punished, logits)
        tokens = logits.argmax(-1)
        finite(logits, tokens)
        if self._sampled:
            warm = self._temperature > 0
            scaled = logits / torch.where(warm, self._temperature, 1.0)
            tokens = torch.where(warm[:, 0], drawn(scaled, self._uniform[:, self._step]), tokens)
        self._step += 1
        if self._seen is not None:
            self._seen.scatter_(1, tokens[:, None], True)
        return tokens

    def move(self, order: Sequence[int]) -> None:
        """Let row n be what row order[n] was."""
        index = torch.tensor(order, device=self._uniform.device)
        self._temperature, self._penalty = self._temperature[index], self._penalty[index]
        self._uniform = self._uniform[index]
        self._seen = None if self._seen is None else self._seen[index]


def drawn(logits: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Invert the distribution function of each row of logits (rows, vocabulary) at `at` (rows,), numbers in [0, 1).

    The token is the first at which the summed probability is above the number. Sums are taken over blocks first, so
    that a long vocabulary needs no running sum of all of it; where float32 rounds them, a token a millionth away may be
    taken.
    """
    weights = (logits - logits.amax(-1, keepdim=True)).exp_()
    weights = pad(weights, (0, -weights.shape[-1] % _BLOCK)).reshape(len(weights), -1, _BLOCK)
    sums = weights.sum(-1).double()
    upto = sums.cumsum(-1)
    goal = at.double().clamp(max=_BELOW)[:, None] * upto[:, -1:]
    block = torch.searchsorted(upto, goal, right=True)
    own = sums.gather(-1, block)
    # Within the block as a share, which is below 1 even where its sum was rounded down.
    share = ((goal - (upto.gather(-1, block) - own)) / own).clamp_(0.0, _BELOW)
    inside = weights[torch.arange(len(weights), device=weights.device), block[:, 0]].double().cumsum(-1)
    place = torch.searchsorted(inside, share * inside[:, -1:], right=True)
    return (block * _BLOCK + place)[:, 0]


def _uniform(ask: Ask, most: int) -> torch.Tensor:
    """A number in [0, 1) for each token of a reply; drawn on the CPU, so that every device gets the same ones."""
    if ask.temperature <= 0:
        return torch.zeros(most, dtype=torch.float64)
    numbers = torch.rand(ask.most, dtype=torch.float64, generator=torch.Generator().manual_seed(ask.seed))
    return pad(numbers, (0, most - ask.most))
