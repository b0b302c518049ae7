"""Control by messages alone: a persona, an instruction, a description, example replies, answers or a life story.

After Serapio-García et al. (2023) for adjectives, Jiang et al. (2023) for paragraphs of behaviour (P2) and Li et al.
(2024), BIG5-CHAT, for the instruction.

1. Put the target into words: adjectives of the pole with a word of intensity, one sentence that names trait and level,
   a paragraph of how such a person behaves, a description of one, example replies, a person's answers, or a
   character's texts.
2. Of several traits join the words, in one fixed order.
3. Show them in front of every task, as system or user turn.

Where it departs: the texts are our own (prompting.json) and the same for every model, where P2 lets the model write its
paragraph; a level has five words on either side of the middle, where theirs have four. The sentence of `instruction` at
full strength is BIG5-CHAT's own.

Over 300 lines: ten styles of a few lines each share their words and one class.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, TypeAdapter, ValidationError

from traitbench import inventories
from traitbench.errors import BadData, TraitbenchUsage, UnsupportedControl
from traitbench.files import read_text, user_path
from traitbench.methods.impression import IMPRESSION, side
from traitbench.methods.method import Method
from traitbench.types import TRAITS, Aim, Control, Fit, Kind, Message, Person, Record, Target, Trait, is_name

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench
    from traitbench.targets.characters import Character

__all__ = ["STYLES", "Example", "Pole", "Prompting", "Style", "TraitTexts", "answers", "seen", "story", "texts"]

Style = Literal[
    "direct", "adjective", "instruction", "p2", "description", "demo", "person", "character", "neutral", "impression"
]

STYLES: Mapping[Style, frozenset[Aim]] = {
    "direct": frozenset({"poles", "graded", "several", "person", "character"}),
    "adjective": frozenset({"poles", "graded", "several"}),
    "instruction": frozenset({"poles", "graded", "several"}),
    "p2": frozenset({"poles", "several"}),
    "description": frozenset({"poles", "several"}),
    "demo": frozenset({"poles", "several"}),
    "person": frozenset({"person"}),
    "character": frozenset({"character"}),
    "neutral": frozenset(),
    "impression": frozenset({"poles", "graded", "several"}),
}
"""What each style can aim at. `direct` takes every target and says nothing; `neutral` takes none; `impression` heeds of
the levels only whether they look good or bad."""
UNSPOKEN = ("direct", "impression")
"""Styles that take targets and say nothing of their traits."""

NEUTRAL = "You are a person."
DESCRIBED = "You are the person who is described here."
PERSON = "You are a person who was shown some statements about yourself. This is your answer to each of them:"

SPEAK = "Answer every question as yourself: in the first person, and in your own way of talking."

# One word for each fifth of |level|. An instruction ends with the bare "high", the sentence BIG5-CHAT trains with.
_ADJECTIVE_WORDS = ("slightly", "somewhat", "fairly", "very", "extremely")
_INSTRUCTION_WORDS = ("slightly ", "somewhat ", "moderately ", "fairly ", "")


class Pole(Record):
    """The texts of one end of a trait."""

    head: str
    """The adjective that names the pole: extraverted, introverted."""
    adjectives: tuple[str, ...] = Field(min_length=1)
    """What the head means, in plain words; seven each in the shipped texts."""
    behaviour: str = ""
    """60 to 90 words of concrete behaviour in the second person, for p2."""


class Example(Record):
    """An everyday question with a reply from each pole, so that both poles are shown with the same questions."""

    question: str
    high: str
    low: str


class TraitTexts(Record):
    """Everything prompting.json says about one trait."""

    noun: str
    """The trait's name within a sentence."""
    high: Pole
    low: Pole
    demo: tuple[Example, ...] = ()


@cache
def texts() -> dict[Trait, TraitTexts]:
    """Read prompting.json: trait -> its texts."""
    source = files("traitbench.methods").joinpath("prompting.json").read_text(encoding="utf-8")
    return TypeAdapter(dict[Trait, TraitTexts]).validate_json(source)


def _own_texts(path: Path) -> dict[Trait, TraitTexts]:
    """Read words of the user's own, laid out as prompting.json is; BadData with the place of a fault."""
    expected = 'expected JSON: {TRAIT: {"noun": ..., "high": {"head": ..., "adjectives": [...]}, "low": {...}}}'
    try:
        found = TypeAdapter(dict[Trait, TraitTexts]).validate_json(read_text(user_path(path)))
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"cannot read texts={path}: {error}; {expected}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise BadData(f"texts={path}, {'.'.join(map(str, first['loc']))}: {first['msg']}; {expected}") from None
    if strange := [trait for trait in found if not is_name(trait)]:
        raise BadData(f"texts={path}: {strange[0]!r} is no name of a trait; {expected}")
    return found


class Prompting(Method):
    """Messages in front of the task, in one of ten styles."""

    name = "prompting"
    matched = False
    makes: ClassVar[frozenset[Kind]] = frozenset({"prompt"})
    targets: ClassVar[frozenset[Aim]] = frozenset({"poles", "graded", "several", "person", "character"})
    """Of the class: what any style can aim at. An instance narrows it to its own style."""

    class Config(Record):
        """How the target is put into words."""

        style: Style = "adjective"
        """direct: no message. neutral: a persona without a trait. adjective: "extremely extraverted: ...". instruction:
        "high extraversion". p2: a paragraph of behaviour. description: one of a person of the pole, as in
        PersonalityBench. demo: example replies. person: a person's answers. character: how a character talks and what
        they know. impression: to look good, to be honest, to look bad."""
        turn: Literal["system", "user"] = "system"
        """Who says it. Without effect on `demo`, which is user and assistant turns, and on `direct`."""
        k: int = Field(default=3, ge=1, le=6)
        """demo: example replies a trait."""
        words: int = Field(default=400, ge=50)
        """character: most words of the message; as many of the first paragraphs of knowledge as fit, whole."""
        texts: str | None = None
        """A JSON file with words for traits of your own, laid out as prompting.json; its traits take precedence."""

    config: Config

    def __init__(self, config: Config | None = None) -> None:
        """Keep the configuration and narrow `targets` to what its style can aim at."""
        super().__init__(config)
        vars(self)["targets"] = STYLES[self.config.style]

    otherwise = "aim at one of these, or give words of your own with --method_args texts=FILE"

    @cached_property
    def spoken(self) -> dict[Trait, TraitTexts]:
        """Trait -> its texts, as far as the style has what it needs."""
        found = texts() | (_own_texts(Path(self.config.texts)) if self.config.texts else {})
        if self.config.style == "description":
            found = {trait: found[trait] for trait, _ in _described() if trait in found}
        return {
            trait: entry
            for trait, entry in found.items()
            if (self.config.style != "p2" or (entry.high.behaviour and entry.low.behaviour))
            and (self.config.style != "demo" or len(entry.demo) >= self.config.k)
        }

    @property
    def knows(self) -> frozenset[Trait] | None:
        """The traits that there are texts of; any where the style shows none."""
        return frozenset(self.spoken) if "poles" in self.targets and self.config.style not in UNSPOKEN else None

    def fit(self, target: Target | None, bench: Bench) -> Control:
        """Write the messages for `target`; `bench.seed` picks the replies of `demo` and changes nothing else.

        Levels are told apart in fifths of |level|: 0.81 and 1 give the same words. UnsupportedControl where the style
        cannot aim at the target; BadData where a person's answers do not fit their inventory; TraitbenchUsage where a
        character's style alone is longer than `words`.
        """
        style = self.config.style
        if style == "direct":
            return Control()
        if style == "neutral":
            return Control(messages=(Message(role=self.config.turn, content=NEUTRAL),))
        if target is None or not target.aims <= self.targets:
            raise self._refusal(target)
        if style == "impression":
            return Control(messages=(Message(role=self.config.turn, content=IMPRESSION[side(target)]),))
        if strange := [trait for trait in target.levels if trait not in self.spoken]:
            raise UnsupportedControl(
                f"prompting style {style!r} has no words for {strange[0]}, only for {', '.join(self.spoken)}; "
                f"{self.otherwise}"
            )
        # In one order, so that equal targets give equal words.
        order = [*TRAITS, *sorted(target.levels.keys() - set(TRAITS))]
        named = [trait for trait in order if trait in target.levels]
        levels = [(self.spoken[trait], target.levels[trait]) for trait in named]
        if style == "demo":
            shown = [_demo(f"{bench.seed} {t}", *level, self.config.k) for t, level in zip(named, levels, strict=True)]
            return Control(messages=tuple(turn for turns in shown for turn in turns))
        fit = None
        if target.person:
            text = answers(target.person)
            fit = Fit(method=self.name, version=self.version, target=target.name, fitted_on=seen(target.person))
        elif target.character:
            from traitbench.targets import characters

            who = characters.load(target.character)
            text, told = story(who, self.config.words)
            details = {"paragraphs": told, "of": len(who.knowledge), "words": len(text.split())}
            fit = Fit(method=self.name, version=self.version, target=target.name, details=details, licence=who.licence)
        elif style == "p2":
            text = "\n\n".join(_pole(*level).behaviour for level in levels)
        elif style == "description":
            text = "\n\n".join([DESCRIBED, *(_described()[trait, target.levels[trait] > 0] for trait in named)])
        elif style == "instruction":
            text = f"You are a person with {_listed([_instruction(*level) for level in levels])}."
        else:
            text = " ".join(_adjective(*level, first=not i) for i, level in enumerate(levels))
        return Control(messages=(Message(role=self.config.turn, content=text),), fit=fit)

    def _refusal(self, target: Target | None) -> UnsupportedControl:
        style = self.config.style
        if target is None:
            return UnsupportedControl(f"prompting style {style!r} needs a target, e.g. --target extraversion=high")
        able = [name for name, aims in STYLES.items() if target.aims <= aims and name not in UNSPOKEN]
        return UnsupportedControl(
            f"prompting style {style!r} cannot aim at {target.name} ({', '.join(sorted(target.aims))}); "
            f"styles that can: {', '.join(able)} (--method_args style={able[0]})"
        )


def _described() -> dict[tuple[Trait, bool], str]:
    """Trait, and whether it is its high pole -> the first description of such a person."""
    from traitbench.tasks.personality_bench.poles import descriptions

    return {(each.trait, each.pole == "high"): each.text for each in reversed(descriptions())}


def _word(words: Sequence[str], level: float) -> str:
    """Pick the word of the fifth that |level| lies in: the first for (0, 0.2], the last for (0.8, 1]."""
    return words[math.ceil(abs(level) * 5) - 1]


def _pole(entry: TraitTexts, level: float) -> Pole:
    return entry.high if level > 0 else entry.low


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


def _adjective(entry: TraitTexts, level: float, *, first: bool) -> str:
    start = "You are a person who is" if first else "You are also"
    if level == 0:
        return f"{start} average in {entry.noun}: neither very {entry.high.head} nor very {entry.low.head}."
    pole, word = _pole(entry, level), _word(_ADJECTIVE_WORDS, level)
    return f"{start} {word} {pole.head}: {word} {_listed(pole.adjectives)}."


def _instruction(entry: TraitTexts, level: float) -> str:
    size = f"{_word(_INSTRUCTION_WORDS, level)}{'high' if level > 0 else 'low'}" if level else "average"
    return f"{size} {entry.noun}"


def _demo(draw: str, entry: TraitTexts, level: float, k: int) -> list[Message]:
    """Return `k` exchanges, drawn with `draw`, so that both poles of a trait get the same questions for a seed."""
    chosen = random.Random(draw).sample(entry.demo, k)
    turns: list[Message] = []
    for example in chosen:
        reply = example.high if level > 0 else example.low
        turns += [Message(role="user", content=example.question), Message(role="assistant", content=reply)]
    return turns


def seen(person: Person) -> tuple[str, ...]:
    """Text hashes of the items whose answers a person's prompt shows."""
    items = inventories.load(person.inventory, texts=False).items
    return tuple(sorted(item.text_hash for item in items if item.id in person.answers))


def answers(person: Person) -> str:
    """Write a line for each answered item, in the inventory's order; an item without an answer is left out."""
    inventory = inventories.load(person.inventory)
    scale, who = inventory.response_scale, f"person {person.id!r}"
    items = {item.id: item for item in inventory.items if item.id in person.answers}
    if len(items) < len(person.answers) or not items:
        strange = ", ".join(sorted(person.answers.keys() - items.keys())) or "nothing"
        raise BadData(f"{who} answers {strange}; expected ids of {inventory.id}, e.g. {inventory.items[0].id}")
    lines = [PERSON]
    for item in items.values():
        value = person.answers[item.id]
        if not scale.min <= value <= scale.max:
            wanted = f"expected {scale.min} to {scale.max}; leave a missing answer out"
            raise BadData(f"{who} answers {item.id} of {inventory.id} with {value}; {wanted}")
        lines.append(f"- {inventory.statement(item)} Answer: {scale.labels[value - scale.min]}")
    return "\n".join(lines)


def story(character: Character, words: int) -> tuple[str, int]:
    """Introduce a character in at most `words` words: style, then the first paragraphs of knowledge that fit.

    Returns the text and how many paragraphs are in it. TraitbenchUsage where the style alone is too long.
    """
    name = character.who.rpartition("/")[2].replace("_", " ").capitalize()
    stage = f" Stage of life: {character.stage}." if character.stage else ""
    start = "You are a person." if character.pole else f"You are {name}.{stage}"
    text = f"{start} {SPEAK}\n\nHow you talk: {character.style}"
    if len(text.split()) > words:
        raise TraitbenchUsage(
            f"the style of {character.name} alone makes a message of {len(text.split())} words, more than "
            f"words={words}; allow more with --method_args words={len(text.split())}"
        )
    told = 0
    for place, paragraph in enumerate(character.knowledge, 1):
        longer = f"{text}{'' if told else chr(10) * 2 + 'What you know:'}\n- {paragraph}"
        if len(longer.split()) > words:
            break
        text, told = longer, place
    return text, told
