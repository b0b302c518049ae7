"""A model and its tokenizer, loaded by transformers from safetensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from traitbench.backends.models import ModelSpec
from traitbench.backends.weights import Weights
from traitbench.errors import BadData, first_line

__all__ = ["configuration", "ends", "load", "precision", "settings", "skeleton"]


def ends(settings: GenerationConfig | None, tokenizer: Any) -> list[int]:
    """Return the tokens that end a reply, of the generation settings and of the tokenizer."""
    given = getattr(settings, "eos_token_id", None)
    found = [given] if isinstance(given, int) else list(given or ())
    return list(dict.fromkeys([*found, *([tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else [])]))


def _checked(name: str | None) -> str | None:
    """Return the name of a precision; BadData for one that no backend knows."""
    if name not in (None, "auto", "float32", "float16", "bfloat16"):
        raise BadData(f"dtype {name!r} is not known; expected float32, bfloat16, float16 or auto")
    return name


def precision(name: str | None, config: Any, cpu: bool) -> str:
    """Return the precision to run in by its own name: what was asked for, float32 on a CPU, else the checkpoint's."""
    if _checked(name) not in (None, "auto"):
        return str(name)
    held = str(getattr(config, "dtype", None) or "float32").removeprefix("torch.")
    return "float32" if cpu and name is None else held


def load(spec: ModelSpec, weights: Weights, device: str, dtype: str | None, trust: bool) -> tuple[Any, Any]:
    """Load tokenizer and model; safetensors only, since other weight files are pickles and can run code."""
    source = _source(weights, trust)
    wanted = _checked(dtype) or ("float32" if device == "cpu" else "auto")
    placed = {"device_map": "auto"} if device == "auto" else {}
    with _told(spec, weights):
        tokenizer = AutoTokenizer.from_pretrained(**source)
        model = AutoModelForCausalLM.from_pretrained(**source, dtype=wanted, use_safetensors=True, **placed)
    # Sampling defaults of a checkpoint (temperature, top_p, repetition penalty) would change replies unseen.
    model.generation_config = GenerationConfig(eos_token_id=ends(model.generation_config, tokenizer) or None)
    return tokenizer, (model if placed else model.to(device)).eval()


def settings(spec: ModelSpec, weights: Weights, trust: bool) -> tuple[Any, Any, list[int]]:
    """Load what there is besides the weights: tokenizer, text config, and the tokens that end a reply."""
    source = _source(weights, trust)
    located = {key: source[key] for key in ("revision", "local_files_only")}
    config = configuration(spec, weights, trust)
    with _told(spec, weights):
        tokenizer = AutoTokenizer.from_pretrained(**source)
        try:
            generation = GenerationConfig.from_pretrained(weights.path, **located)
        except OSError:
            generation = GenerationConfig.from_model_config(config)
    return tokenizer, config, ends(generation, tokenizer)


def configuration(spec: ModelSpec, weights: Weights, trust: bool) -> Any:
    """Load the text model's config alone: its sizes, before any weights."""
    with _told(spec, weights):
        return AutoConfig.from_pretrained(**_source(weights, trust)).get_text_config(decoder=True)


def skeleton(spec: ModelSpec, weights: Weights) -> Any:
    """The model without its weights, to hold a control against its modules and their shapes."""
    with _told(spec, weights), torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(**_source(weights, trust=False))).eval()


def _source(weights: Weights, trust: bool) -> dict[str, Any]:
    return {
        "pretrained_model_name_or_path": weights.path,
        "revision": weights.revision or "main",
        "trust_remote_code": trust,
        "local_files_only": weights.offline or weights.revision is None,
    }


@contextmanager
def _told(spec: ModelSpec, weights: Weights) -> Iterator[None]:
    """Say which model cannot be loaded, and what was expected."""
    try:
        yield
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise BadData(
            f"cannot load {spec.name} from {weights.path}: {first_line(error)}; expected a causal language model "
            "as transformers saves it (config.json, *.safetensors, tokenizer files)"
        ) from error
