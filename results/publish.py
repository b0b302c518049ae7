"""Make what is published: `make publish`. It can be stopped at any moment, and the same command goes on from there.

Every run of publish.toml that is not in results/published yet is made, as `traitbench run` makes it, and published,
--workers at a time, with their share of the cores each. The runs of a group share their fits, which the first of them
makes; the others wait for it. `--list` says what is there and what is left.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import NamedTuple

from traitbench.cli.arguments import parser
from traitbench.cli.configuration import from_command_line
from traitbench.errors import TraitbenchError
from traitbench.methods import METHODS
from traitbench.runs.folders import UNDECIDING, run_name
from traitbench.runs.plan import Plan
from traitbench.runs.prepare import prepare

HERE = Path(__file__).resolve().parent
RUNS, PUBLISHED, LOGS = HERE / "runs", HERE / "published", HERE / "runs" / "logs"


class Run(NamedTuple):
    """A run of the list."""

    group: str
    flags: tuple[str, ...]
    minutes: int
    """On one core, without fits."""
    fit: int
    """Minutes that the fits of its group take."""
    name: str = ""
    """Of its folder; empty where it cannot be made here."""
    state: str = "left"
    """published, left, or why it cannot be made here."""
    published: str = ""
    """The published folder."""


def listed() -> list[Run]:
    """Read publish.toml, and see what is published: the same plan with the same version of the method."""
    there = {}
    for path in PUBLISHED.glob("*/results_*.json"):
        held = json.loads(path.read_text(encoding="utf-8"))
        there[_key(Plan.model_validate(held["config"]), held["method"]["version"])] = path.parent.name
    return [
        _seen(Run(group["name"], (*shlex.split(group["flags"]), *shlex.split(flags)), minutes, group["fit"]), there)
        for group in tomllib.loads((HERE / "publish.toml").read_text(encoding="utf-8"))["group"]
        for flags, minutes in group["runs"]
    ]


def _key(plan: Plan, version: str) -> str:
    """A plan by what it asks for, defaults left out."""
    ignored = UNDECIDING - {"side_effects", "side_effects_limit"} | {"backend"}
    told = plan.model_dump(mode="json", exclude=set(ignored), exclude_defaults=True)
    return json.dumps([told, version], sort_keys=True)


def _seen(run: Run, there: Mapping[str, str]) -> Run:
    plan = from_command_line(vars(parser().parse_args(["run", *run.flags])))
    if held := there.get(_key(plan, METHODS.load(plan.method).version)):
        return run._replace(state="published", published=held)
    try:
        return run._replace(name=run_name(prepare(plan)))
    except TraitbenchError as error:
        return run._replace(state=f"not to be made here: {error}")


def make(run: Run, threads: int) -> int:
    """Make a run and publish it: 0, or the exit code of what failed first."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / f"{run.name}.log").open("a", encoding="utf-8") as log:
        return _ask(["run", *run.flags, "--output_path", str(RUNS)], threads, log.fileno()) or _ask(
            ["export", str(RUNS / run.name), "--to", str(PUBLISHED)], threads, log.fileno()
        )


def _ask(words: Sequence[str], threads: int, log: int) -> int:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.run(
        [sys.executable, "-m", "traitbench", *words], env=environment, stdout=log, stderr=log
    ).returncode


def main() -> int:
    """List, or make what is left."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--list", action="store_true", help="say what is published and what is left, and make nothing")
    asked.add_argument("--only", metavar="GROUP", action="append", default=[], help="this group; repeat for several")
    asked.add_argument("--workers", metavar="N", type=int, default=2, help="runs made at a time (%(default)s)")
    given = asked.parse_args()
    runs = listed()
    groups = list(dict.fromkeys(run.group for run in runs))
    if unknown := [name for name in given.only if name not in groups]:
        print(f"error: no group {unknown[0]!r}; known: {', '.join(groups)}", file=sys.stderr)
        return 2
    left = [run for run in runs if run.state == "left" and run.group in (given.only or groups)]
    stray = {path.name for path in PUBLISHED.iterdir() if path.is_dir()} - {run.published for run in runs}
    _say(runs, left, sorted(stray))
    if given.list or not left:
        return 0
    return _all(left, max(1, given.workers))


def _say(runs: Sequence[Run], left: Sequence[Run], stray: Sequence[str]) -> None:
    for run in runs:
        print(f"{run.group}: {' '.join(run.flags)}\n    {run.published or run.state}")
    for name in stray:
        print(f"no line names {name}: of an older version, or no longer listed; remove it once another stands for it")
    hours = (sum(run.minutes for run in left) + sum({run.group: run.fit for run in left}.values())) / 60
    print(f"{len(left)} runs to make, about {hours:.1f} hours of one core", flush=True)


def _all(left: Sequence[Run], workers: int) -> int:
    threads, stop = max(1, (os.cpu_count() or 1) // workers), Event()
    groups = {name: [run for run in left if run.group == name] for name in dict.fromkeys(run.group for run in left)}

    def one(run: Run) -> bool:
        if stop.is_set():
            return False
        code = make(run, threads)
        print(f"{run.name}: {f'ended with {code}, see {LOGS / run.name}.log' if code else 'published'}", flush=True)
        return code != 0

    with ThreadPoolExecutor(workers) as pool:

        def first(runs: Sequence[Run]) -> list[Future[bool]]:
            lost: Future[bool] = Future()
            lost.set_result(one(runs[0]))
            return [lost, *(pool.submit(one, run) for run in runs[1:])]

        try:
            firsts = [pool.submit(first, runs) for runs in groups.values()]
            lost = [run.result() for made in firsts for run in made.result()]
        except KeyboardInterrupt:
            # The runs get the same signal and keep what they have.
            stop.set()
            print("stopped; the same command goes on from here", file=sys.stderr)
            return 130
    return 1 if any(lost) else 0


if __name__ == "__main__":
    sys.exit(main())
