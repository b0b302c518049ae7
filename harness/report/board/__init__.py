"""The board: one self-contained page that says in a minute which method works best, what it costs and how sure that is.

Everything is in the HTML and drawn as SVG, so that the page is whole without its script, which filters, sorts, hides
columns, keeps its state in the address and hands out the rows. As on a run's own report, every text of a run is escaped
and the policy allows the page's own script and style, by hash, and no request.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

from traitbench.charts.theme import VERDICTS
from traitbench.leaderboard import Leaderboard
from traitbench.leaderboard.joined import side_by_side
from traitbench.report.board import methods
from traitbench.report.board.columns import Column, columns, record
from traitbench.report.board.instruments import Instrument, instruments
from traitbench.report.board.lines import lines_table, matrix, row_ids
from traitbench.report.board.scatter import scatter
from traitbench.report.board.words import Told, effort, tell
from traitbench.report.parts import badge, count, digest_of, in_script, json_data, part, table
from traitbench.runs.results import Results
from traitbench.store import write_text
from traitbench.tables import Table
from traitbench.tasks import views_of
from traitbench.tasks.findings import FOUND_NOTHING
from traitbench.tasks.views import Shown, named

__all__ = ["board_page", "write_board"]

TITLE = "traitbench leaderboard"
UNFOUND = (
    "What was fitted does no better than under shuffled labels of the poles, adjusted over the run's targets. A "
    "result; its numbers are shown, and not ranked."
)
MOST_OPEN = 8
"""Lines of the table side by side that are shown unasked."""
_NOTHING = '<p class="empty">Nothing was controlled.</p>'


def write_board(board: Leaderboard, runs: Mapping[str, Results], to: Path, published: Path) -> None:
    """Write the page of `board` to `to`: the same bytes for the same input.

    `runs`: results by what the board's entries call them; the page links to their files below `published`.
    """
    where = Path(os.path.relpath(published.resolve(), to.parent.resolve())).as_posix()
    write_text(to, board_page(board, runs, where))


def board_page(board: Leaderboard, runs: Mapping[str, Results], where: str) -> str:
    """The page; `runs`: results by what the board's entries call them, `where`: the way from the page to them."""
    titles = {
        task: views_of(block.kind).called(str(r.configs.get(task, {}).get("name", task)))
        for r in runs.values()
        for task, block in r.tasks.items()
    }
    found = instruments(board.entries, titles)
    css, script = part("page.css") + part("board/board.css"), in_script(part("board/board.js"))
    policy = (
        f"default-src 'none'; script-src {digest_of(script)}; style-src {digest_of(css)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    first, others = found[:1], found[1:]
    return Template(part("board/board.html")).substitute(
        title=TITLE,
        policy=policy,
        css=css,
        lead=_lead(board, found),
        pickers=_pickers(found),
        first="".join(map(_article, first)) or '<p class="empty">No run here has a task that is ranked.</p>',
        matrix="".join(_matrix(one, one is found[0]) for one in found) or _NOTHING,
        beside=_beside(board),
        others="".join(_folded(one) for one in others) or '<p class="empty">There is no other.</p>',
        glossary=_glossary(board, found),
        badges=" ".join(map(badge, VERDICTS)),
        runs=_runs(board, runs, where),
        unranked=_unranked(board, runs),
        data=json_data(_data(found)),
        script=script,
    )


def _lead(board: Leaderboard, found: list[Instrument]) -> str:
    models = list(dict.fromkeys(model for one in found for model in one.models))
    who = escape(models[0]) if len(models) == 1 else count(len(models), "model")
    runs = len({entry.run for entry in board.entries})
    newest = datetime.fromisoformat(board.generated_at)
    return (
        f"{count(runs, 'published run')} of {who}, the newest of "
        f'<time datetime="{escape(board.generated_at)}">{newest.day} {newest:%B %Y}</time>.'
    )


def _pickers(found: list[Instrument]) -> str:
    models = list(dict.fromkeys(model for one in found for model in one.models))
    chosen = {one.key: one.title for one in found}
    shown: dict[str, Column] = {}
    mine = {column.key for one in found[:1] for column in columns([*one.lines, *one.trivial])}
    for one in found:
        for column in columns([*one.lines, *one.trivial]):
            shown.setdefault(column.key, column)
    words = dict.fromkeys((*VERDICTS, *(FOUND_NOTHING for one in found if _unfound(one))))
    boxes = "".join(
        f"<label{'' if column.key in mine else ' hidden'}>"
        f'<input type="checkbox" name="column" value="{column.key}"{" checked" if column.shown else ""}>'
        f"{escape(column.name)}</label>"
        for column in shown.values()
    )
    return (
        f'<label>Instrument<select name="instrument">{_options(chosen)}</select></label>'
        f'<label>Model<select name="model">{_options({"": "all models", **{m: m for m in models}})}</select></label>'
        f'<label>Verdict<select name="verdict">{_options({"": "any", **{v.replace(" ", "-"): v for v in words}})}'
        f'</select></label><details class="menu"><summary>Columns</summary><fieldset><legend class="unseen">Columns'
        f"</legend>{boxes}</fieldset></details>"
        '<div class="buttons"><button type="button" id="csv">CSV</button>'
        '<button type="button" id="json">JSON</button></div><p role="status"></p>'
    )


def _unfound(one: Instrument) -> bool:
    return any(line.verdict == FOUND_NOTHING for line in one.lines)


def _options(values: Mapping[str, str]) -> str:
    return "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in values.items())


def _article(one: Instrument) -> str:
    """An instrument: in words, as a scatter, line by line, and what controls nothing folded below."""
    told: dict[str | None, Told] = {None: tell(one, len(one.ranked), one.title)}
    if len(one.models) > 1:
        told |= {model: tell(one.of(model), len(one.ranked), f"{model}, {one.title}") for model in one.models}
    sentences = "".join(f'<p class="sentence" {_for(model)}>{text.sentence}</p>' for model, text in told.items())
    facts = "".join(_facts(text, model) for model, text in told.items() if text.facts)
    drawn = scatter(one.lines, row_ids(one)[: len(one.lines)])
    lines = lines_table(one) if one.lines else ""
    aside = ""
    if one.trivial:
        what = f"Baselines, and models as they are ({len(one.trivial)})"
        folded = lines_table(one, trivial=True)
        aside = f'<details class="aside"{"" if one.lines else " open"}><summary>{what}</summary>{folded}</details>'
    return (
        f'<article class="instrument" id="{one.key}" aria-label="{escape(one.title)}">{sentences}<div class="answer">'
        f'{facts}{drawn}</div><p class="filtered" hidden></p>{lines}{_key(one)}{aside}</article>'
    )


def _matrix(one: Instrument, main: bool) -> str:
    """Models beside methods on one instrument; shown while it is the chosen one."""
    inner = matrix(one) if one.lines else _NOTHING
    return f'<div data-matrix="{one.key}"{"" if main else " hidden"}>{inner}</div>'


def _beside(board: Leaderboard) -> str:
    """What each control did to self-report, behaviour and capability, in a line; folded where the lines are many."""
    out = ""
    for found in side_by_side(board.entries):
        opened = " open" if len(found.rows) <= MOST_OPEN else ""
        told = f"<summary>What a control did to all that was measured ({len(found.rows)})</summary>"
        out += f'<details class="other"{opened}>{told}{table(found)}</details>'
    return out or '<p class="empty">No run here has both self-report and behaviour, or a task of lm-eval.</p>'


def _key(one: Instrument) -> str:
    """What the drawings of the table mean, for those that it has."""
    told = ["<b>Highlighted</b>: named first, of those that no other beats (blue) the one with most targets in order."]
    told = told if one.ranked else []
    if any(line.dots for line in one.lines):
        told.append("<b>Targets</b>: full, it moved as aimed beyond doubt; ring, in doubt; barred, the other way.")
    if any(line.people for line in one.lines):
        told.append("<b>Distance to people</b>, never ranked: band, people themselves; line, unrelated traits.")
    return f'<p class="key">{" ".join(told)}</p>' if told else ""


def _for(model: str | None) -> str:
    """Whose words they are: those on all models are shown until a model is chosen."""
    return f'data-model="{escape(model or "")}"' + ("" if model is None else " hidden")


def _facts(told: Told, model: str | None) -> str:
    facts = "".join(f"<div><dt>{term}</dt><dd>{text}</dd></div>" for term, text in told.facts.items())
    return f'<dl class="facts" {_for(model)}>{facts}</dl>'


def _folded(one: Instrument) -> str:
    best = f"{count(len(one.ranked), 'ranked run')} of {len(one.lines)}" if one.lines else "baselines only"
    return (
        f'<details class="other" data-instrument="{one.key}"><summary>{escape(one.title)} <span class="small">{best}'
        f"</span></summary>{_article(one)}</details>"
    )


def _glossary(board: Leaderboard, found: list[Instrument]) -> str:
    """The columns of all tables, then the methods, then the terms of the tasks."""
    terms = {c.name: c.explains for one in found for c in columns([*one.lines, *one.trivial]) if c.explains}
    if any(map(_unfound, found)):
        terms[FOUND_NOTHING.capitalize()] = UNFOUND
    terms |= methods.terms(board.entries)
    for kind in dict.fromkeys(entry.kind for entry in board.entries):
        terms |= views_of(kind).glossary()
    return "\n".join(f"<div><dt>{escape(t)}</dt><dd>{escape(text)}</dd></div>" for t, text in terms.items())


def _runs(board: Leaderboard, runs: Mapping[str, Results], where: str) -> str:
    """Where each number comes from: the results file, and how to see a run's own report."""
    rows = []
    for run in dict.fromkeys(entry.run for entry in board.entries):
        entry = next(entry for entry in board.entries if entry.run == run)
        held = runs[run]
        rows.append(
            f'<tr><th scope="row"><a href="{escape(quote(f"{where}/{run}"))}">{escape(run.partition("/")[0])}</a></th>'
            f"<td>{escape(entry.model)}</td><td>{escape(', '.join(held.versions))}</td><td>{escape(effort(entry))}</td>"
            f"<td>{datetime.fromtimestamp(held.date, UTC):%Y-%m-%d}</td><td>{escape(held.git_hash or '–')}</td></tr>"
        )
    heads = "".join(
        f'<th scope="col">{name}</th>' for name in ("results file", "model", "tasks", "fitting", "date", "commit")
    )
    return (
        '<div class="scroll" role="region" aria-label="Table: the runs"><table><caption>The published runs. '
        "<code>traitbench report RUN</code> draws the charts of one, <code>traitbench score RUN</code> computes its "
        f"numbers again from its samples.</caption><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody>"
        "</table></div>"
    )


def _unranked(board: Leaderboard, runs: Mapping[str, Results]) -> str:
    """Tasks of the runs that have no line on any instrument, as the tables of their kind."""
    known = {(entry.run, entry.task) for entry in board.entries}
    aside: dict[str, list[Shown]] = {}
    for run, r in runs.items():
        for task, block in r.tasks.items():
            if (run, task) not in known:
                aside.setdefault(task, []).append(Shown("", task, block, r))
    found: list[Table] = []
    for mine in aside.values():
        for kind in dict.fromkeys(one.block.kind for one in mine):
            found += views_of(kind).details(named(one for one in mine if one.block.kind == kind))
    return "".join(f'<details class="other"><summary>{escape(t.title)}</summary>{table(t)}</details>' for t in found)


def _data(found: list[Instrument]) -> dict[str, dict[str, object]]:
    """Row -> the row as data."""
    out: dict[str, dict[str, object]] = {}
    for one in found:
        for line, name in zip([*one.lines, *one.trivial], row_ids(one), strict=True):
            out[name] = record(line, one.task, one.filter)
    return out
