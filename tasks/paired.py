"""What tasks share in which one of two texts is weighed, or chosen: a scoring mode, its rivals and its tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from traitbench.charts.chart import digits
from traitbench.charts.chart import plain as shown
from traitbench.samples import Sample
from traitbench.statistics.style import Style, response_style
from traitbench.tables import Table, interval, number, plain
from traitbench.tasks import effects
from traitbench.tasks.block import Facts
from traitbench.tasks.board import Cell, Entry, Part, standing
from traitbench.tasks.differences import Overall, design_of
from traitbench.tasks.effect_board import EffectMetrics, TargetEffect, effect_row, effect_standing, in_common
from traitbench.tasks.effects import Contrast, UnitLevel, aimed
from traitbench.tasks.scoring import answer
from traitbench.tasks.shifts import DESIGNS, Shifts
from traitbench.tasks.standing import Standing
from traitbench.tasks.style_tables import statement_first
from traitbench.tasks.variation import Variation
from traitbench.tasks.verdict import Verdict
from traitbench.tasks.weighed import WeighedContrast
from traitbench.types import Mode, Record

__all__ = [
    "PairedMetrics",
    "PairedScores",
    "answers",
    "cells",
    "doubts",
    "group",
    "level_cells",
    "metrics",
    "paired_standing",
    "part",
    "shifts",
    "style_reasons",
    "styles",
]  # fmt: skip

_ASKED = {"orders": "order", "symbols": "symbols", "templates": "template"}
"""What decides how the pairs were asked -> the field of a sample that says it."""


class PairedScores(Record):
    """One scoring mode with trait values."""

    unit: Literal["POMP", "nats a token"]
    levels: dict[str, list[UnitLevel]]
    """Condition -> a level a trait: choice and generate 0 to 100, 50 without a preference; statement 0 without one."""
    effect: Overall | None
    """Mean over the contrasts that aim at one trait; null without any."""
    response_style: dict[str, Style]
    """Condition, and "all" for every condition together; empty for statement."""
    variation: Variation | None
    """Whether the answers vary, and the two orders agree on how."""
    templates: int
    """Wordings that each pair was asked in: a contrast's `items` has their values in this order, each with its fits."""
    halves: bool
    """Whether units whose high pole takes A and those whose high pole takes B are strata that count alike: choice in
    one order."""
    verdict: Verdict


class PairedMetrics(EffectMetrics):
    """One run in one scoring mode."""

    option_mass: float | None
    position_bias: float | None
    invalid: float | None


def _style(rows: Sequence[Sample]) -> Style:
    """How the answers were given. To choose between two texts is no agreement, so keys do not count here."""
    return response_style([answer(row)._replace(keyed=1) for row in rows], 0, 1)


def styles(conditions: Mapping[str, Sequence[Sample]], headline: Mapping[str, Sequence[Sample]]) -> dict[str, Style]:
    """The style of each condition, and of all that are `headline` together."""
    return {name: _style(mine) for name, mine in conditions.items()} | {
        "all": _style([row for mine in headline.values() for row in mine])
    }


def style_reasons(found: Style | None) -> Iterator[str]:
    """What the style of all conditions together calls for; null for statement."""
    if found is None:
        return
    yield from found.flags.values()
    if found.n and not any(found.positions):
        yield "not interpretable: no valid answer"
    elif found.position_bias is None:
        yield "caution: one order only: a liking for A is told from the trait by pairs alone (--orders forward,reverse)"


def shifts(
    scored: PairedScores, contrasts: Sequence[Contrast], parts: Sequence[Part], facts: Facts, rows: Sequence[Sample],
    mode: Mode,
) -> list[Shifts]:  # fmt: skip
    """What two runs are compared by, of the contrasts that aim at one trait and their parts; `rows` are the mode's."""
    asked = {name: ", ".join(sorted({str(getattr(row, field)) for row in rows})) for name, field in _ASKED.items()}
    return [
        Shifts(
            filter=mode, design=design_of(contrast.high, contrast.low, facts.conditions[0].name), part=mine,
            unit=scored.unit, hits={} if mode == "statement" else _hits(mine), asked=asked,
        )
        for contrast, mine in zip(contrasts, parts, strict=True)
    ]  # fmt: skip


def _hits(part: Part) -> dict[str, bool]:
    """Whether the probability of each unit moved as aimed, mean over wordings and fits."""
    known = {item: [cell for cell in cells if cell is not None] for item, cells in part.values.items()}
    return {item: sum(cells) / len(cells) > 1e-9 for item, cells in known.items()}


def part(contrast: WeighedContrast, scored: PairedScores, facets: Mapping[str, str], keys: Mapping[str, int]) -> Part:
    """One target: its units' shifts in the direction aimed at, with the strata and weights of the effect."""
    if scored.halves:
        return effects.part(contrast, scored.templates, facets, keys, "halves")
    made = effects.part(contrast, scored.templates, facets, {}, "items")
    return made.model_copy(update={"texts": {u: contrast.texts[u] for u in made.values if u in contrast.texts}})


def group(contrasts: Sequence[Contrast], facts: Facts, mode: Mode) -> str:
    """Name what a run was asked and aimed at; runs that share it are rivals. Empty without a contrast."""
    found = aimed(contrasts)
    if not found:
        return ""
    designs = {design_of(c.high, c.low, facts.conditions[0].name) for c in found}
    words = DESIGNS[designs.pop()] if len(designs) == 1 else "several kinds of targets"
    axes = () if mode == "statement" else ("orders", "symbols")
    asked = [f"{name} {plain(facts.administration.get(name))}" for name in axes]
    return "; ".join([words, ", ".join(sorted(c.target for c in found)), *asked])


def metrics(scored: PairedScores, contrasts: Sequence[Contrast], facts: Facts, mode: Mode) -> dict[str, Any]:
    """Fields of `PairedMetrics`, without the rank."""
    how = scored.response_style.get("all")
    return {
        **in_common(aimed(contrasts), scored.effect, facts),
        "unit": scored.unit,
        "group": group(contrasts, facts, mode),
        "verdict": scored.verdict.verdict,
        "option_mass": how.option_mass if how else None,
        "position_bias": how.position_bias if how else None,
        "invalid": sum(how.invalid.values()) if how else None,
    }


def cells(entry: Entry, m: PairedMetrics, mode: Mode, measured: bool, beside: Mapping[str, str]) -> dict[str, str]:
    """The cells of a line, `beside` right behind the effect; `measured`: some run of the table has a capability."""
    if m.targets:
        return effect_row(entry, m, mode, measured, effect=beside)
    return {"model": entry.model, "method": entry.label or entry.method, "position bias": number(m.position_bias),
            "option mass": number(m.option_mass), "verdict": standing(entry, mode)}  # fmt: skip


def paired_standing(
    entry: Entry, mode: Mode, m: PairedMetrics, targets: Sequence[TargetEffect], does: str, beside: Mapping[str, Cell]
) -> Standing:
    """The line of a run on the board; `beside` is shown on demand, first."""
    places = digits(mode)
    return effect_standing(entry, mode, m, targets, does)._replace(
        places=places - 1 if mode == "statement" else places,
        more={
            **beside,
            "d": Cell(shown(m.d), m.d),
            "position bias": Cell(shown(m.position_bias), m.position_bias),
            "option mass": Cell(shown(m.option_mass), m.option_mass),
        },
    )


def doubts(contrasts: Mapping[Mode, Sequence[Contrast]]) -> list[str]:
    """What each check that is not ok rests on; targets with the same reasons share a line."""
    whose: dict[tuple[str, str], list[str]] = {}
    for mode in statement_first(contrasts):
        for contrast in contrasts[mode]:
            if contrast.reasons:
                whose.setdefault((mode, "; ".join(contrast.reasons)), []).append(contrast.target)
    return [f"{mode}, {', '.join(targets)}: {why}." for (mode, why), targets in whose.items()]


def level_cells(levels: Sequence[UnitLevel], mode: Mode) -> list[str]:
    """A cell a trait."""
    return [interval(v.value, v.ci, digits(mode)) + (f" ({v.unscored} unscored)" if v.unscored else "") for v in levels]


def answers(task: str, modes: Mapping[Mode, PairedScores], what: str) -> Table:
    """How the answers of all conditions were given, a row a scoring mode with options; `what` is chosen."""
    rows = []
    for mode, scored in modes.items():
        if (found := scored.response_style.get("all")) is not None:
            rows.append([
                mode, str(found.n), " / ".join(f"{share:.0%}" for share in found.positions),
                number(found.position_bias), number(found.option_mass),
                ", ".join(f"{status} {share:.0%}" for status, share in found.invalid.items()) or "0 %",
            ])  # fmt: skip
    return Table(
        title=f"How the answers were given, all conditions, {task}",
        columns=["scoring", "requests", "chose A / B", "position bias", "option mass", "invalid"],
        rows=rows,
        notes=[f"Position bias: -1 always the first {what} as printed, 1 always the second, 0 none."],
    )
