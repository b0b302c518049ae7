"""The output of layers (site `residual`) on decoders that the table does not hold, and what is refused of them."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import stirred
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from traitbench.controls.architectures import ARCHITECTURES, check_site, decoder_layers, depth_of
from traitbench.controls.interventions import applied, layers, recorded, site_width
from traitbench.errors import BadData
from traitbench.types import Edit, Scope

LAYERS, HIDDEN, WORDS = 3, 32, 64
_SIZES = {
    "hidden_size": HIDDEN, "intermediate_size": 48, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": WORDS, "max_position_embeddings": 128, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_EXPERTS = {**_SIZES, "num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1}
CONFIGS: dict[str, dict[str, Any]] = {
    # Mixtures of experts
    "mixtral": _EXPERTS,
    "qwen3_moe": {**_EXPERTS, "head_dim": 8},
    "olmoe": _EXPERTS,
    "gpt_oss": {**_EXPERTS, "head_dim": 8, "sliding_window": 8},
    "llama4_text": {**_EXPERTS, "head_dim": 8, "intermediate_size_mlp": 48, "attention_chunk_size": 16},
    "deepseek_v3": {
        **_EXPERTS, "num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8, "v_head_dim": 8, "n_routed_experts": 4, "n_group": 1, "topk_group": 1,
        "first_k_dense_replace": 1,
    },
    # Recurrent and hybrid
    "qwen3_next": {
        **_EXPERTS, "head_dim": 8, "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8,
        "linear_value_head_dim": 8, "shared_expert_intermediate_size": 16,
        "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    },
    "jamba": {
        **_EXPERTS, "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1,
        "use_mamba_kernels": False, "mamba_d_state": 4, "mamba_dt_rank": 4,
    },
    "falcon_h1": {**_SIZES, **_MAMBA, "mamba_d_ssm": 32, "mamba_n_heads": 4, "head_dim": 8},
    "granitemoehybrid": {
        **_EXPERTS, **_MAMBA, "layer_types": ["mamba", "attention", "mamba"], "shared_intermediate_size": 16,
    },
    "lfm2": {**_SIZES, "layer_types": ["conv", "full_attention", "conv"]},
    "falcon_mamba": {**_SIZES, "state_size": 4, "time_step_rank": 4},
    "mamba": {**_SIZES, "state_size": 4, "time_step_rank": 4},
    # Streams
    "gemma3n_text": {
        **_SIZES, "head_dim": 8, "vocab_size_per_layer_input": WORDS, "hidden_size_per_layer_input": 8,
        "laurel_rank": 4, "num_kv_shared_layers": 1, "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention", "full_attention"],
        "activation_sparsity_pattern": [0.5, 0.0, 0.0],
    },
    # Layers that return a tuple, or are called otherwise
    "bloom": {"hidden_size": HIDDEN, "n_layer": LAYERS, "n_head": 4, "vocab_size": WORDS},
    "falcon": _SIZES,
    "opt": {**_SIZES, "word_embed_proj_dim": HIDDEN, "ffn_dim": 48},
    "mpt": {"d_model": HIDDEN, "n_layers": LAYERS, "n_heads": 4, "vocab_size": WORDS, "max_seq_len": 128},
    # Of the table, for the same rules
    "gemma3_text": {**_SIZES, "head_dim": 8},
    "phi3": _SIZES,
    "gpt_neox": _SIZES,
    "gpt2": {"n_embd": HIDDEN, "n_layer": LAYERS, "n_head": 4, "n_positions": 128, "vocab_size": WORDS},
}  # fmt: skip
WRITES = [kind for kind in CONFIGS if kind != "mpt"]
"""MPT's config says that it makes no cache."""


@functools.cache
def tiny(kind: str) -> Any:
    """An untrained model of three layers, its weights large enough for edits to show."""
    return stirred(AutoConfig.for_model(kind, **CONFIGS[kind]))


def words(rows: int = 2, tokens: int = 9, seed: int = 0) -> Tensor:
    return torch.randint(3, WORDS, (rows, tokens), generator=torch.Generator().manual_seed(seed))


def vector(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=HIDDEN).astype(np.float32)


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("kind", CONFIGS)
@torch.inference_mode()
def test_what_is_recorded_is_what_the_next_layer_reads(kind: str) -> None:
    model, ids = tiny(kind), words()
    assert (layers(model), site_width(model, "residual")) == (LAYERS, HIDDEN)
    before, plain, read, found = hooks(model), model(ids).logits, dict[int, Any](), dict[int, Tensor]()

    def see(n: int) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
            read[n] = args[0] if args else inputs["hidden_states"]

        return hook

    with recorded(model, "residual", lambda n, a: found.update({n: a.clone()})):
        handles = [
            layer.register_forward_pre_hook(see(n), with_kwargs=True) for n, layer in enumerate(decoder_layers(model))
        ]
        again = model(ids).logits
        for handle in handles:
            handle.remove()
    assert torch.equal(again, plain) and hooks(model) == before
    assert {n: tuple(a.shape) for n, a in found.items()} == dict.fromkeys(range(LAYERS), (2, 9, HIDDEN))
    for n in range(LAYERS - 1):
        state = read[n + 1][model.config.altup_active_idx] if kind == "gemma3n_text" else read[n + 1]
        assert torch.equal(found[n], state)


@pytest.mark.parametrize("kind", CONFIGS)
@torch.inference_mode()
def test_an_edit_moves_its_positions_and_what_follows(kind: str) -> None:
    model, ids, v = tiny(kind), words(), vector()
    before, plain = hooks(model), model(ids).logits
    at = torch.arange(9).expand(2, 9)
    for n in range(LAYERS):
        with applied(model, [Edit(layer=n, site="residual", op="add", tensor="v", positions="answer")], {"v": v}) as on:
            on.span(at >= 5, at >= 6)
            moved = (model(ids).logits - plain).abs().amax(-1)
        assert moved[:, :5].max() < 1e-5 and moved[:, 5].min() > 1e-3
    assert hooks(model) == before and torch.equal(model(ids).logits, plain)


@pytest.mark.parametrize("kind", CONFIGS)
@torch.inference_mode()
def test_ops_hold_at_the_output_of_a_layer(kind: str) -> None:
    model, ids, v = tiny(kind), words(), vector(1)
    unit, found = torch.from_numpy(v) / np.linalg.norm(v), list[Tensor]()
    edits = [Edit(layer=1, site="residual", op=op, tensor="v", **more) for op, more in (
        ("rescale", {"strength": 3.0}), ("project_out", {}), ("add", {"strength": 2.0}), ("cap", {"high": 0.5}),
    )]  # fmt: skip
    with recorded(model, "residual", lambda n, a: found.append(a.clone()), [1]):
        for size in range(len(edits) + 1):
            with applied(model, edits[:size], {"v": v}), recorded(model, "residual", lambda n, a: found.append(a), [1]):
                model(ids)
    before, plain, *after = found[0], found[1], *found[3::2]
    assert torch.equal(before, plain)
    torch.testing.assert_close(after[0].norm(dim=-1), before.norm(dim=-1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(after[1] @ unit, torch.zeros(2, 9), rtol=0, atol=1e-4)
    torch.testing.assert_close(after[2], after[1] + 2 * torch.from_numpy(v), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(after[3] @ unit, torch.full((2, 9), 0.5), rtol=0, atol=1e-4)


@pytest.mark.parametrize("scope", ["all", "answer", "generated"])
@pytest.mark.parametrize("kind", WRITES)
@torch.inference_mode()
def test_generation_equals_full_forwards(kind: str, scope: Scope) -> None:
    """Prompt and reply are told apart by caches of keys and values, and by those that hold recurrent states alone."""
    model, prompt = tiny(kind), words(1, 6, seed=3)
    edits = [Edit(layer=n, site="residual", op="add", tensor="v", positions=scope) for n in (0, 1)]
    with applied(model, edits, {"v": vector()}) as state:
        ids = prompt
        for _ in range(4):
            at = torch.arange(ids.shape[1])[None]
            state.span(at >= 5, at >= 6)
            full = model(ids, use_cache=False).logits
            ids = torch.cat([ids, full[:, -1:].argmax(-1)], dim=1)
        for _ in range(2):
            with state.generating():
                out = model.generate(
                    prompt, max_new_tokens=4, do_sample=False, output_scores=True, return_dict_in_generate=True
                )
            assert torch.equal(out.sequences, ids)
            torch.testing.assert_close(out.scores[-1], full[:, -1], rtol=1e-4, atol=1e-4)
    plain = model.generate(prompt, max_new_tokens=4, do_sample=False, output_scores=True, return_dict_in_generate=True)
    assert (plain.scores[-1] - out.scores[-1]).abs().max() > 1e-3


@torch.inference_mode()
def test_the_active_stream_of_gemma3n_is_edited_and_no_other() -> None:
    model, ids = tiny("gemma3n_text"), words()
    seen: list[Tensor] = []
    handle = decoder_layers(model)[2].register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    model(ids)
    with applied(model, [Edit(layer=1, site="residual", op="add", tensor="v")], {"v": vector()}):
        model(ids)
    handle.remove()
    assert seen[0].shape == (4, 2, 9, HIDDEN) and model.config.altup_active_idx == 0
    torch.testing.assert_close(seen[1][0] - seen[0][0], torch.from_numpy(vector()).expand(2, 9, -1), rtol=0, atol=1e-5)
    assert torch.equal(seen[1][1:], seen[0][1:])


@pytest.mark.parametrize("kind", [kind for kind in CONFIGS if kind not in ARCHITECTURES])
def test_other_sites_are_refused_by_name_by_the_config_alone(kind: str) -> None:
    model = tiny(kind)
    for site in ("heads", "gate", "neurons"):
        with pytest.raises(BadData, match=f"{site} of the architecture '{kind}' cannot be edited.*known: arcee"):
            check_site(model.config, site)
        with pytest.raises(BadData, match=f"{site} of the architecture '{kind}'"):
            site_width(model, site)
    check_site(model.config, "residual")
    assert depth_of(model.config) is None


def test_layers_that_pass_on_several_streams_are_refused_by_name() -> None:
    config = AutoConfig.for_model("deepseek_v4", **{**_EXPERTS, "head_dim": 8})
    model = AutoModelForCausalLM.from_config(config)
    said = "residual of the architecture 'deepseek_v4' cannot be edited: its layers pass on 4 streams"
    with pytest.raises(BadData, match=said):
        check_site(config, "residual")
    with pytest.raises(BadData, match=said), applied(model, [Edit(layer=0, site="residual", op="zero")], {}):
        pass


def test_a_decoder_without_a_list_of_layers_is_refused_by_name() -> None:
    """XLNet's layers stand in `layer`, and their output begins with the tokens and not with the rows."""
    config = AutoConfig.for_model("xlnet", d_model=32, n_layer=3, n_head=4, vocab_size=64, d_inner=48)
    model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(BadData, match="'xlnet' cannot be edited: its decoder has no list of layers"):
        layers(model)


@torch.inference_mode()
def test_an_output_of_another_form_is_refused_when_it_is_met() -> None:
    model = copy.deepcopy(tiny("mixtral"))
    layer = decoder_layers(model)[1]
    forward = layer.forward
    layer.forward = lambda *args, **more: forward(*args, **more)[None]
    with pytest.raises(BadData, match=r"residual of layer 1 in MixtralForCausalLM is \(1, 2, 9, 32\); expected \(rows"):
        with applied(model, [Edit(layer=1, site="residual", op="add", tensor="v")], {"v": vector()}):
            model(words())


@torch.inference_mode()
def test_a_model_that_keeps_its_state_elsewhere_writes_no_replies_under_a_scope() -> None:
    config = AutoConfig.for_model(
        "rwkv", hidden_size=HIDDEN, attention_hidden_size=HIDDEN, num_hidden_layers=LAYERS, vocab_size=WORDS,
        context_length=64,
    )  # fmt: skip
    model, v = AutoModelForCausalLM.from_config(config).eval(), {"v": vector()}
    model.generation_config.pad_token_id = 0
    for scope in ("answer", "generated"):
        with applied(model, [Edit(layer=1, site="residual", op="add", tensor="v", positions=scope)], v) as state:
            with state.generating(), pytest.raises(BadData, match="RwkvModel keeps what it has read in no cache"):
                model.generate(words(1, 5), max_new_tokens=3, do_sample=False)
    with applied(model, [Edit(layer=1, site="residual", op="add", tensor="v")], v) as state, state.generating():
        model.generate(words(1, 5), max_new_tokens=3, do_sample=False)
    assert hooks(model) == 0


def test_llama4_inside_a_multimodal_model() -> None:
    from transformers import Llama4Config, Llama4ForConditionalGeneration

    vision = {
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
        "patch_size": 14, "vision_output_dim": 16, "projector_input_dim": 16, "projector_output_dim": 16,
    }  # fmt: skip
    config = Llama4Config(text_config=CONFIGS["llama4_text"], vision_config=vision, image_token_index=60)
    torch.manual_seed(0)
    model, ids = Llama4ForConditionalGeneration(config).eval(), words(2, 6)
    assert (layers(model), site_width(model, "residual")) == (LAYERS, HIDDEN)
    with torch.inference_mode():
        plain = model(ids).logits
        edit = Edit(layer=1, site="residual", op="add", tensor="v", strength=9.0, positions="answer")
        with applied(model, [edit], {"v": vector()}) as state:
            state.span(torch.tensor([[0, 0, 0, 0, 1, 1]] * 2), None)
            moved = (model(ids).logits - plain).abs().amax(-1)
    assert moved[:, :4].max() < 1e-5 < moved[:, 4].min()
