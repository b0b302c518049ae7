"""What heads are to tell apart: the items of a target, and which of them are to be agreed with."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.methods.pas.heads import NEUTRAL, sided
from traitbench.types import Person, Target

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item

__all__ = ["LEAST", "Goal", "aimed", "answered"]

LEAST = 5
"""Items that must be agreed or disagreed with: below, a probe would have next to nothing to be tried on."""


class Goal(NamedTuple):
    """The items that directions are fitted on, and which way each is to be answered."""

    items: list[Item]
    labels: NDArray[np.int_]
    """(items,) 1 agree, 0 disagree."""
    strata: list[str]
    """What an item is about, (items,): labels are shuffled within, and weigh equally within, a trait."""
    inventory: str

    @property
    def names(self) -> list[str]:
        """The items' texts, by hash: twins share one."""
        return [item.text_hash for item in self.items]

    def sides(self, legacy: bool = False) -> list[Hashable]:
        """Groups of items that weigh equally: agreed and disagreed with, of each trait; `legacy`: all are one."""
        return [None if legacy else side for side in zip(self.strata, self.labels.tolist(), strict=True)]


def aimed(target: Target, items: Sequence[Item], inventory: str) -> Goal:
    """The items of a target's traits, each to be answered towards its pole."""
    mine = [item for item in items if item.trait in target.levels]
    labels = np.array([item.keyed * target.levels[item.trait] > 0 for item in mine], dtype=int)
    return Goal(mine, labels, [item.trait for item in mine], inventory)


def answered(person: Person, inventory: Inventory) -> Goal:
    """The items that a person takes a side on, each to be answered as they do; all of one stratum."""
    scale = inventory.response_scale
    items = [item for item in inventory.items if item.id in person.answers]
    labels = sided([person.answers[item.id] for item in items], (scale.min + scale.max) / 2)
    held = [item for item, label in zip(items, labels, strict=True) if label != NEUTRAL]
    return Goal(held, labels[labels != NEUTRAL], [""] * len(held), person.inventory)
