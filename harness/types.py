"""The records that pass between the rooms.

One idea carries the design: a method makes a control, a backend applies it. A method returns data (messages), never
text that a model wrote; a backend runs any request under any control that it can apply.

Over 300 lines, most of them field docstrings: what passes between the parts is best read in one place.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from traitbench.errors import UnknownName, unknown

__all__ = [
    "BIG_FIVE",
    "DARK_TRIAD",
    "DESIRABILITY",
    "TRAITS",
    "Aim",
    "Beginning",
    "Choose",
    "Continue",
    "Control",
    "Doc",
    "Edit",
    "Evidence",
    "Find",
    "Fit",
    "Kind",
    "Message",
    "Mode",
    "Op",
    "Person",
    "Point",
    "Reading",
    "Record",
    "Request",
    "Response",
    "Scope",
    "Score",
    "Site",
    "Status",
    "Target",
    "Trait",
    "When",
    "Write",
    "at_strength",
    "digest",
    "is_name",
    "named",
    "prompt_hash",
    "storable",
]  # fmt: skip

BIG_FIVE = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
DARK_TRIAD = ("machiavellianism", "narcissism", "psychopathy")
TRAITS = (*BIG_FIVE, *DARK_TRIAD)
"""The traits of the instruments that ship; an inventory of one's own may measure others."""
DESIRABILITY = {trait: -1 if trait in (*DARK_TRIAD, "neuroticism") else 1 for trait in TRAITS}
"""Trait -> 1 where more of it is socially desirable, -1 where less is; an inventory says so of traits of its own."""

Trait = str
Kind = Literal["prompt", "weights", "activations"]
Mode = Literal["choice", "statement", "generate"]
Status = Literal[
    "valid", "refusal", "unparsed", "truncated", "unseen", "empty", "repetitive", "foreign", "abstained", "error"
]
"""What became of an answer; unseen: too little of the options' probability was shown to know it. Of a written reply
that nothing can be judged of: empty, repetitive, foreign (in another language). Of a judge: abstained."""
Aim = Literal["poles", "graded", "several", "person", "character"]
Evidence = Literal["self-report", "behaviour"]
"""What an answer is evidence of: what a model says of itself, or what it does."""
Site = Literal["residual", "heads", "gate", "neurons"]
"""Where activations are edited or recorded. residual: the output of a decoder layer. heads: the input of the
attention's output projection, all heads side by side. gate: act_fn(gate_proj(x)) before the product with up_proj.
neurons: the input of the MLP's down projection."""
Op = Literal["add", "clamp", "zero", "project_out", "cap", "rescale"]
Scope = Literal["all", "answer", "generated"]
"""Which positions an edit touches: every one, those from the last prompt token on, or those after the prompt."""


def digest(value: Any) -> str:
    """Hash a JSON-like value: sha256 of its canonical JSON, the first 16 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def prompt_hash(prompt: str) -> str:
    """Name a rendered prompt: its sha256."""
    return hashlib.sha256(prompt.encode()).hexdigest()


_LONGEST = 100
"""Signs of a name: with the names of a model, a method and a time it has to stay a file's."""


def storable(value: object) -> None:
    """ValueError for what no file of a run can hold: numbers not finite or too long, halves of signs, zero bytes."""
    if isinstance(value, Mapping):
        for part in (*value.keys(), *value.values()):
            storable(part)
    elif isinstance(value, list | tuple | set):
        for part in value:
            storable(part)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("expected a finite number")
    elif isinstance(value, int) and abs(value) >= 1 << 64:
        raise ValueError("expected a number of at most 64 bits")
    elif isinstance(value, str) and ("\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value)):
        raise ValueError("expected text without zeros and halves of signs")


def is_name(text: str) -> bool:
    """Tell whether a trait, a task or an inventory may be called so: what can stand in a file's name, with more."""
    return len(text) <= _LONGEST and re.fullmatch(r"[A-Za-z0-9_.-]+", text) is not None and text.strip(".") != ""


def named(text: str, known: Collection[str]) -> str | None:
    """Return the one of `known` that `text` means: case, `-` and `_` do not matter; None where there is none."""
    plain = text.strip().lower().replace("-", "_")
    return next((name for name in known if name.lower().replace("-", "_") == plain), None)


class Record(BaseModel):
    """A frozen record that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Message(Record):
    """A turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Person(Record):
    """One respondent by their answers: item id of `inventory` -> value in raw-agreement space."""

    id: str
    inventory: str
    answers: dict[str, int]


class Target(Record):
    """What a control aims at: trait levels (high is +1, low is -1, others are graded), a person or a character."""

    levels: dict[Trait, float] = Field(default_factory=dict)
    person: Person | None = None
    character: str | None = None
    """Name of a character that is described by texts (see traitbench.targets.characters)."""

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if bool(self.levels) + (self.person is not None) + (self.character is not None) != 1:
            raise ValueError("a target holds either trait levels, one person or one character")
        for trait, level in self.levels.items():
            if not is_name(trait):
                raise UnknownName(f"{trait!r} is no name of a trait; expected letters, digits, _, . and -")
            if not -1 <= level <= 1:
                raise UnknownName(
                    f"level {level} of {trait} is out of range: expected low, high or a number in [-1, 1]"
                )
        return self

    @classmethod
    def parse(cls, text: str, known: Collection[Trait] = TRAITS) -> Self:
        """Read `extraversion=high,neuroticism=-0.5`; UnknownName for a level or a trait that is not among `known`."""
        levels: dict[str, float] = {}
        for part in text.split(","):
            word, _, level = (p.strip() for p in part.partition("="))
            trait, level = named(word, known) or "", level.lower()
            if not trait:
                raise unknown("trait", word, known, "(write e.g. extraversion=high, or all)")
            if trait in levels:
                raise UnknownName(f"target {text!r} names {trait} twice; give one level, e.g. {trait}=high")
            try:
                levels[trait] = {"high": 1.0, "low": -1.0}.get(level) or float(level)
            except ValueError:
                raise UnknownName(
                    f"unknown level {level!r} of {trait}; expected high, low or a number in [-1, 1], e.g. {trait}=high"
                ) from None
        return cls(levels=levels)

    @property
    def name(self) -> str:
        """How the target is written on the command line and in every file."""
        if self.person:
            return f"person:{self.person.id}"
        if self.character:
            return f"character:{self.character}"
        words = {1.0: "high", -1.0: "low"}
        return ",".join(f"{t}={words.get(v, f'{v:g}')}" for t, v in self.levels.items())

    @property
    def aims(self) -> frozenset[Aim]:
        """What a method must support to be given this target."""
        if self.person:
            return frozenset({"person"})
        if self.character:
            return frozenset({"character"})
        aims: set[Aim] = {"graded" if any(abs(v) != 1 for v in self.levels.values()) else "poles"}
        if len(self.levels) > 1:
            aims.add("several")
        return frozenset(aims)


def _unset(value: object) -> bool:
    return value is None


class When(Record):
    """Positions at which an edit is made: where the state's projection on a direction lies strictly between bounds.

    What is read is the state a at that site and position as the edit finds it, so after the earlier edits of the same
    place: a . direction / |direction|, over all places of the site, in the unit of the activations.
    """

    tensor: str
    """The direction, of any length above 0, one value a place of the site."""
    above: float | None = Field(default=None, allow_inf_nan=False)
    below: float | None = Field(default=None, allow_inf_nan=False)


class Edit(Record):
    """One change of one layer's activations. Its numbers are tensors of the control, by name.

    a is the state at one position, over all places of the site or over the `units`; d is the tensor brought to length
    1. Edits of one place are made in the order given, each on what the one before left.
    """

    layer: int = Field(ge=0)
    """Counted from 0."""
    site: Site
    op: Op
    """add: a + strength * tensor. clamp: min(a, tensor). zero: 0. project_out: a - strength * (a . d) d. cap: a with
    its projection a . d brought to between `low` and `high`. rescale: a + strength * tensor, brought to the length that
    a had (0 where the sum is 0)."""
    tensor: str | None = None
    """Float values, one a place of the site or, with `units`, one a unit; None for zero."""
    units: str | None = None
    """Integer places of the site that are touched; None: all of them."""
    strength: float = 1.0
    """Of add and rescale, in the method's own unit; of project_out the share of the projection that is taken away: 1
    all of it, 2 turns it round. clamp, zero and cap have none, but 0 switches any edit off."""
    positions: Scope = "all"
    low: float | None = Field(default=None, allow_inf_nan=False, exclude_if=_unset)
    """Of cap: the least projection; None: no bound."""
    high: float | None = Field(default=None, allow_inf_nan=False, exclude_if=_unset)
    """Of cap: the largest projection; None: no bound."""
    when: When | None = Field(default=None, exclude_if=_unset)
    """None: at all of its positions."""


def at_strength(edits: Sequence[Edit], strength: float) -> tuple[Edit, ...]:
    """Return `edits` at another strength; 0 switches all of them off and keeps them, for another to be asked for.

    It is that of the edits that add (add, rescale); where there are none, of those that project out: beside what is
    added, these stay as they are. Edits without a strength (clamp, zero, cap) are made as they are at any but 0.
    """
    ops = _strong(edits)
    return tuple(
        e.model_copy(update={"strength": strength if e.op in ops or strength == 0 else e.strength or 1.0})
        for e in edits
    )


def _strong(edits: Sequence[Edit]) -> frozenset[Op]:
    """The operations whose strength `at_strength` sets; none where no edit has one."""
    adding: frozenset[Op] = frozenset({"add", "rescale"})
    found: frozenset[Op] = frozenset(edit.op for edit in edits)
    return found & adding or found & {"project_out"}


class Point(Record):
    """One strength that was tried on development data."""

    strength: float
    effect: float | None
    """In the direction aimed at, in the unit that the fit's details name."""
    perplexity: float | None = None
    """On neutral text, over that without a control."""
    layer: int | None = None
    """Where the method also chooses one."""
    se: float | None = Field(default=None, exclude_if=lambda value: value is None)
    """Of the effect, over the items or questions that it was measured on; written where it is known."""
    items: int | None = Field(default=None, exclude_if=lambda value: value is None)
    """On how many development items or questions the effect was measured, where these were not all."""
    passages: int | None = Field(default=None, exclude_if=lambda value: value is None)
    """On how many passages the perplexity was measured, where these were not all."""


class Find(Record):
    """Whether a fit found anything: a statistic of it, and the same under shuffled labels of the poles."""

    statistic: str
    """What is compared, e.g. "accuracy of the best heads"; the larger, the more was found."""
    on: str
    """What it is computed on: data of the fit or of development, never test items."""
    observed: float
    null: tuple[float, float]
    """Mean and 95th percentile under shuffled labels."""
    draws: int = Field(ge=1)
    """How many shuffles."""
    p: float = Field(gt=0, le=1)
    """(1 + shuffles that reach what was observed) / (1 + shuffles): Phipson and Smyth (2010)."""

    @property
    def found(self) -> bool:
        """Whether p is .05 or less."""
        return self.p <= 0.05


class Fit(Record):
    """How a control came about: what method.json holds."""

    method: str
    version: str
    model: dict[str, Any] = {}
    """Identity of the model that it was fitted on."""
    target: str | None = None
    config: dict[str, Any] = {}
    """Every hyper-parameter."""
    data: dict[str, str] = Field(default={}, exclude_if=lambda value: not value)
    """What was read besides model and settings, by name -> its digest: texts, items, dialogues."""
    seed: int = 0
    fitted_on: tuple[str, ...] = ()
    """Text hash of every item that messages, directions or the choice of a strength came from."""
    strength: float | None = None
    """As chosen on development data."""
    unit: str = ""
    """What a strength of 1 is."""
    curve: tuple[Point, ...] = ()
    details: dict[str, Any] = {}
    """What was chosen and how stable it is, of the method's own."""
    find: Find | None = None
    """Of a method that tests whether it found anything."""
    licence: str = ""
    """Of the data it was fitted on."""
    seconds: float = 0.0
    shared: str | None = None
    """Name of work that several fits of a run have in common; its seconds count once."""
    parameters: int = 0
    """Numbers stored in its tensors or its adapter."""


class Control(Record):
    """What a method made. The hash covers the contents, never a path or the way that led there."""

    messages: tuple[Message, ...] = ()
    edits: tuple[Edit, ...] = ()
    tensors: Path | None = Field(default=None, exclude=True)
    """A safetensors file with the numbers of `edits`."""
    contents: str | None = None
    """Digest of the tensors (see `controls.store`)."""
    adapter: Path | None = Field(default=None, exclude=True)
    """A PEFT folder: adapter_config.json and adapter_model.safetensors."""
    weights: str | None = None
    """Digest of the adapter."""
    target: Target | None = Field(default=None, exclude=True)
    """What it was made for: provenance, not contents."""
    fit: Fit | None = Field(default=None, exclude=True)
    """How it was fitted: provenance too."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """The parts present; a backend must be able to apply all of them."""
        kinds: set[Kind] = set()
        if self.messages:
            kinds.add("prompt")
        if self.edits:
            kinds.add("activations")
        if self.weights:
            kinds.add("weights")
        return frozenset(kinds)

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits that name the contents."""
        parts = {"messages", *(("edits", "contents") if self.edits else ()), *(("weights",) if self.weights else ())}
        return digest(self.model_dump(mode="json", include=parts))

    def at(self, strength: float) -> Self:
        """Return the control at another strength of its edits (see `at_strength`); 0 leaves the messages alone."""
        if strength == 0:
            return self.model_copy(update={"edits": (), "tensors": None, "contents": None})
        return self.model_copy(update={"edits": at_strength(self.edits, strength)})

    @property
    def has_strength(self) -> bool:
        """Whether `at` tells strengths other than 0 apart."""
        return bool(_strong(self.edits))


class Doc(Record):
    """Where a request stands in the grid of an administration; it becomes the columns of a sample."""

    task: str
    scoring: Mode
    item: str
    trait: Trait
    facet: str | None
    keyed: Literal[1, -1]
    order: Literal["forward", "reverse"] | None = None
    symbols: Literal["letters", "numbers"] | None = None
    template: int = 0
    respondent: int | None = None
    repeat: int = 0
    judge: str | None = Field(default=None, exclude_if=_unset)
    """Who answers, where it is not the model: a judge, about the reply that stands in the same place."""
    against: str | None = Field(default=None, exclude_if=_unset)
    """Of a judge that compares two replies of one place: the condition of the second."""
    context: str | None = Field(default=None, exclude_if=_unset)
    """What came before the question, by a name of the task's own; written where there is one."""
    evidence: Evidence | None = Field(default=None, exclude=True)
    """What the answer is evidence of, for who answers by what is asked; it hangs on the task, and is not written."""
    rival: str | None = Field(default=None, exclude_if=_unset)
    """Of a choice between two statements: trait of the one that stands first in forward order, the place being that of
    the other; with - in front where it is minus-keyed."""


class _Request(Record):
    doc: Doc
    biography: str | None = None
    """Who the simulated respondent is; rendered before the control."""
    messages: tuple[Message, ...]
    """The task's own turns, the item last."""
    cue: str = ""
    """What precedes the answer where there is no chat template."""
    seed: int = 0

    def conversation(self, control: Control | None) -> tuple[Message, ...]:
        """Biography, control messages, task, with neighbours of one role joined by a blank line."""
        turns = [Message(role="system", content=self.biography)] if self.biography else []
        turns += [*(control.messages if control else ()), *self.messages]
        joined: list[Message] = []
        for turn in turns:
            if joined and joined[-1].role == turn.role:
                joined[-1] = Message(role=turn.role, content=f"{joined[-1].content}\n\n{turn.content}")
            else:
                joined.append(turn)
        return tuple(joined)

    def content(self) -> dict[str, Any]:
        """What decides the answer, without the place in the grid: the part that a response's key hashes."""
        return {"kind": type(self).__name__, **self.model_dump(mode="json", exclude={"doc"})}


class Choose(_Request):
    """Ask for the log-probability of each option at the answer position."""

    options: tuple[tuple[str, ...], ...]
    """Per presented option its spellings (token variants); none may be a prefix of another."""
    values: tuple[int, ...]
    """Per presented option its value on the response scale."""


class Continue(_Request):
    """Ask for the log-likelihood of `text` as the model's own next words."""

    text: str


class Write(_Request):
    """Ask the model to write a reply of at most `max_tokens` tokens; temperature 0 is greedy."""

    max_tokens: int = 16
    temperature: float = 0.0
    repetition_penalty: float = Field(default=1.0, gt=0)
    """What logits of tokens that prompt or reply hold already are divided by (negative ones multiplied); 1: nothing."""
    labels: tuple[tuple[str, str], ...] = ()
    """Per presented option its symbol and its text, for the parser."""
    values: tuple[int, ...] = ()
    """Per presented option its value on the response scale."""

    def content(self) -> dict[str, Any]:
        """What decides the answer; a penalty of 1 is left out, so that replies without one keep their key."""
        content = super().content()
        if self.repetition_penalty == 1:
            del content["repetition_penalty"]
        return content


Request = Choose | Continue | Write


class Response(Record):
    """A backend's answer to one request."""

    status: Literal["valid", "truncated", "error"] = "valid"
    """What the backend knows; whether a reply is an answer is for the scoring to say."""
    prompt_hash: str = ""
    """sha256 of the rendered prompt."""
    option_logprobs: tuple[float | None, ...] | None = None
    """Choose: per presented option the log of its variants' summed probability (natural log). Where only the likeliest
    tokens are shown, of the variants among them; null where there is none."""
    option_bounds: tuple[float, ...] | None = None
    """Choose, where only the likeliest tokens are shown: per presented option the log of the most that it can be."""
    loglik: float | None = None
    """Continue: summed log-likelihood of the text in nats."""
    greedy: bool | None = None
    """Of a continuation of lm-eval's: whether each of its tokens is the likeliest."""
    tokens: int | None = None
    """Continue: the text's tokens. Write: the tokens generated."""
    text: str | None = None
    """Write: the reply."""
    error: str | None = None
    billed: tuple[int, int] | None = None
    """Of a server: tokens read and tokens written, as it counted them over all requests that the answer took."""


class Beginning(Record):
    """A token that texts may have begun with in training, and whether prompts do."""

    token: str
    id: int
    written: Literal["by itself", "added", "left out"]
    """By itself: tokenizer or chat template write it. Added: they do not, and the model reads clearly better with it.
    Left out: it does not."""
    with_it: float | None = None
    """Perplexity a token of neutral text behind a prompt that begins with it; None where that was not asked."""
    without: float | None = None
    """The same where the prompt begins as tokenizer and template have it."""


class Reading(Record):
    """How well a model foresees neutral prose in a run's own rendering, without a control."""

    perplexity: float
    """A word: exp of the mean nats over the words of a few passages behind a prompt."""
    words: int
    """How many those are."""
    beginning: Beginning | None = None
    """Null where neither tokenizer nor configuration name such a token, or the backend does not look for one."""


class Score(Record):
    """A trait's value in one condition and scoring mode. `value` is null where nothing could be scored."""

    trait: Trait
    value: float | None
    """Choice, generate: mean on the instrument's scale. Statement: shift from the reference in nats a token."""
    pomp: float | None = None
    """Percent of maximum possible, 0 to 100; null for statement."""
    d: float | None = None
    """Statement: value over the items' SD."""
    n: int = 0
    """Items that entered."""
    unscored: int = 0
    """Items without a valid answer; they are missing, never imputed."""
    se: float | None = None
    ci: tuple[float, float] | None = None
    """95 % interval over what `covers` names."""
    covers: list[str] = []
    """What was drawn at random in the interval: items, facets, templates, fits."""
    plus: float | None = None
    """The same value from the plus-keyed items alone."""
    minus: float | None = None
    """The same value from the minus-keyed items alone."""
    note: str = ""
