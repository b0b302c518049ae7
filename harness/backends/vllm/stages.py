"""An edit point for edits that look at a whole state: several steps by formula, one row of each a kind of token.

A step is what `traitbench.controls.edits.Row` says. All rows of all steps are buffers of fixed shape, those that change
nothing among them, so that compiled code and captured graphs hold for any control. Sums over the places are taken in
float32; a site of which each GPU has but a share therefore has no such point (see needs).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from traitbench.controls.edits import Row
from traitbench.errors import BadData

__all__ = ["KINDS", "Stages"]

KINDS = 3
"""Of tokens: before the last prompt token, at it, after the prompt."""

_EMPTY: Mapping[str, float] = {
    "keep": 1.0, "shift": 0.0, "ceiling": np.inf, "kept": 0.0, "unit": 0.0, "reads": 0.0, "share": 0.0, "low": -np.inf,
    "high": np.inf, "above": -np.inf, "below": np.inf,
}  # fmt: skip
"""What of a row -> the value of one that changes nothing."""
_SCALARS = ("share", "low", "high", "above", "below")


class Stages(nn.Module):
    """One site of one layer, with room for `slots` controls of up to `steps` steps each."""

    def __init__(self, index: Tensor, slots: int, width: int, steps: int, like: Tensor) -> None:
        """`index`: row of each token of a batch; the buffers lie where `like` does, in float32."""
        super().__init__()
        self.index, self.width, self.steps, self.added = index, width, steps, False
        for name, empty in _EMPTY.items():
            shape = (steps, 1 + KINDS * slots, 1 if name in _SCALARS else width)
            held = torch.full(shape, empty, dtype=torch.float32, device=like.device)
            self.register_buffer(name, held, persistent=False)

    def forward(self, a: Tensor) -> Tensor:
        """Change activations (tokens, width)."""
        row = self.index[: a.shape[0]]
        x = a.float()
        for step in range(self.steps):
            x = self._step(x, {name: getattr(self, name)[step].index_select(0, row) for name in _EMPTY})
        return x.to(a.dtype)

    def _step(self, x: Tensor, at: Mapping[str, Tensor]) -> Tensor:
        made = torch.minimum(x * at["keep"] + at["shift"], at["ceiling"])
        before, after = ((each * at["kept"]).square().sum(-1, keepdim=True).sqrt() for each in (x, made))
        made = torch.where(at["kept"] > 0, made * (before / torch.where(after > 0, after, 1.0)), made)
        held = (made * at["unit"]).sum(-1, keepdim=True)
        new = torch.minimum(torch.maximum(held * (1 - at["share"]), at["low"]), at["high"])
        made = made + (new - held) * at["unit"]
        read = (x * at["reads"]).sum(-1, keepdim=True)
        return torch.where((read > at["above"]) & (read < at["below"]), made, x)

    def write(self, slot: int, found: Sequence[Sequence[Row]] | None) -> None:
        """Put the steps of a control into a slot, a list a kind of token; None empties it.

        BadData for a number that is beyond the buffers.
        """
        for kind in range(KINDS):
            row = 1 + KINDS * slot + kind
            for step in range(self.steps):
                mine = found[kind][step] if found is not None and step < len(found[kind]) else None
                for name, empty in _EMPTY.items():
                    given: Any = None if mine is None else getattr(mine, name)
                    self._set(name, step, row, empty if given is None else given)

    def _set(self, name: str, step: int, row: int, values: Any) -> None:
        given = torch.as_tensor(values, dtype=torch.float64)
        largest = float(given[given.isfinite()].abs().max()) if given.isfinite().any() else 0.0
        if largest > torch.finfo(torch.float32).max:
            raise BadData(f"an edit of {largest:g} is beyond torch.float32; expected a smaller strength")
        buffer: Tensor = getattr(self, name)
        buffer[step, row] = given.to(buffer.device, buffer.dtype)
