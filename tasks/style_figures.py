"""The figure that every task with answers on a scale shows: how the answers were given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traitbench.charts.chart import Figure, figure, line_at, plain, two_lines
from traitbench.statistics.style import Style
from traitbench.statistics.thresholds import THRESHOLDS

__all__ = ["styles_drawn"]

Spec = dict[str, Any]


def styles_drawn(task: str, mode: str, found: Mapping[str, Style]) -> Figure | None:
    """Response style over all conditions, a row a run (label -> style); None without any."""
    if not found:
        return None
    worst = max(found.items(), key=lambda pair: max(pair[1].positions, default=0.0))
    top = max(worst[1].positions, default=0.0)
    return figure(
        task, mode, "response style", f"How the answers were given, {mode} scoring",
        "Shares of the answers by the place of the option as printed, whatever stood there; then agreement as such, "
        "the pull of the first or last place, the probability of any valid option, and invalid answers. Grey: the "
        "range that is no reason for caution.",
        f"Strips for {len(found)} run(s), {mode} scoring: shares by option position, acquiescence, position bias, "
        f"option mass, invalid answers. The largest share of one position is {top:.0%} ({worst[0]}).",
        _strips(found),
        ["run", "answers", "by position", "acquiescence", "position bias", "option mass", "invalid", "stands out"],
        [[label, str(s.n), " ".join(f"{share:.0%}" for share in s.positions), plain(s.acquiescence),
          plain(s.position_bias), plain(s.option_mass), f"{sum(s.invalid.values()):.1%}",
          "; ".join(s.flags.values()) or "–"] for label, s in found.items()],
    )  # fmt: skip


def _strips(found: Mapping[str, Style]) -> Spec:
    shares = [
        {"run": label, "position": place, "share": share, "shown": f"{share:.1%}"}
        for label, style in found.items() for place, share in enumerate(style.positions, 1)
    ]  # fmt: skip
    invalid = [
        {"run": label, "status": status, "share": share, "shown": f"{share:.1%}"}
        for label, style in found.items() for status, share in (style.invalid or {"none": 0.0}).items()
    ]  # fmt: skip
    names = ("acquiescence", "position_bias", "option_mass")
    values = [{"run": label, **{name: getattr(style, name) for name in names}} for label, style in found.items()]
    safe = {name: THRESHOLDS[name].caution for name in (*names, "invalid")}
    share = {"field": "share", "type": "quantitative", "title": "share of answers", "axis": {"format": "%"}}
    stack = {
        "data": {"values": shares},
        **_size("by position of the option", 190, first=True),
        "mark": {"type": "bar", "height": {"band": 0.6}},
        "encoding": {
            "y": _y(first=True), "x": {**share, "scale": {"domain": [0, 1]}},
            "color": {"field": "position", "type": "ordinal", "scale": {"range": "ordinal", "interpolate": "rgb"},
                      "legend": {"orient": "bottom", "title": "option, first to last", "columns": 9}},
            "order": {"field": "position"},
            "tooltip": [{"field": "run"}, {"field": "position", "title": "option"},
                        {"field": "shown", "title": "share"}],
        },
    }  # fmt: skip
    bound = safe["position_bias"]
    panels = [
        stack,
        _strip(values, "acquiescence", "agreement as such", [-0.5, 0.5], (-safe["acquiescence"], safe["acquiescence"])),
        _strip(values, "position_bias", "position bias", [-1, 1], (-bound, bound)),
        _strip(values, "option_mass", "option mass", [0, 1], (safe["option_mass"], 1)),
        _invalid(invalid, share, safe["invalid"]),
    ]
    return {"hconcat": panels, "spacing": 18, "resolve": {"scale": {"color": "independent"}},
            "usermeta": {"panel": 900}}  # fmt: skip


def _size(title: str, width: int, first: bool = False) -> Spec:
    return {"title": {"text": title, "fontWeight": "normal", "offset": 6}, "width": width, "height": {"step": 36}}


def _y(first: bool = False) -> Spec:
    axis = two_lines() if first else None
    return {"field": "run", "type": "nominal", "sort": None, "title": None, "axis": axis}


def _strip(rows: list[Spec], name: str, title: str, domain: list[float], safe: tuple[float, float]) -> Spec:
    """One index: a dot a run on the grey range; `none` where the index cannot be had."""
    x = {"field": name, "type": "quantitative", "title": "share of the range" if domain[0] < 0 else "probability",
         "scale": {"domain": domain}, "axis": {"tickCount": 3}}  # fmt: skip
    return {
        "data": {"values": rows},
        **_size(title, 120),
        "encoding": {"y": _y()},
        "layer": [
            _range(*safe),
            line_at(0),
            {"transform": [{"filter": f"isValid(datum.{name})"}], "mark": {"type": "point", "clip": False},
             "encoding": {"x": x, "tooltip": [{"field": "run"}, {"field": name, "title": title, "format": ".3f"}]}},
            {"transform": [{"filter": f"!isValid(datum.{name})"}], "mark": {"type": "text", "style": "faint"},
             "encoding": {"x": {"datum": sum(domain) / 2}, "text": {"value": "none"}}},
        ],
    }  # fmt: skip


def _range(low: float, high: float) -> Spec:
    """A grey range through the whole plot."""
    return {
        "data": {"values": [{}]},
        "mark": {"type": "rect", "style": "safe"},
        "encoding": {"x": {"datum": low}, "x2": {"datum": high}, "y": None},
    }


def _invalid(rows: list[Spec], share: Spec, limit: float) -> Spec:
    return {
        "data": {"values": rows},
        **_size("invalid answers", 120),
        "encoding": {"y": _y()},
        "layer": [
            _range(0, limit),
            {"mark": {"type": "bar", "height": {"band": 0.6}},
             "encoding": {
                 "x": {**share, "scale": {"domain": [0, 1]}, "axis": {"format": "%", "tickCount": 3}},
                 "color": {"field": "status", "type": "nominal", "scale": {
                     "domain": ["refusal", "unparsed", "truncated", "unseen", "error"], "range": "category"},
                     "legend": None},
                 "tooltip": [{"field": "run"}, {"field": "status"}, {"field": "shown", "title": "share"}]}},
        ],
    }  # fmt: skip
