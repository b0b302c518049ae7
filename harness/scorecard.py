"""What a control did: effect, leakage and the target x trait matrix, and whether the numbers may be interpreted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from traitbench.samples import Condition
from traitbench.scoring import effect_size
from traitbench.statistics.intervals import leakage, stratified_mean
from traitbench.statistics.style import Style
from traitbench.types import Mode, Record, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item

__all__ = ["Contrast", "Scorecard", "Shift", "Verdict", "scorecard", "verdict"]

Word = Literal["interpretable", "caution", "not interpretable"]


class Shift(Record):
    """How far one trait moved in one contrast. Choice and generate: points of the scale; statement: nats a token."""

    trait: Trait
    value: float | None
    se: float | None = None
    ci: tuple[float, float] | None = None
    pomp: float | None = None
    """Percent of the scale's range; null for statement."""
    d: float | None = None
    """Statement: value over the SD between items."""
    plus: float | None = None
    minus: float | None = None
    n: int = 0


class Contrast(Record):
    """One row of the matrix: two conditions, the same items, all traits."""

    target: str
    """The trait aimed at, or the condition's name where it is not one trait's two poles."""
    high: str
    low: str
    """The conditions that are compared: high minus low."""
    aimed: dict[Trait, float]
    """Trait -> sign of the expected shift."""
    shifts: list[Shift]
    effect: Shift | None = None
    """The shift of the one trait aimed at."""
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


class Verdict(Record):
    """Whether the numbers of a model x instrument x scoring mode x method may be interpreted, and what decided it."""

    verdict: Word
    reasons: list[str]


def pairs(conditions: Sequence[Condition]) -> list[tuple[str, Condition, Condition, dict[Trait, float]]]:
    """The contrasts a set of conditions allows: high minus low where a trait has both poles, else minus baseline."""
    poles = {(t, v): c for c in conditions if len(c.levels) == 1 for t, v in c.levels.items()}
    out: list[tuple[str, Condition, Condition, dict[Trait, float]]] = []
    for condition in conditions[1:]:
        levels = condition.levels
        trait, level = next(iter(levels.items())) if len(levels) == 1 else ("", 0.0)
        other = poles.get((trait, -level))
        if trait and abs(level) == 1 and other is not None:
            if level == 1:
                out.append((trait, condition, other, {trait: 1.0}))
        else:
            aimed = {t: 1.0 if v > 0 else -1.0 for t, v in levels.items() if v}
            out.append((condition.name, condition, conditions[0], aimed))
    return out


def scorecard(
    values: Mapping[str, NDArray[np.float64]],
    conditions: Sequence[Condition],
    inventory: Inventory,
    items: Sequence[Item],
    mode: Mode,
    iterations: int,
    seed: int,
) -> Scorecard:
    """Contrast conditions item by item. `values`: condition -> raw item values (items,), NaN where unscored."""
    keys = np.array([item.keyed for item in items])
    weights: Literal["items", "halves"] = "halves" if mode == "statement" else "items"
    span = inventory.response_scale.max - inventory.response_scale.min
    contrasts = []
    for target, high, low, aimed in pairs(conditions):
        difference = keys * (values[high.name] - values[low.name])
        groups = {
            trait: np.array([i for i, item in enumerate(items) if item.trait == trait]) for trait in inventory.traits
        }
        groups = {trait: index for trait, index in groups.items() if index.size}
        shifts = [_shift(trait, difference[i], keys[i], mode, span) for trait, i in groups.items()]
        others = [index for trait, index in groups.items() if trait not in aimed]
        leak = leakage([difference[i] for i in others], [keys[i] for i in others], weights, iterations, seed)
        effect = next((s for s in shifts if s.trait in aimed), None) if len(aimed) == 1 else None
        check, reasons = _check(effect, next(iter(aimed.values()), 1.0))
        contrasts.append(
            Contrast(
                target=target,
                high=high.name,
                low=low.name,
                aimed=aimed,
                shifts=shifts,
                effect=effect,
                leakage=leak.value if leak else None,
                leakage_ci=leak.ci if leak else None,
                mean_abs_shift=leak.mean_abs if leak else None,
                check=check,
                reasons=reasons,
            )
        )
    return Scorecard(unit="nats a token" if mode == "statement" else "scale points", contrasts=contrasts)


def _shift(trait: Trait, values: NDArray[np.float64], keys: NDArray[np.int_], mode: Mode, span: int) -> Shift:
    estimate = stratified_mean(values, keys, "halves" if mode == "statement" else "items")
    halves = [v[~np.isnan(v)] for v in (values[keys == 1], values[keys == -1])]
    plus, minus = (float(h.mean()) if h.size else None for h in halves)
    return Shift(
        trait=trait, value=estimate.value, se=estimate.se, ci=estimate.ci, n=estimate.n, plus=plus, minus=minus,
        pomp=100 * estimate.value / span if mode != "statement" and estimate.value is not None else None,
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


def verdict(mode: Mode, style: Style | None, contrasts: Sequence[Contrast], respondents: int) -> Verdict:
    """Judge one scoring mode. `style` is that of all conditions together; null for statement.

    Thresholds are those of `statistics.style.FLAGS`. Without simulated respondents the best is `caution`.
    """
    reasons = list(style.flags.values()) if style else []
    if style and style.n and not any(style.positions):
        reasons.append("not interpretable: no valid answer")
    if style and style.acquiescence is None and any(style.positions):
        reasons.append("caution: acquiescence cannot be had, no scale has items of both keys")
    shaky = [c.target for c in contrasts if c.check == "caution"]
    if shaky:
        reasons.append(f"caution: {', '.join(shaky)}: see the check of each")
    if not respondents:
        reasons.append("caution: no simulated respondents (--respondents N)")
    else:
        reasons.append("caution: reliability over the simulated respondents is not assessed")
    bad = any(reason.startswith("not interpretable") for reason in reasons)
    return Verdict(verdict="not interpretable" if bad else "caution", reasons=reasons)
