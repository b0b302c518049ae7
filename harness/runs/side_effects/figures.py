"""The one figure of lm-eval's tasks: what each target took from them, or added, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from traitbench.charts.chart import Estimate, Figure, aims, dots_by_target, figure, plain
from traitbench.runs.side_effects.records import SideEffects
from traitbench.samples import Condition

__all__ = ["damages"]

_MANY = 40
"""Targets beyond which a line each would be a page of them."""


def damages(found: SideEffects | None, conditions: Sequence[Condition], label: str) -> list[Figure]:
    """Damage by target: a panel a task, a line a target; none without a task that has an accuracy."""
    targets = {condition.name: condition for condition in conditions if condition.headline}
    if found is None or found.capability is None or len(targets) - 1 > _MANY:
        return []
    rows = _rows(found, targets)
    if not rows:
        return []
    values = [row["value"] for row in rows]
    lost = sum(row["high"] is not None and row["high"] < 0 for row in rows)
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    limit = f" Of each task the first {found.limit} documents." if found.limit is not None else ""
    return [figure(
        "side-effects", label, "damage", f"Damage by target: {label}",
        "How far the share of right answers in tasks of lm-eval changed under the control of each target, in points, "
        f"with its 95 % interval over documents. Left of the line something was lost.{limit}",
        f"Dot and interval chart of {len(rows)} changes in {len(tasks)} task(s): from {plain(min(values), 1)} to "
        f"{plain(max(values), 1)} points; {lost} intervals lie below zero.",
        _spec(rows),
        ["target", "task", "metric", "change of accuracy [95 %], points", "documents"],
        [[row["target"], row["task"], row["metric"], row["shown"], str(row["n"])] for row in rows],
    )]  # fmt: skip


def _rows(found: SideEffects, targets: dict[str, Condition]) -> list[dict[str, Any]]:
    assert found.capability is not None
    out = []
    for task, metric in found.capability.metrics.items():
        for delta in found.tasks[task].deltas:
            if delta.metric != metric or delta.delta is None:
                continue
            ends = delta.ci or (None, None)
            shown = Estimate(*(None if x is None else 100 * x for x in (delta.delta, *ends)))
            out.append({
                "target": delta.condition, "task": task, "metric": metric, "value": shown.value, "low": shown.low,
                "high": shown.high, "shown": shown.text(1), "n": delta.n, "aim": targets[delta.condition].aim,
            })  # fmt: skip
    return out


def _spec(rows: list[dict[str, Any]]) -> dict[str, Any]:
    tips = {"target": "target", "metric": "metric", "shown": "change, points", "n": "documents"}
    return dots_by_target(rows, "task", "change of accuracy, points", aims(rows), tips)
