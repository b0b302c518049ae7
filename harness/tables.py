"""Tables as data first: one list of rows feeds the terminal, Markdown and the documentation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from traitbench.terminal import visible
from traitbench.types import Record

if TYPE_CHECKING:
    from rich.console import Console


__all__ = ["Table", "escaped", "interval", "markdown", "number", "plain", "ratio", "show"]


class Table(Record):
    """A titled grid of texts; the first column is a name, the others are numbers or remarks."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = []


def number(value: float | None, digits: int = 2) -> str:
    """Two decimals, zero without a sign; a dash where there is no value."""
    return "–" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def interval(value: float | None, ci: tuple[float, float] | None, digits: int = 2) -> str:
    """The value and its 95 % interval."""
    told = number(value, digits)
    return told if ci is None else f"{told} [{number(ci[0], digits)}, {number(ci[1], digits)}]"


def ratio(value: float | None) -> str:
    """A perplexity ratio; past a thousand no more than that: the model has broken down."""
    return "> 1000" if value is not None and value > 1000 else number(value)


def plain(value: Any) -> str:
    """A setting in a name: 2 for 2.0, a+b for a list."""
    if isinstance(value, list | tuple):
        return "+".join(map(plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


_WORDS = (
    "check", "target", "model", "method", "row", "methods", "condition", "reasons", "verdict", "why", "verdict a; b",
    "why they differ", "type", "default", "meaning", "what it is",
)  # fmt: skip
"""Columns of words, which begin at the left."""


def markdown(table: Table) -> str:
    """Render a table as GitHub Markdown; pipes and angle brackets of a run's texts are escaped."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(escaped(cell) for cell in cells) + " |"

    sides = ["--:" if place > 1 and column not in _WORDS else "---" for place, column in enumerate(table.columns)]
    rule = f"|{'|'.join(sides)}|"
    title = "**" + "**  \n**".join(map(escaped, table.title.split("\n"))) + "**"
    notes = [escaped(note) for note in table.notes]
    return "\n".join([title, "", line(table.columns), rule, *map(line, table.rows), "", *(f"{n}\n" for n in notes)])


def escaped(text: str) -> str:
    """Keep a text in its cell: no HTML, no link, no end of a cell or a row."""
    text = visible(re.sub(r"[\r\n]+", " ", text)).replace("\\", "\\\\").replace("|", "\\|").replace("](", "]\\(")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def show(found: Sequence[Table], console: Console) -> None:
    """Print tables to a terminal; texts are never read as markup."""
    from rich.table import Table as RichTable
    from rich.text import Text

    for table in found:
        # Over the grid, not in it: a path in a title is copied from there, and a grid breaks it at its own width.
        console.print(Text(visible(table.title), style="bold"), soft_wrap=True)
        grid = RichTable(show_lines=False)
        for index, column in enumerate(table.columns):
            wide = column in _WORDS
            grid.add_column(Text(visible(column)), justify="left" if index == 0 or wide else "right", overflow="fold")
        for row in table.rows:
            style = "yellow" if row[-1].startswith("caution") else ""
            grid.add_row(*(Text(visible(cell)) for cell in row), style=style)
        console.print(grid)
        for note in table.notes:
            loud = "not interpretable" in note or "position bias," in note
            console.print(Text(visible(note), style="bold red" if loud else "dim"))
        console.print()
