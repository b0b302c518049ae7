"""Adapters in a model: put on as plain PEFT puts them on, held against the model, and taken off without a trace."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitbench.controls.adapters import CONFIG, WEIGHTS, check_tensors, shapes
from traitbench.errors import BadData, MissingExtra

if TYPE_CHECKING:
    from traitbench.types import Control

__all__ = ["check_adapter", "restored", "worn"]

_NAME = "default"
"""What PEFT calls an adapter that got no name."""
_ROW = 8192
"""Bytes of a tensor that are added up together."""


@contextmanager
def worn(model: Any, control: Control) -> Iterator[None]:
    """Put the control's adapter on `model` for the block; the model is bit for bit what it was afterwards.

    BadData where the adapter is not one for this model: it lacks a tensor that its config calls for, or holds one too
    many, or one of another shape. MissingExtra without PEFT.
    """
    with restored(model), _on(model, control):
        yield


def check_adapter(model: Any, control: Control) -> None:
    """Put the control's adapter on `model`, which may be without its weights, and take it off again: as `worn`."""
    with worn(model, control):
        pass


@contextmanager
def _on(model: Any, control: Control) -> Iterator[None]:
    """Have PEFT load the adapter; what the file holds of the base model itself is put back after the block."""
    try:
        import peft
    except ImportError as error:
        raise MissingExtra("adapters need PEFT: pip install 'traitbench[train]'") from error
    folder = control.adapter
    assert folder is not None
    check_tensors(folder)
    held, empty = shapes(folder), model.device.type == "meta"
    before: list[tuple[Any, Any]] = []
    try:
        with _told(model, control, held):
            config = peft.PeftConfig.from_pretrained(str(folder))
            config.inference_mode = True
            made = peft.PeftModel(model, config, low_cpu_mem_usage=empty)
            wanted = peft.get_peft_model_state_dict(made, save_embedding_layers=False)
            # Modules that were trained whole have no prefix that PEFT would miss them by.
            missing = [name for name in wanted if ".lora_" not in name and name not in held]
            if not missing:
                own = made.state_dict()
                before = [(own[name], own[name].clone()) for name in held if name in own]
                renamed = getattr(model, "_checkpoint_conversion_mapping", {})
                found = made.load_adapter(str(folder), _NAME, low_cpu_mem_usage=empty, key_mapping=renamed)
                missing = [name.replace(f".{_NAME}", "") for name in found.missing_keys]
                _refuse_others(found.unexpected_keys, folder)
            if missing:
                raise BadData(
                    f"{folder / WEIGHTS} lacks {len(missing)} tensors that {CONFIG} calls for in this model (first "
                    f"{missing[0]}); expected an adapter as it was saved; copy it, or train it, again"
                )
        yield
    finally:
        for tensor, value in before:
            tensor.copy_(value)


def _refuse_others(names: list[str], folder: Path) -> None:
    if names:
        raise BadData(
            f"{folder / WEIGHTS} holds {len(names)} tensors that {CONFIG} does not call for in this model (first "
            f"{names[0].replace(f'.{_NAME}', '')}); expected an adapter as it was saved; copy it, or train it, again"
        )


@contextmanager
def _told(model: Any, control: Control, held: Mapping[str, tuple[int, ...]]) -> Iterator[None]:
    """Say in one line why an adapter does not go on."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        # What a folder that lies about itself makes PEFT raise is anything.
        _check_places(model, control, held)
        if isinstance(error, BadData):
            raise
        told = " ".join(str(error).split())[:300]
        raise BadData(
            f"PEFT does not put the adapter {control.adapter} on this model: {type(error).__name__}: {told}; fit it on "
            "this model, or run the model it was made for"
        ) from error


def _check_places(model: Any, control: Control, held: Mapping[str, tuple[int, ...]]) -> None:
    """Hold the shapes of an adapter's tensors against the modules they belong to: BadData where it is for another."""
    folder, made_for = control.adapter, control.fit.model.get("model") if control.fit else None
    told = f" (it was made for {made_for})" if made_for else ""
    for name, shape in held.items():
        where, lora, rest = name.removeprefix("base_model.model.").partition(".lora_")
        if not lora:
            continue
        try:
            module = model.get_submodule(where)
        except AttributeError:
            raise BadData(
                f"the adapter {folder} is for another model{told}: it changes {where}, which this one has not; "
                "fit it on this model, or run the model it was made for"
            ) from None
        weight = getattr(getattr(module, "base_layer", module), "weight", None)
        # An A is (rank, inputs) and a B (outputs, rank); Linear stores (outputs, inputs), Conv1D the other way.
        width = shape[1] if rest.startswith(("A", "embedding_A")) else shape[0]
        if weight is not None and width not in tuple(weight.shape) and not hasattr(weight, "quant_state"):
            raise BadData(
                f"the adapter {folder} is for another model{told}: at {where} it is {width} wide, this model's weight "
                f"is {' x '.join(map(str, weight.shape))}; fit it on this model, or run the model it was made for"
            )


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


def _checksum(tensor: Any) -> tuple[int, ...]:
    """Add up the bits of a tensor, eight bytes at a time, by rows and by columns, each weighed by its place.

    A number that only moved counts, too. It takes two passes over memory, where a cryptographic hash takes ten or more.
    """
    import torch

    if tensor.device.type == "meta":
        return ()
    flat = tensor.detach().flatten()
    # Eight bytes at a time need a start at one of eight.
    data = (flat if flat.storage_offset() * flat.element_size() % 8 == 0 else flat.clone()).view(torch.uint8)
    whole = len(data) // _ROW * _ROW
    rows = data[:whole].view(torch.int64).view(-1, _ROW // 8)
    tail = data[whole:].long()
    sums = (rows.sum(1), rows.sum(0), tail)
    return tuple(int((each * (2 * torch.arange(len(each), device=each.device) + 1)).sum()) for each in sums)
