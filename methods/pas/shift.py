"""The control that PAS makes of its heads: what is added to the input of the attention's output projection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from traitbench import controls
from traitbench.methods.pas.heads import Heads
from traitbench.types import Control, Edit, Fit, Message

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["shifting"]


def shifting(
    folder: Path, said: Sequence[Message], heads: Heads | None, alpha: float, bench: Bench, fit: Fit | None = None
) -> Control:
    """Write the control, an edit a layer; its edits stay at alpha 0 too, so that another strength can be asked for."""
    from traitbench.controls.interventions import head_shape

    edits, tensors = [], {}
    if heads is not None:
        count, width = head_shape(bench.backend.model)
        for layer in sorted({int(head) // count for head in heads.chosen}):
            mine = sorted(np.flatnonzero(heads.chosen // count == layer), key=lambda n: int(heads.chosen[n]))
            first = heads.chosen[mine] % count * width
            shift, places = f"shift.{layer}", f"places.{layer}"
            tensors[shift] = heads.shifts[mine].ravel().astype(np.float32)
            tensors[places] = (first[:, None] + np.arange(width)).ravel().astype(np.int64)
            edits.append(Edit(layer=layer, site="heads", op="add", tensor=shift, units=places, strength=alpha))
    return controls.store(folder, messages=said, edits=edits, tensors=tensors, fit=fit)
