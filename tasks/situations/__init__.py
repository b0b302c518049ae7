"""Situations: what a model would do or say where one reply is typical of the high pole of a trait, another of the low.

No self-description is needed, and no judge where a reply is weighed or chosen. A pair is scored by the likelihood of
both replies as the model's own words (statement) or by the choice between them (choice); in `generate` the model writes
a reply of its own, which judges rate (`tasks/written`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from traitbench.errors import UnsupportedControl
from traitbench.judges.records import Text
from traitbench.samples import Grade, Sample
from traitbench.tasks.administration import Administration
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.scoring import chosen
from traitbench.tasks.shifts import Shifts
from traitbench.tasks.situations import asking
from traitbench.tasks.situations.pairs import Pair, Split, load
from traitbench.tasks.task import About, Task
from traitbench.tasks.written import replies
from traitbench.types import Evidence, Request

if TYPE_CHECKING:
    from traitbench.tasks.views import Views

__all__ = ["NAME", "Situations"]

NAME = "situations"


class Situations(Task):
    """Everyday situations, each with a reply of either pole of a Big Five trait, weighed or chosen between.

    In a request's place in the grid `keyed` is the pole of the reply that is weighed (statement), or says where the
    high reply stands (choice): 1 second in forward order, -1 first.
    """

    id = NAME
    items: tuple[Pair, ...]
    heeds: ClassVar[tuple[str, ...]] = tuple(
        name for name in Administration.model_fields if name not in ("respondents", "contexts")
    )
    evidence: ClassVar[Evidence | None] = "behaviour"
    fits: ClassVar[bool] = True

    def __init__(self, administration: Administration, split: Split = "test") -> None:
        """Take the grid. `split="dev"` asks the pairs that are reserved for choosing, such as of a strength.

        UnsupportedControl for simulated respondents.
        """
        if administration.respondents:
            raise UnsupportedControl(
                f"--respondents {administration.respondents}: {NAME} asks the model as itself, and says nothing of the "
                "reliability over respondents; leave --respondents out, or run the inventories on their own"
            )
        self.administration = administration
        every = load(split)
        self.items = administration.first(every)
        self.original = len(every)
        self.traits = tuple(dict.fromkeys(pair.trait for pair in self.items))
        self.judged = "generate" in administration.scoring
        self.about = About(
            name="Everyday situations with two replies", citation="Written for this project", licence="CC0-1.0"
        )

    @classmethod
    def block(cls) -> type[Block]:
        """Levels, effects and what they rest on, a scoring mode."""
        from traitbench.tasks.situations.summary import SituationsBlock

        return SituationsBlock

    @classmethod
    def views(cls) -> Views:
        """Tables, a figure and the leaderboard's columns."""
        from traitbench.tasks.situations.views import SituationsViews

        return SituationsViews()

    def requests(self, seed: int) -> list[Request]:
        """Both replies of every pair in the grid, or a reply to be written."""
        return asking.requests(self.id, self.items, self.administration, seed)

    def to_judge(self, samples: Sequence[Sample]) -> list[Text]:
        """Every reply of the model's own that can be read, on the trait of the pair and on the other four."""
        return replies.texts(samples, {pair.id: pair.situation for pair in self.items})

    def grade(self, sample: Sample) -> Grade:
        """Nats a token of one reply, or the probability of the reply that stands second in forward order, 0 to 1.

        `value_keyed` of a choice is the probability of the high reply. What the model writes has no value of its own.
        """
        if sample.scoring == "statement":
            weighed = sample.loglik / sample.tokens if sample.loglik is not None and sample.tokens else None
            return Grade(status=sample.status, value_raw=weighed)
        if sample.scoring == "choice":
            if not sample.option_logprobs or not sample.option_values:
                return Grade(status=sample.status)
            found = chosen(sample.option_logprobs, sample.option_bounds, sample.option_values)
            raw = found.value_raw
            keyed = None if raw is None else raw if sample.keyed == 1 else 1 - raw
            return found.model_copy(update={"value_keyed": keyed})
        return replies.grade(sample)

    def summarise(self, facts: Facts, samples: Sequence[Sample]) -> Block:
        """Compute levels, effects, desirability balance and verdicts."""
        from traitbench.tasks.situations.summary import summarise

        return summarise(facts, samples, self.items)

    def shifts(self, facts: Facts, samples: Sequence[Sample]) -> list[Shifts]:
        """Every contrast that aims at one trait."""
        from traitbench.tasks.situations.comparison import shifts

        return shifts(facts, samples, self.summarise(facts, samples))
