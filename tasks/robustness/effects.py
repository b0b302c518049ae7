"""The same effect in every context: what is left of it, what takes it away, and whether it comes back.

The unit is that of the mode: nats a token for statement, percent of the scale's range for choice (POMP). Every
comparison of two contexts is paired over the items, and every number is in the direction aimed at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.samples import Condition
from traitbench.statistics.comparison import holm
from traitbench.statistics.intervals import Estimate, p_value
from traitbench.statistics.ratios import ratio
from traitbench.statistics.sums import Term, total
from traitbench.tasks.differences import differences
from traitbench.tasks.robustness.contexts import PLAIN, Context
from traitbench.tasks.scoring import facets_of, weights_of
from traitbench.types import Mode, Record, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Item

__all__ = ["KEPT", "MEAN", "Aim", "Card", "ContextEffect", "Moved", "Word", "aims", "card", "cards", "clear"]

KEPT = 0.5
"""Share of an effect from which it counts as kept."""
ALPHA = 0.05
MEAN = "mean"
"""Where the targets stand, the mean over them."""

Word = Literal["", "kept", "weaker", "gone", "stronger", "inconclusive", "no effect to keep"]
"""kept: the interval of the retained share lies above a half. weaker, stronger: the difference from the plain context
is beyond doubt, all contexts counted (Holm). gone: so weak that its own interval reaches zero. no effect to keep: that
of the plain context is not clear of 0. inconclusive: anything else."""

Grid = Mapping[str, Mapping[str, NDArray[np.float64]]]
"""Context -> condition -> raw item values, (items, 1, fits)."""


class Moved(Record):
    """A mean over items, or a paired difference of two."""

    value: float | None
    se: float | None = None
    ci: tuple[float, float] | None = None
    n: int = 0
    p: float | None = None
    """Two-sided, of none."""
    p_holm: float | None = None
    """Adjusted (Holm 1979) over the contexts, or the rungs, of the target."""


class ContextEffect(Record):
    """The effect in one context."""

    context: str
    kind: str
    step: int
    effect: Moved
    difference: Moved | None = None
    """Minus that of the plain context, item by item; null of that itself."""
    retained: float | None = None
    """Share of the plain context's effect, where that is clear of 0."""
    retained_ci: tuple[float, float] | None = None
    """By Fieller; null where no bounded one exists."""
    verdict: Word = ""


class Card(Record):
    """One target, or the mean of all, in every context."""

    target: str
    high: str = ""
    low: str = ""
    """The conditions that are compared; empty for the mean."""
    trait: Trait = ""
    contexts: list[ContextEffect]

    def of(self, context: str) -> ContextEffect | None:
        """The effect in one context; None where it was not asked."""
        return next((found for found in self.contexts if found.context == context), None)


class Aim(NamedTuple):
    """How far the items of one target moved, in every context."""

    target: str
    high: str
    low: str
    trait: Trait
    items: Sequence[Item]
    moved: dict[str, NDArray[np.float64]]
    """Context -> (items, fits), in the direction aimed at."""


def aims(grid: Grid, conditions: Sequence[Condition], items: Sequence[Item], unit: float) -> list[Aim]:
    """Every contrast that aims at one trait; `unit` is what a raw difference of 1 is."""
    held: dict[tuple[str, str, str], Aim] = {}
    for context, values in grid.items():
        for target, high, low, aimed, moved, _ in differences(values, conditions):
            if not aimed:
                continue
            ((trait, sign),) = aimed.items()
            index = [i for i, item in enumerate(items) if item.trait == trait]
            if not index:
                continue
            keys = np.array([items[i].keyed for i in index]).reshape(-1, 1)
            one = Aim(target, high, low, trait, [items[i] for i in index], {})
            own = held.setdefault((target, high, low), one)
            own.moved[context] = unit * sign * keys * moved[index][:, 0]
    return list(held.values())


def cards(found: Sequence[Aim], contexts: Sequence[Context], mode: Mode) -> list[Card]:
    """A card a target, headed by that of their mean where there are several."""
    own = [
        card(aim.target, [aim], contexts, mode).model_copy(
            update={"high": aim.high, "low": aim.low, "trait": aim.trait}
        )
        for aim in found
    ]
    return [card(MEAN, found, contexts, mode), *own] if len(own) > 1 else own


def _inside(found: Sequence[Aim], context: str, mode: Mode) -> Estimate:
    return estimated(found, lambda aim: aim.moved[context], mode)


def card(target: str, found: Sequence[Aim], contexts: Sequence[Context], mode: Mode) -> Card:
    """The effect, mean over `found`, in each context."""
    plain = _inside(found, PLAIN, mode)
    effects: list[Estimate] = []
    apart: list[Estimate | None] = []
    for context in contexts:
        mine = _inside(found, context.name, mode)
        away = difference(found, context.name, PLAIN, mode)
        effects.append(mine)
        apart.append(None if context.name == PLAIN else away)
    adjusted = holm([p_value(each) if each else None for each in apart])
    out = []
    for context, mine, lost, p in zip(contexts, effects, apart, adjusted, strict=True):
        told = moved(lost).model_copy(update={"p_holm": p}) if lost else None
        share = ratio(mine, plain, lost) if lost and clear(plain) else None
        row = ContextEffect(
            context=context.name, kind=context.kind, step=context.step, effect=moved(mine), difference=told,
            retained=share.value if share else None, retained_ci=share.ci if share else None,
        )  # fmt: skip
        out.append(row.model_copy(update={"verdict": _word(row, clear(plain))}))
    return Card(target=target, contexts=out)


def difference(found: Sequence[Aim], a: str, b: str, mode: Mode) -> Estimate:
    """The effect in context `a` minus that in `b`, paired over items."""
    return estimated(found, lambda aim: aim.moved[a] - aim.moved[b], mode)


def estimated(found: Sequence[Aim], values: Callable[[Aim], NDArray[np.float64]], mode: Mode) -> Estimate:
    """Mean over targets of the mean over each one's items."""
    terms = [
        Term(1 / len(found), values(aim), np.array([item.keyed for item in aim.items]), facets_of(list(aim.items)),
             weights_of(mode))
        for aim in found
    ]  # fmt: skip
    return total(terms, ("fits",))


def moved(found: Estimate) -> Moved:
    """As it is kept."""
    return Moved(value=found.value, se=found.se, ci=found.ci, n=found.n, p=p_value(found))


def clear(found: Estimate | Moved | None, below: bool = False) -> bool:
    """Whether the interval lies above zero, or `below` it, and the adjusted p, where there is one, agrees."""
    if found is None or found.ci is None:
        return False
    beyond = found.ci[1] < 0 if below else found.ci[0] > 0
    return beyond and (getattr(found, "p_holm", None) or 0.0) < ALPHA


def _word(row: ContextEffect, kept: bool) -> Word:
    if row.difference is None:
        return ""
    if not kept:
        return "no effect to keep"
    if clear(row.difference, below=True):
        return "weaker" if clear(row.effect) else "gone"
    if clear(row.difference):
        return "stronger"
    return "kept" if row.retained_ci is not None and row.retained_ci[0] > KEPT else "inconclusive"
