"""Keep what a finished run found: samples, side effects and results, under one date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
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
    stamp = _stamp(folder, at)
    digests = {t: store.write_lines(folder / f"samples_{t}_{stamp}.jsonl", rows) for t, rows in samples.items()}
    results = results.model_copy(update={"samples_sha256": digests})
    if beyond is not None:
        found, lines = beyond
        results = beside(results, kept(found, lines, folder, stamp, results.conditions))
    path = folder / f"results_{stamp}.json"
    store.write_json(path, written(results))
    return results, path


_FORM = "%Y-%m-%dT%H-%M-%S.%f"


def _stamp(folder: Path, at: datetime) -> str:
    """The date that names the files: `at`, or just after the newest of the folder where the clock was put back.

    Of several results the newest counts, and what was measured last is that.
    """
    for path in folder.glob("results_*.json"):
        with suppress(ValueError):
            kept = datetime.strptime(path.stem.removeprefix("results_"), _FORM).replace(tzinfo=UTC)
            at = max(at, kept + timedelta(microseconds=1))
    return at.strftime(_FORM)
