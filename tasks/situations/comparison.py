"""What two runs of the situations are compared and ranked by: the shifts of their pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from traitbench.samples import Sample
from traitbench.tables import plain
from traitbench.tasks import effects
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.board import Part
from traitbench.tasks.differences import design_of
from traitbench.tasks.effects import aimed
from traitbench.tasks.shifts import DESIGNS, Shifts
from traitbench.tasks.situations.effects import PairContrast
from traitbench.tasks.situations.summary import PairScores, SituationsBlock
from traitbench.tasks.written import comparison
from traitbench.types import Mode

__all__ = ["group", "part", "shifts"]

_ASKED = {"orders": "order", "symbols": "symbols", "templates": "template"}
"""What decides how the pairs were asked -> the field of a sample that says it."""


def shifts(facts: Facts, samples: Sequence[Sample], block: Block) -> list[Shifts]:
    """The contrasts that aim at one trait, scoring mode by scoring mode, those of written replies last."""
    held, baseline = cast(SituationsBlock, block), facts.conditions[0].name
    out = []
    for mode, scored in held.modes.items():
        rows = [row for row in samples if row.scoring == mode and row.judge is None]
        asked = {name: ", ".join(sorted({str(getattr(row, field)) for row in rows})) for name, field in _ASKED.items()}
        for contrast in aimed(scored.contrasts):
            mine = part(contrast, scored, held)
            out.append(Shifts(
                filter=mode,
                design=design_of(contrast.high, contrast.low, baseline),
                part=mine,
                unit=scored.unit,
                hits={} if mode == "statement" else _hits(mine),
                asked=asked,
            ))  # fmt: skip
    return out + (comparison.shifts(held.written, facts, held.facets) if held.written else [])


def part(contrast: PairContrast, scored: PairScores, block: SituationsBlock) -> Part:
    """One target: its pairs' shifts in the direction aimed at, with the strata and weights of the effect."""
    if scored.halves:
        return effects.part(contrast, scored.templates, block.facets, block.keys, "halves")
    return effects.part(contrast, scored.templates, block.facets, {}, "items")


def _hits(part: Part) -> dict[str, bool]:
    """Whether the probability of each pair moved as aimed, mean over wordings and fits."""
    known = {item: [cell for cell in cells if cell is not None] for item, cells in part.values.items()}
    return {item: sum(cells) / len(cells) > 1e-9 for item, cells in known.items()}


def group(scored: PairScores, facts: Facts, mode: Mode) -> str:
    """Name what a run was asked and aimed at; runs that share it are rivals. Empty without a contrast."""
    found = aimed(scored.contrasts)
    if not found:
        return ""
    designs = {design_of(c.high, c.low, facts.conditions[0].name) for c in found}
    words = DESIGNS[designs.pop()] if len(designs) == 1 else "several kinds of targets"
    axes = () if mode == "statement" else ("orders", "symbols")
    asked = [f"{name} {plain(facts.administration.get(name))}" for name in axes]
    return "; ".join([words, ", ".join(sorted(c.target for c in found)), *asked])
