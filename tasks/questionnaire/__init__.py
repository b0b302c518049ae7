"""A self-report inventory as a task: one item a request, in isolation, scored by the inventory's key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from traitbench.samples import Grade, Sample
from traitbench.tasks.administration import Administration, item_requests
from traitbench.tasks.answered import Answered
from traitbench.tasks.block import Facts
from traitbench.tasks.questionnaire.comparison import answered, shifts
from traitbench.tasks.questionnaire.summary import QuestionnaireBlock, summarise
from traitbench.tasks.scoring import grade
from traitbench.tasks.shifts import Shifts
from traitbench.tasks.task import About, Task
from traitbench.types import Evidence, Request

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item
    from traitbench.tasks.views import Views

__all__ = ["Questionnaire"]


_ABOUT = frozenset({
    "name", "licence", "restricted", "citation", "source", "note", "facets", "data", "alternatives", "wordings",
    "wording_of",
})  # fmt: skip
"""Of an inventory: what decides neither prompts nor scores."""


class Questionnaire(Task):
    """The items of one inventory in the grid of one administration."""

    inventory: Inventory
    items: tuple[Item, ...]
    heeds: ClassVar[tuple[str, ...]] = tuple(name for name in Administration.model_fields if name != "contexts")
    evidence: ClassVar[Evidence | None] = "self-report"
    fits: ClassVar[bool] = True

    def __init__(self, inventory: Inventory, administration: Administration) -> None:
        """Take the inventory as loaded; `administration.limit` keeps its first items."""
        self.inventory = inventory
        self.administration = administration
        self.id, self.version = inventory.id, inventory.version
        self.items = administration.first(inventory.items)
        self.original = len(inventory.items)
        measured = {item.trait for item in self.items}
        self.traits = tuple(trait for trait in inventory.traits if trait in measured)
        self.about = About(name=inventory.name, citation=inventory.citation, licence=inventory.licence)
        self.restricted = inventory.restricted

    @classmethod
    def block(cls) -> type[QuestionnaireBlock]:
        """Scores, effects and what they rest on, a scoring mode."""
        return QuestionnaireBlock

    @classmethod
    def views(cls) -> Views:
        """Tables, figures and the leaderboard's columns."""
        from traitbench.tasks.questionnaire.views import QuestionnaireViews

        return QuestionnaireViews()

    def identity(self) -> Any:
        """What of the inventory decides prompts and scores; a text counts by its hash."""
        without: Any = {**dict.fromkeys(_ABOUT, True), "items": {"__all__": {"text"}}}
        return self.inventory.model_dump(mode="json", exclude=without, exclude_defaults=True)

    def notes(self) -> list[str]:
        """Say which items are worded otherwise than published."""
        return [f"{self.id}: {item}: {note}" for item, note in self.inventory.wordings.items()]

    def requests(self, seed: int) -> list[Request]:
        """One request an item and cell of the grid."""
        return item_requests(self.id, self.inventory, self.items, self.administration, seed)

    def grade(self, sample: Sample) -> Grade:
        """An expected value, a parsed reply, or nats a token."""
        return grade(sample, self.inventory)

    def summarise(self, facts: Facts, samples: Sequence[Sample]) -> QuestionnaireBlock:
        """Compute scores, effects, reliability, likeness to people and verdicts."""
        return summarise(facts, samples, self.inventory)

    def shifts(self, facts: Facts, samples: Sequence[Sample]) -> list[Shifts]:
        """Every contrast that aims at one trait."""
        return shifts(facts, samples, self.inventory)

    def answered(self, facts: Facts, samples: Sequence[Sample]) -> list[Answered]:
        """Every condition that stands in the tables, in the modes with answer options."""
        return answered(facts, samples, self.inventory)
