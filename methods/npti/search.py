"""The search of NPTI: how often, and how strongly, each neuron is active while a model answers as a pole would.

Memory: for every neuron one 32-bit counter a bin of the quantile sketch (1,154 by default), whatever the number of
tokens: 0.2 GB for SmolLM2-135M's 46,080 neurons, 2.1 GB for Llama-3-8B's 458,752; besides the activations of some 64
tokens that are counted together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteriaList

from traitbench.controls.interventions import layers, recorded, site_width
from traitbench.errors import BadData
from traitbench.methods.npti.sources import Neurons
from traitbench.statistics.quantiles import Bins, quantile
from traitbench.types import Write, digest

if TYPE_CHECKING:
    from traitbench.backends.hf import HuggingFace
    from traitbench.methods.bench import Bench

__all__ = ["Activity", "Asked", "Tally", "choose", "overlap", "replies", "search"]

_TOGETHER = 64
"""Tokens of a layer that are counted at once: one call a token is twice as slow, and more only takes memory."""
_WORTH_SAYING = 60
"""Seconds from which the length of a search is told in words."""
_FORMAT = 1
"""Of the stored activities: raise it when what is counted changes."""


class Asked(NamedTuple):
    """A request of the search and the half of the questions that it belongs to."""

    request: Write
    half: int


class Activity(NamedTuple):
    """What the neurons of a model did over the generated tokens of one pole's replies."""

    positive: NDArray[np.int64]
    """(2, layers, width): tokens at which the activation was above 0, by half of the questions."""
    tokens: NDArray[np.int64]
    """(2,): tokens of each half."""
    high: NDArray[np.float32]
    """(layers, width): the quantile of the activation, read as 0 where it is below 2**-10."""

    def share(self, half: int | None = None) -> NDArray[np.float64]:
        """P(active), (layers, width), over all tokens or those of one half."""
        if half is None:
            whole: NDArray[np.float64] = self.positive.sum(axis=0) / self.tokens.sum()
            return whole
        part: NDArray[np.float64] = self.positive[half] / self.tokens[half]
        return part


class Tally:
    """Counts activations as `interventions.recorded` hands them over: the sink of a search."""

    def __init__(self, layers: int, width: int, bins: Bins) -> None:
        """Prepare to count `layers` layers of `width` neurons."""
        self.bins, self.width = bins, width
        self.half = 0
        """Which half of the questions is being answered."""
        self.tokens = np.zeros(2, dtype=np.int64)
        self._rows: Tensor | None = None
        self._on = False
        self._waiting: list[list[Tensor]] = [[] for _ in range(layers)]
        self._positive: list[Tensor | None] = [None] * layers
        self._counts: list[Tensor | None] = [None] * layers

    def expect(self, alive: Tensor | None) -> None:
        """Say which replies (rows,) the next forward pass goes on with; None: it shows prompts, which do not count."""
        self._on = alive is not None
        self._rows = None if alive is None or bool(alive.all()) else alive.nonzero()[:, 0]

    def __call__(self, layer: int, activations: Tensor) -> None:
        """Take the activations (rows, 1, width) of one forward pass of one layer."""
        if not self._on:
            return
        rows = activations[:, -1]
        self._waiting[layer].append(rows if self._rows is None else rows[self._rows.to(rows.device)])
        if sum(map(len, self._waiting[layer])) >= _TOGETHER:
            self._count(layer)

    @torch.inference_mode()
    def flush(self) -> None:
        """Count what still waits; to be called before `half` changes."""
        for layer in range(len(self._waiting)):
            self._count(layer)

    def _count(self, layer: int) -> None:
        waiting, self._waiting[layer] = self._waiting[layer], []
        if not waiting:
            return
        values = torch.cat(waiting).float()
        if not bool(torch.isfinite(values).all()):
            raise BadData(
                f"layer {layer} of the model has activations that are not finite; load it in another precision, e.g. "
                "--model_args dtype=float32"
            )
        if layer == 0:
            self.tokens[self.half] += len(values)
        positive, counts = self._positive[layer], self._counts[layer]
        if positive is None or counts is None:
            positive = torch.zeros((2, self.width), dtype=torch.int64, device=values.device)
            counts = torch.zeros((self.width, self.bins.number), dtype=torch.int32, device=values.device)
            self._positive[layer], self._counts[layer] = positive, counts
        positive[self.half] += (values > 0).sum(dim=0)
        places = self.bins.places(values.view(torch.int32)).T.long()
        counts.scatter_add_(1, places, torch.ones((), dtype=torch.int32, device=values.device).expand_as(places))

    def activity(self, q: float) -> Activity:
        """Sum up; BadData where a half of the questions got no token at all."""
        self.flush()
        positive, counts = ([c for c in held if c is not None] for held in (self._positive, self._counts))
        if not self.tokens.all():
            raise BadData(
                f"the model's replies to the search questions have {self.tokens.sum()} tokens to record "
                f"({self.tokens[0]} and {self.tokens[1]} in the two halves): it ends its replies at once; expected a "
                "model that answers, or more questions_per_pole"
            )
        high = np.stack([quantile(c.cpu().numpy(), q, self.bins) for c in counts])
        return Activity(torch.stack([p.cpu() for p in positive], dim=1).numpy(), self.tokens, high.astype(np.float32))


class _Watch:
    """A stopping criterion that stops nothing: it sees every token written and tells the tally which replies go on."""

    def __init__(self, tally: Tally, ends: Tensor) -> None:
        self._tally, self._ends = tally, ends
        self._alive: Tensor | None = None
        tally.expect(None)

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        on = ~torch.isin(input_ids[:, -1], self._ends)
        self._alive = on if self._alive is None else self._alive & on
        self._tally.expect(self._alive)
        return torch.zeros_like(on)


@torch.inference_mode()
def replies(backend: HuggingFace, requests: Sequence[Write], tally: Tally | None = None) -> list[list[int]]:
    """Answer `requests` greedily in one batch padded at the left; return each reply's tokens, the end left out.

    With a `tally` the activations at each written token that is shown to the model again are counted: all of a reply
    but its end or, where it was cut, its last token. Prompts, padding and what follows an end are not.
    """
    prompts = [backend.encode_prompt(request) for request in requests]
    model, config = backend.model, backend.model.generation_config
    ends = [config.eos_token_id] if isinstance(config.eos_token_id, int) else list(config.eos_token_id or ())
    pad = backend.tokenizer.pad_token_id if backend.tokenizer.pad_token_id is not None else (ends or [0])[0]
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device)
    settings = GenerationConfig(
        max_new_tokens=requests[0].max_tokens, do_sample=False, pad_token_id=pad, eos_token_id=ends or None
    )
    given: dict[str, Any] = {"attention_mask": mask, "generation_config": settings}
    if tally is None:
        out = model.generate(ids, **given)
    else:
        watch = _Watch(tally, torch.tensor(ends, dtype=torch.long, device=model.device))
        with recorded(model, "gate", tally):
            out = model.generate(ids, stopping_criteria=StoppingCriteriaList([watch]), **given)
    return [row[: next((n for n, t in enumerate(row) if t in ends), len(row))] for row in out[:, width:].tolist()]


def search(bench: Bench, asked: Sequence[Asked], label: str, q: float, batch_size: int, bins: Bins) -> Activity:
    """Record the activity over the replies to `asked`, or take it from the cache where it was recorded before.

    The cache is named by model, prompts and settings, and a file is there only when the whole search of a pole is
    done: one that was killed goes on with the first pole that is not.
    """
    backend = bench.backend
    prompts = [[backend.prompt(a.request), a.request.max_tokens, a.half] for a in asked]
    name = digest(["npti", _FORMAT, backend.identity, prompts, q, batch_size, list(bins)])
    return Activity(**bench.once(f"npti-{name}", lambda: _recorded(bench, asked, label, q, batch_size, bins)._asdict()))


def _recorded(bench: Bench, asked: Sequence[Asked], label: str, q: float, batch_size: int, bins: Bins) -> Activity:
    backend = bench.backend
    order = sorted(asked, key=lambda a: (a.half, len(backend.prompt(a.request))))
    halves = [[a.request for a in order if a.half == half] for half in (0, 1)]
    batches = [(n, h[i : i + batch_size]) for n, h in enumerate(halves) for i in range(0, len(h), batch_size)]
    tally = Tally(layers(backend.model), site_width(backend.model, "gate"), bins)
    began = time.perf_counter()
    with bench.progress(f"search {label}", len(asked)) as step:
        for number, (half, batch) in enumerate(batches):
            if half != tally.half:
                tally.flush()
                tally.half = half
            replies(backend, batch, tally)
            step(len(batch))
            if not number:
                _estimate(bench.tell, label, (time.perf_counter() - began) * len(batches))
    return tally.activity(q)


def choose(mine: Activity, other: Activity, threshold: float, least: int, half: int | None = None) -> Neurons:
    """Choose the neurons of the pole whose activity is `mine`, most different first.

    Kept are those with delta = P(mine) - P(other) >= threshold, or the `least` largest if these are more; among them
    only neurons with delta > 0 and a quantile above 0. `half` takes delta from one half of the questions.
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


def _estimate(tell: Callable[[str], None], label: str, seconds: float) -> None:
    if seconds > _WORTH_SAYING:
        tell(f"search {label}: about {seconds / 60:.0f} min")
