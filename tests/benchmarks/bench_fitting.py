"""What a fit costs: model tokens of residual and PAS, against the exhaustive search that makes the same choice.

Run with `python tests/benchmarks/bench_fitting.py`, about a quarter of an hour. Tokens are those that go through the
model, counted at its forward pass. The peer is the same method with `sweep=exhaustive`, each target by itself: every
layer and strength is measured on all development items, and the perplexity under each on all passages; contrasts and
whatever else is asked without a control count for each target as much as for the first. Ours fits the targets one after
the other. `search` is the share of the search alone, of what is asked under a control. The limit is a third with the
same choice for every target; the exit code is 1 otherwise. `--targets extraversion=high,extraversion=low` compares
fewer. `--seconds` times all ten targets of methods on activations, which takes minutes each. Prints JSON lines.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch

from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.methods import METHODS
from traitbench.methods.bench import Bench
from traitbench.methods.method import Method
from traitbench.methods.residual import contrast
from traitbench.types import BIG_FIVE, Fit, Target

LIMIT = 1 / 3
POLES = {f"{trait}={pole}": Target(levels={trait: level}) for trait in BIG_FIVE for pole, level in
         (("high", 1.0), ("low", -1.0))}  # fmt: skip
CONTRASTS = {"residual": "personas and words", "pas": "items answered for the model, three wordings"}


class Tokens:
    """How many went through the model, under a control and without one."""

    def __init__(self, backend: HuggingFace) -> None:
        """Count from now on."""
        self.all = self.searched = 0
        self.backend = backend
        backend.model.register_forward_pre_hook(self._seen, with_kwargs=True)

    def _seen(self, module: Any, args: Any, given: dict[str, Any]) -> None:
        ids = given.get("input_ids", args[0] if args else None)
        count = ids.numel() if ids is not None else given["inputs_embeds"].shape[:2].numel()
        self.all += count
        self.searched += count if self.backend.scorer.applied else 0


class Cost(NamedTuple):
    """What a fit took."""

    fit: Fit
    tokens: int
    searched: int
    seconds: float

    @property
    def choice(self) -> tuple[Any, ...]:
        """What the fit settled on."""
        return self.fit.strength, self.fit.details.get("layer"), self.fit.details.get("wording")


def fitted(method: Method, target: Target, bench: Bench, tokens: Tokens) -> Cost:
    """Fit once and count."""
    before, searched, start = tokens.all, tokens.searched, time.perf_counter()
    fit = method.fit(target, bench).fit
    assert fit is not None
    return Cost(fit, tokens.all - before, tokens.searched - searched, round(time.perf_counter() - start, 2))


def compared(name: str, targets: list[str], backend: HuggingFace, tokens: Tokens, folder: Path) -> bool:
    """Fit `targets` in both ways and print a line; tell whether ours keeps the limit and the choices are the same."""
    kind = METHODS.load(name)
    ways = [
        (kind(kind.Config(sweep=sweep)), Bench(0, backend, folder / sweep, folder / f"cache {sweep}"))
        for sweep in ("halving", "exhaustive")
    ]
    ours, peers = list[Cost](), list[Cost]()
    for target in targets:
        for costs, (method, bench) in zip((ours, peers), ways, strict=True):
            costs.append(fitted(method, POLES[target], bench, tokens))
        told = [f"{costs[-1].searched} of {costs[-1].tokens}, {costs[-1].choice}" for costs in (ours, peers)]
        print(f"{name} {target}, tokens under a control: {'; peer '.join(told)}", file=sys.stderr, flush=True)
    recorded = peers[0].tokens - peers[0].searched
    mine, theirs = sum(cost.tokens for cost in ours), sum(recorded + cost.searched for cost in peers)
    search = [sum(cost.searched for cost in costs) for costs in (ours, peers)]
    same = sum(a.choice == b.choice for a, b in zip(ours, peers, strict=True))
    line = {
        "name": f"fitting_{name}", "ratio": round(theirs / mine, 2), "share": round(mine / theirs, 3),
        "limit": round(LIMIT, 3), "search": round(search[0] / search[1], 3), "ours": round(mine / len(targets)),
        "peer": round(theirs / len(targets)), "peer_name": "sweep=exhaustive, each target by itself",
        "unit": "tokens a target", "same": same, "n": len(targets), "contrasts": CONTRASTS[name],
        "seconds": [round(sum(cost.seconds for cost in costs), 1) for costs in (ours, peers)],
    }  # fmt: skip
    print(json.dumps(line), flush=True)
    return same == len(targets) and mine <= LIMIT * theirs


def steering_file(bench: Bench, place: Path) -> Path:
    """A tensor with a row a layer, as persona vectors are written: the difference between the poles of extraversion."""
    shifts = contrast("extraversion", ("adjective",), bench)
    torch.save(torch.tensor(np.asarray(shifts)), place / "rows.pt")
    return place / "rows.pt"


def timed(names: list[str], backend: HuggingFace, folder: Path) -> None:
    """Print the seconds of all ten targets of each method."""
    for name in names:
        bench = Bench(0, backend, folder / "controls", folder / f"timed {name}")
        given = {"file": str(steering_file(bench, folder))} if name == "vector" else {}
        kind = METHODS.load(name)
        method, start, found = kind(kind.Config(**given)), time.perf_counter(), 0
        for target in POLES.values():
            fit = method.fit(target, bench).fit
            found += fit is not None and fit.find is not None and fit.find.found
        line = {
            "name": f"fitting_{name}_ten",
            "ours": round(time.perf_counter() - start, 1),
            "unit": "s",
            "n": len(POLES),
        }
        print(json.dumps({**line, "found": found, "threads": torch.get_num_threads()}), flush=True)


def main() -> int:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--methods", default="residual,pas", help="whose tokens are compared")
    parser.add_argument("--targets", default="all", help="names, or all: ten")
    parser.add_argument("--seconds", default="", help="methods whose ten targets are timed, or all (long)")
    args = parser.parse_args()
    logging.disable(logging.INFO)
    backend = HuggingFace(resolve(args.model), device="cpu", dtype="float32")
    tokens = Tokens(backend)
    targets = list(POLES) if args.targets == "all" else args.targets.split(",")
    names = "residual,pas,npti,vector" if args.seconds == "all" else args.seconds
    with tempfile.TemporaryDirectory() as place:
        kept = [
            compared(name, targets, backend, tokens, Path(place) / name) for name in args.methods.split(",") if name
        ]
        timed([name for name in names.split(",") if name], backend, Path(place))
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
