"""What two runs of a questionnaire are compared by: the keyed shift of each item of the trait aimed at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from traitbench.samples import Sample
from traitbench.tasks.block import Facts, by_condition
from traitbench.tasks.questionnaire.scorecard import PROFILES, differences
from traitbench.tasks.scoring import item_values, modes
from traitbench.tasks.shifts import Design, Shifts
from traitbench.types import Mode

if TYPE_CHECKING:
    from traitbench.inventories import Inventory

__all__ = ["shifts"]


def shifts(facts: Facts, samples: Sequence[Sample], inventory: Inventory) -> list[Shifts]:
    """The contrasts that aim at one trait, scoring mode by scoring mode."""
    return [
        found
        for mode in modes(samples)
        for found in _of_mode(facts, [row for row in samples if row.scoring == mode], inventory, mode)
    ]


def _of_mode(facts: Facts, rows: list[Sample], inventory: Inventory, mode: Mode) -> Iterator[Shifts]:
    asked = {row.item for row in rows}
    items = [item for item in inventory.items if item.id in asked]
    values = {name: item_values(mine, items) for name, mine in by_condition(facts, rows).items()}
    grid = {(r.order, r.symbols, r.template, r.respondent, r.repeat) for r in rows}
    baseline = facts.conditions[0].name
    for target, high, low, aimed, moved in differences(values, facts.conditions):
        if len(aimed) == 1:
            ((trait, sign),) = aimed.items()
            own = [(i, item) for i, item in enumerate(items) if item.trait == trait and not np.isnan(moved[i])]
            design: Design = "profiles" if high == PROFILES else "baseline" if low == baseline else "poles"
            yield Shifts(
                filter=mode,
                design=design,
                target=target,
                values={item.id: sign * item.keyed * float(moved[i]) for i, item in own},
                keys={item.id: item.keyed for _, item in own},
                unit="nats a token" if mode == "statement" else "scale points",
                weights="halves" if mode == "statement" else "items",
                asked=str(sorted(grid, key=repr)),
            )
