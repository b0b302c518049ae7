"""The search of NPTI as published: the model answers questions as a pole would, and what its neurons do is counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteriaList

from traitbench.backends.lengths import padding
from traitbench.controls.interventions import layers, recorded, site_width
from traitbench.methods.npti.counting import Activity, Tally
from traitbench.statistics.quantiles import Bins
from traitbench.types import Write, digest

if TYPE_CHECKING:
    from traitbench.backends.hf import HuggingFace
    from traitbench.methods.bench import Bench

__all__ = ["Asked", "replies", "search"]

_WORTH_SAYING = 60
"""Seconds from which the length of a search is told in words."""
_FORMAT = 2
"""Of the stored activities: raise it when what is counted changes."""


class Asked(NamedTuple):
    """A request of the search and the block of the questions that it belongs to."""

    request: Write
    block: int


class _Watch:
    """A stopping criterion that stops nothing: it sees every token written and hands the tally those that go on.

    Counted are the written tokens that are shown to the model again; prompts, and what follows a reply's end, are not.
    """

    def __init__(self, tally: Tally, blocks: Sequence[int], ends: Tensor) -> None:
        self._tally, self._ends = tally, ends
        self._blocks = torch.tensor(blocks, device=ends.device)
        self._alive: Tensor | None = None

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        on = ~torch.isin(input_ids[:, -1], self._ends)
        self._alive = on if self._alive is None else self._alive & on
        return torch.zeros_like(on)

    def take(self, layer: int, activations: Tensor) -> None:
        """Take the activations (rows, tokens, width) of one forward pass of one layer."""
        if self._alive is None:
            return
        rows, blocks = activations[:, -1], self._blocks
        if not bool(self._alive.all()):
            alive = self._alive.nonzero()[:, 0]
            rows, blocks = rows[alive.to(rows.device)], blocks[alive]
        self._tally.take(layer, rows, blocks)


@torch.inference_mode()
def replies(
    backend: HuggingFace, requests: Sequence[Write], tally: Tally | None = None, blocks: Sequence[int] | None = None
) -> list[list[int]]:
    """Answer `requests` greedily in one batch padded at the left; return each reply's tokens, the end left out.

    With a `tally` the activations at each written token that is shown to the model again are counted, in the block of
    its request (0 where `blocks` is None): all of a reply but its end or, where it was cut, its last token. Prompts,
    padding and what follows an end are not.
    """
    prompts = [backend.encode_prompt(request) for request in requests]
    model, config = backend.model, backend.model.generation_config
    ends = [config.eos_token_id] if isinstance(config.eos_token_id, int) else list(config.eos_token_id or ())
    pad = padding(backend.tokenizer, backend.renderer.known, ends)
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device)
    settings = GenerationConfig(
        max_new_tokens=requests[0].max_tokens, do_sample=False, pad_token_id=pad, eos_token_id=ends or None,
        repetition_penalty=requests[0].repetition_penalty,
    )  # fmt: skip
    given: dict[str, Any] = {"attention_mask": mask, "generation_config": settings}
    if tally is None:
        out = model.generate(ids, **given)
    else:
        watch = _Watch(tally, blocks or [0] * len(requests), torch.tensor(ends, dtype=torch.long, device=model.device))
        with recorded(model, "gate", watch.take):
            out = model.generate(ids, stopping_criteria=StoppingCriteriaList([watch]), **given)
    return [row[: next((n for n, t in enumerate(row) if t in ends), len(row))] for row in out[:, width:].tolist()]


def search(bench: Bench, asked: Sequence[Asked], label: str, q: float, batch_size: int, bins: Bins) -> Activity:
    """Record the activity over the replies to `asked`, or take it from the cache where it was recorded before.

    The cache is named by model, prompts and settings, and a file is there only when the whole search of a pole is
    done: one that was killed goes on with the first pole that is not.
    """
    backend = bench.backend
    told = [[backend.prompt(a.request), a.request.max_tokens, a.request.repetition_penalty, a.block] for a in asked]
    name = digest(["npti", _FORMAT, backend.identity, told, q, batch_size, list(bins)])
    return Activity(**bench.once(f"npti-{name}", lambda: _recorded(bench, asked, label, q, batch_size, bins)._asdict()))


def _recorded(bench: Bench, asked: Sequence[Asked], label: str, q: float, batch_size: int, bins: Bins) -> Activity:
    backend = bench.backend
    order = sorted(asked, key=lambda a: len(backend.prompt(a.request)))
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    tally = Tally(layers(backend.model), site_width(backend.model, "gate"), bins)
    began = time.perf_counter()
    with bench.progress(f"search {label}", len(asked)) as step:
        for number, batch in enumerate(batches):
            replies(backend, [a.request for a in batch], tally, [a.block for a in batch])
            step(len(batch))
            if not number:
                _estimate(bench.tell, label, (time.perf_counter() - began) * len(batches))
    return tally.activity(q)


def _estimate(tell: Callable[[str], None], label: str, seconds: float) -> None:
    if seconds > _WORTH_SAYING:
        tell(f"search {label}: about {seconds / 60:.0f} min")
