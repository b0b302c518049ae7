"""Answers without a writer: sentences of the passages, as the character tells them.

What a small model can learn from when no larger one is at hand to write. The texts that ship are in the first person,
so a quoted sentence is an answer in the character's own voice.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import numpy as np

from traitbench.methods.persllm import questions
from traitbench.methods.persllm.questions import Question
from traitbench.methods.persllm.similarity import Retrieval, cosines
from traitbench.targets.characters import Character

__all__ = ["quote", "sentences"]


def sentences(paragraph: str) -> list[str]:
    """Part a paragraph behind full stops, question and exclamation marks that a capital letter or a sign follows."""
    return re.split(r"(?<=[.!?])\s+(?=[^\Wa-z\d_]|[\"'“‘(])", paragraph)


def quote(character: Character, question: Question, passages: Sequence[int], retrieval: Retrieval) -> str:
    """Answer `question` from `passages` (numbers of paragraphs): two sentences, in the order of the text.

    The first found is the sentence most similar to what the question is about. Beside it stands, for an opinion, the
    last sentence of its paragraph, where a paragraph comes to its point; else the next one. Before a false premise's
    goes a denial of it and no second one, drawn by the question's words.
    """
    parted = [sentences(character.knowledge[n]) for n in passages]
    places = [(p, s) for p, part in enumerate(parted) for s in range(len(part))]
    wanted = " ".join(question.about) or question.text
    found = cosines([wanted], [parted[p][s] for p, s in places], retrieval)[0]
    p, best = places[int(np.argmax(found))]
    part = parted[p]
    if question.kind == "false_premise" and question.premise:
        denial = random.Random(question.text).choice(questions.texts().denials)
        return f"{denial.format(f=question.premise)} {part[best]}"
    beside = len(part) - 1 if question.kind == "opinion" else best + 1
    if beside in (best, len(part)):
        beside = best - 1
    return " ".join(part[n] for n in sorted({best, max(beside, 0)}))
