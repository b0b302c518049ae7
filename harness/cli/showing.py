"""What a command shows: on stdout tables or JSON, lines for a person on stderr. What draws is imported when shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from traitbench.terminal import visible

if TYPE_CHECKING:
    from traitbench.runs.results import Results
    from traitbench.tables import Table

__all__ = ["say", "show_results", "show_tables"]


def show_results(results: Results, form: str) -> None:
    """Print the tables of a run to stdout, and its warnings to stderr."""
    from traitbench.runs.tables import tables

    show_tables(lambda: tables(results), form, lambda: results.model_dump_json(by_alias=True, indent=2))
    for warning in results.warnings:
        say(f"warning: {warning}")


def say(line: str) -> None:
    """Print a line to stderr; where that takes nothing, nobody reads it."""
    with suppress(OSError, ValueError):
        print(visible(line), file=sys.stderr)


def show_tables(made: Callable[[], Sequence[Table]], form: str, as_json: Callable[[], str]) -> None:
    """Print tables to a person, as Markdown, or what they were made of as JSON."""
    if form == "json":
        text = as_json()
        if not (sys.stdout.encoding or "").lower().startswith("utf"):
            text = json.dumps(json.loads(text), indent=2)  # what the terminal lacks is escaped
        print(text)
        return
    from traitbench.tables import markdown, show

    if form == "markdown":
        print("\n\n".join(markdown(table) for table in made()))
        return
    from rich.console import Console

    show(made(), Console(width=None if sys.stdout.isatty() else 160))
