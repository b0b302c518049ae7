"""How adapters were trained: loss over steps, on the training batches and on what was held out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from traitbench.charts.chart import Figure, concat, figure, plain, ring
from traitbench.runs.trained import Adapted, Stage, adapted, remarks
from traitbench.tasks.views import Shown

__all__ = ["MOST", "training"]

Rows = list[dict[str, Any]]
MOST = 200
"""Points of a line of training loss; a longer run is drawn as means over as many steps as it takes."""
_WIDE, _NARROW, _HEIGHT = 230, 130, 160
_ROOM = 1.08
"""Where the axis of a share ends, so that the ring around a 1 stays in the panel."""


def training(runs: Sequence[Shown]) -> list[Figure]:
    """A figure for each run that trained adapters; `runs` are shown in the section of their first task.

    Runs that put on the same adapters, such as one with `--matched` and one without, share the figure of the one with
    the shortest label.
    """
    mine: dict[tuple[str, ...], Shown] = {}
    for run in runs:
        names = tuple(stage.training for each in adapted(run.facts) for stage in each.stages)
        key = names if all(names) else (run.label,)
        if key not in mine or len(run.label) < len(mine[key].label):
            mine[key] = run
    return [found for run in mine.values() if (found := _training(run)) is not None]


def _training(run: Shown) -> Figure | None:
    found = adapted(run.facts)
    stages = [(_name(each, stage), stage) for each in found for stage in each.stages if stage.losses]
    if not stages:
        return None
    every = [point for _, stage in stages for point in stage.losses]
    measures = [m for m in ("accuracy", "margin") if any(getattr(point, m) is not None for point in every)]
    panels = [panel for name, stage in stages for panel in _panels(name, stage)]
    across = len(panels) // len(found) if len(panels) % len(found) == 0 and len(panels) > len(found) else 0
    steps = max(_window(stage) for _, stage in stages)
    spec = concat(panels, 320, across or 3)
    if across:
        spec["usermeta"] = {**spec["usermeta"], "whole": True}
    whole = figure(
        run.task, "choice", "training", f"How the adapters were trained: {run.label}",
        "Loss over the steps of training. Line with points: on what was held out; ringed: where it was lowest, whose "
        "adapter was kept. Thin and grey: on the training batches"
        + (f", the mean of up to {steps} steps a point." if steps > 1 else ", step by step.")
        + (" Beside it: share of the held-out pairs whose chosen reply gained more than the rejected one."
           if "accuracy" in measures else ""),
        f"Line charts of {len(stages)} training(s). Held-out loss: {_list([_words(*each) for each in stages])}.",
        spec,
        ["training", "step", "training loss", "held-out loss", *measures, "kept"],
        [row for name, stage in stages for row in _table(name, stage, measures)],
        ["Training loss: mean over the steps since the row before.", *remarks(run.facts.method["name"], found)],
    )  # fmt: skip
    name = f"{whole.name.replace('-choice-', '-')}-{run.facts.method['name'].replace('_', '-')}"
    return whole.model_copy(update={"name": name})


def _name(each: Adapted, stage: Stage) -> str:
    return f"{each.name}: {stage.recipe.loss}" if len(each.stages) > 1 else each.name


def _list(names: Sequence[str]) -> str:
    shown = "; ".join(names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown


def _words(name: str, stage: Stage) -> str:
    first, best = stage.first, stage.best
    if first is None or best is None:
        return f"{name}: none was measured"
    gained = "" if best.accuracy is None else f", accuracy {plain(best.accuracy, 3)}"
    return f"{name}: {plain(first.held_out, 3)} to {plain(best.held_out, 3)} at step {best.step}{gained}"


def _window(stage: Stage) -> int:
    """Steps a point of the line of training loss."""
    return math.ceil(sum(point.loss is not None for point in stage.losses) / MOST)


def _batches(stage: Stage) -> Iterator[dict[str, Any]]:
    """The line of training loss: means over windows, at the last step of each."""
    known = [(point.step, point.loss) for point in stage.losses if point.loss is not None]
    width = _window(stage)
    for start in range(0, len(known), width or 1):
        part = known[start : start + width]
        loss = fmean(loss for _, loss in part)
        yield {"kind": "training", "step": part[-1][0], "value": loss, "shown": plain(loss, 3), "chosen": False}


def _held(stage: Stage, field: str) -> Rows:
    points = ((point, getattr(point, field)) for point in stage.losses)
    return [
        {"kind": "held out", "step": point.step, "value": value, "shown": plain(value, 3),
         "chosen": point.step == stage.best_step}
        for point, value in points if value is not None
    ]  # fmt: skip


def _panels(name: str, stage: Stage) -> Iterator[dict[str, Any]]:
    yield _panel(name, "loss", [*_batches(stage), *_held(stage, "held_out")], _WIDE, {"zero": False})
    if gained := _held(stage, "accuracy"):
        yield _panel(f"{name}, accuracy", "accuracy, held out", gained, _NARROW, {"domain": [0, _ROOM]})


def _panel(title: str, what: str, rows: Rows, width: int, scale: dict[str, Any]) -> dict[str, Any]:
    x = {"field": "step", "type": "quantitative", "title": "step", "axis": {"tickCount": 5, "tickMinStep": 1}}
    y = {"field": "value", "type": "quantitative", "title": what, "scale": scale}
    tip = [{"field": "kind", "title": "measured on"}, {"field": "step"}, {"field": "shown", "title": what}]
    batches, held = ({"filter": f"datum.kind === '{kind}'"} for kind in ("training", "held out"))
    return {
        "title": {"text": title},
        "data": {"values": rows},
        "width": width,
        "height": _HEIGHT,
        "encoding": {"x": x},
        "layer": [
            {"transform": [batches], "mark": {"type": "line", "style": "others", "strokeWidth": 1},
             "encoding": {"y": y, "tooltip": tip}},
            {"transform": [held], "mark": {"type": "line", "strokeWidth": 1.5}, "encoding": {"y": y}},
            {"transform": [held], "mark": {"type": "point", "size": 38}, "encoding": {"y": y, "tooltip": tip}},
            ring(y),
        ],
    }  # fmt: skip


def _table(name: str, stage: Stage, measures: Sequence[str]) -> Iterator[list[str]]:
    """A row for each time that something was measured on what is held out, and for the end."""
    since: list[float] = []
    for n, point in enumerate(stage.losses, 1):
        since += [] if point.loss is None else [point.loss]
        if point.held_out is None and n < len(stage.losses):
            continue
        yield [
            name,
            str(point.step),
            plain(fmean(since) if since else None, 3),
            plain(point.held_out, 3),
            *(plain(getattr(point, measure), 3) for measure in measures),
            "yes" if point.step == stage.best_step else "",
        ]
        since = []
