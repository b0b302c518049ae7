"""Two wordings of an inventory beside each other, as a table."""

from __future__ import annotations

from traitbench.tables import Table, interval, number
from traitbench.tasks.questionnaire.equated import Equated, Pairs

__all__ = ["equivalence_table"]

WORDS = (
    "Equivalent: the 90 % interval of the difference lies within the bounds (two one-sided tests at .05). Original or "
    "reworded higher: p below .05, adjusted (Holm) over the levels, or over the effects. Inconclusive: neither, which "
    "is no sign of likeness; few items rarely show more. "
    "Where a model hardly answers by content both wordings are alike too: read the verdict of each first."
)


def equivalence_table(pairs: Pairs) -> Table:
    """A row a level and an effect, and one of the mean effect."""
    notes = [
        f"Difference: {pairs.original} minus {pairs.reworded}, item by item, in {_unit(pairs)}; "
        f"bounds ±{pairs.bound:g}. Levels are those of the baseline; effects are in the direction aimed at.",
        WORDS,
        *(
            f"r of agreement (unkeyed) over the items of all traits, {what}s: {interval(r, ci)} (95 %, Fisher's z)."
            for what, (r, ci) in pairs.r.items()
        ),
    ]
    if pairs.mode == "statement":
        notes.append("A log-likelihood has no level of its own, so there are effects alone.")
    if pairs.unpaired:
        notes.append(f"{pairs.unpaired} items have no twin of the same number, trait and key: left out.")
    if not pairs.found:
        notes.append("No control was aimed at a trait that both wordings measure, so there is nothing to compare.")
    return Table(
        title=f"The same items in other words: {pairs.original} and {pairs.reworded}, {pairs.mode}",
        columns=["what", "trait or target", f"{pairs.original} [95 %]", f"{pairs.reworded} [95 %]",
                 "difference [95 %]", "difference [90 %]", "p (Holm)", "r over items", "items", "verdict"],
        rows=[_row(one, 3 if pairs.mode == "statement" else 1) for one in pairs.found],
        notes=notes,
    )  # fmt: skip


def _row(one: Equated, digits: int) -> list[str]:
    return [
        one.what, one.name, interval(one.original.value, one.original.ci, digits),
        interval(one.reworded.value, one.reworded.ci, digits), interval(one.difference, one.ci, digits),
        interval(one.difference, one.equivalence.ci, digits), number(one.p if one.p_holm is None else one.p_holm, 3),
        number(one.r), number(one.n, 0), one.verdict,
    ]  # fmt: skip


def _unit(pairs: Pairs) -> str:
    return "nats a token" if pairs.mode == "statement" else "POMP (percent of the scale's range)"
