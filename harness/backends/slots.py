"""Keys and values of replies that are being written, a slot a row, and attention that reads them without copying.

Transformers' own caches copy all they hold at each step and keep rows that are finished; its attention repeats the keys
of every group of heads. Here a step writes one column, and a row that is finished gives its slot to the last one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, Cache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

__all__ = ["Layer", "Slots", "bytes_a_token", "grouped"]

_NAME = "traitbench_grouped"


class Layer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values, each (slots, heads, capacity, head_dim), whose columns are filled step by step."""

    def __init__(self, slots: int, capacity: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Make empty slots for states like `keys` and `values` (1, heads, tokens, head_dim)."""
        super().__init__()
        self.keys, self.values = (s.new_empty(slots, s.shape[1], capacity, s.shape[3]) for s in (keys, values))
        self.rows = slots
        self.filled = 0
        self.is_initialized = True

    def put(self, first: int, columns: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Fill slots from `first` on with the `columns` (rows, width) of states (1, heads, tokens, head_dim)."""
        rows, width = columns.shape
        flat = columns.flatten().to(keys.device)
        for held, given in ((self.keys, keys), (self.values, values)):
            picked = given[0].index_select(1, flat).reshape(given.shape[1], rows, width, -1)
            held[first : first + rows, :, :width] = picked.transpose(0, 1)
        self.filled = width

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the next column of each row; return all columns so far."""
        end = self.filled + key_states.shape[2]
        for held, new in ((self.keys, key_states), (self.values, value_states)):
            held[: self.rows, :, self.filled : end] = new
        self.filled = end
        return self.keys[: self.rows, :, :end], self.values[: self.rows, :, :end]

    def get_seq_length(self) -> int:
        """Columns filled, padding included."""
        return self.filled

    def move(self, order: Sequence[int]) -> None:
        """Let row n be what row order[n] was; rows move to the front only."""
        moved = [(to, at) for to, at in enumerate(order) if to != at]
        if moved:
            to, at = map(list, zip(*moved, strict=True))
            for held in (self.keys, self.values):
                held[to, :, : self.filled] = held[at, :, : self.filled]
        self.rows = len(order)


class Slots(Cache):  # type: ignore[misc]
    """The layers of one batch."""

    layers: list[Layer]

    def __init__(self, layers: list[Layer]) -> None:
        """Take the layers in order."""
        super().__init__(layers=layers)

    def move(self, order: Sequence[int]) -> None:
        """Let row n be what row order[n] was, in every layer."""
        for layer in self.layers:
            layer.move(order)


def bytes_a_token(model: Any) -> int:
    """Bytes that the keys and values of one token take, by the model's config."""
    config = model.config.get_text_config(decoder=True)
    width = model.get_input_embeddings().embedding_dim
    heads = getattr(config, "num_attention_heads", None)
    if isinstance(heads, int):
        each = getattr(config, "head_dim", None) or width // heads
        width = each * (getattr(config, "num_key_value_heads", None) or heads)
    return int(2 * config.num_hidden_layers * width * model.dtype.itemsize)


@contextmanager
def grouped(config: Any) -> Iterator[None]:
    """Let models of `config` that attend by sdpa read the keys of a group of heads once, inside the block."""
    if config._attn_implementation != "sdpa":
        yield
        return
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = "sdpa"


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Attend from one token a row: the heads of a group are so many queries to the same keys."""
    rows, heads, tokens, width = query.shape
    apart = attention_mask is None or attention_mask.shape[1] > 1 or settings.get("position_bias") is not None
    if tokens > 1 or apart or heads == key.shape[1]:
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **settings
        )
        return found
    out = torch.nn.functional.scaled_dot_product_attention(
        query.reshape(rows, key.shape[1], -1, width), key, value, attn_mask=attention_mask, scale=scaling
    )
    return out.reshape(rows, 1, heads, out.shape[-1]), None


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, sdpa_mask)
