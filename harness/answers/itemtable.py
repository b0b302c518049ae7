"""What a scale's items are worth, one by one: the item table of `traitbench analyze`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from traitbench.answers.consistency import CompleteRows
from traitbench.statistics import reliability
from traitbench.statistics.coefficient import Coefficient
from traitbench.statistics.moments import to_correlation
from traitbench.tables import Table, number
from traitbench.types import Record

if TYPE_CHECKING:
    from traitbench.inventories import Inventory

__all__ = ["Frequencies", "ItemAnalysis", "item_table", "items"]

OPTIONS = 11
"""Up to this many options the answers to each are counted."""


class ItemAnalysis(Record):
    """One item of a scale, keyed; its n is not the scale's, of whose rows mean, SD and correlations are.

    Null where `reasons` says why.
    """

    item: str
    keyed: int
    """1 or -1, in the inventory."""
    n: int
    """Who answered it, whatever else they left out: not the rows that mean, SD and correlations are of."""
    mean: float | None = None
    """Over the scale's rows; pairwise over all who answered the item."""
    sd: float | None = None
    """Over the same rows as the mean."""
    frequencies: list[int] | None = None
    """Of each keyed answer from the lowest to the highest, over all who answered the item."""
    r_drop: float | None = None
    """Correlation with the sum of the other items, over the scale's rows."""
    r_cor: float | None = None
    """Correlation with the scale, corrected for item overlap and unreliability, as psych's r.cor; over its rows."""
    alpha_dropped: float | None = None
    """Alpha of the scale without the item, over its rows."""
    reasons: dict[str, str] = Field(default_factory=dict)
    """Field -> why it is null."""


class Frequencies:
    """Counts the answers to each option, batch by batch."""

    def __init__(self, inventory: Inventory, items: int) -> None:
        """Begin with none; nothing is counted of scales of more than 11 options or of fractional answers."""
        scale = inventory.response_scale
        self.low = scale.min
        self.reason = "" if scale.max - scale.min < OPTIONS else f"more than {OPTIONS} options"
        self.counts = np.zeros((items, 0 if self.reason else scale.max - scale.min + 1), dtype=np.int64)

    def add(self, values: NDArray[np.floating]) -> None:
        """Count a batch, (rows, items), NaN where an answer is missing; whole answers come as float32."""
        if self.reason or not len(values):
            return
        if values.dtype != np.float32:
            self.reason = "some answers are no whole numbers"
            return
        # Bytes compare four times faster than floats; -1 is missing.
        places = np.where(np.isnan(values), -1, values - self.low).astype(np.int8)
        for option in range(self.counts.shape[1]):
            self.counts[:, option] += np.count_nonzero(places == option, axis=0)


def items(
    sample: CompleteRows, places: Sequence[int], answered: NDArray[np.int_], found: Frequencies
) -> list[ItemAnalysis]:
    """Describe the items of one scale: `sample` has them alone, `places` are theirs in the whole table."""
    c, k = sample.covariance, len(places)
    reason = sample.no_covariance(range(k))
    unlike = sample.no_correlation(range(k))
    none = [Coefficient(None, reason or unlike)] * k
    columns = {
        "mean": [Coefficient(float(m)) for m in sample.mean]
        if sample.n
        else [Coefficient(None, sample.no_people(1))] * k,
        "sd": [Coefficient(float(v) ** 0.5) for v in np.diag(c)]
        if sample.n > 1
        else [Coefficient(None, sample.no_people(2))] * k,
        "r_drop": none if reason else reliability.item_rest(c),
        "r_cor": none if unlike else reliability.item_whole(to_correlation(c)),
        "alpha_dropped": none if reason else reliability.alpha_dropped(c),
    }
    table = []
    for row, place in enumerate(places):
        values = {name: column[row] for name, column in columns.items()}
        reasons = {name: c.reason for name, c in values.items() if c.value is None}
        if found.reason:
            reasons["frequencies"] = found.reason
        table.append(
            ItemAnalysis(
                item=sample.items[row].id,
                keyed=sample.items[row].keyed,
                n=int(answered[place]),
                frequencies=None if found.reason else found.counts[place].tolist(),
                reasons=reasons,
                **{name: c.value for name, c in values.items()},
            )
        )
    return table


def item_table(title: str, rows: Sequence[ItemAnalysis], low: int, whose: str) -> Table:
    """Lay the items of one scale out for the terminal; frequencies in per cent of those who answered.

    `whose` says which rows the figures beside them are of.
    """
    options = len(next((row.frequencies for row in rows if row.frequencies), []))
    cells = [
        [
            row.item + ("" if row.keyed == 1 else " (-)"),
            str(row.n),
            number(row.mean),
            number(row.sd),
            *(f"{100 * count / max(row.n, 1):.0f}" for count in row.frequencies or []),
            number(row.r_drop),
            number(row.r_cor),
            number(row.alpha_dropped),
        ]
        for row in rows
    ]
    percents = [f"% {low + option}" for option in range(options)]
    return Table(
        title=title,
        columns=["item", "answered", "mean", "SD", *percents, "r.drop", "r.cor", "alpha without"],
        rows=cells,
        notes=[f"Answered{' and %' if options else ''}: of all who answered the item. {whose}."],
    )
