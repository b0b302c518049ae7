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

import numpy as np
from numpy.typing import NDArray

from traitbench.samples import Condition, Sample
from traitbench.tasks.differences import Difference, differences
from traitbench.tasks.effects import Setting, UnitShift, contrast, counted, shift, sign, troubles
from traitbench.tasks.scoring import item_grid
from traitbench.tasks.situations.pairs import Pair
from traitbench.tasks.weighed import Pole, WeighedContrast, with_texts
from traitbench.types import Mode

__all__ = ["PairContrast", "PairSetting", "contrasts", "pair_grid", "pole_grids"]


class PairContrast(WeighedContrast):
    """Two conditions on the same pairs, with what tells a trait from a wish to look good.

    The check is `caution` where the interval of the effect, or of that on matched pairs, reaches zero, or does so once
    the run's contrasts are counted (Holm), or where the effect goes against the target.
    """

    matched: UnitShift | None = None
    """The effect on the pairs whose replies most people would find equally good."""
    unmatched: UnitShift | None = None
    """The same on the others."""
    evaluative: UnitShift | None = None
    """Shift towards the reply that is found better, on the unmatched pairs of the traits that are not aimed at."""


class PairSetting(Setting):
    """What all numbers of one scoring mode share."""

    def __init__(self, pairs: Sequence[Pair], mode: Mode, orders: int, iterations: int, seed: int) -> None:
        """Take the pairs that were asked; `orders` is in how many orders."""
        halves = mode == "choice" and orders == 1
        super().__init__(pairs, iterations, seed, np.array([pair.keyed for pair in pairs]) if halves else None)
        self.pairs = pairs


def pair_grid(
    samples: Sequence[Sample], pairs: Sequence[Pair], templates: Sequence[int], mode: Mode
) -> NDArray[np.float64]:
    """Value of each pair under each template and fit of one condition, (pairs, templates, fits); NaN where unscored.

    Choice: the mean over orders and symbols. A condition that was not fitted, or once only, has one fit.
    """
    if mode == "statement":
        weighed = pole_grids(samples, pairs, templates)
        return weighed["high"] - weighed["low"]
    raw = item_grid(samples, pairs, templates)
    keys = np.array([pair.keyed for pair in pairs]).reshape(-1, 1, 1)
    return 100 * np.where(keys == 1, raw, 1 - raw)


def pole_grids(
    samples: Sequence[Sample], pairs: Sequence[Pair], templates: Sequence[int]
) -> dict[Pole, NDArray[np.float64]]:
    """Log-likelihood a token of the replies of each pole in one condition, as `pair_grid`."""
    keyed: dict[Pole, int] = {"high": 1, "low": -1}
    return {pole: item_grid([s for s in samples if s.keyed == key], pairs, templates) for pole, key in keyed.items()}


def contrasts(
    values: Mapping[str, NDArray[np.float64]], conditions: Sequence[Condition], setting: PairSetting,
    weighed: Mapping[str, Mapping[Pole, NDArray[np.float64]]] | None = None,
) -> list[PairContrast]:  # fmt: skip
    """Every contrast that the conditions allow, each that aims at one trait judged, all of them counted (Holm).

    `weighed`: condition -> what `pole_grids` gives, of statement scoring.
    """
    made = [_contrast(found, setting) for found in differences(values, conditions)]
    return counted(with_texts(made, weighed, conditions, setting), _doubts)


def _contrast(difference: Difference, setting: PairSetting) -> PairContrast:
    found, moved = contrast(difference, setting), difference.moved
    others = [i for trait, i in setting.traits.items() if trait not in (*found.aimed, *difference.beside)]
    made = PairContrast(**dict(found), evaluative=_evaluative(moved, others, setting))
    if found.effect is None:
        return made
    i = setting.traits[found.effect.trait]
    alike = np.array([setting.pairs[k].desirability == "matched" for k in i])
    return made.model_copy(update={
        "matched": shift(found.effect.trait, moved[i[alike]], i[alike], setting),
        "unmatched": shift(found.effect.trait, moved[i[~alike]], i[~alike], setting),
    })  # fmt: skip


def _evaluative(moved: NDArray[np.float64], others: list[NDArray[np.int_]], setting: PairSetting) -> UnitShift | None:
    """The shift towards the better reply where no trait is aimed at; null without such pairs."""
    signs = {"high": 1.0, "low": -1.0}
    places = [k for i in others for k in i if setting.pairs[k].desirability in signs]
    if not places:
        return None
    index = np.array(places)
    better = np.array([signs[setting.pairs[k].desirability] for k in places]).reshape(-1, *[1] * (moved.ndim - 1))
    return shift("desirability", better * moved[index], index, setting)


def _doubts(found: PairContrast) -> list[str]:
    """Why a contrast that aims at one trait may not have done what it should."""
    if reasons := troubles(found):
        return reasons
    matched = found.matched
    if matched is None or matched.value is None or matched.ci is None:
        return ["no interval on pairs of matched desirability: the effect may be desirability"]
    if matched.ci[0] <= 0 <= matched.ci[1] or matched.value * sign(found) < 0:
        return ["the interval on pairs of matched desirability reaches zero: the effect may be desirability"]
    return []
