"""Levels of conditions and effects of controls on units that have a trait and a facet: pairs, questions.

Every unit of a trait counts alike, in one stratum unless a setting has several, clustered by facet where all units of
the trait have one. What a task knows besides of a contrast, it adds in a record derived of `Contrast`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from traitbench.samples import Condition
from traitbench.statistics.comparison import holm
from traitbench.statistics.intervals import Estimate, Weights, item_means, leakage, p_value, stratified_mean
from traitbench.statistics.proportions import Share, share
from traitbench.statistics.sums import Term, total
from traitbench.tasks.board import Part
from traitbench.tasks.differences import Difference, Overall, differences
from traitbench.tasks.scoring import RANDOM, effect_size
from traitbench.tasks.variation import FLAT
from traitbench.types import Record, Trait

__all__ = [
    "Contrast", "Setting", "UnitLevel", "UnitShift", "aimed", "contrast", "counted", "levels", "mean_known",
    "overall", "part", "shift", "sign", "toward", "toward_ci", "troubles",
]  # fmt: skip

ALPHA = 0.05
"""Above it an adjusted p is no finding."""


class UnitLevel(Record):
    """Where a condition stands on one trait, in the unit of the values."""

    trait: Trait
    value: float | None
    se: float | None = None
    ci: tuple[float, float] | None = None
    n: int = 0
    """Units that entered."""
    unscored: int = 0
    """Units without a valid answer; they are missing, never imputed."""
    covers: list[str] = []
    """What was drawn at random in the interval: items (units), facets, templates, fits."""
    shift: float | None = None
    """Minus the baseline, unit by unit; null of the baseline itself."""
    shift_se: float | None = None
    shift_ci: tuple[float, float] | None = None


class UnitShift(Record):
    """How far the values moved in one contrast, on the units of one trait or on some of them."""

    trait: Trait
    value: float | None
    se: float | None = None
    ci: tuple[float, float] | None = None
    d: float | None = None
    """The value over the SD between units."""
    n: int = 0
    covers: list[str] = []
    p: float | None = None
    """Two-sided, of no shift."""
    p_holm: float | None = None
    """Adjusted (Holm 1979) over the contrasts of the run."""


class Contrast(Record):
    """Two conditions on the same units, all traits."""

    target: str
    """The trait aimed at; the condition's name where it is not one trait's two poles, with the trait behind it where
    the condition aims at several."""
    high: str
    low: str
    """The conditions that are compared: high minus low. `profiles`: twice the slope on the level, over all of them."""
    aimed: dict[Trait, float]
    """Trait -> sign of the expected shift."""
    shifts: list[UnitShift]
    effect: UnitShift | None = None
    """The shift of the one trait aimed at."""
    moved: Share | None = None
    """Share of the trait's units that moved as aimed."""
    items: dict[str, list[float | None]] = {}
    """Unit of the trait aimed at -> its shift in the direction aimed at, one a template and fit."""
    leakage: float | None = None
    leakage_ci: tuple[float, float] | None = None
    check: Literal["ok", "caution", "not interpretable"] | None = None
    reasons: list[str] = []
    """Why the check is not ok."""


class Placed(Protocol):
    """A unit: something that is asked about one trait."""

    @property
    def id(self) -> str:
        """Unlike every other."""

    @property
    def trait(self) -> Trait:
        """What it is about."""

    @property
    def facet(self) -> str | None:
        """What it hangs together with; None where that is not known."""


class Setting:
    """What all numbers over the same units share."""

    def __init__(
        self, units: Sequence[Placed], iterations: int, seed: int, strata: NDArray[np.int_] | None = None
    ) -> None:
        """Take the units that were asked; `strata` (units,) count alike where they are given."""
        self.units, self.iterations, self.seed = units, iterations, seed
        self.weights: Weights = "items" if strata is None else "halves"
        self.strata: NDArray[np.int_] = np.ones(len(units), dtype=int) if strata is None else strata

    @cached_property
    def traits(self) -> dict[Trait, NDArray[np.int_]]:
        """Trait -> the places of its units."""
        found = dict.fromkeys(unit.trait for unit in self.units)
        return {trait: np.array([i for i, u in enumerate(self.units) if u.trait == trait]) for trait in found}

    def facets(self, index: NDArray[np.int_]) -> list[str] | None:
        """Facet of each unit at `index`; None where one has none."""
        found = [facet for i in index if (facet := self.units[i].facet) is not None]
        return found if len(found) == len(index) else None

    def estimated(self, values: NDArray[np.float64], index: NDArray[np.int_]) -> Estimate:
        """Mean of `values`, those of the units at `index` (units,) or (units, templates, fits), with its interval."""
        over = RANDOM[: values.ndim - 1]
        return stratified_mean(values, self.strata[index], self.weights, clusters=self.facets(index), over=over)


def levels(values: Mapping[str, NDArray[np.float64]], baseline: str, setting: Setting) -> dict[str, list[UnitLevel]]:
    """Condition -> a level a trait; `values`: condition -> (units, templates, fits), NaN where unscored."""
    return {
        name: [_level(trait, mine, None if name == baseline else values[baseline], i, setting)
               for trait, i in setting.traits.items()]
        for name, mine in values.items()
    }  # fmt: skip


def _level(
    trait: Trait, mine: NDArray[np.float64], base: NDArray[np.float64] | None, i: NDArray[np.int_], setting: Setting
) -> UnitLevel:
    found = setting.estimated(mine[i], i)
    moved = setting.estimated(mine[i] - base[i], i) if base is not None else None
    return UnitLevel(
        trait=trait, value=found.value, se=found.se, ci=found.ci, n=found.n, covers=list(found.covers),
        unscored=int(np.isnan(item_means(mine[i])).sum()),
        shift=moved.value if moved else None, shift_se=moved.se if moved else None,
        shift_ci=moved.ci if moved else None,
    )  # fmt: skip


def overall(
    values: Mapping[str, NDArray[np.float64]], conditions: Sequence[Condition], setting: Setting,
    without: Sequence[Trait] = (),
) -> Overall | None:  # fmt: skip
    """Mean effect over the contrasts that aim at one trait; wordings and fits are the same for all of them.

    Traits in `without` do not enter.
    """
    terms = []
    for found in differences(values, conditions):
        trait, toward = next(iter(found.aimed.items()), ("", 0.0))
        if trait in setting.traits and trait not in without:
            i = setting.traits[trait]
            terms.append(Term(toward, found.moved[i], setting.strata[i], setting.facets(i), setting.weights))
    if not terms:
        return None
    mean = total([t._replace(share=t.share / len(terms)) for t in terms], RANDOM[: terms[0].values.ndim - 1])
    return None if mean.value is None else Overall(value=mean.value, se=mean.se, ci=mean.ci, covers=list(mean.covers))


def contrast(difference: Difference, setting: Setting) -> Contrast:
    """The shift of every trait in one contrast, what leaked into the others, and of one trait aimed at the effect."""
    target, high, low, aims, moved, beside = difference
    others = [i for trait, i in setting.traits.items() if trait not in (*aims, *beside)]
    leak = leakage(
        [moved[i] for i in others], [setting.strata[i] for i in others], setting.weights, setting.iterations,
        setting.seed, [setting.facets(i) for i in others], RANDOM[: moved.ndim - 1],
    )  # fmt: skip
    made = Contrast(
        target=target, high=high, low=low, aimed=aims,
        shifts=[shift(trait, moved[i], i, setting) for trait, i in setting.traits.items()],
        leakage=leak.value if leak else None, leakage_ci=leak.ci if leak else None,
    )  # fmt: skip
    if (trait := next(iter(aims), "")) not in setting.traits:
        return made
    i, toward = setting.traits[trait], aims[trait]
    means = toward * item_means(moved[i])
    return made.model_copy(update={
        "effect": next(s for s in made.shifts if s.trait == trait),
        "moved": share(np.where(np.isnan(means), np.nan, means > FLAT)),
        "items": {setting.units[k].id: _cells(toward * moved[k]) for k in i},
    })  # fmt: skip


def shift(trait: str, values: NDArray[np.float64], index: NDArray[np.int_], setting: Setting) -> UnitShift:
    """How far the units at `index` moved; `values` are theirs."""
    found = setting.estimated(values, index)
    return UnitShift(
        trait=trait, value=found.value, se=found.se, ci=found.ci, d=effect_size(found), n=found.n,
        covers=list(found.covers), p=p_value(found),
    )  # fmt: skip


Kind = TypeVar("Kind", bound=Contrast)


def counted(made: Sequence[Kind], doubts: Callable[[Kind], list[str]]) -> list[Kind]:
    """The contrasts with their p adjusted for all of them (Holm), each that has an effect checked by `doubts`."""
    adjusted = holm([each.effect.p if each.effect else None for each in made])
    out = []
    for each, p in zip(made, adjusted, strict=True):
        if each.effect is None or each.effect.value is None:
            out.append(each)
            continue
        told = each.model_copy(update={"effect": each.effect.model_copy(update={"p_holm": p})})
        reasons = doubts(told)
        out.append(told.model_copy(update={"check": "caution" if reasons else "ok", "reasons": reasons}))
    return out


def troubles(found: Contrast) -> list[str]:
    """Why an effect may be none, or is the wrong one: its interval, its adjusted p, its direction."""
    effect = found.effect
    assert effect is not None and effect.value is not None
    reasons = []
    if effect.ci is None:
        reasons.append("no interval")
    elif effect.ci[0] <= 0 <= effect.ci[1]:
        reasons.append("interval reaches zero")
    elif effect.p_holm is not None and effect.p_holm >= ALPHA:
        reasons.append("p (Holm) of the effect is .05 or more")
    return [*reasons, "moves against the target"] if effect.value * sign(found) < 0 else reasons


def aimed(contrasts: Sequence[Kind]) -> list[Kind]:
    """The contrasts that aim at one trait and have an effect on it."""
    return [c for c in contrasts if c.effect is not None and c.effect.value is not None]


def sign(found: Contrast) -> float:
    """The direction of a contrast that aims at one trait: 1 up, -1 down."""
    return next(iter(found.aimed.values()))


def toward(found: Contrast, moved: UnitShift | None) -> float | None:
    """A shift in the direction that the contrast aims at."""
    return sign(found) * moved.value if moved and moved.value is not None else None


def toward_ci(found: Contrast, moved: UnitShift | None) -> tuple[float, float] | None:
    """The interval of a shift in the direction that the contrast aims at."""
    if moved is None or moved.ci is None:
        return None
    low, high = sorted(sign(found) * end for end in moved.ci)
    return low, high


def mean_known(values: Sequence[float | None]) -> float | None:
    """The mean; null where one is unknown, or there is none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def part(
    found: Contrast, templates: int, facets: Mapping[str, str], strata: Mapping[str, int], weights: Weights
) -> Part:
    """One target: its units' shifts in the direction aimed at, by which two runs are compared.

    `facets` and `strata` may hold more units; a unit without an entry in `strata` is in stratum 1, and facets are
    clusters where every unit has one.
    """
    values = {item: cells for item, cells in found.items.items() if any(cell is not None for cell in cells)}
    cells = len(next(iter(values.values()), []))
    clusters = {item: facets[item] for item in values if item in facets}
    return Part(
        name=found.target,
        values=values,
        over=list(RANDOM),
        shape=[templates, cells // templates],
        strata={item: strata.get(item, 1) for item in values},
        clusters=clusters if len(clusters) == len(values) else {},
        weights=weights,
    )


def _cells(moved: NDArray[np.float64]) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in np.atleast_1d(moved).ravel()]
