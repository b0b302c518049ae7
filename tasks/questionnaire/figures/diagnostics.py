"""Whether the numbers mean anything: how the answers were given, and how consistent the scales are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from traitbench.charts.chart import Estimate, Figure, facets, figure, line_at, plain
from traitbench.statistics.thresholds import THRESHOLDS
from traitbench.tasks.questionnaire.figures.runs import Run
from traitbench.tasks.questionnaire.respondents import Reliability
from traitbench.tasks.style_figures import styles_drawn
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
    return styles_drawn(runs[0].task, mode, found)


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
