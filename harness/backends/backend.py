"""Backend: something that answers requests under a control."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

from pydantic import Field

from traitbench.backends.arguments import check_arguments
from traitbench.backends.models import ModelSpec
from traitbench.errors import BadData
from traitbench.types import Beginning, Control, Kind, Op, Record, Request, Response, Write

__all__ = ["Asked", "Backend", "NotFinite", "Options", "Work", "penalised"]

Asked = tuple[Control | None, Request]
"""A request and the control that it is asked under."""


class NotFinite(BadData):
    """Raised where a model's logits are no numbers, so that no token can be chosen; says what they are."""


class Options(Record):
    """What the user asked of a backend, besides the model."""

    device: str | None = None
    batch_size: int | None = None
    """Items a pass; None lets the backend choose."""
    chat_template: bool | None = None
    """None: where the model has one."""
    seed: int = 0
    arguments: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    """--model_args, for the backend to check."""


class Work(Record):
    """Tokens of prompts, with the answers scored behind them, that answering several requests takes."""

    shared: float = 0.0
    """What prompts have in common and is computed once."""
    own: float = 0.0
    """All the rest."""
    usd: float | None = None
    """What all of it costs at most, replies and all; None where it costs time."""

    @classmethod
    def of(cls, rule: Callable[..., float], *works: Work) -> Work:
        """Take each part from the same part of `works` by `rule`; dollars are None where one of them has none."""
        parts = {name: [getattr(work, name) for work in works] for name in cls.model_fields}
        found: dict[str, Any] = {name: None if None in part else rule(*part) for name, part in parts.items()}
        return cls(**found)

    @classmethod
    def total(cls, works: Iterable[Work]) -> Work:
        """What all of `works` take."""
        return cls.of(lambda *parts: sum(parts), *works)

    def times(self, by: float) -> Work:
        """What takes `by` times as much."""
        return self.of(lambda part: part * by, self)

    @property
    def tokens(self) -> float:
        """All of them."""
        return self.shared + self.own


class Backend(ABC):
    """Something that answers requests under a control."""

    _control: Control | None = None
    name: ClassVar[str]
    applies: ClassVar[frozenset[Kind]]
    ranks: ClassVar[frozenset[int] | None] = None
    """Ranks of an adapter that it can serve; None: any."""
    ops: ClassVar[frozenset[Op]] = frozenset({"add", "clamp", "zero"})
    """Operations on activations that it can apply."""
    conditional: ClassVar[bool] = False
    """Whether it can make an edit at some positions only, by a projection of the state that it finds there."""
    fits_on: ClassVar[str | None] = None
    """The backend that methods are fitted on for runs of this one; None: this one."""
    mixes: ClassVar[bool] = False
    """Whether requests of several conditions can share a batch: whether it has `run_mixed`."""
    counts_elsewhere: ClassVar[bool] = False
    """Whether `work` asks a server, so that each of its calls takes time."""
    reads: bool = True
    """Whether neutral prose is asked to tell whether its model reads: not of what is no model, nor what is billed."""
    beginning: Beginning | None = None
    """What was found of the token that texts began with in training; None where it was not looked for."""
    notes: tuple[str, ...] = ()
    """What a reader of the results should know of how this model was asked."""
    undeciding: ClassVar[frozenset[str]] = frozenset()
    """Keys of --model_args that change no answer; runs that differ in nothing else share a folder."""

    class Arguments(Record):
        """What --model_args takes, with its defaults."""

    @classmethod
    def check(cls, spec: ModelSpec, options: Options) -> None:
        """Refuse options that cannot work, before a folder is made and anything is loaded.

        UnknownName for an argument that this backend does not take, or a value of it.
        """
        check_arguments(cls.name, cls.Arguments, options.arguments)

    @classmethod
    @abstractmethod
    def make(cls, spec: ModelSpec, options: Options) -> Self:
        """Check the options and load the model of `spec`."""

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides an answer besides the request: model, revision, precision, template. Part of every key."""

    @classmethod
    def refuses(cls, request: Request, spec: ModelSpec) -> str | None:
        """Say why the model of `spec` can never answer `request`; None where it can. Asked before a run begins."""
        return None

    def unable(self, request: Request) -> str | None:
        """Say why this model, as it was found once it was made, cannot answer `request`; None where it can."""
        return None

    def prepare(self, wanted: Sequence[Control], fitter: Backend | None = None) -> None:
        """Get ready for these controls, once, before anything is asked; `fitter` is what they were fitted on.

        BadData for a control that this model cannot take.
        """

    def start(self, tell: Callable[[str], None]) -> None:
        """Start what takes long and is no part of answering; called once it is known that something is to be asked.

        `tell` is for a line to whoever waits.
        """

    @contextmanager
    def under(self, control: Control | None) -> Iterator[None]:
        """Apply `control` to every request of the block: `_control` is the one in force, as far as that is enough."""
        before, self._control = self._control, control
        try:
            yield
        finally:
            self._control = before

    @abstractmethod
    def prompt(self, request: Request) -> str:
        """Render the exact text that the model is shown for `request` under the present control."""

    def work(self, requests: Sequence[Request], control: Control) -> Work | None:
        """Count what answering `requests` under `control` takes, without answering; None where that is not known."""
        return None

    def check_lengths(self, requests: Sequence[Request], control: Control) -> None:
        """Raise lengths.TooLong where a prompt of `requests` under `control` is too long, before anything is asked.

        What is said is of the one that is too long by most. Of many requests the longest are looked at. Where nothing
        is known, nothing is checked.
        """

    @abstractmethod
    def run(self, requests: Sequence[Request], done: Collection[int] = ()) -> Iterator[Mapping[int, Response]]:
        """Answer `requests` in batches: index -> response.

        `done` are indices already answered; a batch is skipped only when all of it is done, so that batches, and with
        them the last digits, are the same in a resumed run.
        """

    def run_mixed(self, asked: Sequence[Asked], done: Collection[int] = ()) -> Iterator[Mapping[int, Response]]:
        """Answer requests that each have a control of their own, as `run` does under the present one."""
        raise NotImplementedError(f"the backend {self.name} asks under one control at a time")

    def cost(self, responses: Iterable[Response]) -> dict[str, Any]:
        """What `responses`, all that a run has kept, cost: keys of the results' `cost`. Empty where they cost time."""
        return {}

    def close(self) -> None:
        """Free what the model holds."""


def penalised(request: Request, who: str) -> str | None:
    """Say that `who` write without a repetition penalty, where `request` has one; None where it has none."""
    if not isinstance(request, Write) or request.repetition_penalty == 1:
        return None
    return (
        f"{who} write without a repetition penalty, and {request.repetition_penalty:g} was asked for; leave "
        "--gen_kwargs repetition_penalty out, or use a model of --backend hf or vllm"
    )
