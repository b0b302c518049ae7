"""Time of written replies on the embedded model: hf beside transformers' own `generate`, and beside vLLM.

`generate` is asked as it is best asked by hand without knowing how long replies get: greedy ones in batches of eight,
sampled ones each with its own seed. Where vLLM is installed, `.venv-vllm/bin/python tests/benchmarks/bench_writing.py`
has it in the same run; on a CPU set OMP_NUM_THREADS to the cores and OMP_WAIT_POLICY=PASSIVE, else the threads of the
two wait for each other. Prints JSON lines and asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from timing import best

from traitbench import inventories
from traitbench.backends.backend import Backend, Options
from traitbench.backends.models import resolve
from traitbench.tasks.administration import Administration, item_requests
from traitbench.types import Control, Message, Request, Write

TOKENS = 64
"""Of a reply at most."""
TOPICS = ("work", "friends", "a free day", "money", "a quarrel", "the future", "a long trip", "a party", "a mistake")


def ratings(count: int, temperature: float) -> list[Request]:
    """Items of the IPIP-NEO-120 in both orders; most replies end after a few tokens."""
    inventory = inventories.load("ipip_neo_120")
    asked = Administration(scoring=("generate",), max_tokens=TOKENS, temperature=temperature)
    return item_requests(inventory.id, inventory, inventory.items[: count // 2], asked, 0)


def essays(count: int, temperature: float) -> list[Request]:
    """Open questions, whose replies mostly run into their limit."""
    doc = ratings(2, 0)[0].doc
    return [
        Write(
            doc=doc, seed=n, max_tokens=TOKENS, temperature=temperature,
            messages=(Message(role="user", content=f"Tell me in a paragraph, part {n}, what {topic} means to you."),),
        )
        for n, topic in enumerate(TOPICS * (count // len(TOPICS) + 1))
    ][:count]  # fmt: skip


def writing(backend: Backend, requests: Sequence[Request], found: dict[int, str]) -> Callable[[], None]:
    """Write everything once, into `found`."""

    def go() -> None:
        if hasattr(backend, "engine"):
            backend.engine.forget()
        with backend.under(Control()):
            for batch in backend.run(requests):
                found.update({n: response.text or "" for n, response in batch.items()})

    return go


def by_generate(hf: Any, requests: Sequence[Request], found: dict[int, str]) -> Callable[[], None]:
    """The same by transformers' `generate`."""
    go = writing(hf, requests, found)

    def plainly() -> None:
        hf.writer.together = False
        try:
            go()
        finally:
            hf.writer.together = True

    return plainly


def main() -> int:
    """Measure both kinds of texts, greedy and sampled, each way in turn, so that a slow spell meets all."""
    from traitbench.backends.hf import HuggingFace
    from traitbench.backends.vllm.setup import installed

    flags = argparse.ArgumentParser()
    flags.add_argument("--replies", type=int, default=60)
    flags.add_argument("--times", type=int, default=3)
    flags.add_argument("--peers", default="generate,vllm", help="which of the two to stand beside")
    given = flags.parse_args()
    spec = resolve("smollm2")
    hf = HuggingFace(spec)
    vllm: Any = None
    if "vllm" in given.peers and installed() is None:
        print("vLLM is not installed here: make setup-vllm, then .venv-vllm/bin/python", __file__, file=sys.stderr)
    elif "vllm" in given.peers:
        from traitbench.backends.vllm import VLLM

        vllm = VLLM.make(spec, Options(arguments={"max_model_len": 2048, "enforce_eager": True}))
    for kind, temperature in ((essays, 0.0), (essays, 1.0), (ratings, 0.0), (ratings, 1.0)):
        requests = kind(given.replies, temperature)
        texts: dict[str, dict[int, str]] = {"hf": {}, "generate": {}, "vllm": {}}
        ways = {"hf": writing(hf, requests, texts["hf"])}
        if "generate" in given.peers:
            ways["generate"] = by_generate(hf, requests, texts["generate"])
        if vllm is not None:
            ways["vllm"] = writing(vllm, requests, texts["vllm"])
        writing(hf, requests[:2], {})()
        rounds = [{name: best(way, 1) for name, way in ways.items()} for _ in range(given.times)]
        least = {name: min(each[name] for each in rounds) for name in ways}
        for peer in [name for name in ways if name != "hf"]:
            alike = sum(texts["hf"][n] == texts[peer][n] for n in range(len(requests)))
            print(json.dumps({
                "name": f"{kind.__name__}, {'sampled' if temperature else 'greedy'}", "peer_name": peer,
                "ratio": round(least[peer] / least["hf"], 3), "ours": round(least["hf"], 3),
                "peer": round(least[peer], 3), "unit": "s", "n": len(requests), "alike": alike,
                "rounds": [round(each[peer] / each["hf"], 3) for each in rounds],
            }), flush=True)  # fmt: skip
    hf.close()
    if vllm is not None:
        vllm.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
