"""From kept answers to the value of each pair, to levels, and to what a control did.

The unit of everything here is POMP for choice (the probability of the high reply in percent) and nats a token for
statement (the log-likelihood a token of the high reply minus that of the low one).

A pair is one unit of measurement, and what the two replies have in common (their likelihood as such, a liking for A
that both orders show alike) falls out inside it. So there are no key halves to be weighed against each other, as
statements of an inventory have: all pairs of a trait count alike, in one stratum, clustered by facet. Where choice was
asked in one order only, a liking for A falls out not inside a pair but between those that show the high reply as A and
those that show it as B: then the two are strata that count alike. Desirability is no stratum: the mix of matched and
unmatched pairs might as well have been another, so what it adds belongs to the error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from traitbench.samples import Condition, Sample
from traitbench.statistics.comparison import holm
from traitbench.statistics.intervals import Estimate, Weights, item_means, leakage, p_value, stratified_mean
from traitbench.statistics.proportions import Share, share
from traitbench.statistics.sums import Term, total
from traitbench.tasks.differences import Difference, Overall, differences
from traitbench.tasks.scoring import RANDOM, effect_size, item_grid
from traitbench.tasks.situations.pairs import Pair
from traitbench.tasks.variation import FLAT
from traitbench.types import Mode, Record, Trait

__all__ = [
    "PairContrast", "PairLevel", "PairShift", "Setting", "contrasts", "levels", "overall", "pair_grid",
]  # fmt: skip

ALPHA = 0.05
"""Above it an adjusted p is no finding."""


class PairLevel(Record):
    """Where a condition stands on one trait: choice 0 to 100, 50 without a preference; statement 0 without one."""

    trait: Trait
    value: float | None
    se: float | None = None
    ci: tuple[float, float] | None = None
    n: int = 0
    """Pairs that entered."""
    unscored: int = 0
    """Pairs without a valid answer; they are missing, never imputed."""
    covers: list[str] = []
    """What was drawn at random in the interval: items (pairs), facets, templates, fits."""
    shift: float | None = None
    """Minus the baseline, pair by pair; null of the baseline itself."""
    shift_se: float | None = None
    shift_ci: tuple[float, float] | None = None


class PairShift(Record):
    """How far the preference for high replies moved in one contrast, on the pairs of one trait or on some of them."""

    trait: Trait
    value: float | None
    se: float | None = None
    ci: tuple[float, float] | None = None
    d: float | None = None
    """The value over the SD between pairs."""
    n: int = 0
    covers: list[str] = []
    p: float | None = None
    """Two-sided, of no shift."""
    p_holm: float | None = None
    """Adjusted (Holm 1979) over the contrasts of the run."""


class PairContrast(Record):
    """Two conditions on the same pairs, all traits."""

    target: str
    """The trait aimed at, or the condition's name where it is not one trait's two poles."""
    high: str
    low: str
    """The conditions that are compared: high minus low. `profiles`: twice the slope on the level, over all of them."""
    aimed: dict[Trait, float]
    """Trait -> sign of the expected shift."""
    shifts: list[PairShift]
    effect: PairShift | None = None
    """The shift of the one trait aimed at."""
    matched: PairShift | None = None
    """The same on the pairs whose replies most people would find equally good."""
    unmatched: PairShift | None = None
    """The same on the others."""
    evaluative: PairShift | None = None
    """Shift towards the reply that is found better, on the unmatched pairs of the traits that are not aimed at."""
    moved: Share | None = None
    """Share of the trait's pairs that moved as aimed."""
    items: dict[str, list[float | None]] = {}
    """Pair of the trait aimed at -> its shift in the direction aimed at, one a template and fit."""
    leakage: float | None = None
    leakage_ci: tuple[float, float] | None = None
    check: Literal["ok", "caution"] | None = None
    """caution: the interval of the effect, or of that on matched pairs, reaches zero, or does so once the run's
    contrasts are counted (Holm); or the effect goes against the target."""
    reasons: list[str] = []


class Setting:
    """What all numbers of one scoring mode share."""

    def __init__(self, pairs: Sequence[Pair], mode: Mode, orders: int, iterations: int, seed: int) -> None:
        """Take the pairs that were asked; `orders` is in how many orders."""
        self.pairs, self.mode, self.iterations, self.seed = pairs, mode, iterations, seed
        halves = mode == "choice" and orders == 1
        self.weights: Weights = "halves" if halves else "items"
        self.strata = np.array([pair.keyed if halves else 1 for pair in pairs])

    @cached_property
    def traits(self) -> dict[Trait, NDArray[np.int_]]:
        """Trait -> the places of its pairs."""
        found = dict.fromkeys(pair.trait for pair in self.pairs)
        return {trait: np.array([i for i, p in enumerate(self.pairs) if p.trait == trait]) for trait in found}

    def facets(self, index: NDArray[np.int_]) -> list[str]:
        """Facet of each pair at `index`."""
        return [self.pairs[i].facet for i in index]

    def estimated(self, values: NDArray[np.float64], index: NDArray[np.int_]) -> Estimate:
        """Mean of `values`, those of the pairs at `index` (pairs,) or (pairs, templates, fits), with its interval."""
        over = RANDOM[: values.ndim - 1]
        return stratified_mean(values, self.strata[index], self.weights, clusters=self.facets(index), over=over)


def pair_grid(
    samples: Sequence[Sample], pairs: Sequence[Pair], templates: Sequence[int], mode: Mode
) -> NDArray[np.float64]:
    """Value of each pair under each template and fit of one condition, (pairs, templates, fits); NaN where unscored.

    Choice: the mean over orders and symbols. A condition that was not fitted, or once only, has one fit.
    """
    if mode == "statement":
        high, low = (item_grid([s for s in samples if s.keyed == pole], pairs, templates) for pole in (1, -1))
        return high - low
    raw = item_grid(samples, pairs, templates)
    keys = np.array([pair.keyed for pair in pairs]).reshape(-1, 1, 1)
    return 100 * np.where(keys == 1, raw, 1 - raw)


def levels(values: Mapping[str, NDArray[np.float64]], baseline: str, setting: Setting) -> dict[str, list[PairLevel]]:
    """Condition -> a level a trait; `values`: condition -> what `pair_grid` gives."""
    return {
        name: [_level(trait, mine, None if name == baseline else values[baseline], i, setting)
               for trait, i in setting.traits.items()]
        for name, mine in values.items()
    }  # fmt: skip


def _level(
    trait: Trait, mine: NDArray[np.float64], base: NDArray[np.float64] | None, i: NDArray[np.int_], setting: Setting
) -> PairLevel:
    found = setting.estimated(mine[i], i)
    moved = setting.estimated(mine[i] - base[i], i) if base is not None else None
    return PairLevel(
        trait=trait, value=found.value, se=found.se, ci=found.ci, n=found.n, covers=list(found.covers),
        unscored=int(np.isnan(item_means(mine[i])).sum()),
        shift=moved.value if moved else None, shift_se=moved.se if moved else None,
        shift_ci=moved.ci if moved else None,
    )  # fmt: skip


def contrasts(
    values: Mapping[str, NDArray[np.float64]], conditions: Sequence[Condition], setting: Setting
) -> list[PairContrast]:
    """Every contrast that the conditions allow, each that aims at one trait judged, all of them counted (Holm)."""
    made = [_contrast(found, setting) for found in differences(values, conditions)]
    adjusted = holm([each.effect.p if each.effect else None for each in made])
    out = []
    for each, p in zip(made, adjusted, strict=True):
        if each.effect is None or each.effect.value is None:
            out.append(each)
            continue
        judged = each.model_copy(update={"effect": each.effect.model_copy(update={"p_holm": p})})
        reasons = _doubts(judged)
        out.append(judged.model_copy(update={"check": "caution" if reasons else "ok", "reasons": reasons}))
    return out


def overall(
    values: Mapping[str, NDArray[np.float64]], conditions: Sequence[Condition], setting: Setting
) -> Overall | None:
    """Mean effect over the contrasts that aim at one trait; wordings and fits are the same for all of them."""
    terms = []
    for *_, aimed, moved in differences(values, conditions):
        if len(aimed) == 1 and (trait := next(iter(aimed))) in setting.traits:
            i = setting.traits[trait]
            terms.append(Term(aimed[trait], moved[i], setting.strata[i], setting.facets(i), setting.weights))
    if not terms:
        return None
    mean = total([t._replace(share=t.share / len(terms)) for t in terms], RANDOM[: terms[0].values.ndim - 1])
    return None if mean.value is None else Overall(value=mean.value, se=mean.se, ci=mean.ci, covers=list(mean.covers))


def _contrast(difference: Difference, setting: Setting) -> PairContrast:
    target, high, low, aimed, moved = difference
    others = [(trait, i) for trait, i in setting.traits.items() if trait not in aimed]
    leak = leakage(
        [moved[i] for _, i in others], [setting.strata[i] for _, i in others], setting.weights, setting.iterations,
        setting.seed, [setting.facets(i) for _, i in others], RANDOM[: moved.ndim - 1],
    )  # fmt: skip
    made = PairContrast(
        target=target, high=high, low=low, aimed=aimed,
        shifts=[_shift(trait, moved, i, setting) for trait, i in setting.traits.items()],
        evaluative=_evaluative(moved, [i for _, i in others], setting),
        leakage=leak.value if leak else None, leakage_ci=leak.ci if leak else None,
    )  # fmt: skip
    if len(aimed) != 1 or (trait := next(iter(aimed))) not in setting.traits:
        return made
    i, sign = setting.traits[trait], aimed[trait]
    alike = np.array([setting.pairs[k].desirability == "matched" for k in i])
    means = sign * item_means(moved[i])
    return made.model_copy(update={
        "effect": next(s for s in made.shifts if s.trait == trait),
        "matched": _shift(trait, moved, i[alike], setting),
        "unmatched": _shift(trait, moved, i[~alike], setting),
        "moved": share(np.where(np.isnan(means), np.nan, means > FLAT)),
        "items": {setting.pairs[k].id: _cells(sign * moved[k]) for k in i},
    })  # fmt: skip


def _shift(trait: Trait, moved: NDArray[np.float64], index: NDArray[np.int_], setting: Setting) -> PairShift:
    found = setting.estimated(moved[index], index)
    return PairShift(
        trait=trait, value=found.value, se=found.se, ci=found.ci, d=effect_size(found), n=found.n,
        covers=list(found.covers), p=p_value(found),
    )  # fmt: skip


def _evaluative(moved: NDArray[np.float64], others: list[NDArray[np.int_]], setting: Setting) -> PairShift | None:
    """The shift towards the better reply where no trait is aimed at; null without such pairs."""
    signs = {"high": 1.0, "low": -1.0}
    places = [k for i in others for k in i if setting.pairs[k].desirability in signs]
    if not places:
        return None
    index = np.array(places)
    toward = np.array([signs[setting.pairs[k].desirability] for k in places]).reshape(-1, *[1] * (moved.ndim - 1))
    found = setting.estimated(toward * moved[index], index)
    return PairShift(
        trait="desirability", value=found.value, se=found.se, ci=found.ci, d=effect_size(found), n=found.n,
        covers=list(found.covers), p=p_value(found),
    )  # fmt: skip


def _cells(moved: NDArray[np.float64]) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in np.atleast_1d(moved).ravel()]


def _doubts(contrast: PairContrast) -> list[str]:
    """Why a contrast that aims at one trait may not have done what it should."""
    effect, matched, sign = contrast.effect, contrast.matched, next(iter(contrast.aimed.values()))
    assert effect is not None and effect.value is not None
    reasons = []
    if effect.ci is None:
        reasons.append("no interval")
    elif effect.ci[0] <= 0 <= effect.ci[1]:
        reasons.append("interval reaches zero")
    elif effect.p_holm is not None and effect.p_holm >= ALPHA:
        reasons.append("p (Holm) of the effect is .05 or more")
    if effect.value * sign < 0:
        return [*reasons, "moves against the target"]
    if reasons:
        return reasons
    if matched is None or matched.value is None or matched.ci is None:
        reasons.append("no interval on pairs of matched desirability: the effect may be desirability")
    elif matched.ci[0] <= 0 <= matched.ci[1] or matched.value * sign < 0:
        reasons.append("the interval on pairs of matched desirability reaches zero: the effect may be desirability")
    return reasons
