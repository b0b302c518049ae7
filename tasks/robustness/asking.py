"""The items in every context: contexts vary slower than items, so that what precedes them is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from traitbench.errors import UnsupportedControl
from traitbench.tasks.administration import Administration, Order, Presentation, item_request
from traitbench.tasks.robustness.contexts import Context, chosen
from traitbench.types import Message, Mode, Request

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item

__all__ = ["requests", "scoring"]


def scoring(task: str, administration: Administration) -> Mode:
    """The one mode that is asked: statement where it is named, else choice.

    UnsupportedControl where there are but written answers.
    """
    if found := next((mode for mode in ("statement", "choice") if mode in administration.scoring), None):
        return "statement" if found == "statement" else "choice"
    raise UnsupportedControl(
        f"--scoring {','.join(administration.scoring)}: {task} asks statement or choice, and reads no written answers; "
        "add statement, or run the inventories on their own"
    )


def requests(
    task: str, inventory: Inventory, items: Sequence[Item], administration: Administration, seed: int
) -> list[Request]:
    """One request an item, context and respondent."""
    mode = scoring(task, administration)
    return [
        _asked(task, inventory, item, administration, mode, context, respondent)
        for respondent in administration.chosen_respondents(seed)
        for context in chosen(administration.contexts, mode)
        for item in items
    ]


def _asked(
    task: str, inventory: Inventory, item: Item, administration: Administration, mode: Mode, context: Context,
    respondent: int | None,
) -> Request:  # fmt: skip
    choice = mode == "choice"
    order: Order = "reverse" if context.kind == "reversed" else "forward"
    cell = Presentation(
        mode, context.template, respondent, administration.symbols[0] if choice else None, order if choice else None, 0
    )
    plain = item_request(task, inventory, item, administration, cell, 0)
    (ask,) = plain.messages
    words = f"{context.before} {ask.content}" if context.before else ask.content
    return plain.model_copy(update={
        "doc": plain.doc.model_copy(update={"context": context.name}),
        "messages": (*context.turns, Message(role=ask.role, content=words)),
    })  # fmt: skip
