"""GGUF files of untrained models, laid out as llama.cpp's converter lays them out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
import transformers
from gguf.quants import quantize
from tiny_models import NO_IDS, tokenizer

WIDE: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 512, "initializer_range": 0.2, **NO_IDS,
}  # fmt: skip
"""Rows are whole blocks of 32, so that they can be quantised."""

CONFIGS = {
    "llama": lambda **more: transformers.LlamaConfig(**WIDE, tie_word_embeddings=False, **more),
    "qwen2": lambda **more: transformers.Qwen2Config(**WIDE, tie_word_embeddings=True, **more),
    "gemma3": lambda **more: transformers.Gemma3TextConfig(
        **WIDE, sliding_window=16, query_pre_attn_scalar=256, **more
    ),
}
ARCHITECTURES = {"llama": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2, "gemma3": gguf.MODEL_ARCH.GEMMA3}


def model_of(kind: str, **more: Any) -> Any:
    """An untrained model, the same every time, whose norms are not all alike."""
    torch.manual_seed(0)
    made = transformers.AutoModelForCausalLM.from_config(CONFIGS[kind](**more)).eval()
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "norm" in name or name.endswith("bias"):
                weight.add_(0.1 * torch.randn_like(weight))
    return made


def words_of(template: str | None = None) -> Any:
    """The tokenizer of the tiny models, whose own end of text is the second token."""
    words = tokenizer(template)
    words.eos_token = "</s>"
    return words


def write(
    path: Path,
    made: Any,
    kind: str,
    words: Any,
    *,
    add_bos: bool | None = True,
    told: Mapping[str, Any] | None = None,
    vectors: Mapping[str, np.ndarray[Any, Any]] | None = None,
    stored: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    without: str = "",
) -> Path:
    """Write `made` and its tokenizer; `told` are further or other values (None: left out), `vectors` further tensors.

    Matrices are `stored` in a type; `without` is a tensor that is left out.
    """
    config, writer = made.config, gguf.GGUFWriter(path, kind)
    values: dict[str, Any] = {
        "general.type": "model",
        f"{kind}.context_length": config.max_position_embeddings,
        f"{kind}.embedding_length": config.hidden_size,
        f"{kind}.block_count": config.num_hidden_layers,
        f"{kind}.feed_forward_length": config.intermediate_size,
        f"{kind}.attention.head_count": config.num_attention_heads,
        f"{kind}.attention.head_count_kv": config.num_key_value_heads,
        f"{kind}.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        f"{kind}.rope.freq_base": 10000.0 if kind != "gemma3" else 1000000.0,
        f"{kind}.vocab_size": 320,
        **_words(words),
        "tokenizer.ggml.add_bos_token": add_bos,
    }
    if kind == "gemma3":
        values |= {f"{kind}.attention.key_length": config.head_dim, f"{kind}.attention.sliding_window": 16}
    else:
        values[f"{kind}.rope.dimension_count"] = config.head_dim
    if words.chat_template:
        values["tokenizer.chat_template"] = words.chat_template
    for key, value in (values | dict(told or {})).items():
        _put(writer, key, value)
    for name, array in _tensors(made, kind).items():
        if name != without:
            of = stored if array.ndim == 2 else gguf.GGMLQuantizationType.F32
            writer.add_tensor(name, quantize(array, of), raw_dtype=of)
    for name, array in (vectors or {}).items():
        writer.add_tensor(name, array.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _put(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif value is not None:
        writer.add_array(key, value)


def _words(words: Any) -> dict[str, Any]:
    vocabulary = sorted(words.get_vocab(), key=words.get_vocab().__getitem__)
    special = set(words.all_special_tokens) | {"<|im_start|>", "<|im_end|>"}
    merges = json.loads(words.backend_tokenizer.to_str())["model"]["merges"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": vocabulary,
        "tokenizer.ggml.token_type": [3 if token in special else 1 for token in vocabulary],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in merges],
        "tokenizer.ggml.bos_token_id": words.bos_token_id,
        "tokenizer.ggml.eos_token_id": words.eos_token_id,
    }


def _tensors(made: Any, kind: str) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays by their names in the file, turned as the converter turns them."""
    names = gguf.get_tensor_name_map(ARCHITECTURES[kind], made.config.num_hidden_layers)
    out = {}
    for name, weight in made.state_dict().items():
        if name == "lm_head.weight" and made.config.tie_word_embeddings:
            continue
        stem, _, end = name.rpartition(".")
        array = weight.numpy().copy()
        if kind == "llama" and ("q_proj" in name or "k_proj" in name):
            heads = made.config.num_attention_heads if "q_proj" in name else made.config.num_key_value_heads
            # convert_hf_to_gguf.py: pairs of a head's dimensions stand next to each other.
            array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        if kind == "gemma3" and "norm" in name:
            array += 1
        out[f"{names.get_name(stem)}.{end}"] = array
    return out
