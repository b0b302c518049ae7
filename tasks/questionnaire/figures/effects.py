"""Effects with their intervals, and what moved beside the trait aimed at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from traitbench.charts.chart import (
    Figure,
    by_target,
    concat,
    digits,
    figure,
    grid_cells,
    grid_width,
    line_at,
    plain,
    unit,
)
from traitbench.charts.theme import VERDICTS
from traitbench.tasks.questionnaire.figures.runs import Run, effects, scaled
from traitbench.types import Mode

__all__ = ["forest", "matrices"]


def forest(runs: Sequence[Run], mode: Mode) -> Figure | None:
    """Effects with their 95 % intervals, by target and run; None where no run aims at a trait."""
    rows: list[dict[str, Any]] = [
        {"target": c.target, "run": run.label, "value": e.value, "low": e.low, "high": e.high,
         "verdict": run.verdict(mode), "shown": e.text(digits(mode)),
         "check": "; ".join([c.check or "–", *c.reasons])}
        for run in runs for c, e in effects(run, mode)
    ]  # fmt: skip
    if not rows:
        return None
    several = len({row["run"] for row in rows}) > 1
    task, clear = runs[0].task, sum(row["low"] is not None and row["low"] * row["high"] > 0 for row in rows)
    values = [row["value"] for row in rows]
    return figure(
        task, mode, "effects", f"Effect of the control, {mode} scoring",
        f"How far the trait aimed at moved, in {unit(mode)}, with its 95 % interval over items. Where the line crosses "
        "zero, the items do not show that the trait moved at all. The mark is the verdict on the run.",
        f"Dot and interval chart of {len(rows)} effects of {len({r['run'] for r in rows})} run(s) in {mode} scoring: "
        f"from {plain(min(values), digits(mode))} to {plain(max(values), digits(mode))} {unit(mode)}; {clear} of "
        f"{len(rows)} intervals exclude zero.",
        _forest(rows, mode, several),
        ["target", "run", f"effect [95 %], {unit(mode)}", "check", "verdict of the run"],
        [[row["target"], row["run"], row["shown"], row["check"], row["verdict"]] for row in rows],
    )  # fmt: skip


def _forest(rows: list[dict[str, Any]], mode: Mode, several: bool) -> dict[str, Any]:
    tips = {"target": "target", "run": "run", "shown": f"effect, {unit(mode)}", "check": "check", "verdict": "verdict"}
    tip = [{"field": field, "title": title} for field, title in tips.items()]
    kind = {"field": "verdict", "type": "nominal", "title": "verdict"}
    legend = {"orient": "bottom", "title": "verdict of the run"}
    layers = [
        line_at(0),
        {"mark": {"type": "rule", "style": "interval"},
         "encoding": {"x": {"field": "low", "type": "quantitative"}, "x2": {"field": "high"}}},
        {"mark": "point", "encoding": {
            "x": {"field": "value", "type": "quantitative", "title": f"effect, {unit(mode)}"},
            "color": {**kind, "scale": {"domain": list(VERDICTS), "range": "verdicts"}, "legend": legend},
            "shape": {**kind, "scale": {"domain": list(VERDICTS), "range": "shapes"}, "legend": legend},
            "tooltip": tip}},
    ]  # fmt: skip
    return by_target(rows, layers, several)


def matrices(runs: Sequence[Run], mode: Mode) -> Figure | None:
    """Target x trait shifts, a panel a run, on one colour scale; None where there is no contrast."""
    panels: dict[str, list[dict[str, Any]]] = {}
    table = []
    for run in runs:
        scored = run.scored(mode)
        card = scored.scorecard if scored else None
        for contrast in card.contrasts if card else []:
            for shift in contrast.shifts:
                e = scaled(shift, run, mode)
                shown = e.text(digits(mode))
                own = shift.trait in contrast.aimed
                panels.setdefault(run.label, []).append(
                    {"target": contrast.target, "trait": shift.trait, "value": e.value, "own": own, "shown": shown}
                )
                table.append([run.label, contrast.target, shift.trait, "yes" if own else "", shown])
    values = [abs(row["value"]) for rows in panels.values() for row in rows if row["value"] is not None]
    if not values:
        return None
    bound = max(values) or 1.0
    specs = [
        {"title": {"text": label} if len(panels) > 1 else None,
         **grid_cells(rows, ("trait", "trait measured"), ("target", "target"), bound, f"shift, {unit(mode)}", "none")}
        for label, rows in panels.items()
    ]  # fmt: skip
    return figure(
        runs[0].task, mode, "targets and traits", f"What moved: target x trait, {mode} scoring",
        f"Each row is one target, each column a trait that was measured; the number is how far it moved, in "
        f"{unit(mode)}. The outlined cell is the trait aimed at; the rest of its row is leakage. Blue is less of the "
        "trait, orange more; neither is better.",
        f"Heat map of the shifts of every trait under every target, {len(panels)} run(s), {mode} scoring; from "
        f"{plain(-bound, digits(mode))} to {plain(bound, digits(mode))} {unit(mode)}.",
        concat(specs, max(grid_width(rows, "trait", "target") for rows in panels.values())),
        ["run", "target", "trait", "aimed at", f"shift [95 %], {unit(mode)}"],
        table,
    )  # fmt: skip
