"""The tables of the board as HTML: a table of lines, and models beside methods."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from traitbench.charts.chart import plain, slug
from traitbench.report.board.columns import Column, Context, columns, kind_of
from traitbench.report.board.drawings import axis, letters
from traitbench.report.board.instruments import Instrument
from traitbench.report.board.methods import about
from traitbench.report.board.words import place
from traitbench.tasks.standing import Standing

__all__ = ["lines_table", "matrix", "row_ids"]


def row_ids(found: Instrument) -> list[str]:
    """A name in the page for every line, trivial ones last."""
    return [f"{found.key}.{n}" for n in range(len(found.lines) + len(found.trivial))]


def lines_table(found: Instrument, trivial: bool = False) -> str:
    """The lines of an instrument, or its trivial ones, with the same columns."""
    every = [*found.lines, *found.trivial]
    mine = list(found.trivial if trivial else found.lines)
    ids = row_ids(found)[len(found.lines) :] if trivial else row_ids(found)
    context, shown = Context.of(found.lines, mine), columns(every)
    of, several = len(found.ranked), len({line.entry.model for line in mine}) > 1
    body = "\n".join(_row(line, name, shown, context, of, several) for line, name in zip(mine, ids, strict=False))
    heads = _head("rank", "rank", "Where it may stand: from 1 + how many are surely better, to how many are not surely "
                  "worse.", True, "")  # fmt: skip
    heads += _head("run", "method", "", True, "")
    for column in shown:
        extra = _scale(column.key, mine, context)
        heads += _head(column.key, column.name, column.explains, column.shown, extra)
    title = escape(found.title) + (": baselines and models as they are" if trivial else "")
    return (
        f'<div class="scroll" role="region" aria-label="Table: {title}"><table class="lines" role="table"><caption '
        f'class="unseen">{title}</caption><thead role="rowgroup"><tr role="row">{heads}</tr></thead>'
        f'<tbody role="rowgroup">\n{body}\n</tbody></table></div>'
    )


def _scale(key: str, lines: Sequence[Standing], context: Context) -> str:
    """What stands between a heading and the drawings below it."""
    if key == "effect" and context.scale:
        return axis(context.scale)
    return letters(lines) if key == "targets" else ""


def _head(key: str, name: str, explains: str, shown: bool, extra: str) -> str:
    title = f' title="{escape(explains)}"' if explains else ""
    hidden = "" if shown else " hidden"
    return (
        f'<th scope="col" role="columnheader" aria-sort="none" data-col="{key}"{hidden}>'
        f'<button type="button" class="sort"{title}>{escape(name)}</button>{extra}</th>'
    )


def _row(line: Standing, name: str, shown: Sequence[Column], context: Context, of: int, several: bool) -> str:
    model = f'<span class="small">{escape(line.entry.model)}</span>' if several else ""
    rank = "–" if line.rank is None else f"{line.rank}"
    if line.rank is not None and line.rank_high is not None and line.rank_high != line.rank:
        rank = f"{line.rank}–{line.rank_high}"
    title = escape(place(line, of))
    value = "" if line.rank is None else str(line.rank)
    cells = [
        f'<td role="cell" data-col="rank" data-name="rank" data-value="{value}" title="{title}">{rank}</td>',
        f'<th scope="row" role="rowheader" data-col="run"{_title(line)}>{escape(line.label)}{model}</th>',
    ]
    for column in shown:
        html, number = column.cell(line, context)
        hidden = "" if column.shown else " hidden"
        cells.append(
            f'<td role="cell" data-col="{column.key}" data-name="{escape(column.name)}" '
            f'data-value="{"" if number is None else repr(float(number))}"{hidden}>{html}</td>'
        )
    kind = "trivial" if line.trivial else kind_of(line, context) + (" named" if line is context.first else "")
    return (
        f'<tr role="row" class="{kind}" data-line="{name}" data-model="{escape(line.entry.model)}" '
        f'data-verdict="{slug(line.verdict) if line.verdict else ""}">{"".join(cells)}</tr>'
    )


def _title(line: Standing) -> str:
    told = about(line.entry)
    return f' title="{escape(told)}"' if told else ""


def matrix(found: Instrument) -> str:
    """Models beside methods: effect with its interval. The longer of both runs down the page."""
    models = found.models
    methods = list(dict.fromkeys(line.label for line in found.lines))
    cells = {(line.entry.model, line.label): line for line in found.lines}
    down, across = (models, methods) if len(models) > len(methods) else (methods, models)
    most = max((abs(line.value.value or 0.0) for line in found.lines), default=0.0) or 1.0
    corner = "model" if down is models else "method"
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in (corner, *across))
    body = ""
    for name in down:
        keys = [(name, other) if down is models else (other, name) for other in across]
        inner = "".join(_cell(cells.get(key), most) for key in keys)
        body += f'<tr><th scope="row">{escape(name)}</th>{inner}</tr>'
    return (
        '<div class="scroll" role="region" aria-label="Models beside methods"><table class="matrix"><caption>'
        f"{escape(found.title)}: {escape(found.lines[0].measure)} [95 %] of each method on each model, stronger colour "
        f"for more; pale and in brackets: not ranked.</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody>"
        "</table></div>"
    )


def _cell(line: Standing | None, most: float) -> str:
    """A cell of the matrix, in one of five strengths of colour."""
    if line is None or line.value.value is None:
        return '<td class="none">–</td>'
    number, _, rest = line.value.text(line.places).partition(" ")
    if line.rank is None:
        return f'<td class="none">({plain(line.value.value, line.places)}) <span class="ci">{rest}</span></td>'
    strength = min(4, max(0, int(5 * line.value.value / most)))
    return f'<td class="step{strength}">{number} <span class="ci">{rest}</span></td>'
