"""Naming a large model by its bytes beside reading them: traitbench's fingerprint against `cat`, both from the disk.

Run with `python tests/benchmarks/bench_hashing.py --gigabytes 16 --folder DIR`. Writes a folder of four files of random
bytes, drops them from the page cache before each turn, and takes turns; `again` is the second time, from the cache of
names. Prints a JSON line and asserts nothing about time; the bar is on the terminal.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from traitbench.backends.fingerprints import fingerprint

FILES = 4
_BLOCK = 1 << 24


def written(folder: Path, size: int) -> list[Path]:
    """Files of `size` bytes in all, handed to the disk."""
    block, made = os.urandom(_BLOCK), []
    for number in range(FILES):
        path = folder / f"model-{number + 1:05}-of-{FILES:05}.safetensors"
        with path.open("wb") as file:
            for _ in range(size // FILES // _BLOCK):
                file.write(block)
            os.fsync(file.fileno())
        made.append(path)
    return made


def cold(paths: list[Path]) -> None:
    """Let the kernel forget the files."""
    for path in paths:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(paths: list[Path], action: Callable[[], object]) -> float:
    cold(paths)
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2)
    parser.add_argument("--folder", help="of the disk that is measured; the temporary one where left out")
    parser.add_argument("--repeats", type=int, default=2, help="of which the fastest counts")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        folder = Path(place) / "model"
        folder.mkdir()
        # What is known of a file is not read again, so each turn has a cache of its own.
        paths = written(folder, int(given.gigabytes * 1e9))
        mine, theirs = [], []
        for turn in range(given.repeats):
            os.environ["TRAITBENCH_CACHE"] = str(Path(place) / f"cache{turn}")
            theirs.append(timed(paths, lambda: subprocess.run(["cat", *map(str, paths)], stdout=subprocess.DEVNULL)))
            mine.append(timed(paths, lambda: fingerprint(folder)))
        again = timed(paths, lambda: fingerprint(folder))
    print(json.dumps({
        "name": "hashing", "ratio": round(min(mine) / min(theirs), 2), "ours": round(min(mine), 2),
        "peer": round(min(theirs), 2), "peer_name": "cat", "unit": "s", "gigabytes": given.gigabytes,
        "again": round(again, 4), "cores": os.cpu_count(),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
