"""Who answers where nobody reads: the levels and the habits of a scripted respondent."""

from __future__ import annotations

from functools import cache
from typing import Annotated

from pydantic import Field, field_validator

from traitbench.types import Record, Target

__all__ = ["Respondent", "acted", "forgotten"]


Level = Annotated[float, Field(ge=0, le=1)]
"""A share of the response scale."""


class Respondent(Record):
    """Who answers. Levels are shares of the response scale: 0 its lowest point, 0.5 the midpoint, 1 its highest."""

    openness: Level = 0.5
    """Level of the trait."""
    conscientiousness: Level = 0.5
    """Level of the trait."""
    extraversion: Level = 0.5
    """Level of the trait."""
    agreeableness: Level = 0.5
    """Level of the trait."""
    neuroticism: Level = 0.5
    """Level of the trait."""
    machiavellianism: Level = 0.5
    """Level of the trait."""
    narcissism: Level = 0.5
    """Level of the trait."""
    psychopathy: Level = 0.5
    """Level of the trait."""
    noise: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """SD of an error that is drawn anew for every item, as a share of the range; the same in both orders,
    another one in every context."""
    item_sd: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """SD of item difficulties, drawn by `seed`: other seeds are other items of the same trait."""
    person_sd: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """SD of the trait levels over simulated respondents (`--respondents`), as a share of the range."""
    one_factor: float = Field(default=0.0, ge=0, le=1)
    """Share of that variance which all traits have in common: with 1 the respondents differ in one thing only."""
    acquiescence: float = Field(default=0.0, ge=-1, le=1)
    """Added to every raw answer, whatever the item says, as a share of the range."""
    position_bias: float = Field(default=0.0, ge=0, le=1)
    """Probability of taking the first option whatever it says."""
    refusals: float = Field(default=0.0, ge=0, le=1)
    """Share of items that get no answer: a refusal in words, an option mass of 1 % in log-probabilities."""
    constant: int | None = None
    """The one value that every answer has, whatever the item says; e.g. 3."""
    obedience: float = Field(default=0.0, ge=0, le=1)
    """How far a control for a trait moves its level, as a share of the range at level +-1."""
    unsteady: float = Field(default=0.0, ge=0, allow_inf_nan=False, exclude_if=lambda value: not value)
    """SD of an error that is drawn anew for every item under every control, as a share of the range: shifts of items
    differ by it."""
    acts: str = Field(default="", exclude_if=lambda value: not value)
    """Levels in what is done where they are not those that are told: extraversion=low, several joined by +."""
    acts_obedience: float | None = Field(default=None, ge=0, le=1, exclude_if=lambda value: value is None)
    """How far a control moves the level in what is done; null: as far as in what is told."""
    forgets: str = Field(default="", exclude_if=lambda value: not value)
    """Contexts in which a control moves a level less, with the share that is lost: drift-8=0.5, several joined by +."""
    seed: int = 0
    """Of every draw; that of the run, where it is not given."""

    @field_validator("acts")
    @classmethod
    def _levels(cls, given: str) -> str:
        acted(given)
        return given

    @field_validator("forgets")
    @classmethod
    def _shares(cls, given: str) -> str:
        forgotten(given)
        return given


@cache
def acted(text: str) -> dict[str, float]:
    """Trait -> level in what is done, a share of the scale, of `acts`; UnknownName for what is no level."""
    levels = Target.parse(text.replace("+", ",")).levels if text else {}
    return {trait: 0.5 + level / 2 for trait, level in levels.items()}


@cache
def forgotten(text: str) -> dict[str, float]:
    """Context -> share of a control's effect that is lost in it, of `forgets`; ValueError for what is no share."""
    found = {}
    for part in filter(None, text.split("+")):
        name, _, share = part.partition("=")
        try:
            found[name.strip()] = float(share)
            if not 0 <= found[name.strip()] <= 1:
                raise ValueError
        except ValueError:
            raise ValueError(f"expected context=share, e.g. drift-8=0.5, several joined by +, not {part!r}") from None
    return found
