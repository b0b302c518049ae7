"""The figure of effects that tasks share: a dot and its interval a target and run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from traitbench.charts.chart import Estimate, Figure, by_target, figure, line_at, plain
from traitbench.charts.theme import VERDICTS
from traitbench.tasks.effects import Contrast, aimed
from traitbench.tasks.verdict import Verdict

__all__ = ["effect_rows", "effects_drawn"]


def effects_drawn(
    task: str, filter: str, title: str, about: str, rows: list[dict[str, Any]], places: int
) -> Figure | None:
    """Effects with their 95 % intervals, by target and run, of what `effect_rows` gives; None without any.

    `about` says what an effect is, and holds {unit}.
    """
    if not rows:
        return None
    unit = rows[0]["unit"]
    values = [row["value"] for row in rows]
    clear = sum(row["low"] is not None and row["low"] * row["high"] > 0 for row in rows)
    several = len({row["run"] for row in rows}) > 1
    return figure(
        task, filter, "effects", title,
        f"{about.format(unit=unit)} The mark is the verdict on the run.",
        f"Dot and interval chart of {len(rows)} effects of {len({r['run'] for r in rows})} run(s) in {filter} scoring: "
        f"from {plain(min(values), places)} to {plain(max(values), places)} {unit}; {clear} of {len(rows)} "
        "intervals exclude zero.",
        _spec(rows, unit, several),
        ["target", "run", f"effect [95 %], {unit}", "check", "verdict of the run"],
        [[row["target"], row["run"], row["shown"], row["check"], row["verdict"]] for row in rows],
    )  # fmt: skip


def effect_rows(
    run: str, contrasts: Sequence[Contrast], unit: str, verdict: Verdict, places: int
) -> list[dict[str, Any]]:
    """What is drawn of one run: a row a contrast that aims at one trait."""
    out = []
    for contrast in aimed(contrasts):
        assert contrast.effect is not None
        found = Estimate(contrast.effect.value, *(contrast.effect.ci or (None, None)))
        out.append({
            "target": contrast.target, "run": run, "unit": unit, "value": found.value, "low": found.low,
            "high": found.high, "shown": found.text(places), "verdict": verdict.verdict,
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
