"""Persona consistency after PersLLM (Zeng et al. 2024): whether a model stays one character and nobody else.

Every character is asked the same: questions in two wordings, answered in writing; and questions with a premise that is
false of all of them, answered in writing and weighed (log-likelihood of a denial against an acceptance). The questions
are our own, see questions.json. What the replies amount to is for `traitbench.tasks.persona_consistency.consistency` to say.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import ClassVar, Literal

from traitbench.errors import MissingExtra
from traitbench.inventories import Inventory, Item, ResponseScale, text_hash
from traitbench.tasks.administration import Administration
from traitbench.tasks.task import Task
from traitbench.types import Continue, Doc, Message, Record, Request, Write, digest

__all__ = ["MAX_TOKENS", "NAME", "PersonaConsistency", "Premise", "Question", "Questions", "inventory", "questions"]

NAME = "persona_consistency"
MAX_TOKENS = 48
"""Of a written reply, where --gen_kwargs does not say otherwise."""
_SCALES = {"O": "ordinary", "V": "opinion", "P": "false_premise"}


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


def inventory() -> Inventory:
    """The questions in the form that samples refer to: an item a question, its kind where an item has its trait.

    It is no instrument: there is no response scale to speak of (0 to 1 stands there), and nothing is keyed.
    """
    held = questions()
    letters = {kind: letter for letter, kind in _SCALES.items()}
    rows: list[tuple[str, str, str]] = [(q.id, q.kind, q.wordings[0]) for q in held.questions]
    rows += [(p.id, "false_premise", p.question) for p in held.premises]
    items = tuple(
        Item(id=id, number=number, text=text, scale=letters[kind], trait=kind, keyed=1, text_hash=text_hash(text))
        for number, (id, kind, text) in enumerate(rows, 1)
    )
    return Inventory(
        id=NAME,
        name="Persona consistency and resistance to false premises",
        version=PersonaConsistency.version,
        licence=held.licence,
        citation="After Zeng et al. (2024), PersLLM: a personified training approach for large language models; "
        "questions of our own",
        scales=dict(_SCALES),
        response_scale=ResponseScale(min=0, max=1, labels=("no", "yes")),
        items=items,
    )


class PersonaConsistency(Task):
    """Whether a model stays one character: agreement with itself, difference from others, resistance to false premises.

    In a request's place in the grid `trait` is the kind of question, `template` the wording (0 or 1), and `keyed` tells
    a denial (+1) from an acceptance (-1). Of the administration only temperature, length of replies and limit count;
    the limit is so many questions in two wordings and so many false premises.
    """

    version: ClassVar[str] = "1"

    def __init__(self, administration: Administration) -> None:
        """Take length and temperature of the replies; MissingExtra where they could not be compared."""
        if find_spec("sacrebleu") is None:
            raise MissingExtra(f"{NAME} needs sacrebleu, which is not installed: pip install 'traitbench[lm-eval]'")
        self.id = NAME
        self.inventory = inventory()
        self.administration = administration
        self.questions = questions().questions[: administration.limit]
        self.premises = questions().premises[: administration.limit]
        asked = {q.id for q in self.questions} | {p.id for p in self.premises}
        self.items = tuple(item for item in self.inventory.items if item.id in asked)
        self.traits = ()

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
        )  # fmt: skip


def _ask(question: str) -> Message:
    return Message(role="user", content=questions().ask.format(question=question))
