"""Tiny untrained models with a tokenizer made on the spot: no network, no weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from traitbench.types import Choose, Continue, Doc, Message

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
}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return the folder of an untrained model: tiny("llama"), tiny("gpt2", template=None)."""
    made: dict[tuple[str, str | None], Path] = {}

    def folder(name: str, template: str | None = CHATML) -> Path:
        if (name, template) not in made:
            path = tmp_path_factory.mktemp(name)
            torch.manual_seed(0)
            transformers.AutoModelForCausalLM.from_config(CONFIGS[name]()).save_pretrained(path)
            tokenizer(template).save_pretrained(path)
            made[name, template] = path
        return made[name, template]

    return folder


@pytest.fixture
def make_tokenizer() -> Callable[..., Any]:
    """Return the function that makes a tokenizer with a given template."""
    return tokenizer


def _doc(name: str) -> Doc:
    return Doc(task="t", scoring="choice", item=name, trait="extraversion", facet=None, keyed=1)


STATEMENTS = ("I love the crowd.", "I make plans.", "I worry.", "I am the one who answers.", "I hum")


@pytest.fixture
def chooses() -> list[Choose]:
    """Five items behind one long instruction, with spellings of one token and of several."""
    ask = "How accurate is this? A very inaccurate, B neither, C very accurate.\nStatement: "
    options = (("A", " A", "(A"), ("B", "(B"), ("C", "answer C"))
    return [
        Choose(
            doc=_doc(f"i{n}"),
            messages=(Message(role="user", content=ask + text),),
            cue="Answer:",
            options=options,
            values=(1, 2, 3),
        )
        for n, text in enumerate(STATEMENTS)
    ]


@pytest.fixture
def continues() -> list[Continue]:
    """Five statements as the model's own words behind one and the same prompt."""
    ask = (Message(role="user", content="Describe yourself as someone who answers the crowd with a plan."),)
    return [Continue(doc=_doc(f"c{n}"), messages=ask, text=text) for n, text in enumerate(STATEMENTS)]
