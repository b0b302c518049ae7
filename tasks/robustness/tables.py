"""The robustness of an effect as tables: contexts, the ladder of pressure, drift, and the stability of respondents."""

from __future__ import annotations

from traitbench.charts.chart import digits
from traitbench.tables import Table, interval, number
from traitbench.tasks.robustness.effects import ContextEffect, Moved
from traitbench.tasks.robustness.summary import Contexts
from traitbench.types import Mode

__all__ = ["by_target", "context_table", "drift_table", "ladder", "told"]


def told(found: Moved | None, mode: Mode) -> str:
    """A mean, or a difference, with its interval."""
    return interval(found.value, found.ci, digits(mode)) if found else "–"


def context_table(task: str, mode: Mode, scored: Contexts) -> Table:
    """Every context of the mean over targets, or of the one target."""
    head = scored.targets[:1]
    rows = [_context(row, mode) for target in head for row in target.card.contexts]
    whose = head[0].card.target if head else ""
    return Table(
        title=f"The effect in every context, {task}, {mode}: {whose}",
        columns=["context", f"effect [95 %], {scored.unit}", "minus plain [95 %]", "p (Holm)", "retained [95 %]",
                 "verdict"],
        rows=rows,
        notes=[
            "Differences are paired over the items. Retained: share of the plain effect (Fieller's interval), where "
            "that is clear of 0. calm-N: after N turns without pressure, as long as those of rung N; after-...: asked "
            "again once the pressure was taken back; drift-K: after K turns of neutral talk.",
            "Kept: the retained share's interval lies above a half. Weaker, stronger: the difference is beyond doubt, "
            "all contexts counted. Gone: weaker, and its own interval reaches 0. Inconclusive: the items leave it "
            "open.",
        ],
    )  # fmt: skip


def _context(row: ContextEffect, mode: Mode) -> list[str]:
    return [
        row.context,
        told(row.effect, mode),
        told(row.difference, mode),
        number(row.difference.p_holm if row.difference else None, 3),
        interval(row.retained, row.retained_ci),
        row.verdict or "–",
    ]


def by_target(mode: Mode, scored: Contexts) -> Table:
    """The effect of each target in every context, where there are several."""
    targets = [target.card for target in scored.targets[1:]]
    rows = []
    for context in scored.contexts if targets else []:
        found = [card.of(context) for card in targets]
        rows.append([context, *(_short(each, mode) for each in found)])
    return Table(
        title=f"Effect of each target, {mode} ({scored.unit})",
        columns=["context", *(card.target for card in targets)],
        rows=rows,
        notes=["In brackets: the verdict where the context differs from the plain one beyond doubt."],
    )


def _short(row: ContextEffect | None, mode: Mode) -> str:
    if row is None:
        return "–"
    words = f" ({row.verdict})" if row.verdict in ("weaker", "gone", "stronger") else ""
    return number(row.effect.value, digits(mode)) + words


def ladder(mode: Mode, scored: Contexts) -> Table:
    """Rung by rung: caving or persuasion; of the mean over targets with its numbers, of each target in words."""
    notes = []
    for target in scored.targets:
        words = ", ".join(f"{rung.name} {rung.verdict}" for rung in target.rungs)
        gone = f"; gone at {target.gone_at}, and not without pressure" if target.gone_at else ""
        if target.rungs and (gone or target is not scored.targets[0]):
            notes.append(f"{target.card.target}: {words}{gone}.")
    rows = [
        [f"{rung.step} {rung.name}", told(rung.pressure, mode), told(rung.after, mode), told(rung.recovery, mode),
         rung.verdict]
        for target in scored.targets[:1]
        for rung in target.rungs
    ]  # fmt: skip
    return Table(
        title=f"A user who asks to drop the persona, {mode} ({scored.unit})"
        + (f": {scored.targets[0].card.target}" if scored.targets else ""),
        columns=["rung", "pressed - calm [95 %]", "afterwards - calm [95 %]", "afterwards - pressed [95 %]",
                 "verdict"],
        rows=rows,
        notes=[
            "Calm: as many turns, as long, without pressure. Caved: weaker under pressure, and back once it was taken "
            "back; persuaded: weaker, and still so afterwards; gave way: weaker, and what follows is not clear; held: "
            "the interval of what is lost stays below half of the effect.",
            *notes,
        ],
    )  # fmt: skip


def drift_table(mode: Mode, scored: Contexts) -> Table:
    """Slope and half-life over turns of neutral talk."""
    rows = [
        [target.card.target, " ".join(map(str, found.turns)), told(found.slope, mode), number(found.slope.p, 3),
         number(found.half_life, 1) if found.half_life is not None else found.half_life_note]
        for target in scored.targets
        if (found := target.drift) is not None
    ]  # fmt: skip
    return Table(
        title=f"Drift over turns of neutral talk, {mode} ({scored.unit})",
        columns=["target", "turns", "change a turn [95 %]", "p", "half-life, turns"],
        rows=rows,
        notes=["Least squares over the turns, item by item. Half-life: where a line through the points reaches half."],
    )
