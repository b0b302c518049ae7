"""How a block is shown: tables of a run, figures, its row on the leaderboard. Any block has these; kinds add theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from traitbench.charts.chart import Figure
from traitbench.tables import Table, interval, number
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.board import Cell, Entry, Ranked, Row, rank_text, standing
from traitbench.tasks.standing import Standing, plainly

__all__ = ["Shown", "Views", "named", "setup"]


class Shown(NamedTuple):
    """One task of one run."""

    label: str
    """Short and unlike those of the other runs in a figure."""
    task: str
    block: Block
    facts: Facts


class Views:
    """What is shown of a block: here, of one of any kind, its metrics."""

    def tables(self, task: str, block: Block, facts: Facts) -> list[Table]:
        """What a reader of one run needs."""
        return _metrics(task, _COLUMNS, _rows(block))

    def figures(self, shown: Sequence[Shown]) -> list[Figure]:
        """The figures of several runs on one task."""
        return []

    def details(self, shown: Sequence[Shown]) -> list[Table]:
        """Tables that the report folds away: context, not results."""
        rows = [[run.label, *row] for run in shown for row in _rows(run.block)]
        return _metrics(shown[0].task, ["run", *_COLUMNS], rows)

    def entry(self, task: str, block: Block, facts: Facts) -> dict[str, Row]:
        """Filter -> the run's row on the leaderboard; empty where the task has none."""
        return {}

    def ranked(self, metrics: Mapping[str, Any], ranks: Mapping[str, Ranked]) -> dict[str, Any]:
        """Put the ranks (contender -> where it stands) among the metrics of a row: the first is that of the row."""
        return {**metrics, **next(iter(ranks.values()), Ranked())._asdict()}

    def board(self, task: str, filter: str, entries: Sequence[Entry]) -> list[Table]:
        """The leaderboard's tables of one filter: the ranked number first, then the other metrics as they come."""
        first = next((c for e in entries for c in e.rows[filter].contenders[:1]), None)
        own = {"verdict", *Ranked._fields, *((first.name, f"{first.name}_ci") if first else ())}
        names = dict.fromkeys(n for e in entries for n, v in e.metrics[filter].items() if n not in own and _plain(v))
        order = sorted(entries, key=lambda e: (e.metrics[filter].get("rank") is None, self.order(e, filter), e.place))
        rows = []
        for entry in order:
            metrics = entry.metrics[filter]
            told = entry.rows[filter].contenders[:1]
            rows.append([
                rank_text(metrics.get("rank"), metrics.get("rank_high")),
                entry.model,
                entry.label or entry.method,
                *([interval(told[0].value, told[0].ci) if told else "–"] if first else []),
                *(_shown(metrics.get(name)) for name in names),
                standing(entry, filter),
            ])  # fmt: skip
        columns = ["rank", "model", "method", *([f"{first.name} [95 %]"] if first else []), *names, "verdict"]
        return [Table(title=f"{task}, {filter}", columns=columns, rows=rows)]

    def called(self, name: str) -> str:
        """What a reader calls a task of this kind; `name` is that of its instrument, or the task's own."""
        return name

    def standings(self, filter: str, entries: Sequence[Entry]) -> list[Standing]:
        """The lines of the board's page for the runs of one task and filter; its ranks are among their metrics."""
        return [plainly(entry, filter) for entry in entries]

    def legend(self, entries: Sequence[Entry]) -> list[str]:
        """What a reader of the leaderboard must know of the columns that `entries` have."""
        return []

    def glossary(self) -> dict[str, str]:
        """Term -> what it means, for those who read a report of such runs."""
        return {}

    def cells(self, entry: Entry, filter: str) -> dict[str, Cell]:
        """Column of the overview -> its cell."""
        out = {}
        for told in entry.rows[filter].contenders[:1]:
            out[f"{told.name} [95 %]"] = Cell(interval(told.value, told.ci), told.value, told.name)
        return out

    def order(self, entry: Entry, filter: str) -> float:
        """Where the entry stands among those of the same rank: less is first."""
        told = next(iter(entry.rows[filter].contenders), None)
        if told is None or told.value is None:
            return 0.0
        return -told.value if told.higher_is_better else told.value


_COLUMNS = ["condition", "metric", "scoring", "value", "standard error"]


def _rows(block: Block) -> list[list[str]]:
    return [
        [row["condition"], row["metric"], row["scoring"], number(row["value"], 3), number(row["se"], 3)]
        for row in block.score_rows()
    ]


def _metrics(task: str, columns: list[str], rows: list[list[str]]) -> list[Table]:
    return [Table(title=f"Metrics, {task}", columns=columns, rows=rows)] if rows else []


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _shown(value: Any) -> str:
    return number(value) if isinstance(value, float) else "–" if value is None else str(value)


def named(shown: Iterable[Shown]) -> list[Shown]:
    """The same runs with short labels: what tells them apart and no more; a number where nothing does."""
    mine = list(shown)
    several = len({one.facts.model_name for one in mine}) > 1
    labels = [_label(one.facts, several) for one in mine]
    out, seen = [], dict.fromkeys(labels, 0)
    for label, one in zip(labels, mine, strict=True):
        seen[label] += 1
        out.append(one._replace(label=f"{label} #{seen[label]}" if labels.count(label) > 1 else label))
    return out


def setup(settings: Mapping[str, Any], profiles: int, respondents: int) -> str:
    """What a label adds in brackets to the method's name: " (style=p2, 100 profiles)"; empty for the plain method."""
    parts = [f"{key}={value}" for key, value in settings.items()]
    parts += [f"{profiles} profiles"] if profiles else []
    parts += [f"{respondents} respondents"] if respondents else []
    return f" ({', '.join(parts)})" if parts else ""


def _label(facts: Facts, model: bool) -> str:
    drawn = sum(condition.profile for condition in facts.conditions)
    respondents = int(facts.administration.get("respondents") or 0)
    parts = [facts.method["name"] + setup(facts.method["settings"], drawn, respondents)]
    if model:
        parts.append(facts.model_name)
    if (limit := facts.config.get("limit")) is not None:
        parts.append(f"first {limit} items")
    return " · ".join(parts)
