"""Models run by vLLM: prompts, adapters and edits of activations at every site, on GPUs or a CPU.

Prompts are rendered and tokenised by our own renderer, and the engine is given token ids only, so that both backends
show a model the same text. Methods are fitted on the hf backend, which is closed before the engine starts.

Over 300 lines: one class that answers every kind of request, each in a short method; what they do is beside it.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

from traitbench import controls
from traitbench.backends import counting
from traitbench.backends.arguments import VLLMArguments, check_arguments
from traitbench.backends.backend import Asked, Backend, Options, Work
from traitbench.backends.lengths import TooLong, longest, named, refuse_longest
from traitbench.backends.loading import precision, settings
from traitbench.backends.models import ModelSpec
from traitbench.backends.reading import begin, first_tokens, kept
from traitbench.backends.rendering import Renderer, Tokens, draw_seed
from traitbench.backends.trie import along, nodes, pooled
from traitbench.backends.vllm.batches import batches
from traitbench.backends.vllm.engine import Ask, Engine
from traitbench.backends.vllm.needs import needs
from traitbench.backends.vllm.selfcheck import Known, known, verify
from traitbench.backends.vllm.setup import BLOCK, CPU_BLOCK, RANKS, Setup, longest_prompt, on_cpu, required
from traitbench.backends.vllm.texts import tail, uncached
from traitbench.backends.weights import known_as, locate, unchanged
from traitbench.errors import BadData
from traitbench.types import (
    Beginning,
    Choose,
    Continue,
    Control,
    Kind,
    Op,
    Request,
    Response,
    Write,
    prompt_hash,
)

__all__ = ["VLLM"]

_CHUNK = {True: 64, False: 512}
"""Requests that are kept together, on the CPU and on a GPU: what a kill can lose."""


class VLLM(Backend):
    """vLLM's offline engine, with edits and adapters."""

    name: ClassVar[str] = "vllm"
    applies: ClassVar[frozenset[Kind]] = frozenset({"prompt", "weights", "activations"})
    ops: ClassVar[frozenset[Op]] = frozenset(get_args(Op))
    conditional: ClassVar[bool] = True
    ranks: ClassVar[frozenset[int] | None] = frozenset(range(1, RANKS[-1] + 1))
    fits_on: ClassVar[str | None] = "hf"
    mixes: ClassVar[bool] = True

    class Arguments(VLLMArguments):
        """How the engine is started; the names are vLLM's."""

    def __init__(self, spec: ModelSpec, options: Options, given: Arguments) -> None:
        """Load the tokenizer; the engine starts with the first question. See `make`."""
        self.version = required()
        self.spec, self.given = spec, given
        self.weights = locate(spec)
        self.tokenizer, self.config, known = settings(spec, self.weights, given.trust_remote_code)
        self.renderer = Renderer(self.tokenizer, options.chat_template)
        self._ends = self.renderer.stops(known)
        self._cpu = on_cpu(options.device)
        self.dtype = precision(given.dtype, self.config, self._cpu)
        about = [known_as(spec, self.weights), self.dtype, self.renderer.identity]
        named = first_tokens(self.config, self.tokenizer)
        self.notes = self.renderer.notes
        self.beginning = begin(self.renderer, named, lambda: kept(about, lambda: self._begun(options)))
        self.longest = longest_prompt(given.max_model_len, self.config, spec.label)
        self._chunk = options.batch_size or _CHUNK[self._cpu]
        self._setup = Setup(
            path=self.weights.path, revision=self.weights.revision, dtype=self.dtype, seed=options.seed,
            max_model_len=self.longest, slots=given.slots,
            **given.model_dump(exclude={"dtype", "revision", "max_model_len", "slots"}),
        )  # fmt: skip
        self._engine: Engine | None = None
        self._known: list[Known] = []
        self._slots: dict[str, int] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="traitbench-vllm-")

    @classmethod
    def make(cls, spec: ModelSpec, options: Options) -> Self:
        """Check the arguments and load the tokenizer; MissingExtra where vLLM is not installed."""
        given = check_arguments(cls.name, cls.Arguments, options.arguments)
        if given.revision:
            spec = spec.model_copy(update={"revision": given.revision})
        return cls(spec, options, given)

    @classmethod
    def check(cls, spec: ModelSpec, options: Options) -> None:
        """Refuse arguments that it does not take, and a device that the engine here does not run on."""
        super().check(spec, options)
        if options.device is not None:
            required()
            on_cpu(options.device)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides an answer besides the request, `compiled` among it: compilation moves the last digits."""
        return {
            "backend": self.name,
            "vllm": self.version,
            **known_as(self.spec, self.weights),
            "dtype": self.dtype,
            # With adapters vLLM compiles nothing on the CPU.
            "compiled": not (self._setup.enforce_eager or (self._cpu and self._setup.rank > 0)),
            **self.renderer.identity,
        }

    def _begun(self, options: Options) -> Beginning | None:
        """What hf finds of the first token; the engine cannot be asked before it is known what it must hold."""
        from traitbench.backends.hf import HuggingFace

        several = "auto" if self.given.tensor_parallel_size > 1 else options.device
        hf = HuggingFace(
            self.spec, device=several, dtype=self.given.dtype, chat_template=options.chat_template,
            trust_remote_code=self.given.trust_remote_code,
        )  # fmt: skip
        try:
            return hf.beginning
        finally:
            hf.close()

    def prepare(self, wanted: Sequence[Control], fitter: Backend | None = None) -> None:
        """Note the places and adapters that the controls need; the engine installs these and no others.

        `fitter` is the hf backend, which tells what the self-check must find; edits cannot do without. BadData for a
        control that was made for another model.
        """
        found = needs(wanted, self.config, self.dtype, self.given.tensor_parallel_size)
        self._setup = self._setup.model_copy(update=dict(found))
        if found.places:
            if fitter is None:
                raise ValueError("edits are checked against hf, which must be open when they are made ready")
            self._known = known(fitter, found.places, Path(self._folder.name) / "known")

    def prompt(self, request: Request) -> str:
        """Render the exact text that the model is shown."""
        return self.renderer.prompt(request, self._control)

    def start(self, tell: Callable[[str], None]) -> None:
        """Start and check the engine, and say so: that takes minutes on a CPU, and on a GPU where it compiles."""
        sooner = "" if self.given.enforce_eager else "; sooner with --model_args enforce_eager=true"
        tell(f"starting vLLM {self.version}{sooner}")
        self.engine  # noqa: B018

    def work(self, requests: Sequence[Request], control: Control) -> Work:
        """Count what the prefix cache leaves to compute; which keeps whole blocks."""
        return counting.cached(self.renderer, requests, control, CPU_BLOCK if self._cpu else BLOCK)

    def check_lengths(self, requests: Sequence[Request], control: Control) -> None:
        """Raise TooLong where the longest prompts do not fit into max_model_len with their answers."""

        def check(asked: tuple[Request, str]) -> None:
            request, prompt = asked
            ids = self.renderer.encode(prompt)
            with named(request):
                if isinstance(request, Write):
                    self._fits(ids, request.max_tokens)
                    return
                answers = list(itertools.chain(*self.renderer.options(request, prompt, ids)))
                # Of a choice the last token of each answer is looked up, of a statement all of them are in the prompt.
                whole = isinstance(request, Continue)
                self._fits((*ids, *max((answer if whole else answer[:-1] for answer in answers), key=len)), 1)

        refuse_longest(longest(self.renderer, requests, control, self.longest), check)

    def run(self, requests: Sequence[Request], done: Collection[int] = ()) -> Iterator[Mapping[int, Response]]:
        """Answer `requests` in batches, index -> response; a batch is skipped only when all of it is in `done`."""
        return self.run_mixed([(self._control, request) for request in requests], done)

    def run_mixed(self, asked: Sequence[Asked], done: Collection[int] = ()) -> Iterator[Mapping[int, Response]]:
        """Answer requests that each have their own control; a batch has as many controls with edits as `slots`."""
        answered = set(done)
        for kind, answer in ((Choose, self._choose), (Continue, self._continue), (Write, self._write)):
            mine = [i for i, (_, request) in enumerate(asked) if isinstance(request, kind)]
            for batch in batches(mine, asked, self._chunk, self.given.slots):
                if not answered.issuperset(batch):
                    found = answer([asked[i] for i in batch])
                    yield dict(zip(batch, found, strict=True))

    def close(self) -> None:
        """End the engine."""
        self._end()
        self._folder.cleanup()

    def _end(self) -> None:
        if self._engine is not None:
            self._engine.close()
        self._engine = None
        self._slots.clear()

    @property
    def engine(self) -> Engine:
        """The engine, started and checked when it is first asked for."""
        if self._engine is None:
            self._engine = Engine(self._setup)
            try:
                unchanged(self.spec, self.weights)
                if self._known:
                    verify(self, self._known, self.dtype, self._about)
            except BaseException:
                # An engine that failed its check answers nothing else.
                self._end()
                raise
        return self._engine

    def _about(self) -> str:
        return f"vLLM {self.version} ({self.engine.about()['runner']})"

    def _choose(self, asked: Sequence[tuple[Control | None, Any]]) -> list[Response]:
        asks, owners, options, hashes = [], [], [], []
        for number, ((control, request), (prompt, ids)) in enumerate(zip(asked, self._encoded(asked), strict=True)):
            each = self.renderer.options(request, prompt, ids)
            options.append(each)
            hashes.append(prompt_hash(prompt))
            for path, children in nodes(itertools.chain(*each)):
                self._fits((*ids, *path), 1)
                asks.append(self._ask(control, (*ids, *path), len(ids), logprob_token_ids=list(children)))
                owners.append((number, path, children))
        found: list[dict[Tokens, float]] = [{} for _ in asked]
        for (number, path, children), out in zip(owners, self.engine.ask(asks), strict=True):
            row = out.outputs[0].logprobs[0]
            for child in children:
                found[number][(*path, child)] = float(row[child].logprob)
        return [
            Response(prompt_hash=name, option_logprobs=pooled(each, along(itertools.chain(*each), values)))
            for name, each, values in zip(hashes, options, found, strict=True)
        ]

    def _continue(self, asked: Sequence[tuple[Control | None, Any]]) -> list[Response]:
        asks, sizes, hashes = [], [], []
        for (control, request), (prompt, ids) in zip(asked, self._encoded(asked), strict=True):
            ((answer,),) = self.renderer.options(request, prompt, ids)
            self._fits((*ids, *answer), 1)
            hashes.append(prompt_hash(prompt))
            sizes.append((len(ids), len(answer)))
            scored = {"prompt_logprobs": 0, "skip_reading_prefix_cache": False}
            asks.append(self._ask(control, (*ids, *answer), len(ids), **scored))
        out = self.engine.ask(asks)
        values = [tail(one, ask, *size) for one, ask, size in zip(out, asks, sizes, strict=True)]
        again = [place for place, value in enumerate(values) if value is None]
        if again:
            # Rows of tokens that were read from the prefix cache are not computed.
            whole = [uncached(asks[place]) for place in again]
            for place, one in zip(again, self.engine.ask(whole), strict=True):
                values[place] = tail(one, asks[place], *sizes[place], cached=0)
        out = []
        for name, (_, size), value in zip(hashes, sizes, values, strict=True):
            if value is None:
                raise BadData(f"vLLM {self.version} gives no log-probabilities of a text's tokens; use --backend hf")
            out.append(Response(prompt_hash=name, loglik=value, tokens=size))
        return out

    def _write(self, asked: Sequence[tuple[Control | None, Any]]) -> list[Response]:
        asks, hashes, begun = [], [], []
        for (control, request), (prompt, ids) in zip(asked, self._encoded(asked), strict=True):
            self._fits(ids, request.max_tokens)
            hashes.append(prompt_hash(prompt))
            begun.append(self.renderer.opened(prompt))
            drawn = {"seed": draw_seed(request.seed, hashes[-1])} if request.temperature > 0 else {}
            given = {name: getattr(request, name) for name in ("max_tokens", "temperature", "repetition_penalty")}
            given["stop_token_ids"] = self._ends
            asks.append(self._ask(control, ids, len(ids), **given, **drawn))
        found = []
        for name, tag, out in zip(hashes, begun, self.engine.ask(asks), strict=True):
            row = list(out.outputs[0].token_ids)
            stop = next((place for place, token in enumerate(row) if token in self._ends), None)
            said = row if stop is None else row[:stop]
            text = tag + self.tokenizer.decode(said, skip_special_tokens=True)
            found.append(
                Response(status="truncated" if stop is None else "valid", prompt_hash=name, text=text, tokens=len(said))
            )
        return found

    def _encoded(self, asked: Sequence[Asked]) -> list[tuple[str, Tokens]]:
        prompts = [self.renderer.prompt(request, control) for control, request in asked]
        return list(zip(prompts, self.renderer.encode_all(prompts), strict=True))

    def _fits(self, ids: Sequence[int], more: int) -> None:
        if len(ids) + more > self.longest:
            raise TooLong(
                f"a prompt of {len(ids)} tokens and {more} to come do not fit into max_model_len={self.longest}; give "
                "--model_args max_model_len a larger value, or shorten the control or the item",
                len(ids) + more - self.longest,
            )

    def _ask(self, control: Control | None, ids: Tokens, prompt: int, **parameters: Any) -> Ask:
        """One request under a control; `prompt` is the number of its tokens before the answer."""
        from vllm import SamplingParams

        salt, extra, adapter = None, None, None
        if control is not None and (control.edits or control.weights):
            salt = control.hash
            if control.adapter is not None:
                adapter = (str(control.weights), str(control.adapter))
            if control.edits:
                extra = {"traitbench": [self._slot(control), prompt]}
                if any(edit.positions != "all" for edit in control.edits):
                    # The same tokens are edited or not by where the prompt ends.
                    salt = f"{salt}:{prompt}"
        given = {"temperature": 0.0, "max_tokens": 1, "detokenize": False, "extra_args": extra} | parameters
        return Ask(ids, SamplingParams(**given), salt, adapter)

    def _slot(self, control: Control) -> int:
        """The slot that holds the control's edits; the one that was not used for longest is written anew."""
        engine, name = self.engine, control.hash
        slot = self._slots.pop(name, None)
        if slot is None:
            full = len(self._slots) >= self.given.slots
            slot = self._slots.pop(next(iter(self._slots))) if full else len(self._slots)
            engine.write(slot, str(controls.keep(control, Path(self._folder.name))))
        self._slots[name] = slot
        return slot
