"""What persona vectors are told: where replies come from, which are kept, and where and how strongly to steer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from traitbench.methods.axes import Direction
from traitbench.methods.halving import Sweep
from traitbench.methods.npti.sources import OWN, SCENES
from traitbench.methods.strengths import Grid
from traitbench.types import Record, Scope

__all__ = ["PRESETS", "Keep", "Settings", "Writing"]

Keep = Literal["likelihood", "scorer:text", "scorer:minilm", "all"]


class Writing(Record):
    """How the model is let answer questions."""

    questions: str
    questions_per_pole: int
    max_tokens: int
    temperature: float


PRESETS: Mapping[str, Writing] = {
    "paper": Writing(questions=SCENES, questions_per_pole=1000, max_tokens=512, temperature=1.0),
    "small": Writing(questions=OWN, questions_per_pole=72, max_tokens=48, temperature=0.0),
}
"""Published: 20 questions under 5 descriptions of each pole, 10 replies each at temperature 1, up to 1,000 tokens."""


class Settings(Record):
    """Every hyper-parameter."""

    replies: Literal["generate", "dialogues"] = "generate"
    """generate: the model answers questions under descriptions of either pole, as published. dialogues: it reads
    replies of people of either pole, without a description."""
    preset: Literal["small", "paper"] = "small"
    """generate: what the next four are where they are not given."""
    questions: str | None = None
    """generate: own, 25 questions a trait; scenes, what is said in the open dialogues; or a file, a JSON list of
    questions."""
    questions_per_pole: int | None = Field(default=None, ge=2)
    """generate: pairs of question and description, each answered under either pole; all there are where these are
    fewer."""
    max_tokens: int | None = Field(default=None, ge=2)
    """generate: of a reply."""
    temperature: float | None = Field(default=None, ge=0)
    """generate: 0 writes the likeliest token each time."""
    data: str = "open"
    """dialogues: open, the set that ships; the path of a .jsonl, .csv or .tsv file; or a hub id, owner/name[@revision].
    """
    scenes: int = Field(default=150, ge=8)
    """dialogues: scenes that are read at most."""
    keep: Keep = "likelihood"
    """Of which pairs the direction is made: those whose replies both show their pole. likelihood: a description of the
    high pole, not the one that stood over it, raises the likelihood of the high pole's reply more than that of the low
    pole's, beside one of the low pole. scorer:text, scorer:minilm: the text scorer of the behaviour tasks says so, and
    drops what repeats itself too. all: every pair."""
    direction: Direction = "mean"
    """mean: difference of the means, as published. pca: first principal component of the pairs, as repeng."""
    op: Literal["add", "rescale", "project_out"] = "add"
    """add; rescale: add, and bring the sum to the length that the activations had; project_out: take strength times
    the activations' projection on the vector away, whichever pole is aimed at."""
    layer: int | None = Field(default=None, ge=0)
    """Counted from 0; None chooses among `layers`."""
    layers: tuple[int, ...] | None = Field(default=None, min_length=1)
    """What is tried, each alone; None: about eight layers, evenly between 20 % and 90 % of the depth."""
    at_once: bool = False
    """Whether all of `layers` are steered together, each by what its vector has more than that of the one before; with
    op=project_out each along its whole vector."""
    strength: float | None = None
    """In differences between the poles; None chooses among `strengths`."""
    strengths: Grid = (1.0, 2.0, 4.0, 6.0)
    """What is tried."""
    max_perplexity: float = Field(default=2.0, gt=0)
    """Largest perplexity of neutral text, over that without control, that a chosen strength may cause."""
    within: float = Field(default=1.0, ge=0)
    """The weakest strength is chosen whose effect is so many standard errors, or fewer, below the largest; 0: that of
    the largest."""
    sweep: Sweep = "halving"
    """How layers and strengths are tried: by halving, so that what cannot be chosen is measured in part, or
    exhaustive."""
    positions: Scope = "all"
    """all; answer: from the last prompt token on; generated: only what the model writes."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        idle = [name for name in Writing.model_fields if getattr(self, name) is not None]
        idle += ["preset"] * (self.preset != "small")
        if self.replies == "dialogues" and idle:
            raise ValueError(f"{idle[0]} is for replies=generate, and replies=dialogues reads them; leave one out")
        if self.at_once and self.layer is not None:
            raise ValueError(f"at_once steers several layers, and layer={self.layer} is one; give layers, or neither")
        return self

    @property
    def writing(self) -> Writing:
        """How the model is let answer: what was given, the rest from the preset."""
        given = {name: value for name in Writing.model_fields if (value := getattr(self, name)) is not None}
        return PRESETS[self.preset].model_copy(update=given)

    def chooses(self) -> bool:
        """Whether a layer or the strength is chosen on development items."""
        alone = self.at_once or self.layer is not None or len(self.layers or ()) == 1
        return self.strength is None or not alone
