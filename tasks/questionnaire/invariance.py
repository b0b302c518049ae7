"""Whether the items keep their meaning under a control: two conditions' respondents, matched on their scale score.

A control that moves a trait moves all its items alike; one that moves some sentences moves their items only, and then
the scale no longer measures in both conditions what it measured in one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from traitbench.answers.functioning import ScaleFunctioning, functioning
from traitbench.samples import Condition, Sample
from traitbench.statistics.thresholds import THRESHOLDS
from traitbench.tables import Table, number
from traitbench.tasks.questionnaire.differences import pairs
from traitbench.tasks.questionnaire.respondents import grid
from traitbench.types import Mode, Record

if TYPE_CHECKING:
    from traitbench.inventories import Item

__all__ = ["Functioning", "between_conditions", "functioning_tables"]


class Functioning(Record):
    """The scales in two groups: the second beside the first."""

    first: str
    second: str
    """Conditions, or a table of people."""
    scales: list[ScaleFunctioning]


def between_conditions(
    samples: Mapping[str, Sequence[Sample]], conditions: Sequence[Condition], items: Sequence[Item], mode: Mode
) -> list[Functioning]:
    """Compare the respondents of the two conditions of every contrast, by the answers nearest to their means.

    `samples`: condition -> its samples of `mode`. [] without enough simulated respondents (as many as a verdict on
    reliability needs), and for statements, which have no answer options.
    """
    least = THRESHOLDS["respondents"].caution
    if (
        mode == "statement"
        or len({s.respondent for s in samples[conditions[0].name] if s.respondent is not None}) < least
    ):
        return []
    people = {name: grid(mine, items, mode).people() for name, mine in samples.items()}
    return [
        Functioning(first=low.name, second=high.name, scales=functioning(people[low.name], people[high.name], items))
        for _, high, low, _ in pairs(conditions)
    ]


def functioning_tables(found: Sequence[tuple[str, Functioning]], task: str) -> list[Table]:
    """A row a scale and pair of groups, and the items that differ; `found`: scoring mode and its comparisons."""
    if not any(one.scales for _, one in found):
        return []
    rows, notes, items = [], dict[str, None](), []
    for mode, one in found:
        for scale in one.scales:
            tested = [item for item in scale.items if item.p is not None]
            differ = [item for item in tested if item.differs]
            fits = {fit.level: fit for fit in scale.fits}
            rows.append([
                f"{one.second} – {one.first}", mode, scale.trait, f"{scale.n_second}, {scale.n_first}",
                f"{len(differ)} of {len(tested)}",
                *(number(fits[level].cfi, 3) if level in fits else "–" for level in ("configural", "metric", "scalar")),
                scale.holds or "–",
            ])  # fmt: skip
            for reason in {scale.reason, *(item.reason for item in scale.items)} - {""}:
                notes[f"– {scale.trait}: {reason}."] = None
            items += [
                [f"{one.second} – {one.first}", mode, item.item, number(item.log_odds), number(item.r2_change, 3),
                 number(item.p_uniform, 3), number(item.p_nonuniform, 3), number(item.p_holm, 3), str(item.size)]
                for item in differ
            ]  # fmt: skip
    out = [
        Table(
            title=f"Measurement invariance, {task}",
            columns=["groups", "scoring", "scale", "n", "items that differ", "CFI configural", "metric", "scalar",
                     "holds"],
            rows=rows,
            notes=[
                "Items: ordinal-logistic DIF at the same scale score, Holm over the scale's items, and a change of "
                "Nagelkerke's R2 of .035 or more. Holds: the last model up to which the CFI falls by .010 or less; "
                "none: one factor does not describe the groups (CFI below .90). Means are comparable only where scalar "
                "holds.",
                *notes,
            ],
        )
    ]  # fmt: skip
    if items:
        out.append(Table(
            title=f"Items that work differently, {task}",
            columns=["groups", "scoring", "item", "log odds", "R2 change", "p uniform", "p non-uniform", "p (Holm)",
                     "DIF"],
            rows=items,
            notes=["Log odds of a higher keyed answer in the group named first, at the same scale score."],
        ))  # fmt: skip
    return out
