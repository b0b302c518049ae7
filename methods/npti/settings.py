"""What NPTI is told: how neurons are searched for, which are kept, and how gamma is found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from traitbench.methods.halving import Sweep
from traitbench.methods.npti.sources import OWN, SCENES
from traitbench.methods.strengths import Grid
from traitbench.types import Record, Scope

__all__ = ["PRESETS", "Generation", "Settings"]


class Generation(Record):
    """How the search lets the model answer questions."""

    questions: str
    questions_per_pole: int
    max_tokens: int
    repetition_penalty: float


PRESETS: Mapping[str, Generation] = {
    "paper": Generation(questions=SCENES, questions_per_pole=1000, max_tokens=256, repetition_penalty=1.1),
    "small": Generation(questions=OWN, questions_per_pole=100, max_tokens=32, repetition_penalty=1.0),
}
"""Published: about 36,000 questions a trait, up to 500 tokens, a repetition penalty of 1.1. Half the tokens and a
thousand questions are what can be had in hours; `small` is sampling noise on a small model and for trying out."""


class Settings(Record):
    """Every hyper-parameter."""

    search: Literal["dialogues", "generate"] = "dialogues"
    """dialogues: the model reads replies of either pole (teacher forcing). generate: it writes them, under
    descriptions of either pole, as published."""
    data: str = "open"
    """dialogues: open, the set that ships; the path of a .jsonl, .csv or .tsv file; or a hub id, owner/name[@revision].
    """
    scenes: int = Field(default=450, ge=8)
    """dialogues: scenes that are read at most; all there are where these are fewer."""
    preset: Literal["small", "paper"] = "small"
    """generate: what the next four are where they are not given."""
    questions: str | None = None
    """generate: own, our 25 questions a trait; scenes, what is said in the open dialogues, 216 for every trait;
    personalitybench, its search set, where you have it. Or a file: a JSON list of questions, or NPTI's own lines of
    {"question": ..., "BFI": trait}."""
    questions_per_pole: int | None = Field(default=None, ge=2)
    """generate: pairs of question and description. All there are where these are fewer."""
    max_tokens: int | None = Field(default=None, ge=2)
    """generate: of a reply."""
    repetition_penalty: float | None = Field(default=None, gt=0)
    """generate: what logits of tokens that prompt or reply hold already are divided by (negative ones multiplied)."""
    descriptions: Literal["own", "personalitybench"] | None = None
    """generate: who describes the poles; None: own, with questions=personalitybench its own."""
    batch_size: int = Field(default=16, ge=1)
    """generate: replies written at a time; it can change the last digits."""
    threshold: float = Field(default=0.1, gt=0, lt=1)
    """The least delta."""
    least: int = Field(default=2000, ge=0)
    """Neurons kept at least, whatever their delta, for a model of Llama-3-8B's size; scaled to others."""
    quantile: float = Field(default=0.95, gt=0, lt=1)
    """Of a neuron's activation under its own pole: what gamma is a multiple of."""
    slope: float = 10.0
    """Of the sigmoid of delta."""
    middle: float = 0.15
    """The delta at which the sigmoid is one half."""
    positions: Scope = "answer"
    """answer: from the last prompt token on. generated: literal to the paper. all: the prompt too."""
    gamma: float | None = Field(default=None, ge=0)
    """None chooses among `gammas`."""
    gammas: Grid = (0.5, 1.0, 2.0, 4.0, 8.0)
    """Published: 0.6 to 1.5, by the results on the test questions. A small model takes, and needs, more."""
    dev: Literal["items", "questions"] = "items"
    """What gamma is chosen on: statements of the IPIP-NEO-300 that are not in the IPIP-NEO-120, or replies to scenes or
    questions that the search leaves out."""
    dev_questions: int = Field(default=8, ge=0)
    """dev=questions: scenes or questions of each trait that are kept out of the search; with search=generate always."""
    max_perplexity: float = Field(default=2.0, gt=0)
    """Of neutral text, over that without control: what a chosen gamma may cause."""
    within: float = Field(default=1.0, ge=0)
    """The weakest gamma is chosen whose effect is so many standard errors, or fewer, below the largest; 0: that of the
    largest."""
    sweep: Sweep = "halving"
    """How gammas are tried: by halving, so that what cannot be chosen is measured in part, or exhaustive."""
    legacy_dropout: float = Field(default=0.0, ge=0, lt=1)
    """A seeded share of the raised neurons is dropped, once. The published code drops 10 %, drawn anew without a seed
    for every layer and token, so that its runs cannot be repeated; on average that raises each by 0.9."""
    neurons: str | None = None
    """A published list of the high pole's neurons, not searched: {layer: [[layer, index, delta, P, q95]]}."""
    reversed: str | None = None
    """The same of the low pole."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.gamma is None and self.dev == "questions" and not self.dev_questions:
            raise ValueError("gamma is chosen on dev_questions, of which there are 0; give some, or a gamma")
        others = [*Generation.model_fields, "descriptions"]
        idle = [name for name in others if getattr(self, name) is not None] + ["preset"] * (self.preset != "small")
        if self.search == "dialogues" and idle:
            raise ValueError(f"{idle[0]} is for search=generate, and the search reads dialogues; give search=generate")
        return self

    @property
    def generation(self) -> Generation:
        """How the model is let answer: what was given, the rest from the preset."""
        held = PRESETS[self.preset]
        given = {name: value for name in Generation.model_fields if (value := getattr(self, name)) is not None}
        return held.model_copy(update=given)

    @property
    def held_out(self) -> int:
        """Scenes of each trait that the search leaves out."""
        return self.dev_questions if self.dev == "questions" and self.gamma is None else 0

    @property
    def asks(self) -> bool:
        """Whether dialogues or questions are needed: to search with, or to choose gamma on."""
        return not self.imported or (self.gamma is None and self.dev == "questions")

    @property
    def imported(self) -> bool:
        """Whether the neurons are given."""
        return self.neurons is not None or self.reversed is not None
