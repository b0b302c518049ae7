"""What every figure is made of: the record of a finished figure, and parts of charts over plain numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from traitbench.charts.theme import CONFIGS
from traitbench.tables import Table, number
from traitbench.types import Record

__all__ = [
    "Estimate", "Figure", "aims", "concat", "digits", "dots_by_target", "facets", "figure", "grid_cells", "grid_width",
    "line_across", "line_at", "plain", "ring", "signed", "slug", "stretched", "svg", "two_lines", "unit",
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

    def _repr_svg_(self) -> str:
        """Draw it where a notebook shows it."""
        return svg(self)


def svg(figure: Figure, theme: Literal["light", "dark"] = "light") -> str:
    """Draw a figure: the same bytes every time."""
    import vl_convert

    drawn = vl_convert.vegalite_to_svg(figure.spec, config=CONFIGS[theme], allowed_base_urls=[])
    # Vega numbers gradients and clips through the life of the process.
    numbers: dict[str, int] = {}
    return re.sub(
        r'( id="|"url\(#)(gradient_|clip)(\d+)',
        lambda m: f"{m[1]}{m[2]}{numbers.setdefault(m[2] + m[3], len(numbers))}",
        drawn,
    )


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


def unit(mode: str) -> str:
    """The unit of a shift as axes and tables name it."""
    return "nats a token" if mode == "statement" else "POMP"


def digits(mode: str) -> int:
    """Decimals of a shift: a nat is a large unit, a hundredth of the range a small one."""
    return 3 if mode == "statement" else 2


def plain(value: float | None, places: int = 2) -> str:
    """The value as a table shows it; what rounds to zero has no sign."""
    return number(None if value is None else round(value, places) + 0.0, places)


def stretched(value: float, ci: tuple[float, float] | None, shown: float, factor: float | None) -> Estimate:
    """The interval moved and stretched as `value` is to be `shown`; none where the factor is unknown."""
    if ci is None or factor is None:
        return Estimate(shown)
    return Estimate(shown, *(shown + factor * (end - value) for end in ci))


def slug(*parts: str) -> str:
    """Make a file name and anchor of any text: letters a to z, digits and hyphens, at most 80 characters."""
    plain = unicodedata.normalize("NFKD", "-".join(parts)).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:80].strip("-") or "figure"


def figure(
    run_or_task: str, mode: str, kind: str, title: str, caption: str, alternative: str, spec: dict[str, Any],
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
    """A y axis whose labels break where a label joins method and model."""
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


def by_target(rows: Rows, layers: list[dict[str, Any]], several: bool) -> dict[str, Any]:
    """Lay `layers` out over `rows` with a `target` and a `run`: a line a target, of several runs a panel a target."""
    y = {"field": "run" if several else "target", "type": "nominal", "sort": None, "title": None, "axis": two_lines()}
    lines = 2 if any(" · " in row["run"] for row in rows) else 1
    inner = {"width": 340, "height": {"step": 8 + 15 * lines}, "encoding": {"y": y}, "layer": layers}
    if not several:
        return {"data": {"values": rows}, **inner, "usermeta": {"panel": 500}}
    return {
        "data": {"values": rows},
        "facet": {"row": facets("target", rows, labelOrient="top", labelPadding=2)},
        "spec": inner,
        "spacing": 10,
        "usermeta": {"panel": 560},
    }


def line_at(x: float, style: str = "zero") -> dict[str, Any]:
    """A vertical line through the whole plot, drawn once whatever the data."""
    return {
        "data": {"values": [{}]},
        "mark": {"type": "rule", "style": style},
        "encoding": {"x": {"datum": x}, "y": None, "yOffset": None},
    }


def dots_by_target(
    rows: Rows, by: str, title: str, mark: dict[str, Any], tips: dict[str, str], offset: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Values with their intervals, a line a target and a panel a value of `by`; `mark`: colour and shape of the dots.

    Rows hold target, value, low, high; `tips`: field -> its words in the tooltip; `offset` sets dots of a line apart.
    """
    x, apart = {"type": "quantitative"}, offset or {}
    layers = [
        line_at(0),
        {"mark": {"type": "rule", "style": "interval"},
         "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, **apart}},
        {"mark": "point", "encoding": {
            "x": {**x, "field": "value", "title": title}, "color": mark, "shape": mark, **apart,
            "tooltip": [{"field": field, "title": words} for field, words in tips.items()]}},
    ]  # fmt: skip
    y = {"field": "target", "type": "nominal", "sort": None, "title": None,
         "axis": {"domain": False, "ticks": False, "labelPadding": 8}}  # fmt: skip
    return {
        "data": {"values": rows},
        "facet": {"row": facets(by, rows, labelOrient="top", labelPadding=2)},
        "spec": {"width": 340, "height": {"step": 23}, "encoding": {"y": y}, "layer": layers},
        "spacing": 10,
        "usermeta": {"panel": 560},
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


def aims(rows: Rows) -> dict[str, Any]:
    """Colour and shape by which way is aimed, high first."""
    order = sorted({row["aim"] for row in rows}, key=lambda a: (a != "high", a != "low", a))
    return {"field": "aim", "type": "nominal", "title": "aimed at", "scale": {"domain": order},
            "legend": {"orient": "bottom"}}  # fmt: skip


def ring(y: dict[str, Any]) -> dict[str, Any]:
    """The mark around what was chosen."""
    mark = {"type": "point", "style": "own", "size": 190}
    return {"transform": [{"filter": "datum.chosen"}], "mark": mark, "encoding": {"y": y}}
