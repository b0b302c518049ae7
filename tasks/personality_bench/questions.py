"""The open questions: our own, and the published ones where they are on the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import Field

from traitbench import data
from traitbench.errors import BadData
from traitbench.files import parsed, read_text
from traitbench.inventories import text_hash
from traitbench.types import BIG_FIVE, Record, Trait

__all__ = ["DATA", "PUBLISHED", "Asked", "Question", "Split", "load", "published", "rounds"]

PUBLISHED = "personality_bench_published"
Split = Literal["dev", "test"]
DATA = "personalitybench"
"""Name in `traitbench data`."""


class Asked(Record):
    """One entry of questions.json."""

    id: str = Field(min_length=1)
    trait: Trait
    facet: str | None
    """By its code in the IPIP-NEO; None where it is not known."""
    question: str = Field(min_length=1)
    split: Split = "test"
    """test: asked by the task. dev: reserved for choosing strengths and the like."""


class _Held(Record):
    """Everything questions.json holds."""

    licence: str
    facets: str
    questions: tuple[Asked, ...]


class Question(Asked):
    """A question as it is asked."""

    number: int
    """Its place, from 1."""

    @property
    def text(self) -> str:
        """Its words."""
        return self.question

    @property
    def text_hash(self) -> str:
        """Names the words."""
        return text_hash(self.question)


@cache
def load(split: Split = "test") -> tuple[Question, ...]:
    """Our own questions of a split. The task asks those of `test`; those of `dev` are free to choose by."""
    source = files("traitbench.tasks.personality_bench").joinpath("questions.json").read_text(encoding="utf-8")
    return rounds([each for each in _Held.model_validate_json(source).questions if each.split == split])


def published() -> tuple[Question, ...]:
    """The published questions, from wherever they are: BadData with what to type where they are not, or are damaged."""
    folder, out = data.path(DATA) / "test", []
    for trait in BIG_FIVE:
        path = folder / f"{trait.capitalize()}.json"
        for number, text in enumerate(_lines(path), 1):
            out.append(Asked(id=f"pb-{trait[0]}-{number}", trait=trait, facet=None, question=text))
    return rounds(out)


def rounds(asked: Sequence[Asked]) -> tuple[Question, ...]:
    """Number questions so that the first so many are spread over all traits: one a trait and facet, in turn."""
    order: dict[tuple[int, str, int], Asked] = {}
    for place, trait in enumerate(BIG_FIVE):
        by_facet: dict[str, list[Asked]] = {}
        for each in asked:
            if each.trait == trait:
                by_facet.setdefault((each.facet or "")[1:], []).append(each)
        for facet, mine in by_facet.items():
            order |= {(rank, facet, place): each for rank, each in enumerate(mine)}
    return tuple(Question(**order[key].model_dump(), number=number) for number, key in enumerate(sorted(order), 1))


def _lines(path: Path) -> list[str]:
    """The questions of one file, a JSON object a line."""
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"cannot read {path}: {error}; get it anew with `traitbench data get {DATA}`") from None
    out = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            held: Mapping[str, object] = parsed(line)
            text = held["question"]
        except (ValueError, KeyError, TypeError):
            text = None
        if not isinstance(text, str) or not text.strip():
            raise BadData(f'{path}:{number}: expected {{"question": ...}} with a text')
        out.append(" ".join(text.split()))
    if not out:
        raise BadData(f"{path} holds no question; get it anew with `traitbench data get {DATA}`")
    return out
