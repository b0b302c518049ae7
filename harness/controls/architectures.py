"""Where the parts of a decoder layer are: one table of module names, and the modules that it leads to.

All names were checked against the source of transformers 5.19; the tests build a small model of every row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from traitbench.errors import BadData
from traitbench.types import Site

__all__ = [
    "ARCHITECTURES",
    "SERVED",
    "Names",
    "decoder",
    "decoder_layers",
    "head_shape",
    "layers",
    "part",
    "seen_at",
    "site_width",
]


@dataclass(frozen=True, slots=True)
class Names:
    """Dotted names of modules, those of a layer seen from the layer."""

    out: str = "self_attn.o_proj"
    """The attention's output projection, whose input is all heads side by side."""
    gate: str | None = "mlp.act_fn"
    """The activation of a gated MLP; None where the MLP has no gate: its activations are then the neurons."""
    down: str = "mlp.down_proj"
    """The MLP's output projection, whose input is its neurons."""
    layers: str = "layers"
    """The list of layers, seen from the decoder."""


_LLAMA = Names()
_FUSED = Names(gate="mlp.activation_fn")

ARCHITECTURES: dict[str, Names] = {
    **dict.fromkeys(("llama", "mistral", "ministral", "qwen2", "qwen3"), _LLAMA),
    **dict.fromkeys(("gemma", "gemma2", "gemma3_text"), _LLAMA),
    **dict.fromkeys(("smollm3", "olmo", "olmo2", "olmo3", "granite", "stablelm", "helium", "exaone4"), _LLAMA),
    **dict.fromkeys(("cohere", "cohere2", "seed_oss", "ernie4_5"), _LLAMA),
    **dict.fromkeys(("phi3", "glm", "glm4"), _FUSED),
    "arcee": Names(gate=None),
    "phi": Names(out="self_attn.dense", gate=None, down="mlp.fc2"),
    "starcoder2": Names(gate=None, down="mlp.c_proj"),
    "gpt2": Names(out="attn.c_proj", gate=None, down="mlp.c_proj", layers="h"),
    "gpt_neox": Names(out="attention.dense", gate=None, down="mlp.dense_4h_to_h"),
    "gptj": Names(out="attn.out_proj", gate=None, down="mlp.fc_out", layers="h"),
}
"""`model_type` of the text model's config -> its module names."""

SERVED: dict[str, Names] = dict.fromkeys(
    ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3"), _LLAMA
)
"""`model_type` -> module names in vLLM, where gate and up are one projection and one activation takes both."""


def _names(model: Any) -> Names:
    kind = model.config.get_text_config(decoder=True).model_type
    if kind in ARCHITECTURES:
        return ARCHITECTURES[kind]
    raise BadData(
        f"activations of the architecture {kind!r} cannot be edited: where its layers keep heads and neurons is not "
        f"known; known: {', '.join(sorted(ARCHITECTURES))}; take a model of these, a method that needs no activations "
        "(e.g. prompting), or add a row to ARCHITECTURES in traitbench/architectures.py"
    )


def decoder(model: Any) -> nn.Module:
    """Return the module that runs the layers: the text model, also inside a multimodal or PEFT wrapper."""
    found: nn.Module = model.get_decoder()
    return found


def decoder_layers(model: Any) -> list[nn.Module]:
    """Return the decoder layers in order; BadData for an unknown architecture."""
    found = decoder(model).get_submodule(_names(model).layers)
    assert isinstance(found, nn.ModuleList)
    return list(found)


def part(model: Any, layer: nn.Module, site: Site) -> tuple[nn.Module, bool]:
    """Return the module of `layer` at which `site` is seen, and whether it is the module's input (else its output)."""
    names = _names(model)
    if site == "residual":
        return layer, False
    if site == "heads":
        return layer.get_submodule(names.out), True
    if site == "gate" and names.gate is not None:
        return layer.get_submodule(names.gate), False
    return layer.get_submodule(names.down), True


def seen_at(model: Any, site: Site) -> Site:
    """Return `site`, or neurons for the gate of an MLP that has none: there they are one place."""
    return "neurons" if site == "gate" and _names(model).gate is None else site


def layers(model: Any) -> int:
    """Count the decoder layers."""
    return len(decoder_layers(model))


def site_width(model: Any, site: Site) -> int:
    """Count the places of a site in one layer; BadData where the layers differ or the architecture is unknown."""
    if site == "residual":
        _names(model)
        return int(model.config.get_text_config(decoder=True).hidden_size)
    # An activation has no width of its own; gate and neurons meet in one product.
    widths = {_inputs(part(model, x, "neurons" if site == "gate" else site)[0]) for x in decoder_layers(model)}
    if len(widths) > 1:
        raise BadData(
            f"the layers of this model differ in the width of {site} ({', '.join(map(str, sorted(widths)))}); "
            "expected one width, as the published models of this architecture have"
        )
    return widths.pop()


def _inputs(projection: nn.Module) -> int:
    """Return what a projection takes: Linear names it; the weight of GPT-2's Conv1D is (inputs, outputs)."""
    named = getattr(projection, "in_features", None)
    if isinstance(named, int):
        return named
    weight = projection.get_parameter("weight")
    return int(weight.shape[0])


def head_shape(model: Any) -> tuple[int, int]:
    """Return the number of query heads in a layer and the width of each.

    The width is the output projection's input over the heads: with Qwen3 and Gemma it is not hidden/heads, and under
    grouped-query attention it is the queries' heads that arrive there.
    """
    heads = int(model.config.get_text_config(decoder=True).num_attention_heads)
    return heads, site_width(model, "heads") // heads
