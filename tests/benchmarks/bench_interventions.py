"""What an edit adds to a forward pass: the same prompts with an edit and without, turn about.

Run with `python tests/benchmarks/bench_interventions.py`. One JSON line for each kind of control: 24 heads (PAS), the
residual of one layer, the gates of all layers (NPTI: add and clamp), at all positions and at the answer position.
`ratio` is time with the edit over time without: the median over turns of the ratio of two neighbours, so that what else
the machine does falls on both; `enter` is what putting the edits on takes, once a control. Checks that the edits change
the logits; asserts nothing about time.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from statistics import median
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch

from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.controls.interventions import applied, head_shape, layers, site_width
from traitbench.types import Edit, Scope

Arrays = dict[str, np.ndarray]
SCOPES: tuple[Scope, ...] = ("all", "answer")


def controls(model: Any, scope: Scope) -> dict[str, tuple[list[Edit], Arrays]]:
    """Three controls of the kinds that the methods make, with random numbers."""
    rng = np.random.default_rng(0)
    depth, (heads, dim) = layers(model), head_shape(model)
    made: dict[str, tuple[list[Edit], Arrays]] = {}
    edits: list[Edit] = []
    tensors: Arrays = {}
    for place in rng.choice(depth * heads, size=24, replace=False).tolist():
        layer, head = divmod(place, heads)
        tensors |= {f"d{place}": rng.normal(size=dim), f"u{place}": np.arange(head * dim, (head + 1) * dim)}
        edits.append(Edit(layer=layer, site="heads", op="add", tensor=f"d{place}", units=f"u{place}", positions=scope))
    made["heads_24"] = edits, tensors
    whole = Edit(layer=depth // 2, site="residual", op="add", tensor="d", strength=3, positions=scope)
    made["residual_1"] = [whole], {"d": rng.normal(size=site_width(model, "residual"))}
    width = site_width(model, "gate")
    edits, tensors = [], {"none": np.zeros(width // 8)}
    for layer in range(depth):
        order = rng.permutation(width)
        tensors |= {f"up{layer}": order[: width // 8], f"down{layer}": order[-(width // 8) :]}
        tensors[f"s{layer}"] = rng.uniform(0, 1, size=width // 8)
        place_at = {"layer": layer, "site": "gate", "positions": scope}
        edits.append(Edit.model_validate({**place_at, "op": "add", "tensor": f"s{layer}", "units": f"up{layer}"}))
        edits.append(Edit.model_validate({**place_at, "op": "clamp", "tensor": "none", "units": f"down{layer}"}))
    made["gate_all"] = edits, tensors
    return made


def turns(plain: Callable[[], float], edited: Callable[[], float], repeats: int) -> list[tuple[float, float]]:
    """Time both side by side, `repeats` times after a warm-up; in each second turn the other comes first."""
    found: list[tuple[float, float]] = []
    for n in range(repeats + 1):
        first, second = (plain, edited) if n % 2 else (edited, plain)
        times = first(), second()
        found.append(times if n % 2 else times[::-1])
    return found[1:]


def main() -> int:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument(
        "--tokens", type=int, default=360, help="of the row, as the backend packs it; 1: a decoding step"
    )
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    logging.disable(logging.INFO)
    model = HuggingFace(resolve(args.model), device=args.device, dtype=args.dtype).model
    ids = torch.randint(1000, 2000, (1, args.tokens), generator=torch.Generator().manual_seed(0)).to(model.device)
    answer = torch.zeros_like(ids, dtype=torch.bool)
    answer[:, -1:] = True

    @torch.inference_mode()
    def forward() -> torch.Tensor:
        logits: torch.Tensor = model(ids, use_cache=False, logits_to_keep=1).logits
        return logits

    def timed(edits: list[Edit] | None, tensors: Arrays) -> float:
        with applied(model, edits, tensors) if edits else nullcontext() as state:
            if state is not None:
                state.span(answer, None)
            wait(model.device)
            start = time.perf_counter()
            forward()
            wait(model.device)
            return time.perf_counter() - start

    plain = forward()
    for scope in SCOPES:
        for name, (edits, tensors) in controls(model, scope).items():
            start = time.perf_counter()
            with applied(model, edits, tensors) as state:
                enter = time.perf_counter() - start
                state.span(answer, None)
                if torch.equal(forward(), plain):
                    print(f"{name} at {scope} positions leaves the logits as they were", file=sys.stderr)
                    return 1
            times = turns(partial(timed, None, {}), partial(timed, edits, tensors), args.repeats)
            line = {
                "name": f"edit_{name}_{scope}",
                "ratio": round(median(ours / base for base, ours in times), 3),
                "ours": round(median(ours for _, ours in times), 4),
                "peer": round(median(base for base, _ in times), 4),
                "peer_name": "the same forward without an edit",
                "unit": "s",
                "n": args.repeats,
                "tokens": args.tokens,
                "enter": round(enter, 4),
            }
            print(json.dumps(line), flush=True)
    return 0


def wait(device: torch.device) -> None:
    """Let a GPU finish."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    sys.exit(main())
