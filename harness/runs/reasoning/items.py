"""The reasoning set: `python -m traitbench.runs.reasoning.items` writes items.jsonl, with nothing but Python itself.

280 questions, 35 of each of eight kinds, were written for this project and are given away under CC0-1.0. Kinds take
turns, so that the first eight items are one of each and a limit keeps the balance. A fifth of each kind is `dev` (texts
to show as examples, or to tune on), the rest `test`; within each half the right answer stands equally often at each of
the four places. The file is the same wherever it is written.

How hard a kind is was set by what SmolLM2-135M-Instruct without a control makes of it, and by nothing else: behind its
chat template it chooses right in .34 of the 224 test items (row .61, events .46, calendar .39, syllogism .36, odd .32,
compare .29, count .18, turn .14; chance is .25), writes the right answer in .24, and gives the word that is right a
perplexity of 32.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TypedDict

from traitbench.runs.reasoning.kinds import KINDS, Question

__all__ = ["Row", "lines", "rows"]

EACH = 35
"""Items a kind."""
DEV = 5
"""One item in so many of a kind is for development."""
OPTIONS = 4
SEED = 1


class Row(TypedDict):
    """A line of items.jsonl, as lm-eval's tasks read it."""

    id: str
    kind: str
    split: str
    """`dev` or `test`."""
    question: str
    lead: str
    """Beginning of a sentence that the answer ends."""
    options: list[str]
    target: int
    """Place of the right answer among the options, from 0."""
    answer: str


def rows() -> Iterator[Row]:
    """Draw the items in the order of the file; ValueError where a question has no single right answer offered."""
    seen: set[str] = set()
    placed = {"dev": 0, "test": 0}
    for n in range(EACH):
        split = "test" if n % DEV else "dev"
        for kind in KINDS:
            chance = Random(f"{SEED} {kind} {n}")
            made = KINDS[kind](n, chance)
            while made.text in seen:
                made = KINDS[kind](n, chance)
            seen.add(made.text)
            target = (placed[split] + placed[split] // len(KINDS)) % OPTIONS
            placed[split] += 1
            yield Row(
                id=f"{kind}-{n + 1:02}", kind=kind, split=split, question=made.text, lead=made.lead,
                options=_options(made, target, chance), target=target, answer=made.answer,
            )  # fmt: skip


def _options(made: Question, target: int, chance: Random) -> list[str]:
    """The answer at its place among wrong ones in no order."""
    options = list(made.wrong[: OPTIONS - 1])
    chance.shuffle(options)
    options.insert(target, made.answer)
    if len({x.lower() for x in options}) != OPTIONS or made.answer in made.wrong:
        raise ValueError(f"{made.text!r} has the options {options}; expected {OPTIONS} different ones")
    return options


def lines() -> str:
    """The file's contents."""
    return "".join(f"{json.dumps(row)}\n" for row in rows())


def main() -> None:
    """Write items.jsonl beside this module."""
    path = Path(__file__).with_name("items.jsonl")
    path.write_text(lines(), encoding="utf-8", newline="\n")
    print(f"{path}: {EACH * len(KINDS)} items")


if __name__ == "__main__":
    main()
