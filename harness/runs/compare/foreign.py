"""Two runs of another tool over the same documents: metric by metric, paired by document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from traitbench.errors import BadData
from traitbench.runs.compare.judged import BOUNDS, SHARE, Amount, Judged, Values, adjusted, amounts, judge
from traitbench.types import Record

__all__ = ["ForeignComparison", "Gathered", "MetricPair", "Outcomes", "compare_outcomes"]

Key = tuple[str, str, str]
"""Task, metric and filter."""


class Outcomes(NamedTuple):
    """One metric of one task, document by document."""

    task: str
    metric: str
    filter: str
    """Of lm-eval; empty for Inspect."""
    file: str
    values: dict[str, float]
    """Document -> its mean over repeats (epochs)."""
    asked: dict[str, tuple[str | None, ...]]
    """Document -> hashes of what it holds; those of two runs must agree."""
    prompts: dict[str, str | None]
    """Document -> hash of the prompt, which may differ: two models, two chat templates."""
    repeats: int
    """The most values that one document has."""


class Gathered:
    """The values of one metric while a file is read."""

    def __init__(self) -> None:
        """Begin with none."""
        self._values: dict[str, list[float]] = {}
        self._asked: dict[str, tuple[str | None, ...]] = {}
        self._prompts: dict[str, str | None] = {}

    def add(self, item: str, value: float, asked: tuple[str | None, ...], prompt: str | None) -> bool:
        """Keep one value of a document; False where it was there before and held something else."""
        self._values.setdefault(item, []).append(value)
        self._prompts[item] = prompt
        return self._asked.setdefault(item, asked) == asked

    def outcomes(self, task: str, metric: str, filter: str, file: Path) -> Outcomes:
        """Average over the repeats of a document, which counts once; one without a number is missing."""
        means = {item: float(np.mean(found)) for item, found in self._values.items()}
        values = {item: mean for item, mean in means.items() if np.isfinite(mean)}
        most = max(map(len, self._values.values()))
        return Outcomes(task, metric, filter, str(file), values, self._asked, self._prompts, most)


class MetricPair(Judged):
    """One metric of one task: its mean in run a minus that in run b, over the documents both have."""

    task: str
    metric: str
    filter: str
    """Of lm-eval; empty for Inspect."""
    mean_a: float
    mean_b: float
    """Over the documents that both runs have."""
    repeats: int
    """The most values (epochs) that a document has; their mean is what counts."""
    unpaired: int
    """Documents that have a value in one run alone: left out."""


class ForeignComparison(Record):
    """What `traitbench compare` prints of two runs of lm-eval or Inspect."""

    a: str
    b: str
    effect: dict[str, float]
    """Metric -> the difference asked about; empty without --effect."""
    bounds: dict[str, float]
    """Metric -> the difference below which two runs count as alike."""
    pairs: list[MetricPair]


def compare_outcomes(
    a: tuple[str, Sequence[Outcomes]],
    b: tuple[str, Sequence[Outcomes]],
    tell: Callable[[str], None],
    effect: Amount | None = None,
    bounds: Amount | None = None,
) -> ForeignComparison:
    """Compare two runs, each its name and what it holds, over the documents both have.

    The family of Holm's adjustment is every metric of every task. BadData where the runs share none, or a document
    holds one thing in one run and another in the other.
    """
    left, right = ({(one.task, one.metric, one.filter): one for one in run} for _, run in (a, b))
    shared = [key for key in left if key in right]
    if not shared:
        raise BadData(
            f"{a[0]} and {b[0]} share no metric of one task; the first has {_listed(left)}; the second {_listed(right)}"
        )
    told: dict[str, None] = {}
    for key in shared:
        _same_documents(left[key], right[key], told)
    units = _units([left[key] for key in shared] + [right[key] for key in shared])
    asked = amounts(effect, "effect", units)
    alike = {name: BOUNDS[unit] for name, unit in units.items() if unit in BOUNDS} | amounts(bounds, "bounds", units)
    pairs = [_pair(left[key], right[key], units[key[1]], alike.get(key[1]), asked.get(key[1])) for key in shared]
    for line in told:
        tell(line)
    return ForeignComparison(a=a[0], b=b[0], effect=asked, bounds=alike, pairs=adjusted(pairs))


def _units(found: Sequence[Outcomes]) -> dict[str, str]:
    """Metric -> its unit: a share where every value lies in [0, 1]."""
    values: dict[str, list[float]] = {}
    for one in found:
        values.setdefault(one.metric, []).extend(one.values.values())
    return {name: SHARE if 0 <= min(v) and max(v) <= 1 else f"{name}'s own" for name, v in values.items()}


def _same_documents(a: Outcomes, b: Outcomes, told: dict[str, None]) -> None:
    """Refuse two runs that asked different things under one name; note what is left out or was prompted otherwise."""
    ids = [item for item in a.values if item in b.values]
    if not ids:
        raise BadData(f"{a.task}, {a.metric}: the two runs share no document; '{a.file}' and '{b.file}' are no pair")
    other = [item for item in ids if a.asked[item] != b.asked[item]]
    if other:
        raise BadData(
            f"{a.task}: {len(other)} of {len(ids)} documents, the first of them {other[0]}, hold one thing in "
            f"'{a.file}' and another in '{b.file}'; repeat one run on the data of the other"
        )
    alone = len(a.values) - len(ids), len(b.values) - len(ids)
    if any(alone):
        told[f"{a.task}: {alone[0]} documents have a value in a alone and {alone[1]} in b alone; they are left out"] = (
            None
        )
    prompts = sum(a.prompts[item] != b.prompts[item] for item in ids)
    if prompts:
        told[f"{a.task}: {prompts} of {len(ids)} prompts differ (template, examples): the difference is theirs too"] = (
            None
        )


def _pair(a: Outcomes, b: Outcomes, unit: str, bound: float | None, effect: float | None) -> MetricPair:
    ids = [item for item in a.values if item in b.values]
    x, y = (np.array([run.values[item] for item in ids]) for run in (a, b))
    whole = max(a.repeats, b.repeats) == 1 and bool(np.isin([x, y], (0, 1)).all())
    hits = ((x == 1).tolist(), (y == 1).tolist()) if whole else None
    found = judge(Values(x, y, hits=hits, whole=whole, most=1.0 if unit == SHARE else None), bound, effect)
    return MetricPair(
        task=a.task, metric=a.metric, filter=a.filter, file_a=a.file, file_b=b.file, unit=unit,
        mean_a=float(x.mean()), mean_b=float(y.mean()), repeats=max(a.repeats, b.repeats),
        unpaired=len(a.values) + len(b.values) - 2 * len(ids), **found._asdict(),
    )  # fmt: skip


def _listed(found: Mapping[Key, Outcomes]) -> str:
    return ", ".join(" ".join(filter(None, key)) for key in found) or "none"
