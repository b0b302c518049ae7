"""A comparison as a table: a row a difference, its verdict, and what the test could have seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from traitbench.runs.compare.foreign import ForeignComparison
from traitbench.runs.compare.judged import Judged
from traitbench.runs.compare.runs import Comparison, Pair
from traitbench.tables import Table, interval, number
from traitbench.tasks.shifts import DESIGNS

__all__ = ["foreign_tables", "run_tables"]

_READ = (
    "a or b higher: p below .05, {test}, Holm over {family}; equivalent: otherwise, where the 90 % interval lies "
    "within the bounds (TOST); inconclusive: neither, which is no sign of likeness. Power is that of one test, before "
    "Holm's correction."
)


def run_tables(comparison: Comparison) -> list[Table]:
    """Two runs of traitbench."""
    pairs, asked = comparison.pairs, comparison.effect
    chosen = any(pair.flips for pair in pairs)
    poor = any(pair.verdict == "not interpretable" for pair in pairs)
    tasks = dict.fromkeys(pair.task for pair in pairs)
    rows = [
        [
            pair.target, pair.scoring if len(tasks) == 1 else f"{pair.task}, {pair.scoring}",
            number(pair.effect_a), number(pair.effect_b),
            *_cells(pair, comparison.bounds.get(pair.scoring), asked.get(pair.scoring), bool(asked), chosen),
        ]
        for pair in pairs
    ]  # fmt: skip
    units = {pair.scoring: pair.unit for pair in pairs}
    standing = dict.fromkeys(f"{p.scoring}: a {p.verdict_a}, b {p.verdict_b}" for p in pairs if p.verdict_a)
    flips = (
        "Items as aimed: the answer chosen (of two texts, the probability of that aimed at) moved towards the target, "
        "or a document of lm-eval's is right, in a alone : in b alone; McNemar's exact p, Holm."
    )
    return [
        Table(
            title=f"{_files(pairs)}\nEffect of a minus effect of b, item by item: {', '.join(tasks)}",
            columns=["target", "scoring", "a", "b", *_columns(asked, chosen, "as aimed a : b")],
            rows=rows,
            notes=[
                f"Units: {_units(units, comparison.bounds, asked)}. POMP: percent of the scale's range.",
                _READ.format(
                    test="paired t test over items within key and what the intervals cover",
                    family="the targets of one task and mode",
                ),
                *_covered(pairs),
                *([flips] if chosen else []),
                *(["Not interpretable: the answers of a run are not, so nothing follows from these."] if poor else []),
                *(f"Effect: {DESIGNS[design]}." for design in dict.fromkeys(p.design for p in pairs)),
                *([f"Verdicts of the runs: {'; '.join(standing)}."] if standing else []),
                *sorted({f"{p.target}: {p.paired.reason}." for p in pairs if p.paired.reason}),
            ],
        )
    ]


def foreign_tables(comparison: ForeignComparison) -> list[Table]:
    """Two runs of lm-eval or Inspect."""
    pairs, asked = comparison.pairs, comparison.effect
    whole = any(pair.flips for pair in pairs)
    rows = [
        [
            pair.task, ", ".join(filter(None, (pair.metric, pair.filter if pair.filter != "none" else ""))),
            number(pair.mean_a, 3), number(pair.mean_b, 3),
            *_cells(pair, comparison.bounds.get(pair.metric), asked.get(pair.metric), bool(asked), whole, 3),
        ]
        for pair in pairs
    ]  # fmt: skip
    units = {pair.metric: pair.unit for pair in pairs}
    repeats = max(pair.repeats for pair in pairs)
    return [
        Table(
            title=f"{_files(pairs)}\nMean of a minus mean of b, document by document",
            columns=["task", "metric", "a", "b", *_columns(asked, whole, "right a : b")],
            rows=rows,
            notes=[
                f"Units: {_units(units, comparison.bounds, asked)}.",
                _READ.format(
                    test="paired t test over documents or, of 0 and 1, McNemar's exact test", family="all rows"
                ),
                *(["1 in a alone : 1 in b alone."] if whole else []),
                *([f"Up to {repeats} values a document: their mean counts, once."] if repeats > 1 else []),
                *sorted({f"{p.task} {p.metric}: {p.paired.reason}." for p in pairs if p.paired.reason}),
            ],
        )
    ]


def _covered(pairs: Sequence[Pair]) -> list[str]:
    """What was drawn at random in the intervals; whose, where they differ in it."""
    found: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.paired.covers:
            found.setdefault(", ".join(pair.paired.covers), []).append(f"{pair.target} {pair.scoring}")
    told = [names if len(found) == 1 else f"{names} ({', '.join(whose)})" for names, whose in found.items()]
    return [f"Intervals cover {'; '.join(told)}."] if told else []


def _columns(asked: Mapping[str, float], flipped: bool, flips: str) -> list[str]:
    power = ["power at --effect", "items for .80"] if asked else ["power .80 from"]
    return ["a - b [95 %]", "p (Holm)", "verdict", "items", *power, *([flips] if flipped else [])]


def _cells(
    one: Judged, bound: float | None, effect: float | None, asked: bool, flipped: bool, digits: int = 2
) -> list[str]:
    """What every comparison shows of one difference."""
    difference, ci = one.paired.difference, one.paired.ci
    within = one.verdict.endswith("higher") and one.equivalence is not None and one.equivalence.equivalent
    power = (
        [number(one.power) if effect is not None else "–", str(one.items_needed or "–")]
        if asked
        else [number(one.detectable, digits)]
    )
    told = one.flips
    counts = f"{told.a_only} : {told.b_only}" if told else "–"
    if told and one.p != told.p:
        counts += f" (p {number(told.p_holm)})"
    return [
        interval(difference, ci, digits),
        number(one.p_holm, 4),
        f"{one.verdict}, within ±{bound:g}" if within else one.verdict,
        str(one.paired.n),
        *power,
        *([counts] if flipped else []),
    ]


def _units(units: Mapping[str, str], bounds: Mapping[str, float], effect: Mapping[str, float]) -> str:
    """Each part with its unit, bounds and the effect asked about."""
    told = []
    for part, unit in units.items():
        bound = f"bounds ±{bounds[part]:g}" if part in bounds else "no bounds (--bounds)"
        told.append(", ".join([f"{part} in {unit}", bound, *([f"effect {effect[part]:g}"] if part in effect else [])]))
    return "; ".join(told)


def _files(pairs: Sequence[Judged]) -> str:
    """The files compared, side by side."""
    found = dict.fromkeys((pair.file_a, pair.file_b) for pair in pairs)
    return "\n".join(f"a: {a}\nb: {b}" for a, b in found)
