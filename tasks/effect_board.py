"""The leaderboard of tasks whose effect is a mean over targets of shifts of their units: numbers, tables, lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from traitbench.charts.chart import Estimate
from traitbench.tables import Table, interval, number, ratio
from traitbench.tasks.block import Facts
from traitbench.tasks.board import Contender, Entry, Part, capability_cell, rank_text, standing, unranked
from traitbench.tasks.differences import Overall
from traitbench.tasks.effects import Contrast, mean_known, sign, toward, toward_ci
from traitbench.tasks.standing import Dot, Standing, plainly
from traitbench.types import Record

__all__ = ["EffectMetrics", "TargetEffect", "contender", "effect_row", "effect_standing", "in_common", "rivals", "told"]


class TargetEffect(Record):
    """One target of a run, in the direction aimed at."""

    target: str
    effect: float | None
    effect_ci: tuple[float, float] | None = None
    check: str | None = None
    reasons: list[str] = []


class EffectMetrics(Record):
    """One run in one scoring mode."""

    unit: str
    group: str = ""
    """Design, targets and how was asked: those who share it are ranked with each other."""
    effect: float | None
    """Mean over targets of the shift of the trait aimed at, in the direction aimed at."""
    effect_ci: tuple[float, float] | None
    covers: list[str] = []
    """What the interval of the effect covers."""
    d: float | None
    """Mean over targets of the effect over the SD between units, in the direction aimed at."""
    moved: float | None
    """Share of the units that moved as aimed, mean over targets."""
    leakage: float | None
    """Root mean square over targets."""
    perplexity: float | None
    """Damage: the largest perplexity of neutral text under the edits of a condition, over that without."""
    targets: int
    cautions: int
    """Targets whose check is `caution`."""
    verdict: str
    unranked: str = ""
    """Why it has no rank; empty where it has one, or might."""
    rank: int | None = None
    rank_high: int | None = None
    superiority: float | None = None


Kind = TypeVar("Kind", bound=EffectMetrics)


def in_common(found: Sequence[Contrast], effect: Overall | None, facts: Facts) -> dict[str, Any]:
    """Fields of `EffectMetrics`, from the contrasts that aim at one trait and their mean."""
    leaks = [c.leakage for c in found if c.leakage is not None]
    return {
        "effect": effect.value if effect else None,
        "effect_ci": effect.ci if effect else None,
        "covers": effect.covers if effect else [],
        "d": mean_known([sign(c) * c.effect.d if c.effect and c.effect.d is not None else None for c in found]),
        "moved": mean_known([c.moved.value if c.moved else None for c in found]),
        "leakage": (sum(x * x for x in leaks) / len(leaks)) ** 0.5 if leaks else None,
        "perplexity": facts.damage,
        "targets": len(found),
        "cautions": sum(c.check == "caution" for c in found),
    }


def told(found: Contrast) -> dict[str, Any]:
    """Fields of `TargetEffect`."""
    effect = found.effect
    return {
        "target": found.target, "effect": toward(found, effect), "effect_ci": toward_ci(found, effect),
        "check": found.check, "reasons": found.reasons,
    }  # fmt: skip


def contender(
    m: EffectMetrics, parts: Sequence[Part], facts: Facts, contaminated: int, otherwise: str = ""
) -> Contender:
    """The mean effect with the shifts that it is made of; `otherwise`: why it has no rank, where no number says so."""
    why = unranked(m.effect, m.effect_ci, m.verdict, facts.config.get("limit"), contaminated)
    return Contender(
        name="effect", value=m.effect, ci=m.effect_ci, group=m.group, unranked=why or otherwise, parts=list(parts)
    )


def rivals(
    entries: Sequence[Entry],
    held: Mapping[str, Kind],
    title: Callable[[str, Kind], str],
    cells: Callable[[Entry, Kind, bool], dict[str, str]],
) -> list[Table]:
    """A table a group of rivals, the best first, then what aims at nothing.

    `held`: run -> its numbers; `title` is given the group in words and the first run's numbers; `cells` a line's, with
    whether some run of the table has a capability.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(held[entry.run].group, []).append(entry)
    out = []
    for name in sorted(groups, key=lambda name: (not name, -len(groups[name]), name)):
        order = sorted(groups[name], key=lambda e: (held[e.run].rank is None, -(held[e.run].effect or 0), e.place))
        measured = any(entry.capability for entry in order)
        rows = [cells(entry, held[entry.run], measured) for entry in order]
        words = title(name.partition("; ")[0] or "baselines", held[order[0].run])
        out.append(Table(title=words, columns=list(rows[0]), rows=[list(row.values()) for row in rows]))
    return out


def effect_row(
    entry: Entry, m: EffectMetrics, filter: str, measured: bool, **beside: Mapping[str, str]
) -> dict[str, str]:
    """The cells of a line that aims at something.

    `beside`: cells of the task's own, behind the `effect` or behind the `leakage`.
    """
    return {
        "rank": rank_text(m.rank, m.rank_high),
        "model": entry.model,
        "method": entry.label or entry.method,
        f"effect ({m.unit}) [95 %]": interval(m.effect, m.effect_ci),
        **beside.get("effect", {}),
        "leakage": number(m.leakage),
        **beside.get("leakage", {}),
        "damage": ratio(m.perplexity),
        **({"capability [95 %]": capability_cell(entry).text} if measured else {}),
        "targets ok": f"{m.targets - m.cautions}/{m.targets}",
        "P(better)": number(m.superiority),
        "verdict": standing(entry, filter, m.unranked),
    }


def effect_standing(
    entry: Entry, filter: str, m: EffectMetrics, targets: Sequence[TargetEffect], does: str
) -> Standing:
    """The mean effect over targets, and each target; without targets it is trivial."""
    plain, hit = plainly(entry, filter), m.targets > 0
    return plain._replace(
        value=Estimate(m.effect, *(m.effect_ci or (None, None))),
        measure="effect",
        unit=m.unit,
        does=does,
        group=plain.group if hit else "",
        group_title=plain.group if hit else "",
        trivial=not hit,
        dots=[
            Dot(c.target, Estimate(c.effect, *(c.effect_ci or (None, None))), c.check == "ok", c.reasons)
            for c in targets
        ],
        leakage=m.leakage,
        damage=m.perplexity,
        covers=m.covers,
    )
