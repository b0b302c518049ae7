"""Every number of the situations, from their samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from traitbench.samples import Sample
from traitbench.statistics.intervals import item_means
from traitbench.tasks import paired
from traitbench.tasks.block import Block, Facts, by_condition
from traitbench.tasks.effects import UnitShift, levels, overall
from traitbench.tasks.paired import PairedScores
from traitbench.tasks.scoring import modes
from traitbench.tasks.situations.effects import PairContrast, PairSetting, contrasts, pair_grid, pole_grids
from traitbench.tasks.situations.pairs import Pair
from traitbench.tasks.situations.verdict import verdict
from traitbench.tasks.variation import variation, varied
from traitbench.tasks.written import rows
from traitbench.tasks.written import summary as judged
from traitbench.tasks.written.records import Written
from traitbench.types import Mode

__all__ = ["PairScores", "SituationsBlock", "summarise"]


class PairScores(PairedScores):
    """One scoring mode with trait values."""

    contrasts: list[PairContrast]


class SituationsBlock(Block):
    """The situations' part of the results."""

    kind: Literal["situations"] = "situations"
    keys: dict[str, int]
    """Pair -> 1 where the high reply stood second (B) in forward order, -1 where it stood first."""
    facets: dict[str, str]
    """Pair -> its facet."""
    modes: dict[Mode, PairScores]
    """Of `statement` and `choice`."""
    written: Written | None = None
    """The model's own replies, and what judges say of them; null without `generate`."""

    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Condition -> "trait,mode" and "trait_stderr,mode", and the share of valid written replies."""
        found: dict[str, dict[str, float | None]] = {}
        for mode, scored in self.modes.items():
            for condition, mine in scored.levels.items():
                line = found.setdefault(condition, {})
                for level in mine:
                    line[f"{level.trait},{mode}"], line[f"{level.trait}_stderr,{mode}"] = level.value, level.se
        for condition, written in rows.metrics(self.written).items() if self.written else ():
            found.setdefault(condition, {}).update(written)
        return found

    def score_rows(self) -> list[dict[str, Any]]:
        """A row a condition, scoring mode and trait, of written replies a judge too."""
        found = [
            {"condition": condition, "scoring": mode, "metric": level.trait, "value": level.value, "se": level.se,
             **_ends("ci", level.ci), "pomp": level.value if scored.unit == "POMP" else None,
             "shift": level.shift, "shift_se": level.shift_se, **_ends("shift_ci", level.shift_ci),
             "n": level.n, "unscored": level.unscored}
            for mode, scored in self.modes.items()
            for condition, mine in scored.levels.items()
            for level in mine
        ]  # fmt: skip
        return found + (rows.score_rows(self.written) if self.written else [])

    def effect_rows(self) -> list[dict[str, Any]]:
        """A row a contrast, scoring mode and trait, of written replies a judge too; `aimed`: the trait aimed at."""
        found = [
            {"target": contrast.target, "high": contrast.high, "low": contrast.low, "scoring": mode,
             "metric": shift.trait, "aimed": shift.trait in contrast.aimed, "value": shift.value, "se": shift.se,
             **_ends("ci", shift.ci), "p": shift.p, "p_holm": shift.p_holm, "covers": ",".join(shift.covers),
             "d": shift.d, **_beside(contrast, shift), "leakage": contrast.leakage, "check": contrast.check,
             "verdict": scored.verdict.verdict}
            for mode, scored in self.modes.items()
            for contrast in scored.contrasts
            for shift in contrast.shifts
        ]  # fmt: skip
        return found + (rows.effect_rows(self.written) if self.written else [])


def _ends(name: str, ci: tuple[float, float] | None) -> dict[str, float | None]:
    return {f"{name}_low": ci[0] if ci else None, f"{name}_high": ci[1] if ci else None}


def _beside(contrast: PairContrast, shift: UnitShift) -> dict[str, float | None]:
    """What only the trait aimed at has."""
    own = contrast.effect is not None and shift.trait == contrast.effect.trait
    return {
        "matched": contrast.matched.value if own and contrast.matched else None,
        "unmatched": contrast.unmatched.value if own and contrast.unmatched else None,
        "moved": contrast.moved.value if own and contrast.moved else None,
    }


def summarise(facts: Facts, samples: Sequence[Sample], pairs: Sequence[Pair]) -> SituationsBlock:
    """Compute the block from all samples of the task; `pairs` hold at least those that were asked."""
    answers = [row for row in samples if row.judge is None]
    asked = {row.item for row in answers}
    mine = [pair for pair in pairs if pair.id in asked]
    scored: dict[Mode, PairScores] = {}
    written: Written | None = None
    for mode in modes(answers):
        if mode == "generate":
            written = judged.summarise(facts, samples, mine)
        else:
            scored[mode] = _scored(facts, [row for row in answers if row.scoring == mode], mine, mode)
    keys: dict[str, int] = {pair.id: pair.keyed for pair in mine}
    facets = {pair.id: pair.facet for pair in mine}
    return SituationsBlock(keys=keys, facets=facets, modes=scored, written=written)


def _scored(facts: Facts, rows: Sequence[Sample], pairs: Sequence[Pair], mode: Mode) -> PairScores:
    conditions = by_condition(facts, rows)
    templates = sorted({row.template for row in rows})
    values = {name: pair_grid(mine, pairs, templates, mode) for name, mine in conditions.items()}
    setting = PairSetting(pairs, mode, len({row.order for row in rows}), facts.iterations, facts.seed)
    weighed = {name: pole_grids(mine, pairs, templates) for name, mine in conditions.items() if mode == "statement"}
    found = contrasts(values, facts.conditions, setting, weighed)
    headline = {condition.name: conditions[condition.name] for condition in facts.conditions if condition.headline}
    styles = {} if mode == "statement" else paired.styles(conditions, headline)
    if mode == "statement":
        varies = varied(np.array([item_means(values[name]) for name in headline]))
    else:
        varies = variation(headline, pairs)
    return PairScores(
        unit="nats a token" if mode == "statement" else "POMP",
        levels=levels(values, facts.conditions[0].name, setting),
        contrasts=found,
        effect=overall(values, facts.conditions, setting),
        response_style=styles,
        variation=varies,
        templates=len(templates),
        halves=setting.weights == "halves",
        verdict=verdict(styles.get("all"), found, varies, facts.damage, facts.reading),
    )
