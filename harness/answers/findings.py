"""What an analysis should make its reader look at: rows that fall out, items keyed wrongly, few people, copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from traitbench.answers.analysis import Rows, ScaleAnalysis
from traitbench.answers.keying import HIGH, Acquiescence
from traitbench.statistics.moments import Moments
from traitbench.tables import number

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item

__all__ = ["acquiescent", "of"]

FEW = 10
"""Persons below whom no figure is worth much."""

LOST = 0.05
"""Share of the rows that may fall out without a word."""


def of(
    items: Sequence[Item],
    moments: Moments,
    scales: Mapping[str, ScaleAnalysis],
    facets: Mapping[str, ScaleAnalysis],
    treatment: Rows,
) -> list[str]:
    """Everything to look at but the keying."""
    return [
        *_few(scales),
        *_dropped(scales, moments.rows, treatment, moments.complete),
        *_reversed_items(scales, facets),
        *_copies(moments, items),
    ]


def _few(scales: Mapping[str, ScaleAnalysis]) -> list[str]:
    """Say whose figures rest on fewer than ten persons."""
    found = [f"{name} {scale.n}" for name, scale in scales.items() if scale.items and scale.n < FEW]
    return [f"fewer than {FEW} persons: {', '.join(found)}; no figure of theirs is worth much"] if found else []


def _dropped(scales: Mapping[str, ScaleAnalysis], rows: int, treatment: Rows, complete: int) -> list[str]:
    """Say so where more than 5 % of the rows fall out because of a gap."""
    if treatment == "listwise" and complete < (1 - LOST) * rows:
        return [
            f"only {complete} of {rows} rows have no gap, and all figures are theirs; --missing scale takes for each "
            "scale the rows complete on it, --missing pairwise all rows"
        ]
    lost = [f"{name} {s.n}" for name, s in scales.items() if s.items and s.n < (1 - LOST) * rows]
    if treatment != "scale" or not lost:
        return []
    return [
        f"more than 5 % of the rows fall out of a scale because of gaps: n {', '.join(lost)} of {rows}; compare with "
        "--missing pairwise, which keeps them, and see whether those who leave items out differ from the others"
    ]


def _reversed_items(scales: Mapping[str, ScaleAnalysis], facets: Mapping[str, ScaleAnalysis]) -> list[str]:
    """Name the items that correlate negatively with the rest of their scale, or else of their facet.

    By more than a correlation's standard error about 0, and of ten persons or more: others tell nothing of a key.
    """
    found, said = [], set[str]()
    for name, scale in [*scales.items(), *facets.items()]:
        if scale.n < FEW:
            continue
        clear = -(scale.n**-0.5)
        negative = [i for i in scale.table if i.r_drop is not None and i.r_drop < clear and i.item not in said]
        said |= {item.item for item in negative}
        if len(negative) == 1:
            (item,) = negative
            found.append(
                f"{item.item} correlates {item.r_drop:+.2f} with the other items of {name} (alpha "
                f"{number(scale.alpha)}, without it {number(item.alpha_dropped)}); is it keyed the right way?"
            )
        elif negative:
            shown = ", ".join(f"{item.item} {item.r_drop:+.2f}" for item in negative)
            found.append(
                f"these correlate negatively with the other items of {name} (alpha {number(scale.alpha)}): {shown}; "
                "are they keyed the right way?"
            )
    return found


def _copies(moments: Moments, items: Sequence[Item]) -> list[str]:
    """Name items whose answers are the same, or the same reversed, in all rows that have both."""
    r = np.abs(np.nan_to_num(moments.pairwise_correlation(FEW)))
    pairs = np.argwhere(np.triu(r > 1 - 1e-12, 1))
    if not len(pairs):
        return []
    shown = ", ".join(f"{items[a].id} and {items[b].id}" for a, b in pairs[:6])
    more = f" and {len(pairs) - 6} more" if len(pairs) > 6 else ""
    return [f"the same answers in two columns: {shown}{more}; is one a copy of the other?"]


def acquiescent(found: Acquiescence | None, inventory: Inventory) -> list[str]:
    """Say so where agreement with everything is high."""
    if found is None:
        return []
    low, high = inventory.response_scale.min, inventory.response_scale.max
    reasons = []
    if found.share is not None and found.share >= HIGH:
        reasons.append(f"it makes {100 * found.share:.0f} % of an item's variance")
    if abs(found.mean - (low + high) / 2) > 0.1 * (high - low):
        reasons.append(f"the mean answer to a key-balanced set is {found.mean:.2f} on {low} to {high}")
    if not reasons:
        return []
    return [
        f"acquiescence is high: {' and '.join(reasons)}; scales whose items are not half plus- and half minus-keyed "
        "measure it too, and alphas suffer from it or gain by it"
    ]
