"""The alignment with persons as tables: every row beside the trivial baselines."""

from __future__ import annotations

from traitbench.tables import Table, interval, number
from traitbench.tasks.person_alignment.alignment import OPTIONS, Alignment, AlignmentRow

__all__ = ["tables"]


def tables(found: Alignment) -> list[Table]:
    """What a person reads: every row's error beside the trivial baselines, errors by trait, options, the oracle."""
    note = ", ".join(found.unscored[:3]) + (f", ... ({len(found.unscored)} persons)" if found.unscored[3:] else "")
    silent = [f"Without answers to the test items, so without a row: {note}."] if found.unscored else []
    if not found.rows:
        return [Table(title="Person alignment", columns=["row", "error"], rows=[], notes=silent)]
    against = f"vs {found.reference} [95 %]" if found.reference else "vs reference"
    main = Table(
        title=f"Person alignment: how near {found.persons} persons' own answers, {found.items} test items",
        columns=[
            "row", "error [95 %]", "argmax", "published", "r [95 %]", "coverage", against, "p", "vs nearest baseline",
        ],
        rows=[_line(row) for row in found.rows],
        notes=[
            f"Error: mean |expected value - answer| by trait, summed over {len(found.traits)} traits; lower is nearer. "
            "argmax: the likeliest option instead. published: that, counted as PAPI does (keyed, a missing answer is "
            "an answer of 0).",
            "Differences are paired by cell; below 0 is nearer. Intervals redraw persons; p is not adjusted for the "
            f"number of rows. {found.missing} test answers are missing and left out.",
            *_warnings(found),
            *silent,
        ],
    )  # fmt: skip
    by_trait = [[row.name, *(number(row.traits[trait]) for trait in found.traits)] for row in found.rows]
    shares = [[name, *(f"{share:.0%}" for share in mine)] for name, mine in _histograms(found) if mine]
    out = [
        main,
        Table(title="Mean |expected value - answer| by trait", columns=["row", *found.traits], rows=by_trait),
        Table(title="Options, raw agreement", columns=["row", *map(str, OPTIONS)], rows=shares),
    ]
    if found.oracle:
        out.append(_oracle_table(found))
    return out


def _line(row: AlignmentRow) -> list[str]:
    reference, nearest = row.to_reference, row.to_nearest
    return [
        row.name,
        interval(row.mae_sum.value, row.mae_sum.ci),
        number(row.mae_sum_argmax.value),
        number(row.published.value),
        interval(row.correlation.value, row.correlation.ci),
        f"{row.coverage:.0%}",
        interval(reference.value, reference.ci) if reference else "–",
        _p(reference.p) if reference else "–",
        f"{nearest.to}: {interval(nearest.value, nearest.ci)}" if nearest else "–",
    ]


def _p(value: float | None) -> str:
    return "<.001" if value is not None and value < 0.001 else number(value, 3)


def _warnings(found: Alignment) -> list[str]:
    notes = []
    if found.persons == 1:
        notes.append("One person: there is nothing to redraw, so no interval and no p.")
    if len(found.traits) < found.measured:
        notes.append(f"Only {', '.join(found.traits)}: the sums are not those of {found.measured} traits.")
    if short := [row.name for row in found.rows if row.coverage < 1]:
        notes.append(f"Not every test item has a value in {', '.join(short)}: errors are over those that have one.")
    return notes


def _histograms(found: Alignment) -> list[tuple[str, list[float]]]:
    return [("the persons themselves", found.options), *((row.name, row.options) for row in found.rows)]


def _oracle_table(found: Alignment) -> Table:
    rows = []
    for best in found.oracle:
        chosen = sorted(best.strengths.values())
        spread = ", ".join(f"{s:g} ({chosen.count(s)})" for s in dict.fromkeys(chosen))
        rows.append([best.sweep, interval(best.mae_sum.value, best.mae_sum.ci), spread or "–"])
    return Table(
        title="Oracle: the strength chosen for each person on the test items",
        columns=["method", "oracle error [95 %]", "strength (persons)"],
        rows=rows,
        notes=["A bound and not a result: it looks at the answers that it is scored on."],
    )
