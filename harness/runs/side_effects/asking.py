"""Put lm-eval's tasks to the model that a run has loaded, under each of its controls, and keep every answer.

lm-eval asks and grades; the answers come from here. Each is kept in the run's folder under a key of all that decides
it (model, control, task, document, text), so that nothing of one control is ever taken for another's and a run that was
killed asks only what is missing. lm-eval's own cache, whose keys know the text alone, is off.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any, NamedTuple

from lm_eval.api.model import LM

from traitbench.backends.backend import Backend
from traitbench.backends.lm_eval.controlled import Controlled
from traitbench.backends.lm_eval.kinds import installed, quiet, unlogged
from traitbench.backends.neutral import floored
from traitbench.errors import BadData, TraitbenchError, first_line
from traitbench.journal import RunFolder
from traitbench.progress import Progress
from traitbench.runs.side_effects.records import Graded
from traitbench.runs.side_effects.tasks import Loaded, reseeded
from traitbench.samples import Condition
from traitbench.types import Control, Response, digest

__all__ = ["Outcome", "measure"]

_CHUNK = {"loglikelihood": 64, "loglikelihood_rolling": 16, "generate_until": 32}
"""Requests that are answered and kept together, which is what a kill can lose."""


class Outcome(NamedTuple):
    """What lm-eval found under one control."""

    condition: Condition
    control: Control
    results: dict[str, dict[str, Any]]
    """Task or group -> lm-eval's metrics."""
    lines: list[Graded]
    chat: bool
    """Whether the tasks were put into a chat template."""
    about: dict[str, dict[str, Any]]
    """configs, versions, n-shot, higher_is_better, n-samples, as lm-eval tells them; the same under every control."""


def measure(
    loaded: Loaded,
    made: Sequence[tuple[Condition, Control]],
    backend: Backend,
    folder: RunFolder,
    held: dict[str, Response],
    progress: Progress,
    iterations: int,
) -> list[Outcome]:
    """Ask every task under the baseline and each control as its method made it; `held` are the answers kept so far.

    Conditions with one control are asked once. `iterations`: redraws of lm-eval's bootstrap where a standard error has
    no formula. BadData where lm-eval fails.
    """
    mine = [(condition, control) for condition, control in made if condition.headline]
    once = {control.hash: control for _, control in mine}
    step = progress.begin("lm-eval's tasks", len(once) * loaded.documents)
    found = {}
    for name, control in once.items():
        with quiet(), unlogged(), redirect_stdout(StringIO()):
            lm = Controlled(backend, control, getattr(backend, "batch_size", None))  # type: ignore[arg-type]
        with lm.held(), reseeded(loaded), quiet(), unlogged(), redirect_stdout(StringIO()):
            found[name] = _evaluated(loaded, _Kept(lm, backend, control, loaded, folder, held, step), lm, iterations)
    return [_outcome(condition, control, found[control.hash], lm.chat) for condition, control in mine]


def _evaluated(loaded: Loaded, kept: _Kept, lm: Controlled, iterations: int) -> Mapping[str, Any]:
    from lm_eval import evaluator

    chat = lm.chat
    try:
        with _alone():
            found: Mapping[str, Any] = evaluator.evaluate(
                lm=kept, task_dict=loaded.dictionary(), limit=loaded.limit, bootstrap_iters=iterations,
                log_samples=True, cache_requests=False, apply_chat_template=chat, fewshot_as_multiturn=chat,
            )  # fmt: skip
    except TraitbenchError:
        raise
    except (ValueError, TypeError, KeyError, AssertionError, ImportError, NotImplementedError) as error:
        raise BadData(
            f"lm-eval failed on {', '.join(loaded.asked)}: {type(error).__name__}: {first_line(error)}; what was "
            "answered is kept; leave the task out of --side_effects, or see whether lm-eval's own command runs it"
        ) from error
    return found


@contextmanager
def _alone() -> Iterator[None]:
    """Have lm-eval bootstrap in this process: it would fork one that holds a model."""
    name = "DISABLE_MULTIPROC"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _outcome(condition: Condition, control: Control, found: Mapping[str, Any], chat: bool) -> Outcome:
    lines: dict[tuple[str, int], Graded] = {}
    for task, samples in found["samples"].items():
        for row in samples:
            part = row["filter"]
            values = {f"{name},{part}": _number(row[name]) for name in row["metrics"]}
            held = lines.get((task, row["doc_id"]))
            lines[task, row["doc_id"]] = Graded(
                task=task, doc_id=row["doc_id"], doc_hash=row["doc_hash"], condition=condition.name, fit=condition.fit,
                control_hash=control.hash,
                metrics={**(held.metrics if held else {}), **{k: v for k, v in values.items() if v is not None}},
            )  # fmt: skip
    about = {name: found[name] for name in ("configs", "versions", "n-shot", "higher_is_better", "n-samples")}
    return Outcome(condition, control, found["results"], list(lines.values()), chat, about)


def _number(value: Any) -> float | None:
    """A document's value; None where it is none, such as a pair that only an aggregation makes a number of."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


class _Kept(LM):  # type: ignore[misc]
    """The model as lm-eval sees it: what was answered already comes from the run's folder."""

    def __init__(
        self, inner: Controlled, backend: Backend, control: Control, loaded: Loaded, folder: RunFolder,
        held: dict[str, Response], step: Callable[[int], None],
    ) -> None:  # fmt: skip
        super().__init__()
        self._inner, self._loaded, self._folder, self._held, self._step = inner, loaded, folder, held, step
        self._decides = {"model": backend.identity, "control": control.hash, "lm_eval": installed()}
        self._seen: set[tuple[str, int]] = set()

    @property
    def tokenizer_name(self) -> str:
        return self._inner.tokenizer_name

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return self._inner.apply_chat_template(chat_history, add_generation_prompt)

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        found = self._answered("loglikelihood", requests, lambda a: Response(loglik=a[0], greedy=bool(a[1])))
        return [(float(answer.loglik or 0.0), bool(answer.greedy)) for answer in found]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        found = self._answered("loglikelihood_rolling", requests, lambda a: Response(loglik=a))
        return [float(answer.loglik or 0.0) for answer in found]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        return [r.text or "" for r in self._answered("generate_until", requests, lambda a: Response(text=a))]

    def _answered(self, kind: str, requests: Sequence[Any], keep: Callable[[Any], Response]) -> list[Response]:
        """The answers, in order; what is missing is asked, longest first, and kept chunk by chunk."""
        times: Counter[int] = Counter()
        keys = []
        for request in requests:
            keys.append(self._key(kind, request, times[id(request)]))
            times[id(request)] += 1
        self._done(r for r, key in zip(requests, keys, strict=True) if key in self._held)
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in self._held}
        order = sorted(missing, key=lambda key: (-len(missing[key].args[0]), key))
        for start in range(0, len(order), _CHUNK[kind]):
            chunk = order[start : start + _CHUNK[kind]]
            asked = [missing[key] for key in chunk]
            with _drawing(chunk[0]):
                answers = getattr(self._inner, kind)(asked, disable_tqdm=True)
            new = {key: floored(keep(answer)) for key, answer in zip(chunk, answers, strict=True)}
            self._folder.append(new)
            self._held.update(new)
            self._done(asked)
        return [self._held[key] for key in keys]

    def _key(self, kind: str, request: Any, time: int) -> str:
        """Name an answer by all that decides it, and by whose it is."""
        task = self._loaded.tasks[request.task_name]
        return digest({
            **self._decides, "asked": kind, "task": request.task_name, "version": str(task.VERSION),
            "task_hash": self._loaded.hashes[request.task_name], "doc": request.doc_id, "part": request.idx,
            "time": time, "arguments": json.loads(json.dumps(list(request.args), default=str)),
        })  # fmt: skip

    def _done(self, requests: Any) -> None:
        new = {(request.task_name, request.doc_id) for request in requests} - self._seen
        self._seen |= new
        if new:
            self._step(len(new))


@contextmanager
def _drawing(key: str) -> Iterator[None]:
    """Sampled replies depend on the first of their chunk, not on what was asked before."""
    import torch

    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(key, 16) % 2**63)
        yield
