"""How likely a model finds replies, with gradients where they are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from traitbench.methods.training.examples import Tokens

__all__ = ["reply_sums"]


def reply_sums(model: Any, texts: Sequence[tuple[Tokens, Tokens]]) -> Tensor:
    """Log-likelihood of each reply behind its prompt, in nats, (texts,), from one forward of a padded batch."""
    width = max(len(prompt) + len(reply) for prompt, reply in texts)
    ids = torch.zeros((len(texts), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, (prompt, reply) in enumerate(texts):
        ids[row, : len(prompt) + len(reply)] = torch.tensor([*prompt, *reply])
        mask[row, : len(prompt) + len(reply)] = 1
    logits = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device), use_cache=False).logits
    sums = []
    for row, (prompt, reply) in enumerate(texts):
        logs = logits[row, len(prompt) - 1 : len(prompt) + len(reply) - 1].float().log_softmax(-1)
        sums.append(logs.gather(1, torch.tensor(reply, device=logs.device)[:, None]).sum())
    return torch.stack(sums)
