"""Radar of effects: one spoke a target, one polygon a run. Lines through computed points; Vega has no radar mark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from traitbench.charts.chart import Figure, digits, facets, figure, plain, unit
from traitbench.tasks.questionnaire.figures.runs import Run, effects
from traitbench.tasks.questionnaire.scorecard import PROFILES, Contrast
from traitbench.types import Mode

__all__ = ["MOST_TOGETHER", "place", "radar", "ticks"]

MOST_TOGETHER = 3
"""Runs that share one picture; more get one each."""
UNIT = 105
"""Pixels of a radius of 1, across as well as down."""
Rows = list[dict[str, Any]]


def place(spoke: int, spokes: int, radius: float) -> tuple[float, float]:
    """Where `radius` lies on a spoke: the first points up, the others follow clockwise."""
    angle = 2 * math.pi * spoke / spokes
    return radius * math.sin(angle), radius * math.cos(angle)


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Round values from at most `low` to at least `high` in steps of 1, 2 or 5 times a power of ten; 0 is one of them.

    `low` <= 0 <= `high`. At most `most` + 2 of them.
    """
    span = high - low or 1.0
    power: float = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * m for m in (1, 2, 5, 10) if power * m * most >= span * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


def radar(runs: Sequence[Run], mode: Mode) -> Figure | None:
    """Effects in the direction aimed at; None where no run has three targets of one trait each."""
    found: dict[str, dict[str, float]] = {}
    for run in runs:
        mine = {c.target: next(iter(c.aimed.values())) * (e.value or 0.0)
                for c, e in effects(run, mode) if _whole(c, run)}  # fmt: skip
        if len(mine) >= 3:
            found[run.label] = mine
    if not found:
        return None
    spokes = list(dict.fromkeys(target for mine in found.values() for target in mine))
    values = [value for mine in found.values() for value in mine.values()]
    rings = ticks(min(0.0, *values), max(0.0, *values))
    return figure(
        runs[0].task, mode, "radar", f"Effects at a glance, {mode} scoring",
        f"One spoke a target, one outline a method. The marked ring is zero, each further ring is "
        f"{rings[1] - rings[0]:g} {unit(mode)}; a point inside the marked ring moved against its target. The area "
        "means nothing, and intervals are in the chart of effects.",
        f"Radar chart of {len(spokes)} targets and {len(found)} run(s), {mode} scoring, {unit(mode)}. "
        + " ".join(f"{label}: {_words(mine, mode)}." for label, mine in found.items()),
        _spec(found, spokes, rings, mode),
        ["run", *(f"{spoke}, {unit(mode)}" for spoke in spokes)],
        [[label, *(plain(mine.get(spoke), digits(mode)) for spoke in spokes)] for label, mine in found.items()],
    )  # fmt: skip


def _whole(contrast: Contrast, run: Run) -> bool:
    """Whether it stands for one trait at full strength: both poles, one pole, or all drawn profiles."""
    if contrast.high == PROFILES:
        return True
    level = next((c.levels for c in run.facts.conditions if c.name == contrast.high), {})
    return all(abs(value) == 1 for value in level.values())


def _words(mine: dict[str, float], mode: Mode) -> str:
    return ", ".join(f"{target} {plain(value, digits(mode))}" for target, value in mine.items())


def _spec(found: dict[str, dict[str, float]], spokes: list[str], rings: list[float], mode: Mode) -> dict[str, Any]:
    together = len(found) <= MOST_TOGETHER
    points: Rows = [
        {"run": label, "number": number, "target": spokes[order % len(spokes)], "order": order}
        for number, label in enumerate(found) for order in range(len(spokes) + 1)
    ]  # fmt: skip
    for row in points:
        value = row["value"] = found[row["run"]].get(row["target"])
        row["shown"] = plain(value, digits(mode))
        at = (None, None) if value is None else place(row["order"], len(spokes), _radius(value, rings))
        row["x"], row["y"] = at
    key: Rows = [
        {"run": label, "number": number, "x": -1.55, "y": -1.12 - 0.16 * number}
        for number, label in enumerate(found if together else ())
    ]
    bottom = min([-0.95, *(row["y"] - 0.08 for row in key)])
    xy = {
        axis: {"field": axis, "type": "quantitative", "axis": None, "scale": {"domain": ends, "nice": False}}
        for axis, ends in (("x", [-1.65, 1.65]), ("y", [bottom, 1.2]))
    }
    layers = [*_web(spokes, rings, xy), *_outlines(mode, len(found), together, xy), *_key(key, len(found), xy)]
    inner = {"width": UNIT * 3.3, "height": round(UNIT * (1.2 - bottom)), "layer": layers}
    rest = {"usermeta": {"panel": 370}}
    if together:
        return {"data": {"values": points}, **inner, **rest}
    return {"data": {"values": points}, "facet": facets("run", points), "columns": 3, "spec": inner, **rest}


def _radius(value: float, rings: list[float]) -> float:
    """0 to 1; the lowest ring keeps a size."""
    return 0.06 + 0.94 * (value - rings[0]) / (rings[-1] - rings[0])


def _web(spokes: list[str], rings: list[float], xy: dict[str, Any]) -> list[dict[str, Any]]:
    """Rings, spokes and their names."""
    n = len(spokes)

    def around(ring: float) -> Rows:
        points = [place(i, n, _radius(ring, rings)) for i in range(n + 1)]
        return [{"ring": ring, "order": i, "x": x, "y": y} for i, (x, y) in enumerate(points)]

    def layer(rows: Rows, mark: dict[str, Any], **encoding: Any) -> dict[str, Any]:
        return {"data": {"values": rows}, "mark": mark, "encoding": {**xy, **encoding}}

    ordered = {"order": {"field": "order", "type": "quantitative"}, "detail": {"field": "ring"}}
    ends = [dict(zip("xy", place(i, n, 1.0), strict=True)) for i in range(n)]
    names: Rows = [
        {"name": name, "x": 1.1 * end["x"], "y": 1.1 * end["y"]} for name, end in zip(spokes, ends, strict=True)
    ]
    sides = {
        "left": [row for row in names if row["x"] >= 0.1],
        "center": [row for row in names if abs(row["x"]) < 0.1],
        "right": [row for row in names if row["x"] <= -0.1],
    }
    # Halfway between the first two spokes, where no name stands.
    scale = [
        dict(zip("xy", place(1, 2 * n, _radius(ring, rings) * math.cos(math.pi / n)), strict=True), name=f"{ring:g}")
        for ring in rings
    ]
    return [
        layer([row for ring in rings for row in around(ring)], {"type": "line", "style": "ring"}, **ordered),
        layer(ends, {"type": "rule", "style": "ring"}, x2={"datum": 0}, y2={"datum": 0}),
        layer(around(0.0), {"type": "line", "style": "zero-ring"}, **ordered),
        *(
            layer(rows, {"type": "text", "style": "spoke", "align": side}, text={"field": "name"})
            for side, rows in sides.items()
        ),
        layer(scale, {"type": "text", "style": "faint"}, text={"field": "name"}),
    ]


def _tell(number: int, together: bool) -> dict[str, Any]:
    """Tell runs apart by their number; by shape as well as by colour."""
    by = {"field": "number", "type": "nominal", "scale": {"domain": list(range(number))}, "legend": None}
    return {"color": by, "shape": by} if together else {"detail": {"field": "number"}}


def _outlines(mode: Mode, number: int, together: bool, xy: dict[str, Any]) -> list[dict[str, Any]]:
    """An outline a run, and its points."""
    tell = _tell(number, together)
    tip = [{"field": "run"}, {"field": "target"}, {"field": "shown", "title": f"effect, {unit(mode)}"}]
    line = {**xy, "order": {"field": "order", "type": "quantitative"}, **tell}
    line.pop("shape", None)
    return [{"mark": "line", "encoding": line}, {"mark": "point", "encoding": {**xy, **tell, "tooltip": tip}}]


def _key(rows: Rows, number: int, xy: dict[str, Any]) -> list[dict[str, Any]]:
    """Which outline is whose, drawn as data: a legend's domain would put labels into an expression."""
    if not rows:
        return []
    name = {"type": "text", "style": "spoke", "align": "left", "dx": 10}
    return [
        {"data": {"values": rows}, "mark": "point", "encoding": {**xy, **_tell(number, True)}},
        {"data": {"values": rows}, "mark": name, "encoding": {**xy, "text": {"field": "run"}}},
    ]
