"""How the evaluation of the text scorer is shown: a line from one kind of texts to another, beside its bar."""

from __future__ import annotations

from collections.abc import Sequence

from traitbench.judges.scorer.heads import Row
from traitbench.tables import interval, number
from traitbench.types import BIG_FIVE

__all__ = ["COLUMNS", "directions"]

COLUMNS = ("trained -> tested", *BIG_FIVE, "mean", "bar of the mean", "met")


def directions(rows: Sequence[Row]) -> list[list[str]]:
    """A line a direction in the order of `rows`: AUCs with intervals, the bar of their mean, whether it is met."""
    lines = []
    for source in dict.fromkeys(row.source for row in rows):
        mine = {row.trait: row for row in rows if row.source == source}
        cells = [interval(mine[name].auc, mine[name].ci) if name in mine else "–" for name in COLUMNS[1:-2]]
        bar, mean = next((row.bar for row in mine.values()), None), mine.get("mean")
        met = "" if bar is None or mean is None else "yes" if mean.auc >= bar else "no"
        lines.append([source, *cells, "" if bar is None else number(bar), met])
    return lines
