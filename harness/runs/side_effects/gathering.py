"""From what lm-eval found under each control to the records that a run keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from traitbench.backends.lm_eval.kinds import installed
from traitbench.runs.side_effects.asking import Outcome
from traitbench.runs.side_effects.records import Measured, Measurement, SideEffects
from traitbench.runs.side_effects.tasks import Loaded

__all__ = ["gathered"]


def gathered(loaded: Loaded, outcomes: Sequence[Outcome]) -> SideEffects:
    """The measurements of every task and group, without the differences."""
    first = outcomes[0]
    tasks = {}
    for name, task in loaded.tasks.items():
        tasks[name] = Measurement(
            kind="task",
            version=str(first.about["versions"].get(name)),
            task_hash=loaded.hashes[name],
            output_type=str(task.OUTPUT_TYPE),
            n_shot=first.about["n-shot"].get(name),
            documents=first.about["n-samples"][name]["original"],
            higher_is_better=dict(first.about["higher_is_better"].get(name) or {}),
            aggregation={metric: getattr(way, "__name__", str(way)) for metric, way in task.aggregation().items()},
            metrics=_metrics(name, outcomes),
        )
    for name, group in loaded.groups.items():
        ways = {each.metric: "size" if each.weight_by_size else "equal" for each in group.aggregate_metric_list or ()}
        members = [task.task_name for task in group.get_all_tasks()]
        tasks[name] = Measurement(
            kind="group",
            version=str(group.version),
            higher_is_better={metric: _shared([tasks[m].higher_is_better.get(metric) for m in members])
                              for metric in ways},
            aggregation=ways,
            members=members,
            metrics=_metrics(name, outcomes),
        )  # fmt: skip
    return SideEffects(
        lm_eval=installed(), asked=list(loaded.asked), shown=list(loaded.shown), limit=loaded.limit,
        chat_template=first.chat, tasks=tasks,
    )  # fmt: skip


def _shared(found: Sequence[bool | None]) -> bool | None:
    """What all say; None where they differ."""
    return found[0] if found and len(set(found)) == 1 else None


def _metrics(name: str, outcomes: Sequence[Outcome]) -> dict[str, dict[str, Measured]]:
    """Metric -> condition -> its value; several fits of a condition are one."""
    fits: dict[str, list[Mapping[str, Any]]] = {}
    for outcome in outcomes:
        fits.setdefault(outcome.condition.name, []).append(outcome.results[name])
    shown = [key for key in outcomes[0].results[name] if "," in key and not key.partition(",")[0].endswith("_stderr")]
    return {key: {condition: _measured(key, mine) for condition, mine in fits.items()} for key in shown}


def _measured(key: str, fits: Sequence[Mapping[str, Any]]) -> Measured:
    values = [_number(fit.get(key)) for fit in fits]
    metric, _, part = key.partition(",")
    known = [value for value in values if value is not None]
    return Measured(
        value=sum(known) / len(known) if known and len(known) == len(values) else None,
        stderr=_number(fits[0].get(f"{metric}_stderr,{part}")) if len(fits) == 1 else None,
        n=int(fits[0].get("sample_len") or 0),
    )


def _number(value: Any) -> float | None:
    """lm-eval writes N/A where there is none; NaN and infinity are none either."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < float("inf") else None
