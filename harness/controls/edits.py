"""The arithmetic of edits: their numbers, checked against the model, and those of one place merged into one change.

Add, clamp and zero compose: any row of them is min(keep * a + shift, ceiling), elementwise over the places of a site,
so that many edits cost at most three operations on the activations. What looks at a whole state (see directions) is a
step of its own, made when its turn comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from traitbench.controls import where
from traitbench.controls.architectures import decoder_layers, layers, seen_at, site_width
from traitbench.controls.directions import Conditional, Projected, Rescaled, Step
from traitbench.controls.numbers import check_layer, condition, numbers
from traitbench.errors import BadData
from traitbench.types import Edit, Op, Scope, Site

__all__ = ["ELEMENTWISE", "Change", "Changes", "Place", "Row", "is_plain", "merge", "rows", "staged"]

ELEMENTWISE: frozenset[Op] = frozenset({"add", "clamp", "zero"})
"""Operations on one place at a time, which compose to one."""

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


Changes = list[tuple[Scope, Step]]
"""What happens at one place, in order: positions and change."""


def merge(model: Any, edits: Sequence[Edit], tensors: Mapping[str, NDArray[Any]]) -> dict[Place, Changes]:
    """Check the edits and merge those of one place; neighbours of one scope become one change where they can.

    Done in float64; the result has the model's dtype and lies where the layer does. What has no effect is left out:
    strength 0 switches an edit off, whatever its operation.
    """
    count = layers(model) if edits else 0
    places: dict[Place, list[tuple[Scope, _Sum | _One]]] = {}
    widths: dict[Site, int] = {}
    for edit in edits:
        site = seen_at(model, edit.site)
        width = widths[site] = widths.get(site) or site_width(model, site)
        check_layer(edit.layer, count, edit.site)
        units, values = numbers(edit, tensors, width)
        one = _One(edit, units, values, condition(edit, tensors, width))
        if edit.strength != 0:
            _follow(places.setdefault((edit.layer, site), []), one, width)
    stack = decoder_layers(model) if places else []
    found: dict[Place, Changes] = {}
    for (layer, site), merged in places.items():
        at = next(stack[layer].parameters()).device
        # A layer that is not loaded yet gets its numbers with the first activations.
        device = torch.device("cpu") if at.type == "meta" else at
        told = f"the edits of {site} in layer {layer}"
        changes: Changes = []
        for scope, part in merged:
            step = part.change(model.dtype, told) if isinstance(part, _Sum) else part.step(widths[site], model.dtype)
            if step is not None:
                changes.append((scope, step.to(device, model.dtype)))
        if changes:
            found[layer, site] = changes
    return found


def _follow(merged: list[tuple[Scope, _Sum | _One]], one: _One, width: int) -> None:
    """Let an edit follow what there is of its place: in the same sum where it can."""
    scope = one.edit.positions
    if one.unit is not None or one.edit.op not in ELEMENTWISE:
        merged.append((scope, one))
        return
    if not merged or merged[-1][0] != scope or not isinstance(merged[-1][1], _Sum):
        merged.append((scope, _Sum.identity(width)))
    last = merged[-1][1]
    assert isinstance(last, _Sum)
    last.then(one.edit.op, one.units, one.values)


class Row(NamedTuple):
    """One step on one kind of token: a -> b, where above < a . reads < below; else a stays.

    b is min(keep * a + shift, ceiling), elementwise; over the places `kept` then brought to the length that a had
    there; and then its projection p on `unit` is brought to (1 - share) p, and between low and high. Float64 (width,).
    """

    keep: NDArray[np.float64]
    shift: NDArray[np.float64]
    ceiling: NDArray[np.float64]
    """Infinite where there is none."""
    kept: NDArray[np.bool_] | None = None
    unit: NDArray[np.float64] | None = None
    share: float = 0.0
    low: float = -np.inf
    high: float = np.inf
    reads: NDArray[np.float64] | None = None
    above: float = -np.inf
    below: float = np.inf


_MET: tuple[frozenset[Scope], ...] = (
    frozenset({"all"}), frozenset({"all", "answer"}), frozenset({"all", "answer", "generated"}),
)  # fmt: skip
"""The scopes that hold for each kind of token: before the last prompt token, at it, and after the prompt."""


def rows(edits: Sequence[Edit], tensors: Mapping[str, NDArray[Any]], width: int) -> tuple[Row, Row, Row]:
    """Merge the edits of one place to one row for each kind of token, the prompt's, its last one's and the reply's.

    BadData where a tensor does not fit `width` places; ValueError for edits that take more than one step.
    """
    before, at, after = staged(edits, tensors, width)
    if any(len(each) > 1 or not is_plain(each[0]) for each in (before, at, after)):
        raise ValueError(f"{where(edits[0])}: these edits take several steps, or one that is not elementwise")
    return before[0], at[0], after[0]


def staged(edits: Sequence[Edit], tensors: Mapping[str, NDArray[Any]], width: int) -> tuple[list[Row], ...]:
    """Write the steps of one place's edits for each of the three kinds of token; one at least, which may do nothing."""
    found = []
    for scopes in _MET:
        merged: list[tuple[Scope, _Sum | _One]] = []
        for edit in edits:
            units, values = numbers(edit, tensors, width)
            unit = condition(edit, tensors, width)
            if edit.positions in scopes and edit.strength != 0:
                _follow(merged, _One(edit.model_copy(update={"positions": "all"}), units, values, unit), width)
        found.append([part.row(width) for _, part in merged] or [_Sum.identity(width).row(width)])
    return tuple(found)


def is_plain(row: Row) -> bool:
    """Whether a step is elementwise and unconditional."""
    return row.kept is None and row.unit is None and row.reads is None


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

    def row(self, width: int) -> Row:
        """The step that it is."""
        return Row(np.where(self.zeroed, 0.0, 1.0), self.shift, self.ceiling)

    def change(self, dtype: torch.dtype, told: str) -> Change | None:
        """The change for activations of a dtype; None where it has no effect. BadData for what `dtype` cannot hold."""
        bounded = np.isfinite(self.ceiling)
        if not (self.zeroed.any() or self.shift.any() or bounded.any()):
            return None
        _check_size(max(np.abs(self.shift).max(), np.abs(self.ceiling[bounded]).max(initial=0.0)), dtype, told)
        return Change(
            torch.from_numpy(self.zeroed) if self.zeroed.any() else None,
            torch.from_numpy(self.shift) if self.shift.any() else None,
            torch.from_numpy(self.ceiling) if bounded.any() else None,
        )


class _One(NamedTuple):
    """An edit that is a step of its own."""

    edit: Edit
    units: Any
    """An index of the places that it touches."""
    values: NDArray[np.float64]
    """Its value at each, strength included."""
    unit: NDArray[np.float64] | None
    """Of a conditional edit, the direction (width,) that its condition reads, of length 1."""

    def step(self, width: int, dtype: torch.dtype) -> Step | None:
        """The step for activations of a dtype; None where it has no effect. BadData for what `dtype` cannot hold."""
        step, when = self._made(width, dtype), self.edit.when
        if step is None or when is None or self.unit is None:
            return step
        return Conditional(step, torch.from_numpy(self.unit), when.above, when.below)

    def row(self, width: int) -> Row:
        """The step that it is, for whoever makes it by formula (see Row)."""
        edit, total = self.edit, _Sum.identity(width)
        when = edit.when
        bounds = {} if when is None else {"above": when.above, "below": when.below}
        more: dict[str, Any] = {"reads": self.unit}
        if edit.op in ELEMENTWISE or edit.op == "rescale":
            total.then("add" if edit.op == "rescale" else edit.op, self.units, self.values)
        if edit.op == "rescale":
            more["kept"] = self._spread(width, np.ones(len(self.values))) != 0
        elif edit.op not in ELEMENTWISE:
            more["unit"] = self._spread(width, self.values)
            more["share"] = edit.strength if edit.op == "project_out" else 0.0
            bounds |= {"low": edit.low, "high": edit.high}
        more |= {name: bound for name, bound in bounds.items() if bound is not None}
        return total.row(width)._replace(**more)

    def _spread(self, width: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        spread = np.zeros(width)
        spread[self.units] = values
        return spread

    def _made(self, width: int, dtype: torch.dtype) -> Step | None:
        edit, told = self.edit, where(self.edit)
        if edit.op in ELEMENTWISE:
            total = _Sum.identity(width)
            total.then(edit.op, self.units, self.values)
            return total.change(dtype, told)
        spread = self._spread(width, self.values)
        if edit.op == "rescale":
            _check_size(np.abs(spread).max(), dtype, told)
            mask = self._spread(width, np.ones(len(self.values))) != 0
            places = None if edit.units is None else torch.from_numpy(mask)
            return Rescaled(torch.from_numpy(spread), places) if spread.any() else None
        unit = torch.from_numpy(spread)
        return Projected(unit, edit.strength) if edit.op == "project_out" else Projected(unit, 0.0, edit.low, edit.high)


def _check_size(largest: float, dtype: torch.dtype, told: str) -> None:
    if largest > torch.finfo(dtype).max:
        raise BadData(f"{told}: {largest:g} is beyond {dtype}; expected a smaller strength, or a wider dtype")
