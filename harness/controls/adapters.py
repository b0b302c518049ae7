"""Adapters on disk: PEFT folders, checked before anything is loaded."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, Field, FiniteFloat, ValidationError
from safetensors import SafetensorError, safe_open

from traitbench.errors import BadData
from traitbench.store import read_json, replacing, write_json

__all__ = [
    "CONFIG", "WEIGHTS", "Base", "adapter_digest", "base_of", "beyond_lora", "check_tensors", "copy_adapter",
    "parameters", "rank_of", "read_config", "shapes", "touched",
]  # fmt: skip

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

# Where an adapter was made and by which release decides no number.
_ASIDE = ("base_model_name_or_path", "revision", "inference_mode", "peft_version", "auto_mapping")

_BESIDE = (None, True, False, "gaussian", "eva", "orthogonal", "mica")
"""Values of init_lora_weights that leave the base model alone; others (pissa, olora, corda, loftq) take a part of it
away at every load, and lora_ga only where it is trained."""

_OTHERWISE = {
    "layer_replication": "repeats layers of the base model",
    "kasa_config": "cuts the base model's weights down",
    "alora_invocation_tokens": "is off until its invocation tokens are met",
}
"""Settings that make of a LoRA something else than a sum with the base model's weights."""

_BEYOND = (
    "use_dora", "modules_to_save", "lora_bias", "trainable_token_indices", "target_parameters", "rank_pattern",
    "alpha_pattern", "use_qalora", "use_bdlora", "monteclora_config", "velora_config", "arrow_config",
)  # fmt: skip
"""Settings that PEFT takes and a program that knows two matrices, one rank and one scale a module does not."""

_FACTOR = re.compile(r"^(?:base_model\.model\.)?(.*?)\.lora_(A|B|embedding_A|embedding_B)(?:\.weight)?$")
"""Name of one of the two matrices of a module; an A has the rank as its rows, a B as its columns."""


class _Settings(BaseModel, strict=True):
    """Of what kind the settings are that PEFT computes with and does not check itself; ranks are checked elsewhere."""

    lora_alpha: FiniteFloat = 8
    alpha_pattern: dict[str, FiniteFloat] | None = None
    lora_dropout: float = Field(default=0, ge=0, le=1)
    target_modules: str | list[str] | None = None
    exclude_modules: str | list[str] | None = None
    layers_to_transform: int | list[int] | None = None
    use_rslora: bool | None = None
    use_dora: bool | None = None
    fan_in_fan_out: bool | None = None


class Base(NamedTuple):
    """A base model as `from_pretrained` takes it, so that whoever reads an adapter's config can load both."""

    path: str
    """Hub id with its organisation, or absolute folder."""
    revision: str | None
    """Commit on the hub."""


def read_config(folder: Path) -> dict[str, Any]:
    """Read adapter_config.json; BadData where `folder` is no PEFT folder with a LoRA in safetensors."""
    wanted = f"expected a PEFT folder: {CONFIG} and {WEIGHTS}, as save_pretrained writes them"
    if not (folder / CONFIG).is_file():
        raise BadData(f"{folder} holds no {CONFIG}; {wanted}")
    if not (folder / WEIGHTS).is_file():
        pickled = " adapter_model.bin is a pickle and is not read." if (folder / "adapter_model.bin").is_file() else ""
        raise BadData(f"{folder} holds no {WEIGHTS}.{pickled} {wanted[0].upper()}{wanted[1:]}")
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise BadData(f"{folder / CONFIG} holds {type(config).__name__}; {wanted}")
    if config.get("peft_type") != "LORA":
        raise BadData(f"{folder} holds an adapter of the type {config.get('peft_type')!r}; expected LORA")
    if not isinstance(init := config.get("init_lora_weights"), str | bool | None) or init not in _BESIDE:
        raise BadData(
            f"the adapter {folder} was begun with init_lora_weights={init!r}, which changes the base model's own "
            "weights; expected a plain LoRA; write it as one with PEFT's "
            "save_pretrained(path_initial_model_for_weight_conversion=...)"
        )
    try:
        _Settings.model_validate(config)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadData(
            f"{folder / CONFIG} says {first['loc'][0]}={config[str(first['loc'][0])]!r}: {first['msg']}; expected a "
            "LoRA's settings as PEFT writes them; put it right, or save the adapter again"
        ) from None
    for key, what in _OTHERWISE.items():
        if config.get(key) not in (None, [], False):
            raise BadData(f"the adapter {folder} {what} ({key}); expected a plain LoRA; train one without {key}")
    return config


def base_of(folder: Path) -> Base | None:
    """The base model that an adapter's config names; None where it names none."""
    config = read_config(folder)
    named, revision = config.get("base_model_name_or_path"), config.get("revision")
    return Base(str(named), str(revision) if revision else None) if named else None


def rank_of(folder: Path) -> int:
    """The largest rank that the adapter's config names."""
    return max(_ranks(folder, read_config(folder)).values())


def _ranks(folder: Path, config: Mapping[str, Any]) -> dict[str, int]:
    """The ranks that a config names: pattern of modules' names -> rank, "" for all others."""
    try:
        ranks = {"": config.get("r", 8), **(config.get("rank_pattern") or {})}
    except TypeError:
        ranks = {"": 0}
    if not all(type(rank) is int and rank > 0 for rank in ranks.values()):
        raise BadData(f"{folder / CONFIG} names no rank (r, rank_pattern); expected whole numbers from 1")
    return ranks


def adapter_digest(folder: Path) -> str:
    """Name an adapter by what it does: sixteen hexadecimal digits over its settings and its weights' bytes."""
    config = {key: value for key, value in read_config(folder).items() if key not in _ASIDE}
    total = hashlib.sha256(json.dumps(_sorted(config), sort_keys=True).encode())
    with (folder / WEIGHTS).open("rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()[:16]


def copy_adapter(source: Path, place: Path, base: Base | None = None) -> None:
    """Copy the two files of an adapter; lists of its config are sorted, since PEFT writes sets in any order.

    `base` is written as its base model; None leaves what stands there.
    """
    config = _sorted(read_config(source))
    if base is not None:
        config |= {"base_model_name_or_path": base.path, "revision": base.revision}
    place.mkdir(parents=True, exist_ok=True)
    write_json(place / CONFIG, config)
    if source != place:
        with replacing(place / WEIGHTS) as temporary:
            shutil.copyfile(source / WEIGHTS, temporary)


def parameters(folder: Path) -> int:
    """Count the numbers that an adapter stores, without the base model's that PEFT keeps beside an embedding's."""
    return sum(prod(shape) for name, shape in shapes(folder).items() if not name.endswith(".base_layer.weight"))


def touched(folder: Path) -> set[str]:
    """The last names of the modules that an adapter changes, such as q_proj."""
    return {name.partition(".lora_")[0].rpartition(".")[2] for name in shapes(folder) if ".lora_" in name}


def beyond_lora(folder: Path) -> list[str]:
    """The settings, as key=value, that make an adapter more than two matrices a module, all of one rank and scale."""
    config = read_config(folder)
    found = [f"{key}={config[key]!r}" for key in _BEYOND if config.get(key)]
    return found + [f"bias={bias!r}" for bias in [config.get("bias")] if bias not in (None, "none")]


def check_tensors(folder: Path) -> None:
    """Check the tensors of an adapter by themselves; which ones there must be, the model says that it is put on.

    BadData where there are none, for a number that is not finite, a matrix without the other one of its module, and a
    rank other than that of the config.
    """
    import torch

    config, held, place = read_config(folder), shapes(folder), folder / WEIGHTS
    again = "expected an adapter as it was saved; copy it, or train it, again"
    if not held:
        raise BadData(f"{place} holds no tensors; {again}")
    with safe_open(str(place), "pt") as file:
        for name in held:
            tensor = file.get_tensor(name).float()
            if not torch.isfinite(tensor).all():
                value = float(tensor[~torch.isfinite(tensor)][0])
                raise BadData(f"{place}: {name} holds {value}; expected finite numbers; {again}")
    factors = {match.groups(): held[name] for name in held if (match := _FACTOR.match(name))}
    ranks = _ranks(folder, config)
    for (module, kind), shape in factors.items():
        other = kind[:-1] + ("B" if kind.endswith("A") else "A")
        if (module, other) not in factors:
            raise BadData(f"{place} holds lora_{kind} of {module} and no lora_{other}; {again}")
        key = next((key for key in ranks if key and re.match(rf"(.*\.)?({key})$", module)), "")
        rank = shape[0] if kind.endswith("A") else shape[-1]
        if rank != ranks[key] and not any(config.get(way) for way in ("target_parameters", "use_bdlora")):
            raise BadData(
                f"{folder / CONFIG} says rank {ranks[key]} (r), and lora_{kind} of {module} has {rank}; {again}"
            )


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of an adapter's tensors by name; BadData where the file cannot be read."""
    try:
        with safe_open(str(folder / WEIGHTS), "numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise BadData(f"cannot read {folder / WEIGHTS}: {error}; fit the control again") from None


def _sorted(config: dict[str, Any]) -> dict[str, Any]:
    return {
        key: sorted(value) if isinstance(value, list) and all(isinstance(v, str) for v in value) else value
        for key, value in config.items()
    }
