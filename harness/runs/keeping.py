"""Keep what a finished run found: samples, side effects and results, under one date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from traitbench import store
from traitbench.runs.results import Results
from traitbench.runs.sealed import written
from traitbench.runs.side_effects import kept
from traitbench.runs.side_effects.records import SideEffects
from traitbench.runs.summary import beside
from traitbench.samples import Sample

__all__ = ["keep"]


def keep(
    results: Results,
    folder: Path,
    samples: Mapping[str, Sequence[Sample]],
    beyond: tuple[SideEffects, list[Any]] | None,
    at: datetime,
) -> tuple[Results, Path]:
    """Write all of it into `folder`, and return the results as they are kept, and their file."""
    stamp = at.strftime("%Y-%m-%dT%H-%M-%S.%f")
    digests = {t: store.write_lines(folder / f"samples_{t}_{stamp}.jsonl", rows) for t, rows in samples.items()}
    results = results.model_copy(update={"samples_sha256": digests})
    if beyond is not None:
        found, lines = beyond
        results = beside(results, kept(found, lines, folder, stamp, results.conditions))
    path = folder / f"results_{stamp}.json"
    store.write_json(path, written(results))
    return results, path
