"""The search of NPTI by teacher forcing: the model reads trait dialogues, and what its neurons do is counted.

In each scene two people of opposite poles answer the same words. The model is shown either reply behind these words,
without a description of anybody, in one forward pass; counted are the tokens of the replies. Nothing is written, so
that a search costs what reading costs, and both poles say about as much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor

from traitbench.controls.interventions import layers, site_width
from traitbench.methods.npti.counting import Activity, Tally
from traitbench.methods.npti.gamma import CUE
from traitbench.methods.npti.scenes import Scene
from traitbench.methods.npti.sources import BLOCKS
from traitbench.statistics.quantiles import Bins
from traitbench.types import Continue, Doc, Message, Trait, digest

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["Both", "read"]

_FORMAT = 1
"""Of the stored activities: raise it when what is counted changes."""


class Both(NamedTuple):
    """The activity over the replies of either pole."""

    high: Activity
    low: Activity


def read(bench: Bench, scenes: Sequence[Scene], trait: Trait, q: float, bins: Bins) -> Both:
    """Record the activity over the replies of both poles, or take it from the cache where it was recorded before.

    The cache is named by model, prompts, replies and settings, and a file is there only when all was read.
    """
    backend = bench.backend
    asked = [_shown(trait, scene.said, reply) for scene in scenes for reply in (scene.high, scene.low)]
    told = [[backend.prompt(request), request.text] for request in asked]
    name = digest(["npti reading", _FORMAT, backend.identity, told, [s.block for s in scenes], q, list(bins)])
    held = bench.once(f"npti-{name}", lambda: _recorded(bench, asked, [s.block for s in scenes], trait, q, bins))
    return Both(*(Activity(*(held[f"{pole}.{field}"] for field in Activity._fields)) for pole in Both._fields))


def _shown(trait: Trait, said: str, reply: str) -> Continue:
    doc = Doc(task="npti", scoring="statement", item=digest(said), trait=trait, facet=None, keyed=1)
    return Continue(doc=doc, messages=(Message(role="user", content=said),), cue=CUE, text=reply)


def _recorded(
    bench: Bench, asked: Sequence[Continue], of: Sequence[int], trait: Trait, q: float, bins: Bins
) -> Mapping[str, NDArray[Any]]:
    """Read `asked`, the replies of high and low pole by turns; `of`: the block of each two."""
    model = bench.backend.model
    tallies = [Tally(layers(model), site_width(model, "gate"), bins, BLOCKS) for _ in Both._fields]
    blocks = torch.tensor(of, device=model.device)

    def sink(layer: int, activations: Tensor, requests: Tensor) -> None:
        for pole, tally in enumerate(tallies):
            mine = (requests % 2 == pole).nonzero()[:, 0]
            tally.take(layer, activations[mine.to(activations.device)], blocks[requests[mine] // 2])

    with bench.progress(f"reading dialogues, {trait}", len(asked)) as step:
        bench.backend.along(asked, "gate", sink, step)
    found = dict(zip(Both._fields, (tally.activity(q) for tally in tallies), strict=True))
    return {f"{pole}.{field}": array for pole, mine in found.items() for field, array in mine._asdict().items()}
