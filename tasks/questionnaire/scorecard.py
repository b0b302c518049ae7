"""What a control did: effect, leakage and the target x trait matrix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from traitbench.samples import Condition
from traitbench.statistics.intervals import leakage, stratified_mean
from traitbench.tasks.scoring import effect_size
from traitbench.types import Mode, Record, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item

__all__ = [
    "PROFILES", "Contrast", "Difference", "Scorecard", "Setting", "Shift", "aims", "contrast", "differences",
    "scorecard",
]  # fmt: skip

PROFILES = "profiles"
"""Where a contrast names its conditions: all the drawn profiles together."""


class Shift(Record):
    """How far one trait moved in one contrast. Choice and generate: points of the scale; statement: nats a token."""

    trait: Trait
    value: float | None
    se: float | None = None
    ci: tuple[float, float] | None = None
    pomp: float | None = None
    """Percent of the scale's range; null for statement."""
    sds: float | None = None
    """Choice and generate: the value in between-person SDs of the same instrument; null where none is held."""
    d: float | None = None
    """Statement: value over the SD between items."""
    plus: float | None = None
    minus: float | None = None
    n: int = 0
    covers: list[str] = []
    """What the interval covers: items, facets, templates, fits."""
    p: float | None = None
    """Two-sided, of no shift."""
    p_holm: float | None = None
    """Adjusted (Holm 1979) over the contrasts of the run."""


class Contrast(Record):
    """One row of the matrix: two conditions, the same items, all traits."""

    target: str
    """The trait aimed at, or the condition's name where it is not one trait's two poles."""
    high: str
    low: str
    """The conditions that are compared: high minus low. `profiles`: twice the slope on the level, over all of them."""
    aimed: dict[Trait, float]
    """Trait -> sign of the expected shift."""
    shifts: list[Shift]
    effect: Shift | None = None
    """The shift of the one trait aimed at."""
    specific: Shift | None = None
    """The effect minus the evaluative component, in the effect's unit; more is more in the direction aimed at."""
    evaluative: float | None = None
    """Desirability-signed mean shift of the traits not aimed at: how much better or worse the control makes appear."""
    items: dict[str, list[float | None]] = {}
    """Item of the trait aimed at -> its keyed shift in the direction aimed at, one a template and fit; by it two runs
    are compared."""
    leakage: float | None = None
    leakage_ci: tuple[float, float] | None = None
    mean_abs_shift: float | None = None
    check: Literal["ok", "caution"] | None = None
    """caution: the key halves disagree in sign, or the interval reaches zero."""
    reasons: list[str] = []


class Scorecard(Record):
    """Every contrast of one task in one scoring mode."""

    unit: str
    contrasts: list[Contrast]
    split_half: float | None = None
    """How well two halves of the items agree on all shifts: mean r over splits, stepped up by Spearman-Brown."""


def pairs(conditions: Sequence[Condition]) -> list[tuple[str, Condition, Condition, dict[Trait, float]]]:
    """The contrasts a set of conditions allows: high minus low where a trait has both poles, else minus baseline."""
    poles = {(t, v): c for c in conditions if c.headline and len(c.levels) == 1 for t, v in c.levels.items()}
    out: list[tuple[str, Condition, Condition, dict[Trait, float]]] = []
    for condition in (c for c in conditions[1:] if c.headline and not c.profile and c.person is None):
        levels = condition.levels
        trait, level = next(iter(levels.items())) if len(levels) == 1 else ("", 0.0)
        other = poles.get((trait, -level))
        if trait and abs(level) == 1 and other is not None:
            if level == 1:
                out.append((trait, condition, other, {trait: 1.0}))
        else:
            out.append((condition.name, condition, conditions[0], aims(condition)))
    return out


def aims(condition: Condition) -> dict[Trait, float]:
    """Trait -> sign of the shift that the condition aims at; a level of 0 aims at none."""
    return {trait: 1.0 if level > 0 else -1.0 for trait, level in condition.levels.items() if level}


def scorecard(
    values: Mapping[str, NDArray[np.float64]], conditions: Sequence[Condition], setting: Setting
) -> Scorecard:
    """Contrast conditions item by item. `values`: condition -> raw item values (items,), NaN where unscored."""
    found = list(differences(values, conditions))
    keyed = np.array([setting.keys * moved for *_, moved in found])
    return Scorecard(
        unit="nats a token" if setting.mode == "statement" else "scale points",
        contrasts=[contrast(difference, setting) for difference in found],
        split_half=_split_half(keyed, setting.keys, list(setting.groups.values()), setting.weights, setting.seed),
    )


class Setting:
    """What all contrasts of one task in one scoring mode share."""

    def __init__(
        self,
        inventory: Inventory,
        items: Sequence[Item],
        mode: Mode,
        iterations: int,
        seed: int,
        sds: Mapping[Trait, float] | None = None,
    ) -> None:
        """Group the items by trait; `sds` are between-person SDs of the instrument on item means."""
        self.mode, self.iterations, self.seed = mode, iterations, seed
        self.ids = [item.id for item in items]
        self.keys = np.array([item.keyed for item in items])
        self.weights: Literal["items", "halves"] = "halves" if mode == "statement" else "items"
        self.span = inventory.response_scale.max - inventory.response_scale.min
        places = {t: np.array([i for i, item in enumerate(items) if item.trait == t]) for t in inventory.traits}
        self.groups = {trait: index for trait, index in places.items() if index.size}
        self.sds = sds or {}


def contrast(difference: Difference, setting: Setting) -> Contrast:
    """One row of the matrix, from how far each item's raw value moved."""
    target, high, low, aimed, moved = difference
    keys, groups = setting.keys, setting.groups
    keyed = keys * moved
    shifts = [
        _shift(trait, keyed[i], keys[i], setting.mode, setting.span, setting.sds.get(trait))
        for trait, i in groups.items()
    ]
    others = [index for trait, index in groups.items() if trait not in aimed]
    leak = leakage(
        [keyed[i] for i in others], [keys[i] for i in others], setting.weights, setting.iterations, setting.seed
    )
    effect = next((s for s in shifts if s.trait in aimed), None) if len(aimed) == 1 else None
    check, reasons = _check(effect, next(iter(aimed.values()), 1.0))
    sign = next(iter(aimed.values()), 1.0)
    own = groups.get(effect.trait, np.array([], dtype=int)) if effect else np.array([], dtype=int)
    return Contrast(
        target=target, high=high, low=low, aimed=aimed, shifts=shifts, effect=effect,
        leakage=leak.value if leak else None, leakage_ci=leak.ci if leak else None,
        mean_abs_shift=leak.mean_abs if leak else None, check=check, reasons=reasons,
        items={setting.ids[i]: [float(sign * keyed[i]) if np.isfinite(keyed[i]) else None] for i in own},
    )  # fmt: skip


Difference = tuple[str, str, str, dict[Trait, float], NDArray[np.float64]]


def differences(values: Mapping[str, NDArray[np.float64]], conditions: Sequence[Condition]) -> Iterator[Difference]:
    """Every contrast: target, names of both sides, signs, and how far each item's raw value moved (items,)."""
    for target, high, low, aimed in pairs(conditions):
        yield target, high.name, low.name, aimed, values[high.name] - values[low.name]
    profiles = [c for c in conditions if c.profile]
    traits = list(dict.fromkeys(t for c in profiles for t in c.levels))
    if len(profiles) <= len(traits) + 1:
        return
    levels = np.array([[1.0, *(c.levels.get(t, 0.0) for t in traits)] for c in profiles])
    slopes = _slopes(levels, np.array([values[c.name] for c in profiles]))
    for place, trait in enumerate(traits, 1):
        yield trait, PROFILES, PROFILES, {trait: 1.0}, 2 * slopes[place]


def _slopes(levels: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares of item values (n, items) on levels (n, 1 + traits): coefficients (1 + traits, items)."""
    out = np.full((levels.shape[1], values.shape[1]), np.nan)
    whole = ~np.isnan(values).any(axis=0)
    out[:, whole] = np.linalg.lstsq(levels, values[:, whole], rcond=None)[0]
    for item in np.flatnonzero(~whole):
        kept = ~np.isnan(values[:, item])
        if kept.sum() > levels.shape[1]:
            out[:, item] = np.linalg.lstsq(levels[kept], values[kept, item], rcond=None)[0]
    return out


def _split_half(
    differences: NDArray[np.float64],
    keys: NDArray[np.int_],
    groups: Sequence[NDArray[np.int_]],
    weights: Literal["items", "halves"],
    seed: int,
    splits: int = 200,
) -> float | None:
    """Agreement of two random halves of the items, split within trait and key, on the shifts (contrasts x traits).

    `differences` (contrasts, items) keyed. None with fewer than three cells, with a trait that cannot be split, or
    where the shifts of a half do not vary.
    """
    if differences.size == 0 or differences.shape[0] * len(groups) < 3:
        return None
    whole = np.asarray(~np.isnan(differences).any(axis=0))
    rng = np.random.default_rng(seed)
    halves = np.zeros((2, splits, differences.shape[0], len(groups)))
    for place, group in enumerate(groups):
        strata = [mine for key in (1, -1) if (mine := group[whole[group] & (keys[group] == key)]).size]
        if not strata or any(mine.size < 2 for mine in strata):
            return None
        count = sum(mine.size for mine in strata)
        for mine in strata:
            share = 1 / len(strata) if weights == "halves" else mine.size / count
            shuffled = rng.permuted(np.tile(mine, (splits, 1)), axis=1)
            cut = mine.size // 2
            for half, part in enumerate((shuffled[:, :cut], shuffled[:, cut:])):
                halves[half, :, :, place] += share * differences[:, part].mean(axis=2).T
    first, second = (half.reshape(splits, -1) - half.reshape(splits, -1).mean(1, keepdims=True) for half in halves)
    norms = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    if (norms < 1e-12).any():
        return None
    r = float(((first * second).sum(1) / norms).mean())
    return 2 * r / (1 + r) if r > -1 else None


def _shift(
    trait: Trait, values: NDArray[np.float64], keys: NDArray[np.int_], mode: Mode, span: int, sd: float | None
) -> Shift:
    estimate = stratified_mean(values, keys, "halves" if mode == "statement" else "items")
    halves = [v[~np.isnan(v)] for v in (values[keys == 1], values[keys == -1])]
    plus, minus = (float(h.mean()) if h.size else None for h in halves)
    return Shift(
        trait=trait, value=estimate.value, se=estimate.se, ci=estimate.ci, n=estimate.n, plus=plus, minus=minus,
        covers=list(estimate.covers),
        pomp=100 * estimate.value / span if mode != "statement" and estimate.value is not None else None,
        sds=estimate.value / sd if sd and mode != "statement" and estimate.value is not None else None,
        d=effect_size(estimate) if mode == "statement" else None,
    )  # fmt: skip


def _check(effect: Shift | None, sign: float) -> tuple[Literal["ok", "caution"] | None, list[str]]:
    if effect is None or effect.value is None:
        return None, []
    reasons = []
    if effect.plus is not None and effect.minus is not None and effect.plus * effect.minus < 0:
        reasons.append("key halves disagree in sign")
    if effect.plus is None or effect.minus is None:
        reasons.append("one key only: agreement as such cannot be told from the trait")
    if effect.ci is None:
        reasons.append("no interval")
    elif effect.ci[0] <= 0 <= effect.ci[1]:
        reasons.append("interval reaches zero")
    if effect.value * sign < 0:
        reasons.append("moves against the target")
    return ("caution" if reasons else "ok"), reasons
