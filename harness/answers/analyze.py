"""Reliability and structure of a table of answers, from one pass over it: `traitbench analyze`.

The table is streamed into sums and cross-products; every coefficient follows from those. Signs of careless answers need
the table's means and covariances first, so they take a second pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from traitbench.answers import findings, samples
from traitbench.answers.analysis import Analysis, Rows
from traitbench.answers.carelessness import INDICES, Carelessness, Screening
from traitbench.answers.itemtable import Frequencies
from traitbench.answers.keying import Acquiescence, Keying, acquiescence, contradiction, doubt, keying
from traitbench.answers.personscores import groups, score_file
from traitbench.answers.reading import Answers, Batch, open_answers
from traitbench.errors import BadData
from traitbench.statistics.moments import Moments

if TYPE_CHECKING:
    from traitbench.inventories import Inventory

__all__ = ["analyze"]

Write = Callable[[Batch, Sequence[pa.Array]], None]


def analyze(
    path: Path,
    inventory: Inventory,
    keyed: bool,
    scores: Path | None = None,
    progress: Callable[[int], None] | None = None,
    *,
    rows: Rows = "scale",
    trust_key: bool = False,
    careless: bool = False,
    coding: tuple[int, int] | None = None,
    missing: Sequence[float] = (),
    columns: Mapping[str, str] | None = None,
    id: str | None = None,
) -> Analysis:
    """Analyse the answers in `path`: CSV, TSV (also gzipped), Parquet or SPSS with a column an item.

    `keyed` says whether minus-keyed items are already reversed; a table whose correlations contradict it is refused,
    unless `trust_key`. `rows` says which rows a scale's figures are of. `careless` asks for signs of careless answers,
    in the analysis and in the scores. `scores` is a file for the persons' facet and domain scores (see `score_file`).
    `progress` is given the number of rows of each batch. `coding`, `missing`, `columns` and `id` say how to read the
    table (see `open_answers`); the ids are kept in the scores. A column without a single answer counts as absent, at
    the cost of another pass. BadData for what cannot be read, is out of range, contradicts its keying or holds fewer
    than two rows or no answer.
    """
    answers = open_answers(path, inventory, coding=coding, missing=missing, columns=columns, id=id)
    if scores is not None and scores.resolve() == path.resolve():
        raise BadData(f"--scores {scores} is the table itself; give the scores a file of their own")
    # One thread reads and one computes. More of them in the matrix products would compete with the reader, and where
    # another program has one of two cores they wait for each other longer than they compute.
    with threadpool_limits(1, "blas"):
        first = scores if scores and not careless else None
        with score_file(first, inventory, answers.items, id=answers.id) if first else nullcontext() as write:
            table = _read(answers, keyed, write, progress)
            answers.tally.require_people()
            found = _checked_keying(table, answers, keyed, trust_key)
        notes, doubts = [*answers.notes, *answers.tally.notes()], answers.tally.warnings()
        empty = [item.id for item, count in zip(answers.items, table.moments.answered, strict=True) if not count]
        if empty:
            notes.append(f"without a single answer, so taken as absent: {', '.join(empty)}")
            answers = answers.without(empty)
            table = _read(answers, keyed, None, progress)
            found = _checked_keying(table, answers, keyed, trust_key)
        signs = _screened(answers, table, keyed, scores, progress) if careless else None
        found = found._replace(warnings=[*doubts, *found.warnings])
        return _analysis(answers, table, keyed, rows, found, signs, notes)


class _Table(NamedTuple):
    """What one pass over the table leaves."""

    moments: Moments
    frequencies: Frequencies


class _Checked(NamedTuple):
    """The keying of the table as given, with what is to be said of it."""

    keying: Keying | None
    acquiescence: Acquiescence | None
    warnings: list[str]


def _read(answers: Answers, keyed: bool, write: Write | None, progress: Callable[[int], None] | None) -> _Table:
    scale = answers.inventory.response_scale
    scales, facets = groups(answers.inventory, answers.items)
    moments = Moments(len(answers.items), (scale.min + scale.max) // 2, [*scales.values(), *facets.values()])
    frequencies = Frequencies(answers.inventory, len(answers.items))
    for batch in _ahead(answers.read(keyed)):
        moments.add(batch.values)
        frequencies.add(batch.values)
        if write:
            write(batch, ())
        if progress:
            progress(len(batch.rows))
    return _Table(moments, frequencies)


def _screened(
    answers: Answers, table: _Table, keyed: bool, scores: Path | None, progress: Callable[[int], None] | None
) -> Carelessness:
    """Compute signs of careless answers in another pass, and write them beside the scores."""
    screening = Screening(
        answers.inventory, answers.items, answers.columns, keyed, table.moments.complete_rows(), table.moments.pairs()
    )
    given = (answers.inventory, answers.items, INDICES, answers.id)
    with score_file(scores, *given) if scores else nullcontext() as write:
        for batch in _ahead(answers.read(keyed)):
            signs = screening(batch.values)
            if write:
                write(batch, [pa.array(signs[name], mask=np.isnan(signs[name])) for name in INDICES])
            if progress:
                progress(len(batch.rows))
    return screening.summary()


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Read the next batch while the present one is worked on."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


def _checked_keying(table: _Table, answers: Answers, keyed: bool, trust: bool) -> _Checked:
    """Compare the declared keying with the answers; BadData where they contradict it and it is not to be trusted."""
    scale, pairs = answers.inventory.response_scale, table.moments.pairs()
    found = keying(pairs, answers.items, keyed)
    warnings = []
    if found:
        if found.verdict == "contradicts":
            text = contradiction(found, keyed)
            if not trust:
                raise BadData(f"{text}. Correct --raw or --keyed, or the key; analyze --trust_key goes on as declared")
            warnings.append(f"{text}. It was taken as declared (--trust_key)")
        elif text := doubt(found, keyed):
            warnings.append(text)
    yes = acquiescence(np.diag(pairs.mean), pairs, answers.items, scale.min + scale.max)
    return _Checked(found, yes, [*warnings, *findings.acquiescent(yes, answers.inventory)])


def _analysis(
    answers: Answers,
    table: _Table,
    keyed: bool,
    rows: Rows,
    checked: _Checked,
    signs: Carelessness | None,
    notes: list[str],
) -> Analysis:
    inventory, moments = answers.inventory, table.moments
    held = samples.Samples(answers.items, moments, table.frequencies, rows)
    scales, facets = groups(inventory, answers.items)
    trait_of = {item.facet: item.trait for item in inventory.items}
    whole = samples.whole(held.complete)
    correlations, undefined = samples.correlations(held, scales)
    reasons = {
        **whole.reasons,
        "correlations": undefined,
        "keying": "" if checked.keying else "fewer than 10 persons, or no items keyed in opposite directions",
        "acquiescence": "" if checked.acquiescence else "fewer than 10 persons, or no scale with items of both keys",
    }
    by_scale = {s: held.scale(i, p, inventory.scales[s], None) for i, (s, p) in enumerate(scales.items())}
    by_facet = {
        f: held.scale(len(scales) + i, p, trait_of[f], inventory.facets.get(f, f))
        for i, (f, p) in enumerate(facets.items())
    }
    if whole.flat:
        notes.append(f"without variance, so not among all items: {', '.join(whole.flat)}")
    return Analysis(
        inventory=inventory.id,
        keyed=keyed,
        rows=rows,
        n=moments.rows,
        n_complete=moments.complete,
        missing_items=list(answers.missing),
        ignored_columns=list(answers.ignored),
        scales=by_scale,
        facets=by_facet,
        kmo=whole.kmo,
        kmo_items=whole.kmo_items,
        bartlett=whole.bartlett,
        components=whole.components,
        correlations=correlations,
        keying=checked.keying,
        acquiescence=checked.acquiescence,
        carelessness=signs,
        reasons={field: reason for field, reason in reasons.items() if reason},
        warnings=[*checked.warnings, *findings.of(answers.items, moments, by_scale, by_facet, rows)],
        notes=notes,
    )
