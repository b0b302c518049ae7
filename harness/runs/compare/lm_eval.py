"""A samples_*.jsonl of lm-eval (--log_samples): a line a document and filter, its metrics under their own names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from traitbench.errors import BadData
from traitbench.files import LARGEST, parsed, read_text
from traitbench.runs.compare.foreign import Gathered, Outcomes

__all__ = ["of_samples"]


def of_samples(path: Path, task: str, tell: Callable[[str], None]) -> list[Outcomes]:
    """Read the metrics of `task`, one of each filter; those that are no number a document are passed over and told.

    BadData where a line is no sample.
    """
    gathered: dict[tuple[str, str], Gathered] = {}
    passed: dict[str, None] = {}
    for number, row in _rows(path):
        if "scoring" in row and "control_hash" in row:
            raise BadData(f"{path} holds samples of a traitbench run; name its folder or its results_*.json")
        try:
            item, metrics, part = str(row["doc_id"]), list(row["metrics"]), str(row.get("filter", "none"))
            if strange := [metric for metric in metrics if not isinstance(metric, str)]:
                raise TypeError(f"{strange[0]!r} is no name of a metric")
            values = {metric: row.get(metric) for metric in metrics}
            numbers = {metric: float(v) for metric, v in values.items() if isinstance(v, int | float)}
        except (KeyError, TypeError, OverflowError) as error:
            raise BadData(
                f"{path}, line {number}, is no sample of lm-eval: {error}; expected doc_id and metrics, as lm-eval "
                "0.4.9 and later write them with --log_samples"
            ) from None
        asked = tuple(row.get(name) for name in ("doc_hash", "target_hash"))
        passed.update((metric, None) for metric in values if metric not in numbers)
        for metric, value in numbers.items():
            one = gathered.setdefault((metric, part), Gathered())
            if not one.add(item, value, asked, row.get("prompt_hash")):
                raise BadData(f"{path}, line {number}: doc {item} stands there twice, with two texts; repeat the run")
    if passed:
        tell(f"passed over {', '.join(passed)} of {task}: no number a document, so nothing to pair")
    return [one.outcomes(task, metric, part, path) for (metric, part), one in gathered.items()]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        lines = read_text(path, largest=LARGEST).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"cannot read {path}: {error}; expected a samples_*.jsonl of lm-eval") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = parsed(line)
            except ValueError as error:
                raise BadData(f"{path}, line {number}, is no JSON: {error}; copy the file again") from None
            if not isinstance(row, dict):
                raise BadData(f"{path}, line {number}, holds no object; expected a sample of lm-eval")
            yield number, row
