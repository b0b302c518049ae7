"""The overview of a report: every run in one table that can be sorted and filtered, with its verdicts and reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from traitbench.charts.theme import VERDICTS
from traitbench.report.parts import badge
from traitbench.runs.results import Results
from traitbench.tasks import views_of
from traitbench.tasks.administration import limited
from traitbench.tasks.board import Cell, Entry, capability_cell, standing
from traitbench.tasks.findings import FOUND_NOTHING, evidence
from traitbench.tasks.views import setup

__all__ = ["overview", "verdict"]

LEADING = ("run", "task", "scoring", "verdict")
FIRST_NUMBER = 4


def overview(sources: Mapping[str, Results]) -> str:
    """The table and its filters, as HTML. Rows: task, then statement first, then by what is measured.

    The columns are those that the tasks fill, in the order in which they come.
    """
    rows = [(entry, mode) for entry in _entries(sources) for mode in entry.metrics]
    rows.sort(key=lambda row: _order(*row))
    cells = [{**views_of(entry.kind).cells(entry, mode), **_beyond(entry)} for entry, mode in rows]
    columns = tuple(dict.fromkeys(column for mine in cells for column in mine))
    body = "\n".join(_row(entry, mode, mine, columns) for (entry, mode), mine in zip(rows, cells, strict=True))
    heads = "".join(
        f'<th scope="col" aria-sort="none"{_number(place)}><button type="button" class="sort">{escape(name)}</button>'
        "</th>"
        for place, name in enumerate((*LEADING, *columns))
    )
    return (
        f'<div class="card">{_filters(rows)}<div class="scroll" role="region" aria-label="Table of all runs">'
        '<table id="board"><caption>One row a run, task and scoring. Columns sort by their heading; what is '
        f"measured in different units is sorted apart.</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>\n{body}\n</tbody></table></div></div>"
    )


def _entries(sources: Mapping[str, Results]) -> list[Entry]:
    return [results.entry(task, run) for run, results in sources.items() for task in results.tasks]


def _beyond(entry: Entry) -> dict[str, Cell]:
    """What of the whole run stands beside every task of it."""
    return {"capability [95 %]": capability_cell(entry)} if entry.capability else {}


def _order(entry: Entry, mode: str) -> tuple[str, bool, float, str]:
    return entry.task, mode != "statement", views_of(entry.kind).order(entry, mode), entry.place


def _number(place: int) -> str:
    return ' class="number"' if place >= FIRST_NUMBER else ""


def _filters(rows: Sequence[tuple[Entry, str]]) -> str:
    choices: dict[str, tuple[str, dict[str, None]]] = {
        "task": ("Task", dict.fromkeys(entry.task for entry, _ in rows)),
        "mode": ("Scoring", dict.fromkeys(str(mode) for _, mode in rows)),
        "verdict": ("Verdict", dict.fromkeys((*VERDICTS, *(FOUND_NOTHING for entry, _ in rows if _unfound(entry))))),
    }
    selects = "".join(
        f'<label>{label}<select name="{name}"><option value="">all</option>{_options(values)}</select></label>'
        for name, (label, values) in choices.items()
    )
    return (
        '<form id="filters" class="filters" role="search" aria-label="Filter the table of runs">'
        '<label>Contains<input type="search" name="words" autocomplete="off" spellcheck="false"></label>'
        f'{selects}<p role="status"></p></form>'
    )


def _options(values: Iterable[str]) -> str:
    return "".join(f'<option value="{escape(value)}">{escape(value)}</option>' for value in values)


def _row(entry: Entry, mode: str, cells: Mapping[str, Cell], columns: Sequence[str]) -> str:
    name = entry.method + setup(entry.settings, entry.profiles, entry.respondents)
    limit = f" · {limited(entry.limit)}" if entry.limit is not None else ""
    word, reasons = _judged(entry, mode)
    place = VERDICTS.index(word) if word in VERDICTS else len(VERDICTS)
    parts = [
        f'<th scope="row">{escape(name)}<span class="unit">{escape(entry.model + limit)}</span></th>',
        f"<td>{escape(entry.task)}</td><td>{escape(mode)}</td>",
        f'<td data-value="{place}">{verdict(word, reasons)}{_spoilt(entry, mode)}</td>',
        *(_cell(cells.get(column, Cell("–"))) for column in columns),
    ]
    data = f'data-task="{escape(entry.task)}" data-mode="{escape(mode)}" data-verdict="{escape(word)}"'
    return f"<tr {data}>{''.join(parts)}</tr>"


def _unfound(entry: Entry) -> bool:
    return entry.findings is not None and entry.findings.whole


def _judged(entry: Entry, mode: str) -> tuple[str, Sequence[str]]:
    """What stands as the verdict, and its reasons: where the fits found nothing, that and their tests."""
    if entry.findings and _unfound(entry):
        return FOUND_NOTHING, list(evidence(entry.findings))
    return entry.rows[mode].verdict, entry.rows[mode].reasons


def verdict(word: str, reasons: Sequence[str]) -> str:
    """A verdict, and its reasons to open."""
    if not word:
        return "–"
    if not reasons:
        return badge(word)
    count = f"{len(reasons)} reason{'' if len(reasons) == 1 else 's'}"
    items = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return (
        f'<details class="verdict"><summary>{badge(word)} <span class="count">{count}</span></summary>'
        f"<ul>{items}</ul></details>"
    )


def _spoilt(entry: Entry, mode: str) -> str:
    """A mark on a run that was fitted on what it is tested with: in words, and open to view."""
    return f'<strong class="spoilt">{escape(standing(entry, mode))}</strong>' if entry.contaminated else ""


def _cell(cell: Cell) -> str:
    value = "" if cell.value is None else repr(cell.value)
    unit = f' data-unit="{escape(cell.unit)}"' if cell.unit else ""
    small = f'<span class="unit">{escape(cell.small)}</span>' if cell.small else ""
    return f'<td class="number" data-value="{value}"{unit}>{escape(cell.text)}{small}</td>'
