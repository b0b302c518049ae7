"""What every figure is made of: the record of a finished figure, and the run that it is drawn from."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from traitbench.runs.results import Results
from traitbench.tables import Table, number
from traitbench.tasks.questionnaire.scorecard import Contrast, Scorecard, Shift
from traitbench.types import Mode, Record

__all__ = [
    "Estimate", "Figure", "Run", "concat", "digits", "effects", "facets", "figure", "grid_cells", "grid_width",
    "line_across", "line_at", "modes", "named", "per_point", "plain", "scaled", "setup", "signed", "slug", "stretched",
    "two_lines", "unit",
]  # fmt: skip

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
"""Names the dialect; nothing fetches it."""
CELL = 42
"""Width of a heat map's cell in pixels."""
Rows = list[dict[str, Any]]


class Figure(Record):
    """One figure, its words and its numbers."""

    name: str
    """File name without ending, and anchor on the page: letters, digits and hyphens."""
    kind: str
    """The heading it stands under."""
    title: str
    caption: str
    alternative: str
    """What it shows, for those who do not see it."""
    spec: dict[str, Any]
    """Vega-Lite. Colours come from the configuration (theme.py); `usermeta.panel` is the width of one panel."""
    table: Table
    """The same numbers."""


class Run(NamedTuple):
    """One task of one results file."""

    label: str
    """Short and unlike those of the other runs in the figure."""
    task: str
    results: Results

    def card(self, mode: Mode) -> Scorecard:
        """The contrasts of one scoring mode."""
        return self.results.scorecard[self.task][mode]

    def cards(self) -> Iterable[Scorecard]:
        """The contrasts of every scoring mode."""
        return self.results.scorecard[self.task].values()

    def verdict(self, mode: Mode) -> str:
        """The verdict's word."""
        return self.results.verdict[self.task][mode].verdict


class Estimate(NamedTuple):
    """A shift in the unit that is shown: POMP for choice and generate, nats a token for statement."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def text(self, places: int) -> str:
        """The value and its interval as a table shows them."""
        if self.low is None or self.high is None:
            return plain(self.value, places)
        return f"{plain(self.value, places)} [{plain(self.low, places)}, {plain(self.high, places)}]"


def modes(runs: Iterable[Run]) -> list[Mode]:
    """The scoring modes that any of `runs` has, statement first."""
    found = dict.fromkeys(mode for run in runs for mode in run.results.scorecard[run.task])
    return sorted(found, key=lambda mode: mode != "statement")


def unit(mode: Mode) -> str:
    """The unit of a shift as axes and tables name it."""
    return "nats a token" if mode == "statement" else "POMP"


def digits(mode: Mode) -> int:
    """Decimals of a shift: a nat is a large unit, a hundredth of the range a small one."""
    return 3 if mode == "statement" else 2


def plain(value: float | None, places: int = 2) -> str:
    """The value as a table shows it; what rounds to zero has no sign."""
    return number(None if value is None else round(value, places) + 0.0, places)


def per_point(run: Run, mode: Mode) -> float | None:
    """What one point of the mode's own scale is in the unit shown: 1 for statement, else 100 / range.

    The range is read off two scores of the run that differ; None where all of them are the same.
    """
    if mode == "statement":
        return 1.0
    every = (s for by_mode in run.results.scores[run.task].values() for s in by_mode.get(mode, []))
    known = sorted((s.value, s.pomp) for s in every if s.value is not None and s.pomp is not None)
    if not known or known[-1][0] - known[0][0] < 1e-6:
        return None
    return 100 / round(100 * (known[-1][0] - known[0][0]) / (known[-1][1] - known[0][1]))


def stretched(value: float, ci: tuple[float, float] | None, shown: float, factor: float | None) -> Estimate:
    """The interval moved and stretched as `value` is to be `shown`; none where the factor is unknown."""
    if ci is None or factor is None:
        return Estimate(shown)
    return Estimate(shown, *(shown + factor * (end - value) for end in ci))


def scaled(shift: Shift | None, run: Run, mode: Mode) -> Estimate:
    """The shift and its interval in the unit of `unit`."""
    if shift is None or shift.value is None:
        return Estimate(None)
    shown = shift.value if mode == "statement" else shift.pomp
    return Estimate(None) if shown is None else stretched(shift.value, shift.ci, shown, per_point(run, mode))


def effects(run: Run, mode: Mode) -> list[tuple[Contrast, Estimate]]:
    """The contrasts that aim at one trait, with that trait's shift."""
    card = run.results.scorecard[run.task].get(mode)
    found = [(c, scaled(c.effect, run, mode)) for c in card.contrasts] if card else []
    return [(c, e) for c, e in found if e.value is not None]


def named(results: Iterable[Results], task: str) -> list[Run]:
    """The runs of a task with short labels: what tells them apart and no more; a number where nothing does."""
    mine = [r for r in results if task in r.versions]
    several = len({r.model_name for r in mine}) > 1
    labels = [_label(r, several) for r in mine]
    out, seen = [], dict.fromkeys(labels, 0)
    for label, result in zip(labels, mine, strict=True):
        seen[label] += 1
        out.append(Run(f"{label} #{seen[label]}" if labels.count(label) > 1 else label, task, result))
    return out


def setup(settings: Mapping[str, Any], profiles: int, respondents: int) -> str:
    """What a label adds in brackets to the method's name: " (style=p2, 100 profiles)"; empty for the plain method."""
    parts = [f"{key}={value}" for key, value in settings.items()]
    parts += [f"{profiles} profiles"] if profiles else []
    parts += [f"{respondents} respondents"] if respondents else []
    return f" ({', '.join(parts)})" if parts else ""


def _label(results: Results, model: bool) -> str:
    drawn = sum(condition.profile for condition in results.conditions)
    respondents = int(results.administration.get("respondents") or 0)
    parts = [results.method["name"] + setup(results.method["settings"], drawn, respondents)]
    if model:
        parts.append(results.model_name)
    if (limit := results.config.get("limit")) is not None:
        parts.append(f"first {limit} items")
    return " · ".join(parts)


def slug(*parts: str) -> str:
    """Make a file name and anchor of any text: letters a to z, digits and hyphens, at most 80 characters."""
    plain = unicodedata.normalize("NFKD", "-".join(parts)).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:80].strip("-") or "figure"


def figure(
    run_or_task: str, mode: Mode, kind: str, title: str, caption: str, alternative: str, spec: dict[str, Any],
    columns: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = (),
) -> Figure:  # fmt: skip
    """Put a figure together; the specification gets its title and description."""
    return Figure(
        name=slug(run_or_task, mode, kind),
        kind=kind,
        title=title,
        caption=caption,
        alternative=alternative,
        spec={"$schema": SCHEMA, "description": alternative, "title": {"text": title}, **spec},
        table=Table(title=title, columns=list(columns), rows=[list(row) for row in rows], notes=list(notes)),
    )


def concat(panels: list[dict[str, Any]], width: int, columns: int = 3) -> dict[str, Any]:
    """Small multiples with shared colours; a page with less room than `columns` x `width` pixels uses fewer."""
    return {
        "concat": panels,
        "columns": min(columns, len(panels)),
        "spacing": 28,
        "resolve": {"scale": {"color": "shared", "shape": "shared"}, "legend": {"color": "shared"}},
        "usermeta": {"panel": width},
    }


def two_lines() -> dict[str, Any]:
    """A y axis whose labels break where `named` joins method and model."""
    return {"labelExpr": "split(datum.label, ' · ')", "domain": False, "ticks": False, "labelPadding": 8}


def facets(field: str, rows: Rows, **header: Any) -> dict[str, Any]:
    """Small multiples by `field`, in the order of the rows, which get a `place`.

    The order is a number of the data: a list of names would put texts of a run into an expression.
    """
    places = {name: place for place, name in enumerate(dict.fromkeys(row[field] for row in rows))}
    for row in rows:
        row["place"] = places[row[field]]
    by = {"field": "place", "op": "min"}
    return {"field": field, "type": "nominal", "sort": by, "header": {"title": None, "labelAnchor": "start", **header}}


def line_at(x: float, style: str = "zero") -> dict[str, Any]:
    """A vertical line through the whole plot, drawn once whatever the data."""
    return {
        "data": {"values": [{}]},
        "mark": {"type": "rule", "style": style},
        "encoding": {"x": {"datum": x}, "y": None, "yOffset": None},
    }


def line_across(y: float, title: str, style: str = "zero") -> dict[str, Any]:
    """A horizontal line through the whole plot; `title` is that of the axis, which layers share."""
    return {
        "data": {"values": [{}]},
        "mark": {"type": "rule", "style": style},
        "encoding": {"x": None, "y": {"datum": y, "type": "quantitative", "title": title}},
    }


def signed(value: float | None, places: int, plus: bool = True) -> str:
    """A number with its sign, none where it rounds to zero and, unless `plus`, none above; empty without a value."""
    if value is None:
        return ""
    text = f"{value:+.{places}f}"
    bare = float(text) == 0 or (value > 0 and not plus)
    return text[1:] if bare else text.replace("-", "−")


def grid_width(rows: Rows, x: str, y: str) -> int:
    """About how many pixels a heat map takes: its cells, the names beside them and what leans over at the right."""
    return round(CELL * len({row[x] for row in rows}) + 6.6 * max(len(row[y]) for row in rows) + 55)


def grid_cells(
    rows: Rows, x: tuple[str, str | None], y: tuple[str, str | None], bound: float, unit: str, missing: str,
    plus: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """A heat map of `rows` with `value`, `shown` for the tooltip, and `own`; x and y: field, title.

    The colour is centred on 0 and ends at +-`bound`. A null is a grey cell that says `missing`, never a colour.
    """
    places = 2 if bound < 10 else 1
    rows = [{**row, "cell": signed(row["value"], places, plus)} for row in rows]
    colour = {
        "field": "value", "type": "quantitative",
        "scale": {"domain": [-bound, bound], "range": "diverging", "interpolate": "rgb"},
        "legend": {"title": unit, "orient": "bottom", "gradientLength": 160, "tickCount": 3},
    }  # fmt: skip
    here = {"filter": "isValid(datum.value)"}
    gone = {"filter": "!isValid(datum.value)"}
    bare: dict[str, Any] = {"domain": False, "ticks": False}
    tip = [{"field": x[0], "title": x[1] or x[0]}, {"field": y[0], "title": y[1] or y[0]},
           {"field": "shown", "title": unit}]  # fmt: skip
    return {
        "data": {"values": rows},
        "width": {"step": CELL},
        "height": {"step": 32},
        "encoding": {
            "x": {"field": x[0], "type": "nominal", "sort": None, "title": x[1],
                  "axis": {**bare, "orient": "top", "labelAngle": -38}},
            "y": {"field": y[0], "type": "nominal", "sort": None, "title": y[1], "axis": bare},
            "tooltip": tip,
        },
        "layer": [
            {"transform": [here], "mark": {"type": "rect", "style": "cell"}, "encoding": {"color": colour}},
            {"transform": [gone], "mark": {"type": "rect", "style": "missing"}},
            {"transform": [{"filter": "datum.own"}], "mark": {"type": "rect", "style": "own"}},
            {"transform": [here], "mark": "text", "encoding": {"text": {"field": "cell"}}},
            {"transform": [gone], "mark": {"type": "text", "style": "faint", "fontSize": 9, "lineBreak": "\n"},
             "encoding": {"text": {"value": missing}}},
        ],
    }  # fmt: skip
