"""The gap as a figure: self-report on one axis, behaviour on the other, and the line on which they are equal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from traitbench.charts.chart import Estimate, Figure, figure
from traitbench.tasks.gap.effects import OverItems, Pairing

__all__ = ["gap_arrows", "gap_figures"]

Runs = Sequence[tuple[str, Sequence[Pairing]]]
Told = Sequence[tuple[str, str, str, Mapping[str, Sequence[Mapping[str, Any]]]]]
"""Label, run, task of self-report, and its scoring mode -> a line a kind of behaviour (gap.board.lines)."""


def gap_figures(runs: Runs) -> list[Figure]:
    """A figure for each two tasks and scoring modes, with every run that has both; `runs`: label and pairings."""
    keys = dict.fromkeys(_key(found) for _, pairings in runs for found in pairings)
    out = []
    for key in keys:
        rows = [row for label, pairings in runs for found in pairings if _key(found) == key
                for row in _rows(label, found)]  # fmt: skip
        if rows:
            out.append(_figure(key, rows))
    return out


def gap_arrows(rows: Told) -> list[Figure]:
    """A figure for each two tasks and scoring modes: from where no control is to what that of each run did.

    What one run alone holds both sides of is drawn by its targets (`gap_figures`).
    """
    drawn: dict[tuple[str, str, str, str], list[dict[str, Any]]] = {}
    for label, run, task, held in rows:
        for mode, lines in held.items():
            for line in lines:
                if line["self_report"] is not None and line["behaviour"] is not None:
                    key = (task, mode, line["behaviour_task"], line["behaviour_filter"])
                    drawn.setdefault(key, []).append({**_arrow(label, line), "own": line["behaviour_run"] == run})
    return [_arrows(key, mine) for key, mine in drawn.items() if len(mine) > 1 or not mine[0]["own"]]


def _arrow(label: str, line: Mapping[str, Any]) -> dict[str, Any]:
    x, y, z = (Estimate(line[name], *(line[f"{name}_ci"] or (None, None)))
               for name in ("self_report", "behaviour", "gap"))  # fmt: skip
    return {
        "run": label, "targets": line["targets"], "verdict": line["verdict"], "x": x.value, "x_low": x.low,
        "x_high": x.high, "y": y.value, "y_low": y.low, "y_high": y.high, "said": x.text(2), "done": y.text(2),
        "gap": z.text(2),
    }  # fmt: skip


def _arrows(key: tuple[str, str, str, str], rows: list[dict[str, Any]]) -> Figure:
    said, said_filter, done, done_filter = key
    below = sum(row["y"] < row["x"] for row in rows)
    return figure(
        f"{said}-{done}", f"{said_filter}-{done_filter}", "gap-by-method",
        f"How far each method moves {said} ({said_filter}) and {done} ({done_filter})",
        "An arrow a method, from the model as it is to the mean over targets: to the right, how far self-report moved "
        "as aimed, upwards how far behaviour did, both in SDs of item shifts (d) with their 95 % intervals. On the "
        "dashed line both move alike; below it, the model says more than it does.",
        f"{len(rows)} arrows, {below} end below the line of equal effects: "
        + "; ".join(f"{row['run']} self-report {row['said']}, behaviour {row['done']}" for row in rows) + ".",
        _spec(rows, said, done, arrows=True),
        ["method", "targets", "self-report d [95 %]", "behaviour d [95 %]", "gap [95 %]", "what moved"],
        [[row["run"], str(row["targets"]), row["said"], row["done"], row["gap"], row["verdict"]] for row in rows],
    )  # fmt: skip


def _key(found: Pairing) -> tuple[str, str, str, str]:
    return found.self_report, found.self_report_filter, found.behaviour, found.behaviour_filter


def _rows(label: str, found: Pairing) -> list[dict[str, Any]]:
    out = []
    for gap in found.targets:
        if gap.self_report.d is None or gap.behaviour.d is None:
            continue
        x, y, z = (_estimate(each) for each in (gap.self_report, gap.behaviour, gap.gap))
        out.append({
            "run": label, "target": gap.target, "verdict": gap.verdict, "x": x.value, "x_low": x.low, "x_high": x.high,
            "y": y.value, "y_low": y.low, "y_high": y.high, "said": x.text(2), "done": y.text(2), "gap": z.text(2),
        })  # fmt: skip
    return out


def _estimate(found: OverItems) -> Estimate:
    return Estimate(found.d, *(found.ci or (None, None)))


def _figure(key: tuple[str, str, str, str], rows: list[dict[str, Any]]) -> Figure:
    said, said_filter, done, done_filter = key
    only = sum(row["verdict"] == "only self-report moved" for row in rows)
    both = sum(row["verdict"] == "both" for row in rows)
    below = sum(row["y"] < row["x"] for row in rows)
    return figure(
        f"{said}-{done}", f"{said_filter}-{done_filter}", "gap",
        f"What the control did to {said} ({said_filter}) and to {done} ({done_filter})",
        "Each mark is a target: to the right, how far self-report moved as aimed, upwards how far behaviour did, both "
        "in SDs of item shifts (d) with their 95 % intervals. On the dashed line both moved alike; below it, the model "
        "says more than it does.",
        f"Scatter of {len(rows)} target(s) of {len({row['run'] for row in rows})} run(s): {below} lie below the line "
        f"of equal effects; both moved in {both}, only self-report in {only}.",
        _spec(rows, said, done),
        ["target", "run", "self-report d [95 %]", "behaviour d [95 %]", "gap [95 %]", "what moved"],
        [[row["target"], row["run"], row["said"], row["done"], row["gap"], row["verdict"]] for row in rows],
    )  # fmt: skip


def _spec(rows: list[dict[str, Any]], said: str, done: str, arrows: bool = False) -> dict[str, Any]:
    low, high = _ends(rows)
    x_title, y_title = f"self-report: {said}, d", f"behaviour: {done}, d"
    scale = {"domain": [low, high], "nice": False}
    x = {"type": "quantitative", "scale": scale, "title": x_title}
    y = {"type": "quantitative", "scale": scale, "title": y_title}
    line = [{"a": low, "b": low}, {"a": high, "b": high}]
    several = len({row["run"] for row in rows}) > 1
    kind = "run" if several or arrows else "verdict"
    colour = {"field": kind, "type": "nominal", "legend": {"orient": "bottom", "columns": 1,
              "title": None if several or arrows else "what moved"}}  # fmt: skip
    shape = {"field": "target", "type": "nominal", "sort": None, "legend": {"orient": "right", "title": "target"}}
    what = {"run": "method"} if arrows else {"target": "target", "run": "run"}
    tips = {**what, "said": "self-report d", "done": "behaviour d", "gap": "gap", "verdict": "what moved"}
    at: dict[str, Any] = {"x": {**x, "field": "x"}, "y": {**y, "field": "y"}, "color": colour,
          "tooltip": [{"field": f, "title": t} for f, t in tips.items()]}  # fmt: skip
    marks = _heads(rows, at, x, y) if arrows else [{"mark": {"type": "point", "clip": True},
                                                    "encoding": {**at, "shape": shape}}]  # fmt: skip
    zero: dict[str, Any] = {"type": "rule", "style": "zero"}
    return {
        "data": {"values": rows},
        "width": 380,
        "height": 380,
        "layer": [
            {"data": {"values": [{}]}, "mark": zero, "encoding": {"x": {**x, "datum": 0}}},
            {"data": {"values": [{}]}, "mark": zero, "encoding": {"y": {**y, "datum": 0}}},
            {"data": {"values": line}, "mark": {"type": "line", "style": "limit"},
             "encoding": {"x": {**x, "field": "a"}, "y": {**y, "field": "b"}}},
            {"mark": {"type": "rule", "style": "interval", "clip": True},
             "encoding": {"x": {**x, "field": "x_low"}, "x2": {"field": "x_high"}, "y": {**y, "field": "y"}}},
            {"mark": {"type": "rule", "style": "interval", "clip": True},
             "encoding": {"y": {**y, "field": "y_low"}, "y2": {"field": "y_high"}, "x": {**x, "field": "x"}}},
            *marks,
        ],
        "usermeta": {"panel": 620},
    }  # fmt: skip


def _heads(
    rows: list[dict[str, Any]], at: dict[str, Any], x: dict[str, Any], y: dict[str, Any]
) -> list[dict[str, Any]]:
    """Shafts from the origin, and heads turned the way each points on axes that are alike."""
    for row in rows:
        row |= {"from": 0, "angle": math.degrees(math.atan2(row["x"], row["y"]))}
    start = {"x": {**x, "field": "from"}, "y": {**y, "field": "from"}}
    shaft = {**at, **start, "x2": {"field": "x"}, "y2": {"field": "y"}}
    angle = {"field": "angle", "type": "quantitative", "scale": None}
    return [
        {"mark": {"type": "rule", "strokeWidth": 2}, "encoding": shaft},
        {"mark": {"type": "point", "shape": "M0,0L-0.4,1L0.4,1Z", "filled": True, "size": 250, "opacity": 1},
         "encoding": {**at, "angle": angle}},
    ]  # fmt: skip


def _ends(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """Both axes alike: every mark, and zero; intervals up to as far again, where they are cut."""
    marks = [0.0, *(row[axis] for row in rows for axis in ("x", "y"))]
    span = max(max(marks) - min(marks), 0.5)
    ends = [row[f"{axis}_{end}"] for row in rows for axis in ("x", "y") for end in ("low", "high")]
    known = [end for end in ends if end is not None]
    low = max(min([*marks, *known]), min(marks) - span)
    high = min(max([*marks, *known]), max(marks) + span)
    return round(low - 0.05 * span, 2), round(high + 0.05 * span, 2)
