"""The first token of a reply with the likeliest ones beside it, as Inspect wants them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from inspect_ai.model import Logprob, Logprobs, TopLogprob

from traitbench.backends.drawing import Ask, Drawer
from traitbench.backends.hf import HuggingFace
from traitbench.backends.loading import ends
from traitbench.backends.rendering import draw_seed
from traitbench.types import Write, prompt_hash

__all__ = ["First", "first_token"]


class First(NamedTuple):
    """The first token of a reply."""

    text: str
    """Empty where it ends the reply."""
    ended: bool
    logprobs: Logprobs


@torch.inference_mode()
def first_token(backend: HuggingFace, request: Write, top: int) -> First:
    """Draw the first token of the reply to `request`, greedily at temperature 0, with the `top` likeliest beside it.

    Log-probabilities (nats) are the model's own under the control in force, before the temperature.
    """
    ids = backend.encode_prompt(request)
    logits = backend.scorer.whole([ids], [len(ids)], [len(ids) - 1])[0, 0].float().cpu()
    logprobs = torch.log_softmax(logits, -1)
    seed = draw_seed(request.seed, prompt_hash(backend.prompt(request)))
    ask = Ask(tuple(ids), 1, request.temperature, request.repetition_penalty, seed)
    token = int(Drawer([ask], len(logits), logits.device).next(logits[None])[0])
    best = logprobs.topk(min(top, len(logprobs)))
    beside = [
        TopLogprob(token=_text(backend.tokenizer, ids[-1], each), logprob=log)
        for each, log in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
    said = _text(backend.tokenizer, ids[-1], token)
    ended = token in ends(backend.model.generation_config, backend.tokenizer)
    row = Logprob(token=said, logprob=float(logprobs[token]), top_logprobs=beside or None)
    return First("" if ended else said, ended, Logprobs(content=[row]))


def _text(tokenizer: Any, before: int, token: int) -> str:
    """A token's text as it stands behind another: alone, some tokenizers leave out the blank before it."""
    head, both = tokenizer.decode([before]), tokenizer.decode([before, token])
    return str(both[len(head) :] if both.startswith(head) else tokenizer.decode([token]))
