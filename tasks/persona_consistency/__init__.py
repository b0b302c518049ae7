"""Persona consistency after PersLLM (Zeng et al. 2024): whether a model stays one character and nobody else.

Every character is asked the same: questions in two wordings, answered in writing; and questions with a premise that is
false of all of them, answered in writing and weighed (log-likelihood of a denial against an acceptance). The questions
are our own, see questions.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar, Literal

from traitbench.errors import MissingExtra
from traitbench.inventories import text_hash
from traitbench.samples import Grade, Sample
from traitbench.tasks.administration import Administration
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.task import About, Task
from traitbench.types import Continue, Doc, Message, Record, Request, Write, digest

if TYPE_CHECKING:
    from traitbench.tasks.views import Views

__all__ = ["MAX_TOKENS", "NAME", "PersonaConsistency", "Premise", "Question", "Questions", "questions"]

NAME = "persona_consistency"
MAX_TOKENS = 48
"""Of a written reply, where --gen_kwargs does not say otherwise."""


class Question(Record):
    """Something that anybody can be asked, in two wordings that share as few words as they can."""

    id: str
    kind: Literal["ordinary", "opinion"]
    wordings: tuple[str, str]


class Premise(Record):
    """A question that takes something for granted which is false of every character that ships."""

    id: str
    question: str
    denial: str
    acceptance: str
    """Of about as many words as the denial."""


class Questions(Record):
    """Everything questions.json holds."""

    licence: str
    ask: str
    """The user turn; holds {question}."""
    questions: tuple[Question, ...]
    premises: tuple[Premise, ...]


@cache
def questions() -> Questions:
    """Read questions.json."""
    source = files("traitbench.tasks.persona_consistency").joinpath("questions.json").read_text(encoding="utf-8")
    return Questions.model_validate_json(source)


class Asked(Record):
    """A question as samples refer to it."""

    id: str
    number: int
    text: str
    text_hash: str


def _asked() -> tuple[Asked, ...]:
    """The questions, then the premises."""
    held = questions()
    rows = [(q.id, q.wordings[0]) for q in held.questions] + [(p.id, p.question) for p in held.premises]
    return tuple(Asked(id=id, number=n, text=text, text_hash=text_hash(text)) for n, (id, text) in enumerate(rows, 1))


class PersonaConsistency(Task):
    """Whether a model stays one character: agreement with itself, difference from others, resistance to false premises.

    In a request's place in the grid `trait` is the kind of question, `template` the wording (0 or 1), and `keyed` tells
    a denial (+1) from an acceptance (-1). Of the administration only temperature, length of replies and limit count;
    the limit is so many questions in two wordings and so many false premises.
    """

    id = NAME
    brings: ClassVar[str | None] = "characters"
    heeds: ClassVar[tuple[str, ...]] = ("limit", "max_tokens", "temperature", "repetition_penalty")

    def __init__(self, administration: Administration) -> None:
        """Take length and temperature of the replies; MissingExtra where they could not be compared."""
        if find_spec("sacrebleu") is None:
            raise MissingExtra(f"{NAME} needs sacrebleu, which is not installed: pip install 'traitbench[lm-eval]'")
        self.administration = administration
        self.questions = administration.first(questions().questions)
        self.premises = administration.first(questions().premises)
        asked = {q.id for q in self.questions} | {p.id for p in self.premises}
        every = _asked()
        self.items = tuple(item for item in every if item.id in asked)
        self.original = len(every)
        self.about = About(
            name="Persona consistency and resistance to false premises",
            citation="After Zeng et al. (2024), PersLLM: a personified training approach for large language models; "
            "questions of our own",
            licence=questions().licence,
        )

    @classmethod
    def block(cls) -> type[Block]:
        """Agreement within and between characters, and resistance to false premises."""
        from traitbench.tasks.persona_consistency.block import ConsistencyBlock

        return ConsistencyBlock

    @classmethod
    def views(cls) -> Views:
        """Tables."""
        from traitbench.tasks.persona_consistency.views import ConsistencyViews

        return ConsistencyViews()

    def grade(self, sample: Sample) -> Grade:
        """A reply in one's own words has no value, and an empty one is no answer; a weighed reply is nats a token."""
        if sample.scoring == "statement":
            if sample.loglik is None or not sample.tokens:
                return Grade(status=sample.status)
            return Grade(status=sample.status, value_raw=sample.loglik / sample.tokens)
        if not str(sample.resps[0][0] or "").strip():
            return Grade(status="unparsed")
        return Grade(status="truncated" if sample.cut else "valid")

    def summarise(self, facts: Facts, samples: Sequence[Sample]) -> Block:
        """Compare the replies of every condition with each other."""
        from traitbench.tasks.persona_consistency.consistency import personas

        return personas(samples, facts.conditions, facts.iterations, facts.seed)

    def requests(self, seed: int) -> list[Request]:
        """Written replies to every wording, then to the false premises; then the two replies that are weighed."""
        out: list[Request] = [
            self._write(q.id, q.kind, q.wordings[wording], wording, seed) for wording in (0, 1) for q in self.questions
        ]
        out += [self._write(p.id, "false_premise", p.question, 0, seed) for p in self.premises]
        for p in self.premises:
            ask, both = (_ask(p.question),), ((1, p.denial), (-1, p.acceptance))
            for sign, text in both:
                doc = Doc(task=NAME, scoring="statement", item=p.id, trait="false_premise", facet=None,
                          keyed=1 if sign > 0 else -1)  # fmt: skip
                out.append(Continue(doc=doc, messages=ask, cue="Answer:", text=text))
        return out

    def _write(self, id: str, kind: str, question: str, wording: int, seed: int) -> Write:
        given = "max_tokens" in self.administration.model_fields_set
        return Write(
            doc=Doc(task=NAME, scoring="generate", item=id, trait=kind, facet=None, keyed=1, template=wording),
            messages=(_ask(question),), cue="Answer:",
            seed=int(digest([seed, id, wording]), 16) % 2**31,
            max_tokens=self.administration.max_tokens if given else MAX_TOKENS,
            temperature=self.administration.temperature,
            repetition_penalty=self.administration.repetition_penalty,
        )  # fmt: skip


def _ask(question: str) -> Message:
    return Message(role="user", content=questions().ask.format(question=question))
