"""A control for plain PEFT, or for plain transformers: a folder with what it holds and a script that loads it."""

from __future__ import annotations

import pprint
import re
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from traitbench import controls
from traitbench.controls.adapters import Base, copy_adapter
from traitbench.controls.architectures import decoder_layers, part
from traitbench.export.portable import Leaving, Model, model_of, refuse_edits, refuse_parts
from traitbench.store import write_text

__all__ = ["peft", "transformers"]

_COLUMNS = 100


def peft(held: Leaving, to: Path, model: str | None = None) -> list[Path]:
    """Write the folder peft, which `AutoPeftModelForCausalLM.from_pretrained` loads with the base model that it names.

    UnsupportedControl for a control that is more or less than an adapter.
    """
    refuse_parts(held, "peft", ("adapter",))
    assert held.control.adapter is not None
    copy_adapter(held.control.adapter, to / "peft", _base(model_of(held, model)))
    return [to / "peft"]


def transformers(held: Leaving, to: Path, model: str | None = None) -> list[Path]:
    """Write the folder transformers: load.py, and what it reads: control.safetensors or adapter/.

    The script holds the messages too, and acts at the same positions. UnsupportedControl for operations that it does
    not know.
    """
    refuse_parts(held, "transformers", ("messages", "adapter", "edits"))
    refuse_edits(held, "transformers", ("add", "clamp", "zero"), ("all", "answer", "generated"))
    base, place = model_of(held, model), to / "transformers"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    if held.control.adapter is not None:
        copy_adapter(held.control.adapter, place / "adapter", _base(base))
    edits, tensors = _edits(held, base.skeleton)
    if tensors:
        save_file(dict(tensors), place / "control.safetensors")
    script = files("traitbench.export").joinpath("loader.txt").read_text(encoding="utf-8").format(
        title=re.sub(r'["\\]', "'", f"{held.fit.method}, {held.fit.target or 'no target'}, on {base.spec.label}"),
        version=version("traitbench"), peft=", peft" if held.control.adapter else "",
        base=repr(tuple(_base(base))).strip("()"),
        messages=_written([message.model_dump() for message in held.control.messages]), edits=_written(edits),
    )  # fmt: skip
    write_text(place / "load.py", script)
    return [place]


def _written(value: Any) -> str:
    return pprint.pformat(value, width=_COLUMNS, sort_dicts=False)


def _base(model: Model) -> Base:
    return Base(model.weights.path, model.weights.revision)


def _edits(held: Leaving, model: Any) -> tuple[list[tuple[Any, ...]], Mapping[str, NDArray[Any]]]:
    """Each edit as load.py reads it, and the tensors that they name, the strength in them."""
    names = {id(module): name for name, module in model.named_modules()}
    stack = decoder_layers(model) if held.control.edits else []
    edits, tensors = [], dict[str, NDArray[Any]]()
    for number, edit in enumerate(held.control.edits):
        module, before = part(model, stack[edit.layer], edit.site)
        values = places = None
        if edit.tensor is not None:
            values = f"values.{number}"
            scale = edit.strength if edit.op == "add" else 1.0
            tensors[values] = (np.asarray(held.tensors[edit.tensor], np.float64) * scale).astype(np.float32)
        if (units := controls.units_of(edit, held.tensors)) is not None:
            places = f"places.{number}"
            tensors[places] = np.asarray(units, np.int64)
        side = "input" if before else "output"
        edits.append((names[id(module)], side, edit.positions, edit.op, values, places))
    return edits, tensors
