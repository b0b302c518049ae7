"""The backend under a control with edits: packed and plain agree, scopes hold, states are those of a plain pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from asked import answers

from traitbench import controls
from traitbench.backends import forward, packing
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.backends.packing import Item
from traitbench.errors import BadData
from traitbench.types import Choose, Continue, Control, Edit, Message, Request, Response, Scope, Write

Tiny = Callable[..., Path]
LAYERS = 3


def load(folder: Path, **settings: Any) -> HuggingFace:
    return HuggingFace(resolve(str(folder)), device="cpu", **settings)


def scores(found: dict[int, Response]) -> np.ndarray:
    return np.array([value for i in sorted(found) for value in found[i].option_logprobs or (found[i].loglik,)])


def edited(folder: Path, positions: Scope = "all", width: int = 32, **changes: Any) -> Control:
    shift = np.random.default_rng(0).normal(size=width).astype(np.float32)
    edits = [
        Edit(layer=1, site="residual", op="add", tensor="shift", strength=0.5, positions=positions),
        Edit(layer=0, site="heads", op="add", tensor="shift", positions=positions),
    ]
    return controls.store(folder, edits=edits, tensors={"shift": shift}, **changes)


@pytest.mark.parametrize("positions", ["all", "answer", "generated"])
@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt2", "gemma2", "mistral"])
def test_packed_and_plain_agree_under_edits(
    name: str, positions: Scope, tiny: Tiny, chooses: list[Choose], continues: list[Continue], tmp_path: Path
) -> None:
    control = edited(tmp_path, positions)
    requests: list[Request] = [*chooses, *continues]
    packed, plain = load(tiny(name)), load(tiny(name), packed=False)
    before = scores(answers(packed, requests))
    under = scores(answers(packed, requests, control))
    assert packed.scorer.packed
    assert under == pytest.approx(scores(answers(plain, requests, control)), abs=1e-4)
    assert abs(under - before).max() > 0.01
    # Nothing stays behind.
    assert np.array_equal(scores(answers(packed, requests)), before)


def test_generated_positions_move_no_first_token(
    tiny: Tiny, chooses: list[Choose], continues: list[Continue], tmp_path: Path
) -> None:
    backend = load(tiny("llama"))
    single = [r.model_copy(update={"options": (("A",), ("B",), ("C",))}) for r in chooses]
    control = edited(tmp_path, "generated")
    assert np.array_equal(scores(answers(backend, single, control)), scores(answers(backend, single)))
    moved = scores(answers(backend, continues, control)) - scores(answers(backend, continues))
    assert abs(moved).min() > 1e-3
    moved = scores(answers(backend, single, edited(tmp_path, "answer"))) - scores(answers(backend, single))
    assert abs(moved).min() > 1e-4


def test_no_edit_is_no_change_and_a_strength_of_0_neither(tiny: Tiny, chooses: list[Choose], tmp_path: Path) -> None:
    backend = load(tiny("llama"))
    plain = scores(answers(backend, chooses))
    assert np.array_equal(scores(answers(backend, chooses, edited(tmp_path).at(0))), plain)
    hooks = [h for m in backend.model.modules() for h in (*m._forward_hooks, *m._forward_pre_hooks)]
    assert hooks == []


def test_messages_and_edits_act_together(tiny: Tiny, chooses: list[Choose], tmp_path: Path) -> None:
    backend, said = load(tiny("llama")), (Message(role="system", content="You love the crowd."),)
    both = edited(tmp_path, messages=said)
    found = [scores(answers(backend, chooses, c)) for c in (both, both.at(0), edited(tmp_path), Control(messages=said))]
    assert np.array_equal(found[1], found[3])
    assert min(abs(found[0] - found[1]).max(), abs(found[0] - found[2]).max()) > 0.01


@pytest.mark.parametrize("positions", ["all", "answer", "generated"])
def test_replies_are_written_under_the_edits(
    positions: Scope, tiny: Tiny, chooses: list[Choose], tmp_path: Path
) -> None:
    """A batch padded at the left writes what each prompt alone does, token by token without a cache."""
    backend, control = load(tiny("llama")), edited(tmp_path, positions).at(4.0)
    asks = [Write(doc=r.doc, messages=r.messages, max_tokens=5) for r in chooses]
    batch = {i: r.text for i, r in answers(backend, asks, control).items()}
    from traitbench.controls.interventions import applied

    for i, request in enumerate(asks):
        ids = list(backend.encode_prompt(request))
        start = len(ids)
        with applied(backend.model, control.edits, controls.arrays(control)) as edits, torch.no_grad():
            for _ in range(5):
                at = torch.arange(len(ids))[None]
                edits.span(at >= start - 1, at >= start)
                following = int(backend.model(torch.tensor([ids])).logits[0, -1].argmax())
                if following == backend.tokenizer.eos_token_id:
                    break
                ids.append(following)
        assert batch[i] == backend.tokenizer.decode(ids[start:], skip_special_tokens=True)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3"])
def test_states_are_those_of_a_plain_pass(name: str, packed: bool, tiny: Tiny, chooses: list[Choose]) -> None:
    backend = load(tiny(name), packed=packed)
    prompts = [backend.encode_prompt(request) for request in chooses]
    items = [Item(prompt, ((7,), (9, 11))) for prompt in prompts[:3]] + [Item(prompts[3], ())]
    found = backend.states(items, "residual")
    texts = [(*item.prompt, *answer) for item in items for answer in item.answers or ((),)]
    assert found.shape == (7, LAYERS, 32)
    with torch.no_grad():
        for text, mine in zip(texts, found, strict=True):
            hidden = backend.model(torch.tensor([text]), output_hidden_states=True).hidden_states
            expected = np.array([hidden[layer + 1][0, -1].numpy() for layer in range(LAYERS - 1)])
            assert mine[:-1] == pytest.approx(expected, abs=1e-5)
    some = backend.states(items, "residual", [2, 0])
    assert np.array_equal(some, found[:, [2, 0]])


def test_the_start_of_all_prefixes_is_computed_once(
    tiny: Tiny, chooses: list[Choose], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_BASE", 8)
    backend = load(tiny("llama"))
    long = "You love the crowd, make plans and worry about answers. " * 3
    with_other = [
        r.model_copy(update={"messages": (Message(role="user", content=f"{long}{word} {r.messages[0].content}"),)})
        for word in ("First.", "Second.")
        for r in chooses
    ]
    passes: list[int] = []
    real = forward.Scorer._extended
    monkeypatch.setattr(forward.Scorer, "_extended", lambda self, s, n, t: passes.append(len(t)) or real(self, s, n, t))
    found = scores(answers(backend, with_other))
    assert len(backend.scorer._base) > 8
    assert passes.count(len(backend.scorer._base)) == 1 and len(passes) >= 3
    assert found == pytest.approx(scores(answers(load(tiny("llama"), packed=False), with_other)), abs=1e-4)
    # A run that goes on half-way computes in the same steps.
    half = answers(backend, with_other, done=range(len(chooses)))
    whole = answers(backend, with_other)
    assert all(half[i] == whole[i] for i in half)


def test_edits_of_another_model_are_refused(tiny: Tiny, chooses: list[Choose], tmp_path: Path) -> None:
    backend = load(tiny("llama"))
    with pytest.raises(BadData, match="another model"):
        answers(backend, chooses, edited(tmp_path, width=64))
    far = controls.store(
        tmp_path, edits=[Edit(layer=9, site="gate", op="add", tensor="v")], tensors={"v": np.ones(48, np.float32)}
    )
    with pytest.raises(BadData, match="layer 9"):
        answers(backend, chooses, far)
    assert len(answers(backend, chooses)) == len(chooses)


def test_the_dose_is_the_edits_beside_the_activations(tiny: Tiny, tmp_path: Path) -> None:
    backend, control = load(tiny("llama")), edited(tmp_path)
    texts = ["I love the crowd.", "I worry about plans."]
    once, twice = backend.dose(control, texts), backend.dose(control.at(2.0), texts)
    assert once and twice and 0 < once < twice
    assert backend.dose(control.at(0), texts) is None
