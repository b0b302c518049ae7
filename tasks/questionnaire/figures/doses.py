"""What a control does as it grows stronger: scores over the levels of a target, and all that moves over strength."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from traitbench.charts.chart import (
    Estimate,
    Figure,
    aims,
    concat,
    digits,
    figure,
    line_across,
    plain,
    ring,
    stretched,
    unit,
)
from traitbench.samples import Condition
from traitbench.tables import ratio
from traitbench.tasks.questionnaire.dose import Dose, DosePoint
from traitbench.tasks.questionnaire.figures.runs import Run, per_point, scaled
from traitbench.types import Mode

__all__ = ["CEILING", "dose", "limits", "strengths"]

Curve = dict[float, Condition]
Rows = list[dict[str, Any]]
CEILING = 1000.0
"""Perplexity ratios beyond it are drawn there: the model has broken down, and how far says nothing."""


def dose(runs: Sequence[Run], mode: Mode) -> Figure | None:
    """Scores over the levels of one trait's target; None where no trait has three or more."""
    specs, table = [], []
    for run in runs:
        for trait, curve in _curves(run):
            points = _points(run, mode, trait, curve)
            specs.append(_dose(points, f"{trait}, {run.label}" if len(runs) > 1 else trait, mode))
            table += [[run.label, trait, f"{p['dose']:g}", p["trait"], p["shown"]] for p in points]
    if not table:
        return None
    what = "shift from the baseline, nats a token" if mode == "statement" else "score, POMP"
    return figure(
        runs[0].task, mode, "dose", f"Dose: the score over levels, {mode} scoring",
        "A control that works by degrees rises or falls steadily. Thick line and band: the trait aimed at and its "
        f"95 % interval; thin grey lines: the other traits. Vertical: {what}.",
        f"Line charts of {len(specs)} dose curve(s) in {mode} scoring, {what}.",
        concat(specs, 340, 3),
        ["run", "target", "dose", "trait", f"{what} [95 %]"],
        table,
    )  # fmt: skip


def _curves(run: Run) -> list[tuple[str, Curve]]:
    """Each trait with three or more levels, and its conditions by level; the baseline is level 0."""
    levels: dict[str, Curve] = defaultdict(dict)
    for condition in run.facts.conditions:
        if condition.headline and not condition.profile and len(condition.levels) == 1:
            ((trait, level),) = condition.levels.items()
            levels[trait][level] = condition
    start = {0.0: run.facts.conditions[0]}
    return [(trait, dict(sorted({**start, **curve}.items()))) for trait, curve in levels.items() if len(curve) >= 3]


def _points(run: Run, mode: Mode, aimed: str, curve: Curve) -> Rows:
    """Every trait's score at every dose. The statement baseline is the reference: 0 without an interval."""
    rows, factor, baseline, scored = [], per_point(run, mode), run.facts.conditions[0], run.scored(mode)
    for level, condition in curve.items():
        for score in scored.scores[condition.name] if scored else []:
            shown = score.value if mode == "statement" else score.pomp
            e = Estimate(0.0 if mode == "statement" and condition == baseline else None)
            if score.value is not None and shown is not None:
                e = stretched(score.value, score.ci, shown, factor)
            rows.append({"dose": level, "trait": score.trait, "own": score.trait == aimed, "value": e.value,
                         "low": e.low, "high": e.high, "condition": condition.name,
                         "shown": e.text(digits(mode))})  # fmt: skip
    return rows


def _dose(points: Rows, title: str, mode: Mode) -> dict[str, Any]:
    what = "shift, nats a token" if mode == "statement" else "score, POMP"
    x = {"field": "dose", "type": "quantitative", "title": "level aimed at"}
    y = {"field": "value", "type": "quantitative", "title": what, "scale": {"zero": False}}
    tip = [{"field": "trait"}, {"field": "condition"}, {"field": "shown", "title": what}]
    own = {"filter": "datum.own"}
    return {
        "title": {"text": title},
        "data": {"values": points},
        "width": 230,
        "height": 170,
        "encoding": {"x": x},
        "layer": [
            {"transform": [{"filter": "!datum.own"}], "mark": {"type": "line", "style": "others"},
             "encoding": {"y": y, "detail": {"field": "trait"}, "tooltip": tip}},
            {"transform": [own, {"filter": "isValid(datum.low)"}], "mark": {"type": "area", "style": "band"},
             "encoding": {"y": {"field": "low", "type": "quantitative", "title": what}, "y2": {"field": "high"}}},
            {"transform": [own], "mark": {"type": "line", "point": True},
             "encoding": {"y": y, "tooltip": tip}},
        ],
    }  # fmt: skip


def strengths(runs: Sequence[Run], mode: Mode) -> list[Figure]:
    """Effect, leakage, option mass and perplexity over strength, a figure a run that was tried at several."""
    return [found for run in runs if (found := _strengths(run, mode)) is not None]


def _strengths(run: Run, mode: Mode) -> Figure | None:
    by_trait: dict[str, Rows] = defaultdict(list)
    table = []
    conditions = {condition.name: condition for condition in run.facts.conditions}
    scored = run.scored(mode)
    for curve in scored.dose if scored else []:
        if len(curve.points) < 2:
            continue
        condition = conditions[curve.points[0].condition]
        rows = [*_start(run, mode, curve), *(_strength(run, mode, point) for point in curve.points)]
        rows.sort(key=lambda row: row["strength"])
        traits = ", ".join(condition.levels)
        by_trait[traits] += [{**row, "target": curve.target, "aim": condition.aim} for row in rows]
        table += [[curve.target, *row["cells"], _MONOTONE[curve.monotone]] for row in rows]
    if not table:
        return None
    every = [row for rows in by_trait.values() for row in rows]
    measures = [m for m in _MEASURES if any(row[m] is not None for row in every)]
    specs = [_panel(trait, measure, rows, run, mode) for trait, rows in by_trait.items() for measure in measures]
    targets = dict.fromkeys(row["target"] for row in every)
    chosen = [f"{row['target']}: {row['cells'][0].rstrip('*')}, effect {row['effect_shown']}"
              for row in every if row["chosen"]]  # fmt: skip
    fits = run.facts.fits.values()
    return figure(
        run.task, mode, "dose over strength", f"What grows with strength: {run.label}, {mode} scoring",
        "Each row of panels is one trait aimed at. Ringed: the strength that was chosen on development data, before "
        "any of this was measured. Grey lines: the model without control; dashed: the perplexity above which no "
        "strength is chosen. A good control gains effect before leakage and damage.",
        f"Line charts over strength of {len(targets)} target(s), {mode} scoring: {', '.join(map(_title, measures))}. "
        f"At the chosen strength: {'; '.join(chosen) or 'none was chosen'}.",
        {**concat(specs, 275, len(measures)), "usermeta": {"panel": 275, "whole": True}},
        ["target", "strength (* chosen)", "dose", f"effect [95 %], {unit(mode)}", "leakage", "option mass",
         "perplexity", "rises throughout"],
        table,
        [f"A strength of 1 is {unit}." for unit in dict.fromkeys(fit.unit for fit in fits if fit.unit)],
    )  # fmt: skip


_MEASURES = ("effect", "leakage", "option_mass", "perplexity")
_MONOTONE = {True: "yes", False: "no", None: "–"}


def _title(measure: str) -> str:
    return measure.replace("_", " ")


def limits(run: Run) -> list[float]:
    """The perplexity ratios above which the run's fits choose no strength, as their configurations say."""
    found = {fit.config.get("max_perplexity") for fit in run.facts.fits.values()}
    return sorted(float(value) for value in found if isinstance(value, int | float))


def _start(run: Run, mode: Mode, curve: Dose) -> Rows:
    """The baseline as strength 0, where nothing but the edits tells the control from it."""
    if any(point.coef == 0 for point in curve.points):
        return []
    if any(run.facts.controls.get(point.condition) != [] for point in curve.points):
        return []
    mass = _mass(run, mode)
    cells = ["0 (baseline)", "–", plain(0.0, digits(mode)), plain(0.0, digits(mode)), plain(mass), plain(1.0)]
    return [{"strength": 0.0, "effect": 0.0, "low": None, "high": None, "leakage": 0.0, "option_mass": mass,
             "perplexity": 1.0, "chosen": False, "cells": cells, "effect_shown": cells[2]}]  # fmt: skip


def _mass(run: Run, mode: Mode) -> float | None:
    baseline = run.facts.conditions[0].name
    scored = run.scored(mode)
    style = scored.response_style.get(baseline) if scored else None
    return style.option_mass if style else None


def _strength(run: Run, mode: Mode, point: DosePoint) -> dict[str, Any]:
    e, factor = scaled(point.effect, run, mode), per_point(run, mode)
    leakage = None if point.leakage is None or factor is None else factor * point.leakage
    fluency = None if point.perplexity is None else min(point.perplexity, CEILING)
    shown = e.text(digits(mode))
    cells = [f"{point.coef:g}{'*' if point.headline else ''}", plain(point.dose), shown, plain(leakage, digits(mode)),
             plain(point.option_mass), ratio(point.perplexity)]  # fmt: skip
    if fluency is None and point.coef == 0:
        fluency = 1.0  # nothing is edited
    return {"strength": point.coef, "effect": e.value, "low": e.low, "high": e.high, "leakage": leakage,
            "option_mass": point.option_mass, "perplexity": fluency, "chosen": point.headline, "cells": cells,
            "effect_shown": shown}  # fmt: skip


def _panel(trait: str, measure: str, rows: Rows, run: Run, mode: Mode) -> dict[str, Any]:
    place = _MEASURES.index(measure)
    data = [{**{k: v for k, v in row.items() if k != "cells"}, "shown": row["cells"][2 + place]}
            for row in rows if row[measure] is not None]  # fmt: skip
    title = {
        "effect": f"effect, {unit(mode)}",
        "leakage": f"leakage, {unit(mode)}",
        "perplexity": "perplexity ratio",
    }.get(measure, _title(measure))
    base = {"effect": 0.0, "leakage": 0.0, "perplexity": 1.0}.get(measure, _mass(run, mode))
    y: dict[str, Any] = {"field": measure, "type": "quantitative", "title": title,
                         "axis": {"tickCount": 4, "minExtent": 36}}  # fmt: skip
    if measure == "perplexity":
        steep = max((row[measure] for row in data), default=1.0) > 10
        y["scale"] = {"type": "log"} if steep else {"zero": False}
        if steep:
            y["axis"] = {**y["axis"], "values": [1, 10, 100, 1000]}
    elif measure == "option_mass":
        y["scale"] = {"domain": [0, 1]}
    kind, x = aims(rows), {"field": "strength", "type": "quantitative", "title": "strength", "axis": {"tickCount": 5}}
    tip = [{"field": "target"}, {"field": "strength"}, {"field": "shown", "title": title}]
    lines = [(base, "zero")] if base is not None else []
    if measure == "perplexity" and any(row[measure] > 1.3 for row in data):
        lines += [(limit, "limit") for limit in limits(run)]
    return {
        "title": {"text": f"{trait}: {_title(measure)}"},
        "data": {"values": data},
        "width": 185,
        "height": 120,
        # Not y: a layer's own y would be merged with it, field and datum in one.
        "encoding": {"x": x},
        "layer": [
            *(line_across(value, title, style) for value, style in lines),
            *([{"transform": [{"filter": "isValid(datum.low)"}], "mark": {"type": "rule", "style": "interval"},
                "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}}}] if measure == "effect" else []),
            {"mark": {"type": "line", "strokeWidth": 1.5}, "encoding": {"y": y, "color": kind}},
            {"mark": "point", "encoding": {"y": y, "color": kind, "shape": kind, "tooltip": tip}},
            ring(y),
        ],
    }  # fmt: skip
