"""Models run by the library transformers, on the CPU or a GPU.

Over 300 lines: one class that answers every kind of request, each in a short method; what they do is beside it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from traitbench.backends import counting
from traitbench.backends.arguments import HFArguments, check_arguments
from traitbench.backends.backend import Backend, Options, Work
from traitbench.backends.devices import device_of
from traitbench.backends.drawing import Ask
from traitbench.backends.forward import Along, Scorer
from traitbench.backends.lengths import check_answer, check_positions, longest, padding, positions, refuse_longest
from traitbench.backends.loading import ends, load
from traitbench.backends.models import ModelSpec
from traitbench.backends.packing import Item, chunks, joined
from traitbench.backends.reading import begin, compared, first_tokens
from traitbench.backends.rendering import Renderer, Tokens, draw_seed
from traitbench.backends.trie import pooled
from traitbench.backends.weights import known_as, locate, unchanged
from traitbench.backends.writing import Writer
from traitbench.controls import arrays
from traitbench.controls.adapters import Base
from traitbench.controls.interventions import applied, layers
from traitbench.controls.wearing import check_adapter, worn
from traitbench.types import Continue, Control, Kind, Op, Request, Response, Site, Write, prompt_hash

__all__ = ["HuggingFace"]

_ROW_TOKENS = {"cpu": 360, "cuda": 2048}
"""Tokens of a packed row. On two cores 250 to 500 differ by a few per cent; longer rows spend more on attention."""


class HuggingFace(Backend):
    """A causal language model with its tokenizer.

    Requests that share the start of their prompts are answered from one computation of it (see packing).
    """

    name: ClassVar[str] = "hf"
    applies: ClassVar[frozenset[Kind]] = frozenset({"prompt", "weights", "activations"})
    ops: ClassVar[frozenset[Op]] = frozenset(get_args(Op))
    conditional: ClassVar[bool] = True

    class Arguments(HFArguments):
        """How the weights are read and run."""

    def __init__(
        self,
        spec: ModelSpec,
        *,
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int | None = None,
        chat_template: bool | None = None,
        trust_remote_code: bool = False,
        packed: bool = True,
    ) -> None:
        """Load the model of `spec`.

        `device`: a torch device, `auto` for several GPUs, or None for the first GPU if there is one. `dtype`: a torch
        name, or None for float32 on the CPU and the checkpoint's own elsewhere. `batch_size`: items a pass, None to
        fill it by tokens. `chat_template`: None takes it where there is one. `packed=False` runs every prompt by
        itself. BadData or MissingExtra where the model cannot be had.
        """
        self.spec = spec
        self.batch_size = batch_size
        self.device = device_of(device)
        self.weights = locate(spec)
        self.tokenizer, self.model = load(spec, self.weights, self.device, dtype, trust_remote_code)
        unchanged(spec, self.weights)
        self.renderer = Renderer(self.tokenizer, chat_template)
        self.renderer.known = getattr(self.model.get_input_embeddings(), "num_embeddings", None)
        self.notes = self.renderer.notes
        stops = self.renderer.stops(ends(self.model.generation_config, self.tokenizer))
        self.model.generation_config.eos_token_id = stops or None
        self._positions = positions(self.model.config)
        self._row_tokens = _ROW_TOKENS["cpu" if self.model.device.type == "cpu" else "cuda"]
        self.scorer = Scorer(self.model, packed=packed, tokens=self._row_tokens)
        self.writer = Writer(self.model, self.scorer, self._row_tokens, batch_size)
        named = first_tokens(self.model.config.get_text_config(decoder=True), self.tokenizer)
        self.beginning = begin(self.renderer, named, lambda: compared(self.renderer, named, self.run))

    @classmethod
    def make(cls, spec: ModelSpec, options: Options) -> Self:
        """Load the model."""
        given = check_arguments(cls.name, cls.Arguments, options.arguments)
        if given.revision:
            spec = spec.model_copy(update={"revision": given.revision})
        how = given.model_dump(exclude={"revision"}, exclude_unset=True)
        return cls(spec, **how, **options.model_dump(include={"device", "batch_size", "chat_template"}))

    @classmethod
    def check(cls, spec: ModelSpec, options: Options) -> None:
        """Refuse arguments that it does not take, and a device that is not here."""
        super().check(spec, options)
        device_of(options.device)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides an answer besides the request."""
        return {
            "backend": self.name,
            **known_as(self.spec, self.weights),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            **self.renderer.identity,
        }

    @property
    def base(self) -> Base:
        """Where the weights are, for whoever loads them elsewhere."""
        return Base(self.weights.path, self.weights.revision)

    def prepare(self, wanted: Sequence[Control], fitter: Backend | None = None) -> None:
        """Hold each adapter against the model's modules: what does not fit is refused before anything is asked."""
        if adapters := {control.weights: control for control in wanted if control.adapter}:
            with torch.device("meta"):
                bones = type(self.model)(self.model.config).eval()
            for control in adapters.values():
                check_adapter(bones, control)

    @contextmanager
    def under(self, control: Control | None) -> Iterator[None]:
        """Put the control's messages in front of every request of the block, its adapter and its edits into the model.

        BadData for an adapter or edits made for another model.
        """
        self.scorer.reset()
        try:
            with ExitStack() as stack:
                stack.enter_context(super().under(control))
                if control is not None and control.adapter:
                    stack.enter_context(worn(self.model, control))
                if control is not None and control.edits:
                    edits = applied(self.model, control.edits, arrays(control))
                    self.scorer.applied = stack.enter_context(edits)
                yield
        finally:
            self.scorer.applied = None
            self.scorer.reset()

    @torch.inference_mode()
    def states(self, items: Sequence[Item], site: Site, which: Sequence[int] | None = None) -> NDArray[np.float32]:
        """Record a site at the last token of each text: shape (texts, layers, width).

        A text is an item's prompt with one of its answers, in order; an item without answers is its prompt alone.
        `which` are layers counted from 0, None for all. Edits in force count.
        """
        chosen = list(range(layers(self.model))) if which is None else list(which)
        # The scorer runs all but an answer's last token, so each gets one more, which is never looked at.
        longer = [Item(item.prompt, tuple((*a, 0) for a in item.answers) or ((0,),)) for item in items]
        plan = self.scorer.plan(longer)
        found = [
            self.scorer.states(longer[chunk.start : chunk.stop], group.shared, site, chosen)
            for group in plan
            for chunk in chunks(group, longer, self._row_tokens, self.batch_size)
        ]
        states: NDArray[np.float32] = torch.cat(found).numpy()
        return states

    def along(self, requests: Sequence[Continue], site: Site, sink: Along, step: Callable[[int], None]) -> None:
        """Show each text behind its prompt, and hand a site's activations at all of its tokens to `sink`.

        The sink gets a layer, activations (tokens, width) and the index of the request (tokens,) that each belongs to,
        `step` the number of requests done. Neighbours with one prompt share it. BadData for a text that is too long.
        """
        texts = [(self.prompt(request), self.renderer.continuation(request.text)) for request in requests]
        self.behind(texts, site, sink, step)

    def behind(self, texts: Sequence[tuple[str, str]], site: Site, sink: Along, step: Callable[[int], None]) -> None:
        """Do as `along` with texts behind rendered prompts, both as they stand."""
        each = []
        for prompt, text in texts:
            answer = self.renderer.answer(prompt, ids := self._encode(prompt), text)
            check_positions(len(ids) + len(answer), self._positions, self.spec.label)
            each.append(Item(ids, ((*answer, 0),)))  # the scorer runs all but an answer's last token
        items, members = zip(*joined(each, self.batch_size), strict=True)
        plan = self.scorer.plan(items)
        for group in plan:
            for chunk in chunks(group, items, self._row_tokens, self.batch_size, members):
                owners = [{m: each[m].answers[0] for m in members[n]} for n in chunk]
                self.scorer.along(items[chunk.start : chunk.stop], owners, group.shared, site, sink)
                step(sum(map(len, owners)))

    @torch.inference_mode()
    def dose(self, control: Control, texts: Sequence[str]) -> float | None:
        """Size of the control's edits beside the activations they change, over `texts`; None without edits."""
        if not control.edits:
            return None
        with applied(self.model, control.edits, arrays(control), measure=True) as edits:
            for text in texts:
                ids = torch.tensor([self.renderer.encode(text)], device=self.model.device)
                every = torch.ones_like(ids, dtype=torch.bool)
                edits.span(every, every)
                self.model(input_ids=ids, use_cache=False)
        return edits.dose

    def prompt(self, request: Request) -> str:
        """Render the exact text that the model is shown."""
        return self.renderer.prompt(request, self._control)

    def work(self, requests: Sequence[Request], control: Control) -> Work:
        """Count the tokens of the rows as they are packed, or of each prompt by itself."""
        if self.scorer.packed:
            longer, together = self.scorer.window is None, self.writer.rows
            return counting.packed(self.renderer, requests, control, longer, together, self.batch_size)
        return counting.alone(self.renderer, requests, control)

    def check_lengths(self, requests: Sequence[Request], control: Control) -> None:
        """Raise TooLong where the longest prompts do not fit into the model's positions with their answers."""

        def check(asked: tuple[Request, str]) -> None:
            request, prompt = asked
            ids = self.renderer.encode(prompt)
            if isinstance(request, Write):
                check_answer(request, len(ids), request.max_tokens, self._positions, self.spec.label)
            else:
                self._answers(request, prompt, ids)

        refuse_longest(longest(self.renderer, requests, control, self._positions), check)

    def run(self, requests: Sequence[Request], done: Collection[int] = ()) -> Iterator[Mapping[int, Response]]:
        """Answer `requests` in batches, index -> response; a batch is skipped only when all of it is in `done`."""
        answered = set(done)
        if len(answered.intersection(range(len(requests)))) == len(requests):
            return
        scored = [i for i, r in enumerate(requests) if not isinstance(r, Write)]
        yield from self._score(requests, scored, answered)
        yield from self._write(requests, answered)

    def close(self) -> None:
        """Free the model's memory."""
        self.scorer.reset()
        del self.model, self.scorer, self.writer
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _score(
        self, requests: Sequence[Request], which: Sequence[int], done: set[int]
    ) -> Iterator[dict[int, Response]]:
        """Answer the Choose and Continue requests."""
        if done.issuperset(which):
            return
        prompts = [self.prompt(requests[i]) for i in which]
        each: list[Item] = []
        options: list[list[list[Tokens]]] = []
        for i, prompt in zip(which, prompts, strict=True):
            options.append(self._answers(requests[i], prompt, ids := self.renderer.encode(prompt)))
            each.append(Item(ids, tuple(dict.fromkeys(answer for option in options[-1] for answer in option))))
        items, members = zip(*joined(each, self.batch_size), strict=True)
        plan = self.scorer.plan(items)
        for group in plan:
            for chunk in chunks(group, items, self._row_tokens, self.batch_size, members):
                if done.issuperset(which[m] for n in chunk for m in members[n]):
                    continue
                scores = self.scorer.score(items[chunk.start : chunk.stop], group.shared)
                yield {
                    which[m]: _response(requests[which[m]], prompt_hash(prompts[m]), options[m], logprobs)
                    for n, values in zip(chunk, scores, strict=True)
                    for logprobs in [dict(zip(items[n].answers, values, strict=True))]
                    for m in members[n]
                }

    def _answers(self, request: Request, prompt: str, ids: Tokens) -> list[list[Tokens]]:
        """Tokenise the answers to a prompt; BadData where the longest does not fit behind it."""
        found = self.renderer.options(request, prompt, ids)
        # The last token of an answer is only looked up.
        most = max(len(answer) for option in found for answer in option) - 1
        check_answer(request, len(ids), most, self._positions, self.spec.label)
        return found

    def encode_prompt(self, request: Request) -> Tokens:
        """Tokenise the prompt of `request` under the present control; BadData where it is too long for the model."""
        return self._encode(self.prompt(request))

    def _encode(self, prompt: str) -> Tokens:
        check_positions(len(ids := self.renderer.encode(prompt)), self._positions, self.spec.label)
        return ids

    def _write(self, requests: Sequence[Request], done: set[int]) -> Iterator[dict[int, Response]]:
        """Answer the Write requests."""
        which = [i for i, request in enumerate(requests) if isinstance(request, Write)]
        if done.issuperset(which):
            return
        prompts = {i: self.prompt(requests[i]) for i in which}
        asks = [self._ask(requests[i], prompt) for i, prompt in prompts.items()]
        for batch in self.writer.plan(asks):
            if not done.issuperset(which[n] for n in batch):
                replies = self._write_batch([asks[n] for n in batch])
                yield {
                    which[n]: reply.model_copy(
                        update={
                            "prompt_hash": prompt_hash(prompt),
                            "text": self.renderer.opened(prompt) + (reply.text or ""),
                        }
                    )
                    for n, reply in zip(batch, replies, strict=True)
                    for prompt in [prompts[which[n]]]
                }

    def _ask(self, request: Request, prompt: str) -> Ask:
        """What the writer is told; a reply ends where the model's positions do."""
        assert isinstance(request, Write)
        ids = self._encode(prompt)
        most = request.max_tokens if self._positions is None else min(request.max_tokens, self._positions - len(ids))
        seed = draw_seed(request.seed, prompt_hash(prompt))
        return Ask(ids, most, request.temperature, request.repetition_penalty, seed)

    def _write_batch(self, asks: Sequence[Ask]) -> list[Response]:
        stops = ends(self.model.generation_config, self.tokenizer)
        pad = padding(self.tokenizer, self.renderer.known, stops)
        return [
            Response(
                status="valid" if reply.ended else "truncated",
                text=self.tokenizer.decode(reply.tokens, skip_special_tokens=True),
                tokens=len(reply.tokens),
            )
            for reply in self.writer.write(asks, stops, pad)
        ]


def _response(
    request: Request, name: str, options: Sequence[Sequence[Tokens]], logprobs: Mapping[Tokens, float]
) -> Response:
    if isinstance(request, Continue):
        ((answer,),) = options
        return Response(prompt_hash=name, loglik=logprobs[answer], tokens=len(answer))
    return Response(prompt_hash=name, option_logprobs=pooled(options, logprobs))
