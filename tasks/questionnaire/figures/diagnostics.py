"""Whether the numbers mean anything: how the answers were given, and how consistent the scales are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from traitbench.charts.chart import Estimate, Figure, facets, figure, line_at, plain, two_lines
from traitbench.statistics.style import Style
from traitbench.statistics.thresholds import THRESHOLDS
from traitbench.tasks.questionnaire.figures.runs import Run
from traitbench.tasks.questionnaire.respondents import Reliability
from traitbench.types import Mode

__all__ = ["COEFFICIENTS", "reliability", "response_style"]

COEFFICIENTS = {"alpha": "alpha", "omega_total": "omega", "retest": "retest"}
"""Field of a scale -> how it is called."""
LOWEST = -1.0
"""Where the axis of coefficients ends: alpha has no lower bound, and how far below it lies says nothing."""
Spec = dict[str, Any]


def response_style(runs: Sequence[Run], mode: Mode) -> Figure | None:
    """How the answers of all conditions were given, a row a run; None for statement, which shows no options."""
    found = {
        run.label: style
        for run in runs
        if (scored := run.scored(mode)) is not None and (style := scored.response_style.get("all")) is not None
    }
    if not found:
        return None
    worst = max(found.items(), key=lambda pair: max(pair[1].positions, default=0.0))
    top = max(worst[1].positions, default=0.0)
    return figure(
        runs[0].task, mode, "response style", f"How the answers were given, {mode} scoring",
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


def _strips(found: dict[str, Style]) -> Spec:
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
                     "domain": ["refusal", "unparsed", "truncated", "error"], "range": "category"}, "legend": None},
                 "tooltip": [{"field": "run"}, {"field": "status"}, {"field": "shown", "title": "share"}]}},
        ],
    }  # fmt: skip


def reliability(runs: Sequence[Run], mode: Mode) -> Figure | None:
    """Alpha with its interval, omega and retest of every scale; None without simulated respondents."""
    rows, table = [], []
    for run in runs:
        scored = run.scored(mode)
        for scale in scored.reliability if scored else []:
            rows += _coefficients(run.label, scale)
            table.append([
                run.label, scale.trait, str(scale.n), _alpha(scale), plain(scale.omega_total), plain(scale.retest),
                "; ".join(f"{k.replace('_', ' ')}: {why}" for k, why in scale.reasons.items()) or "–",
            ])  # fmt: skip
    if not any(row["value"] is not None for row in rows):
        return None
    known = [row["value"] for row in rows if row["value"] is not None]
    return figure(
        runs[0].task, mode, "reliability", f"Reliability over simulated respondents, {mode} scoring",
        f"How consistently respondents answer the items of one scale (alpha with Feldt's 95 % interval, omega) and the "
        f"same items asked another way (retest). Dashed: {THRESHOLDS['alpha'].caution:.2f}, below which alpha and "
        "omega are a reason for caution. An alpha below -1 is written at the left edge.",
        f"Dot chart of alpha, omega and retest for {len(table)} scale(s), {mode} scoring: from {plain(min(known))} to "
        f"{plain(max(known))}.",
        _reliability(rows, len({row["run"] for row in rows}) > 1),
        ["run", "scale", "respondents", "alpha [95 %]", "omega", "retest", "what is missing, and why"],
        table,
    )  # fmt: skip


def _alpha(scale: Reliability) -> str:
    return Estimate(scale.alpha, *(scale.alpha_ci or (None, None))).text(2)


def _coefficients(label: str, scale: Reliability) -> list[Spec]:
    out = []
    for field, name in COEFFICIENTS.items():
        low, high = scale.alpha_ci if field == "alpha" and scale.alpha_ci else (None, None)
        value: float | None = getattr(scale, field)
        shown = _alpha(scale) if field == "alpha" else plain(value)
        out.append({"run": label, "scale": scale.trait, "coefficient": name, "value": value, "low": low, "high": high,
                    "off": f"◂ {name} {plain(value)}", "shown": shown})  # fmt: skip
    return out


def _reliability(rows: list[Spec], several: bool) -> Spec:
    ends = [row[end] for row in rows for end in ("low", "value") if row[end] is not None]
    domain = [max(LOWEST, min(0.0, *ends)), 1]
    kind = {"field": "coefficient", "type": "nominal", "title": None, "legend": {"orient": "bottom"},
            "scale": {"domain": list(COEFFICIENTS.values())}}  # fmt: skip
    x = {"field": "value", "type": "quantitative", "title": "coefficient", "scale": {"domain": domain}}
    low = {"field": "low", "type": "quantitative", "scale": {"domain": domain, "clamp": True}}
    inner = {
        "width": 320,
        "height": {"step": 13, "for": "offset"},
        "encoding": {
            "y": {"field": "scale", "type": "nominal", "sort": None, "title": None},
            "yOffset": {"field": "coefficient", "type": "nominal", "sort": None},
        },
        "layer": [
            line_at(THRESHOLDS["alpha"].caution, "limit"),
            {"mark": {"type": "rule", "style": "interval"}, "encoding": {"x": low, "x2": {"field": "high"}}},
            {"transform": [{"filter": f"isValid(datum.value) && datum.value < {LOWEST}"}],
             "mark": {"type": "text", "style": "faint", "align": "left"},
             "encoding": {"x": {"datum": LOWEST}, "text": {"field": "off"}}},
            {"transform": [{"filter": f"isValid(datum.value) && datum.value >= {LOWEST}"}],
             "mark": "point", "encoding": {
                "x": x, "color": kind, "shape": kind,
                "tooltip": [{"field": "run"}, {"field": "scale"}, {"field": "coefficient"},
                            {"field": "shown", "title": "value"}]}},
        ],
    }  # fmt: skip
    if not several:
        return {"data": {"values": rows}, **inner, "usermeta": {"panel": 480}}
    return {
        "data": {"values": rows},
        "facet": facets("run", rows),
        "columns": 2,
        "spec": inner,
        "usermeta": {"panel": 480},
    }
