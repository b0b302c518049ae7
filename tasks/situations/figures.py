"""The one figure of the situations: effects with their intervals, by trait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from traitbench.charts.chart import Estimate, Figure, by_target, digits, figure, line_at, plain
from traitbench.charts.theme import VERDICTS
from traitbench.tasks.situations.comparison import aimed
from traitbench.tasks.situations.summary import SituationsBlock
from traitbench.tasks.views import Shown
from traitbench.types import Mode

__all__ = ["forest"]


def forest(runs: Sequence[Shown], mode: Mode) -> Figure | None:
    """Effects with their 95 % intervals, by target and run; None where no run aims at a trait."""
    rows = [row for run in runs for row in _rows(run, mode)]
    if not rows:
        return None
    unit = rows[0]["unit"]
    values = [row["value"] for row in rows]
    clear = sum(row["low"] is not None and row["low"] * row["high"] > 0 for row in rows)
    several = len({row["run"] for row in rows}) > 1
    return figure(
        runs[0].task, mode, "effects", f"Effect of the control on replies in situations, {mode} scoring",
        f"How far the preference for the reply of the high pole moved, in {unit}, with its 95 % interval over pairs. "
        "Where the line crosses zero, the pairs do not show that it moved at all. The mark is the verdict on the run.",
        f"Dot and interval chart of {len(rows)} effects of {len({r['run'] for r in rows})} run(s) in {mode} scoring: "
        f"from {plain(min(values), digits(mode))} to {plain(max(values), digits(mode))} {unit}; {clear} of {len(rows)} "
        "intervals exclude zero.",
        _spec(rows, unit, several),
        ["target", "run", f"effect [95 %], {unit}", "check", "verdict of the run"],
        [[row["target"], row["run"], row["shown"], row["check"], row["verdict"]] for row in rows],
    )  # fmt: skip


def _rows(run: Shown, mode: Mode) -> list[dict[str, Any]]:
    scored = cast(SituationsBlock, run.block).modes.get(mode)
    out = []
    for contrast in aimed(scored) if scored else []:
        assert scored is not None and contrast.effect is not None
        found = Estimate(contrast.effect.value, *(contrast.effect.ci or (None, None)))
        out.append({
            "target": contrast.target, "run": run.label, "unit": scored.unit, "value": found.value, "low": found.low,
            "high": found.high, "shown": found.text(digits(mode)), "verdict": scored.verdict.verdict,
            "check": "; ".join([contrast.check or "–", *contrast.reasons]),
        })  # fmt: skip
    return out


def _spec(rows: list[dict[str, Any]], unit: str, several: bool) -> dict[str, Any]:
    tips = {"target": "target", "run": "run", "shown": f"effect, {unit}", "check": "check", "verdict": "verdict"}
    kind = {"field": "verdict", "type": "nominal"}
    legend = {"orient": "bottom", "title": "verdict of the run"}
    x = {"type": "quantitative"}
    layers = [
        line_at(0),
        {"mark": {"type": "rule", "style": "interval"},
         "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}}},
        {"mark": "point", "encoding": {
            "x": {**x, "field": "value", "title": f"effect, {unit}"},
            "color": {**kind, "scale": {"domain": list(VERDICTS), "range": "verdicts"}, "legend": legend},
            "shape": {**kind, "scale": {"domain": list(VERDICTS), "range": "shapes"}, "legend": legend},
            "tooltip": [{"field": field, "title": title} for field, title in tips.items()]}},
    ]  # fmt: skip
    return by_target(rows, layers, several)
