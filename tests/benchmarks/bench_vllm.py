"""Time of vLLM beside hf where it writes, and of edits at 24 heads beside none, on the embedded model.

Run in the environment of `make setup-vllm`: `.venv-vllm/bin/python tests/benchmarks/bench_vllm.py`. Prints JSON
lines and asserts nothing; where vLLM is missing it says so.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

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


def main() -> int:
    """Measure all three."""
    from traitbench.backends.vllm.engine import installed

    if installed() is None:
        print("vLLM is not installed here: make setup-vllm, then .venv-vllm/bin/python", __file__, file=sys.stderr)
        return 0
    from traitbench.backends.hf import HuggingFace
    from traitbench.backends.vllm import VLLM
    from traitbench.controls.architectures import head_shape

    spec = resolve("smollm2")
    hf = HuggingFace(spec)
    _, width = head_shape(hf.model)
    with tempfile.TemporaryDirectory() as folder:
        units = np.arange(HEADS // len(LAYERS) * width)
        tensors = {"v": np.full(len(units), 0.1, np.float32), "units": units}
        edits = [Edit(layer=layer, site="heads", op="add", tensor="v", units="units") for layer in LAYERS]
        control = controls.store(Path(folder), edits=edits, tensors=tensors)
        vllm = VLLM.make(spec, Options(arguments={"max_model_len": 2048, "enforce_eager": True}))
        vllm.prepare([control], hf)
        writing, choosing = asked("generate", 30), asked("choice", 60)
        answering(vllm, Control(), writing)()
        written = best(answering(vllm, Control(), writing), 3)
        line("vllm writes", written, best(answering(hf, Control(), writing), 1), "hf", len(writing))
        line("vllm writes, 24 heads", best(answering(vllm, control, writing), 3), written, "no edit", len(writing))
        chosen = best(answering(vllm, Control(), choosing), 3)
        line("vllm chooses, 24 heads", best(answering(vllm, control, choosing), 3), chosen, "no edit", len(choosing))
        vllm.close()
    hf.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
