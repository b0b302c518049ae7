"""An analysis of a table of answers, laid out for the terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from traitbench.answers.analysis import Analysis, ScaleAnalysis
from traitbench.answers.itemtable import item_table
from traitbench.tables import Table, interval, number

__all__ = ["tables"]

_ROWS = {
    "scale": "Each scale over the rows that are complete on it, correlations over those complete on both",
    "pairwise": "Covariances over the rows that answer both items, n the fewest",
    "listwise": "All over the rows without a gap",
}


def tables(analysis: Analysis, items: bool = False, low: int = 1) -> list[Table]:
    """Lay the analysis out: scales, their correlations, facets; with `items` a table of the items of each scale.

    `low` is the lowest answer of the response scale.
    """
    found = [_grid("scale", analysis, analysis.scales, _notes(analysis))]
    order = analysis.correlations.order
    cells = [[number(r) for r in row] for row in analysis.correlations.matrix]
    found.append(
        Table(
            title="Correlations of the scale scores",
            columns=["scale", *order],
            rows=[[scale, *row] for scale, row in zip(order, cells, strict=True)],
            notes=[f"n at least {analysis.correlations.n} a pair."] if analysis.rows != "listwise" else [],
        )
    )
    if analysis.facets:
        found.append(_grid("facet", analysis, analysis.facets, []))
    if items:
        found += [
            item_table(f"Items of {name}", s.table, low, _whose(analysis, s))
            for name, s in analysis.scales.items()
            if s.table
        ]
    if analysis.carelessness:
        found.append(_careless(analysis))
    return found


def _whose(analysis: Analysis, scale: ScaleAnalysis) -> str:
    """Say which rows an item's mean, SD and correlations are of."""
    if analysis.rows == "pairwise":
        return "Mean and SD are too; r.drop, r.cor and alpha without it are of the rows that answer both of two items"
    return f"Mean, SD, r.drop, r.cor and alpha without it are of the scale's rows, n = {scale.n}"


def _grid(kind: str, analysis: Analysis, scales: Mapping[str, ScaleAnalysis], notes: list[str]) -> Table:
    gaps = any(s.items and s.n < analysis.n for s in scales.values())
    rows = [
        [
            name,
            s.facet or s.trait,
            str(s.items),
            str(s.n),
            number(s.mean),
            number(s.sd),
            interval(s.alpha, s.alpha_ci),
            *([number(s.alpha_pairwise)] if gaps else []),
            number(s.alpha_standardised),
            number(s.omega_total),
            number(s.lambda_6),
            number(s.mean_inter_item_r),
            number(s.min_item_rest_r) + (f" ({s.min_item_rest_item})" if s.min_item_rest_item else ""),
        ]
        for name, s in scales.items()
    ]
    columns = [
        kind, "measures", "items", "n", "mean", "SD", "alpha [95 %]", *(["pairwise"] if gaps else []), "std. alpha",
        "omega total", "lambda-6", "mean r", "lowest item-rest r",
    ]  # fmt: skip
    return Table(title=f"{analysis.inventory}: {kind}s", columns=columns, rows=rows, notes=[*notes, *_whys(scales)])


def _careless(analysis: Analysis) -> Table:
    """Signs of careless answers."""
    assert analysis.carelessness is not None
    found = analysis.carelessness
    rows = [
        [name.replace("_", "-"), str(i.n), number(i.mean), number(i.sd), str(i.flagged), i.rule]
        for name, i in found.indices.items()
    ]
    return Table(
        title="Careless answers",
        columns=["index", "n", "mean", "SD", "flagged", "meaning"],
        rows=rows,
        notes=[f"– {name}: {reason}." for name, reason in found.reasons.items()],
    )


def _whys(scales: Mapping[str, ScaleAnalysis]) -> list[str]:
    """Say why there are dashes, each reason once."""
    whose: dict[str, dict[str, None]] = defaultdict(dict)
    for name, scale in scales.items():
        for reason in scale.reasons.values():
            whose[reason][name] = None
    return [f"– {', '.join(names)}: {reason}." for reason, names in whose.items()]


def _notes(analysis: Analysis) -> list[str]:
    test = analysis.bartlett
    bartlett = f"chi2 {test.chi2:.1f}, df {test.df}, p {_probability(test.p)}" if test else "–"
    notes = [
        *(f"Look at this: {warning}{'' if warning.endswith('?') else '.'}" for warning in analysis.warnings),
        f"n = {analysis.n}, without a gap {analysis.n_complete}. {_ROWS[analysis.rows]}.",
        f"All items, rows without a gap: KMO {number(analysis.kmo)}; Bartlett {bartlett}; components by parallel "
        f"analysis {'–' if analysis.components is None else analysis.components}.",
        *_keying(analysis),
        *(f"– {field}: {reason}." for field, reason in analysis.reasons.items()),
    ]
    if analysis.missing_items:
        notes.append(f"Without a column: {_some(analysis.missing_items)}.")
    return [*notes, *(f"{note[0].upper()}{note[1:]}." for note in analysis.notes)]


def _keying(analysis: Analysis) -> list[str]:
    """What was found of the keying and of acquiescence."""
    declared, other = ("keyed", "raw") if analysis.keyed else ("raw", "keyed")
    found, yes, notes = analysis.keying, analysis.acquiescence, []
    if found is None:
        return [f"Declared {declared}; the table cannot tell."]
    notes.append(
        f"Declared {declared}; opposite items correlate {found.given:+.2f} in the table as it is. Without each "
        f"person's mean{' and over opposite items of different scales' if found.across else ''}, keyed: "
        f"{found.declared:+.2f} if {declared}, {found.other:+.2f} if {other}."
    )
    if yes:
        share = "" if yes.share is None else f"; {100 * max(yes.share, 0):.0f} % of an item's variance"
        notes.append(f"Acquiescence: mean raw answer to a key-balanced set {yes.mean:.2f}, SD {yes.sd:.2f}{share}.")
    return notes


def _probability(p: float) -> str:
    return f"{p:.2g}" if p else "below 1e-300"


def _some(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
