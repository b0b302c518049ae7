"""Task: something to measure. It asks, grades, sums up and shows; the frame knows no task by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from traitbench.judges.records import Text
from traitbench.samples import Grade, Item, Sample
from traitbench.tasks.answered import Answered
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.leanings import Leanings
from traitbench.tasks.shifts import Shifts
from traitbench.types import Evidence, Mode, Record, Request, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Inventory
    from traitbench.targets.persons import Participants
    from traitbench.tasks.views import Views

__all__ = ["About", "Task"]


class About(Record):
    """What a task is, for those who read its results."""

    name: str = ""
    citation: str = ""
    licence: str = ""


class Task(ABC):
    """Something to measure.

    An instance is made of an administration (see `traitbench.tasks.administration`). The frame asks `requests` and then
    `follow_up` under every condition, keeps each response as a sample, has it graded, and has the samples summed up.
    """

    id: str
    version: str = "1"
    """Goes up when the same answers would give other numbers."""
    traits: tuple[Trait, ...] = ()
    """What `--target all` aims at; empty where the task measures no trait."""
    items: Sequence[Item]
    """What is asked, in order, after --limit."""
    original: int | None = None
    """How many items there are without --limit; None: as many as are asked."""
    about: About = About()
    restricted: bool = False
    """Whether the items' words may not be passed on."""
    data_set: ClassVar[str] = ""
    """Name in `traitbench data` of what holds them; empty: the task's own."""
    inventory: Inventory | None = None
    """The instrument that is administered, where the task is one; what is known of people by that instrument counts."""
    brings: ClassVar[str | None] = None
    """The `--target` that is meant where none is given, for a task that brings its own."""
    heeds: ClassVar[tuple[str, ...]] = ("limit",)
    """Fields of the administration that change what it asks."""

    evidence: ClassVar[Evidence | None] = None
    """What its effects are effects on, by which self-report is set beside behaviour; None: neither."""
    fits: ClassVar[bool] = False
    """Whether it sums up several fits of a control (`--fit_seeds`), which its samples tell apart by `fit`."""

    judged: bool = False
    """Whether it has written replies that judges rate (`--judge`)."""

    @classmethod
    def block(cls) -> type[Block]:
        """Return the class of what `summarise` returns."""
        return Block

    @classmethod
    def views(cls) -> Views:
        """Return how a block is shown. Imported only when something is shown."""
        from traitbench.tasks.views import Views

        return Views()

    def check(self, target: str | None, participants: Participants | None) -> None:
        """Refuse, before a model is loaded, a target that this cannot measure; `participants` are its persons."""

    def identity(self) -> Any:
        """What decides prompts and scores, as JSON: with the administration it names what a run asked."""
        return [self.id, self.version, [[item.id, item.text_hash] for item in self.items]]

    def notes(self) -> list[str]:
        """What a reader must know of the items, e.g. that some are worded otherwise than published."""
        return []

    @abstractmethod
    def requests(self, seed: int) -> list[Request]:
        """Everything that one condition asks at first, in a fixed order."""

    def follow_up(self, samples: Sequence[Sample]) -> list[Request]:
        """What is asked next, given all samples of the condition so far: later turns. Empty: nothing more."""
        return []

    def to_judge(self, samples: Sequence[Sample]) -> list[Text]:
        """What judges are to rate, given all samples of one condition: replies that there is something to see in.

        A judgement is a sample in the place of the reply, with `judge` set and `trait` as what was judged; the frame
        grades it (0 to 5), and `summarise` gets it among the others. Where `against` is set too, it compares the reply
        with that condition's in the same place: `traitbench.judges.pairs.checks` sums these up.
        """
        return []

    @abstractmethod
    def grade(self, sample: Sample) -> Grade:
        """Say what a kept response is worth, from the sample alone: the stored grade does not matter."""

    @abstractmethod
    def summarise(self, facts: Facts, samples: Sequence[Sample]) -> Block:
        """Compute every number of a run on this task from its samples. No model, no randomness but the seed's."""

    def shifts(self, facts: Facts, samples: Sequence[Sample]) -> list[Shifts]:
        """How far each item moved, by which `traitbench compare` sets two runs beside each other; none here."""
        return []

    def leanings(self, conditions: Mapping[str, Sequence[Sample]], mode: Mode) -> Leanings | None:
        """What the answers of each condition lean towards, for a task without an inventory; None: not told here."""
        return None

    def answered(self, facts: Facts, samples: Sequence[Sample]) -> list[Answered]:
        """What simulated respondents answered, by which `traitbench compare` sets a run beside people; none here."""
        return []
