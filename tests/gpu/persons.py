"""person_alignment of 200 persons from the command line to the results, in one engine."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from made_people import people

from gpu.rows import OVER, Here, failed, figure, yes

__all__ = ["check"]

SPARE = 6
"""Seconds before the end of the check's time in which what was reached is told."""


def check(here: Here) -> None:
    """Run it, or as much of it as there is time for, which then says how long all of it would take."""
    from traitbench.backends.vllm.engine import Engine
    from traitbench.cli import main

    persons, items = here.size(200, 2), here.size(0, 4)
    table, runs = here.folder / "people.csv", here.folder / "runs"
    people(table, persons)
    starts: list[float] = []
    start = Engine.__init__

    def started(self: Any, *given: Any) -> None:
        begun = time.perf_counter()
        start(self, *given)
        starts.append(time.perf_counter() - begun)

    Engine.__init__ = started  # type: ignore[method-assign]
    begun = time.perf_counter()
    whole = (persons + 1) * (items or 180)
    told = threading.Timer(here.seconds - SPARE, lambda: _cut(here, runs, whole, begun, starts))
    told.daemon = True
    told.start()
    code = main([
        "run", "--model", "smollm2", "--backend", "vllm", "--method", "prompting", "--method_args", "style=person",
        "--target", f"person:{table}", "--raw", "--tasks", "person_alignment", "--orders", "forward",
        "--model_args", f"dtype={'float32' if here.dry else 'bfloat16'},max_model_len=4096,enforce_eager={here.dry}",
        "--output_path", str(runs), *(["--limit", str(items)] if items else []),
    ])  # fmt: skip
    told.cancel()
    seconds = time.perf_counter() - begun
    if code:
        here.report(failed(f"{persons} persons", f"traitbench run ended with {code}; its last lines are in the log"))
        return
    here.report(figure(f"{persons} persons, end to end", seconds, "s", note=f"{whole} answers"))
    here.report(figure("answers kept", _kept(runs), least=whole))
    _engines(here, starts)


def _cut(here: Here, runs: Path, whole: int, begun: float, starts: list[float]) -> None:
    """Tell what was reached when the time is over, and end this process; the run itself cannot be interrupted."""
    kept, seconds = _kept(runs), time.perf_counter() - begun
    here.report(figure("answers kept", kept, note=f"of {whole}; the time was over"))
    if kept and starts:
        rest = (seconds - starts[0]) * (whole / kept - 1)
        here.report(figure("all persons, as it went so far", seconds + rest, "s", note="an estimate"))
    _engines(here, starts)
    os._exit(OVER)


def _engines(here: Here, starts: list[float]) -> None:
    here.report(yes("one engine", len(starts) == 1, f"{len(starts)} started"))
    if starts:
        here.report(figure("its start", starts[0], "s"))


def _kept(runs: Path) -> int:
    """Answers that the run has written down."""
    return sum(file.read_bytes().count(b"\n") for file in runs.glob("*/responses.jsonl"))
