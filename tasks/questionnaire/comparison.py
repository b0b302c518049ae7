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
    mine = by_condition(facts, rows)
    values = {name: item_values(answers, items) for name, answers in mine.items()}
    picked = {name: item_values(_chosen(answers), items) for name, answers in mine.items()}
    grid = {(r.order, r.symbols, r.template, r.respondent, r.repeat) for r in rows}
    baseline = facts.conditions[0].name
    statement, span = mode == "statement", inventory.response_scale.max - inventory.response_scale.min
    both = zip(differences(values, facts.conditions), differences(picked, facts.conditions), strict=True)
    for (target, high, low, aimed, moved), (*_, flipped) in both:
        if len(aimed) == 1:
            ((trait, sign),) = aimed.items()
            own = [(i, item) for i, item in enumerate(items) if item.trait == trait and not np.isnan(moved[i])]
            design: Design = "profiles" if high == PROFILES else "baseline" if low == baseline else "poles"
            toward = {item.id: sign * item.keyed for _, item in own}
            unit = 1 if statement else 100 / span
            yield Shifts(
                filter=mode,
                design=design,
                target=target,
                values={item.id: unit * toward[item.id] * float(moved[i]) for i, item in own},
                keys={item.id: item.keyed for _, item in own},
                unit="nats a token" if statement else "POMP",
                weights="halves" if statement else "items",
                # A slope of answers that are all alike is nothing but rounding.
                hits={} if statement else {item.id: bool(toward[item.id] * flipped[i] > 1e-9) for i, item in own},
                asked=str(sorted(grid, key=repr)),
            )


def _chosen(rows: Sequence[Sample]) -> list[Sample]:
    """The rows with the value of the option chosen: of probabilities the most likely, the mean of equals."""
    out = []
    for row in rows:
        if row.scoring == "choice" and row.option_logprobs and row.option_values:
            least = max(row.option_logprobs) - 1e-9
            best = [v for v, p in zip(row.option_values, row.option_logprobs, strict=True) if p >= least]
            row = row.model_copy(update={"value_raw": float(np.mean(best))})
        out.append(row)
    return out
