"""The published cells of BIG5-CHAT (Li et al. 2025), as data.

Every method was asked under ten conditions, high and low of each trait; a cell is a trait's mean over five runs,
rounded to one decimal.
"""

from __future__ import annotations

import json
from functools import cache

import numpy as np
from numpy.typing import NDArray

from traitbench.reproduce.rows import CELLS
from traitbench.types import Record, Trait

__all__ = ["Cells", "Distance", "Levels", "Matrix", "Overwritten", "People", "WithinPerson", "cells"]

Matrix = tuple[tuple[float, ...], ...]


class Levels(Record):
    """One method's trait levels on one instrument."""

    instrument: str
    """Inventory id."""
    model: str
    method: str
    cells: Matrix
    """(conditions, traits) on the 1 to 5 scale."""


class People(Record):
    """The table's row for people; lists follow `traits`."""

    instrument: str
    n: int
    means: tuple[float, ...]
    sds: tuple[float, ...]


class WithinPerson(Record):
    """How far one person's answers to a scale spread over its items, averaged over people."""

    instrument: str
    n: int
    source: str
    sds: tuple[float, ...]


class Distance(Record):
    """A printed distance between a method's trait correlations and the paper's human matrix."""

    model: str
    method: str
    label: str
    """As the paper calls the method."""
    value: float


class Overwritten(Record):
    """The cell of a method's correlation matrix that was replaced before its distance was printed."""

    model: str
    method: str
    traits: tuple[Trait, Trait]
    value: float


class Cells(Record):
    """Everything of the paper that is recomputed here."""

    source: str
    provenance: str
    traits: tuple[Trait, ...]
    conditions: tuple[str, ...]
    levels: tuple[Levels, ...]
    left_out: str
    """What was not carried over, and why."""
    people: tuple[People, ...]
    within_person: WithinPerson
    human_matrix: Matrix
    distances: tuple[Distance, ...]
    overwritten: Overwritten

    def scores(self, instrument: str, model: str, method: str) -> NDArray[np.float64]:
        """Give one method's cells, (conditions, traits)."""
        wanted = (instrument, model, method)
        return np.array(next(x.cells for x in self.levels if (x.instrument, x.model, x.method) == wanted))

    def printed(self, model: str, method: str) -> float | None:
        """Give the distance that the paper prints; None where it prints none."""
        return next((d.value for d in self.distances if (d.model, d.method) == (model, method)), None)

    def row_of_people(self, instrument: str) -> People:
        """Give the row for people in the table of `instrument`."""
        return next(row for row in self.people if row.instrument == instrument)


@cache
def cells() -> Cells:
    """Read the published cells."""
    return Cells.model_validate(json.loads(CELLS.read_text(encoding="utf-8"))["big5chat"])
