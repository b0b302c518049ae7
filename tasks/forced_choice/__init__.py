"""Forced choice: which of two statements describes the model better, where people find both equally desirable.

Agreeing with everything, or with what sounds good, gives no trait here: one statement is taken and the other left. The
pairs are of items of the IPIP-NEO-120, key-balanced and matched in desirability; see `matching`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from traitbench.errors import UnsupportedControl
from traitbench.samples import Grade, Sample
from traitbench.statistics.replies import parse_reply
from traitbench.tasks.administration import Administration
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.forced_choice import asking
from traitbench.tasks.forced_choice.pairs import Pair, load
from traitbench.tasks.leanings import Leanings
from traitbench.tasks.scoring import chosen
from traitbench.tasks.shifts import Shifts
from traitbench.tasks.task import About, Task
from traitbench.types import BIG_FIVE, Evidence, Mode, Request

if TYPE_CHECKING:
    from traitbench.tasks.views import Views

__all__ = ["NAME", "ForcedChoice"]

NAME = "forced_choice"


class ForcedChoice(Task):
    """Pairs of equally desirable statements of two Big Five traits, or of both poles of one; the truer one is taken.

    In a request's place in the grid trait, facet and key are those of the statement that is weighed (statement), or of
    the one that stands second in forward order, the other being `rival`.
    """

    id = NAME
    items: tuple[Pair, ...]
    evidence: ClassVar[Evidence | None] = "self-report"
    heeds: ClassVar[tuple[str, ...]] = tuple(name for name in Administration.model_fields if name != "respondents")
    fits: ClassVar[bool] = True

    def __init__(self, administration: Administration) -> None:
        """Take the grid; UnsupportedControl for simulated respondents."""
        if administration.respondents:
            raise UnsupportedControl(
                f"--respondents {administration.respondents}: {NAME} asks the model as itself, and says nothing of the "
                "reliability over respondents; leave --respondents out, or run the inventories on their own"
            )
        self.administration = administration
        every = load()
        self.items = administration.first(every)
        self.original = len(every)
        held = {own.trait for pair in self.items for own in (pair.first, pair.second)}
        self.traits = tuple(trait for trait in BIG_FIVE if trait in held)
        self.about = About(
            name="Pairs of statements of the IPIP-NEO-120, matched in desirability",
            citation="Form of this project; items of Johnson (2014) from the International Personality Item Pool",
            licence="public domain (items), CC0-1.0 (form)",
        )

    @classmethod
    def block(cls) -> type[Block]:
        """Levels, effects and what they rest on, a scoring mode."""
        from traitbench.tasks.forced_choice.summary import ForcedChoiceBlock

        return ForcedChoiceBlock

    @classmethod
    def views(cls) -> Views:
        """Tables, a figure and the leaderboard's columns."""
        from traitbench.tasks.forced_choice.views import ForcedChoiceViews

        return ForcedChoiceViews()

    def requests(self, seed: int) -> list[Request]:
        """Every pair in the grid."""
        return asking.requests(self.id, self.items, self.administration, seed)

    def grade(self, sample: Sample) -> Grade:
        """Nats a token of one statement, or the probability of the one that stands second in forward order, 0 to 1.

        `value_keyed` of a choice is the probability of what whoever is high on that statement's trait takes.
        """
        if sample.scoring == "statement":
            weighed = sample.loglik / sample.tokens if sample.loglik is not None and sample.tokens else None
            return Grade(status=sample.status, value_raw=weighed)
        if sample.scoring == "choice":
            if not sample.option_logprobs or not sample.option_values:
                return Grade(status=sample.status)
            found = chosen(sample.option_logprobs, sample.option_bounds, sample.option_values)
        else:
            pair = next(pair for pair in load() if pair.id == sample.item)
            labels, values = asking.presented(pair, sample.symbols or "letters", sample.order or "forward")
            status, value = parse_reply(str(sample.resps[0][0] or ""), labels, values, sample.cut)
            found = Grade(status=status, value_raw=None if value is None else float(value))
        raw = found.value_raw
        return found.model_copy(update={"value_keyed": raw if raw is None or sample.keyed == 1 else 1 - raw})

    def summarise(self, facts: Facts, samples: Sequence[Sample]) -> Block:
        """Compute levels, effects and verdicts."""
        from traitbench.tasks.forced_choice.summary import summarise

        return summarise(facts, samples, self.items)

    def leanings(self, conditions: Mapping[str, Sequence[Sample]], mode: Mode) -> Leanings:
        """The preference of every unit for the high pole of its trait."""
        from traitbench.tasks.forced_choice.summary import leanings

        return leanings(conditions, self.items, mode)

    def shifts(self, facts: Facts, samples: Sequence[Sample]) -> list[Shifts]:
        """Every contrast that aims at one trait."""
        from traitbench.tasks.forced_choice.comparison import shifts

        return shifts(facts, samples, self.summarise(facts, samples))
