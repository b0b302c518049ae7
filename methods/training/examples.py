"""What a training run is given and what it tells: examples in tokens, what a method adds, points of the curve."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitbench.errors import BadData
from traitbench.types import Message, Record

if TYPE_CHECKING:
    from torch import Tensor

    from traitbench.backends.hf import HuggingFace

__all__ = ["Example", "Extension", "LossPoint", "example"]

Tokens = tuple[int, ...]


class Example(Record):
    """One example in tokens."""

    prompt: Tokens
    reply: Tokens
    """The loss of SFT is on these alone."""
    rejected: Tokens = ()
    """Of pairs: the other reply."""
    slots: tuple[float, ...] = ()
    """Of the target, for an extension."""


class LossPoint(Record):
    """Where a run was after so many steps."""

    step: int
    loss: float | None = None
    """Of the training batches since the last point."""
    held_out: float | None = None
    accuracy: float | None = None
    """Of pairs, held out: share of them whose chosen reply gained more; orpo: is the likelier; None of kto."""
    margin: float | None = None
    """Of pairs, held out: mean difference of the rewards."""
    perplexity: float | None = None
    """Of neutral text, over that without the adapter; measured where a limit is set."""


class Extension(ABC):
    """What a method adds to a PEFT model while it is trained."""

    identity: dict[str, Any]
    """Everything that decides the training, JSON-like."""

    @abstractmethod
    def attach(self, model: Any) -> None:
        """Take the model as PEFT wrapped it; parameters registered on it that require gradients are trained."""

    @abstractmethod
    def begin(self, slots: Tensor) -> None:
        """Take the slots (rows, slots) of the batch that is run next."""

    @abstractmethod
    def loss(self) -> Tensor:
        """Return what is added to the loss of a training batch."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write its own tensors beside an adapter."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Read them back."""

    @abstractmethod
    def detach(self) -> None:
        """Leave the model."""


def example(
    backend: HuggingFace,
    messages: Sequence[Message],
    reply: str,
    cutoff: int,
    rejected: str | None = None,
    slots: Sequence[float] = (),
    what: str = "a record",
) -> Example:
    """Render and tokenise as a run does; a reply ends with the token that ends a turn.

    TRL's own tokens of a prompt and its completion are these and whatever else the template writes behind a turn, such
    as a line end, which no run waits for; where tokens merge across the border they drop the prompt's last ones.

    BadData where prompt and reply are longer than `cutoff` tokens; `what` names the record in the message.
    """
    renderer = backend.renderer
    prompt = renderer.render(messages, "Answer:")
    ids = renderer.encode(prompt)
    replies = [
        renderer.answer(prompt, ids, renderer.continuation(text)) + renderer.end for text in (reply, rejected) if text
    ]
    if (longest := len(ids) + max(map(len, replies))) > cutoff:
        raise BadData(
            f"{what} is {longest} tokens long, over the cutoff of {cutoff}; shorten it, or allow more with "
            f"--method_args cutoff={longest}"
        )
    return Example(
        prompt=ids, reply=replies[0], rejected=replies[1] if rejected is not None else (), slots=tuple(slots)
    )
