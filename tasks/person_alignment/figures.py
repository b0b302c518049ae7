"""How near answers come to persons' own: every way of answering beside what needs no model, and each person."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

from traitbench.charts.chart import Estimate, Figure, concat, figure, line_at, plain
from traitbench.tasks.person_alignment.alignment import MEANS, Alignment, AlignmentRow
from traitbench.tasks.person_alignment.ranking import PROMPT_ONLY
from traitbench.tasks.person_alignment.rows import NO_CONTROL
from traitbench.tasks.person_alignment.summary import AlignmentBlock
from traitbench.tasks.views import Shown
from traitbench.types import Mode, digest

__all__ = ["FEWEST", "near", "persons"]

KIND = "person alignment"
BASELINES = "without a model: trivial baselines"
KINDS = ("trivial baseline", NO_CONTROL, "method", "part, or another strength")
FEWEST = 3
"""Persons from which a picture of each says more than the two means."""
REACH = 1.8
"""Baselines farther off than this many times the nearest are written at the edge."""
Rows = list[dict[str, Any]]
Found = list[tuple[Shown, Alignment]]


def near(runs: Sequence[Shown], mode: Mode) -> list[Figure]:
    """The error of every row with its interval, a figure for each set of persons and items."""
    return [_near(found, mode) for found in _sets(runs, mode)]


def _sets(runs: Sequence[Shown], mode: Mode) -> list[Found]:
    """The runs with rows, those with the same persons and items together."""
    sets: dict[str, Found] = {}
    for run in runs:
        held = cast(AlignmentBlock, run.block).modes.get(mode)
        if held is not None and any(row.mae_sum.value is not None for row in held.alignment.rows):
            sets.setdefault(digest([run.facts.persons, held.alignment.items]), []).append((run, held.alignment))
    return list(sets.values())


def _near(found: Found, mode: Mode) -> Figure:
    rows = [row for row in _rows(found) if row["value"] is not None]
    who = _persons(found[0][1].persons)
    name, nearest = _nearest(found[0][1])
    against = f"Dashed: the nearest trivial baseline, {name} ({plain(nearest)}). " if nearest is not None else ""
    best = min((row for row in rows if row["kind"] == "method"), key=lambda row: row["value"], default=None)
    said = f"The nearest method, {best['row']} of {best['group']}: {best['shown']}. " if best else ""
    oracle = [row for row in rows if row["oracle"] is not None]
    return figure(
        found[0][0].task, mode, KIND, f"How near to {who}, {mode} scoring",
        "Mean distance from the persons' own answers to the test items, by trait and summed over "
        f"{len(found[0][1].traits)} traits, with 95 % intervals over persons; left is nearer. {against}"
        + ("Hollow: the oracle, which chooses the strength on the test answers; a bound and not a result. "
           if oracle else "")
        + "What lies far off is written at the right edge.",
        f"Dot chart of {len(rows)} errors, {mode} scoring, {who}. {against}{said}"
        + " ".join(f"Oracle of {row['group']}: {row['best']}." for row in oracle),
        _forest(rows, nearest),
        ["run", "row", "error [95 %]", "argmax", "published", "r", "vs nearest baseline [95 %]", "oracle"],
        [[row["group"], row["row"], row["shown"], *row["more"], row["best"] or "–"] for row in rows],
        [note for run, a in found if (note := _missing(run, a))],
    )  # fmt: skip


def _persons(count: int) -> str:
    return "one person" if count == 1 else f"{count} persons"


def _missing(run: Shown, found: Alignment) -> str:
    return f"{run.label}: no answers to the test items of {', '.join(found.unscored)}" if found.unscored else ""


def _rows(found: Found) -> Iterator[dict[str, Any]]:
    """Trivial baselines and each model's answers without control once, then the rows of each run."""
    seen = set[tuple[str, str]]()
    for kind in ("baseline", "method"):
        for run, alignment in sorted(found, key=lambda pair: _controlled(pair[1])):
            model = f"{run.facts.model_name}, {run.facts.model.get('weights')}"
            group = BASELINES if kind == "baseline" else run.label
            for row in sorted((row for row in alignment.rows if row.kind == kind), key=_strength):
                own = BASELINES if kind == "baseline" else model if row.name == NO_CONTROL else f"{model} {run.label}"
                if (own, row.name) not in seen:
                    seen.add((own, row.name))
                    yield _line(group, row, str(run.facts.method["name"]), alignment)


def _controlled(found: Alignment) -> bool:
    return any(row.kind == "method" and row.name != NO_CONTROL for row in found.rows)


def _strength(row: AlignmentRow) -> float:
    """Other strengths stand after everything else, weakest first."""
    _, found, strength = row.name.rpartition(" @ ")
    return float(strength) if found and row.kind == "method" else -math.inf


def _line(group: str, row: AlignmentRow, method: str, alignment: Alignment) -> dict[str, Any]:
    low, high = row.mae_sum.ci or (None, None)
    best = next((o.mae_sum for o in alignment.oracle if o.sweep == row.name), None)
    kind = KINDS[0] if row.kind == "baseline" else row.name if row.name == NO_CONTROL else KINDS[3]
    if row.name == method and row.kind == "method":
        kind = "method"
    apart = row.to_nearest
    versus = f"{apart.to}: {Estimate(apart.value, *(apart.ci or (None, None))).text(2)}" if apart else "–"
    return {
        "group": group, "row": row.name, "kind": kind, "value": row.mae_sum.value, "low": low, "high": high,
        "shown": Estimate(row.mae_sum.value, low, high).text(2), "oracle": best.value if best else None,
        "best": Estimate(best.value, *(best.ci or (None, None))).text(2) if best else "",
        "more": [plain(row.mae_sum_argmax.value), plain(row.published.value), plain(row.correlation.value), versus],
    }  # fmt: skip


def _nearest(found: Alignment) -> tuple[str, float | None]:
    """The least error without a model: of the baselines, and of means rounded to whole answers."""
    tried = {row.name: row.mae_sum.value for row in found.rows if row.kind == "baseline"}
    tried |= {f"{row.name}, rounded": row.mae_sum_argmax.value for row in found.rows if row.name in MEANS}
    known = {name: value for name, value in tried.items() if value is not None}
    return min(known.items(), key=lambda pair: pair[1], default=("none", None))


def _forest(rows: Rows, nearest: float | None) -> dict[str, Any]:
    """A panel a run, one below the other. Facets cannot have rows of their own without a warning."""
    last, domain = _reach(rows, nearest)
    groups: dict[str, Rows] = {}
    for row in rows:
        off = row["value"] > last
        plotted = {**row, "off": off, "edge": f"{plain(row['value'])} ►" if off else ""}
        plotted.pop("more")
        groups.setdefault(row["group"], []).append(plotted)
    panels = [_panel(name, mine, domain, nearest, name == next(reversed(groups))) for name, mine in groups.items()]
    return {**concat(panels, 640, 1), "spacing": 10}


def _reach(rows: Rows, nearest: float | None) -> tuple[float, list[float]]:
    """The largest value drawn in its place, and the ends of the axis: all but baselines that are far off."""
    ends = [row[end] for row in rows for end in ("value", "low", "high", "oracle")
            if row[end] is not None and row["kind"] != KINDS[0]]  # fmt: skip
    far = max([REACH * (nearest or 0.0), *ends])
    ends += [nearest] if nearest is not None else []
    ends += [row[end] for row in rows for end in ("value", "low", "high")
             if row[end] is not None and row["value"] <= far]  # fmt: skip
    pad = 0.08 * (max(ends) - min(ends) or 1.0)
    return max(ends), [max(0.0, min(ends) - pad), max(ends) + pad]


def _panel(name: str, rows: Rows, domain: list[float], nearest: float | None, last: bool) -> dict[str, Any]:
    x: dict[str, Any] = {
        "field": "value", "type": "quantitative", "title": "error, summed over traits" if last else None,
        "scale": {"domain": domain, "zero": False, "nice": False}, "axis": {} if last else {"labels": False},
    }  # fmt: skip
    oracle = {**x, "field": "oracle"}
    kind = {"field": "kind", "type": "nominal", "title": None, "scale": {"domain": list(KINDS)},
            "legend": {"orient": "bottom", "columns": 2}}  # fmt: skip
    tip = [{"field": "group", "title": "run"}, {"field": "row"}, {"field": "shown", "title": "error"},
           {"field": "best", "title": "oracle"}]  # fmt: skip
    y = {"field": "row", "type": "nominal", "sort": None, "title": None,
         "axis": {"domain": False, "ticks": False, "labelPadding": 8, "minExtent": 130}}  # fmt: skip
    on, held = [{"filter": "!datum.off"}], [{"filter": "isValid(datum.oracle)"}]
    layers = [
        # First and of every row: the order of the rows is that of the first layer.
        {"mark": {"type": "text", "style": "faint", "align": "right"},
         "encoding": {"x": {"datum": domain[1]}, "text": {"field": "edge"}, "tooltip": tip}},
        *([line_at(nearest, "limit")] if nearest is not None else []),
        {"transform": [*on, {"filter": "isValid(datum.low)"}], "mark": {"type": "rule", "style": "interval"},
         "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}}},
        {"transform": on, "mark": "point", "encoding": {"x": x, "color": kind, "shape": kind, "tooltip": tip}},
        {"transform": held, "mark": {"type": "point", "filled": False, "strokeWidth": 1.8, "size": 75},
         "encoding": {"x": oracle, "tooltip": tip}},
        {"transform": held, "mark": {"type": "text", "style": "faint", "dy": -10},
         "encoding": {"x": oracle, "text": {"value": "oracle"}}},
    ]  # fmt: skip
    return {
        "title": {"text": name, "offset": 4}, "data": {"values": rows}, "width": 380, "height": {"step": 25},
        "encoding": {"y": y}, "layer": layers,
    }  # fmt: skip


def persons(runs: Sequence[Shown], mode: Mode) -> Figure | None:
    """Each person's error under the method over that under its reference; None below three persons."""
    panels: list[tuple[Shown, bool, Rows]] = []
    for found in _sets(runs, mode):
        for run, alignment in found:
            rows = _pairs(run, alignment)
            if len(rows) >= FEWEST:
                panels.append((run, (alignment.reference or "").endswith(PROMPT_ONLY), rows))
    if not panels:
        return None
    counts = [f"{run.label}: {sum(row['y'] < row['x'] for row in rows)} of {len(rows)} nearer than "
              f"{_than(alone)}." for run, alone, rows in panels]  # fmt: skip
    ends = [row[axis] for _, _, rows in panels for row in rows for axis in "xy"]
    pad = 0.06 * (max(ends) - min(ends) or 1.0)
    domain = [min(ends) - pad, max(ends) + pad]
    whole = figure(
        runs[0].task, mode, KIND, f"Person by person, {mode} scoring",
        "A point a person: the error under the whole control over that under what it is compared with. Below the "
        "line the control brings the answers nearer. " + " ".join(counts),
        f"Scatter plot of errors person by person, {mode} scoring, {len(panels)} run(s). {' '.join(counts)}",
        concat([_scatter(run.label, alone, rows, domain) for run, alone, rows in panels], 350, 3),
        ["run", "person", "compared with", "its error", "the method's error", "difference"],
        [[run.label, row["person"], _than(alone), plain(row["x"]), plain(row["y"]), plain(row["y"] - row["x"])]
         for run, alone, rows in panels for row in rows],
    )  # fmt: skip
    return whole.model_copy(update={"name": f"{whole.name}-each"})


def _than(alone: bool) -> str:
    return "under the prompt alone" if alone else "without control"


def _pairs(run: Shown, found: Alignment) -> Rows:
    rows = {row.name: row for row in found.rows}
    method, reference = rows.get(str(run.facts.method["name"])), rows.get(found.reference or "")
    if method is None or reference is None or method.kind != "method":
        return []
    both = [(id, reference.persons[id].mae_sum, mine.mae_sum) for id, mine in method.persons.items()]
    return [{"person": id, "x": x, "y": y, "shown": f"{plain(x)} → {plain(y)}"}
            for id, x, y in both if x is not None and y is not None]  # fmt: skip


def _scatter(label: str, alone: bool, rows: Rows, domain: list[float]) -> dict[str, Any]:
    scale = {"domain": domain, "zero": False, "nice": False}
    tip = [{"field": "person"}, {"field": "shown", "title": "error"}]
    x = {"field": "x", "type": "quantitative", "scale": scale, "title": f"error {_than(alone)}"}
    y = {"field": "y", "type": "quantitative", "scale": scale, "title": "error under the method"}
    return {
        "title": {"text": label},
        "data": {"values": rows},
        "width": 240,
        "height": 240,
        "encoding": {"x": x, "y": y},
        "layer": [
            {"data": {"values": [{"x": end, "y": end} for end in domain]}, "mark": {"type": "line", "style": "limit"}},
            {"mark": "point", "encoding": {"tooltip": tip}},
        ],
    }
