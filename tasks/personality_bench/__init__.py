"""PersonalityBench: open questions answered in one's own words, and rated by judges (after Deng et al. 2024, NPTI).

`personality_bench` asks an open set of our own; `personality_bench_published` asks the published questions, which do
not ship. What replies are worth, judges say; how they are counted, `tasks/written` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from traitbench.errors import UnsupportedControl
from traitbench.judges.records import Text
from traitbench.samples import Grade, Sample
from traitbench.tasks.administration import Administration
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.personality_bench import asking
from traitbench.tasks.personality_bench.questions import DATA, PUBLISHED, Question, Split, load, published
from traitbench.tasks.shifts import Shifts
from traitbench.tasks.task import About, Task
from traitbench.tasks.written import replies
from traitbench.types import Request

if TYPE_CHECKING:
    from traitbench.tasks.views import Views

__all__ = ["NAME", "PersonalityBench", "PublishedBench"]

NAME = "personality_bench"
_AFTER = "Deng et al. (2024), Neuron-based personality trait induction in large language models"


class PersonalityBench(Task):
    """Open questions on the Big Five, answered in the model's own words and rated by judges.

    Of the administration, wordings, repeats, length and temperature of replies and the limit count; it is always
    written, whatever --scoring says.
    """

    id = NAME
    items: tuple[Question, ...]
    heeds: ClassVar[tuple[str, ...]] = (
        "limit", "templates", "repeats", "max_tokens", "temperature", "repetition_penalty",
    )  # fmt: skip
    fits: ClassVar[bool] = True
    judged = True
    evidence = "behaviour"

    def __init__(self, administration: Administration, split: Split = "test") -> None:
        """Take the grid. `split="dev"` asks the questions that are reserved for choosing, such as of a strength.

        UnsupportedControl for simulated respondents.
        """
        self._take(administration, load(split))
        self.about = About(
            name="Open questions on the Big Five",
            citation=f"Written for this project, after {_AFTER}",
            licence="CC0-1.0",
        )

    def _take(self, administration: Administration, every: Sequence[Question]) -> None:
        if administration.respondents:
            raise UnsupportedControl(
                f"--respondents {administration.respondents}: {self.id} asks the model as itself; leave --respondents "
                "out, or run the inventories on their own"
            )
        self.administration = administration
        self.items = tuple(administration.first(every))
        self.original = len(every)
        self.traits = tuple(dict.fromkeys(question.trait for question in self.items))

    @classmethod
    def block(cls) -> type[Block]:
        """Ratings, effects and what they rest on."""
        from traitbench.tasks.personality_bench.block import BenchBlock

        return BenchBlock

    @classmethod
    def views(cls) -> Views:
        """Tables, a figure and the leaderboard's columns."""
        from traitbench.tasks.personality_bench.views import BenchViews

        return BenchViews()

    def requests(self, seed: int) -> list[Request]:
        """A reply to every question."""
        return asking.requests(self.id, self.items, self.administration, seed)

    def to_judge(self, samples: Sequence[Sample]) -> list[Text]:
        """Every reply that can be read, on its own trait and on the other four."""
        return replies.texts(samples, {question.id: question.text for question in self.items})

    def grade(self, sample: Sample) -> Grade:
        """Say whether there is anything to judge."""
        return replies.grade(sample)

    def summarise(self, facts: Facts, samples: Sequence[Sample]) -> Block:
        """Compute ratings, effects, agreement, fluency and the verdict."""
        from traitbench.tasks.personality_bench.block import summarise

        return summarise(facts, samples, self.items)

    def shifts(self, facts: Facts, samples: Sequence[Sample]) -> list[Shifts]:
        """Every contrast that aims at one trait."""
        from traitbench.tasks.personality_bench.block import BenchBlock
        from traitbench.tasks.written.comparison import shifts

        block = self.summarise(facts, samples)
        assert isinstance(block, BenchBlock)
        return shifts(block.written, facts, block.facets)


class PublishedBench(PersonalityBench):
    """The published questions of PersonalityBench, which do not ship (`traitbench data get personalitybench`)."""

    id = PUBLISHED
    restricted = True
    data_set = DATA

    def __init__(self, administration: Administration) -> None:
        """Take the grid. BadData with what to type where the questions are not on this machine."""
        self._take(administration, published())
        self.about = About(
            name="PersonalityBench", citation=_AFTER, licence="none stated: the questions are never passed on"
        )
