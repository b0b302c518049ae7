"""The arithmetic of edits: their numbers, checked against the model, and those of one place merged into one change.

Add, clamp and zero compose: any row of them is min(keep * a + shift, ceiling), elementwise over the places of a site,
so that many edits cost at most three operations on the activations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from traitbench.controls import units_of, where
from traitbench.controls.architectures import decoder_layers, layers, seen_at, site_width
from traitbench.errors import BadData
from traitbench.types import Edit, Op, Scope, Site

__all__ = ["Change", "Changes", "Place", "Row", "check_layer", "merge", "rows"]

Place = tuple[int, Site]
"""A layer and a site of it."""


@dataclass(slots=True)
class Change:
    """a -> min(a where kept else 0, + shift, ceiling), elementwise over the places of a site; None: has no effect."""

    zeroed: Tensor | None = None
    shift: Tensor | None = None
    ceiling: Tensor | None = None

    def __call__(self, a: Tensor) -> Tensor:
        """Return the activations (..., width) changed, as a new tensor."""
        if self.zeroed is not None:
            a = a.masked_fill(self.zeroed, 0)
        if self.shift is not None:
            a = a + self.shift
        return a if self.ceiling is None else torch.minimum(a, self.ceiling)

    def fits(self, a: Tensor) -> bool:
        """Tell whether the numbers are where `a` is, and of its dtype."""
        if self.zeroed is not None and self.zeroed.device != a.device:
            return False
        return all(v is None or (v.device == a.device and v.dtype == a.dtype) for v in (self.shift, self.ceiling))

    def to(self, device: torch.device, dtype: torch.dtype) -> Change:
        """Move to where the activations are."""
        shift, ceiling = (None if v is None else v.to(device, dtype) for v in (self.shift, self.ceiling))
        return Change(None if self.zeroed is None else self.zeroed.to(device), shift, ceiling)


Changes = list[tuple[Scope, Change]]
"""What happens at one place, in order: positions and change."""


def merge(model: Any, edits: Sequence[Edit], tensors: Mapping[str, NDArray[Any]]) -> dict[Place, Changes]:
    """Check the edits and merge those of one place; neighbours of one scope become one change.

    Done in float64; the result has the model's dtype and lies where the layer does. What has no effect is left out.
    """
    count = layers(model) if edits else 0
    places: dict[Place, list[tuple[Scope, _Sum]]] = {}
    widths: dict[Site, int] = {}
    for edit in edits:
        site = seen_at(model, edit.site)
        width = widths[site] = widths.get(site) or site_width(model, site)
        check_layer(edit.layer, count, edit.site)
        units, values = _numbers(edit, tensors, width)
        merged = places.setdefault((edit.layer, site), [])
        if not merged or merged[-1][0] != edit.positions:
            merged.append((edit.positions, _Sum.identity(width)))
        merged[-1][1].then(edit.op, units, values)
    stack = decoder_layers(model) if places else []
    found: dict[Place, Changes] = {}
    for (layer, site), merged in places.items():
        at = next(stack[layer].parameters()).device
        # A layer that is not loaded yet gets its numbers with the first activations.
        device = torch.device("cpu") if at.type == "meta" else at
        where = f"the edits of {site} in layer {layer}"
        changes = [(scope, total.change(device, model.dtype, where)) for scope, total in merged if total.acts]
        if changes:
            found[layer, site] = changes
    return found


class Row(NamedTuple):
    """a -> min(keep * a + shift, ceiling), float64 (width,) each; the ceiling is infinite where there is none."""

    keep: NDArray[np.float64]
    shift: NDArray[np.float64]
    ceiling: NDArray[np.float64]


def rows(edits: Sequence[Edit], tensors: Mapping[str, NDArray[Any]], width: int) -> tuple[Row, Row, Row]:
    """Merge the edits of one place for each kind of token: before the last prompt token, at it, and after the prompt.

    BadData where a tensor does not fit `width` places.
    """
    met: list[list[Scope]] = [["all"], ["all", "answer"], ["all", "answer", "generated"]]
    found = []
    for scopes in met:
        total = _Sum.identity(width)
        for edit in edits:
            units, values = _numbers(edit, tensors, width)
            if edit.positions in scopes:
                total.then(edit.op, units, values)
        found.append(Row(np.where(total.zeroed, 0.0, 1.0), total.shift, total.ceiling))
    return found[0], found[1], found[2]


@dataclass(slots=True)
class _Sum:
    """A change that is being put together, float64 (width,)."""

    zeroed: NDArray[np.bool_]
    shift: NDArray[np.float64]
    ceiling: NDArray[np.float64]

    @classmethod
    def identity(cls, width: int) -> _Sum:
        return cls(np.zeros(width, dtype=np.bool_), np.zeros(width), np.full(width, np.inf))

    def then(self, op: Op, units: Any, values: NDArray[np.float64]) -> None:
        """Let an edit follow; `units` index the places."""
        if op == "add":
            self.shift[units] += values
            self.ceiling[units] += values
        elif op == "clamp":
            self.ceiling[units] = np.minimum(self.ceiling[units], values)
        else:
            self.zeroed[units], self.shift[units], self.ceiling[units] = True, 0.0, np.inf

    @property
    def acts(self) -> bool:
        return bool(self.zeroed.any() or self.shift.any() or np.isfinite(self.ceiling).any())

    def change(self, device: torch.device, dtype: torch.dtype, where: str) -> Change:
        bounded = np.isfinite(self.ceiling)
        largest = max(np.abs(self.shift).max(), np.abs(self.ceiling[bounded]).max(initial=0.0))
        if largest > torch.finfo(dtype).max:
            raise BadData(f"{where}: {largest:g} is beyond {dtype}; expected a smaller strength, or a wider dtype")
        return Change(
            torch.from_numpy(self.zeroed).to(device) if self.zeroed.any() else None,
            torch.from_numpy(self.shift).to(device, dtype) if self.shift.any() else None,
            torch.from_numpy(self.ceiling).to(device, dtype) if bounded.any() else None,
        )


def check_layer(layer: int, count: int, site: Site) -> None:
    """Raise BadData where a model of `count` layers has no layer `layer`."""
    if not 0 <= layer < count:
        raise BadData(
            f"{site} of layer {layer}: this model's layers are 0 to {count - 1}; expected one of these, or the model "
            "that the control was made for"
        )


def _numbers(edit: Edit, tensors: Mapping[str, NDArray[Any]], width: int) -> tuple[Any, NDArray[np.float64]]:
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
    values = np.asarray(tensors[edit.tensor])
    if values.shape != (size,):
        what = f"{size} units" if edit.units is not None else f"{width} places of this model"
        raise BadData(
            f"{name}: {edit.tensor!r} has the shape {values.shape}, expected ({size},), one value for each of the "
            f"{what}; was the control made for another model?"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        values = values.astype(np.float64) * (edit.strength if edit.op == "add" else 1.0)
    if not np.isfinite(values).all():
        at = int((~np.isfinite(values)).argmax())
        raise BadData(
            f"{name}: {edit.tensor!r} times its strength is {values[at]} at place {at}; expected finite numbers"
        )
    return units, values
