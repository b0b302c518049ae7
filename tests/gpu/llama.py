"""Tokens a second of a model with the shape of Llama 3 8B and random weights, and the share of the card's limits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from tiny_models import tokenizer

from gpu.cards import Card, known
from gpu.rows import Here, Row, figure, skipped

__all__ = ["bytes_of_step", "check", "flops_of_prefill"]

SHAPE: dict[str, Any] = {
    "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 8192,
    "rope_theta": 500000.0, "tie_word_embeddings": False,
}  # fmt: skip
TINY: dict[str, Any] = SHAPE | {
    "vocab_size": 1024, "hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 512,
}  # fmt: skip
NEEDED = 20e9
"""Bytes of the card's memory: 16 GB of weights, and room for prompts."""
VOCABULARY = 300
"""Ids of prompts are below this, which the tokenizer beside the weights knows."""


def check(here: Here) -> None:
    """Prompts alone, then replies in several batches; the weights are made in the card's memory and never on disk."""
    import torch

    name = torch.cuda.get_device_name() if here.device == "cuda" else ""
    if here.device == "cuda" and (held := torch.cuda.get_device_properties(0).total_memory) < NEEDED:
        here.report(skipped("tokens a second", f"{name} has {held / 1e9:.0f} GB, the shape needs {NEEDED / 1e9:.0f}"))
        return
    shape, card = (TINY if here.dry else SHAPE), known(name)
    start = time.perf_counter()
    engine = _engine(here, shape)
    here.report(figure("start", time.perf_counter() - start, "s"))
    try:
        _prefill(here, engine, shape, card)
        for batch in (1, 8, 64, 256) if not here.dry else (2,):
            _decode(here, engine, shape, card, batch)
    finally:
        engine.close()


def _engine(here: Here, shape: dict[str, Any]) -> Any:
    """An engine of the shape; vLLM draws the weights."""
    import transformers

    from traitbench.backends.vllm.engine import Engine
    from traitbench.backends.vllm.setup import Setup

    folder = here.folder / "model"
    config = transformers.LlamaConfig(**shape, architectures=["LlamaForCausalLM"], dtype="bfloat16", bos_token_id=0)
    config.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    longest = here.size(4096, 256)
    return Engine(
        Setup(path=str(folder), dtype="bfloat16", max_model_len=longest, load_format="dummy", enforce_eager=here.dry)
    )


def _prefill(here: Here, engine: Any, shape: dict[str, Any], card: Card | None) -> None:
    """Report tokens a second of prompts that share nothing."""
    length, batch = here.size(1024, 32), here.size(64, 2)
    _seconds(engine, _drawn(1, batch, length), 1)
    seconds = _seconds(engine, _drawn(2, batch, length), 1)
    flops = flops_of_prefill(shape, length) * batch / seconds
    here.report(figure("prefill", batch * length / seconds, "tokens/s", note=f"{batch} prompts of {length}"))
    here.report(figure("prefill", flops / 1e12, "TFLOP/s"))
    _share(here, "prefill, of the limit", flops, card.flops if card else None)


def _decode(here: Here, engine: Any, shape: dict[str, Any], card: Card | None, batch: int) -> None:
    """Report tokens a second of replies: what more tokens take, beside one token from prompts that are cached."""
    length, more = here.size(128, 16), here.size(128, 4)
    prompts = _drawn(batch, batch, length)
    for tokens in (1, 1 + more):
        _seconds(engine, prompts, tokens)
    step = (_seconds(engine, prompts, 1 + more) - _seconds(engine, prompts, 1)) / more
    moved = bytes_of_step(shape, batch, length + more / 2) / step
    what = f"decoding, {batch} replies"
    here.report(figure(what, batch / step, "tokens/s", note=f"{1000 * step:.2f} ms a step"))
    here.report(figure(what, moved / 1e12, "TB/s"))
    _share(here, f"{what}, of the limit", moved, card.bandwidth if card else None)


def _share(here: Here, what: str, reached: float, limit: float | None) -> None:
    row: Row = figure(what, reached / limit, "share") if limit else skipped(what, "the card's limit is not known")
    here.report(row)


def _drawn(seed: int, batch: int, length: int) -> list[tuple[int, ...]]:
    rng = np.random.default_rng([seed, batch, length])
    return [tuple(row) for row in rng.integers(10, VOCABULARY, (batch, length)).tolist()]


def _seconds(engine: Any, prompts: Sequence[tuple[int, ...]], tokens: int) -> float:
    """Seconds for a reply of so many tokens to each prompt."""
    from vllm import SamplingParams

    from traitbench.backends.vllm.engine import Ask

    given = SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True, detokenize=False)
    asks = [Ask(row, given, None) for row in prompts]
    start = time.perf_counter()
    found = engine.ask(asks)
    seconds = time.perf_counter() - start
    assert all(len(out.outputs[0].token_ids) == tokens for out in found)
    return seconds


def _matrices(shape: dict[str, Any]) -> int:
    """Weights of all layers' matrices."""
    width, heads = shape["hidden_size"], shape["num_attention_heads"] * shape["head_dim"]
    shared = shape["num_key_value_heads"] * shape["head_dim"]
    layer = width * (2 * heads + 2 * shared + 3 * shape["intermediate_size"])
    return int(layer * shape["num_hidden_layers"])


def flops_of_prefill(shape: dict[str, Any], length: int) -> float:
    """Operations for a prompt: two a weight and token, attention over what came before, the head at the last token."""
    heads = shape["num_attention_heads"] * shape["head_dim"]
    attention = 2 * heads * length * (length + 1) * shape["num_hidden_layers"]
    return float(2 * _matrices(shape) * length + attention + 2 * shape["vocab_size"] * shape["hidden_size"])


def bytes_of_step(shape: dict[str, Any], batch: int, context: float) -> float:
    """Bytes that a step must read in bfloat16: every matrix and the head once, and keys and values of each reply."""
    shared = shape["num_key_value_heads"] * shape["head_dim"]
    weights = _matrices(shape) + shape["vocab_size"] * shape["hidden_size"]
    return float(2 * weights + 2 * 2 * shared * shape["num_hidden_layers"] * batch * context)
