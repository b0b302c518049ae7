"""Robustness: whether the effect of a control is still there when the question comes in another context.

The twenty items of the Mini-IPIP are asked plainly, in another wording, with turned options, with a request to answer
as oneself, after neutral talk, and while a user asks to drop the persona. What was said before the question is written
by us, both sides of it, and the same under every control; nothing is generated, so nothing needs a judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from traitbench import inventories
from traitbench.errors import UnsupportedControl
from traitbench.samples import Grade, Sample
from traitbench.tasks.administration import Administration
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.robustness import asking
from traitbench.tasks.robustness.contexts import chosen
from traitbench.tasks.scoring import grade
from traitbench.tasks.shifts import Shifts
from traitbench.tasks.task import About, Task
from traitbench.types import Request

if TYPE_CHECKING:
    from traitbench.inventories import Item
    from traitbench.targets.persons import Participants
    from traitbench.tasks.views import Views

__all__ = ["Robustness"]

ITEMS = "mini_ipip"


class Robustness(Task):
    """The Mini-IPIP in contexts that an effect should survive."""

    id = "robustness"
    items: tuple[Item, ...]
    heeds: ClassVar[tuple[str, ...]] = ("scoring", "symbols", "respondents", "contexts", "limit")
    fits: ClassVar[bool] = True

    def __init__(self, administration: Administration) -> None:
        """Take the grid; UnknownName for a context that there is not, UnsupportedControl for written answers only."""
        self.administration = administration
        self.instrument = inventories.load(ITEMS)
        self.items = administration.first(self.instrument.items)
        self.original = len(self.instrument.items)
        self.traits = tuple(dict.fromkeys(item.trait for item in self.items))
        self.about = About(
            name="Robustness of an effect over contexts",
            citation=f"Contexts written for this project; items: {self.instrument.citation}",
            licence="CC0-1.0 (contexts), public domain (items)",
        )
        self.mode = asking.scoring(self.id, administration)
        self.contexts = chosen(administration.contexts, self.mode)

    @classmethod
    def block(cls) -> type[Block]:
        """The effect in every context, the ladder, the drift curve, and the stability of respondents."""
        from traitbench.tasks.robustness.summary import RobustnessBlock

        return RobustnessBlock

    @classmethod
    def views(cls) -> Views:
        """Tables, figures and the leaderboard's columns."""
        from traitbench.tasks.robustness.views import RobustnessViews

        return RobustnessViews()

    def check(self, target: str | None, participants: Participants | None) -> None:
        """Refuse persons and characters: they aim at no trait, so there is no effect to be kept."""
        word = (target or "").partition(":")[0].strip().lower()
        if participants is not None or word in ("person", "character", "characters"):
            raise UnsupportedControl(
                f"--target {target}: {self.id} asks what is left of an effect on a trait, and this aims at none; "
                "take e.g. --target extraversion=high"
            )

    def identity(self) -> Any:
        """The items and everything that is said before them."""
        told = [context.model_dump(mode="json") for context in self.contexts]
        return [super().identity(), told]

    def requests(self, seed: int) -> list[Request]:
        """Every item in every context, contexts varying slower."""
        return asking.requests(self.id, self.instrument, self.items, self.administration, seed)

    def grade(self, sample: Sample) -> Grade:
        """As in an inventory: an expected value, or nats a token."""
        return grade(sample, self.instrument)

    def summarise(self, facts: Facts, samples: Sequence[Sample]) -> Block:
        """Compute effects, differences, retained shares, and the stability of respondents."""
        from traitbench.tasks.robustness.summary import summarise

        return summarise(facts, samples, self.instrument)

    def shifts(self, facts: Facts, samples: Sequence[Sample]) -> list[Shifts]:
        """Every contrast that aims at one trait, in every context."""
        from traitbench.tasks.robustness.comparison import shifts

        return shifts(facts, samples, self.instrument)
