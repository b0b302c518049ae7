"""Ranks: one plus the contenders of the same group whose interval lies wholly on the better side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from traitbench.tasks import views_of
from traitbench.tasks.board import Contender, Entry

__all__ = ["ranked"]

Key = tuple[str, ...]
Groups = dict[tuple[str, str, str], dict[Key, Contender]]
"""Task, filter, and what a contender calls its group -> those that stand in it."""


def ranked(entries: Sequence[Entry]) -> list[Entry]:
    """Rank inside one task and one filter; none stands in for another.

    What several runs bring stands in its group once: as the run has it that brings nothing of its own, where there is
    one, such as the run without a method for the answers without control.
    """
    held: Groups = {}
    for filter in dict.fromkeys(filter for entry in entries for filter in entry.rows):
        mine = [entry for entry in entries if filter in entry.rows]
        for entry in sorted(mine, key=lambda e: (any(c.once == "run" for c in e.rows[filter].contenders), e.place)):
            for contender in entry.rows[filter].contenders:
                group = held.setdefault((entry.task, filter, contender.group), {})
                group.setdefault(_key(entry, contender), contender)
    return [_with_ranks(entry, held) for entry in entries]


def _key(entry: Entry, contender: Contender) -> Key:
    if contender.once == "all":
        return (contender.name,)
    if contender.once == "model":
        return contender.name, entry.model, str(entry.revision), entry.backend, entry.administration_hash
    return contender.name, entry.run


def _with_ranks(entry: Entry, held: Groups) -> Entry:
    views, metrics = views_of(entry.kind), {}
    for filter, row in entry.rows.items():
        ranks = {}
        for contender in row.contenders:
            group = held[entry.task, filter, contender.group]
            ranks[contender.name] = _rank(group[_key(entry, contender)], group.values())
        metrics[filter] = views.ranked(row.metrics, ranks)
    return entry.model_copy(update={"metrics": metrics})


def _rank(mine: Contender, rivals: Iterable[Contender]) -> int | None:
    """Null for a contender that may not be ranked; it holds back nobody either."""
    if mine.unranked or mine.ci is None:
        return None
    low, high = mine.ci
    bounds = [rival.ci for rival in rivals if not rival.unranked and rival.ci is not None]
    return 1 + sum(ci[0] > high if mine.higher_is_better else ci[1] < low for ci in bounds)
