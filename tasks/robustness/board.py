"""The robustness of an effect on the leaderboard: the plain effect, and what the worst context leaves of it."""

from __future__ import annotations

from collections.abc import Sequence

from traitbench.charts.chart import Estimate, plain
from traitbench.tables import Table, interval, number
from traitbench.tasks.block import Facts
from traitbench.tasks.board import Cell, Contender, Entry, standing
from traitbench.tasks.differences import design_of
from traitbench.tasks.robustness.contexts import PLAIN
from traitbench.tasks.robustness.summary import Contexts, worst
from traitbench.tasks.shifts import DESIGNS
from traitbench.tasks.standing import Standing, plainly
from traitbench.types import Mode, Record

__all__ = ["Metrics", "board_tables", "contender", "metrics", "robustness_standing"]

UNRANKED = "not ranked: the worst of several contexts is a selection"


class Metrics(Record):
    """One run in one scoring mode, of the mean over targets or the one target."""

    unit: str
    group: str = ""
    """Design and targets."""
    effect: float | None
    """In the plain context."""
    effect_ci: tuple[float, float] | None
    worst: str
    """The context that leaves least; empty where no share is known: nothing else was asked, or there is no effect."""
    others: int = 0
    """Contexts that were asked beside the plain one."""
    retained: float | None
    """Share of the plain effect that is left there."""
    retained_ci: tuple[float, float] | None
    half_life: float | None
    """Turns of neutral talk after which half of the effect is left."""
    slope: float | None
    """Change of the effect a turn of neutral talk."""
    slope_ci: tuple[float, float] | None
    gone_at: str | None
    """Rung of the ladder of pressure at which the effect is gone, while its replay keeps it."""
    pressure: dict[str, str]
    """Rung -> what came of it: held, caved, persuaded and so on."""
    rank_order: float | None
    """Stability of simulated respondents over contexts under the control, mean over conditions."""
    ipsative: float | None
    targets: int
    verdict: str
    unranked: str = ""
    rank: int | None = None
    rank_high: int | None = None
    superiority: float | None = None


def metrics(scored: Contexts, facts: Facts) -> Metrics:
    """What the leaderboard says of one scoring mode."""
    head = scored.targets[0] if scored.targets else None
    first = head.card.of(PLAIN) if head else None
    least = worst(head.card) if head else None
    drift = head.drift if head else None
    steady = list(scored.stability.values())
    own = [t.card for t in scored.targets if t.card.high]
    return Metrics(
        unit=scored.unit,
        group=_group(scored, facts),
        effect=first.effect.value if first else None,
        effect_ci=first.effect.ci if first else None,
        worst=least.context if least else "",
        others=len(scored.contexts) - 1,
        retained=least.retained if least else None,
        retained_ci=least.retained_ci if least else None,
        half_life=drift.half_life if drift else None,
        slope=drift.slope.value if drift else None,
        slope_ci=drift.slope.ci if drift else None,
        gone_at=head.gone_at if head else None,
        pressure={rung.name: rung.verdict for rung in head.rungs} if head else {},
        rank_order=_mean([one.rank_order.value for one in steady]),
        ipsative=_mean([one.ipsative.value for one in steady]),
        targets=len(own),
        verdict=scored.verdict.verdict,
        unranked=UNRANKED,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _group(scored: Contexts, facts: Facts) -> str:
    own = [t.card for t in scored.targets if t.card.high]
    if not own:
        return ""
    designs = {DESIGNS[design_of(card.high, card.low, facts.conditions[0].name)] for card in own}
    return "; ".join([" and ".join(sorted(designs)), ", ".join(sorted(card.target for card in own))])


def contender(found: Metrics) -> Contender:
    """What is left in the worst context."""
    return Contender(
        name="retained", value=found.retained, ci=found.retained_ci, group=found.group, unranked=found.unranked
    )


def board_tables(task: str, mode: Mode, entries: Sequence[Entry]) -> list[Table]:
    """A row a run, those that keep most of their effect first."""
    held = {entry.run: Metrics.model_validate(entry.metrics[mode]) for entry in entries}
    order = sorted(entries, key=lambda e: (held[e.run].retained is None, -(held[e.run].retained or 0), e.place))
    rows = [list(_row(entry, held[entry.run], mode).values()) for entry in order]
    columns = list(_row(order[0], held[order[0].run], mode)) if order else []
    return [Table(title=f"{task}, {mode}", columns=columns, rows=rows)]


def _row(entry: Entry, m: Metrics, mode: Mode) -> dict[str, str]:
    return {
        "model": entry.model,
        "method": entry.label or entry.method,
        "targets": str(m.targets),
        f"plain effect ({m.unit}) [95 %]": interval(m.effect, m.effect_ci),
        "worst context": m.worst or "–",
        "retained [95 %]": interval(m.retained, m.retained_ci),
        "half-life, turns": number(m.half_life, 1),
        "gone at": m.gone_at or "–",
        "under pressure": ", ".join(f"{rung} {word}" for rung, word in m.pressure.items()) or "–",
        "rank-order": number(m.rank_order),
        "ipsative": number(m.ipsative),
        "verdict": standing(entry, mode),
    }


def robustness_standing(entry: Entry, mode: Mode) -> Standing:
    """The share that the worst context leaves, with the plain effect beside it."""
    m = Metrics.model_validate(entry.metrics[mode])
    ends = m.effect_ci or (None, None)
    return plainly(entry, mode)._replace(
        measure="retained", unit="", does="keeps most of its effect", trivial=not m.targets, group_title=m.group,
        beside={
            "worst context": Cell(m.worst or "–", m.retained),
            "plain effect [95 %]": Cell(Estimate(m.effect, *ends).text(2), m.effect, m.unit),
            "gone at": Cell(m.gone_at or "–"),
        },
        more={
            "half-life, turns": Cell(plain(m.half_life, 1), m.half_life),
            "rank-order": Cell(plain(m.rank_order), m.rank_order),
            "ipsative": Cell(plain(m.ipsative), m.ipsative),
        },
    )  # fmt: skip
