"""The forced choice on the leaderboard: the numbers of a run in one scoring mode, what is ranked, and its tables."""

from __future__ import annotations

from collections.abc import Sequence

from traitbench.charts.chart import Estimate, digits, plain
from traitbench.tables import Table, interval, number, ratio
from traitbench.tasks.block import Facts
from traitbench.tasks.board import Cell, Contender, Entry, capability_cell, rank_text, standing, unranked
from traitbench.tasks.effects import aimed, mean_known, sign, toward, toward_ci
from traitbench.tasks.forced_choice.comparison import group, part
from traitbench.tasks.forced_choice.effects import ForcedContrast
from traitbench.tasks.forced_choice.summary import ForcedChoiceBlock, ForcedScores
from traitbench.tasks.standing import Dot, Standing, plainly
from traitbench.types import Mode, Record

__all__ = ["Metrics", "TargetCell", "board_tables", "contender", "forced_standing", "metrics"]


class TargetCell(Record):
    """One target of a run, in the direction aimed at."""

    target: str
    effect: float | None
    effect_ci: tuple[float, float] | None = None
    apart: float | None = None
    """With the other traits held apart."""
    check: str | None = None
    reasons: list[str] = []


class Metrics(Record):
    """One run in one scoring mode."""

    unit: str
    group: str = ""
    """Design, targets and how the pairs were asked: those who share it are ranked with each other."""
    effect: float | None
    """Mean over targets of the shift of the trait aimed at, in the direction aimed at."""
    effect_ci: tuple[float, float] | None
    covers: list[str] = []
    """What the interval of the effect covers."""
    apart: float | None
    """The same with the other traits held apart."""
    d: float | None
    moved: float | None
    """Share of the units that moved as aimed, mean over targets."""
    leakage: float | None
    """Root mean square over targets; partly made by the form."""
    option_mass: float | None
    position_bias: float | None
    invalid: float | None
    perplexity: float | None
    """Damage: the largest perplexity of neutral text under the edits of a condition, over that without."""
    by_target: list[TargetCell] = []
    targets: int
    cautions: int
    """Targets whose check is `caution`."""
    verdict: str
    unranked: str = ""
    """Why it has no rank; empty where it has one, or might."""
    rank: int | None = None
    rank_high: int | None = None
    superiority: float | None = None


def metrics(scored: ForcedScores, facts: Facts, mode: Mode) -> Metrics:
    """What the leaderboard says of one scoring mode, without the rank."""
    found, style = aimed(scored.contrasts), scored.response_style.get("all")
    leaks = [c.leakage for c in found if c.leakage is not None]
    damage = [c.perplexity for c in facts.conditions if c.headline and c.perplexity is not None]
    return Metrics(
        unit=scored.unit,
        group=group(scored, facts, mode),
        effect=scored.effect.value if scored.effect else None,
        effect_ci=scored.effect.ci if scored.effect else None,
        covers=scored.effect.covers if scored.effect else [],
        apart=mean_known([_apart(c) for c in found]),
        d=mean_known([sign(c) * c.effect.d if c.effect and c.effect.d is not None else None for c in found]),
        moved=mean_known([c.moved.value if c.moved else None for c in found]),
        leakage=(sum(x * x for x in leaks) / len(leaks)) ** 0.5 if leaks else None,
        option_mass=style.option_mass if style else None,
        position_bias=style.position_bias if style else None,
        invalid=sum(style.invalid.values()) if style else None,
        perplexity=max(damage, default=None),
        by_target=[
            TargetCell(target=c.target, effect=toward(c, c.effect), effect_ci=toward_ci(c, c.effect), apart=_apart(c),
                       check=c.check, reasons=c.reasons)
            for c in found
        ],
        targets=len(found),
        cautions=sum(c.check == "caution" for c in found),
        verdict=scored.verdict.verdict,
    )  # fmt: skip


def _apart(contrast: ForcedContrast) -> float | None:
    own = next((each for each in contrast.apart if each.trait in contrast.aimed), None)
    return None if own is None else sign(contrast) * own.value


def contender(
    found: Metrics, scored: ForcedScores, block: ForcedChoiceBlock, facts: Facts, contaminated: int
) -> Contender:
    """The mean effect with the shifts of the units that it is made of."""
    return Contender(
        name="effect",
        value=found.effect,
        ci=found.effect_ci,
        group=found.group,
        unranked=unranked(found.effect, found.effect_ci, found.verdict, facts.config.get("limit"), contaminated),
        parts=[part(c, scored, block) for c in aimed(scored.contrasts)],
    )


def board_tables(task: str, mode: Mode, entries: Sequence[Entry]) -> list[Table]:
    """The leaderboard of one scoring mode: a table a group of rivals, then what aims at nothing."""
    held = {entry.run: Metrics.model_validate(entry.metrics[mode]) for entry in entries}
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(held[entry.run].group, []).append(entry)
    out = []
    for name in sorted(groups, key=lambda name: (not name, -len(groups[name]), name)):
        order = sorted(groups[name], key=lambda e: (held[e.run].rank is None, -(held[e.run].effect or 0), e.place))
        measured = any(entry.capability for entry in order)
        rows = [_row(entry, held[entry.run], mode, measured) for entry in order]
        title = f"{task}, {mode}: {name.partition('; ')[0] or 'baselines'}"
        out.append(Table(title=title, columns=list(rows[0]), rows=[list(row.values()) for row in rows]))
    return out


def _row(entry: Entry, m: Metrics, mode: Mode, measured: bool) -> dict[str, str]:
    """The cells of a line; `measured` says that some run of the table has a capability."""
    said = standing(entry, mode)
    if not m.targets:
        return {"model": entry.model, "method": entry.label or entry.method, "position bias": number(m.position_bias),
                "option mass": number(m.option_mass), "verdict": said}  # fmt: skip
    return {
        "rank": rank_text(m.rank, m.rank_high),
        "model": entry.model,
        "method": entry.label or entry.method,
        f"effect ({m.unit}) [95 %]": interval(m.effect, m.effect_ci),
        "apart": number(m.apart),
        "leakage": number(m.leakage),
        "damage": ratio(m.perplexity),
        **({"capability [95 %]": capability_cell(entry).text} if measured else {}),
        "targets ok": f"{m.targets - m.cautions}/{m.targets}",
        "P(better)": number(m.superiority),
        "verdict": said if m.unranked in ("", said) else f"{said}; {m.unranked}",
    }


def forced_standing(entry: Entry, mode: Mode) -> Standing:
    """The mean effect over targets, each target, and what stands beside; without targets it is trivial."""
    m, places = Metrics.model_validate(entry.metrics[mode]), digits(mode)
    told, hit = plainly(entry, mode), m.targets > 0
    return told._replace(
        value=_estimate(m.effect, m.effect_ci),
        measure="effect",
        unit=m.unit,
        places=places - 1 if mode == "statement" else places,
        does="moves the statements that it is aimed at furthest, against others that are as desirable",
        group=told.group if hit else "",
        group_title=told.group if hit else "",
        trivial=not hit,
        dots=[Dot(c.target, _estimate(c.effect, c.effect_ci), c.check == "ok", c.reasons) for c in m.by_target],
        leakage=m.leakage,
        damage=m.perplexity,
        covers=m.covers,
        more={
            "apart": Cell(plain(m.apart, places), m.apart),
            "d": Cell(plain(m.d), m.d),
            "position bias": Cell(plain(m.position_bias), m.position_bias),
            "option mass": Cell(plain(m.option_mass), m.option_mass),
        },
    )


def _estimate(value: float | None, ci: tuple[float, float] | None) -> Estimate:
    return Estimate(value, *(ci or (None, None)))
