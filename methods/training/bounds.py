"""What an adapter does to neutral prose while it is trained, measured as a run measures it (see `backends.neutral`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from traitbench.backends import neutral
from traitbench.methods.training.examples import Example, Extension, Tokens
from traitbench.methods.training.likelihoods import reply_sums
from traitbench.methods.training.recipes import Recipe
from traitbench.types import digest

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["BEYOND", "Bounded", "prose"]

BEYOND = 1e6
"""Added to the held-out loss of a step that breaks the limit, so that any that keeps it is better."""
_LARGEST = 700.0


def prose(
    bench: Bench, model: Any, held: Sequence[Example], extension: Extension | None, plan: Recipe
) -> Callable[[Any], float]:
    """Make what measures a model in training: perplexity of the neutral passages, over that of `model` as it is now.

    With an `extension` it is the largest over the slots that occur in `held`.
    """
    size = plan.device_batch
    texts = [_tokens(bench, request.messages, request.cue, request.text) for request in neutral.requests()]
    count = sum(len(reply) for _, reply in texts)

    def plainly() -> dict[str, Any]:
        return {"nats": np.array([_nats(model, texts, size)])}

    before = float(bench.once(f"prose-{digest([bench.backend.identity, texts, plan.four_bit])}", plainly)["nats"][0])
    slots = list(dict.fromkeys(row.slots for row in held)) if extension else [()]

    def measured(trained: Any) -> float:
        worst = 0.0
        for slot in slots:
            nats = _nats(trained, texts, size, extension, slot)
            worst = max(worst, math.exp(min((nats - before) / count, _LARGEST)) if math.isfinite(nats) else math.inf)
        return worst

    return measured


def _tokens(bench: Bench, messages: Any, cue: str, text: str) -> tuple[Tokens, Tokens]:
    renderer = bench.backend.renderer
    prompt = renderer.render(messages, cue)
    ids = renderer.encode(prompt)
    return ids, renderer.answer(prompt, ids, renderer.continuation(text))


def _nats(
    model: Any, texts: Sequence[tuple[Tokens, Tokens]], size: int, extension: Extension | None = None,
    slot: Sequence[float] = (),
) -> float:  # fmt: skip
    """Negative log-likelihood of all replies."""
    total = 0.0
    with torch.no_grad():
        for n in range(0, len(texts), size):
            some = texts[n : n + size]
            if extension:
                extension.begin(torch.tensor([slot] * len(some)))
            total -= float(reply_sums(model, some).sum())
    return total


class Bounded:
    """A trainer to whom a step counts only while neutral prose stays under a limit."""

    prose: Callable[[Any], float] | None = None
    limit: float = math.inf

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **more: Any) -> Any:
        """Measure held-out loss, and beside it the perplexity of neutral prose, by which it counts or not."""
        found = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **more)  # type: ignore[misc]
        if self.prose is not None:
            ratio = self.prose(self.model)  # type: ignore[attr-defined]
            loss = found.metrics[f"{metric_key_prefix}_loss"]
            found.metrics[f"{metric_key_prefix}_perplexity"] = ratio
            found.metrics[f"{metric_key_prefix}_bounded"] = loss if ratio <= self.limit else loss + BEYOND
        return found
