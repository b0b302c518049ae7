"""How the strength of a control was chosen: the effect on development data over strength, or over layers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from traitbench.charts.chart import Figure, aims, concat, figure, line_across, plain, ring
from traitbench.samples import Condition
from traitbench.tables import ratio
from traitbench.tasks.views import Shown
from traitbench.types import Fit

__all__ = ["development"]

Rows = list[dict[str, Any]]
PERSONS = "persons"


def development(runs: Sequence[Shown]) -> list[Figure]:
    """A figure for each run that chose a strength; `runs` are shown in the section of their first task."""
    return [found for run in runs if (found := _development(run)) is not None]


def _development(run: Shown) -> Figure | None:
    conditions = {condition.name: condition for condition in run.facts.conditions}
    panels: dict[str, Rows] = defaultdict(list)
    for name, fit in run.facts.fits.items():
        condition = conditions.get(name, Condition(name=name))
        rows = list(_points(name, condition, fit))
        deep = any(row["layer"] is not None for row in rows)
        panels[name if deep or not (condition.levels or condition.person) else _panel_name(condition)] += rows
    panels = {name: rows for name, rows in panels.items() if len(rows) > 1}
    every = [row for rows in panels.values() for row in rows]
    if not every:
        return None
    fits = run.facts.fits
    what = list(dict.fromkeys(str(fit.details["effect"]) for fit in fits.values() if fit.details.get("effect")))
    chosen = [row for row in every if row["chosen"]]
    unmoved = [name for name, fit in fits.items() if fit.curve and fit.strength == 0]
    over = sum(row["over"] for row in every)
    whole = figure(
        run.task, "choice", "development", f"How the strength was chosen: {run.label}",
        "The effect on development items or questions"
        + (f" ({'; '.join(what)})" if what else "")
        + ". Ringed: what was chosen. Hollow: the perplexity of neutral text rises beyond the limit, so it may not be "
        "chosen; filled: within it, or never measured. Where layers were tried, a line is one strength."
        + (f" Nothing helped, so that the strength is 0, for {_list(unmoved)}." if unmoved else ""),
        f"Line charts of {len(every)} trials for {len(fits)} fitted control(s), {over} of them beyond the limit of "
        f"perplexity. Chosen: {_list([_words(row) for row in chosen])}.",
        concat([_spec(name, rows) for name, rows in panels.items()], 330, 3),
        ["target", "layer", "strength", "effect on development data", "perplexity", "limit", "chosen"],
        [row["cells"] for row in every],
    )  # fmt: skip
    return whole.model_copy(update={"name": whole.name.replace("-choice-", "-")})


def _list(names: Sequence[str]) -> str:
    shown = "; ".join(names[:10]) or "none"
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown


def _words(row: dict[str, Any]) -> str:
    at = f", layer {row['layer']}" if row["layer"] is not None else ""
    return f"{row['target']}: strength {row['strength']:g}{at}, effect {row['shown']}"


def _panel_name(condition: Condition) -> str:
    """Both poles of a trait share a panel, and so do all persons."""
    return PERSONS if condition.person is not None else ", ".join(condition.levels)


def _points(name: str, condition: Condition, fit: Fit) -> Iterator[dict[str, Any]]:
    limit = fit.config.get("max_perplexity")
    limit = float(limit) if isinstance(limit, int | float) else None
    layer = fit.details.get("layer")
    for point in sorted(fit.curve, key=lambda p: (p.layer if p.layer is not None else -1, p.strength)):
        if point.effect is None:
            continue
        here = point.layer is None or layer in (None, point.layer)
        chosen = point.strength == fit.strength and here
        over = limit is not None and point.perplexity is not None and point.perplexity > limit
        shown = plain(point.effect, 3)
        yield {
            "target": name, "aim": condition.aim, "strength": point.strength, "layer": point.layer,
            "effect": point.effect, "over": over, "chosen": chosen, "shown": shown,
            "perplexity": ratio(point.perplexity),
            "cells": [name, "–" if point.layer is None else str(point.layer), f"{point.strength:g}", shown,
                      ratio(point.perplexity), plain(limit), "yes" if chosen else ""],
        }  # fmt: skip


def _spec(name: str, rows: Rows) -> dict[str, Any]:
    deep = any(row["layer"] is not None for row in rows)
    data = [{k: v for k, v in row.items() if k != "cells"} for row in rows]
    tip = [{"field": "target"}, {"field": "strength"}, {"field": "layer"}, {"field": "shown", "title": "effect"},
           {"field": "perplexity"}]  # fmt: skip
    x = {"field": "layer" if deep else "strength", "type": "quantitative", "title": "layer" if deep else "strength",
         "axis": {"tickCount": 6, **({"tickMinStep": 1} if deep else {})}, "scale": {"zero": not deep}}  # fmt: skip
    y = {"field": "effect", "type": "quantitative", "title": "effect on development data", "scale": {"zero": False}}
    crowd = name == PERSONS and all(row["aim"] == "person" for row in rows)
    tell: dict[str, Any] = aims(rows)
    if deep:
        tell = {"field": "strength", "type": "ordinal", "scale": {"range": "ordinal", "interpolate": "rgb"},
                "legend": {"orient": "bottom", "title": "strength"}}  # fmt: skip
    colour: dict[str, Any] = {} if crowd else {"color": tell}
    zero = [line_across(0, "effect on development data")]
    spans = min(row["effect"] for row in rows) < 0 < max(row["effect"] for row in rows)
    line = {"type": "line", "style": "others"} if crowd else {"type": "line", "strokeWidth": 1.5}
    return {
        "title": {"text": name},
        "data": {"values": data},
        "width": 240,
        "height": 160,
        "encoding": {"x": x},
        "layer": [
            *(zero if spans else []),
            {"mark": line, "encoding": {"y": y, **colour, "detail": [{"field": "target"}, {"field": "strength"}]
                                        if deep else [{"field": "target"}]}},
            {"transform": [{"filter": "!datum.over"}], "mark": {"type": "point", "size": 38},
             "encoding": {"y": y, **colour, "tooltip": tip}},
            {"transform": [{"filter": "datum.over"}], "mark": {"type": "point", "filled": False, "size": 38},
             "encoding": {"y": y, **colour, "tooltip": tip}},
            ring(y),
        ],
    }  # fmt: skip
