"""What a reproduction is made of: the published cells, rows of figures, and a sentence on each difference."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from traitbench.tables import Table
from traitbench.types import Record

__all__ = ["CELLS", "Reproduction", "Row"]

CELLS = Path(__file__).with_name("published_cells.json")
"""The published figures, each block with its source."""


class Row(Record):
    """One figure: as published, as recomputed, and a sentence on the difference."""

    label: str
    published: float | None
    """None where it was not published."""
    recomputed: float | None
    """None where it cannot be recomputed here; `why` says what that takes."""
    why: str


class Reproduction(Record):
    """What recomputing one published table or figure gave; numbers are unrounded."""

    name: str = Field(serialization_alias="reproduction")
    about: str
    """What is recomputed, and what `published` and `recomputed` mean here."""
    source: str
    """Where the published figures are from."""
    rows: tuple[Row, ...]

    def details(self) -> list[Table]:
        """Tables of what the rows rest on."""
        return []
