"""Written replies on the leaderboard: the numbers of a run, what is ranked, and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from traitbench.charts.chart import Estimate, plain
from traitbench.tables import Table, interval, number, ratio
from traitbench.tasks.block import Facts
from traitbench.tasks.board import Cell, Contender, Entry, Row, rank_text, standing, unranked
from traitbench.tasks.effects import mean_known, sign, toward, toward_ci
from traitbench.tasks.standing import Dot, Standing, plainly
from traitbench.tasks.written.comparison import FILTER, group, part, ranked
from traitbench.tasks.written.effects import ReplyContrast
from traitbench.tasks.written.records import Written
from traitbench.types import Record

__all__ = ["LEGEND", "Metrics", "TargetCell", "board_tables", "row", "written_standing"]

LEGEND = (
    "Written replies: the effect is on ratings of what the model writes, in points of a scale from 0 to 5, by the "
    "judges that the table names. Composite: high mean + 6 - low mean on a scale from 1 to 5; 6 is no effect."
)


class TargetCell(Record):
    """One target of a run, in the direction aimed at."""

    target: str
    effect: float | None
    effect_ci: tuple[float, float] | None = None
    composite: float | None = None
    longer: float | None = None
    """Tokens by which replies became longer, high minus low."""
    check: str | None = None
    reasons: list[str] = []


class Metrics(Record):
    """One run with its written replies."""

    unit: str
    group: str = ""
    """Design, targets, judges and how replies were written: those who share it are ranked with each other."""
    judges: list[str]
    """Those whose mean the numbers are."""
    effect: float | None
    """Mean over targets of the shift of the trait aimed at, in the direction aimed at."""
    effect_ci: tuple[float, float] | None
    covers: list[str] = []
    composite: float | None
    """Mean over targets of high mean + 6 - low mean, 1 to 5; null unless all of them have it."""
    d: float | None
    moved: float | None
    """Share of the questions that moved as aimed, mean over targets."""
    leakage: float | None
    """Root mean square over targets."""
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
    perplexity: float | None
    """Damage: the largest perplexity of neutral text under the edits of a condition, over that without."""
    by_target: list[TargetCell] = []
    targets: int
    cautions: int
    """Targets whose check is `caution`."""
    verdict: str
    unranked: str = ""
    rank: int | None = None
    rank_high: int | None = None
    superiority: float | None = None


def row(found: Written, facts: Facts, facets: Mapping[str, str], contaminated: int) -> Row:
    """A run's row: the mean effect is ranked, where enough judges stand behind it."""
    told = metrics(found, facts)
    why = unranked(told.effect, told.effect_ci, told.verdict, facts.config.get("limit"), contaminated)
    contender = Contender(
        name="effect", value=told.effect, ci=told.effect_ci, group=told.group, unranked=why or found.unranked,
        parts=[part(c, found, facets) for c in ranked(found)],
    )  # fmt: skip
    return Row(
        metrics=told.model_copy(update={"unranked": contender.unranked}).model_dump(mode="json"),
        contenders=[contender], verdict=found.verdict.verdict, reasons=found.verdict.reasons,
    )  # fmt: skip


def metrics(found: Written, facts: Facts) -> Metrics:
    """What the leaderboard says of a run, without the rank."""
    held, rated, asked = ranked(found), found.rated, [found.judges[judge].asking for judge in found.counted]
    leaks = [c.leakage for c in held if c.leakage is not None]
    harm = [c.perplexity for c in facts.conditions if c.headline and c.perplexity is not None]
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
        unit=found.unit,
        group=group(found, facts),
        judges=found.counted,
        effect=rated.effect.value if rated and rated.effect else None,
        effect_ci=rated.effect.ci if rated and rated.effect else None,
        covers=rated.effect.covers if rated and rated.effect else [],
        composite=mean_known([c.composite.value if c.composite else None for c in held]),
        d=mean_known([sign(c) * c.effect.d if c.effect and c.effect.d is not None else None for c in held]),
        moved=mean_known([c.moved.value if c.moved else None for c in held]),
        leakage=(sum(x * x for x in leaks) / len(leaks)) ** 0.5 if leaks else None,
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
        perplexity=max(harm, default=None),
        by_target=[_cell(c) for c in held],
        targets=len(held),
        cautions=sum(c.check == "caution" for c in held),
        verdict=found.verdict.verdict,
    )


def _cell(contrast: ReplyContrast) -> TargetCell:
    effect, whole, longer = contrast.effect, contrast.composite, contrast.length
    return TargetCell(
        target=contrast.target, effect=toward(contrast, effect), effect_ci=toward_ci(contrast, effect),
        composite=whole.value if whole else None, longer=longer.value if longer else None, check=contrast.check,
        reasons=contrast.reasons,
    )  # fmt: skip


def board_tables(task: str, entries: Sequence[Entry]) -> list[Table]:
    """The leaderboard: a table a group of rivals, then what aims at nothing."""
    held = {entry.run: Metrics.model_validate(entry.metrics[FILTER]) for entry in entries}
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(held[entry.run].group, []).append(entry)
    out = []
    for name in sorted(groups, key=lambda name: (not name, -len(groups[name]), name)):
        order = sorted(groups[name], key=lambda e: (held[e.run].rank is None, -(held[e.run].effect or 0), e.place))
        rows = [_row(entry, held[entry.run]) for entry in order]
        words, judges = name.partition("; ")[0] or "baselines", held[order[0].run].judges
        title = f"{task}, {FILTER}: {words}" + (f", rated by {' and '.join(judges)}" if judges else "")
        out.append(Table(title=title, columns=list(rows[0]), rows=[list(row.values()) for row in rows]))
    return out


def _row(entry: Entry, m: Metrics) -> dict[str, str]:
    said = standing(entry, FILTER)
    fluent = {"distinct pairs": number(m.distinct), "refusals": _percent(m.refusal), "repeats": _percent(m.repetitive)}
    if not m.targets:
        return {"model": entry.model, "method": entry.label or entry.method, "tokens": number(m.tokens, 1), **fluent,
                "verdict": said}  # fmt: skip
    return {
        "rank": rank_text(m.rank, m.rank_high),
        "model": entry.model,
        "method": entry.label or entry.method,
        f"effect ({m.unit}) [95 %]": interval(m.effect, m.effect_ci),
        "composite": number(m.composite),
        "leakage": number(m.leakage),
        "longer by": number(m.longer, 1),
        **fluent,
        "damage": ratio(m.perplexity),
        "targets ok": f"{m.targets - m.cautions}/{m.targets}",
        "P(better)": number(m.superiority),
        "verdict": said if m.unranked in ("", said) else f"{said}; {m.unranked}",
    }


def written_standing(entry: Entry) -> Standing:
    """The mean effect over targets, each target, and what stands beside; without targets it is trivial."""
    m = Metrics.model_validate(entry.metrics[FILTER])
    told, hit = plainly(entry, FILTER), m.targets > 0
    return told._replace(
        value=Estimate(m.effect, *(m.effect_ci or (None, None))),
        measure="effect",
        unit=m.unit,
        does="moves the written replies furthest",
        group=told.group if hit else "",
        group_title=told.group if hit else "",
        trivial=not hit,
        dots=[
            Dot(c.target, Estimate(c.effect, *(c.effect_ci or (None, None))), c.check == "ok", c.reasons)
            for c in m.by_target
        ],
        leakage=m.leakage,
        damage=m.perplexity,
        covers=m.covers,
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
