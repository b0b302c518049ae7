"""How a judge that is a language model is asked: an anchored rubric, both poles described, the reply in a fence.

What all replies share comes first, so that one prefix serves them; the reply is fenced by a mark that it cannot hold,
and what is asked stands again behind it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from traitbench.judges.grading import ABSTAINED, HIGHEST, LOWEST
from traitbench.judges.records import Text
from traitbench.statistics.replies import option_variants
from traitbench.types import Choose, Message, Record, Trait, digest

__all__ = ["Rubric", "Rubrics", "prompts", "rating", "rubrics"]

CANNOT_TELL = "X"


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


def rating(text: Text, dimension: Trait, judge: str) -> list[Choose]:
    """Ask for a number from 0 to 5, with 5 as the high pole (forward) and with 0 as the high pole (reverse)."""
    rubric = rubrics().of(dimension)
    if rubric is None:
        return []
    out = []
    for order in ("forward", "reverse"):
        numbers = tuple(range(LOWEST, HIGHEST + 1))
        values = numbers if order == "forward" else numbers[::-1]
        doc = text.doc.model_copy(
            update={"judge": judge, "scoring": "choice", "trait": dimension, "order": order, "symbols": "numbers"}
        )
        out.append(Choose(
            doc=doc,
            messages=(Message(role="user", content=_asked(text, rubric, values)),),
            cue="Rating:",
            options=tuple(option_variants(symbol) for symbol in (*map(str, numbers), CANNOT_TELL)),
            values=(*values, ABSTAINED),
        ))  # fmt: skip
    return out


def prompts() -> str:
    """Digest everything that judges are told besides the replies."""
    place = Text.model_validate({
        "doc": {"task": "", "scoring": "generate", "item": "", "trait": "", "facet": None, "keyed": 1},
        "question": "", "text": "", "dimensions": (),
    })  # fmt: skip
    return digest([r.messages[0].content for each in rubrics().rubrics for r in rating(place, each.trait, "")])


def _asked(text: Text, rubric: Rubric, values: tuple[int, ...]) -> str:
    """One dimension and one direction of the scale; `values` are what the numbers 0 to 5 stand for."""
    held = rubrics()
    scale = [f"{number}: {rubric.anchors[str(value)]}" for number, value in enumerate(values)]
    mark = digest([text.question, text.text])[:8]
    return "\n".join([
        f"You rate how much {rubric.trait} a written reply shows, on a scale from {LOWEST} to {HIGHEST}.",
        "",
        f"High {rubric.trait}: {rubric.high}.",
        f"Low {rubric.trait}: {rubric.low}.",
        "",
        "The scale:",
        *scale,
        f"{CANNOT_TELL}: {held.cannot_tell}",
        "",
        *(f"- {rule}" for rule in held.rules),
        "",
        "What was asked:",
        text.question,
        "",
        f"The reply stands between the two marks [{mark}].",
        f"[{mark}]",
        text.text,
        f"[{mark}]",
        "",
        f"How much {rubric.trait} does the reply show? Answer with one number from {LOWEST} to {HIGHEST}, or "
        f"{CANNOT_TELL}, and nothing else.",
    ])  # fmt: skip
