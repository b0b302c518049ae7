"""What a scripted writer says: sentences of either pole, as many of the high one as the level asks for."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Literal

from traitbench.types import Record, Trait

__all__ = ["SENTENCES", "sentences", "speech"]

SENTENCES = 5
"""Of a reply: four on the trait that the question is about, one on another, so that judges have something to see."""
Pole = Literal["high", "low"]


class _Held(Record):
    """Everything sentences.json holds."""

    licence: str
    about: str
    sentences: dict[Trait, dict[Pole, tuple[str, ...]]]


@cache
def sentences() -> Mapping[Trait, Mapping[Pole, Sequence[str]]]:
    """Read sentences.json: trait -> pole -> sentences."""
    source = files("traitbench.backends").joinpath("sentences.json").read_text(encoding="utf-8")
    return _Held.model_validate_json(source).sentences


def speech(levels: Mapping[Trait, float], about: Trait, draw: random.Random) -> str:
    """A reply of one whose `levels` (0 to 1) these are, to a question about one trait.

    The level is the share of sentences of the high pole, rounded up or down at random. What is about no trait that
    there are sentences of is answered with one sentence a trait.
    """
    held = sentences()
    if about not in held:
        return " ".join(_said(trait, levels.get(trait, 0.5), 1, draw) for trait in held)
    other = draw.choice([trait for trait in held if trait != about])
    own = _said(about, levels.get(about, 0.5), SENTENCES - 1, draw)
    return f"{own} {_said(other, levels.get(other, 0.5), 1, draw)}"


def _said(trait: Trait, level: float, n: int, draw: random.Random) -> str:
    high = int(min(max(level, 0.0), 1.0) * n + draw.random())
    mine = sentences()[trait]
    said = [*draw.sample(mine["high"], min(high, n)), *draw.sample(mine["low"], n - min(high, n))]
    draw.shuffle(said)
    return " ".join(said)
