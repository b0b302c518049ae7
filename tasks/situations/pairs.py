"""The pairs: an everyday situation with a reply typical of the high pole of a trait and one typical of the low pole.

They were written for this project (CC0-1.0), a file a trait in `pairs/`, and are read into frozen records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Literal

from pydantic import Field, ValidationError

from traitbench.errors import BadData
from traitbench.inventories import text_hash
from traitbench.types import BIG_FIVE, Record, Trait

__all__ = ["FACETS", "SPLITS", "Desirability", "Pair", "Split", "Written", "WrittenPair", "load", "read"]

Desirability = Literal["matched", "high", "low"]
"""Which reply most people would find better; matched: neither."""
Split = Literal["dev", "test"]

FACETS: dict[Trait, tuple[str, ...]] = {
    trait: tuple(f"{trait[0].upper()}{number}" for number in range(1, 7)) for trait in BIG_FIVE
}
"""Trait -> its facets, by the codes of the IPIP-NEO."""
SPLITS: tuple[Split, ...] = ("dev", "test")


class WrittenPair(Record):
    """One entry of a file."""

    id: str = Field(min_length=1)
    facet: str
    situation: str = Field(min_length=1)
    """In the second person."""
    high: str = Field(min_length=1)
    """Reply in the first person, typical of the high pole."""
    low: str = Field(min_length=1)
    desirability: Desirability
    split: Split
    """test: asked by the task. dev: reserved for choosing strengths and the like."""


class Written(Record):
    """One file."""

    licence: str
    trait: Trait
    pairs: tuple[WrittenPair, ...]


class Pair(WrittenPair):
    """A pair as it is asked."""

    trait: Trait
    number: int
    """Its place among those of its split, from 1."""
    keyed: Literal[1, -1]
    """1: in forward order the high reply stands second (B); -1: it stands first (A)."""

    @property
    def text(self) -> str:
        """Its words: the situation, the high reply, the low reply."""
        return f"{self.situation}\n{self.high}\n{self.low}"

    @property
    def text_hash(self) -> str:
        """Names the words."""
        return text_hash(self.text)


@cache
def load(split: Split = "test") -> tuple[Pair, ...]:
    """The pairs of a split that ship. The task asks those of `test`; those of `dev` are free to choose by."""
    return read(files("traitbench.tasks.situations").joinpath("pairs"), split)


def read(folder: Traversable, split: Split) -> tuple[Pair, ...]:
    """Read the pairs of a split from the files of `folder`, one a trait (extraversion.json).

    They come in rounds: one pair a facet and trait, the facets in turn, so that the first so many are spread over all
    traits. Keys alternate within each facet, and from facet to facet. BadData where a file is missing or damaged.
    """
    held = {trait: _file(folder.joinpath(f"{trait}.json"), trait) for trait in BIG_FIVE}
    every = [pair for pairs in held.values() for pair in pairs]
    if twice := [id for id, n in Counter(pair.id for pair in every).items() if n > 1]:
        raise BadData(f"{folder}: the id {twice[0]!r} stands twice; expected one id a pair")
    rounds: dict[tuple[int, int, int], tuple[Trait, WrittenPair]] = {}
    for place, (trait, pairs) in enumerate(held.items()):
        for facet, mine in _by_facet(trait, pairs, split).items():
            for rank, pair in enumerate(mine):
                rounds[rank, FACETS[trait].index(facet), place] = trait, pair
    return tuple(
        Pair(
            **rounds[key][1].model_dump(), trait=rounds[key][0], number=number,
            keyed=1 if (key[0] + key[1] + key[2]) % 2 else -1,
        )
        for number, key in enumerate(sorted(rounds), 1)
    )  # fmt: skip


def _by_facet(trait: Trait, pairs: Iterable[WrittenPair], split: Split) -> Mapping[str, Sequence[WrittenPair]]:
    return {facet: [p for p in pairs if (p.facet, p.split) == (facet, split)] for facet in FACETS[trait]}


def _file(path: Traversable, trait: Trait) -> tuple[WrittenPair, ...]:
    """The pairs of one file; BadData with its first fault."""
    try:
        found = Written.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError:
        raise BadData(f"{path} cannot be read; expected the pairs of {trait}; install traitbench again") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise BadData(f"{path}: {where}: {first['msg']}; expected licence, trait and pairs") from None
    if found.trait != trait:
        raise BadData(f"{path}: the trait is {found.trait!r}, expected {trait!r}")
    for pair in found.pairs:
        if pair.facet not in FACETS[trait]:
            raise BadData(
                f"{path}: {pair.id} has the unknown facet {pair.facet!r}; expected one of {', '.join(FACETS[trait])}"
            )
    if bare := [facet for facet, mine in _by_facet(trait, found.pairs, "test").items() if not mine]:
        raise BadData(f"{path}: the facet {bare[0]} has no test pair; expected some of every facet")
    return found.pairs
