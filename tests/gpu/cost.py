"""What edits at 24 heads cost, beside an engine without any edit points, with CUDA graphs."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from gpu.rows import Here, figure
from traitbench.backends.backend import Options
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.types import Control

__all__ = ["check"]

DECODING, CHOOSING = 0.95, 0.9
"""Least speed with edits, of that without."""
PROMPT, REPLY = 64, 128
"""Tokens."""


def check(here: Here) -> None:
    """Two engines, open together and asked in turn, so that a slower spell of the machine meets both."""
    from traitbench.backends.vllm import VLLM

    spec, dtype = resolve("smollm2"), "float32" if here.dry else "bfloat16"
    given = {"dtype": dtype, "max_model_len": 2048, "gpu_memory_utilization": 0.3, "enforce_eager": here.dry}
    hf = HuggingFace(spec, device=here.device, dtype=dtype)
    control, vocabulary = _bench().heads(hf, here.folder), int(hf.model.config.vocab_size)
    plain, edited = (VLLM.make(spec, Options(arguments=given)) for _ in range(2))
    try:
        edited.prepare([control], hf)
        hf.close()
        for batch in (here.size(8, 2), here.size(64, 3)):
            rng = np.random.default_rng(batch)
            ids = [tuple(row) for row in rng.integers(100, vocabulary, (batch, PROMPT)).tolist()]
            _ratio(
                here, f"decoding, {batch} replies", DECODING,
                lambda ids=ids: _decoding(here, plain, Control(), ids),
                lambda ids=ids: _decoding(here, edited, control, ids),
            )  # fmt: skip
        requests = _bench().asked("choice", here.size(120, 2))
        _ratio(
            here, f"Choose, {len(requests)} items", CHOOSING,
            lambda: _choosing(plain, Control(), requests), lambda: _choosing(edited, control, requests),
        )  # fmt: skip
    finally:
        plain.close()
        edited.close()


def _ratio(here: Here, what: str, least: float, plain: Any, edited: Any) -> None:
    """Report how fast it is with edits, of what it is without: medians of runs in turn, after one of each."""
    plain(), edited()
    pairs = [(plain(), edited()) for _ in range(here.size(5, 1))]
    without, under = (statistics.median(side) for side in zip(*pairs, strict=True))
    here.report(
        figure(
            what,
            without / under,
            "ratio",
            least=None if here.dry else least,
            note=f"{without:.3f} s without, {under:.3f} s with edits",
        )
    )


def _decoding(here: Here, backend: Any, control: Control, ids: list[tuple[int, ...]]) -> float:
    """Seconds for replies of a fixed length; the prompts are in the prefix cache from the second call on."""
    asks = [backend._ask(control, row, len(row), max_tokens=here.size(REPLY, 4), ignore_eos=True) for row in ids]
    start = time.perf_counter()
    backend.engine.ask(asks)
    return time.perf_counter() - start


def _choosing(backend: Any, control: Control, requests: Any) -> float:
    """Seconds for items, none of them in the prefix cache."""
    backend.engine.forget()
    start = time.perf_counter()
    _bench().answering(backend, control, requests)()
    return time.perf_counter() - start


def _bench() -> Any:
    """The module of the benchmark on the CPU, whose questions and heads these are."""
    folder = str(Path(__file__).resolve().parents[1] / "benchmarks")
    if folder not in sys.path:
        sys.path.append(folder)
    import bench_vllm

    return bench_vllm
