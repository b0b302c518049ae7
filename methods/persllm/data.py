"""Training data for a persona: questions to a character, and answers grounded in what the character knows.

After PersLLM (Zeng et al., 2024), with texts of our own: each question is answered by a model that is shown the
best-fitting passages and how the character talks; the model trained on the answers is later shown neither.

Any backend may write: answers are `Write` requests, and a reply that is empty or was cut off is left out and counted.
It takes a model that can: SmolLM2-135M falls into repetition (19 of 22 replies were cut off at 160 tokens). Without one
an answer can be quoted from the passages.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from traitbench.errors import BadData, TraitbenchUsage
from traitbench.files import LARGEST, parsed, read_text
from traitbench.methods.persllm import questions
from traitbench.methods.persllm.questions import Question, QuestionKind
from traitbench.methods.persllm.quotes import quote
from traitbench.methods.persllm.similarity import Retrieval, cosines, nearest
from traitbench.store import write_text
from traitbench.targets.characters import Character
from traitbench.types import Doc, Message, Record, Request, Write, digest

if TYPE_CHECKING:
    from traitbench.backends.backend import Backend
    from traitbench.methods.bench import Bench

__all__ = [
    "Answered", "Building", "Half", "Loss", "Persona", "ask", "build", "held_out", "marker", "without_duplicates",
]  # fmt: skip

Half = Literal["train", "held_out"]

_FORMAT = 1
"""Of the stored replies: raise it when what is asked changes in a way that the requests do not show."""
_CHUNK = 32
"""Requests between two writes to the file of replies: what a kill can cost."""
_NOTES: Mapping[QuestionKind, str] = {
    "ordinary": "",
    "false_premise": " The question may take for granted something that is not true: if so, say that it is not.",
    "opinion": " Say what you think, and why.",
}


class Building(Record):
    """How persona data are made."""

    questions: Literal["templates", "written"] = "templates"
    """templates: from the paragraph's own phrases. written: by the model that also writes the answers."""
    answers: Literal["written", "quoted"] | None = None
    """written: by a model that is shown passages and style. quoted: two sentences of the passages, and a denial in
    front where the premise is false; for characters that tell of themselves. None: quoted in the preset `small`."""
    per_kind: int = Field(default=2, ge=1, le=8)
    """Questions of each of the three kinds to each paragraph."""
    retrieval: Retrieval = "tfidf"
    """How similar texts are found. embedding: a small model of word vectors (wordllama)."""
    passages: int = Field(default=3, ge=1)
    """Passages that an answer is grounded in."""
    duplicate: float = Field(default=0.95, gt=0, le=1)
    """Cosine from which a question repeats an earlier one of the same character and is dropped."""
    answer_tokens: int = Field(default=160, ge=8)
    """Longest answer; a longer one is dropped."""
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the paragraphs whose questions are held out."""


class Answered(Record):
    """A question and the answer that the character gave."""

    character: str
    kind: QuestionKind
    paragraph: int
    half: Half
    question: str
    passages: tuple[int, ...]
    """Paragraphs that the answer was grounded in, the most similar first."""
    answer: str


class Loss(Record):
    """What was lost on the way from paragraphs to records."""

    unmade: int = 0
    """Questions that no template or model could make."""
    duplicates: int = 0
    empty: int = 0
    truncated: int = 0


class Persona(Record):
    """The data of one character."""

    name: str
    records: tuple[Answered, ...]
    asked: int
    """Questions put to the writer."""
    lost: Loss

    def half(self, half: Half) -> tuple[Answered, ...]:
        """The records of one half."""
        return tuple(record for record in self.records if record.half == half)

    @property
    def summary(self) -> dict[str, Any]:
        """What method.json says of the data."""
        return {
            "persona": self.name, "digest": digest([record.model_dump() for record in self.records]),
            "asked": self.asked, "train": len(self.half("train")), "held_out": len(self.half("held_out")),
            "lost": self.lost.model_dump(),
        }  # fmt: skip


def marker(character: Character) -> str:
    """Say who speaks and at which stage of life, as ordinary text: new tokens could not be served as an adapter."""
    if character.pole:
        return "You are a person."
    who = character.who.replace("_", " ").capitalize()
    return f"You are {who}. Stage of life: {character.stage}." if character.stage else f"You are {who}."


def without_duplicates(asked: Sequence[Question], limit: float, retrieval: Retrieval) -> list[Question]:
    """Leave out each question that is as similar as `limit`, or more, to one that was kept before it."""
    if not asked:
        return []
    texts = [question.text for question in asked]
    alike = cosines(texts, texts, retrieval) >= limit - 1e-9
    kept: list[int] = []
    for i in range(len(asked)):
        if not alike[i, kept].any():
            kept.append(i)
    return [asked[i] for i in kept]


def held_out(paragraphs: int, share: float, seed: int) -> frozenset[int]:
    """Draw the paragraphs that are held out: `share` of them, at least one, and at least one is left to train on.

    Characters with the same number of paragraphs hold out the same ones, so that poles of a trait and stages of a life
    are held out together.
    """
    number = min(max(1, round(share * paragraphs)), paragraphs - 1)
    return frozenset(random.Random(f"persllm held out {seed} {paragraphs}").sample(range(paragraphs), number))


def build(
    bench: Bench, cast: Sequence[Character], config: Building, writer: Backend | None = None
) -> dict[str, Persona]:
    """Make the data of every character of `cast`; `writer` answers, the bench's model where it is None.

    Replies are kept in the bench's cache as they come, so that a killed build goes on. BadData where a character is
    left without a record in one of the halves.
    """
    backend = writer if writer is not None else bench.backend
    if config.answers == "quoted" and config.questions == "written":
        raise TraitbenchUsage(
            "answers=quoted must know what is false in a question, which questions=written does not tell; leave out one"
        )
    out: dict[str, Persona] = {}
    for character in cast:
        held = held_out(len(character.knowledge), config.held_out, bench.seed)
        asked, unmade = _questions(bench, backend, character, cast, config)
        kept = without_duplicates(asked, config.duplicate, config.retrieval)
        grounds = _grounds(character, kept, held, config)
        replies = _replies(bench, backend, character, kept, grounds, config)
        records = [
            Answered(
                character=character.name, kind=question.kind, paragraph=question.paragraph,
                half="held_out" if question.paragraph in held else "train", question=question.text,
                passages=tuple(passages), answer=reply["text"],
            )
            for question, passages, reply in zip(kept, grounds, replies, strict=True)
            if reply["text"] and reply["status"] == "valid"
        ]  # fmt: skip
        cut = sum(reply["status"] == "truncated" for reply in replies)
        lost = Loss(unmade=unmade, duplicates=len(asked) - len(kept), truncated=cut,
                    empty=len(kept) - len(records) - cut)  # fmt: skip
        out[character.name] = Persona(name=character.name, records=tuple(records), asked=len(kept), lost=lost)
        _check(out[character.name], config)
    return out


def _questions(
    bench: Bench, backend: Backend, character: Character, cast: Sequence[Character], config: Building
) -> tuple[list[Question], int]:
    if config.questions == "templates":
        others = [other for other in cast if other.name != character.name]
        return questions.from_templates(character, others, config.per_kind, bench.seed)
    asked = questions.written(character, config.per_kind, 64, bench.seed)
    replies = ask(bench, backend, f"questions to {character.name}", [request for _, request in asked])
    found = [
        question.model_copy(update={"text": text})
        for (question, _), reply in zip(asked, replies, strict=True)
        if (text := questions.read(reply["text"])) is not None
    ]
    return found, len(asked) - len(found)


def _grounds(
    character: Character, asked: Sequence[Question], held: frozenset[int], config: Building
) -> list[list[int]]:
    """For each question its passages; those of the training half are grounded in paragraphs of that half alone."""
    every = range(len(character.knowledge))
    out: list[list[int]] = [[] for _ in asked]
    for half in (True, False):
        usable = [n for n in every if half or n not in held]
        mine = [i for i, question in enumerate(asked) if (question.paragraph in held) == half]
        if mine:
            texts = [asked[i].text for i in mine]
            best = nearest(texts, [character.knowledge[n] for n in usable], config.passages, config.retrieval)
            for i, found in zip(mine, best, strict=True):
                out[i] = [usable[n] for n in found]
    return out


def _replies(
    bench: Bench,
    backend: Backend,
    character: Character,
    asked: Sequence[Question],
    grounds: Sequence[Sequence[int]],
    config: Building,
) -> list[dict[str, str]]:
    if config.answers == "quoted":
        both = zip(asked, grounds, strict=True)
        return [{"status": "valid", "text": quote(character, q, found, config.retrieval)} for q, found in both]
    requests = [_request(character, *each, config) for each in zip(asked, grounds, strict=True)]
    return ask(bench, backend, f"answers of {character.name}", requests)


def _request(character: Character, question: Question, passages: Sequence[int], config: Building) -> Write:
    notes = "\n".join(f"- {character.knowledge[n]}" for n in passages)
    told = (
        f"This is what you know about your life:\n{notes}\n\nAnswer the question below in two or three short "
        f"sentences, as yourself, in the first person and in your own way of talking.{_NOTES[question.kind]}\n\n"
        f"Question: {question.text}"
    )
    persona = f"{marker(character)} How you talk: {character.style}"
    return Write(
        doc=Doc(task="persllm", scoring="generate", item=question.text, trait="", facet=None, keyed=1),
        messages=(Message(role="system", content=persona), Message(role="user", content=told)), cue="Answer:",
        max_tokens=config.answer_tokens,
    )  # fmt: skip


def _check(persona: Persona, config: Building) -> None:
    for half in ("train", "held_out"):
        if not any(record.half == half for record in persona.records):
            lost = ", ".join(f"{number} {name}" for name, number in persona.lost if number) or "none lost"
            raise BadData(
                f"{persona.name} is left without an answer in the half {half} ({persona.asked} questions asked, "
                f"{lost}); expected a writer that answers within {config.answer_tokens} tokens: allow more with "
                "--method_args answer_tokens=300, name a stronger one with writer=MODEL, or take answers=quoted"
            )


def ask(bench: Bench, backend: Backend, what: str, requests: Sequence[Request]) -> list[dict[str, str]]:
    """Put `requests` to `backend`: status and stripped text of each reply, in order.

    They are kept as JSON lines in the bench's cache, in a file named by a digest of model and requests; what is there
    is not asked again.
    """
    name = digest(["persllm", _FORMAT, backend.identity, [request.content() for request in requests]])
    path = bench.cache / f"persllm-{name}.jsonl"
    held = _read(path)
    with bench.progress(what, len(requests)) as step, backend.under(None):
        for start in range(0, len(requests), _CHUNK):
            chunk = requests[start : start + _CHUNK]
            if len(held) >= start + len(chunk):
                step(len(chunk))
                continue
            found = {i: response for batch in backend.run(chunk) for i, response in batch.items()}
            lines = [{"status": found[i].status, "text": (found[i].text or "").strip()} for i in range(len(chunk))]
            held[start:] = lines
            write_text(path, "".join(json.dumps(reply, ensure_ascii=False) + "\n" for reply in held))
            step(len(chunk))
    return held


def _read(path: Path) -> list[dict[str, str]]:
    """The replies that are there, up to the last whole chunk."""
    if not path.is_file():
        return []
    held: list[dict[str, str]] = []
    for line in read_text(path, largest=LARGEST).splitlines():
        try:
            reply = parsed(line)
            held.append({"status": str(reply["status"]), "text": str(reply["text"])})
        except (ValueError, TypeError, KeyError):
            # A damaged line and what follows are asked again.
            break
    return held
