"""Inside vLLM's workers: edit points put in after loading, and the index filled before every step.

vLLM imports this module by name in each worker (`worker_extension_cls`) before the model is loaded. Both of its model
runners are hooked: the first (V1), and the second (V2), which is the default on GPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from traitbench import controls
from traitbench.backends.vllm.points import KINDS, Points

__all__ = ["KEY", "Extension"]

KEY = "traitbench"
"""Of vLLM's additional_config, which says what to install, and of a request's extra_args: slot and prompt length."""

_SPARE = 512
"""Tokens beyond a batch's most, for padding."""

Marks = tuple[int, int] | None
"""Slot of a request's control and length of its prompt; None: it has no edits."""


class Extension:
    """What the engine may ask of a worker. Methods must not have the names of vLLM's own."""

    model_runner: Any

    def traitbench_write(self, slot: int, folder: str | None) -> None:
        """Put the edits of a control into a slot, from its folder; None empties the slot."""
        points = _points(self.model_runner)
        if folder is None:
            points.write(slot, (), {})
            return
        control = controls.read(Path(folder))
        points.write(slot, control.edits, controls.arrays(control))

    def traitbench_about(self) -> dict[str, Any]:
        """Which runner this is, what is installed, and how many steps had their index filled."""
        points = getattr(self.model_runner, "traitbench_points", None)
        return {
            "runner": f"{type(self.model_runner).__module__}.{type(self.model_runner).__qualname__}",
            "places": points.places if points else [],
            "steps": getattr(self.model_runner, "traitbench_steps", 0),
        }


def _points(runner: Any) -> Points:
    found: Points = runner.traitbench_points
    return found


def _install(worker: Any) -> None:
    """Put in the edit points that the engine's configuration names."""
    config = worker.vllm_config
    wanted = (config.additional_config or {}).get(KEY)
    if not wanted:
        return
    runner, parallel = worker.model_runner, config.parallel_config
    model = runner.get_model()
    runner.traitbench_points = Points(
        model, config.model_config.hf_text_config, wanted["places"], wanted["slots"],
        config.scheduler_config.max_num_batched_tokens + _SPARE,
        worker.rank % parallel.tensor_parallel_size, parallel.tensor_parallel_size,
    )  # fmt: skip


def _fill(
    runner: Any, requests: Sequence[str], marks: Callable[[str], Marks], computed: Sequence[int], count: Sequence[int]
) -> None:
    """Name each token's row for the step that begins: of `requests` in the batch's order, `count` tokens each."""
    points: Points | None = getattr(runner, "traitbench_points", None)
    if points is None:
        return
    rows = np.zeros(int(sum(int(n) for n in count)), np.int64)
    start = 0
    for place, name in enumerate(requests):
        tokens = int(count[place])
        if (mark := marks(name)) is not None:
            slot, prompt = mark
            position = int(computed[place]) + np.arange(tokens)
            kind = (position >= prompt - 1).astype(np.int64) + (position >= prompt)
            rows[start : start + tokens] = 1 + KINDS * slot + kind
        start += tokens
    given = torch.from_numpy(rows)
    # From pinned memory a copy to a GPU waits for nothing, and so does not hold up the step before.
    given = given.pin_memory() if points.index.is_cuda else given
    points.index[:start].copy_(given, non_blocking=True)
    runner.traitbench_steps = getattr(runner, "traitbench_steps", 0) + 1


def _mark(sampling: Any) -> Marks:
    extra = getattr(sampling, "extra_args", None) or {}
    return tuple(extra[KEY]) if KEY in extra else None


def _hook() -> None:
    """Wrap the loading of models and the preparation of steps, once a process."""
    from vllm.v1.worker.gpu_worker import Worker

    if getattr(Worker, "traitbench_hooked", False):
        return
    Worker.traitbench_hooked = True
    load = Worker.load_model

    def load_model(self: Any, *args: Any, **more: Any) -> Any:
        found = load(self, *args, **more)
        _install(self)
        return found

    Worker.load_model = load_model
    _hook_first()
    _hook_second()


def _hook_first() -> None:
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    prepare = GPUModelRunner._prepare_inputs

    def prepared(self: Any, scheduled: Any, count: Any, *args: Any, **more: Any) -> Any:
        batch = self.input_batch
        mine = lambda name: _mark(self.requests[name].sampling_params)  # noqa: E731
        _fill(self, batch.req_ids, mine, batch.num_computed_tokens_cpu, count)
        return prepare(self, scheduled, count, *args, **more)

    GPUModelRunner._prepare_inputs = prepared


def _hook_second() -> None:
    try:
        from vllm.v1.worker.gpu.model_runner import GPUModelRunner
    except ImportError:
        return
    add, prepare = GPUModelRunner.add_requests, GPUModelRunner.prepare_inputs

    def added(self: Any, scheduled: Any) -> Any:
        held: dict[str, Marks] = self.__dict__.setdefault("traitbench_marks", {})
        for name in scheduled.finished_req_ids:
            held.pop(name, None)
        for new in scheduled.scheduled_new_reqs:
            held[new.req_id] = _mark(new.sampling_params)
        return add(self, scheduled)

    def prepared(self: Any, *args: Any, **more: Any) -> Any:
        batch = prepare(self, *args, **more)
        held: dict[str, Marks] = self.__dict__.get("traitbench_marks", {})
        computed = self.req_states.num_computed_tokens_np[batch.idx_mapping_np]
        _fill(self, batch.req_ids, held.get, computed, batch.num_scheduled_tokens)
        return batch

    GPUModelRunner.add_requests, GPUModelRunner.prepare_inputs = added, prepared


_hook()
