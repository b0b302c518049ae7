"""What `traitbench analyze` finds, as records and as tables for the terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from pydantic import Field

from traitbench.answers.consistency import Consistency
from traitbench.tables import Table, interval, number
from traitbench.types import Record

__all__ = ["Analysis", "Correlations", "ScaleAnalysis", "Sphericity", "tables"]


class ScaleAnalysis(Consistency):
    """One scale or facet; its items are those that have a column, its rows complete over the whole table."""

    facet: str | None = None
    """Name of the facet; None for a whole scale."""


class Sphericity(Record):
    """Bartlett's test that no two items correlate."""

    chi2: float
    df: int
    p: float


class Correlations(Record):
    """Correlations of the scale scores over the complete rows."""

    order: list[str]
    """Scale letters."""
    matrix: list[list[float | None]]
    """Null where a scale has no items or no variance."""
    n: int


class Analysis(Record):
    """What a table of answers says about an inventory; null where `reasons` says why."""

    inventory: str
    keyed: bool
    """As declared: the minus-keyed items were already reversed."""
    n: int
    """Rows."""
    n_complete: int
    """Rows with an answer to every item that has a column; all statistics are theirs."""
    missing_items: list[str]
    """Items without a column, or without a single answer."""
    ignored_columns: list[str]
    scales: dict[str, ScaleAnalysis]
    facets: dict[str, ScaleAnalysis]
    kmo: float | None = None
    """Kaiser-Meyer-Olkin measure over all items."""
    kmo_items: dict[str, float | None] = Field(default_factory=dict)
    bartlett: Sphericity | None = None
    """Over all items."""
    components: int | None = None
    """Of all items, by parallel analysis (Horn 1965, 95th percentile)."""
    correlations: Correlations
    keying: float | None = None
    """Mean correlation of plus- and minus-keyed items of one facet in the table as given, over all its rows."""
    reasons: dict[str, str] = Field(default_factory=dict)
    """Field -> why it is null."""
    notes: list[str] = []
    """How the table was read, where its column names do not say it."""


def tables(analysis: Analysis) -> list[Table]:
    """Lay the analysis out for the terminal: scales, their correlations, facets."""
    found = [_grid("scale", analysis.inventory, analysis.scales, _notes(analysis))]
    order = analysis.correlations.order
    cells = [[number(r) for r in row] for row in analysis.correlations.matrix]
    found.append(
        Table(
            title="Correlations of the scale scores",
            columns=["scale", *order],
            rows=[[scale, *row] for scale, row in zip(order, cells, strict=True)],
        )
    )
    if analysis.facets:
        found.append(_grid("facet", analysis.inventory, analysis.facets, []))
    return found


def _grid(kind: str, inventory: str, scales: Mapping[str, ScaleAnalysis], notes: list[str]) -> Table:
    rows = [
        [
            name,
            s.facet or s.trait,
            str(s.items),
            number(s.mean),
            number(s.sd),
            interval(s.alpha, s.alpha_ci),
            number(s.omega_total),
            number(s.lambda_6),
            number(s.mean_inter_item_r),
            number(s.min_item_rest_r) + (f" ({s.min_item_rest_item})" if s.min_item_rest_item else ""),
        ]
        for name, s in scales.items()
    ]
    columns = [
        kind, "measures", "items", "mean", "SD", "alpha [95 %]", "omega total", "lambda-6", "mean r",
        "lowest item-rest r",
    ]  # fmt: skip
    return Table(title=f"{inventory}: {kind}s", columns=columns, rows=rows, notes=[*notes, *_whys(scales)])


def _whys(scales: Mapping[str, ScaleAnalysis]) -> list[str]:
    """Say why there are dashes, each reason once."""
    whose: dict[str, dict[str, None]] = defaultdict(dict)
    for name, scale in scales.items():
        for reason in scale.reasons.values():
            whose[reason][name] = None
    return [f"– {', '.join(names)}: {reason}." for reason, names in whose.items()]


def _notes(analysis: Analysis) -> list[str]:
    test, declared = analysis.bartlett, "keyed" if analysis.keyed else "raw"
    bartlett = f"chi2 {test.chi2:.1f}, df {test.df}, p {_probability(test.p)}" if test else "–"
    notes = [
        f"n = {analysis.n}, complete {analysis.n_complete}: all but the check of the keying is of the complete rows.",
        f"All items: KMO {number(analysis.kmo)}; Bartlett {bartlett}; components by parallel analysis "
        f"{'–' if analysis.components is None else analysis.components}.",
        f"Declared {declared}; opposite items of one facet correlate {number(analysis.keying)} in the table as it is.",
        *(f"– {field}: {reason}." for field, reason in analysis.reasons.items()),
    ]
    if analysis.missing_items:
        notes.append(f"Without a column: {_some(analysis.missing_items)}.")
    return [*notes, *(f"{note[0].upper()}{note[1:]}." for note in analysis.notes)]


def _probability(p: float) -> str:
    return f"{p:.2g}" if p else "below 1e-300"


def _some(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
