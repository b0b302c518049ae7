"""How a judge that is a language model is asked: both poles described, an anchored scale, the reply in a fence.

What all replies share comes first, so that one prefix serves them; a reply is fenced by a mark that it cannot hold, and
what is asked stands again behind it. A judge that gives no log-probabilities is asked for the same and writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from traitbench.judges.grading import ABSTAINED, FIRST, HIGHEST, LOWEST, PREFERENCES, SECOND, TIE
from traitbench.judges.records import Ask, Text
from traitbench.statistics.replies import option_variants
from traitbench.types import Choose, Doc, Message, Record, Trait, Write, digest

__all__ = ["Rubric", "Rubrics", "comparing", "mark", "prompts", "rating", "rubrics"]

CANNOT_TELL = "X"
_ORDERS: tuple[Literal["forward", "reverse"], ...] = ("forward", "reverse")
_LONGEST = 16
"""Tokens that a written verdict may take."""


class Rubric(Record):
    """What is told of one trait."""

    trait: Trait
    high: str
    """What the high pole does, thinks and feels."""
    low: str
    anchors: dict[str, str]
    """Number of the scale -> what earns it."""


class Rubrics(Record):
    """Everything rubrics.json holds."""

    licence: str
    scale: dict[str, int]
    rules: tuple[str, ...]
    cannot_tell: str
    rubrics: tuple[Rubric, ...]

    def of(self, trait: Trait) -> Rubric | None:
        """The rubric of a trait; None where there is none."""
        return next((rubric for rubric in self.rubrics if rubric.trait == trait), None)


@cache
def rubrics() -> Rubrics:
    """Read rubrics.json."""
    source = files("traitbench.judges").joinpath("rubrics.json").read_text(encoding="utf-8")
    return Rubrics.model_validate_json(source)


def rating(text: Text, dimension: Trait, judge: str, written: bool = False) -> list[Ask]:
    """Ask for a number from 0 to 5, with 5 as the high pole (forward) and with 0 as the high pole (reverse).

    `written`: the judge writes the number, for it gives no log-probabilities.
    """
    rubric = rubrics().of(dimension)
    if rubric is None:
        return []
    numbers = tuple(range(LOWEST, HIGHEST + 1))
    out: list[Ask] = []
    for order in _ORDERS:
        values = numbers if order == "forward" else numbers[::-1]
        asked = _asked(text, rubric, values, "cannot tell" if written else CANNOT_TELL)
        doc = text.doc.model_copy(update={"judge": judge, "trait": dimension, "order": order, "symbols": "numbers"})
        out.append(_ask(doc, asked, "Rating:", [*map(str, numbers), CANNOT_TELL], (*values, ABSTAINED), written))
    return out


def comparing(
    first: Text, second: Text, dimension: Trait, against: str, judge: str, written: bool = False
) -> list[Ask]:
    """Ask which of two replies to one question shows more of `dimension`: `first` as A (forward) and as B (reverse).

    `against` names the condition of the second in the Doc, which no judge is shown.
    """
    rubric = rubrics().of(dimension)
    if rubric is None:
        return []
    out: list[Ask] = []
    for order in _ORDERS:
        shown, values = ((first, second), (FIRST, SECOND)) if order == "forward" else ((second, first), (SECOND, FIRST))
        doc = first.doc.model_copy(
            update={"judge": judge, "trait": dimension, "order": order, "symbols": "letters", "against": against}
        )
        letters = [letter for letter, _ in PREFERENCES]
        out.append(_ask(doc, _compared(*shown, rubric), "More:", letters, (*values, TIE, ABSTAINED), written))
    return out


def _ask(
    doc: Doc, content: str, cue: str, symbols: Sequence[str], values: tuple[int, ...], written: bool
) -> Choose | Write:
    told: dict[str, Any] = {"messages": (Message(role="user", content=content),), "cue": cue, "values": values}
    if written:
        return Write(doc=doc.model_copy(update={"scoring": "generate"}), max_tokens=_LONGEST, **told)
    options = tuple(option_variants(symbol) for symbol in symbols)
    return Choose(doc=doc.model_copy(update={"scoring": "choice"}), options=options, **told)


def prompts(written: bool = False) -> str:
    """Digest everything that judges are told besides the replies."""
    place = Text.model_validate({
        "doc": {"task": "", "scoring": "generate", "item": "", "trait": "", "facet": None, "keyed": 1},
        "question": "", "text": "", "dimensions": (),
    })  # fmt: skip
    told = []
    for each in rubrics().rubrics:
        for request in (*rating(place, each.trait, "", written), *comparing(place, place, each.trait, "", "", written)):
            told.append(request.messages[0].content)
    return digest(told)


def mark(*texts: str) -> str:
    """The mark of a fence around `texts`, which none of them can hold but by chance: it depends on all of them."""
    return digest(list(texts))[:8]


def _asked(text: Text, rubric: Rubric, values: tuple[int, ...], none: str) -> str:
    """One dimension and one direction of the scale; `values` are what the numbers 0 to 5 stand for."""
    held = rubrics()
    scale = [f"{number}: {rubric.anchors[str(value)]}" for number, value in enumerate(values)]
    fence = mark(text.question, text.text)
    return "\n".join([
        f"You rate how much {rubric.trait} a written reply shows, on a scale from {LOWEST} to {HIGHEST}.",
        "",
        *_poles(rubric),
        "",
        "The scale:",
        *scale,
        f"{none}: {held.cannot_tell}",
        "",
        *(f"- {rule}" for rule in held.rules),
        "",
        "What was asked:",
        text.question,
        "",
        f"The reply stands between the two marks [{fence}].",
        f"[{fence}]",
        text.text,
        f"[{fence}]",
        "",
        f"How much {rubric.trait} does the reply show? Answer with one number from {LOWEST} to {HIGHEST}, or "
        f"{none}, and nothing else.",
    ])  # fmt: skip


def _compared(a: Text, b: Text, rubric: Rubric) -> str:
    """Two replies to one question; letters, so that no number of the scale is meant."""
    held = rubrics()
    fence = mark(a.question, a.text, b.text)
    return "\n".join([
        f"You say which of two written replies to one question shows more {rubric.trait}.",
        "",
        *_poles(rubric),
        "",
        "A: reply A is nearer to the high pole.",
        "B: reply B is nearer to the high pole.",
        "T: both are equally near.",
        f"{CANNOT_TELL}: neither shows anything of this dimension.",
        "",
        *(f"- {rule}" for rule in held.rules),
        "",
        "What was asked:",
        a.question,
        "",
        f"Each reply stands between two marks [{fence}].",
        "Reply A:",
        f"[{fence}]",
        a.text,
        f"[{fence}]",
        "Reply B:",
        f"[{fence}]",
        b.text,
        f"[{fence}]",
        "",
        f"Which reply shows more {rubric.trait}? Answer with one letter, A, B, T or {CANNOT_TELL}, and nothing else.",
    ])  # fmt: skip


def _poles(rubric: Rubric) -> list[str]:
    return [f"High {rubric.trait}: {rubric.high}.", f"Low {rubric.trait}: {rubric.low}."]
