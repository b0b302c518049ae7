"""What two runs are compared by: the shifts of their items, context by context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from traitbench.samples import Sample
from traitbench.tasks.block import Facts
from traitbench.tasks.differences import design_of
from traitbench.tasks.robustness.summary import found_aims
from traitbench.tasks.scoring import modes
from traitbench.tasks.shifts import Shifts, item_part

if TYPE_CHECKING:
    from traitbench.inventories import Inventory

__all__ = ["shifts"]


def shifts(facts: Facts, samples: Sequence[Sample], inventory: Inventory) -> list[Shifts]:
    """A part a target and context."""
    out = []
    for mode in modes(samples):
        rows = [row for row in samples if row.scoring == mode]
        found, _, _ = found_aims(facts, rows, inventory, mode)
        people = ", ".join(sorted({str(row.respondent) for row in rows}))
        for aim in found:
            for context, moved in aim.moved.items():
                cells = {
                    item.id: [float(v) if np.isfinite(v) else None for v in row]
                    for item, row in zip(aim.items, moved, strict=True)
                }
                keys = {item.id: item.keyed for item in aim.items}
                out.append(Shifts(
                    filter=mode,
                    design=design_of(aim.high, aim.low, facts.conditions[0].name),
                    part=item_part(f"{aim.target}, {context}", cells, (1, moved.shape[1]), keys, {}, mode),
                    unit="nats a token" if mode == "statement" else "POMP",
                    asked={"respondents": people},
                ))  # fmt: skip
    return out
