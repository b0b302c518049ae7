"""Automatic preference pairs: a character's own answer over that of another to the most similar question.

After PersLLM (Zeng et al., 2024): what is rejected is fluent and answers nearly the same question, so that what is
left to prefer is who speaks. Drawn among k = 5 from the sixth most similar on, as published: the nearest ones ask the
same, and their answers may well be the character's own.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np

from traitbench.methods.persllm.data import Answered, Half, Persona
from traitbench.methods.persllm.similarity import Retrieval, cosines
from traitbench.types import Record

__all__ = ["Pair", "pairs", "rivals"]


class Pair(Record):
    """A preference: to one question, the character's own answer over that of another."""

    character: str
    other: str
    half: Half
    question: str
    chosen: str
    rejected: str
    rank: int
    """Of the other's question by similarity, from 1."""
    similarity: float


def pairs(
    mine: Persona, others: Sequence[Sequence[Persona]], k: int, retrieval: Retrieval, seed: int, start: int = 6
) -> tuple[list[Pair], int]:
    """Join each record with another character's answer to a similar question; also say how many found none.

    `others` are groups in order of preference: the first group's records of the same half by similarity of question,
    then those of the next. From the `start`th of them on, counted from 1, `k` are candidates, of which one is drawn by
    `seed`, with weights 1, 1/2, 1/3, ...; where there are fewer than `start`, the last is taken. Answers that equal the
    record's own do not count.
    """
    made, alone = [], 0
    for half in get_args(Half):
        own = mine.half(half)
        ranked: list[list[tuple[float, Answered]]] = [[] for _ in own]
        for group in others:
            pool = [record for persona in group for record in persona.half(half)]
            if not pool or not own:
                continue
            found = cosines([r.question for r in own], [r.question for r in pool], retrieval)
            for i, record in enumerate(own):
                order = [int(j) for j in np.argsort(-found[i], kind="stable")]
                usable = [(float(found[i, j]), pool[j]) for j in order if pool[j].answer != record.answer]
                ranked[i] += usable[: max(0, start - 1 + k - len(ranked[i]))]
        for record, near in zip(own, ranked, strict=True):
            first = min(start, len(near)) - 1
            candidates = near[max(first, 0) :]
            if not candidates:
                alone += 1
                continue
            draw = random.Random(f"pair {seed} {record.character} {record.question}")
            ranks = range(len(candidates))
            rank = draw.choices(ranks, weights=[1 / (1 + n) for n in ranks])[0]
            similarity, other = candidates[rank]
            made.append(
                Pair(
                    character=mine.name, other=other.character, half=half, question=record.question,
                    chosen=record.answer, rejected=other.answer, rank=first + rank + 1, similarity=round(similarity, 4),
                )
            )  # fmt: skip
    return made, alone


def rivals(name: str, personas: Mapping[str, Persona]) -> list[list[Persona]]:
    """Whose answers are rejected: the other characters as one group; of a trait pole the opposite, then the rest."""
    rest = {other: persona for other, persona in personas.items() if other != name}
    trait, _, level = name.partition("=")
    opposite = f"{trait}={'low' if level == 'high' else 'high'}"
    if opposite not in rest:
        return [list(rest.values())]
    return [[rest.pop(opposite)], list(rest.values())]
