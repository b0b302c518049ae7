"""Signs that a person answered without reading: long runs of one answer, halves that disagree, unlike everybody else.

None of them proves anything of one person; they say whom to look at (Meade & Craig 2012; Curran 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import stats

from traitbench.answers.personscores import groups
from traitbench.statistics.factors import NOT_INVERTIBLE, inverse
from traitbench.statistics.moments import Pairs, Sample, to_correlation
from traitbench.types import Record

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item

__all__ = ["INDICES", "Carelessness", "Index", "Screening", "even_odd", "longstring", "person_total"]

Array = NDArray[np.float64]

INDICES = ("longstring", "even_odd", "mahalanobis", "mahalanobis_p", "person_total")
"""Columns of the scores file."""

EVEN_ODD = 0.3
RARE = 0.001
UNITS = 3
"""Scales, or facets, that a correlation across them needs."""

TELLING = 2
"""How many standard errors above 0 an attentive person's correlation with the item means must be expected."""


class Index(Record):
    """One sign over the persons it could be computed for."""

    n: int
    mean: float | None = None
    sd: float | None = None
    rule: str
    """When a person is flagged, and who proposed that."""
    flagged: int


class Carelessness(Record):
    """Signs of careless answers, by name."""

    indices: dict[str, Index]
    reasons: dict[str, str] = Field(default_factory=dict)
    """Index -> why nobody has it."""


def longstring(raw: NDArray[np.floating]) -> NDArray[np.int64]:
    """Longest run of one and the same answer, (rows,), in raw answers (rows, items) in the order they were asked.

    A missing answer ends a run (Johnson 2005).
    """
    longest = np.zeros(len(raw), dtype=np.int64)
    run = np.zeros(len(raw), dtype=np.int64)
    before: NDArray[np.floating] = np.full(len(raw), np.nan)
    for answers in raw.T:
        run = np.where(answers == before, run + 1, ~np.isnan(answers))
        longest = np.maximum(longest, run)
        before = answers
    return longest


def even_odd(values: NDArray[np.floating], units: Sequence[Sequence[int]]) -> Array:
    """Even-odd consistency, (rows,), of keyed answers (rows, items); `units` are the places of each scale's items.

    A scale's first, third, ... items against its second, fourth, ...: the two means correlate over the scales, and
    Spearman-Brown steps the r up to full length (Jackson 1976; Meade & Craig 2012), never below -1. NaN with fewer
    than three scales that have both halves, and where one half does not vary.
    """
    first, second = (_means(values, [places[start::2] for places in units]) for start in (0, 1))
    r = _correlations(first, second, UNITS)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.maximum(2 * r / (1 + r), -1))


def person_total(raw: NDArray[np.floating], means: Array) -> Array:
    """Correlation of each person's raw answers (rows, items) with the item means (items,): (rows,).

    The personal biserial of Donlon & Fischer (1968): below 0, a person agrees with what others reject. NaN for fewer
    than three answers and for a person who always gives the same.
    """
    return _correlations(raw.astype(np.float64), np.broadcast_to(means, raw.shape), 3)


class Screening:
    """Computes the signs batch by batch, once the table's moments are known, and sums them up."""

    def __init__(
        self,
        inventory: Inventory,
        items: Sequence[Item],
        columns: Sequence[int],
        keyed: bool,
        sample: Sample,
        pairs: Pairs,
    ) -> None:
        """`columns` are the items' places in the table; `sample` and `pairs` are of answers keyed as declared."""
        self.order = np.argsort(columns)
        self.ends = inventory.response_scale.min + inventory.response_scale.max
        self.minus = np.array([item.keyed == -1 for item in items])
        means = np.diag(pairs.mean)
        self.means = np.where(self.minus, self.ends - means, means)
        self.units = _units(inventory, items)
        self.distance = _Distance.of(sample)
        self.reasons: dict[str, str] = {}
        if len(self.units) < UNITS:
            self.reasons["even_odd"] = f"fewer than {UNITS} scales have two items"
        if isinstance(self.distance, str):
            self.reasons["mahalanobis"] = self.distance
        if (apart := _apart(sample, self.means)) < TELLING:
            self.reasons["person_total"] = (
                f"the items' means differ too little to tell: by {apart:.1f} standard errors of an r of 0, expected "
                f"{TELLING}"
            )
        self.found: dict[str, list[float]] = {name: [0, 0, 0, 0] for name in INDICES}

    def __call__(self, values: NDArray[np.floating]) -> dict[str, Array]:
        """Compute every sign for a batch of answers keyed as declared, (rows, items): name -> (rows,), NaN for none."""
        raw = np.where(self.minus, self.ends - values, values)
        nobody = np.full(len(values), np.nan)
        squares = nobody if isinstance(self.distance, str) else self.distance(values)
        df = 1 if isinstance(self.distance, str) else len(self.distance.places)
        found = {
            "longstring": longstring(raw[:, self.order]).astype(float),
            "even_odd": nobody if "even_odd" in self.reasons else even_odd(values, self.units),
            "mahalanobis": squares,
            "mahalanobis_p": np.asarray(stats.chi2.sf(squares, df)),
            "person_total": nobody if "person_total" in self.reasons else person_total(raw, self.means),
        }
        flags = {
            "longstring": found["longstring"] >= max(len(self.order) / 2, 2),
            "even_odd": found["even_odd"] < EVEN_ODD,
            "mahalanobis": found["mahalanobis_p"] < RARE,
            "person_total": found["person_total"] < 0,
        }
        for name, flagged in flags.items():
            held = found[name][~np.isnan(found[name])]
            for place, value in enumerate((len(held), held.sum(), (held**2).sum(), flagged.sum())):
                self.found[name][place] += float(value)
        return found

    def summary(self) -> Carelessness:
        """Sum up what the batches held."""
        rules = {
            "longstring": f"a run of {-(-len(self.order) // 2)} answers, half of the items (Curran 2016)",
            "even_odd": f"below {EVEN_ODD} over {len(self.units)} pairs of halves (Jackson 1977)",
            "mahalanobis": f"p below {RARE} in chi2 (Meade & Craig 2012)",
            "person_total": "below 0 (Curran 2016)",
        }
        indices = {}
        for name, rule in rules.items():
            n, total, squares, flagged = self.found[name]
            mean = total / n if n else None
            sd = max((squares - total**2 / n) / (n - 1), 0.0) ** 0.5 if n > 1 else None
            indices[name] = Index(n=int(n), mean=mean, sd=sd, rule=rule, flagged=int(flagged))
        return Carelessness(indices=indices, reasons=self.reasons)


class _Distance(NamedTuple):
    """Squared Mahalanobis distance from the mean of the complete rows."""

    places: NDArray[np.int_]
    """Items that vary."""
    mean: Array
    sd: Array
    inverse: Array

    @classmethod
    def of(cls, sample: Sample) -> _Distance | str:
        """Prepare it, or say why there is none."""
        places = np.flatnonzero(np.diag(sample.covariance) > 0)
        if len(places) < 2:
            return "fewer than two items vary over the complete rows"
        block = sample.covariance[np.ix_(places, places)]
        inverted = inverse(to_correlation(block))
        if inverted is None:
            return NOT_INVERTIBLE
        return cls(places, sample.mean[places], np.sqrt(np.diag(block)), inverted)

    def __call__(self, values: NDArray[np.floating]) -> Array:
        """(rows,), NaN for a row with a gap."""
        z = (values[:, self.places].astype(np.float64) - self.mean) / self.sd
        return np.asarray(((z @ self.inverse) * z).sum(axis=1))


def _apart(sample: Sample, means: Array) -> float:
    """What an attentive person correlates with the item means, as means and variances have it, in SEs of an r of 0."""
    within = float(np.mean(np.diag(sample.covariance))) if len(means) else 0.0
    between = float(np.nanvar(means)) if len(means) else 0.0
    return float((len(means) * between / within) ** 0.5) if within > 0 else 0.0


def _units(inventory: Inventory, items: Sequence[Item]) -> list[list[int]]:
    """Places of the items of each facet that has two, of each scale where there are fewer than three such facets."""
    scales, facets = groups(inventory, items)
    halves = [[places for places in found.values() if len(places) > 1] for found in (facets, scales)]
    return halves[0] if len(halves[0]) >= UNITS else halves[1]


def _means(values: NDArray[np.floating], groups: Sequence[Sequence[int]]) -> Array:
    """Mean of the answered items of each group, (rows, groups), NaN where none is."""
    member = np.zeros((values.shape[1], len(groups)))
    for column, places in enumerate(groups):
        member[places, column] = 1
    held = ~np.isnan(values)
    counts = held @ member
    sums = np.where(held, values, 0).astype(np.float64) @ member
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _correlations(a: Array, b: Array, least: int) -> Array:
    """Correlation of each row of `a` with that of `b`, (rows,), over the cells that both have."""
    held = ~(np.isnan(a) | np.isnan(b))
    n = held.sum(axis=1)
    x, y = (_centred(values, held, n) for values in (a, b))
    xx, yy, xy = (x * x).sum(axis=1), (y * y).sum(axis=1), (x * y).sum(axis=1)
    defined = (n >= least) & (xx > 1e-12) & (yy > 1e-12)
    return np.where(defined, np.clip(xy / np.sqrt(np.where(defined, xx * yy, 1)), -1, 1), np.nan)


def _centred(values: Array, held: NDArray[np.bool_], n: NDArray[np.int_]) -> Array:
    zeros = np.where(held, values, 0)
    return np.asarray(np.where(held, zeros - (zeros.sum(axis=1) / np.maximum(n, 1))[:, None], 0))
