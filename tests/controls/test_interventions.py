"""Edits and records of activations, against forward passes written out by hand.

Over 300 lines: each site, operation and scope stands beside the same forward passes written out, which a split would
repeat.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, get_args

import numpy as np
import pytest
import torch
from tiny_models import stirred
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from traitbench.backends.packing import Item, additive, pack, visibility
from traitbench.controls.edits import merge
from traitbench.controls.interventions import ARCHITECTURES, applied, head_shape, layers, recorded, site_width
from traitbench.errors import BadData
from traitbench.types import Edit, Op, Scope, Site, When

SITES: tuple[Site, ...] = ("residual", "heads", "gate", "neurons")
NAMED = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "gpt2", "phi", "phi3")
"""The architectures that are promised; the table has more."""
UNGATED = {"arcee", "phi", "starcoder2", "gpt2", "gpt_neox", "gptj"}
HEADS, KEYS, LAYERS, HIDDEN, WORDS = 4, 2, 3, 32, 64

_COMMON = {
    "hidden_size": HIDDEN, "intermediate_size": 48, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
    "num_key_value_heads": KEYS, "vocab_size": WORDS, "max_position_embeddings": 128, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_GPT = {"n_embd": HIDDEN, "n_layer": LAYERS, "n_head": HEADS, "n_positions": 128, "vocab_size": WORDS}
_WIDE = {"head_dim": 16}
"""Not hidden/heads, which is 8."""
_OWN: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("qwen3", "gemma", "gemma2", "gemma3_text", "seed_oss", "ernie4_5", "glm", "glm4"), _WIDE),
    "helium": {"head_dim": 8},
    "ministral": {"head_dim": 16, "sliding_window": 64},
    "gptj": {"rotary_dim": 4},
}


@functools.cache
def tiny(kind: str, tied: bool | None = None) -> Any:
    """An untrained model of three layers, its weights large enough for edits to show."""
    given = {**_GPT, "bos_token_id": 1, "eos_token_id": 2} if kind in ("gpt2", "gptj") else _COMMON
    given = {**given, **_OWN.get(kind, {}), **({} if tied is None else {"tie_word_embeddings": tied})}
    return stirred(AutoConfig.for_model(kind, **given))


def words(rows: int = 2, tokens: int = 9, seed: int = 0) -> Tensor:
    return torch.randint(3, WORDS, (rows, tokens), generator=torch.Generator().manual_seed(seed))


def vector(width: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).normal(size=width)).astype(np.float32)


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def text(model: Any) -> nn.Module:
    return model.get_decoder()


def layer(model: Any, n: int) -> nn.Module:
    return getattr(text(model), "h" if hasattr(text(model), "h") else "layers")[n]


@contextmanager
def kept(model: Any, site: Site) -> Iterator[dict[int, list[Tensor]]]:
    """Record every forward of the block: layer -> activations in order."""
    found: dict[int, list[Tensor]] = {}
    with recorded(model, site, lambda n, a: found.setdefault(n, []).append(a.clone())):
        yield found


def mask(rows: list[list[int]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.bool)


@torch.inference_mode()
def logits(model: Any, ids: Tensor, **inputs: Any) -> Tensor:
    return model(ids, **inputs).logits


# --- The table


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_of_the_table(kind: str) -> None:
    model, ids = tiny(kind), words()
    before, plain = hooks(model), logits(model, ids)
    heads, dim = head_shape(model)
    assert (layers(model), heads) == (LAYERS, HEADS)
    assert dim == {**dict.fromkeys(_OWN, 8), **{k: v.get("head_dim", 8) for k, v in _OWN.items()}}.get(kind, 8)
    assert site_width(model, "heads") == heads * dim and site_width(model, "residual") == HIDDEN
    assert site_width(model, "gate") == site_width(model, "neurons")
    for site in SITES:
        with kept(model, site) as found:
            again = logits(model, ids)
        assert torch.equal(again, plain) and hooks(model) == before
        assert {n: [tuple(a.shape) for a in x] for n, x in found.items()} == {
            n: [(2, 9, site_width(model, site))] for n in range(LAYERS)
        }
        edit = Edit(layer=1, site=site, op="add", tensor="t")
        with applied(model, [edit], {"t": vector(site_width(model, site))}):
            assert (logits(model, ids) - plain).abs().max() > 1e-3
    assert hooks(model) == before


@pytest.mark.parametrize("kind", ARCHITECTURES)
@torch.inference_mode()
def test_recorded_residual_is_the_hidden_state(kind: str) -> None:
    # A copy: transformers leaves hooks of its own behind where hidden states were asked for.
    model = copy.deepcopy(tiny(kind))
    states = model(words(), output_hidden_states=True).hidden_states
    with kept(model, "residual") as found:
        model(words())
    for n in range(LAYERS - 1):
        assert torch.equal(found[n][0], states[n + 1])
    last = found[LAYERS - 1][0]
    norm = next(
        m for name in ("norm", "ln_f", "final_layernorm", "final_layer_norm") if (m := getattr(text(model), name, None))
    )
    torch.testing.assert_close(norm(last), states[-1])


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_activation_functions_are_not_shared(kind: str) -> None:
    name = ARCHITECTURES[kind].gate or ARCHITECTURES[kind].down
    assert len({id(layer(tiny(kind), n).get_submodule(name)) for n in range(LAYERS)}) == LAYERS


def test_what_is_not_in_the_table_is_refused_by_name() -> None:
    """All but the output of its layers, which is known of any decoder (see test_decoders)."""
    config = AutoConfig.for_model("bloom", hidden_size=16, n_layer=1, n_head=2, vocab_size=32)
    model = AutoModelForCausalLM.from_config(config)
    said = r"of the architecture 'bloom' cannot be edited.*known: arcee, .*stablelm.*ARCHITECTURES"
    for ask in (head_shape, lambda m: site_width(m, "heads"), lambda m: site_width(m, "gate")):
        with pytest.raises(BadData, match=said):
            ask(model)
    with pytest.raises(BadData, match=f"neurons {said}"), recorded(model, "neurons", lambda n, a: None):
        pass
    with pytest.raises(BadData, match=f"heads {said}"), applied(model, [Edit(layer=0, site="heads", op="zero")], {}):
        pass
    with applied(model, [], {}):
        assert hooks(model) == 0


# --- Against forward passes by hand


def attention(model: Any, n: int) -> tuple[nn.Module, nn.Module]:
    """The attention module and its output projection."""
    path, _, name = ARCHITECTURES[model.config.model_type].out.rpartition(".")
    module = layer(model, n).get_submodule(path)
    return module, module.get_submodule(name)


def seen_by(module: nn.Module, run: Callable[[], Any]) -> tuple[Tensor, Tensor]:
    """First input and first output of `module` in `run`, by torch alone."""
    seen: list[Any] = []

    def see(_: nn.Module, args: Any, inputs: dict[str, Any], output: Any) -> None:
        seen.extend([args[0] if args else inputs["hidden_states"], output[0] if isinstance(output, tuple) else output])

    handle = module.register_forward_hook(see, with_kwargs=True)
    run()
    handle.remove()
    return seen[0], seen[1]


def gate_and_up(kind: str, mlp: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """The MLP's activations by hand, before its output projection."""
    act = {"gemma": "tanh", "gemma2": "tanh", "gemma3_text": "tanh", "gpt2": "tanh", "phi": "tanh"}.get(kind)
    f: Callable[[Tensor], Tensor] = F.silu if act is None else functools.partial(F.gelu, approximate="tanh")
    if kind == "gpt2":
        return f(x @ mlp.c_fc.weight + mlp.c_fc.bias), None
    if kind == "phi":
        return f(x @ mlp.fc1.weight.T + mlp.fc1.bias), None
    if kind == "phi3":
        gate, up = (x @ mlp.gate_up_proj.weight.T).chunk(2, dim=-1)
        return f(gate), up
    return f(x @ mlp.gate_proj.weight.T), x @ mlp.up_proj.weight.T


def down(kind: str, mlp: nn.Module, a: Tensor) -> Tensor:
    if kind == "gpt2":
        return a @ mlp.c_proj.weight + mlp.c_proj.bias
    if kind == "phi":
        return a @ mlp.fc2.weight.T + mlp.fc2.bias
    return a @ mlp.down_proj.weight.T


@pytest.mark.parametrize("kind", NAMED)
@torch.inference_mode()
def test_recorded_mlp_is_the_mlp_by_hand(kind: str) -> None:
    model, ids = tiny(kind), words()
    mlp = layer(model, 1).mlp
    x, y = seen_by(mlp, lambda: model(ids))
    gate, up = gate_and_up(kind, mlp, x)
    for site, expected in (("gate", gate), ("neurons", gate if up is None else gate * up)):
        with kept(model, site) as found:
            model(ids)
        torch.testing.assert_close(found[1][0], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(y, down(kind, mlp, expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", NAMED)
@torch.inference_mode()
def test_recorded_heads_are_the_heads(kind: str) -> None:
    model = tiny(kind)
    module, out = attention(model, 1)
    # A lone token attends to itself: each head is the value of its group.
    with kept(model, "heads") as found:
        x, _ = seen_by(module, lambda: model(words(3, 1)))
    heads, dim = head_shape(model)
    assert module.head_dim == dim
    if kind == "gpt2":
        value = (x @ module.c_attn.weight + module.c_attn.bias).chunk(3, dim=-1)[2]
    elif kind == "phi3":
        value = (x @ module.qkv_proj.weight.T)[..., -KEYS * dim :]
    else:
        value = module.v_proj(x)
    value = value.unflatten(-1, (-1, dim))
    value = value.repeat_interleave(heads // value.shape[-2], dim=-2).flatten(-2)
    torch.testing.assert_close(found[1][0], value, rtol=1e-5, atol=1e-6)
    # With more tokens, what leaves the attention is the projection of the heads.
    with kept(model, "heads") as found:
        _, y = seen_by(module, lambda: model(words()))
    weight = out.weight if kind == "gpt2" else out.weight.T
    by_hand = found[1][0] @ weight + (0 if out.bias is None else out.bias)
    torch.testing.assert_close(y, by_hand, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", NAMED)
def test_heads_edit_is_a_bias_of_the_output_projection(kind: str) -> None:
    model, ids = tiny(kind), words()
    heads, dim = head_shape(model)
    picked = np.concatenate([np.arange(h * dim, (h + 1) * dim) for h in (1, 3)])
    tensors = {"d": vector(2 * dim), "u": picked}
    edits = [Edit(layer=n, site="heads", op="add", tensor="d", units="u", strength=1.7) for n in (0, 2)]
    with applied(model, edits, tensors):
        ours = logits(model, ids)
    other = copy.deepcopy(model)
    d = torch.zeros(heads * dim)
    d[torch.from_numpy(picked)] = 1.7 * torch.from_numpy(tensors["d"])
    for n in (0, 2):
        out = attention(other, n)[1]
        shift = d @ out.weight if kind == "gpt2" else out.weight @ d
        out.bias = nn.Parameter((shift if out.bias is None else out.bias + shift).detach())
    torch.testing.assert_close(ours, logits(other, ids), rtol=1e-5, atol=1e-5)
    assert (ours - logits(model, ids)).abs().max() > 1e-2


@pytest.mark.parametrize("kind", NAMED)
def test_gate_edit_is_an_mlp_by_hand(kind: str) -> None:
    """NPTI: a += shift for some units, a = min(a, 0) for others."""
    model, ids = tiny(kind), words()
    width = site_width(model, "gate")
    order = np.random.default_rng(3).permutation(width)
    up_units, down_units = order[:10], order[10:25]
    tensors = {"up": up_units, "shift": np.abs(vector(10)), "down": down_units, "zero": np.zeros(15, np.float32)}
    edits = [
        Edit(layer=1, site="gate", op="add", tensor="shift", units="up", strength=2.5),
        Edit(layer=1, site="gate", op="clamp", tensor="zero", units="down"),
    ]
    with applied(model, edits, tensors):
        ours = logits(model, ids)
    other = copy.deepcopy(model)
    mlp = layer(other, 1).mlp

    def by_hand(x: Tensor) -> Tensor:
        gate, up = gate_and_up(kind, mlp, x)
        for unit, shift in zip(up_units, tensors["shift"], strict=True):
            gate[..., unit] += 2.5 * float(shift)
        for unit in down_units:
            gate[..., unit].clamp_(max=0)
        return down(kind, mlp, gate if up is None else gate * up)

    mlp.forward = by_hand
    torch.testing.assert_close(ours, logits(other, ids), rtol=1e-4, atol=1e-5)
    assert (ours - logits(model, ids)).abs().max() > 1e-2


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma"])
@torch.inference_mode()
def test_edit_of_the_last_layer_with_tied_and_untied_embeddings(kind: str, tied: bool) -> None:
    model, ids = tiny(kind, tied), words()
    same = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert same == tied
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with kept(model, "residual") as found:
        model(ids)
    d = vector(HIDDEN)
    with applied(model, [Edit(layer=LAYERS - 1, site="residual", op="add", tensor="d")], {"d": d}):
        ours = logits(model, ids)
    norm = text(model).ln_f if kind == "gpt2" else text(model).norm
    expected = norm(found[LAYERS - 1][0] + torch.from_numpy(d)) @ model.get_output_embeddings().weight.T
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# --- No edit, and the model afterwards


@pytest.mark.parametrize("kind", NAMED)
def test_no_edit_is_bit_identical_and_without_hooks(kind: str) -> None:
    model, ids = tiny(kind), words()
    plain, before = logits(model, ids), hooks(model)
    nothing = [
        Edit(layer=1, site=site, op="add", tensor="t", strength=0.0, positions="answer")
        for site in SITES
        if site_width(model, site) == HIDDEN
    ]
    zeros = Edit(layer=0, site="residual", op="add", tensor="z")
    for edits in ([], nothing, [zeros]):
        tensors = {"t": vector(HIDDEN), "z": np.zeros(HIDDEN, np.float32)}
        with applied(model, edits, tensors, measure=True) as state:
            assert hooks(model) == before and state.scopes == frozenset()
            assert torch.equal(logits(model, ids), plain)
            assert state.dose is None
    assert torch.equal(logits(model, ids), plain)


@pytest.mark.parametrize("kind", NAMED)
def test_model_is_restored_after_the_block_and_after_an_exception(kind: str) -> None:
    model, ids = tiny(kind), words()
    plain, before = logits(model, ids), hooks(model)
    tensors = {s: vector(site_width(model, s)) for s in SITES}
    edits = [Edit(layer=n, site=s, op="add", tensor=s, positions="answer") for s in SITES for n in range(LAYERS)]
    with applied(model, edits, tensors, measure=True) as state:
        assert hooks(model) > before
        state.span(torch.ones(2, 9), torch.zeros(2, 9))
        assert not torch.equal(logits(model, ids), plain)
    assert hooks(model) == before and torch.equal(logits(model, ids), plain)

    def fail(n: int, a: Tensor) -> None:
        raise KeyError(n)

    with pytest.raises(KeyError), applied(model, edits, tensors) as state, recorded(model, "heads", fail):
        state.span(None, None)
        logits(model, ids)
    with pytest.raises(ZeroDivisionError), applied(model, edits, tensors) as state, state.generating():
        raise ZeroDivisionError
    # The second of two edits is wrong: the first leaves nothing behind.
    wrong = [edits[0], Edit(layer=9, site="heads", op="zero")]
    with pytest.raises(BadData), applied(model, wrong, tensors):
        pass
    with pytest.raises(BadData), recorded(model, "heads", fail, layers=[0, 9]):
        pass
    assert hooks(model) == before and torch.equal(logits(model, ids), plain)


# --- The arithmetic


def one_by_one(a: Tensor, edits: list[Edit], tensors: dict[str, np.ndarray], masks: dict[Scope, Tensor]) -> Tensor:
    """Apply edits in order, position by position, as their definitions say."""
    out = a.double().numpy().copy()
    for edit in edits:
        for row, token in masks[edit.positions].nonzero().tolist():
            if edit.when is None or met(edit, out[row, token], tensors):
                out[row, token] = changed(edit, out[row, token].copy(), tensors)
    return torch.from_numpy(out).to(a.dtype)


def met(edit: Edit, state: np.ndarray, tensors: dict[str, np.ndarray]) -> bool:
    assert edit.when is not None
    d = tensors[edit.when.tensor].astype(float)
    held = sum(x * y for x, y in zip(state, d, strict=True)) / np.sqrt(sum(d * d))
    return (edit.when.above is None or held > edit.when.above) and (edit.when.below is None or held < edit.when.below)


def changed(edit: Edit, state: np.ndarray, tensors: dict[str, np.ndarray]) -> np.ndarray:
    """One state (width,) after one edit."""
    units = range(len(state)) if edit.units is None else tensors[edit.units].tolist()
    mine = np.array([state[unit] for unit in units])
    t = np.zeros(len(mine)) if edit.tensor is None else tensors[edit.tensor].astype(float)
    d = t / max(np.linalg.norm(t), 1e-300)
    new = {
        "add": lambda: mine + edit.strength * t,
        "clamp": lambda: np.minimum(mine, t),
        "zero": lambda: np.zeros(len(mine)),
        "project_out": lambda: mine - edit.strength * (mine @ d) * d,
        "cap": lambda: (
            mine + (min(max(mine @ d, edit.low or -9e9), 9e9 if edit.high is None else edit.high) - mine @ d) * d
        ),
        "rescale": lambda: (moved := mine + edit.strength * t) * np.linalg.norm(mine) / np.linalg.norm(moved),
    }[edit.op]()
    for unit, value in zip(units, new, strict=True):
        state[unit] = value
    return state


OPS: tuple[Op, ...] = get_args(Op)


def drawn(
    rng: np.random.Generator, width: int, n: int, scope: Scope, layer: int = 1, site: Site = "residual", ops: Any = OPS
) -> tuple[Edit, dict[str, np.ndarray]]:
    """A random edit, its names ending in `n`: of any operation, of all places or half of them, on condition or not."""
    op: Op = ops[rng.integers(len(ops))]
    tensors: dict[str, np.ndarray] = {}
    more: dict[str, Any] = {}
    size = width
    if rng.integers(2):
        size = width // 2
        tensors[f"u{n}"] = rng.permutation(width)[:size]
        more["units"] = f"u{n}"
    if op != "zero":
        tensors[f"t{n}"] = rng.normal(size=size).astype(np.float32)
        more["tensor"] = f"t{n}"
    if op == "cap":
        bounds = [("low",), ("high",), ("low", "high")][rng.integers(3)]
        more |= {name: {"low": -0.3, "high": 0.2}[name] for name in bounds}
    if rng.integers(2):
        tensors[f"w{n}"] = rng.normal(size=width).astype(np.float32)
        bounds = [{"above": -0.2}, {"below": 0.3}, {"above": -0.6, "below": 0.5}][rng.integers(3)]
        more["when"] = When(tensor=f"w{n}", **bounds)
    return Edit(layer=layer, site=site, op=op, strength=1.5, positions=scope, **more), tensors


def mixed(model: Any, scope: Scope, seed: int) -> tuple[list[Edit], dict[str, np.ndarray]]:
    """Two random edits at each site of two layers; none that silences a whole site, behind which all are alike."""
    rng = np.random.default_rng(seed)
    edits, tensors = list[Edit](), dict[str, np.ndarray]()
    for n, site in enumerate([*SITES, *SITES] * 2):
        layer = (0, 2)[n >= 2 * len(SITES)]
        ops = tuple(op for op in OPS if op != "zero")
        edit, more = drawn(rng, site_width(model, site), n, scope, layer=layer, site=site, ops=ops)
        edits.append(edit)
        tensors |= more
    return edits, tensors


@pytest.mark.parametrize("seed", range(16))
@pytest.mark.parametrize("site", SITES)
@torch.inference_mode()
def test_edits_of_one_place_are_applied_in_order(site: Site, seed: int) -> None:
    """Float64, so that no rounding decides a condition."""
    model, ids = copy.deepcopy(tiny("llama")).double(), words(2, 4)
    rng = np.random.default_rng(seed)
    scopes: list[Scope] = ["all", "answer", "generated"]
    edits, tensors = list[Edit](), dict[str, np.ndarray]()
    for n in range(7):
        scope = scopes[rng.integers(3)] if seed % 2 else "all"
        ops = OPS if seed % 4 > 1 else ("add", "clamp", "zero")
        edit, more = drawn(rng, site_width(model, site), n, scope, site=site, ops=ops)
        edits.append(edit if seed % 4 > 1 else edit.model_copy(update={"when": None}))
        tensors |= more
    masks: dict[Scope, Tensor] = {
        "all": torch.ones(2, 4, dtype=torch.bool),
        "answer": mask([[0, 0, 1, 1], [0, 1, 1, 1]]),
        "generated": mask([[0, 0, 0, 1], [0, 0, 1, 1]]),
    }
    with kept(model, site) as plain:
        model(ids)
    with applied(model, edits, tensors) as state, kept(model, site) as found:
        state.span(masks["answer"], masks["generated"])
        model(ids)
    expected = one_by_one(plain[1][0], edits, tensors, masks)
    torch.testing.assert_close(found[1][0], expected, rtol=1e-9, atol=1e-9)
    assert torch.equal(found[0][0], plain[0][0])


def test_gate_and_neurons_of_an_ungated_mlp_are_one_place_in_order() -> None:
    model, ids = tiny("gpt2"), words()
    width = site_width(model, "neurons")
    tensors = {"t": vector(width), "c": np.zeros(width, np.float32)}
    add, clamp = {"op": "add", "tensor": "t"}, {"op": "clamp", "tensor": "c"}
    for first, second in ((add, clamp), (clamp, add)):
        found = []
        for sites in (("neurons", "gate"), ("gate", "neurons"), ("gate", "gate")):
            edits = [Edit(layer=1, site=s, **e) for s, e in zip(sites, (first, second), strict=True)]
            with applied(model, edits, tensors):
                found.append(logits(model, ids))
        assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_zero_silences_even_what_is_infinite() -> None:
    place = merge(tiny("llama"), [Edit(layer=0, site="residual", op="zero", units="u")], {"u": np.array([1])})
    ((_, change),) = place[0, "residual"]
    a = torch.tensor([float("inf"), float("nan")] + [1.0] * (HIDDEN - 2))
    assert change(a).tolist() == [float("inf"), 0.0] + [1.0] * (HIDDEN - 2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@torch.inference_mode()
def test_other_dtypes_keep_theirs(dtype: torch.dtype) -> None:
    model = copy.deepcopy(tiny("qwen3")).to(dtype)
    tensors = {s: vector(site_width(model, s)) for s in SITES}
    edits = [Edit(layer=1, site=s, op=op, tensor=s) for s in SITES for op in ("add", "clamp")]
    seen = []
    with applied(model, edits, tensors, measure=True) as state, ExitStack() as stack:
        for site in SITES:
            stack.enter_context(recorded(model, site, lambda n, a: seen.append(a.dtype)))
        out = model(words()).logits
    assert set(seen) == {dtype} and out.dtype == dtype and out.isfinite().all() and (state.dose or 0) > 0


@torch.inference_mode()
def test_autocast_gets_numbers_of_its_dtype() -> None:
    model, ids = tiny("llama"), words()
    tensors = {"t": vector(site_width(model, "neurons"))}
    edit = Edit(layer=1, site="neurons", op="add", tensor="t", strength=3.0)
    with torch.autocast("cpu", torch.bfloat16), applied(model, [edit], tensors), kept(model, "neurons") as found:
        model(ids)
    with torch.autocast("cpu", torch.bfloat16), kept(model, "neurons") as plain:
        model(ids)
    assert found[1][0].dtype == plain[1][0].dtype == torch.bfloat16
    moved = (found[1][0] - plain[1][0]).float()
    torch.testing.assert_close(moved, 3 * torch.from_numpy(tensors["t"]).expand_as(moved), rtol=0.02, atol=0.05)


def test_gradients_pass_through_an_edit() -> None:
    model, ids = copy.deepcopy(tiny("llama")), words()
    width = site_width(model, "gate")
    edits = [
        Edit(layer=1, site="gate", op="add", tensor="t"),
        Edit(layer=1, site="gate", op="clamp", tensor="c", positions="answer"),
    ]
    with applied(model, edits, {"t": vector(width), "c": vector(width, 1)}) as state:
        state.span(mask([[0] * 8 + [1]] * 2), None)
        model(ids).logits.sum().backward()
    gradient = layer(model, 0).mlp.gate_proj.weight.grad
    assert gradient is not None and gradient.isfinite().all() and gradient.abs().max() > 0


# --- Positions

MARK = 3.0


def marker(site: Site, positions: Scope, n: int = 1) -> tuple[list[Edit], dict[str, np.ndarray]]:
    return [Edit(layer=n, site=site, op="add", tensor="m", units="u", positions=positions)], {
        "m": np.array([MARK], np.float32),
        "u": np.array([5]),
    }


def touched(found: Tensor, plain: Tensor) -> Tensor:
    """Which positions (rows, tokens) carry the marker; every other one must be bit-identical."""
    moved = (found != plain).any(-1)
    torch.testing.assert_close((found - plain)[moved][:, 5], torch.full((int(moved.sum()),), MARK), rtol=0, atol=1e-5)
    return moved


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("site", SITES)
@torch.inference_mode()
def test_marker_touches_exactly_the_positions_of_the_masks(kind: str, site: Site) -> None:
    model = tiny(kind)
    ids = words(3, 8)
    # Row by row: no padding, left padding by 3, right padding by 2; replies of 3, 1 and 2 tokens.
    real = mask([[1] * 8, [0] * 3 + [1] * 5, [1] * 6 + [0] * 2])
    answer = mask([[0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 0, 0]])
    generated = mask([[0, 0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 1, 0, 0]])
    inputs = {"attention_mask": real.long(), "position_ids": (real.long().cumsum(-1) - 1).clamp(min=0)}
    with kept(model, site) as plain:
        base = model(ids, **inputs).logits
    scopes: tuple[tuple[Scope, Tensor], ...] = (
        ("all", torch.ones_like(real)), ("answer", answer), ("generated", generated),
    )  # fmt: skip
    for scope, expected in scopes:
        with applied(model, *marker(site, scope)) as state, kept(model, site) as found:
            assert state.scopes == {scope}
            state.span(answer, generated)
            ours = model(ids, **inputs).logits
        assert torch.equal(touched(found[1][0], plain[1][0]), expected)
        assert torch.equal(found[0][0], plain[0][0])
        first = expected.int().argmax(-1)
        for row in range(3):
            torch.testing.assert_close(ours[row, : first[row]], base[row, : first[row]], rtol=0, atol=1e-6)
            assert (ours[row, first[row]] - base[row, first[row]]).abs().max() > 1e-4


@torch.inference_mode()
def test_masks_hold_for_one_forward() -> None:
    model, ids = tiny("llama"), words()
    plain = logits(model, ids)
    with applied(model, *marker("residual", "answer")) as state:
        with pytest.raises(RuntimeError, match=r"positions answer.*span\(answer, generated\)"):
            model(ids)
        state.span(mask([[0] * 8 + [1]] * 2), None)
        model(ids)
        with pytest.raises(RuntimeError, match="does not say where"):
            model(ids)
        state.span(None, None)
        assert torch.equal(model(ids).logits, plain)
        state.span(torch.ones(2, 9), torch.zeros(2, 9))
        everywhere = model(ids).logits
        state.span(torch.ones(2, 8), None)
        with pytest.raises(RuntimeError, match=r"shape \(2, 8\) for a forward pass of \(2, 9\)"):
            model(ids)
    with applied(model, *marker("residual", "all")):
        assert torch.equal(model(ids).logits, everywhere)
        assert torch.equal(model(inputs_embeds=model.get_input_embeddings()(ids)).logits, everywhere)


def spans(real: Tensor, prompt: int, tokens: int) -> tuple[Tensor, Tensor]:
    """Masks of a left-padded batch of `tokens` columns whose prompts end before column `prompt`."""
    at = torch.arange(tokens).expand(len(real), tokens)
    return at >= prompt - 1, at >= prompt


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("scope", ["all", "answer", "generated"])
@torch.inference_mode()
def test_generation_with_a_cache_equals_full_forwards(kind: str, scope: Scope) -> None:
    model = tiny(kind)
    prompt, steps = words(2, 6, seed=4), 4
    real = torch.tensor([[1] * 6, [0, 0, 1, 1, 1, 1]])
    edits, tensors = mixed(model, scope, len(kind))
    with applied(model, edits, tensors) as state:
        ids, seen = prompt, real
        for _ in range(steps):
            state.span(*spans(seen, 6, ids.shape[1]))
            at = (seen.cumsum(-1) - 1).clamp(min=0)
            full = model(ids, attention_mask=seen, position_ids=at, use_cache=False).logits
            ids = torch.cat([ids, full[:, -1:].argmax(-1)], dim=1)
            seen = torch.cat([seen, torch.ones(2, 1, dtype=torch.long)], dim=1)
        # By model.generate, twice in one block: the second begins a sequence of its own.
        with state.generating():
            for _ in range(2):
                out = model.generate(
                    prompt, attention_mask=real, max_new_tokens=steps, do_sample=False, output_scores=True,
                    return_dict_in_generate=True,
                )  # fmt: skip
                assert torch.equal(out.sequences, ids)
                torch.testing.assert_close(out.scores[-1], full[:, -1], rtol=1e-4, atol=1e-4)
        # By hand, with the cache that the model makes.
        with state.generating():
            at = (real.cumsum(-1) - 1).clamp(min=0)
            step = model(prompt, attention_mask=real, position_ids=at, use_cache=True)
            for n in range(1, steps):
                at = at[:, -1:] + 1
                inputs = {"attention_mask": seen[:, : 6 + n], "position_ids": at, "use_cache": True}
                step = model(ids[:, 5 + n : 6 + n], past_key_values=step.past_key_values, **inputs)
            torch.testing.assert_close(step.logits[:, -1], full[:, -1], rtol=1e-4, atol=1e-4)
    if scope != "generated":
        unedited = model.generate(prompt, attention_mask=real, max_new_tokens=1, do_sample=False)
        with applied(model, edits, tensors) as state, state.generating():
            edited = model(prompt, attention_mask=real, position_ids=(real.cumsum(-1) - 1).clamp(min=0)).logits
        plain = logits(model, prompt, attention_mask=real, position_ids=(real.cumsum(-1) - 1).clamp(min=0))
        assert unedited.shape == (2, 7) and (edited[:, -1] - plain[:, -1]).abs().max() > 1e-3


@pytest.mark.parametrize("kind", NAMED)
@torch.inference_mode()
def test_generation_touches_the_last_prompt_column_and_what_follows(kind: str) -> None:
    model, prompt = tiny(kind), words(2, 5)
    prompts = {"answer": [0, 0, 0, 0, 1], "generated": [0] * 5, "all": [1] * 5}
    scopes: tuple[Scope, ...] = ("all", "answer", "generated")
    for scope in scopes:
        # Recorded on both sides of the edit: what enters the last layer's edit and what leaves it.
        before: list[Tensor] = []
        after: list[Tensor] = []
        with (
            recorded(model, "residual", lambda n, a, to=before: to.append(a.clone()), layers=[2]),
            applied(model, *marker("residual", scope, n=2)) as state,
            recorded(model, "residual", lambda n, a, to=after: to.append(a.clone()), layers=[2]),
            state.generating(),
        ):
            model.generate(prompt, max_new_tokens=3, do_sample=False)
        found = [touched(a, b) for a, b in zip(after, before, strict=True)]
        assert [f.shape[1] for f in found] == [5, 1, 1]
        assert torch.equal(found[0], mask([prompts[scope]] * 2)) and found[1].all() and found[2].all()


@torch.inference_mode()
def test_generation_behind_a_shared_prefix() -> None:
    model, prefix = tiny("llama"), words(1, 7, seed=1)
    prompts = [words(1, 3, seed=s) for s in (2, 3)]
    edit = Edit(layer=0, site="residual", op="add", tensor="t", positions="answer")
    short = {"max_new_tokens": 3, "do_sample": False, "output_scores": True, "return_dict_in_generate": True}

    def last(prompt: Tensor, **inputs: Any) -> Tensor:
        return model.generate(torch.cat([prefix, prompt], dim=1), **short, **inputs).scores[-1]

    with applied(model, [edit], {"t": vector(HIDDEN, scale=3)}) as state:
        with state.generating():
            expected = [last(prompt) for prompt in prompts]
        state.span(None, None)
        shared = model(prefix, use_cache=True).past_key_values
        with state.generating():
            for prompt, scores in zip(prompts, expected, strict=True):
                again = last(prompt, past_key_values=copy.deepcopy(shared))
                torch.testing.assert_close(again, scores, rtol=1e-4, atol=1e-4)
            # One cache for both, cut back to the prefix in between.
            for prompt, scores in zip(prompts, expected, strict=True):
                assert shared.get_seq_length() == 7
                torch.testing.assert_close(last(prompt, past_key_values=shared), scores, rtol=1e-4, atol=1e-4)
                shared.crop(7 - shared.get_seq_length())


@torch.inference_mode()
def test_generation_refuses_what_it_cannot_tell() -> None:
    model, ids = tiny("llama"), words()
    with applied(model, *marker("residual", "generated")) as state, state.generating():
        with pytest.raises(RuntimeError, match="padded at the right"):
            model(ids, attention_mask=torch.tensor([[1] * 9, [1] * 7 + [0] * 2]))
        with pytest.raises(RuntimeError, match="use_cache=True"):
            model.generate(ids, max_new_tokens=2, use_cache=False)
    assert hooks(model) == 0


@torch.inference_mode()
def test_beams_are_generated_positions() -> None:
    model, prompt = tiny("llama"), words(2, 5)
    after: list[Tensor] = []
    before: list[Tensor] = []
    with (
        recorded(model, "heads", lambda n, a: before.append(a.clone()), layers=[1]),
        applied(model, *marker("heads", "generated")) as state,
        recorded(model, "heads", lambda n, a: after.append(a.clone()), layers=[1]),
        state.generating(),
    ):
        model.generate(prompt, max_new_tokens=3, num_beams=3, do_sample=False)
    found = [touched(a, b) for a, b in zip(after, before, strict=True)]
    assert [bool(f.all()) for f in found] == [False, True, True] and not found[0].any()


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("scope", ["all", "answer", "generated"])
@torch.inference_mode()
def test_rows_packed_behind_a_shared_prefix_equal_plain_texts(kind: str, scope: Scope) -> None:
    model = tiny(kind)
    prefix = tuple(words(1, 8, seed=5)[0].tolist())
    items = [
        Item(prefix + tuple(words(1, n, seed=n)[0].tolist()), (tuple(words(1, m, seed=9)[0].tolist()), (1, 4, n)))
        for n, m in ((3, 4), (5, 2), (2, 3))
    ]
    edits, tensors = mixed(model, scope, len(kind))
    shared, row = len(prefix), pack(items, len(prefix))
    lengths = [len(item.prompt) for item in items for _ in range(len(item.prompt) - shared + len(item.nodes))]
    at = torch.tensor([row.positions])
    answer, generated = at >= torch.tensor([lengths]) - 1, at >= torch.tensor([lengths])
    assert int(answer.sum() - generated.sum()) == len(items)
    seen = additive(visibility(row, shared), torch.float32, "cpu")
    kinds = getattr(model.config, "layer_types", None) or ()
    attention_mask: Any = dict.fromkeys(set(kinds), seen) if "sliding_attention" in kinds else seen
    cache = DynamicCache()
    with applied(model, edits, tensors) as state:
        state.span(None, None)
        model(torch.tensor([prefix]), past_key_values=cache, use_cache=True)
        state.span(answer, generated)
        inputs = {"attention_mask": attention_mask, "past_key_values": cache, "use_cache": True}
        packed = model(torch.tensor([row.tokens]), position_ids=at, **inputs).logits[0]
        for item, places in zip(items, row.lookups, strict=True):
            for text_, heads in zip(item.answers, places, strict=True):
                ids = torch.tensor([item.prompt + text_[:-1]])
                answering, following = spans(ids, len(item.prompt), ids.shape[1])
                state.span(answering, following)
                plain = model(ids, use_cache=False).logits[0, len(item.prompt) - 1 :]
                torch.testing.assert_close(packed[[row.heads[h] for h in heads]], plain, rtol=1e-4, atol=1e-4)
    assert (logits(model, ids)[0, len(item.prompt) - 1 :] - plain).abs().max() > 1e-2


def test_blocks_nest() -> None:
    model, ids = tiny("llama"), words()
    t = {"a": vector(HIDDEN, 1), "b": vector(HIDDEN, 2)}
    one, two = (Edit(layer=1, site="residual", op="add", tensor=name) for name in "ab")
    with applied(model, [one, two], t):
        both = logits(model, ids)
    with applied(model, [one], t):
        alone = logits(model, ids)
        with applied(model, [two], t):
            torch.testing.assert_close(logits(model, ids), both, rtol=1e-5, atol=1e-5)
        assert torch.equal(logits(model, ids), alone)
    found: list[Tensor] = []
    with recorded(model, "residual", lambda n, a: found.append(a), layers=[1]), applied(model, [one], t):
        logits(model, ids)
    with kept(model, "residual") as plain:
        logits(model, ids)
    assert torch.equal(found[0], plain[1][0])  # recorded outside of the edit: before it


# --- Dose


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
@torch.inference_mode()
def test_dose_is_that_by_hand(kind: str) -> None:
    model = tiny(kind)
    ids = words(2, 8)
    real = mask([[1] * 8, [0] * 3 + [1] * 5])
    answer, generated = spans(real, 6, 8)
    width = site_width(model, "gate")
    edits = [
        Edit(layer=0, site="residual", op="add", tensor="t", strength=0.5),
        Edit(layer=1, site="gate", op="clamp", tensor="c", positions="answer"),
        Edit(layer=1, site="gate", op="add", tensor="s", units="u", positions="generated"),
    ]
    tensors = {"t": vector(HIDDEN), "c": vector(width), "s": vector(4), "u": np.array([1, 2, 30, 40])}
    sums: dict[int, list[float]] = {0: [0.0, 0.0], 1: [0.0, 0.0]}
    before: dict[int, list[Tensor]] = {0: [], 1: []}
    after: dict[int, list[Tensor]] = {0: [], 1: []}
    with ExitStack() as stack:
        for site, n in (("residual", 0), ("gate", 1)):
            stack.enter_context(recorded(model, site, lambda k, a: before[k].append(a.clone()), layers=[n]))
        state = stack.enter_context(applied(model, edits, tensors, measure=True))
        for site, n in (("residual", 0), ("gate", 1)):
            stack.enter_context(recorded(model, site, lambda k, a: after[k].append(a.clone()), layers=[n]))
        assert state.dose is None
        for batch in (ids, words(2, 8, seed=1)):
            state.span(answer, generated)
            model(batch, attention_mask=real.long())
        dose = state.dose
    for n, counted in ((0, real), (1, real & answer)):
        for a, b in zip(before[n], after[n], strict=True):
            for row, token in counted.nonzero().tolist():
                sums[n][0] += float((b[row, token].double() - a[row, token].double()).square().sum().sqrt())
                sums[n][1] += float(a[row, token].double().square().sum().sqrt())
    assert dose == pytest.approx(np.mean([change / size for change, size in sums.values()]), rel=1e-5)


def test_dose_grows_with_the_strength_and_only_when_measured() -> None:
    model, ids = tiny("qwen2"), words()
    found = []
    for strength in (1.0, 2.0, -4.0):
        edit = Edit(layer=2, site="residual", op="add", tensor="t", strength=strength)
        with applied(model, [edit], {"t": vector(HIDDEN)}, measure=True) as state:
            logits(model, ids)
            found.append(state.dose or 0.0)
        with applied(model, [edit], {"t": vector(HIDDEN)}) as state:
            logits(model, ids)
            assert state.dose is None
    assert found[1:] == pytest.approx([2 * found[0], 4 * found[0]], rel=1e-5)


# --- Wrappers


@torch.inference_mode()
def test_text_model_inside_a_multimodal_one() -> None:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Gemma3Config(
        text_config={**_COMMON, **_WIDE}, vision_config={**vision, "image_size": 14, "patch_size": 14},
        mm_tokens_per_image=1, image_token_index=60, boi_token_index=61, eoi_token_index=62,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Gemma3ForConditionalGeneration(config).eval()
    ids = torch.randint(3, 50, (2, 6))
    assert (layers(model), head_shape(model)) == (LAYERS, (HEADS, 16))
    plain = model(ids).logits
    for site in SITES:
        with applied(model, *marker(site, "answer")) as state:
            state.span(mask([[0, 0, 0, 0, 1, 1]] * 2), None)
            ours = model(ids).logits
        moved = (ours - plain).abs().amax(-1)
        assert moved[:, :4].max() < 1e-5 < moved[:, 4].min()
    with applied(model, *marker("residual", "generated")) as state, state.generating():
        model.generate(ids, max_new_tokens=2, do_sample=False)
    assert hooks(model) == 0


@torch.inference_mode()
def test_model_under_an_adapter() -> None:
    peft = pytest.importorskip("peft")
    model = copy.deepcopy(tiny("llama"))
    names = ["q_proj", "o_proj", "down_proj"]
    wrapped = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=names, init_lora_weights=False)).eval()
    merged = copy.deepcopy(wrapped).merge_and_unload()
    ids = words()
    tensors = {s: vector(site_width(wrapped, s)) for s in SITES}
    edits = [Edit(layer=1, site=s, op="add", tensor=s, positions="answer") for s in SITES]
    found = []
    for one in (wrapped, merged):
        with applied(one, edits, tensors) as state:
            state.span(mask([[0] * 7 + [1] * 2] * 2), None)
            found.append(one(ids).logits)
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)


# --- Errors


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ({"layer": 3, "op": "zero"}, r"heads of layer 3: this model's layers are 0 to 2"),
        ({"op": "add", "tensor": "short"}, r"'short' has the shape \(7,\), expected \(32,\).*32 places.*another model"),
        ({"op": "clamp", "tensor": "square"}, r"'square' has the shape \(4, 8\)"),
        ({"op": "add", "tensor": "short", "units": "two"}, r"'short' has the shape \(7,\), expected \(2,\).*2 units"),
        ({"op": "zero", "units": "far"}, r"unit 32 of 'far' is out of range: this model has 32 places.*another model"),
        ({"op": "zero", "units": "under"}, r"unit -1 of 'under' is out of range"),
        ({"op": "zero", "units": "twice"}, r"'twice' must be different whole numbers"),
        ({"op": "zero", "units": "short"}, r"'short' must be different whole numbers"),
        ({"op": "add"}, r"add goes with a tensor"),
        ({"op": "zero", "tensor": "whole"}, r"zero goes without a tensor"),
        ({"op": "add", "tensor": "none"}, r"names the tensor 'none'; there are far, hole, short"),
        ({"op": "zero", "units": "none"}, r"names the tensor 'none'"),
        ({"op": "add", "tensor": "hole"}, r"'hole' times its strength is nan at place 3"),
        ({"op": "add", "tensor": "whole", "strength": float("inf")}, r"inf at place 0; expected finite"),
        ({"op": "add", "tensor": "whole", "strength": 1e300}, r"1e\+300 is beyond torch.float32"),
    ],
)
def test_bad_edits_are_refused(edit: dict[str, Any], says: str) -> None:
    hole = np.ones(32, np.float32)
    hole[3] = np.nan
    tensors = {
        "short": np.ones(7), "square": np.ones((4, 8)), "two": np.array([0, 1]), "far": np.array([0, 32]),
        "under": np.array([-1, 2]), "twice": np.array([4, 4]), "whole": np.ones(32), "hole": hole,
    }  # fmt: skip
    model = tiny("llama")
    with pytest.raises(BadData, match=says), applied(model, [Edit(**{"layer": 1, "site": "heads", **edit})], tensors):
        pass
    assert hooks(model) == 0


def test_layers_of_unequal_width_are_refused() -> None:
    model = copy.deepcopy(tiny("llama"))
    layer(model, 2).mlp.down_proj = nn.Linear(20, HIDDEN)
    with pytest.raises(BadData, match=r"differ in the width of neurons \(20, 48\)"):
        site_width(model, "neurons")


def test_recorded_refuses_a_layer_out_of_range() -> None:
    for wrong in (-1, LAYERS):
        with pytest.raises(BadData, match=f"gate of layer {wrong}: this model's layers are 0 to 2"):
            with recorded(tiny("llama"), "gate", lambda n, a: None, layers=[0, wrong]):
                pass
