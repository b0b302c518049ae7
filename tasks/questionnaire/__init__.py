"""A self-report inventory as a task: one item a request, in isolation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traitbench.tasks.administration import (
    TEMPLATES,
    Administration,
    Presentation,
    biographies,
    choice_messages,
    option_variants,
    symbols_for,
)
from traitbench.tasks.task import Task
from traitbench.types import Choose, Continue, Doc, Message, Request, Write, digest

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item

__all__ = ["Questionnaire", "presented_options"]


class Questionnaire(Task):
    """The items of one inventory in the grid of one administration."""

    def __init__(self, inventory: Inventory, administration: Administration) -> None:
        """Take the inventory as loaded; `administration.limit` keeps its first items."""
        self.inventory = inventory
        self.administration = administration
        self.id = inventory.id
        self.items = inventory.items[: administration.limit]
        measured = {item.trait for item in self.items}
        self.traits = tuple(trait for trait in inventory.traits if trait in measured)

    def requests(self, seed: int) -> list[Request]:
        """One request an item and cell of the grid; items vary fastest, so that prefixes are shared."""
        return [
            self._request(item, cell, seed) for cell in self.administration.presentations(seed) for item in self.items
        ]

    def _request(self, item: Item, cell: Presentation, seed: int) -> Request:
        doc = Doc(
            task=self.id, scoring=cell.mode, item=item.id, trait=item.trait, facet=item.facet, keyed=item.keyed,
            order=cell.order, symbols=cell.symbols, template=cell.template, respondent=cell.respondent,
            repeat=cell.repeat,
        )  # fmt: skip
        biography = biographies()[cell.respondent] if cell.respondent is not None else None
        statement = self.inventory.statement(item)
        if cell.mode == "statement":
            ask = Message(role="user", content=TEMPLATES[cell.template].statement)
            return Continue(doc=doc, biography=biography, messages=(ask,), cue="Answer:", text=statement)
        assert cell.symbols and cell.order
        labels, values = presented_options(self.inventory, cell.symbols, cell.order)
        messages = (choice_messages(cell.template, cell.symbols, labels, statement),)
        if cell.mode == "choice":
            variants = tuple(option_variants(symbol) for symbol, _ in labels)
            return Choose(
                doc=doc, biography=biography, messages=messages, cue="Answer:", options=variants, values=values
            )
        own_seed = int(digest([seed, item.id, *map(str, cell)]), 16) % 2**31
        return Write(
            doc=doc, biography=biography, messages=messages, cue="Answer:", labels=labels, values=values,
            seed=own_seed, max_tokens=self.administration.max_tokens, temperature=self.administration.temperature,
        )  # fmt: skip


def presented_options(
    inventory: Inventory, symbols: str, order: str
) -> tuple[tuple[tuple[str, str], ...], tuple[int, ...]]:
    """The options as shown: (symbol, text) pairs and the value each stands for.

    Reverse order keeps the symbols in place and reverses the texts, so a liking for "A" and a liking for a meaning
    come apart.
    """
    scale = inventory.response_scale
    values = tuple(range(scale.min, scale.max + 1))
    texts = tuple(scale.labels)
    if order == "reverse":
        values, texts = values[::-1], texts[::-1]
    return tuple(
        zip(symbols_for("letters" if symbols == "letters" else "numbers", len(texts)), texts, strict=True)
    ), values
