"""What the pages are put together from: files of the package, hashes for the policy, data for a script, tables."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from pathlib import Path
from typing import Any

from traitbench.charts.chart import Figure, slug
from traitbench.charts.theme import VERDICTS
from traitbench.tables import Table
from traitbench.tasks.findings import FOUND_NOTHING

__all__ = [
    "VERDICT_SHAPES", "WIDE", "badge", "count", "digest_of", "figure_html", "in_script", "in_words", "json_data",
    "part", "table",
]  # fmt: skip

WIDE = 620
"""Pixels of all panels beside each other from which a figure gets the page's full width."""
VERDICT_SHAPES = {
    VERDICTS[0]: '<circle cx="8" cy="8" r="7"/>',
    VERDICTS[1]: '<path d="M8 1l7.5 14H.5z"/>',
    VERDICTS[2]: '<path d="M8 0l8 8-8 8-8-8z"/>',
    FOUND_NOTHING: '<circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="2"/>',
}
"""Verdict -> its mark in a square of 16, the same as in the charts (theme.SHAPES), and of what stands in its place."""


def part(name: str) -> str:
    """A template, style sheet or script of this folder."""
    return (Path(__file__).parent / name).read_text("utf-8")


def digest_of(text: str) -> str:
    """The hash by which a Content-Security-Policy allows a script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def in_script(text: str) -> str:
    """A script that cannot end its own element."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def json_data(value: Any) -> str:
    """JSON for a script element: no text in it can end the element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def count(n: int, noun: str) -> str:
    """The number with its noun: 1 run, 2 runs."""
    return f"{n} {noun}" + ("" if n == 1 else "s")


def in_words(names: list[str]) -> str:
    """A list as a sentence has it: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def badge(verdict: str) -> str:
    """A verdict in words, with a shape and a colour of its own."""
    shape = f'<svg viewBox="0 0 16 16" aria-hidden="true">{VERDICT_SHAPES[verdict]}</svg>'
    return f'<span class="badge {slug(verdict)}">{shape}{escape(verdict)}</span>'


def table(found: Table) -> str:
    """A table with its caption and notes, in a box that scrolls sideways."""
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in found.columns)
    rows = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
        for row in found.rows
    )
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in found.notes)
    return (
        f'<div class="scroll" role="region" aria-label="Table: {escape(found.title)}"><table>'
        f"<caption>{escape(found.title)}</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{notes}"
    )


def figure_html(figure: Figure) -> str:
    """Title, words, chart and numbers. The chart's own title is left out: the caption has it."""
    spec = {key: value for key, value in figure.spec.items() if key not in ("$schema", "title", "description")}
    panel, columns = spec.get("usermeta", {}).get("panel", 0), spec.get("columns", 1)
    wide = ' class="wide"' if panel * columns > WIDE else ""
    return (
        f'<figure id="{figure.name}"{wide}><figcaption><h4>{escape(figure.title)}</h4><p>{escape(figure.caption)}</p>'
        f'</figcaption><div class="scroll" role="region" aria-label="Chart: {escape(figure.title)}">'
        f'<div class="chart" role="img" aria-label="{escape(figure.alternative)}" data-spec="spec-{figure.name}"></div>'
        f'</div><script type="application/json" id="spec-{figure.name}">{json_data(spec)}</script>'
        f"<details><summary>The numbers</summary>{table(figure.table)}</details></figure>"
    )
