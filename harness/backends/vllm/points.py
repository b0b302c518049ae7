"""Edit points in a vLLM model: modules that change activations by rows of fixed buffers, one row a kind of token.

An edit point computes min(keep * a + shift, ceiling), elementwise, with the row that the index names for each token;
one for edits that look at a whole state (see stages) takes several steps with a row each. Row 0 changes nothing; a
control in slot s owns the rows 1 + 3 s to 3 + 3 s: before the last prompt token, at it, after the prompt. The buffers
keep their addresses, so that compiled code and captured graphs read what was written last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from traitbench.backends.vllm.stages import KINDS, Stages
from traitbench.controls import where
from traitbench.controls.architectures import SERVED, Names
from traitbench.controls.edits import Row, rows, staged
from traitbench.errors import BadData
from traitbench.types import Edit, Site

__all__ = ["KINDS", "Points"]


class Point(nn.Module):
    """One site of one layer, with room for `slots` controls."""

    keep: Tensor
    shift: Tensor
    ceiling: Tensor

    def __init__(self, index: Tensor, slots: int, width: int, added: bool, like: Tensor) -> None:
        """`index`: row of each token of a batch; `added`: its edits only add, which takes one operation."""
        super().__init__()
        self.index, self.added, self.width = index, added, width
        shape = (1 + KINDS * slots, width)
        self.register_buffer("shift", like.new_zeros(shape), persistent=False)
        if not added:
            self.register_buffer("keep", like.new_ones(shape), persistent=False)
            self.register_buffer("ceiling", like.new_full(shape, torch.inf), persistent=False)

    def forward(self, a: Tensor) -> Tensor:
        """Change activations (tokens, width)."""
        row = self.index[: a.shape[0]]
        if self.added:
            return a + self.shift.index_select(0, row)
        a = a * self.keep.index_select(0, row) + self.shift.index_select(0, row)
        return torch.minimum(a, self.ceiling.index_select(0, row))

    def write(self, slot: int, found: Sequence[Row] | None) -> None:
        """Put the rows of a control into a slot; None empties it."""
        start = 1 + KINDS * slot
        for kind in range(KINDS):
            row = found[kind] if found is not None else None
            self._set("shift", start + kind, row.shift if row else 0.0)
            if not self.added:
                self._set("keep", start + kind, row.keep if row else 1.0)
                self._set("ceiling", start + kind, row.ceiling if row else np.inf)

    def _set(self, name: str, row: int, values: Any) -> None:
        buffer: Tensor = getattr(self, name)
        given = torch.as_tensor(values, dtype=torch.float64)
        largest = float(given[given.isfinite()].abs().max()) if given.isfinite().any() else 0.0
        if largest > torch.finfo(buffer.dtype).max:
            raise BadData(
                f"an edit of {largest:g} is beyond {buffer.dtype}; expected a smaller strength or a wider dtype"
            )
        buffer[row] = given.to(buffer.device, buffer.dtype)


class Gate(nn.Module):
    """act(gate), the edit, times up: in place of vLLM's one operation for all of it."""

    def __init__(self, inner: nn.Module, point: Point | Stages) -> None:
        """`inner` is SiluAndMul or GeluAndMul; BadData for another activation."""
        super().__init__()
        kind = type(inner).__name__
        if kind not in ("SiluAndMul", "GeluAndMul"):
            raise BadData(f"the gate's activation {kind} cannot be edited under vllm; use --backend hf")
        self.point, self.silu = point, kind == "SiluAndMul"
        self.approximate = str(getattr(inner, "approximate", "none"))

    def forward(self, x: Tensor) -> Tensor:
        """`x` (tokens, 2 * width) holds gate and up side by side; returns (tokens, width)."""
        half = x.shape[-1] // 2
        gate = x[..., :half]
        gate = F.silu(gate) if self.silu else F.gelu(gate, approximate=self.approximate)
        edited: Tensor = self.point(gate)
        return edited * x[..., half:]


class Points:
    """All edit points of a model: made once after loading, before anything is compiled or captured."""

    def __init__(
        self, model: Any, config: Any, places: Mapping[Site, Mapping[str, Any]], slots: int, tokens: int,
        rank: int, ranks: int,
    ) -> None:  # fmt: skip
        """Install `places` (see Needs) into `model`.

        `config` is the text model's; `tokens` is the most that a batch has; `rank` of `ranks` holds a slice of heads
        and neurons. BadData for an architecture whose modules are not known.
        """
        names = SERVED.get(config.model_type)
        if names is None:
            raise BadData(
                f"activations of the architecture {config.model_type!r} cannot be edited under vllm; known there: "
                f"{', '.join(sorted(SERVED))}; use --backend hf"
            )
        like = next(model.parameters())
        dtype = torch.get_default_dtype() if not like.is_floating_point() else like.dtype
        like = torch.empty(0, dtype=dtype, device=like.device)
        self.index = torch.zeros(tokens, dtype=torch.int64, device=like.device)
        self.slots, self.rank, self.ranks = slots, rank, ranks
        self._points: dict[tuple[int, Site], Point | Stages] = {}
        stack = _decoder(model).get_submodule("layers")
        for site, given in places.items():
            for number in given["layers"]:
                layer = stack[number]
                width = _width(layer, names, site, config)
                steps = given.get("steps", {}).get(str(number), 0)
                point: Point | Stages = (
                    Stages(self.index, slots, width, steps, like)
                    if steps
                    else Point(self.index, slots, width, bool(given["added"]), like)
                )
                layer.add_module(f"traitbench_{site}", point)
                _attach(layer, names, site, point)
                self._points[number, site] = point

    @property
    def places(self) -> list[tuple[int, Site]]:
        """Layers and sites that can be edited."""
        return list(self._points)

    def write(self, slot: int, edits: Sequence[Edit], tensors: Mapping[str, Any]) -> None:
        """Put a control's edits into a slot; no edits empty it. BadData where a place is not installed."""
        if not 0 <= slot < self.slots:
            raise ValueError(f"slot {slot} of {self.slots}")
        mine: dict[tuple[int, Site], list[Edit]] = {}
        for edit in edits:
            mine.setdefault((edit.layer, edit.site), []).append(edit)
        if missing := [edits[0] for place, edits in mine.items() if place not in self._points]:
            raise BadData(f"{where(missing[0])} was not made ready in the engine; its places are {self.places}")
        for place, point in self._points.items():
            if isinstance(point, Stages):
                point.write(slot, staged(mine[place], tensors, point.width) if place in mine else None)
                continue
            found = None
            if place in mine:
                whole = point.width if place[1] == "residual" else point.width * self.ranks
                found = [self._slice(row, point.width, whole) for row in rows(mine[place], tensors, whole)]
            point.write(slot, found)

    def _slice(self, row: Row, width: int, whole: int) -> Row:
        """What of a row belongs to this rank of a tensor-parallel group."""
        if width == whole:
            return row
        mine = slice(self.rank * width, (self.rank + 1) * width)
        return Row(row.keep[mine], row.shift[mine], row.ceiling[mine])


def _decoder(model: Any) -> Any:
    """The module that holds the layers: of a language model, also inside one that sees."""
    inner = model.get_language_model() if hasattr(model, "get_language_model") else model
    return getattr(inner, "model", inner)


def _width(layer: Any, names: Names, site: Site, config: Any) -> int:
    if site == "residual":
        return int(config.hidden_size)
    projection = layer.get_submodule(names.out if site == "heads" else names.down)
    # With adapters on, the projection is a wrapper.
    return int(getattr(projection, "base_layer", projection).input_size_per_partition)


def _attach(layer: Any, names: Names, site: Site, point: Point | Stages) -> None:
    if site == "residual":
        # A layer returns what it adds and what it adds it to; the next one takes their sum.
        def changed(module: Any, arguments: Any, out: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            added, before = out
            if point.added:
                return point(added), before
            return point(added + before), torch.zeros_like(before)

        layer.register_forward_hook(changed)
    elif site == "gate":
        assert names.gate is not None
        parent, _, child = names.gate.rpartition(".")
        owner = layer.get_submodule(parent)
        setattr(owner, child, Gate(getattr(owner, child), point))
    else:
        projection = layer.get_submodule(names.out if site == "heads" else names.down)
        projection.register_forward_pre_hook(lambda module, given: (point(given[0]), *given[1:]))
