"""Person alignment after PAPI (Zhu et al. 2024): answers in a person's place to items that no method has seen of them.

A method is given a person's answers to the 120 items of the IPIP-NEO-120; the test items are the other 180 of the
IPIP-NEO-300, told apart by their texts. Or to half of each scale of the Short Dark Triad; the test is the other half.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from traitbench import inventories
from traitbench.errors import BadData, TraitbenchUsage, UnsupportedControl
from traitbench.samples import Grade, Sample
from traitbench.targets import persons, sd3
from traitbench.targets.papi import split
from traitbench.tasks.administration import Administration, item_requests
from traitbench.tasks.block import Facts
from traitbench.tasks.person_alignment.summary import AlignmentBlock, summarise
from traitbench.tasks.scoring import grade
from traitbench.tasks.task import About, Task
from traitbench.types import Request

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item
    from traitbench.targets.persons import Participants
    from traitbench.tasks.views import Views

__all__ = ["DarkAlignment", "PersonAlignment"]

NAME = "person_alignment"


class PersonAlignment(Task):
    """The test items in the grid of one administration, in choice and, where asked for, generate.

    It measures no trait: people's norms, SDs and loadings were taken with the whole instrument. Statement scoring is
    left out: a log-likelihood has no absolute level, so there is no answer to hold against a person's.
    """

    id = NAME
    items: tuple[Item, ...]
    people: ClassVar[str] = persons.PAPI
    """The word after `person:` of those who answered what is tested here."""
    instrument_id: ClassVar[str] = persons.LONG
    taught: ClassVar[str] = "the IPIP-NEO-120"
    """What a method sees."""
    file: ClassVar[str] = "person:FILE"
    """How a table of the user's own is named."""
    brings: ClassVar[str | None] = f"person:{people}"
    heeds: ClassVar[tuple[str, ...]] = tuple(name for name in Administration.model_fields if name != "contexts")

    def __init__(self, administration: Administration) -> None:
        """Take the grid; UnsupportedControl where statement alone is asked."""
        modes = tuple(mode for mode in administration.scoring if mode != "statement")
        if not modes:
            raise UnsupportedControl(
                f"{self.id} needs answers on the response scale, which statement scoring has not; add --scoring choice"
            )
        self.administration = administration.model_copy(update={"scoring": modes})
        self.instrument = self.loaded()
        rest = {item.id for item in self.tested()}
        every = tuple(item for item in self.instrument.items if item.id in rest)
        self.items = administration.first(every)
        self.original = len(every)
        self.version = self.instrument.version
        self.restricted = self.instrument.restricted
        name = f"{self.instrument.name}, {len(every)} items beside {self.taught}"
        self.about = About(name=name, citation=self.instrument.citation, licence=self.instrument.licence)

    @classmethod
    def loaded(cls) -> Inventory:
        """The instrument, with its texts."""
        return inventories.load(cls.instrument_id)

    @staticmethod
    def tested() -> tuple[Item, ...]:
        """The items that no method has seen."""
        return split()[1]

    @classmethod
    def block(cls) -> type[AlignmentBlock]:
        """Rows of errors beside the trivial baselines, a scoring mode."""
        return AlignmentBlock

    @classmethod
    def views(cls) -> Views:
        """Tables, figures and the rows of persons on the leaderboard."""
        from traitbench.tasks.person_alignment.views import AlignmentViews

        return AlignmentViews()

    def check(self, target: str | None, participants: Participants | None) -> None:
        """Refuse a target that names no persons, or persons without answers to the test items."""
        if participants is None:
            raise TraitbenchUsage(
                f"--target {target}: {self.id} compares with persons; expected person:{self.people}, "
                f"person:{self.people}:20 or {self.file}"
            )
        if participants.inventory != self.instrument.id:
            raise TraitbenchUsage(
                f"--target {target}: these persons answered {participants.inventory}, and {self.id} tests "
                f"{self.instrument.id}; expected person:{self.people} or {self.file}, or leave --tasks out"
            )
        if not any(participants.tests.values()):
            raise BadData(
                f"--target {target}: holds answers to {self.taught} alone, so there is nothing to compare with; "
                f"give answers to all {len(self.instrument.items)} items, or name a task, e.g. --tasks ipip_50"
            )

    def requests(self, seed: int) -> list[Request]:
        """One request a test item and cell of the grid."""
        return item_requests(self.id, self.instrument, self.items, self.administration, seed)

    def grade(self, sample: Sample) -> Grade:
        """An expected value or a parsed reply."""
        return grade(sample, self.instrument)

    def summarise(self, facts: Facts, samples: Sequence[Sample]) -> AlignmentBlock:
        """Hold the answers against the persons' own, which are read anew; BadData where they are others by now."""
        given = str(facts.config.get("target") or "")
        target = given if given.startswith("person:") else self.brings or ""
        return summarise(facts, samples, self.instrument, persons.again(target, facts.config, facts.persons))


class DarkAlignment(PersonAlignment):
    """The half of each scale of the Short Dark Triad that no method has seen, in choice and generate.

    People are drawn from the public answers; their texts and answers are the user's own copy.
    """

    id = "person_alignment_sd3"
    people = sd3.SD3
    instrument_id = sd3.SD3
    taught = "the half that a method sees"
    file = f"person:{sd3.SD3}:FILE"
    data_set: ClassVar[str] = sd3.SD3
    brings = f"person:{sd3.SD3}"

    @classmethod
    def loaded(cls) -> Inventory:
        """The instrument, with its texts where this machine has them: key and answers are enough for scoring."""
        try:
            return super().loaded()
        except BadData:
            return inventories.load(cls.instrument_id, texts=False)

    def requests(self, seed: int) -> list[Request]:
        """One request a test item and cell of the grid; BadData where the texts are not on this machine."""
        if any(item.text is None for item in self.items):
            super().loaded()
        return super().requests(seed)

    @staticmethod
    def tested() -> tuple[Item, ...]:
        """The 13 items of the half that is tested."""
        return sd3.split()[1]

    def notes(self) -> list[str]:
        """Where the texts are worded as the people read them, and not as they were published later."""
        return [f"{item} in the {note}" for item, note in self.instrument.wordings.items()]
