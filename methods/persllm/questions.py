"""Questions to a character, from the paragraphs of what they know: ordinary, with a false premise, and for opinions.

By default they come from templates over a paragraph's most distinctive noun phrases, so they are the same for every
model. A false premise joins a phrase of the paragraph with one from other characters whose words this one never uses.
English only; for other languages let a model write them (`written`).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import pairwise, takewhile
from math import log
from typing import Literal, get_args

from traitbench.targets.characters import Character
from traitbench.types import Doc, Message, Record, Write

__all__ = ["KINDS", "Instruction", "Question", "QuestionKind", "from_templates", "phrases", "read", "texts", "written"]

QuestionKind = Literal["ordinary", "false_premise", "opinion"]
KINDS: tuple[QuestionKind, ...] = get_args(QuestionKind)

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|[.,;:!?()\"]")
_LONGEST = 3
"""Words of a phrase besides its determiner."""
_ENOUGH = 20
"""Foreign phrases to draw from."""
_OWN = {"my", "our"}
_SAID = re.compile(r"(ed|ing|ly)$")
_ASKS: Mapping[QuestionKind, str] = {
    "ordinary": "Write one question about something that the text tells.",
    "false_premise": "Write one question that takes for granted something about the text which is not true.",
    "opinion": "Write one question that asks for an opinion about something in the text.",
}


class Question(Record):
    """One question to a character."""

    character: str
    paragraph: int
    """The paragraph it was made from, counted from 0."""
    kind: QuestionKind
    text: str
    about: tuple[str, ...] = ()
    """The phrases of the paragraph that it is about."""
    premise: str = ""
    """The phrase in it that is foreign to the character."""


class Instruction(Record):
    """An everyday instruction and a good answer, without a persona."""

    instruction: str
    answer: str


class Texts(Record):
    """Everything questions.json holds."""

    licence: str
    templates: dict[QuestionKind, tuple[str, ...]]
    """{a} and {b} are phrases of the paragraph, {f} is a phrase foreign to the character."""
    denials: tuple[str, ...]
    """Corrections of a false premise {f}."""
    determiners: frozenset[str]
    boundaries: frozenset[str]
    """Words at which a noun phrase ends: function words and common verbs."""
    light: frozenset[str]
    """Words that say too little to be a phrase by themselves."""
    instructions: tuple[Instruction, ...]


@cache
def texts() -> Texts:
    """Read questions.json."""
    source = files("traitbench.methods.persllm").joinpath("questions.json").read_text(encoding="utf-8")
    return Texts.model_validate_json(source)


def phrases(paragraph: str) -> list[str]:
    """Find the noun phrases of an English paragraph, by the words around them, in order and without repetition.

    What follows a determiner up to the next function word, verb or sign, three words at most; and names. "my" becomes
    "your", other determiners "the". A rule of thumb: it misses phrases, and now and then takes one that is none.
    """
    words = _WORD.findall(paragraph.replace("’", "'"))
    found: list[str] = []
    for i, (before, word) in enumerate(pairwise(["", *words])):
        low = word.lower()
        if low in texts().determiners:
            if body := _body(words[i + 1 :]):
                found.append(" ".join(["your" if low in _OWN else "the", *body]))
        elif word[0].isupper() and not _ends(word) and before not in texts().determiners and _inside(before):
            found.append(_name(words[i:]))
    sets = [_content(phrase) for phrase in found]
    return list(
        dict.fromkeys(p for p, mine in zip(found, sets, strict=True) if not any(mine < other for other in sets))
    )


def _inside(before: str) -> bool:
    """Whether a capital letter behind `before` is that of a name: no sentence begins there and no name goes on."""
    return before[:1].isalpha() and (before[0].islower() or _ends(before))


def _ends(word: str) -> bool:
    """Whether a noun phrase is over before `word`."""
    low = word.lower()
    known = texts()
    return not word[0].isalpha() or low in known.determiners or low.partition("'")[0] in known.boundaries


def _body(words: Sequence[str]) -> list[str]:
    """Take the noun phrase that `words` begin with; empty where there is none or it is too long."""
    body: list[str] = []
    words = words[1:] if words and words[0] == "own" else words
    for word in words[: _LONGEST + 1]:
        # "stopped" or "slowly" behind a noun belongs to what is said of it.
        if _ends(word) or (body and _SAID.search(word)):
            break
        body.append(word)
    if not body or len(body) > _LONGEST or _SAID.search(body[-1]) or len(body[-1]) < 3:
        return []
    return [] if len(body) == 1 and body[0].lower() in texts().light else body


def _name(words: Sequence[str]) -> str:
    """Join the capitalised words that `words` begin with."""
    name = takewhile(lambda word: word[0].isupper(), words)
    return " ".join(word.removesuffix("'s") for word in name)


def _content(phrase: str) -> set[str]:
    return {word for word in map(str.lower, _WORD.findall(phrase)) if word[0].isalpha() and not _ends(word)}


def from_templates(
    character: Character, others: Sequence[Character], per_kind: int, seed: int
) -> tuple[list[Question], int]:
    """Make `per_kind` questions of each kind from each paragraph; also say how many could not be made.

    Phrases are taken in falling order of distinctiveness (mean over their words of log(paragraphs / paragraphs that
    hold the word), over all characters); which template and which foreign phrase is drawn by `seed`.
    """
    pool = [paragraph for each in (character, *others) for paragraph in each.knowledge]
    spread = Counter(word for paragraph in pool for word in _content(paragraph))

    def distinct(phrase: str) -> float:
        words = _content(phrase)
        return sum(log(len(pool) / spread[word]) for word in words) / len(words) if words else 0.0

    mine = set().union(*map(_content, character.knowledge))
    strangers = {p for each in others for k in each.knowledge for p in phrases(k)}
    foreign = sorted(p for p in strangers if p.startswith("the ") and _content(p) and not _content(p) & mine)
    # Two words and more are told apart better, where there are enough of them.
    foreign = longer if len(longer := [p for p in foreign if p.count(" ") > 1]) >= _ENOUGH else foreign
    made, missing = [], 0
    for number, paragraph in enumerate(character.knowledge):
        # Poles of a trait tell of the same things in turn: the same draws give both the same templates.
        draw = random.Random(f"questions {seed} {number}")
        found = sorted(phrases(paragraph), key=lambda p: (-distinct(p), p))[: max(2, per_kind) + 2]
        for kind in KINDS:
            templates = draw.sample(texts().templates[kind], len(texts().templates[kind]))
            strange = draw.sample(foreign, min(per_kind, len(foreign))) if kind == "false_premise" else []
            for n in range(per_kind):
                if not found or (kind == "false_premise" and n >= len(strange)):
                    missing += 1
                    continue
                a, b = (found[(n + step) % len(found)] for step in (0, 1))
                template = _fitting(templates, n, a != b)
                premise = strange[n] if strange else ""
                made.append(
                    Question(
                        character=character.name, paragraph=number, kind=kind, premise=premise,
                        text=template.format(a=a, b=b, f=premise), about=(a, b) if "{b}" in template else (a,),
                    )
                )  # fmt: skip
    return made, missing


def _fitting(templates: Sequence[str], n: int, two: bool) -> str:
    usable = [t for t in templates if two or "{b}" not in t]
    return usable[n % len(usable)]


def written(character: Character, per_kind: int, max_tokens: int, seed: int) -> list[tuple[Question, Write]]:
    """Requests that let a model write `per_kind` questions of each kind to each paragraph; text is filled by `read`.

    More than one of a kind are sampled at temperature 1, the first is greedy.
    """
    asked = []
    for number, paragraph in enumerate(character.knowledge):
        for kind in KINDS:
            order = f"{paragraph}\n\n{_ASKS[kind]} Speak to the person with you. Write only the question."
            for n in range(per_kind):
                request = Write(
                    doc=Doc(task="persllm", scoring="generate", item=f"{character.name} {number} {kind} {n}",
                            trait="", facet=None, keyed=1),
                    messages=(Message(role="user", content=order),), cue="Question:", max_tokens=max_tokens,
                    temperature=0.0 if n == 0 else 1.0, seed=seed + n,
                )  # fmt: skip
                asked.append((Question(character=character.name, paragraph=number, kind=kind, text=""), request))
    return asked


def read(reply: str) -> str | None:
    """Take the first question out of what a model wrote; None where it holds none."""
    for line in reply.splitlines():
        found = re.search(r"[^\s\"“”*#\d.)-][^?\"“”]*\?", line)
        if found:
            return found[0].removeprefix("Question:").strip()
    return None
