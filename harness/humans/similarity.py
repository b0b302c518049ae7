"""How much a model's trait correlations look like people's. Descriptive: never ranked, never rounded.

Two kinds of scores go in. `profiles`: one row for each of >= 100 target vectors whose levels were drawn independently,
so that every correlation is of the model's own making. `paper`: one row for each high and low condition (ten for the
Big Five), as the published comparisons do it, where most of a correlation comes from the choice of conditions.

A distance means little alone, so two baselines stand beside each: the identity matrix (a control that moves one trait
and nothing else) and samples of the same size drawn from the human matrix itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traitbench.errors import BadData
from traitbench.humans import Reference
from traitbench.statistics.matrices import (
    agreement,
    bootstrap_cells,
    correlations,
    leave_one_out_cells,
    mantel,
    sampled_cells,
)
from traitbench.types import Record, Trait

__all__ = ["Baseline", "Measure", "Similarity", "from_scores", "similarity"]

Mode = Literal["profiles", "paper"]
Array = NDArray[np.float64]
Matrix = tuple[tuple[float | None, ...], ...]

FEWEST_PROFILES = 100
MOST_TRAITS = 8
"""More than eight traits have more than 40,320 relabellings."""


class Measure(Record):
    """One statistic; `value` is None, with the reason, where it is undefined."""

    value: float | None
    reason: str = ""
    interval: tuple[float, float] | None = None
    """profiles: 95 % bootstrap over target vectors. paper: lowest and highest with one condition left out.
    Sampled baseline: 2.5 and 97.5 percentiles of the draws."""


class Baseline(Record):
    """The statistics of a matrix, or of many, that stand beside the model's."""

    distance: Measure
    mean_abs_difference: Measure
    sign_agreement: Measure
    spearman: Measure


class Similarity(Record):
    """A model's trait correlations beside those of a human sample."""

    reference: str
    """Name of the human sample."""
    mode: Mode | None
    """None where the matrix was given, not computed from scores."""
    traits: tuple[Trait, ...]
    n: int | None
    """Target vectors or conditions that entered the matrix."""
    dropped: int = 0
    """Rows left out because a trait was unscored in them."""
    matrix: Matrix
    """The model's correlations in the order of `traits`; a cell without variance is None, never filled."""
    human: Matrix
    """The same cells in people."""
    cells: int
    """Pairs of traits that are defined in both."""
    distance: Measure
    """Frobenius norm of the difference off the diagonal, each pair counted twice; None unless every cell is defined."""
    distance_corrected: float | None = None
    """profiles: the distance less what sampling of the target vectors adds to it on average; its interval's centre."""
    mean_abs_difference: Measure
    """Mean |difference of correlations| over the defined cells."""
    sign_agreement: Measure
    """Share of the defined cells with the same sign; a correlation of exactly 0 agrees only with 0."""
    spearman: Measure
    """Rank correlation of the cells; None unless every cell is defined."""
    mantel_p: Measure
    """One-sided: share of all relabellings of the model's traits, its own included, as similar to people or more."""
    identity: Baseline
    """Uncorrelated traits."""
    sampled: Baseline | None
    """Normal samples of n people with the human correlations: mean and 95 % range; None where n is unknown or < 3."""
    notes: tuple[str, ...] = ()


def similarity(
    matrix: Sequence[Sequence[float | None]] | Array,
    traits: Sequence[Trait],
    reference: Reference,
    n: int | None = None,
    iterations: int = 1000,
    seed: int = 0,
) -> Similarity:
    """Compare a model's trait correlations with those of `reference`.

    `matrix` (t, t) in the order of `traits`, None or NaN where undefined; `n` is the number of rows it was computed
    from and sizes the sampling baseline of `iterations` draws. BadData for a matrix that is no correlation matrix, or
    a reference without correlations; UnknownName for a trait that the reference has not.
    """
    model, human = _checked(matrix, len(traits)), reference.matrix(traits)
    found = _compare(model, human, traits)
    none = _compare(np.eye(len(traits)), human, traits)
    return Similarity(
        reference=reference.name,
        mode=None,
        traits=tuple(traits),
        n=n,
        matrix=_as_rows(model),
        human=_as_rows(human),
        cells=int(_defined(model, human).sum()),
        distance=found.distance,
        mean_abs_difference=found.mean_abs_difference,
        sign_agreement=found.sign_agreement,
        spearman=found.spearman,
        mantel_p=_mantel(model, human, traits),
        identity=none,
        sampled=_sampled(human, n, iterations, seed),
    )


def from_scores(
    scores: ArrayLike,
    traits: Sequence[Trait],
    reference: Reference,
    mode: Mode,
    iterations: int = 1000,
    seed: int = 0,
) -> Similarity:
    """Correlate `scores` (n rows, t traits; NaN unscored) and compare with `reference`, with intervals.

    Rows with an unscored trait are dropped and counted; a trait that no row has a score of is undefined. How the
    intervals are made, and what they cover, stands at `_with_intervals`. Errors as `similarity`; BadData also for a
    table with another number of columns.
    """
    x = np.asarray(scores, dtype=float)
    if x.ndim != 2 or x.shape[1] != len(traits):
        raise BadData(f"scores have shape {x.shape}; expected (rows, {len(traits)}), a column a trait")
    scored = ~np.isnan(x).all(axis=0)
    rows = np.where(scored, x[~np.isnan(x[:, scored]).any(axis=1)], 0.0)
    model, human = correlations(rows), reference.matrix(traits)
    found = similarity(model, traits, reference, len(rows), iterations, seed)
    notes = []
    if mode == "profiles" and len(rows) < FEWEST_PROFILES:
        notes.append(f"{len(rows)} target vectors; profiles need at least {FEWEST_PROFILES}")
    update: dict[str, object] = {"mode": mode, "dropped": len(x) - len(rows)}
    kept = _defined(model, human)
    if kept.any() and (mode == "paper" or iterations > 1):
        drawn = bootstrap_cells(rows, iterations, seed) if mode == "profiles" else leave_one_out_cells(rows)
        whole = drawn[:, kept][~np.isnan(drawn[:, kept]).any(axis=1)]
        if len(whole) < max(2, (0.9 if mode == "profiles" else 1.0) * len(drawn)):
            what = "resamples" if mode == "profiles" else "conditions, left out,"
            notes.append(f"no interval: {len(drawn) - len(whole)} of {len(drawn)} {what} leave a trait no variance")
        else:
            update |= _with_intervals(found, whole, human[np.triu_indices(len(traits), 1)][kept], mode)
    return found.model_copy(update={**update, "notes": tuple(notes)})


def _with_intervals(found: Similarity, cells: Array, human: Array, mode: Mode) -> dict[str, object]:
    """Give the measures that have a value the interval that the draws `cells` (draws, k) hold.

    paper: lowest and highest value with one condition left out; that is no confidence interval.

    profiles: sampling noise always adds to a distance and resampling adds it again, so percentile intervals of it
    covered 0 to 94 % in simulations (n = 100 and 300; the truth being the human matrix, none, half of it, one factor).
    So the squared distance is corrected by the bootstrap's own estimate of that bias, with 1.96 bootstrap SDs on
    either side, and the root is floored at 0: 92 to 100 % in the same simulations. The mean |difference| is corrected
    likewise: 89 to 95 %, but 62 to 65 % where model and people agree exactly. Sign agreement and Spearman have
    percentile intervals: 83 to 99 % on random matrices, and too low where the truth is 1.
    """
    update: dict[str, object] = {}
    for name, values in agreement(cells, human)._asdict().items():
        measure: Measure = getattr(found, name)
        if measure.value is None or np.isnan(values).any():
            continue
        if mode == "paper":
            interval = (float(values.min()), float(values.max()))
        elif name == "distance":
            centre, half = _corrected(measure.value**2, values**2)
            update["distance_corrected"] = math.sqrt(max(centre, 0.0))
            interval = (math.sqrt(max(centre - half, 0.0)), math.sqrt(max(centre + half, 0.0)))
        elif name == "mean_abs_difference":
            centre, half = _corrected(measure.value, values)
            interval = (max(centre - half, 0.0), max(centre + half, 0.0))
        else:
            interval = _percentiles(values)
        update[name] = measure.model_copy(update={"interval": interval})
    return update


def _corrected(value: float, drawn: Array) -> tuple[float, float]:
    """The value less the bootstrap's estimate of its bias, and 1.96 bootstrap SDs."""
    return 2 * value - float(drawn.mean()), 1.96 * float(drawn.std(ddof=1))


def _percentiles(values: Array) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _compare(model: Array, human: Array, traits: Sequence[Trait]) -> Baseline:
    """The four statistics of the cells, None where undefined."""
    kept, reason, pairs = _defined(model, human), _reason(model, human, traits), np.triu_indices(len(traits), 1)
    if not kept.any():
        empty = Measure(value=None, reason=reason)
        return Baseline(distance=empty, mean_abs_difference=empty, sign_agreement=empty, spearman=empty)
    found = agreement(model[pairs][kept][None], human[pairs][kept])
    ranks = reason or _unrankable(found.spearman, kept.size)
    return Baseline(
        distance=Measure(value=None, reason=reason) if reason else Measure(value=float(found.distance[0])),
        mean_abs_difference=Measure(value=float(found.mean_abs_difference[0])),
        sign_agreement=Measure(value=float(found.sign_agreement[0])),
        spearman=Measure(value=None, reason=ranks) if ranks else Measure(value=float(found.spearman[0])),
    )


def _unrankable(values: Array, cells: int) -> str:
    if cells < 3:
        return "fewer than three cells cannot be ranked"
    return "all cells of a matrix are equal" if np.isnan(values).all() else ""


def _mantel(model: Array, human: Array, traits: Sequence[Trait]) -> Measure:
    reason = _reason(model, human, traits)
    if not reason and not 3 <= len(traits) <= MOST_TRAITS:
        reason = f"{len(traits)} traits; the exact test is for 3 to {MOST_TRAITS}"
    return Measure(value=None, reason=reason) if reason else Measure(value=mantel(model, human))


def _sampled(human: Array, n: int | None, iterations: int, seed: int) -> Baseline | None:
    """Mean and 95 % range of each statistic over samples of `n` from the human matrix itself."""
    t = len(human)
    if n is None or n < 3 or t < 2 or iterations < 2 or np.isnan(human).any():
        return None
    found = agreement(sampled_cells(human, n, iterations, seed), human[np.triu_indices(t, 1)])

    def measure(values: Array) -> Measure:
        return Measure(value=float(values.mean()), interval=_percentiles(values))

    ranks = _unrankable(found.spearman, t * (t - 1) // 2)
    return Baseline(
        distance=measure(found.distance),
        mean_abs_difference=measure(found.mean_abs_difference),
        sign_agreement=measure(found.sign_agreement),
        spearman=Measure(value=None, reason=ranks) if ranks else measure(found.spearman),
    )


def _checked(matrix: Sequence[Sequence[float | None]] | Array, t: int) -> Array:
    m = np.array([[np.nan if v is None else v for v in row] for row in matrix], dtype=float)
    if m.shape != (t, t):
        raise BadData(f"the correlation matrix has shape {m.shape}; expected ({t}, {t}), a row and a column a trait")
    if not np.allclose(m, m.T, rtol=0, atol=1e-8, equal_nan=True) or np.nanmax(np.abs(m), initial=0) > 1 + 1e-9:
        raise BadData(
            "the correlation matrix is not symmetric, or has a cell outside [-1, 1]; give Pearson correlations"
        )
    return m


def _defined(model: Array, human: Array) -> NDArray[np.bool_]:
    """Which cells (k,) both matrices have."""
    pairs = np.triu_indices(len(model), 1)
    return np.asarray(~np.isnan(model[pairs]) & ~np.isnan(human[pairs]))


def _reason(model: Array, human: Array, traits: Sequence[Trait]) -> str:
    """Why not every cell is defined; empty where every one is."""
    kept = _defined(model, human)
    if not kept.size:
        return "fewer than two traits"
    if kept.all():
        return ""
    parts = []
    others = ~np.eye(len(traits), dtype=bool)
    for who, matrix in (("the model", model), ("the human sample", human)):
        names = [trait for i, trait in enumerate(traits) if np.isnan(matrix[i][others[i]]).all()]
        if len(names) == len(traits):
            parts.append(f"{who} has variance in no trait, or fewer than 3 rows")
        elif names:
            parts.append(f"{who} has no scores or no variance in {', '.join(names)}")
    return f"{kept.size - int(kept.sum())} of {kept.size} cells are undefined" + (
        f": {'; '.join(parts)}" if parts else ""
    )


def _as_rows(matrix: Array) -> Matrix:
    return tuple(tuple(None if np.isnan(v) else float(v) for v in row) for row in matrix)
