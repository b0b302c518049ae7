"""The backend under a control with edits: packed and plain agree, scopes hold, states are those of a plain pass."""

from __future__ import annotations

import itertools
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
from traitbench.controls.architectures import site_width
from traitbench.controls.interventions import applied
from traitbench.errors import BadData
from traitbench.types import Choose, Continue, Control, Edit, Message, Request, Response, Scope, Site, When, Write

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


SITES: tuple[Site, ...] = ("residual", "heads", "gate", "neurons")


def mixed(folder: Path, backend: HuggingFace, positions: Scope, sites: tuple[Site, ...]) -> Control:
    """Every operation along a whole state, at every site of two layers, on a condition and without one."""
    rng = np.random.default_rng(4)
    edits, tensors = list[Edit](), dict[str, np.ndarray]()
    for layer, site in itertools.product((0, 1), sites):
        width = site_width(backend.model, site)
        for n, (op, more) in enumerate(
            [
                ("project_out", {"strength": 0.7}), ("cap", {"low": -0.1, "high": 0.1}), ("rescale", {"strength": 0.5}),
                ("add", {"strength": 0.3}), ("clamp", {}),
            ]
        ):  # fmt: skip
            name = f"{layer}.{site}.{n}"
            tensors[name] = rng.normal(size=width).astype(np.float32)
            tensors[f"{name}.w"] = rng.normal(size=width).astype(np.float32)
            when = When(tensor=f"{name}.w", above=0.02) if (n + layer) % 2 or op == "clamp" else None
            edits.append(Edit(layer=layer, site=site, op=op, tensor=name, positions=positions, when=when, **more))
    return controls.store(folder, edits=edits, tensors=tensors)


@pytest.mark.parametrize("positions", ["all", "answer", "generated"])
@pytest.mark.parametrize(
    ("name", "sites", "packs"),
    [
        *((name, SITES, True) for name in ("llama", "qwen3", "gpt2", "gemma2", "mistral", "phi3")),
        *((name, SITES[:1], True) for name in ("mixtral", "qwen3_moe", "gpt_oss", "gemma3n")),
        *((name, SITES[:1], False) for name in ("qwen3_next", "llama4", "falcon_mamba", "bloom", "mpt")),
    ],
)
def test_packed_and_plain_agree_under_every_operation(
    name: str, sites: tuple[Site, ...], packs: bool, positions: Scope, tiny: Tiny, chooses: list[Choose],
    continues: list[Continue], tmp_path: Path,
) -> None:  # fmt: skip
    requests: list[Request] = [*chooses, *continues]
    backend, plain = load(tiny(name)), load(tiny(name), packed=False)
    control = mixed(tmp_path, backend, positions, sites)
    before = scores(answers(backend, requests))
    under = scores(answers(backend, requests, control))
    assert backend.scorer.packed == packs
    assert under == pytest.approx(scores(answers(plain, requests, control)), abs=1e-4)
    assert abs(under - before).max() > 0.01
    assert np.array_equal(scores(answers(backend, requests)), before)


@pytest.mark.parametrize("positions", ["all", "answer", "generated"])
@pytest.mark.parametrize("name", ["llama", "mixtral", "gpt_oss", "gemma3n", "qwen3_next", "falcon_mamba", "mpt"])
def test_replies_are_those_of_full_forwards_under_every_operation(
    name: str, positions: Scope, tiny: Tiny, chooses: list[Choose], tmp_path: Path
) -> None:
    backend = load(tiny(name))
    control = mixed(tmp_path, backend, positions, SITES if name == "llama" else SITES[:1])
    asks = [Write(doc=r.doc, messages=r.messages, max_tokens=4) for r in chooses[:3]]
    batch = {i: r.text for i, r in answers(backend, asks, control).items()}
    for i, request in enumerate(asks):
        assert batch[i] == written(backend, control, request, 4)


def written(backend: HuggingFace, control: Control, request: Request, most: int) -> str:
    """A greedy reply, each token from a whole forward pass without a cache."""
    ids = list(backend.encode_prompt(request))
    start = len(ids)
    with applied(backend.model, control.edits, controls.arrays(control)) as edits, torch.no_grad():
        for _ in range(most):
            at = torch.arange(len(ids))[None]
            edits.span(at >= start - 1, at >= start)
            following = int(backend.model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
            if following == backend.tokenizer.eos_token_id:
                break
            ids.append(following)
    return str(backend.tokenizer.decode(ids[start:], skip_special_tokens=True))


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
    for i, request in enumerate(asks):
        assert batch[i] == written(backend, control, request, 5)


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
