"""What asking to look good or bad does to the scales of an inventory or a form, beside asking to be honest.

Who fakes good moves every trait towards its desirable end, and the items that are keyed that way most (Viswesvaran &
Ones 1999). So each condition of `--target impression` gets an effect size a trait, and an index: how the items' raw
shifts correlate with which end is desirable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from traitbench.humans.likeness import between_person_sds
from traitbench.inventories import Inventory
from traitbench.samples import Sample
from traitbench.statistics.intervals import item_means
from traitbench.tables import Table, interval, number
from traitbench.targets import impression
from traitbench.tasks.across import Across
from traitbench.tasks.block import Block, Facts, by_condition
from traitbench.tasks.leanings import Leaning, Leanings
from traitbench.tasks.scoring import effect_size, estimated, item_grid, modes
from traitbench.tasks.task import Task
from traitbench.tasks.variation import correlated
from traitbench.types import Mode, Record, Trait

__all__ = ["Faked", "Impression", "ImpressionBlock", "Impressions", "impressions"]

LOOKS = {1: "fake good", 0: "honest", -1: "fake bad"}
Array = NDArray[np.float64]


class Faked(Record):
    """One trait under one instruction. Positive is towards the desirable end."""

    trait: Trait
    value: float | None
    """Points of the scale, or of percent in a form of pairs; statement: nats a token."""
    ci: tuple[float, float] | None
    d: float | None
    """Over the SD between items."""
    sds: float | None
    """Choice and generate: in between-person SDs of the same instrument; null where none is held."""
    n: int


class Impression(Record):
    """One instruction on one task in one scoring mode."""

    task: str
    mode: Mode
    looks: Literal["fake good", "honest", "fake bad"]
    against: Literal["honest", "baseline"]
    """What it is compared with: the instruction to be honest, where the run has it; of that itself, no control."""
    traits: list[Faked]
    index: float | None
    """r over the items of their raw shift with 1 where agreement is desirable and -1 where it is not; null where the
    shifts do not vary."""
    index_ci: tuple[float, float] | None
    """95 %, by Fisher's z."""
    items: int


class ImpressionBlock(Block):
    """Every instruction to look good or bad."""

    kind: Literal["impression"] = "impression"
    found: list[Impression]


class Impressions(Across):
    """What asking to look good or bad does, on every inventory and form of the run."""

    @classmethod
    def block(cls) -> type[Block]:
        """Effect sizes and indices."""
        return ImpressionBlock

    def join(
        self, facts: Facts, tasks: Mapping[str, Task], samples: Mapping[str, Sequence[Sample]]
    ) -> ImpressionBlock | None:
        """Compare each instruction with that to be honest; None without any."""
        # Two traits at their desirable ends are not asked for in order to look good.
        asked = (str(facts.config.get("target")).strip().lower(), facts.method["settings"].get("style"))
        if "impression" not in asked:
            return None
        held = [(c.name, side) for c in facts.conditions if c.headline and (side := impression(c.levels)) is not None]
        if not any(side for _, side in held):
            return None
        sides = {side: name for name, side in held}
        found = [
            each
            for name, task in tasks.items()
            for mode in modes(samples[name])
            for each in impressions(
                name, task, mode, sides, facts,
                by_condition(facts, [row for row in samples[name] if row.scoring == mode]),
            )
        ]  # fmt: skip
        return ImpressionBlock(found=found) if found else None

    def tables(self, block: Block) -> list[Table]:
        """One table a task."""
        found = cast(ImpressionBlock, block).found
        return [
            _table(task, [each for each in found if each.task == task]) for task in dict.fromkeys(e.task for e in found)
        ]


def impressions(
    name: str, task: Task, mode: Mode, sides: Mapping[int, str], facts: Facts,
    conditions: Mapping[str, Sequence[Sample]],
) -> list[Impression]:  # fmt: skip
    """Each instruction in `sides` (1, 0, -1 -> condition) on one task, without traits that look neither way."""
    found, sds = task.leanings(conditions, mode), dict[Trait, float]()
    if (inventory := task.inventory) is not None:
        found = _agreement(inventory, conditions)
        sds = between_person_sds(inventory.id, list(inventory.traits), facts.reference)
    if found is None or len(found.units) < 2:
        return []
    baseline = facts.conditions[0].name
    out = []
    for side, condition in sorted(sides.items(), reverse=True):
        honest = side != 0 and 0 in sides
        moved = found.values[condition] - found.values[sides[0] if honest else baseline]
        out.append(_impression(name, found.units, mode, side, honest, moved, sds))
    return out


def _agreement(inventory: Inventory, conditions: Mapping[str, Sequence[Sample]]) -> Leanings:
    """How far each item that was asked was agreed with."""
    asked = {row.item for rows in conditions.values() for row in rows}
    items = [item for item in inventory.items if item.id in asked and inventory.desirable.get(item.trait)]
    templates = sorted({row.template for rows in conditions.values() for row in rows})
    units = [Leaning(i.trait, i.facet, i.keyed, i.keyed * inventory.desirable[i.trait]) for i in items]
    return Leanings(units, {name: item_grid(rows, items, templates) for name, rows in conditions.items()})


def _impression(
    task: str, units: Sequence[Leaning], mode: Mode, side: int, honest: bool, moved: Array, sds: Mapping[Trait, float],
) -> Impression:  # fmt: skip
    looks = np.array([unit.looks for unit in units])
    index, ci = correlated(item_means(moved)[None], looks[None].astype(float))
    found = []
    for trait in dict.fromkeys(unit.trait for unit in units):
        i = np.array([k for k, unit in enumerate(units) if unit.trait == trait])
        toward = looks[i].reshape(-1, *[1] * (moved.ndim - 1)) * moved[i]
        keys = np.array([units[k].keyed for k in i])
        facets = [facet for k in i if (facet := units[k].facet)]
        estimate = estimated(toward, keys, mode, facets if len(facets) == len(i) else None)
        sd = sds.get(trait) if mode != "statement" and estimate.value is not None else None
        found.append(Faked(
            trait=trait, value=estimate.value, ci=estimate.ci, d=effect_size(estimate), n=estimate.n,
            sds=estimate.value / sd if sd and estimate.value is not None else None,
        ))  # fmt: skip
    return Impression(
        task=task, mode=mode, looks=LOOKS[side], against="honest" if honest else "baseline", traits=found,  # type: ignore[arg-type]
        index=index, index_ci=ci, items=len(units),
    )  # fmt: skip


def _table(task: str, found: Sequence[Impression]) -> Table:
    rows = [
        [
            f"{each.looks} – {each.against}", each.mode, trait.trait, interval(trait.value, trait.ci, 3),
            number(trait.d), number(trait.sds), interval(each.index, each.index_ci) if not place else "",
        ]
        for each in found
        for place, trait in enumerate(each.traits)
    ]  # fmt: skip
    return Table(
        title=f"Impression management, {task}: shift towards the desirable end",
        columns=["instruction", "scoring", "trait", "shift [95 %]", "d", "SDs", "desirability index [95 %]"],
        rows=rows,
        notes=[
            "Shift: points of the scale (of pairs: percent), or nats a token (statement); positive is towards what "
            "looks good. d: over the SD between items. SDs: in between-person SDs of the same instrument.",
            "Desirability index: r over all items of how far agreement with each moved with whether agreeing looks "
            "good, by key and trait. 1: every item moved alike towards its good side; 0: no such thing.",
        ],
    )
