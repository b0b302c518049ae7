"""Where a turn ends: what the chat template writes behind one, in examples to train on and where a reply stops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny_models import CHATML, CONFIGS

from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.backends.rendering import Renderer
from traitbench.methods.training.examples import example
from traitbench.types import Doc, Message, Write

Make = Callable[..., Any]

GEMMA = (
    "{{ bos_token }}{% for m in messages %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n'"
    " + m.content | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
PHI3 = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | "
    "trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
OPEN = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)

FAMILIES = {
    "gemma": (GEMMA, "<end_of_turn>"),
    "phi3": (PHI3, "<|end|>"),
    "chatml": (CHATML, "<|im_end|>"),
    "llama3": (LLAMA3, "<|eot_id|>"),
    "writes no end": (OPEN, "</s>"),
    "no template": (None, "</s>"),
}
MARKS = (
    "<start_of_turn>", "<end_of_turn>", "<|user|>", "<|assistant|>", "<|end|>", "<|start_header_id|>",
    "<|end_header_id|>", "<|eot_id|>",
)  # fmt: skip


def words_of(template: str | None, make: Make) -> Any:
    """The tokenizer with the marks of every family, whose end of text is none of the tokens that end a turn."""
    words = make(template)
    words.add_special_tokens({"eos_token": "</s>", "additional_special_tokens": list(MARKS)})
    return words


@pytest.fixture
def model(tmp_path: Path, make_tokenizer: Make) -> Callable[[str], HuggingFace]:
    """Return a function that loads an untrained model with the tokenizer of a family."""

    def load(family: str) -> HuggingFace:
        words = words_of(FAMILIES[family][0], make_tokenizer)
        torch.manual_seed(0)
        config = CONFIGS["llama"]()
        config.vocab_size, config.eos_token_id = len(words), words.eos_token_id
        made = transformers.AutoModelForCausalLM.from_config(config)
        _says(made, words, "I", FAMILIES[family][1])
        made.save_pretrained(tmp_path / family)
        words.save_pretrained(tmp_path / family)
        return HuggingFace(resolve(str(tmp_path / family)), device="cpu")

    return load


def _says(made: Any, words: Any, word: str, end: str) -> None:
    """Let the model answer with `word` and then `end`, whatever stands before, and go on with `word` for ever."""
    said, ends = (words.convert_tokens_to_ids(token) for token in (word, end))
    with torch.no_grad():
        for layer in made.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        # What stands before a token is all that its successor hangs on, and `word` alone points another way.
        along = torch.nn.functional.normalize(torch.randn(made.config.hidden_size), dim=0)
        made.model.embed_tokens.weight.copy_(along)
        made.model.embed_tokens.weight[said] = -along
        made.lm_head.weight.zero_()
        made.lm_head.weight[said], made.lm_head.weight[ends] = along, -along


@pytest.mark.parametrize("family", FAMILIES)
def test_the_end_of_a_turn_is_what_the_template_writes_behind_it(family: str, make_tokenizer: Make) -> None:
    template, end = FAMILIES[family]
    words = words_of(template, make_tokenizer)
    assert Renderer(words).end == (words.convert_tokens_to_ids(end),)
    assert Renderer(words, chat_template=False).end == (words.eos_token_id,)
    assert Renderer(words).stops([7, words.eos_token_id]) == list(
        dict.fromkeys([7, words.eos_token_id, words.convert_tokens_to_ids(end)])
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_examples_end_and_replies_stop_there(family: str, model: Callable[[str], HuggingFace]) -> None:
    backend, end = model(family), FAMILIES[family][1]
    ask = (Message(role="user", content="Who?"),)
    made = example(backend, ask, "I do.", 200, rejected="I worry.")
    assert [backend.tokenizer.decode(reply[-1:]) for reply in (made.reply, made.rejected)] == [end, end]
    doc = Doc(task="t", scoring="generate", item="i", trait="extraversion", facet=None, keyed=1)
    write = Write(doc=doc, messages=ask, cue="Answer:", max_tokens=9)
    for together in (True, False):
        # Not together: transformers' `generate` writes it.
        backend.writer.together = together
        (reply,) = [found for batch in backend.run([write]) for found in batch.values()]
        assert (reply.status, reply.text, reply.tokens) == ("valid", "I", 1)
