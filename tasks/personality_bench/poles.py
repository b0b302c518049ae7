"""Descriptions of a person of either pole of each trait, of our own: what the paper's prompting baseline is given."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

from traitbench.types import Record, Trait

__all__ = ["Description", "descriptions"]


class Description(Record):
    """A person of one pole, in the third person, without the name of the trait."""

    id: str
    trait: Trait
    pole: Literal["high", "low"]
    text: str


class _Held(Record):
    """Everything poles.json holds."""

    licence: str
    poles: tuple[Description, ...]


@cache
def descriptions() -> tuple[Description, ...]:
    """Read poles.json: two descriptions of a pole of the Big Five, the first one first; one of the Dark Triad."""
    source = files("traitbench.tasks.personality_bench").joinpath("poles.json").read_text(encoding="utf-8")
    return _Held.model_validate_json(source).poles
