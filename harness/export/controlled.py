"""A model and a control as another tool's command line names them."""

from __future__ import annotations

from pathlib import Path

from traitbench import controls
from traitbench.backends.models import ModelSpec, resolve
from traitbench.errors import UnsupportedControl
from traitbench.files import user_path
from traitbench.types import Control

__all__ = ["control_of", "model_of"]


def model_of(name: str) -> ModelSpec:
    """Find the weights of `name`, which `traitbench run --model` takes too; UnsupportedControl where it has none."""
    spec = resolve(name)
    if spec.backend != "hf":
        raise UnsupportedControl(f"{name} is no language model; expected one of transformers")
    return spec


def control_of(folder: str | Path | None) -> Control | None:
    """Read the control in a folder; None, without one, leaves the model as it is. BadData where it cannot be read."""
    return None if folder is None else controls.read(user_path(folder))
