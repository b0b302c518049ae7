"""The one figure of projections: how far texts lie along the direction of each target, and what goes on inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from traitbench.charts.chart import Estimate, Figure, dots_by_target, figure, plain
from traitbench.runs.projected import Projections, Read, along_its_own
from traitbench.samples import Condition

__all__ = ["projected"]

READ: dict[Read, str] = {"alone": "said", "controlled": "inside"}
_MANY = 40
"""Targets beyond which a line each would be a page of them."""


def projected(found: Sequence[Projections], conditions: Sequence[Condition], label: str) -> list[Figure]:
    """Shift along its own direction by target: a panel for replies and one for prompts; none where nothing was read."""
    rows = [row for one in found for row in _rows(one, [c.name for c in conditions if c.headline])]
    if not rows or len(rows) > 4 * _MANY:
        return []
    said = [row for row in rows if row["read"] == "said" and row["low"] is not None]
    moved = sum(row["low"] > 0 for row in said)
    return [figure(
        "projections", label, "projection", f"Along the directions of the targets: {label}",
        "How far texts lie from the baseline's along a direction that aims at the target, in standard deviations of "
        "the baseline's texts, with the 95 % interval over items. Said: replies read by the model without the control, "
        "which tells whether words follow; inside: the texts read under it.",
        f"Dot and interval chart of {len(rows)} shifts, from {plain(min(row['value'] for row in rows), 2)} to "
        f"{plain(max(row['value'] for row in rows), 2)} standard deviations; of {len(said)} with replies read alone "
        f"{moved} lie above zero with their interval.",
        _spec(rows),
        ["target", "of", "along", "read", "shift [95 %], SD"],
        [[row["target"], row["of"], row["along"], row["read"], row["shown"]] for row in rows],
    )]  # fmt: skip


def _rows(one: Projections, targets: Sequence[str]) -> list[dict[str, Any]]:
    if one.aim not in targets:
        return []
    out = []
    for read, word in READ.items():
        value, ci = along_its_own(one, read)
        if value is not None:
            shown = Estimate(value, *(ci or (None, None)))
            out.append({
                "target": one.aim, "of": one.of, "along": one.method or "a control", "read": word, "value": shown.value,
                "low": shown.low, "high": shown.high, "shown": shown.text(2),
            })  # fmt: skip
    return out


def _spec(rows: list[dict[str, Any]]) -> dict[str, Any]:
    words = [word for word in READ.values() if any(row["read"] == word for row in rows)]
    mark = {"field": "read", "type": "nominal", "sort": words, "legend": {"title": None, "orient": "top"}}
    offset = {"yOffset": {"field": "read", "type": "nominal", "sort": words}}
    tips = {"target": "target", "of": "of", "along": "along", "read": "read", "shown": "shift, SD"}
    return dots_by_target(rows, "of", "shift along the target's direction, SD", mark, tips, offset)
