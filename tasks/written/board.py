"""Written replies on the leaderboard: the numbers of a run, what is ranked, and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from traitbench.charts.chart import plain
from traitbench.tables import Table, number
from traitbench.tasks.block import Facts
from traitbench.tasks.board import Cell, Entry, Row, standing
from traitbench.tasks.effect_board import (
    EffectMetrics,
    TargetEffect,
    contender,
    effect_row,
    effect_standing,
    in_common,
    rivals,
    told,
)
from traitbench.tasks.effects import mean_known
from traitbench.tasks.standing import Standing
from traitbench.tasks.written.comparison import FILTER, group, part, ranked
from traitbench.tasks.written.effects import ReplyContrast
from traitbench.tasks.written.records import Written

__all__ = ["LEGEND", "Metrics", "TargetCell", "board_tables", "row", "written_standing"]

LEGEND = (
    "Written replies: the effect is on ratings of what the model writes, in points of a scale from 0 to 5, by the "
    "judges that the table names. Composite: high mean + 6 - low mean on a scale from 1 to 5; 6 is no effect."
)


class TargetCell(TargetEffect):
    """One target of a run, in the direction aimed at."""

    composite: float | None = None
    longer: float | None = None
    """Tokens by which replies became longer, high minus low."""


class Metrics(EffectMetrics):
    """One run with its written replies; those with the same judges too are ranked with each other."""

    judges: list[str]
    """Those whose mean the numbers are."""
    composite: float | None
    """Mean over targets of high mean + 6 - low mean, 1 to 5; null unless all of them have it."""
    longer: float | None
    """Tokens by which replies became longer, high minus low: the largest over targets, whatever its sign."""
    agreement: float | None
    """The least ICC(2,1) of a trait aimed at; null with one judge."""
    coverage: float | None
    """Share of all replies with a rating."""
    option_mass: float | None
    """The least of a judge's means."""
    abstained: float | None
    refusal: float | None
    """Share of all replies that refuse; so with the next two."""
    repetitive: float | None
    unreadable: float | None
    """Empty, or in another language."""
    tokens: float | None
    distinct: float | None
    """Share of distinct word pairs within a reply, under the control."""
    distinct_change: float | None
    """The same minus that of the baseline: below zero the control costs fluency."""
    by_target: list[TargetCell] = []


def row(found: Written, facts: Facts, facets: Mapping[str, str], contaminated: int) -> Row:
    """A run's row: the mean effect is ranked, where enough judges stand behind it."""
    mine = metrics(found, facts)
    ranks = contender(mine, [part(c, found, facets) for c in ranked(found)], facts, contaminated, found.unranked)
    return Row(
        metrics=mine.model_copy(update={"unranked": ranks.unranked}).model_dump(mode="json"),
        contenders=[ranks], verdict=found.verdict.verdict, reasons=found.verdict.reasons,
    )  # fmt: skip


def metrics(found: Written, facts: Facts) -> Metrics:
    """What the leaderboard says of a run, without the rank."""
    held, rated, asked = ranked(found), found.rated, [found.judges[judge].asking for judge in found.counted]
    masses = [a.option_mass for a in asked if a and a.option_mass is not None]
    plainest, steered = facts.conditions[0].name, [c.name for c in facts.conditions[1:] if c.headline]
    mine = [found.replies[name] for name in steered or [plainest]]
    distinct = mean_known([r.distinct for r in mine])
    base = found.replies[plainest].distinct
    whole = sum(r.n for r in mine)

    def share(*statuses: str) -> float | None:
        return sum(r.statuses.get(s, 0) for r in mine for s in statuses) / whole if whole else None

    known = [found.agreement[c.effect.trait].single for c in held if c.effect and c.effect.trait in found.agreement]
    agreed = [value for value in known if value is not None]
    lengths = [c.length.value for c in held if c.length and c.length.value is not None]
    tokens = [r.tokens for r in mine if r.tokens is not None]
    return Metrics(
        **in_common(held, rated.effect if rated else None, facts),
        unit=found.unit,
        group=group(found, facts),
        judges=found.counted,
        composite=mean_known([c.composite.value if c.composite else None for c in held]),
        longer=max(lengths, key=abs, default=None),
        agreement=min(agreed, default=None),
        coverage=rated.coverage if rated else None,
        option_mass=min(masses, default=None),
        abstained=mean_known([a.abstained if a else None for a in asked]),
        refusal=share("refusal"),
        repetitive=share("repetitive"),
        unreadable=share("empty", "foreign"),
        tokens=fmean(tokens) if tokens else None,
        distinct=distinct,
        distinct_change=distinct - base if steered and distinct is not None and base is not None else None,
        by_target=[_cell(c) for c in held],
        verdict=found.verdict.verdict,
    )


def _cell(contrast: ReplyContrast) -> TargetCell:
    whole, longer = contrast.composite, contrast.length
    return TargetCell(
        **told(contrast), composite=whole.value if whole else None, longer=longer.value if longer else None
    )


def board_tables(task: str, entries: Sequence[Entry]) -> list[Table]:
    """The leaderboard: a table a group of rivals, then what aims at nothing."""
    held = {entry.run: Metrics.model_validate(entry.metrics[FILTER]) for entry in entries}

    def title(words: str, m: Metrics) -> str:
        return f"{task}, {FILTER}: {words}" + (f", rated by {' and '.join(m.judges)}" if m.judges else "")

    return rivals(entries, held, title, _row)


def _row(entry: Entry, m: Metrics, measured: bool) -> dict[str, str]:
    fluent = {"distinct pairs": number(m.distinct), "refusals": _percent(m.refusal), "repeats": _percent(m.repetitive)}
    if not m.targets:
        return {"model": entry.model, "method": entry.label or entry.method, "tokens": number(m.tokens, 1), **fluent,
                "verdict": standing(entry, FILTER)}  # fmt: skip
    beside = {"longer by": number(m.longer, 1), **fluent}
    return effect_row(entry, m, FILTER, measured, effect={"composite": number(m.composite)}, leakage=beside)


def written_standing(entry: Entry) -> Standing:
    """The mean effect over targets, each target, and what stands beside; without targets it is trivial."""
    m = Metrics.model_validate(entry.metrics[FILTER])
    return effect_standing(entry, FILTER, m, m.by_target, "moves the written replies furthest")._replace(
        beside={"composite": Cell(plain(m.composite), m.composite)},
        more={
            "d": Cell(plain(m.d), m.d),
            "longer by": Cell(plain(m.longer, 1), m.longer),
            "distinct pairs": Cell(plain(m.distinct), m.distinct),
            "refusals": Cell(_percent(m.refusal), m.refusal),
            "repeats": Cell(_percent(m.repetitive), m.repetitive),
            "replies rated": Cell(_percent(m.coverage), m.coverage),
            "agreement": Cell(plain(m.agreement), m.agreement),
        },
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
