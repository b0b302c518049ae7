"""How figures look, light and dark: Vega configurations. A specification says what is shown, never a colour.

Hues are those of Okabe & Ito (2008), darkened or lightened until each stands 3:1 from its ground, text 4.5:1 (WCAG 2.2,
1.4.3 and 1.4.11). Diverging scales run from blue over the ground to orange: no end of a trait is the good one.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

__all__ = ["CONFIGS", "DARK", "FONT", "LIGHT", "VERDICTS", "Palette", "config", "contrast"]

Name = Literal["light", "dark"]

FONT = "Arial, Liberation Sans, Helvetica, sans-serif"
"""Measured when a file is written: fonts with the same widths everywhere."""
VERDICTS = ("interpretable", "caution", "not interpretable")
SHAPES = ("circle", "triangle-up", "diamond")
"""Verdict -> shape; the same as on the page's badges."""


class Palette(NamedTuple):
    """The colours of one theme."""

    ground: str
    ink: str
    muted: str
    line: str
    """Grids: decoration, without a contrast to keep."""
    neutral: str
    """Marks that carry no meaning by their colour."""
    missing: str
    """Ground of a cell without a value."""
    categories: tuple[str, ...]
    verdicts: tuple[str, ...]
    diverging: tuple[str, ...]
    """Five stops; the text of a cell must be legible on each."""
    ordinal: tuple[str, ...]
    """First and last option, and what lies between."""


LIGHT = Palette(
    ground="#ffffff", ink="#1b2128", muted="#56616d", line="#dde2e7", neutral="#6b7783", missing="#e3e6ea",
    categories=("#0072b2", "#c04f00", "#00805b", "#a0468c", "#8a6a00", "#4d5b68"),
    verdicts=("#0072b2", "#a86200", "#a3306b"),
    diverging=("#5b9fd4", "#aacdea", "#f6f6f4", "#f4c795", "#e08a3c"),
    ordinal=("#0b4f83", "#4689bb", "#7f8a95", "#c9742a", "#7c4006"),
)  # fmt: skip
DARK = Palette(
    ground="#1a2027", ink="#e8ecf0", muted="#a9b4bf", line="#343d47", neutral="#93a0ac", missing="#39424c",
    categories=("#56b4e9", "#f28e4b", "#35c295", "#e08cc4", "#e3c34a", "#aab6c2"),
    verdicts=("#56b4e9", "#e8b04a", "#ee8fbd"),
    diverging=("#2a6395", "#27445f", "#232a32", "#5c4327", "#8f5417"),
    ordinal=("#9ccff0", "#4f93c4", "#7d8893", "#d9883f", "#f3c08a"),
)  # fmt: skip


def contrast(a: str, b: str) -> float:
    """Contrast ratio of two #rrggbb colours, 1 to 21 (WCAG 2.2, relative luminance)."""
    bright, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def config(palette: Palette, font: str = FONT) -> dict[str, Any]:
    """The Vega-Lite configuration of a palette."""
    text = {"labelColor": palette.muted, "titleColor": palette.muted, "labelFontSize": 11.5, "titleFontSize": 11.5,
            "titleFontWeight": "normal"}  # fmt: skip
    return {
        "font": font,
        "background": palette.ground,
        "padding": 4,
        "view": {"stroke": None},
        "axis": {
            **text, "gridColor": palette.line, "domainColor": palette.line, "tickColor": palette.line, "tickSize": 4,
            "labelLimit": 250, "labelPadding": 5, "titlePadding": 9,
        },
        "axisY": {"labelColor": palette.ink},
        "axisTop": {"labelColor": palette.ink},
        "legend": {**text, "labelColor": palette.ink, "labelLimit": 320, "symbolSize": 70, "columnPadding": 16},
        "header": {**text, "labelColor": palette.ink, "labelFontWeight": "bold", "labelLimit": 320},
        "title": {"color": palette.ink, "fontSize": 12.5, "fontWeight": "bold", "anchor": "start", "offset": 8},
        "text": {"color": palette.ink, "fontSize": 11},
        "point": {"filled": True, "opacity": 1, "size": 62, "color": palette.categories[0]},
        "line": {"strokeWidth": 2, "color": palette.categories[0]},
        "bar": {"color": palette.neutral},
        "range": {
            "category": list(palette.categories),
            "diverging": list(palette.diverging),
            "ordinal": {"scheme": list(palette.ordinal)},
            "verdicts": list(palette.verdicts),
            "shapes": list(SHAPES),
        },
        "style": _styles(palette),
    }  # fmt: skip


def _styles(palette: Palette) -> dict[str, dict[str, Any]]:
    """Styles by name, for the marks that are more than a default."""
    return {
        "zero": {"color": palette.muted, "strokeWidth": 1},
        "limit": {"color": palette.muted, "strokeWidth": 1, "strokeDash": [4, 3]},
        "safe": {"color": palette.neutral, "fillOpacity": 0.16},
        "interval": {"color": palette.neutral, "strokeWidth": 1.6},
        "band": {"color": palette.categories[0], "fillOpacity": 0.16},
        "others": {"color": palette.neutral, "strokeWidth": 1, "opacity": 0.75},
        "faint": {"color": palette.muted, "fontSize": 10},
        "missing": {"color": palette.missing, "stroke": palette.ground, "strokeWidth": 2},
        "cell": {"stroke": palette.ground, "strokeWidth": 2},
        "own": {"filled": False, "color": palette.ink, "strokeWidth": 2},
    }


CONFIGS: dict[Name, dict[str, Any]] = {"light": config(LIGHT), "dark": config(DARK)}
