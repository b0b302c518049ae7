"""BIG5-CHAT's high and low levels as ranges: how far each method moves a trait, in points, POMP and SDs of people.

The IPIP-NEO table prints an SD of about 1.0 for people. That is how far one person's answers spread over items; people
differ from one another by .51 to .67, so the ranges are about twice as many SDs as the table suggests.
"""

from __future__ import annotations

import numpy as np

from traitbench import inventories
from traitbench.humans import between_person_sd
from traitbench.reproduce.cells import Cells, Levels, cells
from traitbench.reproduce.rows import Reproduction, Row
from traitbench.tables import Table, number
from traitbench.types import Record, Trait

__all__ = ["Range", "RangeReproduction", "ranges"]


class Range(Record):
    """How far one method moves each trait: its level in its own high condition minus that in its own low condition.

    Lists follow the traits of the reproduction.
    """

    instrument: str
    model: str
    method: str
    high: tuple[float, ...]
    low: tuple[float, ...]
    points: tuple[float, ...]
    """High minus low on the 1 to 5 scale."""
    pomp: tuple[float, ...]
    """The same as percent of the scale's range."""
    sds: tuple[float | None, ...]
    """The same in between-person SDs of the same instrument."""
    printed_sds: tuple[float, ...]
    """The same in the SDs that the paper prints for people."""
    mean_points: float
    mean_pomp: float
    mean_sds: float | None
    """None where a trait has no between-person SD."""
    mean_printed_sds: float


class RangeReproduction(Reproduction):
    """The high/low ranges of the BFI and IPIP-NEO tables."""

    traits: tuple[Trait, ...]
    ranges: tuple[Range, ...]
    left_out: str

    def details(self) -> list[Table]:
        """High minus low by trait, in points and in between-person SDs."""
        names = [f"{r.instrument}, {r.model}, {r.method}" for r in self.ranges]
        points = [
            [name, *(number(v, 1) for v in r.points), number(r.mean_points), number(r.mean_pomp, 1)]
            for name, r in zip(names, self.ranges, strict=True)
        ]
        sds = [
            [name, *(number(v, 1) for v in r.sds), number(r.mean_sds)]
            for name, r in zip(names, self.ranges, strict=True)
        ]
        return [
            Table(
                title="High minus low, in points of the 1 to 5 scale",
                columns=["method", *self.traits, "mean", "mean POMP"],
                rows=points,
                notes=[
                    "The cells are rounded to one decimal, so a range is known to 0.1 points (2.5 POMP).",
                    f"Left out: {self.left_out}.",
                ],
            ),
            Table(
                title="High minus low, in between-person SDs of the same instrument",
                columns=["method", *self.traits, "mean"],
                rows=sds,
            ),
        ]


def ranges() -> RangeReproduction:
    """Recompute each method's high minus low range, and how large it is beside the differences between people."""
    paper = cells()
    found = [_range(paper, levels) for levels in paper.levels]
    rows = [
        Row(
            label=f"{r.instrument}, {r.model}, {r.method}: mean range in SDs of people",
            published=r.mean_printed_sds,
            recomputed=r.mean_sds,
            why=_why(paper, r.instrument),
        )
        for r in found
    ]
    return RangeReproduction(
        name="big5chat-ranges",
        about=(
            "High minus low, mean over five traits. The tables print levels and no range; published: the range in "
            "the SDs of people that the same table prints, recomputed: in SDs between people"
        ),
        source=f"{paper.source}; {paper.provenance}",
        rows=tuple(_people(paper) + rows),
        traits=paper.traits,
        ranges=tuple(found),
        left_out=paper.left_out,
    )


def _people(paper: Cells) -> list[Row]:
    """The SDs of people: as printed, and between people."""
    return [
        Row(
            label=f"{people.instrument}: SD of people, {trait}",
            published=sd,
            recomputed=between_person_sd(people.instrument, trait),
            why=_why(paper, people.instrument, trait),
        )
        for people in paper.people
        for trait, sd in zip(paper.traits, people.sds, strict=True)
    ]


def _why(paper: Cells, instrument: str, trait: Trait | None = None) -> str:
    within = paper.within_person
    if instrument != within.instrument:
        return "both are SDs between people, in two samples; the printed one has one decimal"
    if trait is None:
        return "the printed SD is the spread of one person's answers over items, not that between people"
    sd = within.sds[paper.traits.index(trait)]
    return f"the printed SD is within a person (on average {sd:.2f} over items, n={within.n:,}), not between people"


def _range(paper: Cells, levels: Levels) -> Range:
    scale = inventories.load(levels.instrument, texts=False).response_scale
    grid = np.array(levels.cells)
    high, low = (
        np.array([grid[paper.conditions.index(f"{trait}={pole}"), t] for t, trait in enumerate(paper.traits)])
        for pole in ("high", "low")
    )
    points = high - low
    pomp = 100 * points / (scale.max - scale.min)
    printed = points / np.array(paper.row_of_people(levels.instrument).sds)
    between = [between_person_sd(levels.instrument, trait) for trait in paper.traits]
    sds = tuple(None if sd is None else float(p / sd) for p, sd in zip(points, between, strict=True))
    held = [v for v in sds if v is not None]
    return Range(
        instrument=levels.instrument,
        model=levels.model,
        method=levels.method,
        high=tuple(high.tolist()),
        low=tuple(low.tolist()),
        points=tuple(points.tolist()),
        pomp=tuple(pomp.tolist()),
        sds=sds,
        printed_sds=tuple(printed.tolist()),
        mean_points=float(points.mean()),
        mean_pomp=float(pomp.mean()),
        mean_sds=float(np.mean(held)) if len(held) == len(sds) else None,
        mean_printed_sds=float(printed.mean()),
    )
