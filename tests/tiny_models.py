"""Tiny untrained models with a tokenizer made on the spot: no network, no weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

TEXT = "I see myself as someone who loves the crowd, makes plans and worries. Answer: very accurate or inaccurate."


def tokenizer(template: str | None = CHATML) -> Any:
    """Train a small byte-level BPE that puts <s> in front, with or without a chat template."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator([TEXT] * 4, trainer)
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="<|im_end|>", pad_token="</s>"
    )
    made.chat_template = template
    return made


SMALL = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}
GQA = {**SMALL, "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.2, "head_dim": 8}
NO_IDS = {"bos_token_id": 0, "eos_token_id": 3, "pad_token_id": 1}
SERVABLE: dict[str, Any] = {
    **SMALL, **NO_IDS, "hidden_size": 128, "intermediate_size": 192, "num_key_value_heads": 2,
    "max_position_embeddings": 4096, "initializer_range": 0.2,
}  # fmt: skip
"""A shape with heads of 32, the narrowest that vLLM's attention on a CPU takes."""
EXPERTS = {**GQA, **NO_IDS, "num_local_experts": 4, "num_experts_per_tok": 2}
WINDOW = 16
"""Tokens of a sliding window: shorter than the prefix that the requests below share."""

CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": lambda: transformers.LlamaConfig(**GQA, **NO_IDS),
    "qwen2": lambda: transformers.Qwen2Config(**GQA, **NO_IDS),
    "qwen2-window": lambda: transformers.Qwen2Config(
        **GQA, **NO_IDS, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1
    ),
    "qwen3": lambda: transformers.Qwen3Config(**GQA, **NO_IDS),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=320, n_embd=32, n_layer=3, n_head=4, n_positions=512, initializer_range=0.2, **NO_IDS
    ),
    "gemma2": lambda: transformers.Gemma2Config(**GQA, **NO_IDS, sliding_window=WINDOW),
    "gemma3": lambda: transformers.Gemma3TextConfig(
        **GQA, **NO_IDS, sliding_window=WINDOW, layer_types=["sliding_attention", "full_attention", "sliding_attention"]
    ),
    "mistral": lambda: transformers.MistralConfig(**GQA, **NO_IDS, sliding_window=WINDOW),
    "phi": lambda: transformers.PhiConfig(**SMALL, **NO_IDS, max_position_embeddings=512, initializer_range=0.2),
    "phi3": lambda: transformers.Phi3Config(
        **SMALL,
        **NO_IDS,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,
        sliding_window=WINDOW,
    ),
    "bloom": lambda: transformers.BloomConfig(
        vocab_size=320, hidden_size=32, n_layer=3, n_head=4, initializer_range=0.2, **NO_IDS
    ),
    "mamba": lambda: transformers.MambaConfig(
        vocab_size=320, hidden_size=32, num_hidden_layers=3, initializer_range=0.2, **NO_IDS
    ),
    "falcon_mamba": lambda: transformers.FalconMambaConfig(
        vocab_size=320, hidden_size=32, num_hidden_layers=3, initializer_range=0.2, state_size=4, **NO_IDS
    ),
    "mixtral": lambda: transformers.MixtralConfig(**EXPERTS),
    "qwen3_moe": lambda: transformers.Qwen3MoeConfig(**EXPERTS, moe_intermediate_size=16),
    "gpt_oss": lambda: transformers.GptOssConfig(
        **EXPERTS, sliding_window=WINDOW, layer_types=["sliding_attention", "full_attention", "sliding_attention"]
    ),
    "gemma3n": lambda: transformers.Gemma3nTextConfig(
        **GQA, **NO_IDS, sliding_window=WINDOW, vocab_size_per_layer_input=320, hidden_size_per_layer_input=8,
        laurel_rank=4, num_kv_shared_layers=1, activation_sparsity_pattern=[0.5, 0.0, 0.0],
        layer_types=["sliding_attention", "full_attention", "full_attention"],
    ),
    "qwen3_next": lambda: transformers.Qwen3NextConfig(
        **EXPERTS, moe_intermediate_size=16, shared_expert_intermediate_size=16, linear_num_value_heads=4,
        linear_num_key_heads=2, linear_key_head_dim=8, linear_value_head_dim=8,
        layer_types=["linear_attention", "full_attention", "linear_attention"],
    ),
    "llama4": lambda: transformers.Llama4TextConfig(
        **EXPERTS, intermediate_size_mlp=48, attention_chunk_size=WINDOW
    ),
    "mpt": lambda: transformers.MptConfig(
        vocab_size=320, d_model=32, n_layers=3, n_heads=4, max_seq_len=512, initializer_range=0.2, **NO_IDS
    ),
}  # fmt: skip


def saved(folder: Path, config: Any, template: str | None = CHATML) -> Path:
    """Write an untrained model of `config`, the same every time, and its tokenizer; return the folder."""
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer(template).save_pretrained(folder)
    return folder


def stirred(config: Any) -> Any:
    """An untrained model of `config` whose weights are large enough for edits to show; it writes on and on."""
    torch.manual_seed(7)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1 or name.endswith("bias"):
                weight.normal_(0, 0.2)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


def roomy(folder: Path) -> Path:
    """An untrained Llama with room for the prompts of a run, saved in `folder`."""
    config = CONFIGS["llama"]()
    config.max_position_embeddings = 2048
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
