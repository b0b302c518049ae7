"""A model of which a few neurons, known by number, say which pole of extraversion was met, and decide the answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from traitbench.methods.npti.gamma import ASK
from traitbench.methods.npti.sources import own

__all__ = ["PLANTED", "WORDS", "build", "pole_words"]

TRAIT = "extraversion"
WORDS, WIDTH, HIDDEN = 24, 48, 64
PLANTED = {"high": {3, 11, 20}, "low": {5, 30}}
LEAN, CONTEXT, ONE, WRITTEN, CONTENT = 0, 1, 2, 3, 8
"""Dimensions: a word's pole, the mean of the poles so far, always 1, what planted neurons write, the word itself."""


def pole_words() -> dict[str, set[str]]:
    """Words that descriptions of one pole have and those of the other do not."""
    words = {pole: set(re.findall(r"\w+", " ".join(getattr(own()[TRAIT], pole)))) for pole in ("high", "low")}
    return {"high": words["high"] - words["low"], "low": words["low"] - words["high"]}


def build(folder: Path) -> Path:
    """Save a Llama that answers with the words h0, h1, ... where it met words of the high pole, and l0, l1, ... else.

    Attention of layer 0 carries the mean pole of all words so far to every place; of layer 1's neurons three are
    active where it is positive, two where it is negative, and they alone decide between h and l. h3 and l3 look alike.
    """
    lean = pole_words()
    said = [f"{pole}{n}" for pole in "hl" for n in range(WORDS)]
    source = " ".join((*own()[TRAIT].questions, *own()[TRAIT].high, *own()[TRAIT].low, ASK))
    vocabulary = list(dict.fromkeys(("<s>", "</s>", "<unk>", *said, *re.findall(r"\w+|[^\w\s]", source))))
    inner = Tokenizer(models.WordLevel({word: n for n, word in enumerate(vocabulary)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=HIDDEN, intermediate_size=WIDTH, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=512, bos_token_id=0, eos_token_id=1, pad_token_id=1,
        tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    model: Any = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        _plant(model, vocabulary, lean)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _plant(model: Any, vocabulary: list[str], lean: dict[str, set[str]]) -> None:
    embed, head = model.model.embed_tokens.weight, model.lm_head.weight
    embed.zero_()
    head.zero_()
    embed[:, ONE] = 1
    embed[:, CONTENT:] = torch.randn(len(vocabulary), HIDDEN - CONTENT) * 0.5
    for token, word in enumerate(vocabulary):
        embed[token, LEAN] = 3.0 * ((word in lean["high"]) - (word in lean["low"]))
    at = {word: token for token, word in enumerate(vocabulary)}
    for n in range(WORDS):
        embed[at[f"l{n}"]] = embed[at[f"h{n}"]]
        for sign, pole in ((1, "h"), (-1, "l")):
            follows = at[f"{pole}{(n + 1) % WORDS}"]
            head[follows, CONTENT:] = embed[at[f"h{n}"], CONTENT:]
            head[follows, WRITTEN] = sign
    first, second = model.model.layers
    for layer in (first, second):
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            getattr(layer.self_attn, name).weight.zero_()
        layer.mlp.gate_proj.weight[:, :CONTENT] = 0
        layer.mlp.down_proj.weight[:CONTENT] = 0
        layer.mlp.down_proj.weight *= 0.2
    first.self_attn.v_proj.weight[0, LEAN] = 1
    first.self_attn.o_proj.weight[CONTEXT, 0] = 10
    for sign, units in ((1, PLANTED["high"]), (-1, PLANTED["low"])):
        for unit in units:
            second.mlp.gate_proj.weight[unit] = 0
            second.mlp.gate_proj.weight[unit, CONTEXT] = 4.0 * sign
            second.mlp.up_proj.weight[unit] = 0
            second.mlp.up_proj.weight[unit, ONE] = 1
            second.mlp.down_proj.weight[:, unit] = 0
            second.mlp.down_proj.weight[WRITTEN, unit] = 2.0 * sign
