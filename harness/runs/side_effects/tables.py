"""Damage and gain by target, as a reader of one run sees it."""

from __future__ import annotations

from collections.abc import Sequence

from traitbench.runs.side_effects.records import Delta, Measurement, SideEffects
from traitbench.samples import Condition
from traitbench.tables import Table, interval, number

__all__ = ["chosen", "tables"]

_MANY = 40
"""Targets beyond which only those that fell most are shown."""
_FEW = 10


def tables(found: SideEffects | None, conditions: Sequence[Condition]) -> list[Table]:
    """One table: the differences of each task, target by target; of a run without a control the values alone."""
    if found is None:
        return []
    baseline, *controlled = [condition for condition in conditions if condition.headline]
    asked = f"lm-eval {found.lm_eval}, {', '.join(found.asked)}"
    asked += f", the first {found.limit} documents a task" if found.limit is not None else ""
    if not controlled:
        return [_plain(found, asked, baseline.name)]
    rows = []
    for name in found.shown:
        one = found.tasks[name]
        for metric in chosen(found, name):
            mine = [delta for delta in one.deltas if delta.metric == metric]
            rows += [_row(name, one, delta, baseline.name) for delta in _shown(mine)]
    columns = ["target", "task", "metric", "plain", "controlled", "change [95 %]", "p (Holm)", "documents"]
    notes = [*_mean(found), *_reasons(found), _KEY]
    if len(controlled) > _MANY:
        notes.append(f"Of {len(controlled)} targets the {_FEW} under which most was lost; the results file has all.")
    return [Table(title=f"Damage and gain by target: {asked}", columns=columns, rows=rows, notes=notes)]


_KEY = (
    "change: controlled minus plain, over the same documents; of a perplexity that of the documents' mean "
    "log-likelihood in nats, of which more is better. p: adjusted for the targets of a task and metric."
)


def chosen(found: SideEffects, name: str) -> list[str]:
    """The metrics of a task that are shown: the first one, and that which is its accuracy."""
    accuracy = (found.capability.metrics if found.capability else {}).get(name)
    return list(dict.fromkeys([*list(found.tasks[name].metrics)[:1], *([accuracy] if accuracy else [])]))


def _shown(deltas: Sequence[Delta]) -> list[Delta]:
    if len(deltas) <= _MANY:
        return list(deltas)
    return sorted((d for d in deltas if d.delta is not None), key=lambda d: d.delta or 0)[:_FEW]


def _row(name: str, one: Measurement, delta: Delta, baseline: str) -> list[str]:
    before, after = (one.metrics[delta.metric][condition].value for condition in (baseline, delta.condition))
    return [
        delta.condition, name, delta.metric, number(before, 3), number(after, 3), interval(delta.delta, delta.ci, 3),
        number(delta.p_holm, 3), str(delta.n),
    ]  # fmt: skip


def _mean(found: SideEffects) -> list[str]:
    whole = found.capability
    if whole is None or whole.value is None:
        return []
    tasks = f"{len(whole.metrics)} task{'' if len(whole.metrics) == 1 else 's'}"
    targets = f"{whole.targets} target{'' if whole.targets == 1 else 's'}"
    worst = f"; most was lost under {whole.worst} ({number(100 * (whole.worst_value or 0), 1)})" if whole.worst else ""
    return [f"Capability: accuracy changed by {whole.text} points, mean over {tasks} and {targets}{worst}."]


def _reasons(found: SideEffects) -> list[str]:
    """Why some differences have no interval or no value; each said once."""
    why: dict[str, list[str]] = {}
    for name in found.shown:
        for delta in found.tasks[name].deltas:
            if delta.reason and delta.metric in chosen(found, name):
                why.setdefault(delta.reason, []).append(f"{name}, {delta.condition}")
    return [f"{'; '.join(places[:3])}{' and others' if len(places) > 3 else ''}: {w}." for w, places in why.items()]


def _plain(found: SideEffects, asked: str, baseline: str) -> Table:
    rows = []
    for name in found.shown:
        for metric, values in found.tasks[name].metrics.items():
            mine = values[baseline]
            rows.append([name, metric, number(mine.value, 3), number(mine.stderr, 3), str(mine.n)])
    columns = ["task", "metric", "value", "standard error", "documents"]
    return Table(title=f"Without a control: {asked}", columns=columns, rows=rows)
