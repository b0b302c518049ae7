"""The trivial baselines of PAPI's person alignment: what any method has to beat, on the published metric and on ours.

A person is 120 known answers (the IPIP-NEO-120); the test is the other 180 items of the IPIP-NEO-300. The released
answers are keyed already, and 0 is a missing answer, which the published metric scores like an answer of 0.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from traitbench.reproduce.rows import CELLS, Reproduction, Row
from traitbench.tables import Table, number
from traitbench.targets.papi import Persons, guesses, key, load_persons, unkeyed
from traitbench.types import BIG_FIVE, Record, Trait

__all__ = ["BaselineReproduction", "BaselineRow", "baselines"]

Space = Literal["keyed", "raw"]
Metric = Literal["published", "answered"]
Array = NDArray[np.float64]

SPACES: tuple[Space, ...] = ("keyed", "raw")
METRICS: tuple[Metric, ...] = ("published", "answered")


class BaselineRow(Row):
    """A baseline under one space and metric; `recomputed` is the sum over the five traits."""

    baseline: str
    """`constant k`: k for every item. Means: of the person's known answers, rounded half to even."""
    space: Space
    """keyed: as released. raw: minus-keyed items as the person answered them; means are turned back, constants not."""
    metric: Metric
    """published: a missing answer counts as an answer of 0. answered: missing answers are left out."""
    traits: dict[Trait, float | None]
    """Mean |prediction - answer| over persons and test items; None where nobody answered."""
    sum: float | None
    n: int
    """Cells (person x item) that entered."""


class BaselineReproduction(Reproduction):
    """The trivial baselines, and beside them what the paper prints for methods."""

    n_persons: int
    n_test_items: int
    n_missing: int
    """Test answers that are missing."""
    rows: tuple[BaselineRow, ...]
    methods: tuple[Row, ...]
    """Published sums of methods; they need the models, so they are not recomputed."""

    def details(self) -> list[Table]:
        """Mean |prediction - answer| by trait, and the published methods."""
        traits = [[r.label, *(number(v, 4) for v in (*r.traits.values(), r.sum)), str(r.n)] for r in self.rows]
        methods = [[r.label, number(r.published), r.why] for r in self.methods]
        return [
            Table(
                title=f"Mean |prediction - answer| by trait, {self.n_persons} persons, {self.n_test_items} test items",
                columns=["baseline", *BIG_FIVE, "sum", "cells"],
                rows=traits,
                notes=[f"{self.n_missing} of the test answers are missing (0)."],
            ),
            Table(title="Beside: published sums of methods", columns=["what", "published", "why they differ"],
                  rows=methods),
        ]  # fmt: skip


class _Baselines(Record):
    provenance: str
    keyed: dict[str, float]
    raw: dict[str, float]


class _Sum(Record):
    model: str
    method: str
    value: float


class _Methods(Record):
    provenance: str
    sums: tuple[_Sum, ...]


class _Published(Record):
    source: str
    n_persons: int
    baselines: _Baselines
    methods: _Methods


def baselines(folder: Path | None = None) -> BaselineReproduction:
    """Score the eight trivial baselines in both spaces by both metrics.

    `folder` holds `Test-set.json` and `mpi_300_split.json`; None takes the data set `papi`. BadData where a file is
    missing, damaged, or not in keyed space.
    """
    persons, published = load_persons(folder), _published()
    n = len(persons.answers)
    rows = [
        _row(name, predicted, persons, space, metric, published)
        for name, predicted in _predictions(persons).items()
        for space in SPACES
        for metric in METRICS
    ]
    return BaselineReproduction(
        name="papi-baselines",
        about=(
            "Sum over five traits of the mean |prediction - answer| on the test items. Published: the same baseline "
            f"on all {published.n_persons} persons of the paper; recomputed: on the {n} persons here"
        ),
        source=f"{published.source}; {published.baselines.provenance}",
        rows=tuple(rows),
        n_persons=n,
        n_test_items=len(persons.test),
        n_missing=int(np.isnan(persons.answers[:, persons.test]).sum()),
        methods=tuple(_method(entry, published, rows, n) for entry in published.methods.sums),
    )


def _predictions(persons: Persons) -> dict[str, Array]:
    """Baseline -> (persons, 300) predictions in keyed space, means rounded as the paper's figures are."""
    known = [key()[column] for column in persons.known]
    found = guesses(persons.answers[:, persons.known], known, key())
    return {name: np.rint(values) for name, values in found.items()}


def _row(name: str, predicted: Array, persons: Persons, space: Space, metric: Metric, paper: _Published) -> BaselineRow:
    answers, constant = persons.answers, name.startswith("constant")
    if space == "raw":
        answers = unkeyed(answers)
        predicted = predicted if constant else unkeyed(predicted)
    answered = ~np.isnan(answers)
    scored = answered if metric == "answered" else np.ones_like(answered)
    errors = np.abs(predicted - np.where(answered, answers, 0.0))
    traits: dict[Trait, float | None] = {}
    cells = 0
    for trait in BIG_FIVE:
        columns = np.array([c for c in persons.test if key()[c].trait == trait], dtype=np.intp)
        kept = errors[:, columns][scored[:, columns]]
        traits[trait] = float(kept.mean()) if kept.size else None
        cells += kept.size
    values = [v for v in traits.values() if v is not None]
    total = sum(values) if len(values) == len(traits) else None
    published = getattr(paper.baselines, space).get(name) if metric == "published" else None
    return BaselineRow(
        label=f"{name}, {space}, {'published metric' if metric == 'published' else 'answered items only'}",
        published=published,
        recomputed=total,
        why=_why(published, total, metric, len(answers), paper.n_persons),
        baseline=name,
        space=space,
        metric=metric,
        traits=traits,
        sum=total,
        n=cells,
    )


def _why(published: float | None, total: float | None, metric: Metric, n: int, of: int) -> str:
    if total is None:
        return "nobody answered an item of one of the traits"
    if metric == "answered":
        return "our own metric, which leaves missing answers out; it was not published"
    if published is None:
        return f"no figure on all {of} persons in this space"
    if n == of:
        same = abs(published - total) < 6e-4
        return "they do not: the same persons" if same else f"{of} persons, but not the released answers"
    return f"over {n} persons here, over {of} in the paper"


def _method(entry: _Sum, paper: _Published, rows: list[BaselineRow], n: int) -> Row:
    """Say which trivial baselines are nearer than a published method."""
    sums = {r.baseline: r.sum for r in rows if r.space == "keyed" and r.metric == "published" and r.sum is not None}
    nearer = [name for name, value in sums.items() if value < entry.value]
    source = paper.methods.provenance.partition(":")[0]
    return Row(
        label=f"{entry.method}, {entry.model}, {paper.n_persons} persons ({source} source)",
        published=entry.value,
        recomputed=None,
        why=f"takes the model; nearer on the {n} persons here, keyed: {', '.join(nearer) or 'no trivial baseline'}",
    )


@cache
def _published() -> _Published:
    return _Published.model_validate(json.loads(CELLS.read_text(encoding="utf-8"))["papi"])
