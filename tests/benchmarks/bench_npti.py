"""Time of NPTI's search loop with recording on, over the same loop with recording off.

Run with `python tests/benchmarks/bench_npti.py`. Replies of one batch of search questions, greedy, float32; on and off
alternate, and the fastest of each counts. Checks that both write the same replies; prints JSON lines and asserts
nothing about time: the limit is 1.25.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.controls.interventions import layers, site_width
from traitbench.methods.npti.counting import Tally
from traitbench.methods.npti.gamma import write
from traitbench.methods.npti.search import replies
from traitbench.methods.npti.sources import draw, own
from traitbench.statistics.quantiles import Bins

LIMIT = 1.25


def main() -> int:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each kind; the fastest counts")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--max_tokens", type=int, default=32)
    args = parser.parse_args()
    logging.disable(logging.INFO)
    backend = HuggingFace(resolve(args.model))
    source = own()["extraversion"]
    pairs = draw(source, args.batch_size, 8, "benchmark").search
    asked = [write("extraversion", source.high[p.description], p.question, args.max_tokens) for p in pairs]
    tally = Tally(layers(backend.model), site_width(backend.model, "gate"), Bins())
    seconds: dict[bool, list[float]] = {False: [], True: []}
    used: dict[bool, list[float]] = {False: [], True: []}
    said = replies(backend, asked, tally)
    for _ in range(args.repeats):
        for recording in (False, True):
            start, busy = time.perf_counter(), time.process_time()
            found = replies(backend, asked, tally if recording else None)
            if recording:
                tally.flush()
            seconds[recording].append(time.perf_counter() - start)
            used[recording].append(time.process_time() - busy)
            if found != said:
                print("recording changed the replies", file=sys.stderr)
                return 1
    off, on = min(seconds[False]), min(seconds[True])
    tokens = sum(map(len, said))
    shown = {
        "unit": "s",
        "tokens": tokens,
        "tokens_a_second": round(tokens / on, 1),
        "threads": torch.get_num_threads(),
    }
    # Processor time beside the clock's: other programs on the machine disturb it less.
    ratios = {"ratio": round(on / off, 3), "processor_ratio": round(min(used[True]) / min(used[False]), 3)}
    line = {"name": "npti_search", **ratios, "recording": round(on, 3), "without": round(off, 3)}
    print(json.dumps({**line, "limit": LIMIT, **shown}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
