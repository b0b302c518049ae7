"""The tests and the benchmark of the vllm backend, as they are, on this device: hf and vLLM take the GPU by themselves.

They run in float32, for which their bounds are; in bfloat16 the other checks hold hf and vllm side by side. The tests
without the mark vllm need no engine; those that open hf do so on the CPU or on models made on the spot.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from gpu.rows import OVER, Here, failed, figure, skipped

__all__ = ["bench", "outcomes", "tests"]

SPARE = 6
"""Seconds before the end of the check's time in which what ran so far is told."""
TESTS = Path(__file__).resolve().parents[1]
_OUTCOME = re.compile(r"^(\S+::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL)\b")


def tests(here: Here) -> None:
    """pytest -m vllm; on the CPU, where the main project runs it, only the parts that start no engine."""
    folder = TESTS / "backends" / "vllm"
    given = [folder / "test_parts.py"] if here.dry else ["-m", "vllm", folder]
    # Twice -v, since the project's own settings have -q.
    command = [sys.executable, "-m", "pytest", "-vv", "-p", "no:cacheprovider", "--color=no", *map(str, given)]
    found: dict[str, str] = {}

    def cut() -> None:
        _tell(here, found, "; the time was over before the rest")
        # The pipe stays open as long as an engine that a test started: what is left of them is ended from above.
        os._exit(OVER)

    over = threading.Timer(here.seconds - SPARE, cut)
    over.daemon = True
    with subprocess.Popen(command, cwd=TESTS.parent, stdout=subprocess.PIPE, text=True) as process:
        over.start()
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            for name, outcome in (mine := outcomes(line)).items():
                if outcome in ("FAILED", "ERROR"):
                    here.report(failed(name.rpartition("/")[2], outcome.lower()))
            found |= mine
    over.cancel()
    _tell(here, found, "")


def _tell(here: Here, found: Mapping[str, str], more: str) -> None:
    counts = Counter(found.values())
    ran = sum(count for outcome, count in counts.items() if outcome != "SKIPPED")
    note = ", ".join(f"{count} {outcome.lower()}" for outcome, count in counts.items()) or "none"
    share = counts["PASSED"] / ran if ran else float("nan")
    here.report(figure("tests passed, of those that ran", share, "share", least=1, note=note + more))


def outcomes(line: str) -> dict[str, str]:
    """The test and its outcome that a line of pytest -v names; nothing where it names none."""
    match = _OUTCOME.match(line)
    return {match[1]: match[2]} if match else {}


def bench(here: Here) -> None:
    """bench_vllm.py: the ratio of each of its lines; on the CPU it is a part of make bench."""
    if here.dry:
        here.report(skipped("bench_vllm.py", "not run on the CPU; make bench does"))
        return
    command = [sys.executable, str(TESTS / "benchmarks" / "bench_vllm.py")]
    with subprocess.Popen(command, cwd=TESTS.parent, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if line.startswith("{"):
                found = json.loads(line)
                note = f"{found['ours']} s beside {found['peer']} s ({found['peer_name']})"
                here.report(figure(found["name"], found["ratio"], "ratio", note=note))
    if process.returncode:
        here.report(failed("bench_vllm.py", f"ended with {process.returncode}"))
