"""A run as `.eval_results/*.yaml` of a model's repository on the Hugging Face hub: numbers that have a better end.

The level of a trait has none, so it never goes there; what does is what the leaderboard ranks, such as the effect in
the direction aimed at, and only where it may be ranked.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from traitbench.errors import BadData, TraitbenchUsage
from traitbench.runs.finished import rescore
from traitbench.runs.results import Results
from traitbench.store import write_text

__all__ = ["eval_results"]


def eval_results(path: Path, to: Path, dataset_id: str = "") -> list[Path]:
    """Write the results file `path` below `to`, as .eval_results/personality.yaml in a folder of the run's name.

    `dataset_id` is the benchmark's data set on the hub, which lists the entries. TraitbenchUsage without one, BadData
    where the run has no number that may stand there.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", dataset_id):
        raise TraitbenchUsage(
            f"--dataset_id {dataset_id!r}: expected the benchmark's data set on the hub, ORG/NAME; each entry names it"
        )
    results = rescore(path)
    entries = list(_entries(path, results, dataset_id))
    if not entries:
        raise BadData(
            f"{path} holds no number that may stand there: trait levels are neither good nor bad, and nothing of this "
            "run may be ranked; `traitbench report` says why"
        )
    place = to / path.resolve().parent.name / ".eval_results" / "personality.yaml"
    write_text(place, yaml.safe_dump(entries, sort_keys=False, allow_unicode=True))
    return [place]


def _entries(path: Path, results: Results, dataset_id: str) -> Iterator[dict[str, Any]]:
    from traitbench import __version__

    run = f"{path.resolve().parent.name}/{path.name}"
    at = datetime.datetime.fromtimestamp(results.date, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for task in results.tasks:
        for part, row in results.entry(task, run).rows.items():
            for contender in row.contenders:
                if contender.unranked or contender.value is None:
                    continue
                told = [f"traitbench {__version__}", f"method {results.method['name']}", run]
                if contender.ci is not None:
                    told.append(f"95 % [{contender.ci[0]:.4g}, {contender.ci[1]:.4g}]")
                if unit := row.metrics.get("unit"):
                    told.append(str(unit))
                told.append("higher is better" if contender.higher_is_better else "lower is better")
                yield {
                    "dataset": {"id": dataset_id, "task_id": f"{task}_{part}_{contender.name}"},
                    "value": contender.value,
                    "date": at,
                    "notes": "; ".join(told),
                }
