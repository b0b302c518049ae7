"""A control as a plain checkpoint: what it adds at every position is the bias of the projection that feeds the place.

Behind a layer, the bias of the MLP's output projection; at a projection's input, the projection of what is added there
(W(x + s) = Wx + Ws). Where an architecture has no such bias its config may have one (`mlp_bias`, `attention_bias`);
those of Mistral and Qwen2 have none, and without a window they are Llamas whose config has. The checkpoint is loaded
again before it is handed over, and its logits are held against the control's: an architecture that scales or normalises
behind the projection fails there.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig

from traitbench.backends.loading import load
from traitbench.controls import arrays
from traitbench.controls.architectures import decoder_layers, part
from traitbench.controls.interventions import applied
from traitbench.errors import UnsupportedControl
from traitbench.export.portable import Leaving, Model, Shifts, model_of, refuse_edits, refuse_parts, shifts

__all__ = ["bias"]

_FLAGS = ("mlp_bias", "attention_bias", "attention_out_bias", "use_bias")
"""Settings of configs that give projections a bias."""
_LLAMAS = ("mistral", "qwen2")
"""Model types that are a Llama under another name, where no window cuts their attention."""
_FREE = frozenset({"model_type", "architectures", "transformers_version", "attention_bias", "mlp_bias"})
_EXACT, _ROUNDING = 1e-5, 8
"""By how much logits may differ from the control's: this, and so many times the rounding of the largest of them."""
_NARROW = 0.25
"""In a type narrower than float32, whose sums round: share of the control's effect on logits."""
_INSTEAD = "take --format transformers"


def bias(held: Leaving, to: Path, model: str | None = None) -> list[Path]:
    """Write the folder bias: the model that the control is for, with the control in its biases, and its tokenizer.

    UnsupportedControl for what is no constant at every position, and for an architecture without a place for it.
    """
    refuse_parts(held, "bias", ("edits",))
    refuse_edits(held, "bias")
    base = model_of(held, model)
    added = shifts(held, base, "bias", ("residual", "heads", "neurons"), _INSTEAD)
    config = _config(held, base, added)
    place = to / "bias"
    shutil.rmtree(place, ignore_errors=True)
    tokenizer, whole = load(base.spec, base.weights, "cpu", "auto", trust=False)
    wanted, effect = _logits(held, whole)
    _write(place, whole, config, _biases(whole, added))
    tokenizer.save_pretrained(place)
    _generation(base).save_pretrained(place)
    dtype = whole.dtype
    del whole
    found = AutoModelForCausalLM.from_pretrained(place, dtype=dtype, use_safetensors=True, local_files_only=True)
    apart = float((_run(found.eval()) - wanted).abs().max())
    eps = torch.finfo(dtype).eps
    rounded = _EXACT + _ROUNDING * eps * float(wanted.abs().max())
    if not apart <= (rounded if eps <= torch.finfo(torch.float32).eps else _NARROW * effect):
        shutil.rmtree(place)
        raise UnsupportedControl(
            f"{held.said('bias')}: with biases the logits of {config.model_type} differ by {apart:.2g}, where the "
            f"control moves them by {effect:.2g}: it does more behind a projection than add; {_INSTEAD}"
        )
    return [place]


def _feeds(model: Any, layer: int, site: Any) -> nn.Module:
    """The projection whose bias holds what is added at a place: it ends there, or begins there."""
    return part(model, decoder_layers(model)[layer], "neurons" if site == "residual" else site)[0]


def _config(held: Leaving, base: Model, added: Shifts) -> Any:
    """The config of a model of the same weights that has a bias wherever one is needed."""
    plain = base.skeleton.config
    configs = [plain, *_with_flags(plain)]
    if plain.model_type in _LLAMAS and not _windowed(plain):
        configs.append(_as_llama(plain))
    for config in configs:
        with torch.device("meta"):
            bones = AutoModelForCausalLM.from_config(config)
        if all(getattr(_feeds(bones, layer, site), "bias", None) is not None for layer, site in added):
            return config
    raise UnsupportedControl(
        f"{held.said('bias')}: the architecture {plain.model_type!r} has no biases at "
        f"{' and '.join(sorted({site for _, site in added}))}, and its config can ask for none; {_INSTEAD}"
    )


def _with_flags(plain: Any) -> list[Any]:
    """The config with each flag that it has and that is off, then with all of them."""
    off = [flag for flag in _FLAGS if getattr(plain, flag, None) is False]
    found = []
    for flags in (*([flag] for flag in off), off):
        config = copy.deepcopy(plain)
        for flag in flags:
            setattr(config, flag, True)
        found.append(config)
    return found


def _windowed(config: Any) -> bool:
    """Tell whether some layers see a window alone."""
    kinds = getattr(config, "layer_types", None)
    return "sliding_attention" in kinds if kinds else getattr(config, "sliding_window", None) is not None


def _as_llama(plain: Any) -> Any:
    told = plain.to_dict()
    fields = {name: told[name] for name in LlamaConfig().to_dict() if name in told and name not in _FREE}
    return LlamaConfig(**fields, attention_bias=True, mlp_bias=True, architectures=["LlamaForCausalLM"])


def _biases(model: Any, added: Shifts) -> dict[str, Tensor]:
    """Name of a bias -> what is added to it, in the model's precision from float64."""
    names = {id(module): name for name, module in model.named_modules()}
    found: dict[str, Tensor] = {}
    for (layer, site), total in added.items():
        module, shift = _feeds(model, layer, site), torch.from_numpy(total)
        weight = module.get_parameter("weight").detach().double()
        if site != "residual":
            # Linear keeps (outputs, inputs), GPT-2's Conv1D the other way round.
            shift = weight @ shift if isinstance(module, nn.Linear) else shift @ weight
        name = f"{names[id(module)]}.bias"
        found[name] = found.get(name, torch.zeros(())) + shift
    return found


def _write(place: Path, model: Any, config: Any, biases: Mapping[str, Tensor]) -> None:
    """Write config and weights: those of `model`, the biases that `config` adds (0), and what is added to them."""
    from huggingface_hub import save_torch_state_dict

    state = dict(model.state_dict())
    with torch.device("meta"):
        bones = AutoModelForCausalLM.from_config(config)
    for name, empty in bones.state_dict().items():
        if name not in state:
            state[name] = torch.zeros(empty.shape, dtype=model.dtype)
    for name, shift in biases.items():
        state[name] = (state[name].double() + shift).to(model.dtype)
    inputs = model.get_input_embeddings().weight
    tied = [name for name, value in state.items() if value.data_ptr() == inputs.data_ptr()]
    for name in tied[1:]:
        # Written once; whoever loads it ties them again, as the config says.
        del state[name]
    place.mkdir(parents=True)
    save_torch_state_dict({name: value.contiguous() for name, value in state.items()}, place, metadata={"format": "pt"})
    config.architectures = [type(bones).__name__]
    config.dtype = model.dtype
    config.save_pretrained(place)


def _generation(base: Model) -> GenerationConfig:
    """The sampling settings of the checkpoint, which go with it."""
    try:
        return GenerationConfig.from_pretrained(base.weights.path, revision=base.weights.revision or "main")
    except OSError:
        return GenerationConfig.from_model_config(base.skeleton.config)


@torch.inference_mode()
def _run(model: Any) -> Tensor:
    """Logits on a few tokens, spread over the vocabulary: (tokens, vocabulary), float32."""
    size = model.config.get_text_config(decoder=True).vocab_size
    ids = torch.arange(12)[None] * (size // 13) + 1
    logits: Tensor = model(input_ids=ids, use_cache=False).logits[0].float()
    return logits


def _logits(held: Leaving, model: Any) -> tuple[Tensor, float]:
    """Logits under the control, and the largest change that it makes."""
    plain = _run(model)
    with applied(model, held.control.edits, arrays(held.control)):
        under = _run(model)
    return under, float((under - plain).abs().max())
