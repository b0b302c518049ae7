"""Models that lm-eval runs, under prompts: `--model lm_eval:NAME --model_args ...`, both as lm-eval's own command.

lm-eval loads the model and computes. Which tokens are prompt and which are answer is decided here, so that the numbers
are those of the backend hf; lm-eval's cache of answers is never used.
"""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from traitbench.backends import counting
from traitbench.backends.backend import Backend, Options, Work, penalised
from traitbench.backends.devices import device_of
from traitbench.backends.lm_eval import settings
from traitbench.backends.lm_eval.kinds import answered, engine, installed, kind_of, served, unlogged
from traitbench.backends.models import ModelSpec
from traitbench.types import Choose, Continue, Control, Kind, Record, Request, Response, Write

__all__ = ["LMEval"]

_CHUNK, _MANY = 16, 512
"""Requests that are kept together, which is what a kill can lose: usually, and of engines; of servers those that are
under way at once."""


class LMEval(Backend):
    """A model that lm-eval runs."""

    name: ClassVar[str] = "lm_eval"
    applies: ClassVar[frozenset[Kind]] = frozenset({"prompt"})
    undeciding: ClassVar[frozenset[str]] = settings.UNDECIDING

    class Arguments(Record):
        """Everything that lm-eval's model takes is passed on to it; of this the backend knows more."""

        pretrained: str | None = None
        """Weights: a short name, a folder or a hub id, as `--model` takes them for other backends."""
        model: str | None = None
        """Of a server: the model by its name there."""
        base_url: str | None = None
        """Of a server: the address of the route itself, as lm-eval takes it."""
        revision: str | None = None
        """Branch, tag or commit on the hub."""
        header: str | None = None
        """Of a server: `env:NAME`, the variable of the environment that holds its headers as a JSON object. They take
        the place of the key that lm-eval reads from its own variable, such as OPENAI_API_KEY."""
        auth_token: str | None = None
        """`env:NAME`, the variable that holds the key of a server's tokenizer routes alone."""

    def __init__(self, spec: ModelSpec, options: Options) -> None:
        """Have lm-eval load the model; see `make`."""
        from traitbench.backends.lm_eval.loading import loaded
        from traitbench.backends.lm_eval.model import Model

        self.spec, kind = spec, kind_of(spec.source)
        given = settings.found(spec.source, kind, spec, options)
        lm = loaded(spec.source, kind, given.arguments, options)
        self.reads = not served(kind)
        concurrent = int(options.arguments.get("num_concurrent") or 0)
        usual = _MANY if engine(kind) else max(1, concurrent) if served(kind) else _CHUNK
        self._chunk = max(options.batch_size or 0, usual)
        self.model = Model(spec.source, lm, options.chat_template, self._chunk)
        precision = str(getattr(getattr(lm, "model", None), "dtype", "")).removeprefix("torch.") or None
        self._identity = {
            "backend": self.name, "lm_eval": installed(), **given.identity, "dtype": precision, **self.model.identity,
        }  # fmt: skip

    @classmethod
    def check(cls, spec: ModelSpec, options: Options) -> None:
        """Refuse a model that lm-eval has not, arguments that cannot work and secrets among them."""
        settings.check(kind := kind_of(spec.source), options)
        if not served(kind) and not engine(kind):
            device_of(options.device)

    @classmethod
    def make(cls, spec: ModelSpec, options: Options) -> Self:
        """Have lm-eval load the model; BadData, MissingExtra or UnknownName where it cannot."""
        return cls(spec, options)

    @classmethod
    def refuses(cls, request: Request, spec: ModelSpec) -> str | None:
        """Say which scoring lm-eval's model cannot do: chat servers give no log-likelihoods, some kinds no tokens."""
        able = answered(spec.source)
        if type(request) in able:
            return penalised(request, "lm-eval's models")
        if Choose not in able:
            return (
                f"lm-eval's model {spec.source} has no log-likelihoods, which choice and statement need; use --scoring "
                "generate, or for a server that has them --model endpoint:NAME or lm_eval:local-completions"
            )
        return f"lm-eval's model {spec.source} tells no number of tokens, as statement needs; use --scoring choice"

    @property
    def identity(self) -> dict[str, Any]:
        """What decides an answer besides the request: lm-eval's version, model, arguments, weights and template."""
        return dict(self._identity)

    def prompt(self, request: Request) -> str:
        """Render the exact text that the model is shown; of a chat server the turns, each behind its role."""
        return self.model.render(request.conversation(self._control), request.cue)

    def work(self, requests: Sequence[Request], control: Control) -> Work | None:
        """Count each prompt with each answer by itself; None for models that are given texts or turns."""
        if self.model.way != "tokens" or self.model.renderer is None:
            return None
        with unlogged():
            return counting.alone(self.model.renderer, requests, control, self.model.rows)

    def run(self, requests: Sequence[Request], done: Collection[int] = ()) -> Iterator[Mapping[int, Response]]:
        """Answer `requests` in batches, index -> response; a batch is skipped only when all of it is in `done`.

        Unreachable where a server does not answer, BadData for a prompt that does not fit.
        """
        from traitbench.backends.lm_eval.asking import Shown, choose, proceed, write

        held = set(done)
        for type_, answer in ((Choose, choose), (Continue, proceed), (Write, write)):
            mine = [i for i, request in enumerate(requests) if isinstance(request, type_)]
            for start in range(0, len(mine), self._chunk):
                batch = mine[start : start + self._chunk]
                if not held.issuperset(batch):
                    asked = [
                        Shown(requests[i], requests[i].conversation(self._control), self.prompt(requests[i]))
                        for i in batch
                    ]
                    yield dict(zip(batch, answer(self.model, asked), strict=True))

    def close(self) -> None:
        """Free the model's memory."""
        del self.model
        gc.collect()
