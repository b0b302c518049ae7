"""What a judge likes beside what it is asked about: length, place, its own family; and whether it tells texts apart.

Every probe gives an index that is 0 for a faultless judge (the spread, which is not, apart), its interval, and how it
stands to its limits in `JUDGES`. An index counts against a judge where it is past a limit and its interval excludes 0:
a few texts convict nobody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from traitbench.errors import BadData, UnknownName
from traitbench.statistics.bootstrap import cluster_bootstrap
from traitbench.statistics.preferences import Comparison
from traitbench.statistics.proportions import Share, share
from traitbench.statistics.thresholds import Level, judge
from traitbench.types import Record

__all__ = [
    "PlaceProbe", "Probe", "length_preference", "position_preference", "score_spread", "self_preference",
]  # fmt: skip

Array = NDArray[np.float64]

FEWEST = 10
"""Texts, or pairs of them, from which there is an index."""
_ROUNDING = 1e-9


class Probe(Record):
    """One index of a judge; what is null has a reason."""

    name: str
    """Its criterion in `JUDGES`."""
    value: float | None
    ci: tuple[float, float] | None = None
    """95 %."""
    n: int = 0
    """Texts, or pairs of them, that entered."""
    level: Level | None = None
    """What it says against the judge; null: nothing."""
    limit: float | None = None
    """Which limit it is past."""
    reason: str = ""
    """Why there is no value, or what is past the limit where it is the interval; else empty."""


class PlaceProbe(Probe):
    """As `Probe`, with how often the order of two texts decided between them."""

    first: Share
    """Share of verdicts for the text shown first, ties a half, over pairs judged in both orders."""
    flips: Share
    """Share of these pairs in which the one text is preferred in one order and the other in the other."""


def score_spread(scores: ArrayLike, low: float, high: float, iterations: int = 2000, seed: int = 0) -> Probe:
    """SD of a judge's `scores` (n,) over texts that differ, NaN where none, as a share of the range `low` to `high`.

    It is 0 for a judge that gives every text the same. The interval is that of redraws of texts.
    """
    x = _scores(scores, low, high)[np.isfinite(scores)]
    if len(x) < FEWEST:
        return Probe(name="score_spread", value=None, n=len(x), reason=_few(len(x)))
    found = cluster_bootstrap(x, np.arange(len(x)), lambda rows: float(rows.std(ddof=1)), iterations, seed)
    return _probe("score_spread", found.value, found.ci, len(x), null=False)


def length_preference(
    scores: ArrayLike, lengths: ArrayLike, same: Sequence[Hashable], low: float, high: float,
    own: ArrayLike | None = None,
) -> Probe:  # fmt: skip
    """How much more a judge gives a text twice as long, of the same quality, as a share of the range `low` to `high`.

    `scores` (n,), NaN where none; `lengths` (n,) above 0, in any unit; `same` (n,) a label a text: texts of one label
    are as good as each other (a text and its longer versions, or the texts of one pole and scene). The slope on
    log2 of the length within labels, with an effect of the judge's `own` family where given, and the interval t from
    the errors HC2 (MacKinnon & White 1985), which need no equal variances. BadData for a length of 0 or below.
    """
    columns = [_log2(lengths), *([] if own is None else [np.asarray(own, dtype=float)])]
    return _slope("length_preference", _scores(scores, low, high), columns, same)


def self_preference(
    scores: ArrayLike, own: ArrayLike, same: Sequence[Hashable], low: float, high: float,
    lengths: ArrayLike | None = None,
) -> Probe:  # fmt: skip
    """How much more a judge gives texts of its own family than others of the same quality, as a share of the range.

    `own` (n,) true where a model of the judge's family wrote the text; `same` (n,) and the interval as in
    `length_preference`, `lengths` (n,) to take the effect of length out. The difference is that of quality too where
    families differ in it: labels must be fine enough, or `scores` the judge's minus those of people or other judges.
    """
    columns = [np.asarray(own, dtype=float), *([] if lengths is None else [_log2(lengths)])]
    return _slope("self_preference", _scores(scores, low, high), columns, same)


def position_preference(comparisons: Sequence[Comparison]) -> PlaceProbe:
    """Share of verdicts for the text shown first minus one half, over pairs judged in both orders; ties are a half.

    -.5 is always second, .5 always first. The interval is Wilson's for as many trials as pairs, which is on the safe
    side: the mean of two orders varies no more than one verdict. Pairs judged in one order alone are left out.
    """
    orders: dict[Hashable, dict[bool, list[float]]] = defaultdict(lambda: defaultdict(list))
    worth = {"first": 1.0, "tie": 0.5, "second": 0.0}
    for one in comparisons:
        if one.outcome not in worth:
            raise UnknownName(f"text {one.text}: unknown outcome {one.outcome!r}; expected first, second or tie")
        pair = (one.text, min(one.first, one.second), max(one.first, one.second))
        orders[pair][one.first < one.second].append(worth[one.outcome])
    both = np.array([[np.mean(held[o]) for o in (True, False)] for held in orders.values() if len(held) == 2])
    first = share(both.mean(axis=1)) if len(both) else Share(value=None)
    flips = share(((both - 0.5).prod(axis=1) > 0).astype(float)) if len(both) else Share(value=None)
    if len(both) < FEWEST:
        reason = f"{len(both)} pairs judged in both orders; expected at least {FEWEST}"
        return PlaceProbe(name="position_preference", value=None, n=len(both), first=first, flips=flips, reason=reason)
    assert first.value is not None and first.ci is not None
    found = _probe("position_preference", first.value - 0.5, (first.ci[0] - 0.5, first.ci[1] - 0.5), len(both))
    return PlaceProbe(**found.model_dump(), first=first, flips=flips)


def _scores(scores: ArrayLike, low: float, high: float) -> Array:
    """Scores (n,) as shares of the range."""
    x = np.asarray(scores, dtype=float)
    if x.ndim != 1:
        raise BadData(f"scores of shape {x.shape}; expected one a text, NaN where there is none")
    if not low < high:
        raise UnknownName(f"a scale from {low} to {high}; expected its low end below its high end, e.g. 0 and 5")
    return (x - low) / (high - low)


def _log2(lengths: ArrayLike) -> Array:
    x = np.asarray(lengths, dtype=float)
    if not (np.isfinite(x) & (x > 0)).all():
        raise BadData(f"a length of {x[~(np.isfinite(x) & (x > 0))][0]:g}; expected numbers above 0")
    return np.asarray(np.log2(x))


def _few(n: int) -> str:
    return f"{n} texts with a score; expected at least {FEWEST}"


def _probe(name: str, value: float | None, ci: tuple[float, float] | None, n: int, null: bool = True) -> Probe:
    """`null`: whether a faultless judge has an index of 0, which the interval must exclude."""
    clear = not null or (ci is not None and not ci[0] <= 0 <= ci[1])
    past = judge(name, abs(value)) if clear and value is not None else None
    return Probe(name=name, value=value, ci=ci, n=n, level=past and past[0], limit=past and past[1])


class _Within(NamedTuple):
    """Columns of the texts that have another of their label, as deviations from the label's mean."""

    y: Array
    x: Array
    """(n, columns)."""
    leverage: Array
    """Of the labels' means: 1 over the texts of the label."""
    df: int
    """Texts minus labels."""


def _slope(name: str, scores: Array, columns: Sequence[Array], same: Sequence[Hashable]) -> Probe:
    """Slope of scores on the first column within labels, the others held."""
    if len(same) != len(scores) or any(column.shape != scores.shape for column in columns):
        sizes = ", ".join(str(len(column)) for column in (scores, *columns, same))
        raise BadData(f"scores, predictors and labels of {sizes} texts; expected as many of each")
    kept = np.isfinite(scores) & np.all([np.isfinite(column) for column in columns], axis=0)
    held = _within(
        scores[kept], np.column_stack(columns)[kept], [label for label, k in zip(same, kept, strict=True) if k]
    )
    n, q = held.x.shape
    if n < FEWEST or held.df <= q:
        return Probe(
            name=name, value=None, n=n, reason=f"{n} texts with another of the same quality; expected {FEWEST}"
        )
    mine, others = held.x[:, 0], held.x[:, 1:]
    own = mine - others @ np.linalg.lstsq(others, mine, rcond=None)[0]
    square = float(own @ own)
    if square <= _ROUNDING * max(float(np.square(np.column_stack(columns)[kept][:, 0]).sum()), _ROUNDING):
        return Probe(name=name, value=None, n=n, reason="no texts of the same quality differ in this alone")
    value = float(own @ held.y) / square
    residuals = held.y - held.x @ np.linalg.lstsq(held.x, held.y, rcond=None)[0]
    free = np.maximum(1 - held.leverage - (held.x * np.linalg.pinv(held.x).T).sum(axis=1), _ROUNDING)
    se = float(np.sqrt((own**2 * residuals**2 / free).sum())) / square
    half = float(scipy.special.stdtrit(held.df - q, 0.975)) * se
    # Equal scores are equal but for their last digits.
    value, half = (0.0 if abs(number) < _ROUNDING else number for number in (value, half))
    return _probe(name, value, (value - half, value + half), n)


def _within(y: Array, x: Array, same: Sequence[Hashable]) -> _Within:
    names = {label: place for place, label in enumerate(dict.fromkeys(same))}
    place = np.array([names[label] for label in same], dtype=np.intp)
    sizes = np.bincount(place, minlength=len(names))
    kept = sizes[place] > 1
    table, place = np.column_stack([y, x])[kept], place[kept]
    sums = np.zeros((len(names), table.shape[1]))
    np.add.at(sums, place, table)
    table = table - (sums / np.maximum(sizes, 1)[:, None])[place]
    return _Within(table[:, 0], table[:, 1:], 1 / sizes[place], len(table) - int((sizes > 1).sum()))
