"""Adapters on disk and in a model: PEFT folders, checked before they are loaded, put on and taken off again."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from safetensors import SafetensorError, safe_open

from traitbench.errors import BadData, MissingExtra
from traitbench.store import read_json, replacing, write_json

if TYPE_CHECKING:
    from traitbench.types import Control

__all__ = [
    "CONFIG", "WEIGHTS", "Base", "adapter_digest", "base_of", "check_adapter", "copy_adapter", "parameters", "rank_of",
    "read_config", "restored", "touched", "worn",
]  # fmt: skip

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

# Where an adapter was made and by which release decides no number.
_ASIDE = ("base_model_name_or_path", "revision", "inference_mode", "peft_version", "auto_mapping")

_BESIDE = (None, True, False, "gaussian", "eva", "orthogonal", "mica")
"""Values of init_lora_weights that leave the base model alone; others (pissa, olora, corda, loftq) take a part of it
away at every load, and lora_ga only where it is trained."""


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


_FORM: dict[str, Callable[[dict[str, Any]], bool]] = {
    "r": lambda config: _whole(config.get("r", 0)) or config.get("peft_type") != "LORA",
    "rank_pattern": lambda config: (
        isinstance(pattern := config.get("rank_pattern") or {}, dict) and all(map(_whole, pattern.values()))
    ),
}
"""What of a config is read here -> whether it has the form that it must have."""

_OTHERWISE = {
    "layer_replication": "repeats layers of the base model",
    "kasa_config": "cuts the base model's weights down",
    "alora_invocation_tokens": "is off until its invocation tokens are met",
}
"""Settings that make of a LoRA something else than a sum with the base model's weights."""


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
    config: dict[str, Any] = read_json(folder / CONFIG)
    if wrong := next((name for name, fits in _FORM.items() if not (isinstance(config, dict) and fits(config))), None):
        raise BadData(f"{folder / CONFIG} has no {wrong}, or one of another kind; {wanted}")
    if config.get("peft_type") != "LORA":
        raise BadData(f"{folder} holds an adapter of the type {config.get('peft_type')!r}; expected LORA")
    if not isinstance(init := config.get("init_lora_weights"), str | bool | None) or init not in _BESIDE:
        raise BadData(
            f"the adapter {folder} was begun with init_lora_weights={init!r}, which changes the base model's own "
            "weights; expected a plain LoRA; write it as one with PEFT's "
            "save_pretrained(path_initial_model_for_weight_conversion=...)"
        )
    for key, what in _OTHERWISE.items():
        if config.get(key):
            raise BadData(f"the adapter {folder} {what} ({key}); expected a plain LoRA; train one without {key}")
    return config


def base_of(folder: Path) -> Base | None:
    """The base model that an adapter's config names; None where it names none."""
    config = read_config(folder)
    named, revision = config.get("base_model_name_or_path"), config.get("revision")
    return Base(str(named), str(revision) if revision else None) if named else None


def rank_of(folder: Path) -> int:
    """The largest rank that the adapter's config names."""
    config = read_config(folder)
    return max([int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values())])


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
    """Count the numbers that an adapter stores."""
    return sum(rows * columns for rows, columns in _shapes(folder).values())


def touched(folder: Path) -> set[str]:
    """The last names of the modules that an adapter changes, such as q_proj."""
    return {name.partition(".lora_")[0].rpartition(".")[2] for name in _shapes(folder)}


@contextmanager
def worn(model: Any, control: Control) -> Iterator[None]:
    """Put the control's adapter on `model` for the block; the modules are the same objects again afterwards.

    BadData where the adapter is not one for this model, MissingExtra without PEFT.
    """
    assert control.adapter is not None
    try:
        from peft import PeftModel
    except ImportError as error:
        raise MissingExtra("adapters need PEFT: pip install 'traitbench[train]'") from error
    check_adapter(model, control)
    with restored(model):
        PeftModel.from_pretrained(model, control.adapter, is_trainable=False).eval()
        yield


@contextmanager
def restored(model: Any) -> Iterator[None]:
    """Give the model back after the block as it was, whatever PEFT and TRL did to it, also where they failed half-way.

    Its modules, parameters, hooks, attributes and settings are the same again, and no gradient is left; its own weights
    are put back where they were replaced. BadData where they were overwritten.
    """
    # TRL gives the model a forward of its own and never takes it back.
    attributes, config = dict(vars(model)), dict(vars(model.config))
    generation = copy.deepcopy(model.generation_config)
    parts = [(m, dict(m._modules), dict(m._parameters), set(m._forward_hooks)) for m in model.modules()]
    weights = [(name, p, p.data, p.requires_grad, _checksum(p.data)) for name, p in model.named_parameters()]
    checkpointing = model.is_gradient_checkpointing
    try:
        yield
    finally:
        for module, children, own, hooks in parts:
            module._modules.clear()
            module._modules.update(children)
            module._parameters.clear()
            module._parameters.update(own)
            # Each time that checkpointing is turned on the embeddings get a hook; only the last has a name to go by.
            for number in module._forward_hooks.keys() - hooks:
                del module._forward_hooks[number]
        vars(model).clear()
        vars(model).update(attributes)
        if model.is_gradient_checkpointing and not checkpointing:
            model.gradient_checkpointing_disable()
        vars(model.config).clear()
        vars(model.config).update(config)
        model.generation_config = generation
        model.train(model.training)
        for _, parameter, data, trained, _ in weights:
            parameter.data, parameter.grad = data, None
            parameter.requires_grad_(trained)
        if changed := [name for name, _, data, _, before in weights if _checksum(data) != before]:
            raise BadData(
                f"{len(changed)} of the model's own weights were overwritten while an adapter was on (first "
                f"{changed[0]}), so it is another model now; expected the adapter alone to change; run again without it"
            )


def _checksum(tensor: Any) -> int:
    """Add up the bits of a tensor, eight bytes at a time: a pass over memory, where a cryptographic hash takes ten."""
    import torch

    if tensor.device.type == "meta":
        return 0
    flat = tensor.detach().flatten()
    # Eight bytes at a time need a start at one of eight.
    data = (flat if flat.storage_offset() * flat.element_size() % 8 == 0 else flat.clone()).view(torch.uint8)
    whole = len(data) // 8 * 8
    return int(data[:whole].view(torch.int64).sum()) + int(data[whole:].sum())


def check_adapter(model: Any, control: Control) -> None:
    """Hold the shapes of the control's adapter against the modules they belong to, without loading its weights.

    BadData where it is for another model.
    """
    folder = control.adapter
    assert folder is not None
    made_for = control.fit.model.get("model") if control.fit else None
    read_config(folder)
    told = f" (it was made for {made_for})" if made_for else ""
    for name, shape in _shapes(folder).items():
        where, _, rest = name.removeprefix("base_model.model.").partition(".lora_")
        try:
            module = model.get_submodule(where)
        except AttributeError:
            raise BadData(
                f"the adapter {folder} is for another model{told}: it changes {where}, which this one has not; "
                "fit it on this model, or run the model it was made for"
            ) from None
        weight = getattr(module, "base_layer", module).weight
        # An A is (rank, inputs) and a B (outputs, rank); Linear stores (outputs, inputs), Conv1D the other way.
        width = shape[1] if rest.startswith("A") else shape[0]
        if width not in tuple(weight.shape) and not hasattr(weight, "quant_state"):
            raise BadData(
                f"the adapter {folder} is for another model{told}: at {where} it is {width} wide, this model's weight "
                f"is {' x '.join(map(str, weight.shape))}; fit it on this model, or run the model it was made for"
            )


def _shapes(folder: Path) -> dict[str, tuple[int, int]]:
    """Shapes of the LoRA matrices by name."""
    try:
        with safe_open(str(folder / WEIGHTS), "numpy") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise BadData(f"cannot read {folder / WEIGHTS}: {error}; fit the control again") from None
    # PEFT turns the factors of an embedding round, and keeps the embedding itself beside them unless it is told not to.
    if embedded := [name for name in found if ".lora_embedding_" in name]:
        raise BadData(
            f"{folder / WEIGHTS} holds {embedded[0]!r}; an adapter of embeddings is not taken; leave them "
            "out of the target_modules (embed_tokens) and train it again"
        )
    if strange := [name for name, shape in found.items() if ".lora_" not in name or len(shape) != 2]:
        raise BadData(f"{folder / WEIGHTS} holds {strange[0]!r}; expected LoRA matrices alone")
    return {name: (shape[0], shape[1]) for name, shape in found.items()}


def _sorted(config: dict[str, Any]) -> dict[str, Any]:
    return {
        key: sorted(value) if isinstance(value, list) and all(isinstance(v, str) for v in value) else value
        for key, value in config.items()
    }
