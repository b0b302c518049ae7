"""The instruments of the board: the lines that were asked the same, in order, and which of them is the main one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from traitbench.charts.chart import slug
from traitbench.leaderboard.joined import beside
from traitbench.tasks import views_of
from traitbench.tasks.board import Entry
from traitbench.tasks.findings import FOUND_NOTHING, evidence
from traitbench.tasks.standing import Standing

__all__ = ["Instrument", "instruments"]


class Instrument(NamedTuple):
    """One table of the board: a task and filter, and within it what was asked the same."""

    key: str
    """In the address of the page; unlike those of the others."""
    task: str
    filter: str
    title: str
    lines: Sequence[Standing]
    """What is controlled: ranked before unranked, the best first."""
    trivial: Sequence[Standing]
    """Baselines, and models as they are."""

    @property
    def ranked(self) -> list[Standing]:
        """The lines with a rank, the best first."""
        return [line for line in self.lines if line.rank is not None]

    @property
    def models(self) -> list[str]:
        """Whose lines they are."""
        return list(dict.fromkeys(line.entry.model for line in self.lines))

    def of(self, model: str | None) -> Instrument:
        """The lines of one model; ranks stay those among all."""
        return self._replace(lines=[line for line in self.lines if model in (None, line.entry.model)])


def instruments(entries: Sequence[Entry], titles: Mapping[str, str]) -> list[Instrument]:
    """Every instrument, the main one first: that with most ranked lines, then most lines, then the first in order.

    In order: by task as the entries come, statement before other filters, more lines before fewer. `titles`: task ->
    what it is called.
    """
    found: list[Instrument] = []
    for task in dict.fromkeys(entry.task for entry in entries):
        mine = [entry for entry in entries if entry.task == task]
        for filter in sorted({f for e in mine for f in e.metrics}, key=lambda f: (f != "statement", f)):
            found += _groups(titles[task], task, filter, [e for e in mine if filter in e.metrics])
    if not found:
        return []
    main = max(found, key=lambda one: (len(one.ranked), len(one.lines)))
    return [main, *(one for one in found if one is not main)]


def _groups(title: str, task: str, filter: str, entries: Sequence[Entry]) -> list[Instrument]:
    """What was asked the same, more lines first; trivial lines of no group stand in the first."""
    lines: list[Standing] = []
    for kind in dict.fromkeys(entry.kind for entry in entries):
        lines += views_of(kind).standings(filter, [entry for entry in entries if entry.kind == kind])
    lines = [_tested(line._replace(more={**line.more, **beside(line.entry, filter)})) for line in lines]
    groups: dict[str, list[Standing]] = {}
    for line in lines:
        if not line.trivial:
            groups.setdefault(line.group, []).append(line)
    order = sorted(groups, key=lambda group: -len(groups[group])) or [""]
    called = [_apart([groups[name][0].group_title for name in groups], groups[name][0].group_title) for name in groups]
    words, keys = dict(zip(groups, called, strict=True)), set[str]()
    out = []
    for place, group in enumerate(order):
        here = sorted(groups.get(group, ()), key=_order)
        aside = [x for x in lines if x.trivial and (x.group == group or (not place and x.group not in groups))]
        key, number = slug(task, filter, words[group] if place else ""), 2
        while key in keys:
            key, number = f"{slug(task, filter)}-{number}", number + 1
        keys.add(key)
        name = ", ".join(part for part in (title, filter, words.get(group)) if part)
        out.append(Instrument(key, task, filter, name, here, sorted(aside, key=_order)))
    return out


def _tested(line: Standing) -> Standing:
    """The line with what the tests of its fits say: at its dots, and in place of the verdict where it has no rank."""
    found = line.entry.findings
    if found is None or line.trivial:
        return line
    dots = [
        dot._replace(ok=False, reasons=[*dot.reasons, FOUND_NOTHING]) if found.lacks(dot.label) else dot
        for dot in line.dots
    ]
    if line.unranked == FOUND_NOTHING:
        return line._replace(verdict=FOUND_NOTHING, reasons=list(evidence(found)))
    return line._replace(dots=dots)


def _apart(titles: Sequence[str], mine: str) -> str:
    """What a title has that not all have."""
    every = [title.split("; ") for title in titles]
    return ", ".join(part for part in mine.split("; ") if any(part not in other for other in every))


def _order(line: Standing) -> tuple[bool, bool, float, str, str]:
    value = line.value.value
    sign = -1.0 if line.higher_is_better else 1.0
    return line.rank is None, value is None, sign * (value or 0.0), line.label, line.entry.place
