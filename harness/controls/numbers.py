"""The numbers of an edit, checked against the places of a model, or against its config before there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitbench.controls import DIRECTED, units_of, where
from traitbench.controls.architectures import check_site, depth_of
from traitbench.errors import BadData
from traitbench.types import Edit, Site

__all__ = ["check_config", "check_layer", "condition", "numbers"]


def check_layer(layer: int, count: int, site: Site) -> None:
    """Raise BadData where a model of `count` layers has no layer `layer`."""
    if not 0 <= layer < count:
        raise BadData(
            f"{site} of layer {layer}: this model's layers are 0 to {count - 1}; expected one of these, or the model "
            "that the control was made for"
        )


def check_config(config: Any, edits: Sequence[Edit], tensors: Mapping[str, NDArray[Any]]) -> None:
    """Refuse edits for another model than one with this config, as far as that can be told without its weights.

    BadData for a site that is not known of the architecture, a layer that it lacks, or a tensor of another width.
    """
    depth, width = depth_of(config), int(config.get_text_config(decoder=True).hidden_size)
    for edit in edits:
        check_site(config, edit.site)
        if depth is not None:
            check_layer(edit.layer, depth, edit.site)
        if edit.site == "residual":
            numbers(edit, tensors, width)
            condition(edit, tensors, width)


def numbers(edit: Edit, tensors: Mapping[str, NDArray[Any]], width: int) -> tuple[Any, NDArray[np.float64]]:
    """Return the places an edit touches (an index) and its value at each, strength included; BadData if it has none."""
    name, named = where(edit), units_of(edit, tensors)
    units: Any = slice(None)
    size = width
    if named is not None:
        units = named
        if len(units) and not 0 <= units.min() <= units.max() < width:
            wrong = units[(units < 0) | (units >= width)][0]
            raise BadData(
                f"{name}: unit {wrong} of {edit.units!r} is out of range: this model has {width} places there (0 to "
                f"{width - 1}); was the control made for another model?"
            )
        size = len(units)
    if edit.tensor is None:
        return units, np.zeros(size)
    if edit.op in DIRECTED and not np.isfinite(edit.strength):
        raise BadData(f"{name}: {edit.op} at the strength {edit.strength}; expected a finite number")
    what = f"{size} units" if edit.units is not None else f"{width} places of this model"
    values = _values(edit, edit.tensor, tensors, size, what, edit.strength if edit.op in ("add", "rescale") else 1.0)
    return units, _unit(values, edit, edit.tensor) if edit.op in DIRECTED else values


def condition(edit: Edit, tensors: Mapping[str, NDArray[Any]], width: int) -> NDArray[np.float64] | None:
    """Return the direction that a condition reads, (width,) of length 1; None where an edit has none."""
    if edit.when is None:
        return None
    name = edit.when.tensor
    return _unit(_values(edit, name, tensors, width, f"{width} places of this model"), edit, name)


def _values(
    edit: Edit, name: str, tensors: Mapping[str, NDArray[Any]], size: int, what: str, factor: float = 1.0
) -> NDArray[np.float64]:
    """Return a tensor times `factor`, (size,); `what` names its places. BadData for another shape or no number."""
    values = np.asarray(tensors[name])
    if values.shape != (size,):
        raise BadData(
            f"{where(edit)}: {name!r} has the shape {values.shape}, expected ({size},), one value for each of the "
            f"{what}; was the control made for another model?"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        values = values.astype(np.float64) * factor
    if not np.isfinite(values).all():
        at = int((~np.isfinite(values)).argmax())
        raise BadData(
            f"{where(edit)}: {name!r} times its strength is {values[at]} at place {at}; expected finite numbers"
        )
    return values


def _unit(values: NDArray[np.float64], edit: Edit, name: str) -> NDArray[np.float64]:
    """Bring a direction to length 1, whatever its size; BadData where it has none."""
    if not values.any():
        raise BadData(f"{where(edit)}: {name!r} is 0 everywhere, which is no direction; expected a value that is not")
    values = values / np.abs(values).max()
    unit: NDArray[np.float64] = values / np.linalg.norm(values)
    return unit
