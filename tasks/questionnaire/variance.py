"""Where the variance of a scale's answers comes from, and how many conditions would be enough."""

from __future__ import annotations

from collections.abc import Sequence

from traitbench.statistics.generalizability import DStudy, VarianceComponents, d_study, needed, variance_components
from traitbench.tasks.questionnaire.respondents import FACETS, Grid
from traitbench.types import Record, Trait

__all__ = ["TARGET", "Variance", "variance"]

TARGET = 0.80
"""The dependability (phi) that `needed` asks for."""
FIXED = ("order", "symbols")
"""Facets whose levels are all there are."""


class Variance(Record):
    """G-study and D-study of one scale: item x order x symbols x template x respondent x repeat, the baseline's."""

    components: VarianceComponents
    study: DStudy
    """With the conditions of this run; respondents are what is told apart."""
    needed: dict[str, int | None]
    """Facet -> conditions of it for phi >= .80, the others as they are; null where `reasons` says why."""
    reasons: dict[str, str] = {}


def variance(answers: Grid, traits: Sequence[Trait]) -> dict[Trait, Variance]:
    """Study each trait that the grid holds items of."""
    out = {}
    for trait in traits:
        index = [i for i, item in enumerate(answers.items) if item.trait == trait]
        if not index:
            continue
        components = variance_components(answers.values[index], FACETS, fixed=FIXED)
        varied = [f for f in FACETS if f != "respondent" and components.sizes[f] > 1] if components.effects else []
        counts = {facet: needed(components, "respondent", facet, target=TARGET) for facet in varied}
        out[trait] = Variance(
            components=components,
            study=d_study(components, "respondent"),
            needed={facet: None if c.value is None else int(c.value) for facet, c in counts.items()},
            reasons={facet: c.reason for facet, c in counts.items() if c.value is None},
        )
    return out
