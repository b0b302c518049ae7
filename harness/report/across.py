"""What joins the tasks of each run, in a report: figures of all runs together, then the tables of each."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from traitbench.charts.chart import Figure
from traitbench.leaderboard.joined import joined
from traitbench.leaderboard.labels import labels
from traitbench.report.parts import figure_html, table
from traitbench.runs.results import Results
from traitbench.tasks import ACROSS
from traitbench.tasks.across import Joined
from traitbench.tasks.board import Entry

__all__ = ["ACROSS_ID", "ACROSS_TITLE", "across", "across_html"]

ACROSS_ID, ACROSS_TITLE = "across", "Across tasks"


def across(sources: Mapping[str, Results]) -> dict[str, list[Figure]]:
    """Comparison of tasks -> its figures; `sources`: results by what the page calls them."""
    told, rows, out = _labels(sources), _rows(sources), {}
    for name in ACROSS:
        join = ACROSS.load(name)()
        shown = [Joined(told[run], r.across[name], r) for run, r in sources.items() if name in r.across]
        figures = [*(join.figures(shown) if shown else []), *join.arrows(rows)]
        if shown or figures:
            out[name] = figures
    return out


def across_html(sources: Mapping[str, Results]) -> str:
    """The section of what joins tasks; empty where nothing does."""
    drawn, told = across(sources), _labels(sources)
    figures = "\n".join(figure_html(figure) for mine in drawn.values() for figure in mine)
    folded = "".join(
        f'<details class="more"><summary>{escape(t.title)}, {escape(told[run])}</summary>{table(t)}</details>'
        for name in drawn
        for run, r in sources.items()
        if name in r.across
        for t in ACROSS.load(name)().tables(r.across[name])
    )
    if not figures and not folded:
        return ""
    shown = f'<div class="figures">{figures}</div>' if figures else ""
    return (
        f'<section id="{ACROSS_ID}" aria-labelledby="{ACROSS_ID}-h"><h2 id="{ACROSS_ID}-h">{ACROSS_TITLE}</h2>'
        f"{shown}\n{folded}</section>"
    )


def _rows(sources: Mapping[str, Results]) -> list[tuple[str, Entry]]:
    """Every task of every run as on the leaderboard, with what is told beside it, and its label."""
    entries = joined([r.entry(task, run) for run, r in sources.items() for task in r.tasks], sources)
    told = labels(entries)
    several = len({r.model_name for r in sources.values()}) > 1
    return [(told[e.task, e.run] + (f" · {e.model}" if several else ""), e) for e in entries]


def _labels(sources: Mapping[str, Results]) -> dict[str, str]:
    """Run -> the leaderboard's name for it on its first task, and its model where there are several."""
    entries = {run: r.entry(next(iter(r.tasks)), run) for run, r in sources.items()}
    told = labels(list(entries.values()))
    several = len({r.model_name for r in sources.values()}) > 1
    return {
        run: told[entry.task, run] + (f" · {sources[run].model_name}" if several else "")
        for run, entry in entries.items()
    }
