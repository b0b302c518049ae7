"""Every number of the forced choice, from its samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from traitbench.samples import Sample
from traitbench.statistics.intervals import item_means
from traitbench.statistics.style import Style
from traitbench.tasks import paired
from traitbench.tasks.block import Block, Facts, by_condition
from traitbench.tasks.effects import Setting, aimed, levels, overall
from traitbench.tasks.forced_choice.effects import (
    ForcedContrast,
    SolvedShift,
    contrasts,
    of_units,
    pair_grid,
    pole_grids,
    solved_levels,
)
from traitbench.tasks.forced_choice.pairs import Pair, Unit, units
from traitbench.tasks.leanings import Leaning, Leanings
from traitbench.tasks.paired import PairedScores
from traitbench.tasks.scoring import modes
from traitbench.tasks.variation import variation, varied
from traitbench.tasks.verdict import aim_reasons, damage_reasons, judged, reading_reasons, variation_reasons
from traitbench.types import DESIRABILITY, Mode, Trait

__all__ = ["ForcedChoiceBlock", "ForcedScores", "leanings", "summarise"]


class ForcedScores(PairedScores):
    """One scoring mode."""

    contrasts: list[ForcedContrast]
    apart: dict[str, list[SolvedShift]] = {}
    """Condition -> where each trait stands with the others held apart, in the same unit: by these, persons are ordered.
    Empty where the pairs that were answered do not tell the traits apart."""
    desirable: dict[str, float | None]
    """Condition -> r over the pairs of the preference for the second statement with how much more people agree with
    it: what is left of a wish to look good."""


class ForcedChoiceBlock(Block):
    """The forced choice's part of the results."""

    kind: Literal["forced_choice"] = "forced_choice"
    keys: dict[str, int]
    """Unit (pair:trait) -> 1 where whoever is high on the trait takes the second statement, else -1."""
    facets: dict[str, str]
    """Unit -> facet of the statement."""
    alone: dict[Trait, int]
    """Trait -> pairs that hold it in both statements; the others set it against another trait."""
    modes: dict[Mode, ForcedScores]

    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Condition -> "trait,mode" and "trait_stderr,mode"."""
        found: dict[str, dict[str, float | None]] = {}
        for mode, scored in self.modes.items():
            for condition, mine in scored.levels.items():
                line = found.setdefault(condition, {})
                for level in mine:
                    line[f"{level.trait},{mode}"], line[f"{level.trait}_stderr,{mode}"] = level.value, level.se
        return found

    def effect_rows(self) -> list[dict[str, Any]]:
        """A row a contrast, scoring mode and trait; `aimed` marks the trait aimed at, `apart` is the solved shift."""
        return [
            {"target": contrast.target, "high": contrast.high, "low": contrast.low, "scoring": mode,
             "metric": shift.trait, "aimed": shift.trait in contrast.aimed, "value": shift.value, "se": shift.se,
             "ci_low": shift.ci[0] if shift.ci else None, "ci_high": shift.ci[1] if shift.ci else None,
             "p": shift.p, "p_holm": shift.p_holm, "d": shift.d,
             "apart": next((each.value for each in contrast.apart if each.trait == shift.trait), None),
             "leakage": contrast.leakage, "check": contrast.check, "verdict": scored.verdict.verdict}
            for mode, scored in self.modes.items()
            for contrast in scored.contrasts
            for shift in contrast.shifts
        ]  # fmt: skip


def summarise(facts: Facts, samples: Sequence[Sample], pairs: Sequence[Pair]) -> ForcedChoiceBlock:
    """Compute the block from all samples of the task; `pairs` hold at least those that were asked."""
    asked = {row.item for row in samples}
    mine = [pair for pair in pairs if pair.id in asked]
    found = units(mine)
    return ForcedChoiceBlock(
        keys={unit.id: unit.sign for unit in found},
        facets={unit.id: unit.facet for unit in found},
        alone={
            trait: sum(pair.first.trait == pair.second.trait == trait for pair in mine)
            for trait in dict.fromkeys(unit.trait for unit in found)
        },
        modes={mode: _scored(facts, [r for r in samples if r.scoring == mode], mine, found, mode)
               for mode in modes(samples)},
    )  # fmt: skip


def leanings(conditions: Mapping[str, Sequence[Sample]], pairs: Sequence[Pair], mode: Mode) -> Leanings:
    """What `Task.leanings` returns, of the pairs that were asked."""
    asked = {row.item for rows in conditions.values() for row in rows}
    mine = [pair for pair in pairs if pair.id in asked]
    found, templates = units(mine), sorted({row.template for rows in conditions.values() for row in rows})
    values = {
        name: of_units(pair_grid(rows, mine, templates, mode), mine, found, mode) for name, rows in conditions.items()
    }
    return Leanings([Leaning(u.trait, u.facet, 1, DESIRABILITY[u.trait]) for u in found], values)


def _scored(facts: Facts, rows: Sequence[Sample], pairs: Sequence[Pair], found: list[Unit], mode: Mode) -> ForcedScores:
    conditions = by_condition(facts, rows)
    templates = sorted({row.template for row in rows})
    values = {name: pair_grid(mine, pairs, templates, mode) for name, mine in conditions.items()}
    by_unit = {name: of_units(mine, pairs, found, mode) for name, mine in values.items()}
    halves = mode != "statement" and len({row.order for row in rows}) == 1
    strata = np.array([unit.sign for unit in found]) if halves else None
    setting = Setting(found, facts.iterations, facts.seed, strata)
    weighed = {name: pole_grids(mine, pairs, found, templates)
               for name, mine in conditions.items() if mode == "statement"}  # fmt: skip
    made = contrasts(values, facts.conditions, pairs, setting, mode, weighed)
    headline = {c.name: conditions[c.name] for c in facts.conditions if c.headline}
    styles = {} if mode == "statement" else paired.styles(conditions, headline)
    if mode == "statement":
        varies = varied(np.array([item_means(values[name]) for name in headline]))
    else:
        varies = variation(headline, pairs)
    return ForcedScores(
        unit="nats a token" if mode == "statement" else "POMP",
        levels=levels(by_unit, facts.conditions[0].name, setting),
        apart={name: solved_levels(mine, pairs, mode, halves) for name, mine in values.items()},
        contrasts=made,
        effect=overall(by_unit, facts.conditions, setting),
        desirable={name: _correlation(item_means(mine), pairs) for name, mine in values.items()},
        response_style=styles,
        variation=varies,
        templates=len(templates),
        halves=halves,
        verdict=judged([*_reasons(styles.get("all"), made), *variation_reasons(varies, bool(made)),
                        *damage_reasons(facts.damage), *reading_reasons(facts.reading)]),
    )  # fmt: skip


def _reasons(style: Style | None, made: Sequence[ForcedContrast]) -> Iterator[str]:
    yield from paired.style_reasons(style)
    yield from aim_reasons(len(made), len(aimed(made)))
    if shaky := [contrast.target for contrast in made if contrast.check == "caution"]:
        yield f"caution: {', '.join(shaky)}: see the check of each"


def _correlation(values: np.ndarray, pairs: Sequence[Pair]) -> float | None:
    apart = np.array([pair.apart for pair in pairs])
    known = np.isfinite(values)
    if known.sum() < 3 or values[known].std() < 1e-9 or apart[known].std() < 1e-9:
        return None
    return float(np.corrcoef(values[known], apart[known])[0, 1])
