"""Person alignment after PAPI (Zhu et al. 2024): answers in a person's place to items that no method has seen of them.

A method is given a person's answers to the 120 items of the IPIP-NEO-120; the test items are the other 180 of the
IPIP-NEO-300, told apart by their texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from traitbench import inventories
from traitbench.errors import BadData, TraitbenchUsage, UnsupportedControl
from traitbench.samples import Grade, Sample
from traitbench.targets import persons
from traitbench.targets.papi import split
from traitbench.tasks.administration import Administration, item_requests
from traitbench.tasks.block import Facts
from traitbench.tasks.person_alignment.summary import AlignmentBlock, summarise
from traitbench.tasks.scoring import grade
from traitbench.tasks.task import About, Task
from traitbench.types import Request

if TYPE_CHECKING:
    from traitbench.inventories import Item
    from traitbench.targets.persons import Participants
    from traitbench.tasks.views import Views

__all__ = ["PersonAlignment"]

NAME = "person_alignment"


class PersonAlignment(Task):
    """The test items in the grid of one administration, in choice and, where asked for, generate.

    It measures no trait: people's norms, SDs and loadings were taken with the whole instrument. Statement scoring is
    left out: a log-likelihood has no absolute level, so there is no answer to hold against a person's.
    """

    id = NAME
    items: tuple[Item, ...]
    brings: ClassVar[str | None] = f"person:{persons.PAPI}"
    heeds: ClassVar[tuple[str, ...]] = tuple(name for name in Administration.model_fields if name != "contexts")

    def __init__(self, administration: Administration) -> None:
        """Take the grid; UnsupportedControl where statement alone is asked."""
        modes = tuple(mode for mode in administration.scoring if mode != "statement")
        if not modes:
            raise UnsupportedControl(
                f"{NAME} needs answers on the response scale, which statement scoring has not; add --scoring choice"
            )
        self.administration = administration.model_copy(update={"scoring": modes})
        self.instrument = inventories.load("ipip_neo_300")
        rest = {item.id for item in split()[1]}
        every = tuple(item for item in self.instrument.items if item.id in rest)
        self.items = every[: administration.limit]
        self.original = len(every)
        self.version = self.instrument.version
        name = f"{self.instrument.name}, {len(every)} items that are not of the IPIP-NEO-120"
        self.about = About(name=name, citation=self.instrument.citation, licence=self.instrument.licence)

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
                f"--target {target}: person_alignment compares with persons; expected person:papi, person:papi:20 "
                "or person:FILE"
            )
        if not any(participants.tests.values()):
            raise BadData(
                f"--target {target}: holds answers to the IPIP-NEO-120 alone, so there is nothing to compare with; "
                "give answers to all 300 items, or name a task, e.g. --tasks ipip_50"
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
        target = given if given.startswith("person:") else f"person:{persons.PAPI}"
        return summarise(facts, samples, self.instrument, persons.again(target, facts.config, facts.persons))
