"""Time to weigh both replies of every situation in one condition: traitbench against lm-eval's hf model.

Run with `python tests/benchmarks/bench_situations.py`. Same weights, prompts and replies, float32. Checks that both put
the same distance between the two replies of each pair; prints a JSON line and asserts nothing about time.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

from lm_eval_task import multiple_choice
from timing import best

from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.runs.plan import Plan
from traitbench.runs.prepare import prepare
from traitbench.tasks.administration import Administration
from traitbench.tasks.situations.asking import requests
from traitbench.tasks.situations.pairs import load
from traitbench.types import Control, Request

TASK = "bench_situations"
AGREE = 1e-3
"""Nats by which the two may differ: float32 sums in another order."""


def told(style: str | None) -> Control:
    """What `prompting` says in a style to be extraverted; nothing where there is none."""
    if style is None:
        return Control()
    plan = Plan(method="prompting", method_args={"style": style}, target="extraversion=high", tasks=("situations",))
    return prepare(plan).conditions[-1][1]


def ours(backend: HuggingFace, asked: list[Request], control: Control) -> list[float]:
    """High less low of each pair, nats."""
    found: dict[int, float] = {}
    with backend.under(control):
        for batch in backend.run(asked):
            found |= {n: response.loglik or 0.0 for n, response in batch.items()}
    return [found[n] - found[n + 1] for n in range(0, len(asked), 2)]


def peer(lm: Any, task: Any) -> list[float]:
    """High less low of each pair by lm-eval's simple_evaluate.

    lm-eval moves the line break that ends a prompt to both replies, and it goes out of their difference.
    """
    from lm_eval import simple_evaluate

    out = simple_evaluate(model=lm, tasks=[task], bootstrap_iters=0, log_samples=True)
    samples = sorted(out["samples"][TASK], key=lambda s: s["doc_id"])
    return [float(s["filtered_resps"][0][0]) - float(s["filtered_resps"][1][0]) for s in samples]


def main() -> int:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--repeats", type=int, default=2, help="runs after the warm-up; the fastest counts")
    parser.add_argument("--style", help="of a prompt to be extraverted; the model as it is where left out")
    parser.add_argument("--peer_batch", type=int, default=16, help="lm-eval's batch size, whose own default is 1")
    parser.add_argument("--pairs", type=int, help="the first so many; all where left out")
    args = parser.parse_args()
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    logging.disable(logging.INFO)
    backend = HuggingFace(resolve(args.model), device="cpu", dtype="float32")
    asked = requests("situations", load()[: args.pairs], Administration(scoring=("statement",)), 0)
    control = told(args.style)
    lm = HFLM(pretrained=backend.model, tokenizer=backend.tokenizer, batch_size=args.peer_batch, device="cpu")
    task = multiple_choice(
        TASK,
        [backend.renderer.prompt(request, control) for request in asked[::2]],
        [[first.text, second.text] for first, second in zip(asked[::2], asked[1::2], strict=True)],
    )
    mine, theirs = ours(backend, asked, control), peer(lm, task)
    apart = max(abs(a - b) for a, b in zip(mine, theirs, strict=True))
    if not apart <= AGREE:
        print(f"differences differ by {apart:.2g} nats, more than {AGREE:g}", file=sys.stderr)
        return 1
    rounds = [
        (best(lambda: ours(backend, asked, control), 1), best(lambda: peer(lm, task), 1)) for _ in range(args.repeats)
    ]
    seconds, peer_seconds = (min(times) for times in zip(*rounds, strict=True))
    print(json.dumps({
        "name": "situations", "ratio": round(peer_seconds / seconds, 2), "ours": round(seconds, 3),
        "peer": round(peer_seconds, 3), "unit": "s",
        "peer_name": f"lm-eval {lm_eval.__version__} hf, batch {args.peer_batch}",
        "style": args.style,
        "n": len(asked) // 2, "apart": apart, "rounds": [round(b / a, 2) for a, b in rounds],
    }))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
