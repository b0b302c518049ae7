"""What of a questionnaire is ranked: the mean effect over targets, among runs that were asked and aimed alike."""

from __future__ import annotations

from traitbench.tasks.block import Facts
from traitbench.tasks.board import Contender, Part, unranked
from traitbench.tasks.questionnaire.metrics import Metrics
from traitbench.tasks.questionnaire.scorecard import Contrast, Scorecard
from traitbench.tasks.shifts import item_part
from traitbench.types import Mode

__all__ = ["contender"]


def contender(found: Metrics, card: Scorecard, mode: Mode, facts: Facts, contaminated: int) -> Contender:
    """The mean effect with the item shifts that it is made of; no scoring mode stands in for another."""
    contrasts = [c for c in card.contrasts if c.effect is not None and c.effect.value is not None]
    return Contender(
        name="effect",
        value=found.effect,
        ci=found.effect_ci,
        group=found.group,
        unranked=unranked(found.effect, found.effect_ci, found.verdict, facts.config.get("limit"), contaminated),
        parts=[_part(c, card, mode) for c in contrasts] if all(c.items for c in contrasts) else [],
    )


def _part(contrast: Contrast, card: Scorecard, mode: Mode) -> Part:
    cells = len(next(iter(contrast.items.values())))
    shape = (card.templates, cells // card.templates)
    return item_part(contrast.target, contrast.items, shape, card.keys, card.facets, mode)
