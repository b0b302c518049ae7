"""The form as it is asked: pairs of statements, and what each says of the traits of both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

from traitbench import inventories
from traitbench.errors import BadData
from traitbench.inventories import text_hash
from traitbench.tasks.forced_choice.matching import FILE
from traitbench.types import BIG_FIVE, Record, Trait

__all__ = ["Pair", "Statement", "Unit", "load", "units"]


class Statement(Record):
    """One of the two statements of a pair, an item of an inventory."""

    item: str
    """Its id there."""
    trait: Trait
    facet: str
    keyed: Literal[1, -1]
    text: str
    """A whole sentence in the first person."""
    item_hash: str
    """`text_hash` of the item as the inventory has it."""


class Pair(Record):
    """Two statements that people claim of themselves about equally often."""

    id: str
    number: int
    first: Statement
    """A in forward order."""
    second: Statement
    """B in forward order."""
    apart: float
    """Mean agreement of people with the second statement minus that with the first, points of five."""

    @property
    def text(self) -> str:
        """Both statements."""
        return f"{self.first.text}\n{self.second.text}"

    @property
    def text_hash(self) -> str:
        """Names the words."""
        return text_hash(self.text)

    @property
    def holds(self) -> tuple[str, ...]:
        """Hashes of both items as the inventory has them: what a method was fitted on is found by them."""
        return self.first.item_hash, self.second.item_hash


class Unit(NamedTuple):
    """What a pair says of one trait: a pair of two traits is a unit of each, one of a single trait is one unit."""

    id: str
    pair: str
    trait: Trait
    facet: str
    sign: Literal[1, -1]
    """1: whoever is high on the trait takes the second statement."""


@cache
def load() -> tuple[Pair, ...]:
    """The pairs that ship, spread over the traits from the first on; BadData where file and inventory do not agree."""
    held = json.loads(FILE.read_text(encoding="utf-8"))
    inventory = inventories.load(held["inventory"])
    items = {item.id: item for item in inventory.items}

    def statement(id: str) -> Statement:
        if id not in items:
            raise BadData(f"{FILE} names {id!r}, which {inventory.id} has not; install traitbench again")
        item = items[id]
        return Statement(
            item=id, trait=item.trait, facet=item.facet or item.trait, keyed=item.keyed,
            text=inventory.statement(item), item_hash=item.text_hash,
        )  # fmt: skip

    return tuple(
        Pair(
            id=row["id"], number=number, first=statement(row["first"]), second=statement(row["second"]),
            apart=row["apart"],
        )
        for number, row in enumerate(held["pairs"], 1)
    )  # fmt: skip


def units(pairs: Sequence[Pair]) -> list[Unit]:
    """The units of each trait, trait by trait, in the order of the pairs."""
    out = []
    for pair in pairs:
        a, b = pair.first, pair.second
        out.append(Unit(f"{pair.id}:{b.trait}", pair.id, b.trait, b.facet, b.keyed))
        if a.trait != b.trait:
            out.append(Unit(f"{pair.id}:{a.trait}", pair.id, a.trait, a.facet, 1 if a.keyed == -1 else -1))
    return sorted(out, key=lambda unit: BIG_FIVE.index(unit.trait))
