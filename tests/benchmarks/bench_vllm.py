"""Time of vLLM beside hf, and of edits at 24 heads beside none, on the embedded model.

Run in the environment of `make setup-vllm`: `.venv-vllm/bin/python tests/benchmarks/bench_vllm.py`. Prints JSON
lines and asserts nothing; where vLLM is missing it says so.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from timing import best

from traitbench import controls, inventories
from traitbench.backends.backend import Backend, Options
from traitbench.backends.models import resolve
from traitbench.tasks.administration import Administration, item_requests
from traitbench.types import Control, Edit, Request

HEADS, LAYERS = 24, (10, 12, 14)
"""Heads that are edited, a third of them in each layer."""
TOKENS = 64
"""Of a reply."""


def asked(mode: str, items: int) -> Sequence[Request]:
    """Items of the IPIP-NEO-120 in one scoring mode."""
    inventory = inventories.load("ipip_neo_120")
    administration = Administration.model_validate({"scoring": (mode,), "max_tokens": TOKENS})
    return item_requests(inventory.id, inventory, inventory.items[:items], administration, 0)


def answering(backend: Backend, control: Control, requests: Sequence[Request]) -> Callable[[], None]:
    """Ask everything once."""

    def go() -> None:
        with backend.under(control):
            for _ in backend.run(requests):
                pass

    return go


def line(name: str, ours: float, peer: float, peer_name: str, n: int) -> None:
    """One result; the ratio is how much faster ours is."""
    print(json.dumps({
        "name": name, "ratio": round(peer / ours, 3), "ours": round(ours, 3), "peer": round(peer, 3),
        "peer_name": peer_name, "unit": "s", "n": n,
    }), flush=True)  # fmt: skip


def heads(hf: Any, folder: Path) -> Control:
    """A control that adds to HEADS heads."""
    from traitbench.controls.architectures import head_shape

    _, width = head_shape(hf.model)
    units = np.arange(HEADS // len(LAYERS) * width)
    tensors = {"v": np.full(len(units), 0.1, np.float32), "units": units}
    edits = [Edit(layer=layer, site="heads", op="add", tensor="v", units="units") for layer in LAYERS]
    return controls.store(folder, edits=edits, tensors=tensors)


def in_turn(first: Callable[[], None], second: Callable[[], None], times: int = 3) -> tuple[float, float]:
    """The best of each, asked in turn after one of each, so that a slower spell of the machine meets both."""
    first(), second()
    pairs = [(best(first, 1), best(second, 1)) for _ in range(times)]
    return min(a for a, _ in pairs), min(b for _, b in pairs)


def main() -> int:
    """Measure all three: two engines are open, of which one has no edit points."""
    from traitbench.backends.vllm.setup import installed

    if installed() is None:
        print("vLLM is not installed here: make setup-vllm, then .venv-vllm/bin/python", __file__, file=sys.stderr)
        return 0
    from traitbench.backends.hf import HuggingFace
    from traitbench.backends.vllm import VLLM

    spec = resolve("smollm2")
    hf = HuggingFace(spec)
    given = Options(arguments={"max_model_len": 2048, "enforce_eager": True})
    plain, edited = VLLM.make(spec, given), VLLM.make(spec, given)
    with tempfile.TemporaryDirectory() as folder:
        control = heads(hf, Path(folder))
        edited.prepare([control], hf)
        for mode, items in (("generate", 30), ("choice", 60)):
            requests = asked(mode, items)
            without, under = in_turn(
                uncached(plain, answering(plain, Control(), requests)),
                uncached(edited, answering(edited, control, requests)),
            )
            line(f"vllm, {mode}", without, best(answering(hf, Control(), requests), 1), "hf", len(requests))
            line(f"vllm, {mode}, {HEADS} heads", under, without, "no edit points", len(requests))
    plain.close()
    edited.close()
    hf.close()
    return 0


def uncached(backend: Any, go: Callable[[], None]) -> Callable[[], None]:
    """`go` with an empty prefix cache."""

    def emptied() -> None:
        backend.engine.forget()
        go()

    return emptied


if __name__ == "__main__":
    sys.exit(main())
