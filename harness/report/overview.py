"""The overview of a report: every run in one table that can be sorted and filtered, with its verdicts and reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

from traitbench.charts.chart import Estimate, digits, plain, setup, signed, slug
from traitbench.charts.theme import VERDICTS
from traitbench.leaderboard import Entry, Leaderboard, Metrics, to_entry
from traitbench.leaderboard.tables import ratio, standing
from traitbench.runs.results import Results
from traitbench.tasks.person_alignment.ranking import PersonRow, head
from traitbench.types import Mode

__all__ = ["badge", "entries", "overview"]

SHAPES = {
    "interpretable": '<circle cx="8" cy="8" r="7"/>',
    "caution": '<path d="M8 1l7.5 14H.5z"/>',
    "not interpretable": '<path d="M8 0l8 8-8 8-8-8z"/>',
}
"""Verdict -> its mark, the same as in the charts (theme.SHAPES)."""
COLUMNS = (
    "run", "instrument", "scoring", "verdict", "rank", "effect [95 %]", "effect in SDs", "leakage", "damage",
    "targets in order", "position bias", "option mass", "lowest alpha", "distance to people",
)  # fmt: skip
FIRST_NUMBER = 4


class Cell(NamedTuple):
    """A number as it is shown and as it is sorted by; `unit` keeps apart what cannot be compared."""

    html: str
    value: float | None
    unit: str = ""


def badge(verdict: str) -> str:
    """A verdict in words, with a shape and a colour of its own."""
    shape = f'<svg viewBox="0 0 16 16" aria-hidden="true">{SHAPES[verdict]}</svg>'
    return f'<span class="badge {slug(verdict)}">{shape}{escape(verdict)}</span>'


def entries(sources: Mapping[str, Results], board: Leaderboard | None) -> list[Entry]:
    """A board's entries, or those of `sources` alone: nothing is ranked in so small a company."""
    if board is not None:
        return board.entries
    return [to_entry(results, task, run) for run, results in sources.items() for task in results.versions]


def overview(sources: Mapping[str, Results], board: Leaderboard | None) -> str:
    """The table and its filters, as HTML. Rows: task, then statement first, then by rank."""
    rows = [(entry, mode) for entry in entries(sources, board) for mode in entry.metrics]
    rows.sort(key=lambda row: _order(*row))
    body = "\n".join(_row(entry, mode, sources) for entry, mode in rows)
    heads = "".join(
        f'<th scope="col" aria-sort="none"{_number(place)}><button type="button" class="sort">{name}</button></th>'
        for place, name in enumerate(COLUMNS)
    )
    return (
        f'<div class="card">{_filters(rows)}<div class="scroll" role="region" aria-label="Table of all runs">'
        '<table id="board"><caption>One row a run, instrument and scoring. Columns sort by their heading; what is '
        "measured in different units is sorted apart. For persons, the distance from their own answers stands in the "
        "place of the effect: less is nearer. SDs: between people of the same instrument. Alpha: the least "
        f"consistent scale.</caption><thead><tr>{heads}</tr></thead><tbody>\n{body}\n</tbody></table></div></div>"
    )


def _order(entry: Entry, mode: Mode) -> tuple[str, bool, bool, int, float, str]:
    m = entry.metrics[mode]
    own = head(m.persons)
    first = own.error or 0.0 if own else -(m.effect or 0.0)
    return entry.task, mode != "statement", m.rank is None, m.rank or 0, first, entry.place


def _number(place: int) -> str:
    return ' class="number"' if place >= FIRST_NUMBER else ""


def _filters(rows: Sequence[tuple[Entry, Mode]]) -> str:
    choices: dict[str, tuple[str, dict[str, None]]] = {
        "task": ("Instrument", dict.fromkeys(entry.task for entry, _ in rows)),
        "mode": ("Scoring", dict.fromkeys(str(mode) for _, mode in rows)),
        "verdict": ("Verdict", dict.fromkeys(VERDICTS)),
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


def _row(entry: Entry, mode: Mode, sources: Mapping[str, Results]) -> str:
    m = entry.metrics[mode]
    results = sources.get(entry.run)
    reasons = results.verdict[entry.task][mode].reasons if results else []
    name = entry.method + setup(entry.settings, entry.profiles, m.respondents)
    limit = f" · first {entry.limit} items" if entry.limit is not None else ""
    cells = [
        f'<th scope="row">{escape(name)}<span class="unit">{escape(entry.model + limit)}</span></th>',
        f"<td>{escape(entry.task)}</td><td>{escape(mode)}</td>",
        f'<td data-value="{VERDICTS.index(m.verdict)}">{_verdict(m.verdict, reasons)}{_spoilt(entry, mode)}</td>',
        *(_cell(cell) for cell in _cells(m, mode, entry.fit_seconds)),
    ]
    data = f'data-task="{escape(entry.task)}" data-mode="{escape(mode)}" data-verdict="{escape(m.verdict)}"'
    return f"<tr {data}>{''.join(cells)}</tr>"


def _verdict(verdict: str, reasons: Sequence[str]) -> str:
    if not reasons:
        return badge(verdict)
    count = f"{len(reasons)} reason{'' if len(reasons) == 1 else 's'}"
    items = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return (
        f'<details class="verdict"><summary>{badge(verdict)} <span class="count">{count}</span></summary>'
        f"<ul>{items}</ul></details>"
    )


def _spoilt(entry: Entry, mode: Mode) -> str:
    """A mark on a run that was fitted on what it is tested with: in words, and open to view."""
    return f'<strong class="spoilt">{escape(standing(entry, mode))}</strong>' if entry.contaminated else ""


def _effect(m: Metrics, mode: Mode) -> Cell:
    effect = Estimate(m.effect, *(m.effect_ci or (None, None))).text(digits(mode))
    return Cell(effect + (_small(m.unit) if m.effect is not None else ""), m.effect, m.unit)


def _error(own: PersonRow) -> Cell:
    """The distance from persons where the effect stands, and how it compares with what needs no model."""
    apart = own.to_nearest
    words = "" if own.error is None else "error"
    if words and apart is not None and apart.value is not None:
        words += f"; {signed(apart.value, 2)} against {apart.to}"
    shown = Estimate(own.error, *(own.error_ci or (None, None))).text(2)
    return Cell(shown + (_small(words) if words else ""), own.error, "error")


def _damage(m: Metrics, seconds: float | None) -> Cell:
    cost = _small(f"fitted in {seconds:.0f} s") if seconds is not None else ""
    return Cell(ratio(m.perplexity) + cost, m.perplexity)


def _small(words: str) -> str:
    return f'<span class="unit">{escape(words)}</span>'


def _cells(m: Metrics, mode: Mode, seconds: float | None) -> list[Cell]:
    unit, places, own = m.unit, digits(mode), head(m.persons)
    apart = plain(m.human_distance)
    if m.human_distance is not None and m.human_identity is not None:
        apart += f'<span class="unit">no leakage: {plain(m.human_identity)}</span>'
    return [
        Cell("–" if m.rank is None else str(m.rank), m.rank),
        _error(own) if own else _effect(m, mode),
        Cell(plain(m.effect_sds), m.effect_sds),
        Cell(plain(m.leakage, places), m.leakage, unit),
        _damage(m, seconds),
        Cell(f"{m.targets - m.cautions} of {m.targets}" if m.targets else "–",
             (m.targets - m.cautions) / m.targets if m.targets else None),
        Cell(plain(m.position_bias), m.position_bias),
        Cell(plain(m.option_mass), m.option_mass),
        Cell(plain(m.alpha), m.alpha),
        Cell(apart, m.human_distance),
    ]  # fmt: skip


def _cell(cell: Cell) -> str:
    value = "" if cell.value is None else repr(cell.value)
    unit = f' data-unit="{escape(cell.unit)}"' if cell.unit else ""
    return f'<td class="number" data-value="{value}"{unit}>{cell.html}</td>'
