"""How far the replies of both poles lie apart in each layer: activations over a reply's tokens, by teacher forcing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from traitbench.controls.interventions import layers, site_width
from traitbench.methods.persona_vectors.replies import Two, shown
from traitbench.types import Continue, Trait, digest

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["Apart", "read"]

_FORMAT = 1
"""Of what is cached: raise it when what is recorded changes."""


class Apart(NamedTuple):
    """The pairs of a trait, as the model reads them."""

    differences: NDArray[np.float32]
    """Mean over the tokens of the high pole's reply less that over the low one's, (pairs, layers, width)."""
    tokens: NDArray[np.int64]
    """Of both replies of a pair, (pairs, 2)."""


def read(trait: Trait, pairs: Sequence[Two], bench: Bench) -> Apart:
    """Show the model every reply; kept in the bench's cache."""
    requests = [request for pair in pairs for request in shown(trait, pair)]
    backend = bench.backend
    told = [[backend.prompt(request), request.text] for request in requests]
    name = digest(["persona reading", _FORMAT, backend.identity, told])
    return Apart(**bench.once(f"persona-{name}", lambda: _recorded(trait, requests, bench)))


def _recorded(trait: Trait, requests: Sequence[Continue], bench: Bench) -> Mapping[str, NDArray[np.generic]]:
    model = bench.backend.model
    depth, width, pairs = layers(model), site_width(model, "residual"), len(requests) // 2
    sums = torch.zeros((2, pairs, depth, width))
    counts = torch.zeros(len(requests), dtype=torch.long)

    def sink(layer: int, activations: Tensor, whose: Tensor) -> None:
        whose = whose.cpu()
        some = torch.zeros((len(requests), width)).index_add_(0, whose, activations.float().cpu())
        sums[:, :, layer] += some.reshape(pairs, 2, width).transpose(0, 1)
        if layer == 0:
            counts.index_add_(0, whose, torch.ones_like(whose))

    with bench.progress(f"reading replies, {trait}", len(requests)) as step:
        bench.backend.along(requests, "residual", sink, step)
    tokens = counts.reshape(pairs, 2)
    means = sums / tokens.T[:, :, None, None]
    return {"differences": (means[0] - means[1]).numpy(), "tokens": tokens.numpy()}
