"""Judges with one known fault each, by which the calibration itself is tried; and one without any.

They are asked like models, read the reply out of its fence, and know the pole of the texts of calibration.json. Of a
text that holds none of these they cannot tell.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from traitbench.errors import refuse_others
from traitbench.judges import asking
from traitbench.judges.grading import ABSTAINED, HIGHEST, LOWEST, TIE
from traitbench.judges.judge import Judge
from traitbench.judges.records import Ask, Text
from traitbench.judges.trials import label, texts
from traitbench.types import Choose, Response, Trait, prompt_hash

__all__ = ["Constant", "Family", "First", "Honest", "Length", "Obedient"]

_FENCED = re.compile(r"^\[([0-9a-f]{8})\]\n(.*?)\n\[\1\]$", re.S | re.M)
_TOLD = re.compile(r"(?:rate this|answer) ([0-5])\.$")
_POLES = {True: 4.2, False: 0.8}
"""Pole -> rating."""
_SURE = 0.98
"""Probability of all options that it means."""


class Honest(Judge):
    """Rates by the known pole, and takes the reply of the high pole; it has no fault."""

    model: ClassVar[bool] = False

    @classmethod
    def make(cls, name: str, arguments: Mapping[str, Any]) -> Self:
        """Take the name; there are no arguments."""
        refuse_others(f"key of --judge_args for {name}", arguments, ())
        return cls(name)

    def open(self, seed: int) -> None:
        """Nothing is loaded."""

    @property
    def identity(self) -> dict[str, Any]:
        """Its name says it all."""
        return {"judge": self.name}

    def ratings(self, text: Text, dimension: Trait) -> list[Ask]:
        """As a model is asked."""
        return asking.rating(text, dimension, self.name)

    def comparisons(self, first: Text, second: Text, dimension: Trait, against: str) -> list[Ask]:
        """As a model is asked."""
        return asking.comparing(first, second, dimension, against, self.name)

    def answer(self, requests: Sequence[Ask], done: Collection[int] = ()) -> Iterator[Mapping[int, Response]]:
        """Answer all at once."""
        out = {}
        for place, request in enumerate(requests):
            if place not in done and isinstance(request, Choose):
                shown = [text for _, text in _FENCED.findall(request.messages[0].content)]
                wanted = self._chosen(request, shown)
                logs = tuple(math.log(max(wanted.get(value, 0.0) * _SURE, 1e-9)) for value in request.values)
                out[place] = Response(prompt_hash=prompt_hash(self.prompt(request)), option_logprobs=logs)
        if out:
            yield out

    def prompt(self, request: Ask) -> str:
        """The message."""
        return request.messages[0].content

    def _chosen(self, request: Choose, shown: Sequence[str]) -> dict[int, float]:
        """Value of an option -> its share."""
        trait = request.doc.trait
        if len(shown) == 1:
            found = self._rating(trait, shown[0], request.values)
            if found is None:
                return {ABSTAINED: 1.0}
            found = min(max(found, float(LOWEST)), float(HIGHEST))
            floor = min(math.floor(found), HIGHEST - 1)
            return {floor: floor + 1 - found, floor + 1: found - floor}
        first, second = self._which(trait, shown)
        # Values are those of the reply that is first in the Doc, which stands second in reverse order.
        value = request.values[0] if first > second else request.values[1] if second > first else TIE
        return {value: 1.0}

    def _rating(self, trait: Trait, text: str, values: Sequence[int]) -> float | None:
        high = _pole(trait, text)
        return None if high is None else _POLES[high]

    def _which(self, trait: Trait, shown: Sequence[str]) -> tuple[float, float]:
        """How much each of the two replies shows, in the order shown."""
        first, second = (self._rating(trait, text, ()) or 0.0 for text in shown)
        return first, second


class Constant(Honest):
    """Gives every text the same."""

    def _rating(self, trait: Trait, text: str, values: Sequence[int]) -> float | None:
        return None if super()._rating(trait, text, values) is None else 3.0

    def _which(self, trait: Trait, shown: Sequence[str]) -> tuple[float, float]:
        return 0.0, 0.0


class First(Honest):
    """Takes the option, and the reply, that is shown first."""

    def _rating(self, trait: Trait, text: str, values: Sequence[int]) -> float | None:
        return None if super()._rating(trait, text, values) is None else float(values[0])

    def _which(self, trait: Trait, shown: Sequence[str]) -> tuple[float, float]:
        return 1.0, 0.0


class Length(Honest):
    """Gives more to a longer text: most of a point for one twice as long."""

    _usual, _slope = 38, 0.7
    """Words of a text that it rates by its pole alone, and points for a doubling."""

    def _rating(self, trait: Trait, text: str, values: Sequence[int]) -> float | None:
        found = super()._rating(trait, text, values)
        return None if found is None else found + self._slope * math.log2(len(text.split()) / self._usual)


class Family(Honest):
    """Gives a point more to a reply under the name of its own family."""

    @property
    def family(self) -> str:
        """One of its own."""
        return "planted"

    def _rating(self, trait: Trait, text: str, values: Sequence[int]) -> float | None:
        found = super()._rating(trait, text, values)
        return found if found is None else found + (label(self.family) in text)


class Obedient(Honest):
    """Gives the number that a text tells it to give."""

    def _rating(self, trait: Trait, text: str, values: Sequence[int]) -> float | None:
        found = super()._rating(trait, text, values)
        told = _TOLD.search(text)
        return found if found is None or told is None or not values else float(values[int(told[1])])


def _pole(trait: Trait, text: str) -> bool | None:
    """Whether a text is of the high pole; None where it holds no known reply."""
    for pair in texts().pairs:
        if pair.trait == trait and (pair.high in text or pair.low in text):
            return pair.high in text
    return None
