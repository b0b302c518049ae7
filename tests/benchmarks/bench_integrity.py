"""What checking the published runs costs, as a share of scoring them again.

Run with `python tests/benchmarks/bench_integrity.py`. Each published run, but those of persons, is scored again, as
`traitbench score` does it, and the seconds that pass in checks are counted: the checksum of every line, of the results
file, and the digest of the samples. Prints a JSON line and asserts nothing about time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from traitbench import store
from traitbench.runs import finished

PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published"


def measured(paths: list[Path]) -> tuple[float, float, int]:
    """Seconds in checks and in all, and the lines read."""
    spent, lines, depth = 0.0, 0, 0

    def clocked(check: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any) -> Any:
            nonlocal spent, depth
            depth += 1
            start = time.perf_counter()
            try:
                return check(*given)
            finally:
                depth -= 1
                if not depth:
                    spent += time.perf_counter() - start

        return run

    plain = store.unsealed, store.check_samples, finished.check_file
    store.unsealed, store.check_samples, finished.check_file = map(clocked, plain)  # type: ignore[assignment]
    try:
        start = time.perf_counter()
        for path in paths:
            finished.rescore(path)
            lines += sum(json.loads(path.read_text("utf-8"))["n_responses"].values())
        return spent, time.perf_counter() - start, lines
    finally:
        store.unsealed, store.check_samples, finished.check_file = plain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2, help="of which the fastest counts")
    given = parser.parse_args()
    every = sorted(PUBLISHED.glob("*/results_*.json"))
    paths = [path for path in every if not json.loads(path.read_text("utf-8"))["persons"]]
    checks, whole, lines = min((measured(paths) for _ in range(given.repeats)), key=lambda found: found[1])
    print(json.dumps({
        "name": "integrity of the published runs", "ratio": checks / whole, "ours": checks, "peer": whole,
        "peer_name": "traitbench score", "unit": "s", "n": lines,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
