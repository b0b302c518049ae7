"""What a run of a questionnaire is compared by: with another its keyed item shifts, with people its answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traitbench.samples import Sample
from traitbench.statistics.intervals import item_means
from traitbench.tasks.answered import Answered
from traitbench.tasks.block import Facts, by_condition
from traitbench.tasks.differences import design_of, differences
from traitbench.tasks.questionnaire.respondents import grid
from traitbench.tasks.scoring import item_grid, item_values, modes
from traitbench.tasks.shifts import Shifts, item_part
from traitbench.types import Mode

if TYPE_CHECKING:
    from traitbench.inventories import Inventory

__all__ = ["answered", "shifts"]

_ASKED = {
    "orders": "order", "symbols": "symbols", "templates": "template", "respondents": "respondent", "repeats": "repeat",
}  # fmt: skip
"""What decides how the items were asked -> the field of a sample that says it."""


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
    templates = sorted({row.template for row in rows})
    values = {name: item_grid(answers, items, templates) for name, answers in mine.items()}
    picked = {name: item_values(_chosen(answers), items) for name, answers in mine.items()}
    grid = {name: {getattr(row, axis) for row in rows} for name, axis in _ASKED.items()}
    baseline = facts.conditions[0].name
    statement, span = mode == "statement", inventory.response_scale.max - inventory.response_scale.min
    both = zip(differences(values, facts.conditions), differences(picked, facts.conditions), strict=True)
    for (target, high, low, aimed, moved, _), picks in both:
        flipped = picks.moved
        if aimed:
            ((trait, sign),) = aimed.items()
            scored = ~np.isnan(item_means(moved))
            own = [(i, item) for i, item in enumerate(items) if item.trait == trait and scored[i]]
            toward = {item.id: sign * item.keyed for _, item in own}
            unit = 1 if statement else 100 / span
            yield Shifts(
                filter=mode,
                design=design_of(high, low, baseline),
                part=item_part(
                    target,
                    {item.id: _cells(unit * toward[item.id] * moved[i]) for i, item in own},
                    moved.shape[1:],
                    {item.id: item.keyed for item in items},
                    {item.id: item.facet for item in items if item.facet},
                    mode,
                ),
                unit="nats a token" if statement else "POMP",
                # A slope of answers that are all alike is nothing but rounding.
                hits={} if statement else {item.id: bool(toward[item.id] * flipped[i] > 1e-9) for i, item in own},
                asked={name: ", ".join(sorted(map(str, levels))) for name, levels in grid.items()},
            )


def _cells(moved: NDArray[np.float64]) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in moved.ravel()]


def _chosen(rows: Sequence[Sample]) -> list[Sample]:
    """The rows with the value of the option chosen: of probabilities the most likely, the mean of equals."""
    out = []
    for row in rows:
        shown = [p for p in row.option_logprobs or () if p is not None]
        if row.scoring == "choice" and shown and row.option_logprobs and row.option_values and row.status == "valid":
            least = max(shown) - 1e-9
            best = [
                v for v, p in zip(row.option_values, row.option_logprobs, strict=True) if p is not None and p >= least
            ]
            row = row.model_copy(update={"value_raw": float(np.mean(best))})
        out.append(row)
    return out


def answered(facts: Facts, samples: Sequence[Sample], inventory: Inventory) -> list[Answered]:
    """Respondents of each headline condition in the modes with answer options; of several fits those of the first.

    A respondent's answer is the mean over orders, symbols, templates and repeats.
    """
    out = []
    for mode in modes(samples):
        rows = [row for row in samples if row.scoring == mode and row.respondent is not None and not row.fit]
        if mode != "statement" and rows:
            asked, mine = {row.item for row in rows}, by_condition(facts, rows)
            items = tuple(item for item in inventory.items if item.id in asked)
            for condition in facts.conditions:
                if condition.headline:
                    values = grid(mine[condition.name], items, mode).people()
                    out.append(Answered(mode, condition.name, items, values))
    return out
