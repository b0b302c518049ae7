"""What the methods of the board do, in the first sentence of each one's own file; the board itself knows no method."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache

from traitbench.errors import MissingExtra
from traitbench.methods import METHODS
from traitbench.tasks.board import Entry

__all__ = ["about", "terms"]

WITH = "+ instruction"
BOTH = "The target is told to the model in one sentence as well, the same whatever the method (--matched)."


@cache
def _about(method: str) -> str:
    if method not in METHODS:
        return ""
    try:
        kind = METHODS.load(method)
    except MissingExtra:
        return ""
    file = sys.modules[METHODS[method].partition(":")[0]]
    return (file.__doc__ or kind.__doc__ or "").partition("\n")[0]


def about(entry: Entry) -> str:
    """What its method does, in a sentence or two; empty for one that is not installed."""
    told = _about(entry.method)
    return f"{told} {BOTH}" if told and WITH in entry.label else told


def terms(entries: Sequence[Entry]) -> dict[str, str]:
    """Method -> what it does, then what a name says besides."""
    found = {name: _about(name) for name in sorted({entry.method for entry in entries})}
    found |= {WITH: BOTH} if any(WITH in entry.label for entry in entries) else {}
    return {name: told for name, told in found.items() if told}
