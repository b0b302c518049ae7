"""What of a questionnaire is ranked: the mean effect over targets, among runs that were asked and aimed alike."""

from __future__ import annotations

from traitbench.tasks.block import Facts
from traitbench.tasks.board import Contender, Part
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
        unranked=_unranked(found, facts, contaminated),
        parts=[_part(c, card, mode) for c in contrasts] if all(c.items for c in contrasts) else [],
    )


def _unranked(found: Metrics, facts: Facts, contaminated: int) -> str:
    """Why the effect has no rank, or ""."""
    if found.effect is None:
        return "no effect to rank"
    if found.verdict == "not interpretable":
        return found.verdict
    if (limit := facts.config.get("limit")) is not None:
        return f"first {limit} items"
    if contaminated:
        return f"contaminated ({contaminated} items)"
    if found.effect_ci is None:
        return "no interval"
    if found.effect_ci[0] <= 0 <= found.effect_ci[1]:
        return "interval reaches zero"
    return "moves against the target" if found.effect < 0 else ""


def _part(contrast: Contrast, card: Scorecard, mode: Mode) -> Part:
    cells = len(next(iter(contrast.items.values())))
    shape = (card.templates, cells // card.templates)
    return item_part(contrast.target, contrast.items, shape, card.keys, card.facets, mode)
