"""What `traitbench analyze` finds, as records; `answers.showing` lays them out for the terminal."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from traitbench.answers.carelessness import Carelessness
from traitbench.answers.consistency import Consistency
from traitbench.answers.itemtable import ItemAnalysis
from traitbench.answers.keying import Acquiescence, Keying
from traitbench.types import Record

__all__ = ["Analysis", "Correlations", "Rows", "ScaleAnalysis", "Sphericity"]

Rows = Literal["scale", "pairwise", "listwise"]
"""Which rows a scale's figures are of: those complete on the scale, each pair of items' own, those without any gap."""


class ScaleAnalysis(Consistency):
    """One scale or facet; its items are those that have a column, its rows those of the analysis's `rows`."""

    facet: str | None = None
    """Name of the facet; None for a whole scale."""
    alpha_standardised: float | None = None
    """Alpha of the standardised items."""
    alpha_pairwise: float | None = None
    """Alpha from the covariances over the rows that answer both items of a pair, as psych gives it by default."""
    table: list[ItemAnalysis]


class Sphericity(Record):
    """Bartlett's test that no two items correlate."""

    chi2: float
    df: int
    p: float


class Correlations(Record):
    """Correlations of the scale scores; by scale those over the rows complete on both scales."""

    order: list[str]
    """Scale letters."""
    matrix: list[list[float | None]]
    """Null where a scale has no items or no variance."""
    n: int
    """The fewest rows behind one of them, of scales that have items."""
    ns: list[list[int]]
    """Rows behind each."""


class Analysis(Record):
    """What a table of answers says about an inventory; null where `reasons` says why."""

    inventory: str
    keyed: bool
    """As declared: the minus-keyed items were already reversed."""
    rows: Rows
    n: int
    """Rows."""
    n_complete: int
    """Rows with an answer to every item that has a column: KMO, Bartlett and components are of them."""
    missing_items: list[str]
    """Items without a column, or without a single answer."""
    ignored_columns: list[str]
    scales: dict[str, ScaleAnalysis]
    facets: dict[str, ScaleAnalysis]
    kmo: float | None = None
    """Kaiser-Meyer-Olkin measure over all items that vary."""
    kmo_items: dict[str, float | None] = Field(default_factory=dict)
    bartlett: Sphericity | None = None
    """Over all items that vary."""
    components: int | None = None
    """Of all items that vary, by parallel analysis (Horn 1965, 95th percentile)."""
    correlations: Correlations
    keying: Keying | None = None
    acquiescence: Acquiescence | None = None
    carelessness: Carelessness | None = None
    """Where it was asked for."""
    reasons: dict[str, str] = Field(default_factory=dict)
    """Field -> why it is null."""
    warnings: list[str] = []
    """What should be looked at before the figures are used."""
    notes: list[str] = []
    """How the table was read, where its column names do not say it."""
