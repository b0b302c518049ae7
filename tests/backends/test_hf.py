"""The transformers backend against a forward pass for every answer, on untrained models."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from asked import answers

from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.errors import BadData
from traitbench.types import Choose, Continue, Control, Message, Request, Response, Write, prompt_hash

Tiny = Callable[..., Path]
PACKED = ["llama", "qwen2", "qwen2-window", "qwen3", "gpt2", "gemma2", "gemma3", "mistral", "phi", "phi3"]
PLAIN = ["bloom", "mamba"]


def load(folder: Path, **settings: Any) -> HuggingFace:
    return HuggingFace(resolve(str(folder)), device="cpu", **settings)


def alone(backend: HuggingFace, prompt: str, text: str) -> float:
    """One pass over prompt and answer, nothing shared, nothing padded; summed by hand."""
    add = not backend.renderer.chat
    before = backend.tokenizer(prompt, add_special_tokens=add)["input_ids"]
    ids = backend.tokenizer(prompt + text, add_special_tokens=add)["input_ids"]
    assert ids[: len(before)] == before
    with torch.no_grad():
        logprobs = torch.log_softmax(backend.model(torch.tensor([ids])).logits[0].double(), -1)
    return math.fsum(float(logprobs[i - 1, ids[i]]) for i in range(len(before), len(ids)))


def by_hand(backend: HuggingFace, request: Request) -> tuple[float, ...]:
    prompt = backend.prompt(request)
    if isinstance(request, Continue):
        return (alone(backend, prompt, request.text if backend.renderer.chat else f" {request.text}"),)
    assert isinstance(request, Choose)
    return tuple(math.log(sum(math.exp(alone(backend, prompt, v)) for v in option)) for option in request.options)


def values(response: Response) -> tuple[float, ...]:
    return response.option_logprobs or (response.loglik or math.nan,)


@pytest.mark.parametrize(
    ("name", "template"), [*((n, "chat") for n in PACKED + PLAIN), *((n, "none") for n in ("gpt2", "gemma3", "bloom"))]
)
def test_log_probabilities_are_those_of_a_pass_for_each_answer(
    name: str, template: str, tiny: Tiny, chooses: list[Choose], continues: list[Continue]
) -> None:
    backend = load(tiny(name) if template == "chat" else tiny(name, None))
    # Behind each prompt two texts, of which the other one begins with the one.
    longer = [one.model_copy(update={"text": f"{one.text} or not"}) for one in continues]
    requests: list[Request] = [*chooses, *(each for pair in zip(continues, longer, strict=True) for each in pair)]
    found = answers(backend, requests)
    assert backend.scorer.packed is (name in PACKED)
    assert sorted(found) == list(range(len(requests)))
    for i, request in enumerate(requests):
        assert values(found[i]) == pytest.approx(by_hand(backend, request), abs=1e-4)
    # The texts differ, so the values must: an untrained model that ignored its input would pass the rest.
    assert len({round(values(found[i])[0], 4) for i in range(len(chooses))}) == len(chooses)


@pytest.mark.parametrize("name", ["llama", "mamba"])
def test_packed_false_and_batch_size_change_no_value(name: str, tiny: Tiny, chooses: list[Choose]) -> None:
    expected = answers(load(tiny(name)), chooses)
    for settings in ({"packed": False}, {"batch_size": 1}, {"batch_size": 4, "packed": False}):
        found = answers(load(tiny(name), **settings), chooses)
        for i, response in expected.items():
            assert values(found[i]) == pytest.approx(values(response), abs=1e-4)


def test_packing_that_is_wrong_is_noticed_and_given_up(
    tiny: Tiny, chooses: list[Choose], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backend = load(tiny("mistral"))
    backend.scorer.window = None
    with caplog.at_level(logging.WARNING, "traitbench"):
        found = answers(backend, chooses)
        answers(backend, chooses)
    assert [r.message.split(":")[0] for r in caplog.records] == ["MistralForCausalLM is run without shared prefixes"]
    assert not backend.scorer.packed
    assert values(found[0]) == pytest.approx(by_hand(backend, chooses[0]), abs=1e-4)


def test_a_window_is_checked_when_it_is_first_exceeded(tiny: Tiny, chooses: list[Choose]) -> None:
    backend = load(tiny("gemma2", None))
    short = chooses[0].model_copy(update={"messages": (Message(role="user", content="I love"),), "cue": ""})
    backend.scorer.window = 40
    answers(backend, [short])
    assert backend.scorer._checked == {False}
    answers(backend, chooses)
    assert backend.scorer._checked == {False, True}
    # The model's own window is 16, so a mask for 40 is wrong from the second group on.
    assert not backend.scorer.packed


def test_a_resumed_run_has_the_same_digits(tiny: Tiny, chooses: list[Choose], continues: list[Continue]) -> None:
    requests: list[Request] = [*chooses, *continues]
    whole = answers(load(tiny("llama"), batch_size=2), requests)
    for last in (0, 3, 8):
        rest = answers(load(tiny("llama"), batch_size=2), requests, done=[i for i in range(len(requests)) if i != last])
        assert last in rest
        assert len(rest) == 2
        assert all(whole[i] == response for i, response in rest.items())
    assert answers(load(tiny("llama")), requests, done=range(len(requests))) == {}


def test_a_control_counts_inside_its_block_only(tiny: Tiny, chooses: list[Choose]) -> None:
    backend = load(tiny("llama"))
    before = answers(backend, chooses)
    control = Control(messages=(Message(role="system", content="You worry."),))
    with backend.under(control):
        within = answers(backend, chooses)
        assert "You worry." in backend.prompt(chooses[0])
        assert values(within[0]) == pytest.approx(by_hand(backend, chooses[0]), abs=1e-4)
    assert answers(backend, chooses) == before
    assert within[0].prompt_hash != before[0].prompt_hash


def test_spellings_with_the_same_tokens_count_once(tiny: Tiny, chooses: list[Choose]) -> None:
    backend = load(tiny("llama"))
    double = chooses[0].model_copy(update={"options": (("A", "A"), ("B",), ("C",))})
    assert values(answers(backend, [double])[0])[0] == pytest.approx(
        alone(backend, backend.prompt(double), "A"), abs=1e-4
    )


@pytest.mark.parametrize("options", [(("A",), ("A",)), (("A",), ("A B", "C")), (("A", "A B"), ("C",))])
def test_spellings_that_overlap_are_refused(options: Any, tiny: Tiny, chooses: list[Choose]) -> None:
    with pytest.raises(BadData, match="probabilities overlap"):
        answers(load(tiny("llama")), [chooses[0].model_copy(update={"options": options, "values": (1, 2)})])


def test_too_little_memory_halves_the_chunk(tiny: Tiny, chooses: list[Choose], monkeypatch: pytest.MonkeyPatch) -> None:
    backend = load(tiny("llama"))
    expected = answers(backend, chooses)
    real = backend.scorer._packed

    def small(items: Any, shared: int) -> Any:
        if len(items) > 2:
            raise torch.OutOfMemoryError("no memory")
        return real(items, shared)

    monkeypatch.setattr(backend.scorer, "_packed", small)
    found = answers(backend, chooses)
    for i, response in expected.items():
        assert values(found[i]) == pytest.approx(values(response), abs=1e-4)


@pytest.mark.parametrize("name", ["llama", "gpt2", "bloom", "mamba"])
def test_greedy_replies_are_the_most_probable_tokens(name: str, tiny: Tiny, chooses: list[Choose]) -> None:
    backend = load(tiny(name), batch_size=4)
    asks = [Write(doc=c.doc, messages=c.messages, max_tokens=5) for c in chooses]
    found = answers(backend, asks)
    for i, ask in enumerate(asks):
        ids = backend.tokenizer(backend.prompt(ask), add_special_tokens=False)["input_ids"]
        reply: list[int] = []
        while len(reply) < 5:
            with torch.no_grad():
                token = int(backend.model(torch.tensor([ids + reply])).logits[0, -1].argmax())
            if token == backend.tokenizer.eos_token_id:
                break
            reply.append(token)
        assert found[i].text == backend.tokenizer.decode(reply, skip_special_tokens=True)
        assert found[i].tokens == len(reply)
        assert found[i].status == ("truncated" if len(reply) == 5 else "valid")


def test_sampled_replies_follow_the_seed(tiny: Tiny, chooses: list[Choose]) -> None:
    backend = load(tiny("llama"))
    asks = [
        Write(doc=chooses[0].doc, messages=chooses[0].messages, max_tokens=8, temperature=1.0, seed=seed)
        for seed in (1, 1, 2)
    ]
    state = torch.random.get_rng_state()
    a, b, c = (answers(backend, asks)[i].text for i in range(3))
    assert a == b != c
    assert answers(load(tiny("llama")), [asks[2]])[0].text == c
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_reply_that_ends_is_valid(tiny: Tiny, chooses: list[Choose]) -> None:
    backend = load(tiny("llama"))
    ask = Write(doc=chooses[0].doc, messages=chooses[0].messages, max_tokens=5)
    ids = torch.tensor([backend.renderer.encode(backend.prompt(ask))])
    with torch.no_grad():
        backend.model.generation_config.eos_token_id = int(backend.model(ids).logits[0, -1].argmax())
    assert answers(backend, [ask])[0] == Response(
        status="valid", prompt_hash=prompt_hash(backend.prompt(ask)), text="", tokens=0
    )


def test_identity_is_of_the_contents_not_of_the_place(tiny: Tiny, tmp_path: Path) -> None:
    import shutil

    folder = tiny("llama")
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    first, second = load(folder, batch_size=3), load(copy)
    assert first.identity == second.identity
    assert json.loads(json.dumps(first.identity)) == first.identity
    assert first.identity["dtype"] == "float32"
    assert load(folder, chat_template=False).identity != first.identity
    assert load(folder, dtype="bfloat16").identity["dtype"] == "bfloat16"


def test_half_precision_stays_packed(tiny: Tiny, chooses: list[Choose]) -> None:
    backend = load(tiny("llama"), dtype="bfloat16")
    found = answers(backend, chooses)
    assert backend.scorer.packed
    assert values(found[0]) == pytest.approx(by_hand(backend, chooses[0]), abs=0.5)


def test_what_cannot_be_loaded_is_said(tiny: Tiny, tmp_path: Path, chooses: list[Choose]) -> None:
    with pytest.raises(BadData, match="no chat template"):
        load(tiny("gpt2", None), chat_template=True)
    with pytest.raises(BadData, match="float64"):
        load(tiny("llama"), dtype="float64")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(BadData, match="cannot load"):
        load(tmp_path)
    long = chooses[0].model_copy(update={"messages": (Message(role="user", content="I worry. " * 400),)})
    with pytest.raises(BadData, match="does not fit"):
        answers(load(tiny("gpt2")), [long])


def test_a_prompt_that_is_too_long_is_found_before_anything_is_asked(tiny: Tiny, chooses: list[Choose]) -> None:
    backend = load(tiny("gpt2"))
    fine, wordy = Control(), Control(messages=(Message(role="system", content="I worry. " * 400),))
    with pytest.raises(BadData, match="does not fit"):
        backend.check_lengths(chooses, wordy)
    start = time.perf_counter()
    backend.check_lengths(chooses * 2000, fine)
    once = time.perf_counter() - start
    for _ in range(1000):
        backend.check_lengths(chooses[:2] * 5, fine)
    both = time.perf_counter() - start
    assert both < 6, f"about a second for 10,000 requests of one control ({once:.2f} s) or of a thousand ({both:.2f} s)"
