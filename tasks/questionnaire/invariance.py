"""Whether the items keep their meaning under a control: two conditions' respondents, matched on their scale score.

A control that moves a trait moves all its items alike; one that moves some sentences moves their items only, and then
the scale no longer measures in both conditions what it measured in one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from traitbench.answers.functioning import Functioning, functioning
from traitbench.samples import Condition, Sample
from traitbench.statistics.thresholds import THRESHOLDS
from traitbench.tasks.differences import pairs
from traitbench.tasks.questionnaire.respondents import grid
from traitbench.types import Mode

if TYPE_CHECKING:
    from traitbench.inventories import Item

__all__ = ["between_conditions"]


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
