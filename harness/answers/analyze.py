"""Reliability and structure of a table of answers, from one pass over it: `traitbench analyze`.

The table is streamed into sums and cross-products; every coefficient follows from those of the complete rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from traitbench.answers.analysis import Analysis, Correlations, ScaleAnalysis, Sphericity
from traitbench.answers.consistency import CompleteRows, consistency
from traitbench.answers.keying import assert_keyed_correlations
from traitbench.answers.personscores import groups, score_file
from traitbench.answers.reading import Answers, open_answers
from traitbench.errors import BadData
from traitbench.statistics import structure
from traitbench.statistics.coefficient import Coefficient
from traitbench.statistics.moments import Moments, to_correlation
from traitbench.types import Trait

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item

__all__ = ["analyze"]

_ROUNDING = 1e-12
"""A scale's variance up to this is round-off: an SD of a millionth of a scale point."""


def analyze(
    path: Path,
    inventory: Inventory,
    keyed: bool,
    scores: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Analysis:
    """Analyse the answers in `path`: CSV, TSV (also gzipped) or Parquet with a column an item.

    `keyed` says whether minus-keyed items are already reversed; a table whose correlations contradict it is refused.
    `scores` is a file for the persons' facet and domain scores (see `score_file`). `progress` is given the number of
    rows of each batch. A column without a single answer counts as absent, at the cost of a second pass. BadData for
    what cannot be read, is out of range or contradicts its keying.
    """
    answers = open_answers(path, inventory)
    if scores is not None and scores.resolve() == path.resolve():
        raise BadData(f"--scores {scores} is the table itself; give the scores a file of their own")
    # One thread reads and one computes. More of them in the matrix products would compete with the reader, and where
    # another program has one of two cores they wait for each other longer than they compute.
    with threadpool_limits(1, "blas"):
        with score_file(scores, inventory, answers.items) if scores else nullcontext() as write:
            moments = _moments(answers, keyed, write, progress)
            keying = _checked_keying(moments, answers.items, keyed)
        notes = list(answers.notes)
        empty = [item.id for item, count in zip(answers.items, moments.answered, strict=True) if not count]
        if empty and len(empty) < len(answers.items):
            notes.append(f"without a single answer, so taken as absent: {', '.join(empty)}")
            answers = answers.without(empty)
            moments = _moments(answers, keyed, None, progress)
        return _analysis(answers, moments, keyed, keying, notes)


def _moments(
    answers: Answers,
    keyed: bool,
    write: Callable[[NDArray[np.floating]], None] | None,
    progress: Callable[[int], None] | None,
) -> Moments:
    scale = answers.inventory.response_scale
    moments = Moments(len(answers.items), (scale.min + scale.max) // 2)
    for values in _ahead(answers.batches(keyed)):
        moments.add(values)
        if write:
            write(values)
        if progress:
            progress(len(values))
    return moments


def _ahead(batches: Iterator[NDArray[np.floating]]) -> Iterator[NDArray[np.floating]]:
    """Read the next batch while the present one is worked on."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


def _checked_keying(moments: Moments, items: Sequence[Item], keyed: bool) -> float | None:
    """Mean correlation of opposite items in the table as given; BadData where it contradicts the declared keying."""
    key = np.array([1 if keyed else item.keyed for item in items])
    return assert_keyed_correlations(moments.pairwise_correlation() * np.outer(key, key), items, keyed)


def _analysis(answers: Answers, moments: Moments, keyed: bool, keying: float | None, notes: list[str]) -> Analysis:
    inventory, n, k = answers.inventory, moments.complete, len(answers.items)
    sample = CompleteRows(
        answers.items,
        n,
        moments.mean() if n else np.zeros(k),
        moments.covariance() if n > 1 else np.zeros((k, k)),
    )
    scales, facets = groups(inventory, answers.items)
    trait_of = {item.facet: item.trait for item in inventory.items}
    adequacy, test, parallel = _whole(sample)
    correlations, undefined = _correlations(sample, scales)
    reasons = {
        "kmo": adequacy.overall.reason,
        "bartlett": test.reason,
        "components": parallel.reason,
        "correlations": undefined,
        "keying": "" if keying is not None else "fewer than 10 persons, or no items keyed in opposite directions",
    }
    sphericity = None
    if test.chi2 is not None and test.p is not None:
        sphericity = Sphericity(chi2=test.chi2, df=test.df, p=test.p)
    return Analysis(
        inventory=inventory.id,
        keyed=keyed,
        n=moments.rows,
        n_complete=n,
        missing_items=list(answers.missing),
        ignored_columns=list(answers.ignored),
        scales={s: _scale(sample, places, inventory.scales[s], None) for s, places in scales.items()},
        facets={f: _scale(sample, p, trait_of[f], inventory.facets.get(f, f)) for f, p in facets.items()},
        kmo=adequacy.overall.value,
        kmo_items={item.id: c.value for item, c in zip(answers.items, adequacy.items, strict=True)},
        bartlett=sphericity,
        components=parallel.factors,
        correlations=correlations,
        keying=keying,
        reasons={field: reason for field, reason in reasons.items() if reason},
        notes=notes,
    )


def _whole(sample: CompleteRows) -> tuple[structure.KMO, structure.Bartlett, structure.ParallelAnalysis]:
    """Measures of the correlation matrix of all items together."""
    k = len(sample.items)
    if reason := sample.no_correlation(range(k)):
        none = Coefficient(None, reason)
        return (
            structure.KMO(none, [none] * k),
            structure.Bartlett(None, k * (k - 1) // 2, None, reason),
            structure.ParallelAnalysis(None, None, None, reason),
        )
    r, n = to_correlation(sample.covariance), sample.n
    return structure.kmo(r), structure.bartlett(r, n), structure.parallel_analysis(r, n)


def _scale(sample: CompleteRows, places: Sequence[int], trait: Trait, facet: str | None) -> ScaleAnalysis:
    """Everything about one scale or facet whose items stand at `places`."""
    return ScaleAnalysis(trait=trait, facet=facet, **consistency(sample, places))


def _correlations(sample: CompleteRows, scales: Mapping[str, Sequence[int]]) -> tuple[Correlations, str]:
    """Correlate the scale scores; also why some of them have none."""
    member = np.zeros((len(scales), len(sample.items)))
    for row, places in enumerate(scales.values()):
        member[row, places] = 1 / max(len(places), 1)
    covariance = member @ sample.covariance @ member.T
    held = np.diag(covariance) > _ROUNDING
    defined = np.flatnonzero(held)
    matrix: list[list[float | None]] = [[None] * len(scales) for _ in scales]
    for (a, b), r in np.ndenumerate(to_correlation(covariance[np.ix_(defined, defined)])):
        matrix[defined[a]][defined[b]] = float(r)
    without = ", ".join(scale for scale, there in zip(scales, held, strict=True) if not there)
    reason = (sample.no_people(2) or f"no item or no variance: {without}") if without else ""
    return Correlations(order=list(scales), matrix=matrix, n=sample.n), reason
