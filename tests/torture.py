"""Commands that are stopped at a moment that is drawn, and what they leave, without what differs by the clock alone."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

COUNTS: Counter[str] = Counter()
"""What was tried: printed at the end."""
LONGEST = 600
"""Seconds after which a command hangs."""
_TIMES = {"date", "cost", "checksum", "total_evaluation_time_seconds", "seconds", "pace", "made"}
"""What of a JSON file differs by the clock."""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(place: Path) -> dict[str, str]:
    """Caches of its own, one thread."""
    held = {k: v for k, v in os.environ.items() if k not in ("TRAITBENCH_DEBUG", "TRAITBENCH_DATA")}
    return {**held, "TRAITBENCH_CACHE": str(place / "cache"), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def started(words: Sequence[str], place: Path) -> subprocess.Popen[str]:
    """Start a command of ours in the folder `place`."""
    # A shell has what it starts in the background ignore Ctrl-C, and so whatever that starts.
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        [sys.executable, "-m", "traitbench", *words], cwd=place, env=environment(place), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heeding,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> Ended:
    """Wait for it; no command may end in a traceback, or hang."""
    try:
        out, err = process.communicate(timeout=LONGEST)
    finally:
        process.kill()
    assert "Traceback" not in err, err
    return Ended(process.returncode, out, err)


def done(words: Sequence[str], place: Path) -> Ended:
    """Run a command to its end."""
    return ended(started(words, place))


def stopped(
    words: Sequence[str], place: Path, at: Callable[[], bool], signals: Sequence[int] = (signal.SIGKILL,)
) -> Ended | None:
    """Run a command until `at`, then send it `signals`, one after the other; None where it ended before."""
    process = started(words, place)
    end = time.monotonic() + LONGEST
    while process.poll() is None and time.monotonic() < end:
        if at():
            for number in signals:
                process.send_signal(number)
                time.sleep(0.01)
            break
        time.sleep(0.0005)
    found = ended(process)
    if found.code < 0 or found.code > 128:
        return found
    assert found.code == 0, found
    return None


def size(place: Path, pattern: str) -> int:
    """Bytes of the files that match; of one that vanishes meanwhile none."""
    total = 0
    for path in _files(place, pattern):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def files(place: Path, pattern: str) -> int:
    """How many files below `place` match."""
    return sum(1 for _ in _files(place, pattern))


def _files(place: Path, pattern: str) -> Iterator[Path]:
    """Unlike rglob this may be used while folders vanish."""
    return (
        path for folder, _, names in os.walk(place) for name in names if (path := Path(folder, name)).match(pattern)
    )


def spread(draw: random.Random, many: int, whole: int) -> list[int]:
    """`many` moments between 1 and `whole`, one drawn in each of as many equal parts."""
    return [max(1, int(whole * (n + draw.random()) / many)) for n in range(many)]


def left(place: Path) -> dict[str, Any]:
    """Every file below `place`, by its path without dates, as what must be the same: digests, JSON without times.

    Locks are left out; what begins with a dot else would be a temporary file that was forgotten.
    """
    return dict(sorted(_left(place)))


def _left(place: Path) -> Iterator[tuple[str, Any]]:
    for path in place.rglob("*"):
        name = str(path.relative_to(place))
        if not path.is_file() or path.name == ".lock":
            continue
        stem = name.partition("_20")[0] if path.name.startswith(("results_", "samples_")) else name
        if path.suffix == ".json":
            yield stem, timeless(json.loads(path.read_text("utf-8")))
        else:
            yield stem, hashlib.sha256(path.read_bytes()).hexdigest()


def timeless(value: Any) -> Any:
    """JSON without what differs by the clock."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in _TIMES and not k.endswith("_seconds")}
    return [timeless(each) for each in value] if isinstance(value, list) else value
