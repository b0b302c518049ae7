"""Respondents with known trait levels: the ground truth of the tests, and the trivial baselines of the tables.

`scripted:person` answers from levels that you set; `scripted:uniform`, `scripted:first` and `scripted:last` answer
without reading. They never see a prompt, only which item is asked and which options are shown. Asked to write freely,
a person answers with stock sentences that show the level of the trait that the item is about (`stock`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from traitbench.backends.arguments import check_arguments
from traitbench.backends.backend import Asked, Backend, Options
from traitbench.backends.models import ModelSpec
from traitbench.backends.respondents import Respondent, acted, forgotten
from traitbench.backends.stock import speech
from traitbench.errors import UnsupportedControl, unknown
from traitbench.types import (
    BIG_FIVE,
    TRAITS,
    Choose,
    Continue,
    Control,
    Doc,
    Kind,
    Request,
    Response,
    Trait,
    Write,
    prompt_hash,
)

__all__ = ["RESPONDENTS", "Respondent", "Scripted"]

RESPONDENTS = ("first", "last", "person", "uniform")
_BATCH = 120


class Scripted(Backend):
    """The backend of the scripted respondents."""

    name: ClassVar[str] = "scripted"
    applies: ClassVar[frozenset[Kind]] = frozenset({"prompt"})
    mixes: ClassVar[bool] = True
    reads = False

    class Arguments(Respondent):
        """Traits and habits of the respondent."""

    def __init__(self, kind: str = "person", respondent: Respondent | None = None) -> None:
        """Take one of RESPONDENTS; `respondent` matters for `person` and, for its seed, to `uniform`."""
        if kind not in RESPONDENTS:
            raise unknown("scripted respondent", kind, RESPONDENTS, "(write e.g. --model scripted:uniform)")
        self.kind = kind
        self.respondent = respondent or Respondent()

    @classmethod
    def make(cls, spec: ModelSpec, options: Options) -> Self:
        """Build the respondent; its fields are the arguments."""
        given = {"seed": options.seed, **options.arguments}
        return cls(spec.source, check_arguments(cls.name, Respondent, given))

    @classmethod
    def check(cls, spec: ModelSpec, options: Options) -> None:
        """Refuse a respondent that there is not, and levels and habits that it cannot have."""
        cls.make(spec, options)

    @property
    def identity(self) -> dict[str, Any]:
        """The kind and its parameters."""
        return {"backend": self.name, "model": f"scripted:{self.kind}", **self.respondent.model_dump(mode="json")}

    @classmethod
    def refuses(cls, request: Request, spec: ModelSpec) -> str | None:
        """Refuse free text of those who answer without reading: only a person has something to say."""
        return cls._speechless(request, spec.source)

    @staticmethod
    def _speechless(request: Request, kind: str) -> str | None:
        if isinstance(request, Continue) or request.values or kind == "person":
            return None
        return (
            f"scripted:{kind} answers items and cannot speak freely; take a model, e.g. --model smollm2, or "
            "scripted:person"
        )

    def prompt(self, request: Request) -> str:
        """Return the conversation as plain text; a scripted respondent does not read it."""
        return "\n\n".join(f"{m.role}: {m.content}" for m in request.conversation(self._control))

    def run(self, requests: Sequence[Request], done: Collection[int] = ()) -> Iterator[Mapping[int, Response]]:
        """Answer in batches of 120."""
        return self.run_mixed([(self._control, request) for request in requests], done)

    def run_mixed(self, asked: Sequence[Asked], done: Collection[int] = ()) -> Iterator[Mapping[int, Response]]:
        """Answer in batches of 120, each request under its own control."""
        answered = set(done)
        for start in range(0, len(asked), _BATCH):
            batch = range(start, min(start + _BATCH, len(asked)))
            if not answered.issuperset(batch):
                yield {i: self._told(*asked[i]) for i in batch}

    def _told(self, control: Control | None, request: Request) -> Response:
        with self.under(control):
            return self._answer(request)

    def _answer(self, request: Request) -> Response:
        text = self.prompt(request)
        told = prompt_hash(text)
        if isinstance(request, Continue):
            return self._statement(request, told)
        if refused := self._speechless(request, self.kind):
            raise UnsupportedControl(refused)
        if isinstance(request, Write) and not request.values:
            return self._speech(request, told)
        shares = self._shares(request.doc, request.values)
        refuses = self._draw("refuse", request.doc).random() < self.respondent.refusals
        if isinstance(request, Choose):
            mass = 0.01 if refuses else 1.0
            logs = tuple(math.log(max(share * mass, 1e-12)) for share in shares)
            return Response(prompt_hash=told, option_logprobs=logs)
        if refuses:
            return Response(prompt_hash=told, text="I'm sorry, but I can't answer that.", tokens=9)
        return Response(prompt_hash=told, text=self._reply(request, shares), tokens=1)

    def _reply(self, request: Write, shares: Sequence[float]) -> str:
        """Draw an option by its probability when the temperature is above zero, else take the likeliest."""
        if request.temperature > 0:
            draw = random.Random(f"reply {request.seed} {self.respondent.seed}")
            index = draw.choices(range(len(shares)), weights=shares)[0]
        else:
            index = max(range(len(shares)), key=lambda i: shares[i])
        return request.labels[index][0]

    def _speech(self, request: Write, told: str) -> Response:
        """Say what shows the levels, as many words of it as there may be tokens."""
        doc, me = request.doc, self.respondent
        if self._draw("refuse", doc).random() < me.refusals:
            return Response(prompt_hash=told, text="I'm sorry, but I can't answer that.", tokens=9)
        noise = self._draw("noise", doc, doc.template, doc.respondent)
        levels = {
            trait: self._level(doc, trait) + (me.noise * noise.gauss() if me.noise else 0.0) for trait in BIG_FIVE
        }
        draw = self._draw("speech", doc, doc.template, doc.respondent, request.seed if request.temperature else "")
        words = speech(levels, doc.trait, draw).split()
        status: Literal["valid", "truncated"] = "truncated" if len(words) > request.max_tokens else "valid"
        said = words[: request.max_tokens]
        return Response(prompt_hash=told, text=" ".join(said), tokens=len(said), status=status)

    def _statement(self, request: Continue, told: str) -> Response:
        """Make likely what fits the level: one nat a token from one end of the scale to the other."""
        low, high = 0, 100
        fit = (self._raw(request.doc, low, high) / 100 - 0.5) if self.kind == "person" else 0.0
        tokens = len(request.text.split())
        return Response(prompt_hash=told, loglik=tokens * (fit - 3.0), tokens=tokens)

    def _shares(self, doc: Doc, values: Sequence[int]) -> list[float]:
        """Probability of each presented option."""
        n, low = len(values), min(values)
        if self.kind in ("first", "last"):
            chosen = 0 if self.kind == "first" else n - 1
            return [float(i == chosen) for i in range(n)]
        if self.kind == "uniform":
            chosen = self._draw("uniform", doc, doc.order, doc.symbols, doc.template, doc.respondent).randrange(n)
            return [float(i == chosen) for i in range(n)]
        raw = self._raw(doc, low, max(values))
        floor = min(math.floor(raw), low + n - 2)
        shares = [{floor: floor + 1 - raw, floor + 1: raw - floor}.get(value, 0.0) for value in values]
        bias = self.respondent.position_bias
        return [(1 - bias) * share + (bias if i == 0 else 0.0) for i, share in enumerate(shares)]

    def _raw(self, doc: Doc, low: int, high: int) -> float:
        """Raw agreement on the response scale: the level seen through the item's key, then error and style."""
        me = self.respondent
        if me.constant is not None:
            return float(min(max(me.constant, low), high))
        target = self._control.target if self._control is not None else None
        place = 0.5 + doc.keyed * (self._level(doc, doc.trait) - 0.5)
        if doc.rival is not None:
            # Of two statements the one that fits more, by half the difference of their fits.
            other = doc.rival.removeprefix("-")
            fit = (-1 if doc.rival != other else 1) * (self._level(doc, other) - 0.5)
            place = 0.5 + (place - 0.5 - fit) / 2
        under = target.name if target else ""
        place += me.unsteady * self._draw("unsteady", doc, doc.keyed, under).gauss() if me.unsteady else 0.0
        place += me.item_sd * self._draw("item", doc).gauss() if me.item_sd else 0.0
        cell = (doc.template, doc.respondent, *([doc.context] if doc.context else []))
        place += me.noise * self._draw("noise", doc, *cell).gauss() if me.noise else 0.0
        return low + (high - low) * min(max(place + me.acquiescence, 0.0), 1.0)

    def _level(self, doc: Doc, trait: Trait) -> float:
        """The level on a trait that the answer shows, 0 to 1 but for what the control adds.

        One of its own in what is done, where the respondent acts otherwise.
        """
        told = float(getattr(self.respondent, trait)) if trait in TRAITS else 0.5
        level = acted(self.respondent.acts).get(trait, told) if doc.evidence == "behaviour" else told
        level += self._person(doc, trait) if self.respondent.person_sd and doc.respondent is not None else 0.0
        if self._control is not None and self._control.target is not None:
            level += self._obedience(doc) * self._control.target.levels.get(trait, 0.0)
        return level

    def _obedience(self, doc: Doc) -> float:
        me = self.respondent
        apart = doc.evidence == "behaviour" and me.acts_obedience is not None
        moved = float(me.acts_obedience or 0.0) if apart else me.obedience
        return moved * (1 - forgotten(me.forgets).get(doc.context or "", 0.0))

    def _person(self, doc: Doc, trait: Trait) -> float:
        """How far the simulated respondent's level on the item's trait lies from the model's own."""
        me, who = self.respondent, f"{self.respondent.seed} {doc.respondent}"
        own, common = random.Random(f"level {trait} {who}").gauss(), random.Random(f"common {who}").gauss()
        return me.person_sd * (math.sqrt(1 - me.one_factor) * own + math.sqrt(me.one_factor) * common)

    def _draw(self, what: str, doc: Doc, *more: object) -> random.Random:
        """Return a generator of its own for an event, so that no answer depends on the order of asking."""
        return random.Random(f"{what} {self.respondent.seed} {doc.item} {' '.join(map(str, more))}")
