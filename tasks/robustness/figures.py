"""The drift of an effect over turns of neutral talk, and the ladder of pressure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from traitbench.charts.chart import Estimate, Figure, digits, facets, figure, line_across, plain
from traitbench.tasks.robustness.contexts import PLAIN
from traitbench.tasks.robustness.effects import ContextEffect
from traitbench.tasks.robustness.summary import RobustnessBlock, TargetCard
from traitbench.tasks.views import Shown
from traitbench.types import Mode

__all__ = ["drift_figure", "ladder_figure"]

SIDES = {"calm": "calm replay", "pressure": "under pressure", "after": "taken back"}


def drift_figure(runs: Sequence[Shown], mode: Mode) -> Figure | None:
    """The effect over turns of neutral talk, a line a run; None where no run has the turns."""
    rows = [row for run, head in _heads(runs, mode) for row in _drift_rows(run.label, head, mode)]
    if not rows:
        return None
    unit, last = _unit(runs, mode), max(row["turns"] for row in rows)
    ends = [row for row in rows if row["turns"] == last]
    return figure(
        runs[0].task, mode, "drift", f"The effect over turns of neutral talk, {mode} scoring",
        f"The effect of the control ({unit}, with its 95 % interval over items) when the question comes after so many "
        "turns of talk on something else. A falling line is an effect that wears off.",
        f"Line chart of the effect of {len(ends)} run(s) from 0 to {last} turns; after {last} turns it is "
        + ", ".join(f"{plain(row['value'], digits(mode))} ({row['run']})" for row in ends) + ".",
        _curves(rows, "turns", "turns of neutral talk", "quantitative", "run", f"effect, {unit}"),
        ["run", "target", "turns", f"effect [95 %], {unit}", "retained"],
        [[row["run"], row["target"], str(row["turns"]), row["shown"], row["retained"]] for row in rows],
    )  # fmt: skip


def ladder_figure(runs: Sequence[Shown], mode: Mode) -> Figure | None:
    """The effect at each rung, without pressure, under it, and afterwards; None where no run has the ladder."""
    rows = [row for run, head in _heads(runs, mode) for row in _rung_rows(run.label, head, mode)]
    if not rows:
        return None
    unit = _unit(runs, mode)
    pressed = [row for row in rows if row["side"] == SIDES["pressure"]]
    several = len({row["run"] for row in rows}) > 1
    spec = _curves(rows, "rung", "rung", "ordinal", "side", f"effect, {unit}")
    if several:
        data, inner = spec.pop("data"), {k: v for k, v in spec.items() if k != "usermeta"}
        spec = {"data": data, "facet": facets("run", rows), "columns": 2, "spec": inner, "usermeta": {"panel": 420}}
    return figure(
        runs[0].task, mode, "pressure", f"The effect under pressure to drop the persona, {mode} scoring",
        "Each rung adds a turn: a claim, authority, social proof, flattery, persistence. Calm replay: as many turns of "
        "the same length without pressure. Taken back: asked again when the user has withdrawn. The distance "
        "of pressure from calm is what pressure does, that of taken back from calm is what stays of it.",
        f"Lines of the effect at the rungs for {len({row['run'] for row in rows})} run(s); under pressure it runs "
        f"from {plain(min(row['value'] for row in pressed), digits(mode))} to "
        f"{plain(max(row['value'] for row in pressed), digits(mode))} {unit}.",
        spec,
        ["run", "target", "rung", "asked", f"effect [95 %], {unit}", "verdict"],
        [[row["run"], row["target"], row["rung"], row["side"], row["shown"], row["verdict"]] for row in rows],
    )  # fmt: skip


def _heads(runs: Sequence[Shown], mode: Mode) -> list[tuple[Shown, TargetCard]]:
    """The mean over targets, or the one target, of each run that aims at something."""
    found = [(run, cast(RobustnessBlock, run.block).modes.get(mode)) for run in runs]
    return [(run, scored.targets[0]) for run, scored in found if scored is not None and scored.targets]


def _unit(runs: Sequence[Shown], mode: Mode) -> str:
    return next(b.modes[mode].unit for b in (cast(RobustnessBlock, run.block) for run in runs) if mode in b.modes)


def _point(row: ContextEffect, mode: Mode) -> dict[str, Any]:
    found = Estimate(row.effect.value, *(row.effect.ci or (None, None)))
    return {"value": found.value, "low": found.low, "high": found.high, "shown": found.text(digits(mode)),
            "retained": plain(row.retained), "verdict": row.verdict or "–"}  # fmt: skip


def _drift_rows(label: str, head: TargetCard, mode: Mode) -> list[dict[str, Any]]:
    if head.drift is None:
        return []
    return [
        {"run": label, "target": head.card.target, "turns": row.step, **_point(row, mode)}
        for row in head.card.contexts
        if row.kind in (PLAIN, "drift") and row.effect.value is not None
    ]


def _rung_rows(label: str, head: TargetCard, mode: Mode) -> list[dict[str, Any]]:
    names = {rung.step: f"{rung.step} {rung.name}" for rung in head.rungs}
    return [
        {"run": label, "target": head.card.target, "rung": names[row.step], "side": SIDES[row.kind],
         **_point(row, mode)}
        for row in head.card.contexts
        if row.kind in SIDES and row.step in names and row.effect.value is not None
    ]  # fmt: skip


def _curves(rows: list[dict[str, Any]], x: str, x_title: str, kind: str, colour: str, y_title: str) -> dict[str, Any]:
    """A line with intervals for each value of `colour`."""
    hue = {
        "field": colour,
        "type": "nominal",
        "sort": None,
        "legend": {"orient": "bottom", "columns": 1, "title": None},
    }
    where: dict[str, Any] = {"field": x, "type": kind, "title": x_title, "sort": None}
    if kind == "ordinal":
        where["axis"] = {"labelAngle": -30}
    y = {"type": "quantitative", "title": y_title}
    told = {colour: colour, x: x_title, "shown": y_title, "retained": "retained", "verdict": "verdict"}
    tips = [{"field": field, "title": title} for field, title in told.items()]
    aside = {"xOffset": {"field": colour, "type": "nominal", "sort": None}} if kind == "ordinal" else {}
    return {
        "data": {"values": rows},
        "width": 400,
        "height": 240,
        "layer": [
            line_across(0, y_title),
            {"mark": {"type": "rule", "style": "interval"},
             "encoding": {"x": where, **aside, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": hue}},
            {"mark": "line", "encoding": {"x": where, **aside, "y": {**y, "field": "value"}, "color": hue}},
            {"mark": "point", "encoding": {"x": where, **aside, "y": {**y, "field": "value"}, "color": hue,
                                           "tooltip": tips}},
        ],
        "usermeta": {"panel": 520},
    }  # fmt: skip
