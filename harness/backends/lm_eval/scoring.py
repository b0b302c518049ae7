"""Log-probabilities of continuations as lm-eval wants them: with a word on whether greedy decoding would write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from traitbench.backends.forward import Scorer

__all__ = ["Row", "Scored", "Tokens", "scored"]

Tokens = tuple[int, ...]
Scored = tuple[float, bool]
"""Log-probability of a continuation, and whether each of its tokens is the likeliest."""


class Row(NamedTuple):
    """A continuation as tokens behind its prompt's."""

    prompt: Tokens
    answer: Tokens
    begins: int
    """Tokens that an edit counts as the prompt."""


@torch.inference_mode()
def scored(scorer: Scorer, rows: Sequence[Row], size: int | None) -> list[Scored]:
    """Score each row under the edits in force, `size` texts a pass (None: as many as fill one).

    Rows that differ in their last token alone share a text: nothing looks at an answer's last token.
    """
    texts: dict[Row, list[tuple[int, int]]] = {}
    for n, row in enumerate(rows):
        texts.setdefault(row._replace(answer=row.answer[:-1]), []).append((n, row.answer[-1]))
    order = sorted(texts, key=lambda row: (-len(row.prompt) - len(row.answer), row))
    found: list[Scored] = [(0.0, False)] * len(rows)
    while order:
        longest = len(order[0].prompt) + len(order[0].answer)
        many = size or max(1, scorer.tokens // longest)
        batch, order = order[:many], order[many:]
        first = min(len(row.prompt) for row in batch) - 1
        logits = scorer.whole(
            [row.prompt + row.answer for row in batch], [row.begins for row in batch], list(range(first, longest))
        )
        for row, own in zip(batch, logits, strict=True):
            start = len(row.prompt) - 1 - first
            logprobs = torch.log_softmax(own[start : start + len(row.answer) + 1].float(), -1).cpu()
            for n, last in texts[row]:
                found[n] = _sum(logprobs, (*row.answer, last))
    return found


def _sum(logprobs: torch.Tensor, tokens: Tokens) -> Scored:
    """Sum the tokens' log-probabilities (tokens, vocabulary), and hold them against the likeliest."""
    ids = torch.tensor(tokens)
    picked = logprobs.gather(1, ids[:, None])[:, 0].double()
    return float(picked.sum()), bool((logprobs.argmax(-1) == ids).all())
