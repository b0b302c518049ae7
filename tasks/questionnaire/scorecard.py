"""What a control did: effect, leakage and the target x trait matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from traitbench.samples import Condition
from traitbench.statistics.comparison import holm
from traitbench.statistics.intervals import Estimate, item_means, leakage, p_value
from traitbench.statistics.sums import Term, total
from traitbench.tasks.differences import PROFILES, Difference, Overall, aims, by_trait, differences
from traitbench.tasks.questionnaire.halves import split_half
from traitbench.tasks.questionnaire.specific import terms_of
from traitbench.tasks.scoring import RANDOM, effect_size, estimated, facets_of, weights_of
from traitbench.types import Mode, Record, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item

__all__ = [
    "PROFILES", "Contrast", "Difference", "Scorecard", "Setting", "Shift", "aims", "by_trait", "contrast",
    "differences", "scorecard",
]  # fmt: skip

ALPHA = 0.05
"""Above it an adjusted p is no finding."""


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
    """The trait aimed at; the condition's name where it is not one trait's two poles, with the trait behind it where
    the condition aims at several."""
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
    evaluative_ci: tuple[float, float] | None = None
    items: dict[str, list[float | None]] = {}
    """Item of the trait aimed at -> its keyed shift in the direction aimed at, one a template and fit; by it two runs
    are compared."""
    leakage: float | None = None
    leakage_ci: tuple[float, float] | None = None
    mean_abs_shift: float | None = None
    check: Literal["ok", "caution"] | None = None
    """caution: the key halves disagree in sign, an interval reaches zero (of the effect or the specific one), or does
    so once the run's contrasts are counted (Holm)."""
    reasons: list[str] = []


class Scorecard(Record):
    """Every contrast of one task in one scoring mode."""

    unit: str
    contrasts: list[Contrast]
    effect: Overall | None = None
    specific: Overall | None = None
    """Null where a contrast has none."""
    split_half: float | None = None
    """How well two halves of the items agree on all shifts: mean r over splits, stepped up by Spearman-Brown."""
    keys: dict[str, int] = {}
    """Item -> its key, 1 or -1."""
    facets: dict[str, str] = {}
    """Item -> its facet, of items that have one."""
    templates: int = 1
    """Wordings that each item was asked in: `Contrast.items` has their values in this order, each with its fits."""


def scorecard(
    values: Mapping[str, NDArray[np.float64]], conditions: Sequence[Condition], setting: Setting
) -> Scorecard:
    """Contrast conditions item by item.

    `values`: condition -> raw item values, (items,) or (items, templates, fits), NaN where unscored.
    """
    found = list(differences(values, conditions))
    # The rows of a target of several traits share their moves, which count once here.
    moves = {id(difference.moved): difference.moved for difference in found}
    keyed = np.array([setting.keys * item_means(moved) for moved in moves.values()])
    return Scorecard(
        unit="nats a token" if setting.mode == "statement" else "scale points",
        contrasts=_judged([contrast(difference, setting) for difference in found]),
        effect=_overall(found, setting, specific=False),
        specific=_overall(found, setting, specific=True),
        split_half=split_half(keyed, setting.keys, list(setting.groups.values()), setting.weights, setting.seed),
        keys={item.id: item.keyed for item in setting.items},
        facets={item.id: item.facet for item in setting.items if item.facet},
        templates=next((raw.shape[1] for raw in values.values() if raw.ndim > 1), 1),
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
        self.inventory, self.items = inventory, items
        self.keys = np.array([item.keyed for item in items])
        self.weights = weights_of(mode)
        self.span = inventory.response_scale.max - inventory.response_scale.min
        places = {t: np.array([i for i, item in enumerate(items) if item.trait == t]) for t in inventory.traits}
        self.groups = {trait: index for trait, index in places.items() if index.size}
        self.sds = sds or {}

    def facets(self, index: NDArray[np.int_]) -> tuple[str, ...] | None:
        """Facets of the items at `index`, where all have one."""
        return facets_of([self.items[i] for i in index])


def contrast(difference: Difference, setting: Setting) -> Contrast:
    """One row of the matrix, from how far each item's raw value moved."""
    target, high, low, aimed, moved, beside = difference
    groups = setting.groups
    keyed = setting.keys.reshape(-1, *[1] * (moved.ndim - 1)) * moved
    shifts = [_shift(trait, keyed[i], i, setting) for trait, i in groups.items()]
    others = [index for trait, index in groups.items() if trait not in (*aimed, *beside)]
    leak = leakage(
        [keyed[i] for i in others], [setting.keys[i] for i in others], setting.weights, setting.iterations,
        setting.seed, [setting.facets(i) for i in others], RANDOM[: keyed.ndim - 1],
    )  # fmt: skip
    effect = next((s for s in shifts if s.trait in aimed), None)
    own = Contrast(
        target=target, high=high, low=low, aimed=aimed, shifts=shifts, effect=effect,
        leakage=leak.value if leak else None, leakage_ci=leak.ci if leak else None,
        mean_abs_shift=leak.mean_abs if leak else None,
    )  # fmt: skip
    return own.model_copy(update=_specific(own, keyed, beside, setting)) if effect else own


def _overall(found: Sequence[Difference], setting: Setting, specific: bool) -> Overall | None:
    """Mean over the contrasts that aim at one trait; wordings and fits are the same for all of them."""
    # The rows of a target of several traits share their moves: what they both hold is one term, not two drawn apart.
    joint: dict[tuple[int, Trait], Term] = {}
    rows = 0
    for _, _, _, aimed, moved, beside in found:
        trait, sign = next(iter(aimed.items()), ("", 0.0))
        if trait not in setting.groups:
            continue
        keyed = setting.keys.reshape(-1, *[1] * (moved.ndim - 1)) * moved
        net, _, _ = terms_of(trait, sign, beside, setting.inventory, setting.items, keyed, setting.weights)
        i = setting.groups[trait]
        own = {trait: Term(sign, keyed[i], setting.keys[i], setting.facets(i), setting.weights)}
        if specific and not net:
            return None
        rows += 1
        for name, term in (net if specific else own).items():
            before = joint.get((id(moved), name))
            joint[id(moved), name] = term._replace(share=term.share + before.share) if before else term
    terms = [term._replace(share=term.share / rows) for term in joint.values()]
    if not terms:
        return None
    mean = total(terms, RANDOM[: terms[0].values.ndim - 1])
    return None if mean.value is None else Overall(value=mean.value, se=mean.se, ci=mean.ci, covers=list(mean.covers))


def _specific(own: Contrast, keyed: NDArray[np.float64], beside: Sequence[Trait], setting: Setting) -> dict[str, Any]:
    """What is known of a contrast that aims at one trait: its specific effect and the item shifts."""
    ((trait, sign),) = own.aimed.items()
    items = {
        setting.items[i].id: [float(v) if np.isfinite(v) else None for v in np.atleast_1d(sign * keyed[i]).ravel()]
        for i in setting.groups[trait]
    }
    net, halo, reason = terms_of(trait, sign, beside, setting.inventory, setting.items, keyed, setting.weights)
    if reason:
        return {"items": items, "reasons": [reason]}
    over = RANDOM[: keyed.ndim - 1]
    found, looks = (total(list(terms.values()), over) for terms in (net, halo))
    return {
        "items": items, "evaluative": looks.value, "evaluative_ci": looks.ci,
        "specific": _as_shift(trait, found, setting) if found.value is not None else None,
    }  # fmt: skip


def _judged(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """Say of each contrast that aims at one trait whether it did what it should, all contrasts counted (Holm)."""
    own = holm([c.effect.p if c.effect else None for c in contrasts])
    net = holm([c.specific.p if c.specific else None for c in contrasts])
    out = []
    for each, p_own, p_net in zip(contrasts, own, net, strict=True):
        effect = each.effect.model_copy(update={"p_holm": p_own}) if each.effect else None
        specific = each.specific.model_copy(update={"p_holm": p_net}) if each.specific else None
        shifts = [effect if effect and s.trait == effect.trait else s for s in each.shifts]
        made = each.model_copy(update={"effect": effect, "specific": specific, "shifts": shifts})
        check, reasons = _check(made)
        out.append(made.model_copy(update={"check": check, "reasons": reasons}))
    return out


def _shift(trait: Trait, values: NDArray[np.float64], index: NDArray[np.int_], setting: Setting) -> Shift:
    """The shift of one trait; `values` are the keyed moves of its items, which stand at `index`."""
    keys, mode, sd = setting.keys[index], setting.mode, setting.sds.get(trait)
    estimate = estimated(values, keys, mode, setting.facets(index))
    means = item_means(values)
    halves = [v[~np.isnan(v)] for v in (means[keys == 1], means[keys == -1])]
    plus, minus = (float(h.mean()) if h.size else None for h in halves)
    return _as_shift(trait, estimate, setting).model_copy(update={
        "plus": plus, "minus": minus, "d": effect_size(estimate) if mode == "statement" else None,
        "sds": estimate.value / sd if sd and mode != "statement" and estimate.value is not None else None,
    })  # fmt: skip


def _as_shift(trait: Trait, found: Estimate, setting: Setting) -> Shift:
    pomp = 100 * found.value / setting.span if setting.mode != "statement" and found.value is not None else None
    return Shift(
        trait=trait, value=found.value, se=found.se, ci=found.ci, n=found.n, covers=list(found.covers),
        p=p_value(found), pomp=pomp,
    )  # fmt: skip


def _check(contrast: Contrast) -> tuple[Literal["ok", "caution"] | None, list[str]]:
    effect, specific = contrast.effect, contrast.specific
    if effect is None or effect.value is None:
        return None, contrast.reasons
    sign = next(iter(contrast.aimed.values()))
    reasons = []
    if effect.plus is not None and effect.minus is not None and effect.plus * effect.minus < 0:
        reasons.append("key halves disagree in sign")
    if effect.plus is None or effect.minus is None:
        reasons.append("one key only: agreement as such cannot be told from the trait")
    if effect.ci is None:
        reasons.append("no interval")
    elif effect.ci[0] <= 0 <= effect.ci[1]:
        reasons.append("interval reaches zero")
    elif effect.p_holm is not None and effect.p_holm >= ALPHA:
        reasons.append("p (Holm) of the effect is .05 or more")
    if effect.value * sign < 0:
        reasons.append("moves against the target")
    else:
        reasons += [*contrast.reasons, *_halo(specific)]
    return ("caution" if reasons else "ok"), reasons


def _halo(specific: Shift | None) -> list[str]:
    """Why an effect in the direction aimed at may yet be halo."""
    if specific is None:
        return []
    if specific.ci is None:
        return ["the specific effect has no interval: it may be halo"]
    if specific.ci[0] <= 0:
        return ["the specific effect's interval reaches zero: it may be halo"]
    if specific.p_holm is not None and specific.p_holm >= ALPHA:
        return ["p (Holm) of the specific effect is .05 or more: it may be halo"]
    return []
