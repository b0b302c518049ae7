"""Ranks: every two contenders of a group are compared by a test, and a rank is the range that the tests leave open."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from traitbench.leaderboard.pairs import difference
from traitbench.statistics.ranking import ranks
from traitbench.tasks import views_of
from traitbench.tasks.board import Contender, Entry, Ranked

__all__ = ["ranked"]

Key = tuple[str, ...]
Group = tuple[str, str, str]
"""Task, filter, and what a contender calls its group."""


def ranked(entries: Sequence[Entry]) -> list[Entry]:
    """Rank inside one task, one filter and one group; none stands in for another.

    What several runs bring stands in its group once: as the run has it that brings nothing of its own, where there is
    one, such as the run without a method for the answers without control.
    """
    held: dict[Group, dict[Key, Contender]] = {}
    for filter in dict.fromkeys(filter for entry in entries for filter in entry.rows):
        mine = [entry for entry in entries if filter in entry.rows]
        for entry in sorted(mine, key=lambda e: (any(c.once == "run" for c in e.rows[filter].contenders), e.place)):
            for contender in entry.rows[filter].contenders:
                group = held.setdefault((entry.task, filter, contender.group), {})
                group.setdefault(_key(entry, contender), contender)
    found = {group: _ranks(contenders) for group, contenders in held.items()}
    return [_with_ranks(entry, found) for entry in entries]


def _key(entry: Entry, contender: Contender) -> Key:
    if contender.once == "all":
        return (contender.name,)
    if contender.once == "model":
        return contender.name, entry.model, str(entry.revision), entry.backend, entry.administration_hash
    return contender.name, entry.run


def _ranks(group: dict[Key, Contender]) -> dict[Key, Ranked]:
    """Rank those that may be ranked; who may not be holds back nobody either."""
    # In the order of their names, so that the order of the files decides nothing, not even a last digit.
    mine = sorted(key for key, contender in group.items() if not contender.unranked and contender.ci is not None)
    pairs = {
        (i, j): difference(group[a], group[b]) for (i, a), (j, b) in combinations(enumerate(mine), 2)
    }  # fmt: skip
    return {key: Ranked(*found) for key, found in zip(mine, ranks(len(mine), pairs), strict=True)}


def _with_ranks(entry: Entry, found: dict[Group, dict[Key, Ranked]]) -> Entry:
    views, metrics = views_of(entry.kind), {}
    for filter, row in entry.rows.items():
        places = {
            contender.name: found[entry.task, filter, contender.group].get(_key(entry, contender), Ranked())
            for contender in row.contenders
        }
        metrics[filter] = views.ranked(row.metrics, places)
    return entry.model_copy(update={"metrics": metrics})
