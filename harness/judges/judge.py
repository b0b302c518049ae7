"""Judge: something that says how much of a trait a written reply shows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from traitbench.judges.records import Ask, Text
from traitbench.types import Response, Trait, digest

if TYPE_CHECKING:
    from traitbench.backends.models import ModelSpec

__all__ = ["Judge"]


class Judge(ABC):
    """Something that answers requests about replies; each names it, so that it can be told from the model."""

    compares: ClassVar[bool] = True
    """Whether it can be asked which of two replies shows more of a trait."""
    model: ClassVar[bool] = True
    """Whether it is a language model, of which a number that is published needs two."""

    def __init__(self, name: str) -> None:
        """Take the name as typed, which every judgement carries."""
        self.name = name

    @classmethod
    @abstractmethod
    def make(cls, name: str, arguments: Mapping[str, Any]) -> Self:
        """Check the name and the arguments of --judge_args. Nothing is loaded."""

    def refuses(self, subject: ModelSpec) -> str | None:
        """Say why it must not judge what `subject` wrote; None where it may."""
        return None

    @property
    def family(self) -> str | None:
        """Of models that it belongs to (llama, qwen, gpt); None where it is none, or its name does not tell."""
        return None

    def reach(self, seed: int) -> None:
        """Find out, before anything is fitted or generated, whether it can be asked, where that needs no weights.

        Unreachable or UnsupportedControl where it cannot.
        """

    @abstractmethod
    def open(self, seed: int) -> None:
        """Get ready to answer. BadData or MissingExtra where it cannot."""

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides its answers besides the request. Part of every key; known once it is open."""

    @property
    def card(self) -> dict[str, Any]:
        """What a reader must know of it, beside every number that rests on it; known once it is open."""
        return {"identity": self.identity}

    def cost(self, responses: Iterable[Response]) -> dict[str, Any]:
        """What `responses`, all of its own, cost; empty where they cost time."""
        return {}

    @abstractmethod
    def ratings(self, text: Text, dimension: Trait) -> list[Ask]:
        """Ask how much of `dimension` the text shows, once a direction of the scale.

        Empty where it has no say on this dimension.
        """

    def comparisons(self, first: Text, second: Text, dimension: Trait, against: str) -> list[Ask]:
        """Ask which of two replies of one place shows more of `dimension`, once an order; `against` is named in Doc."""
        return []

    @abstractmethod
    def answer(self, requests: Sequence[Ask], done: Collection[int] = ()) -> Iterator[Mapping[int, Response]]:
        """Answer in batches: index -> response. A batch is skipped only when all of it is `done`."""

    @abstractmethod
    def prompt(self, request: Ask) -> str:
        """The exact text that it is shown."""

    def key(self, request: Ask) -> str:
        """Name a response by all that decides it: the judge and the request."""
        return digest({"judge": self.identity, "request": request.content()})

    def close(self) -> None:
        """Free what it holds."""
