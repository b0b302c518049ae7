"""Where the parts of a decoder layer are: one table of module names, and the modules that it leads to.

The output of its layers (site `residual`) is known of any decoder, whether it stands in the table or not: the state
(rows, tokens, width) that the next layer reads. All names were checked against the source of transformers 5.19; the
tests build a small model of every row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from traitbench.errors import BadData
from traitbench.types import Site

__all__ = [
    "ARCHITECTURES",
    "SERVED",
    "Names",
    "check_site",
    "decoder",
    "decoder_layers",
    "depth_of",
    "head_shape",
    "layers",
    "part",
    "seen_at",
    "site_width",
    "state_of",
    "stream_of",
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
    "gpt2": Names(out="attn.c_proj", gate=None, down="mlp.c_proj"),
    "gpt_neox": Names(out="attention.dense", gate=None, down="mlp.dense_4h_to_h"),
    "gptj": Names(out="attn.out_proj", gate=None, down="mlp.fc_out"),
}
"""`model_type` of the text model's config -> its module names."""

SERVED: dict[str, Names] = dict.fromkeys(
    ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3"), _LLAMA
)
"""`model_type` -> module names in vLLM, where gate and up are one projection and one activation takes both."""


_LISTS = ("layers", "h", "blocks")
"""What decoders call the list of their layers; `layers` nearly all of them."""

_ACTIVE = {"gemma3n_text": "altup_active_idx"}
"""`model_type` -> the setting that names the stream which attention and MLP read, where a layer's output is a stack of
streams (streams, rows, tokens, width). AltUp (Baykal et al. 2023) computes that one and derives the others from it."""

_SEVERAL = ("hc_mult", "hc_count")
"""Settings that count the streams of hyper-connections (Zhu et al. 2024): each layer reads a mixture of all of them."""


def _kind(config: Any) -> str:
    return str(config.get_text_config(decoder=True).model_type)


def check_site(config: Any, site: Site) -> None:
    """Raise BadData where `site` is not known of models with this config, by name; their weights are not needed."""
    kind, text = _kind(config), config.get_text_config(decoder=True)
    streams = max(int(getattr(text, name, None) or 1) for name in _SEVERAL)
    if streams > 1:
        raise BadData(
            f"{site} of the architecture {kind!r} cannot be edited: its layers pass on {streams} streams, and what is "
            "read of each is for the next layer to weigh (hyper-connections), so that none of them is the state; take "
            "another model, or a method that needs no activations (e.g. prompting)"
        )
    if site != "residual" and kind not in ARCHITECTURES:
        raise BadData(
            f"{site} of the architecture {kind!r} cannot be edited: where its layers keep heads and neurons is not "
            f"known; known: {', '.join(sorted(ARCHITECTURES))}; take a model of these, a method that edits the output "
            "of layers (e.g. residual) or needs no activations (e.g. prompting), or add a row to ARCHITECTURES in "
            "traitbench/controls/architectures.py"
        )


def _names(model: Any, site: Site) -> Names:
    check_site(model.config, site)
    return ARCHITECTURES[_kind(model.config)]


def depth_of(config: Any) -> int | None:
    """Count the decoder layers by the config alone; None for an architecture that may count otherwise."""
    return int(config.get_text_config(decoder=True).num_hidden_layers) if _kind(config) in ARCHITECTURES else None


def decoder(model: Any) -> nn.Module:
    """Return the module that runs the layers: the text model, also inside a multimodal or PEFT wrapper."""
    found: nn.Module = model.get_decoder()
    # Of Llama 4 it is the language model with its head.
    while not _lists(found) and isinstance(inner := getattr(found, "model", None), nn.Module):
        found = inner
    return found


def _lists(module: nn.Module) -> list[nn.ModuleList]:
    return [found for name in _LISTS if isinstance(found := getattr(module, name, None), nn.ModuleList)]


def decoder_layers(model: Any) -> list[nn.Module]:
    """Return the decoder layers in order; BadData where the model has no list of them, or no state between them."""
    check_site(model.config, "residual")
    if not (found := _lists(decoder(model))):
        raise BadData(
            f"activations of the architecture {_kind(model.config)!r} cannot be edited: its decoder has no list of "
            f"layers ({', '.join(_LISTS)}); take a model with one, or a method that needs no activations (e.g. "
            "prompting)"
        )
    return list(found[0])


def stream_of(model: Any, site: Site) -> int | None:
    """Say which of several streams in a layer's output is its state; None where there is but one."""
    text = model.config.get_text_config(decoder=True)
    setting = _ACTIVE.get(text.model_type) if site == "residual" else None
    return None if setting is None else int(getattr(text, setting))


def state_of(output: Any, stream: int | None, told: str) -> Tensor:
    """Return the state (rows, tokens, width) in a module's input or output: of a tuple the first, of a stack one.

    BadData, by the name `told`, where it is something else.
    """
    found = output[0] if isinstance(output, tuple) else output
    found = found[stream] if stream is not None and isinstance(found, Tensor) else found
    if not isinstance(found, Tensor) or found.dim() != 3:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise BadData(f"{told} is {shape}; expected (rows, tokens, width), so that it cannot be edited or recorded")
    return found


def part(model: Any, layer: nn.Module, site: Site) -> tuple[nn.Module, bool]:
    """Return the module of `layer` at which `site` is seen, and whether it is the module's input (else its output)."""
    if site == "residual":
        return layer, False
    names = _names(model, site)
    if site == "heads":
        return layer.get_submodule(names.out), True
    if site == "gate" and names.gate is not None:
        return layer.get_submodule(names.gate), False
    return layer.get_submodule(names.down), True


def seen_at(model: Any, site: Site) -> Site:
    """Return `site`, or neurons for the gate of an MLP that has none: there they are one place."""
    return "neurons" if site == "gate" and _names(model, site).gate is None else site


def layers(model: Any) -> int:
    """Count the decoder layers."""
    return len(decoder_layers(model))


def site_width(model: Any, site: Site) -> int:
    """Count the places of a site in one layer; BadData where the layers differ or the site is not known."""
    check_site(model.config, site)
    if site == "residual":
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
    """Return the number of query heads in a layer and the width of each; BadData where the site is not known.

    The width is the output projection's input over the heads: with Qwen3 and Gemma it is not hidden/heads, and under
    grouped-query attention it is the queries' heads that arrive there.
    """
    heads = int(model.config.get_text_config(decoder=True).num_attention_heads)
    return heads, site_width(model, "heads") // heads
