"""Time to administer 120 items with five options each: traitbench against lm-eval's hf model, and against torch.mm.

Run with `python tests/benchmarks/bench_administration.py`. Same weights, same prompts, float32, one spelling an option.
Checks that both give the same option log-probabilities; prints JSON lines and asserts nothing about time.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

import torch
from lm_eval_task import multiple_choice
from timing import best

from traitbench import inventories
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.backends.packing import Item, chunks, groups, pack
from traitbench.types import Choose, Doc, Message

LETTERS = "ABCDE"
TASK = "bench_administration"
AGREE = 1e-3
"""Nats by which the two may differ: float32 sums in another order."""


def requests() -> list[Choose]:
    """The IPIP-NEO-120 as a multiple choice of letters."""
    inventory = inventories.load("ipip_neo_120")
    labels = inventory.response_scale.labels
    options = "\n".join(f"{letter}. {label}" for letter, label in zip(LETTERS, labels, strict=True))
    ask = (
        "How well does the statement describe you? Reply with the letter of one option and nothing else.\n\n"
        f"{options}\n\nStatement: "
    )
    return [
        Choose(
            doc=Doc(task="bench", scoring="choice", item=item.id, trait=item.trait, facet=item.facet, keyed=item.keyed),
            messages=(Message(role="user", content=ask + item.text),),
            options=tuple((letter,) for letter in LETTERS),
            values=(1, 2, 3, 4, 5),
        )
        for item in inventory.items
    ]


def ours(backend: HuggingFace, asked: list[Choose]) -> list[tuple[float, ...]]:
    """Option log-probabilities by traitbench."""
    found = {i: r for batch in backend.run(asked) for i, r in batch.items()}
    return [found[i].option_logprobs or () for i in range(len(asked))]


def peer(lm: Any, task: Any) -> list[tuple[float, ...]]:
    """Option log-probabilities by lm-eval's simple_evaluate."""
    from lm_eval import simple_evaluate

    out = simple_evaluate(model=lm, tasks=[task], bootstrap_iters=0, log_samples=True)
    samples = sorted(out["samples"][TASK], key=lambda s: s["doc_id"])
    return [tuple(float(r[0]) for r in sample["filtered_resps"]) for sample in samples]


def closing_blank(backend: HuggingFace, asked: list[Choose]) -> list[float]:
    """Log-probability of the line break that ends the prompt: lm-eval moves it from the prompt to the option."""
    prompts = [backend.prompt(request) for request in asked]
    ids = [backend.renderer.encode(prompt) for prompt in prompts]
    assert all(p.endswith("\n") and backend.tokenizer.decode(i[-1:]) == "\n" for p, i in zip(prompts, ids, strict=True))
    items = [Item(i[:-1], (i[-1:],)) for i in ids]
    found: list[float] = []
    for group in groups([item.prompt for item in items]):
        for chunk in chunks(group, items, backend._row_tokens, None):
            found += [scores[0] for scores in backend.scorer.score(items[chunk.start : chunk.stop], group.shared)]
    return found


def products(backend: HuggingFace, asked: list[Choose]) -> Callable[[], None]:
    """The model's matrix products, alone, for the tokens that traitbench runs: the least this workload can take."""
    items = []
    for request in asked:
        prompt = backend.prompt(request)
        ids = backend.renderer.encode(prompt)
        items.append(Item(ids, tuple(backend.renderer.answer(prompt, ids, o[0]) for o in request.options)))
    passes: list[tuple[int, int]] = []
    for group in groups([i.prompt for i in items]):
        passes.append((group.shared, 1))
        for chunk in chunks(group, items, backend._row_tokens, backend.batch_size):
            row = pack(items[chunk.start : chunk.stop], group.shared)
            passes.append((len(row.tokens), len(row.heads)))
    head = backend.model.get_output_embeddings()
    weights = [m.weight.T for m in backend.model.modules() if isinstance(m, torch.nn.Linear) and m is not head]

    @torch.inference_mode()
    def multiply() -> None:
        for tokens, heads in passes:
            inputs = {n: torch.ones(tokens, n) for n in {w.shape[0] for w in weights}}
            for weight in weights:
                torch.mm(inputs[weight.shape[0]], weight)
            torch.mm(torch.ones(heads, head.weight.shape[1]), head.weight.T)

    return multiply


def main() -> int:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--repeats", type=int, default=2, help="runs after the warm-up; the fastest counts")
    parser.add_argument("--no-peer", action="store_true", help="leave lm-eval out")
    args = parser.parse_args()
    logging.disable(logging.INFO)
    backend = HuggingFace(resolve(args.model), device="cpu", dtype="float32")
    asked = requests()
    mine = ours(backend, asked)
    seconds = best(lambda: ours(backend, asked), args.repeats)
    multiply = products(backend, asked)
    multiply()
    limit = best(multiply, args.repeats)
    shown = {"unit": "s", "n": len(asked)}
    if not args.no_peer:
        import lm_eval
        from lm_eval.models.huggingface import HFLM

        lm = HFLM(pretrained=backend.model, tokenizer=backend.tokenizer, batch_size=16, device="cpu")
        task = multiple_choice(TASK, [backend.prompt(request) for request in asked], [LETTERS] * len(asked))
        theirs = peer(lm, task)
        blank = closing_blank(backend, asked)
        apart = max(
            abs(a + n - b) for x, n, y in zip(mine, blank, theirs, strict=True) for a, b in zip(x, y, strict=True)
        )
        if not apart <= AGREE:
            print(f"option log-probabilities differ by {apart:.2g} nats, more than {AGREE:g}", file=sys.stderr)
            return 1
        peer_seconds = best(lambda: peer(lm, task), args.repeats)
        line = {"name": "administration", "ratio": round(peer_seconds / seconds, 2), "ours": round(seconds, 3)}
        name = f"lm-eval {lm_eval.__version__} hf, batch 16"
        print(json.dumps({**line, "peer": round(peer_seconds, 3), "peer_name": name, **shown, "apart": apart}))
    line = {"name": "administration_matmul", "ratio": round(limit / seconds, 3), "ours": round(seconds, 3)}
    print(json.dumps({**line, "peer": round(limit, 3), "peer_name": "torch.mm, the same tokens", **shown}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
