"""Whether a scale works alike in two groups: item by item (DIF), and as a whole (measurement invariance)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from traitbench.statistics.comparison import holm
from traitbench.statistics.invariance import Level, invariance
from traitbench.statistics.ordinal import DIF, dif
from traitbench.tables import Table, number
from traitbench.types import Record, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Item

__all__ = ["Functioning", "ItemFunctioning", "ModelFit", "ScaleFunctioning", "functioning", "functioning_tables"]

_ROUNDS = 5
"""Purifications of the matching score: as many as in common programs; it nearly always settles in two."""
_FACETS = 3
"""From so many facets on, a scale's indicators are its facets: item models of long scales fit no group of people."""


class ItemFunctioning(Record):
    """One item in the second group beside the first, at the same score; null where `reason` says why."""

    item: str
    p_uniform: float | None
    """One group answers higher at every level."""
    p_nonuniform: float | None
    """The item tells levels apart better in one group."""
    p: float | None
    """Of both together."""
    p_holm: float | None = None
    """Adjusted over the items of the scale."""
    r2_change: float | None
    """Nagelkerke's R^2 that the group adds."""
    log_odds: float | None
    """Of a higher keyed answer in the second group."""
    size: Literal["negligible", "moderate", "large"] | None
    """Limits .035 and .070 of `r2_change` (Jodoin & Gierl 2001)."""
    reason: str = ""

    @property
    def differs(self) -> bool:
        """Significant after Holm, and more than negligible."""
        return self.p_holm is not None and self.p_holm < 0.05 and self.size != "negligible"


class ModelFit(Record):
    """How one model of invariance fits both groups together."""

    level: Level
    chi2: float
    df: int
    p: float
    cfi: float
    rmsea: float


class ScaleFunctioning(Record):
    """One scale in two groups."""

    trait: Trait
    n_first: int
    n_second: int
    """Who answered every item of the scale."""
    items: list[ItemFunctioning]
    matched_on: int
    """Items of the score that people are matched on: those that work alike. The item in question is always in it."""
    indicators: Literal["items", "facets"]
    """What the factor model is over."""
    fits: list[ModelFit]
    holds: Level | Literal["none"] | None
    """The strongest invariance that holds; none: one factor does not describe the groups; null where `reason` says
    why."""
    reason: str = ""


class Functioning(Record):
    """The scales in two groups: the second beside the first."""

    first: str
    second: str
    """Conditions, or a table of people."""
    scales: list[ScaleFunctioning]


def functioning(
    first: NDArray[np.float64], second: NDArray[np.float64], items: Sequence[Item]
) -> list[ScaleFunctioning]:
    """Compare two groups' keyed answers (n, items) scale by scale; NaN is a missing answer, never imputed."""
    out = []
    for trait in dict.fromkeys(item.trait for item in items):
        places = [place for place, item in enumerate(items) if item.trait == trait]
        out.append(_scale(trait, first[:, places], second[:, places], [items[place] for place in places]))
    return out


def _scale(
    trait: Trait, first: NDArray[np.float64], second: NDArray[np.float64], items: Sequence[Item]
) -> ScaleFunctioning:
    one, other = (table[~np.isnan(table).any(axis=1)] for table in (first, second))
    found, kept = _items(one, other, items)
    facets = list(dict.fromkeys(item.facet for item in items))
    by_facet = len(facets) >= _FACETS and None not in facets
    if by_facet:
        member = np.array([[item.facet == facet for facet in facets] for item in items], dtype=float)
        one, other = (table @ (member / member.sum(axis=0)) for table in (one, other))
    whole = invariance(one, other)
    return ScaleFunctioning(
        trait=trait, n_first=len(one), n_second=len(other), items=found, matched_on=kept,
        indicators="facets" if by_facet else "items",
        fits=[ModelFit(level=level, **fit._asdict()) for level, fit in whole.fits.items()],
        holds=whole.holds, reason=whole.reason,
    )  # fmt: skip


def _items(
    first: NDArray[np.float64], second: NDArray[np.float64], items: Sequence[Item]
) -> tuple[list[ItemFunctioning], int]:
    """DIF of each item; the matching score is purified of items that differ (Candell & Drasgow 1988)."""
    table = np.concatenate([first, second])
    group = np.repeat([0, 1], [len(first), len(second)])
    answers = np.floor(table + 0.5)
    anchors = np.ones(len(items), dtype=bool)
    for _ in range(_ROUNDS):
        raw = []
        for place in range(len(items)):
            matched = anchors.copy()
            matched[place] = True
            raw.append(dif(answers[:, place], table[:, matched].mean(axis=1), group))
        adjusted = holm([one.p for one in raw])
        found = [_item(item.id, one, p) for item, one, p in zip(items, raw, adjusted, strict=True)]
        clean = np.array([not one.differs for one in found])
        if not clean.any() or (clean == anchors).all():
            break
        anchors = clean
    return found, int(anchors.sum())


def _item(name: str, found: DIF, p_holm: float | None) -> ItemFunctioning:
    return ItemFunctioning(
        item=name, p_uniform=found.uniform_p, p_nonuniform=found.nonuniform_p, p=found.p, p_holm=p_holm,
        r2_change=found.r2_change, log_odds=found.log_odds, size=found.size, reason=found.reason,
    )  # fmt: skip


def functioning_tables(found: Sequence[tuple[str, Functioning]], task: str) -> list[Table]:
    """A row a scale and pair of groups, and the items that differ; `found`: scoring mode and its comparisons."""
    if not any(one.scales for _, one in found):
        return []
    rows, notes, items = [], dict[str, None](), []
    for mode, one in found:
        for scale in one.scales:
            tested = [item for item in scale.items if item.p is not None]
            differ = [item for item in tested if item.differs]
            fits = {fit.level: fit for fit in scale.fits}
            rows.append([
                f"{one.second} – {one.first}", mode, scale.trait, f"{scale.n_second}, {scale.n_first}",
                f"{len(differ)} of {len(tested)}",
                *(number(fits[level].cfi, 3) if level in fits else "–" for level in ("configural", "metric", "scalar")),
                scale.holds or "–",
            ])  # fmt: skip
            for reason in {scale.reason, *(item.reason for item in scale.items)} - {""}:
                notes[f"– {scale.trait}: {reason}."] = None
            items += [
                [f"{one.second} – {one.first}", mode, item.item, number(item.log_odds), number(item.r2_change, 3),
                 number(item.p_uniform, 3), number(item.p_nonuniform, 3), number(item.p_holm, 3), str(item.size)]
                for item in differ
            ]  # fmt: skip
    out = [
        Table(
            title=f"Measurement invariance, {task}",
            columns=["groups", "scoring", "scale", "n", "items that differ", "CFI configural", "metric", "scalar",
                     "holds"],
            rows=rows,
            notes=[
                "Items: ordinal-logistic DIF at the same scale score, Holm over the scale's items, and a change of "
                "Nagelkerke's R2 of .035 or more. Holds: the last model up to which the CFI falls by .010 or less; "
                "none: one factor does not describe the groups (CFI below .90). Means are comparable only where scalar "
                "holds.",
                *notes,
            ],
        )
    ]  # fmt: skip
    if items:
        out.append(Table(
            title=f"Items that work differently, {task}",
            columns=["groups", "scoring", "item", "log odds", "R2 change", "p uniform", "p non-uniform", "p (Holm)",
                     "DIF"],
            rows=items,
            notes=["Log odds of a higher keyed answer in the group named first, at the same scale score."],
        ))  # fmt: skip
    return out
