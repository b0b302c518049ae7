"""Every number of the robustness of an effect, from the samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from traitbench.samples import Sample
from traitbench.statistics.intervals import item_means
from traitbench.statistics.style import Style
from traitbench.tasks.block import Block, Facts, by_condition
from traitbench.tasks.robustness.contexts import PLAIN, Context, contexts
from traitbench.tasks.robustness.effects import Aim, Card, ContextEffect, Grid, aims, cards, clear
from traitbench.tasks.robustness.pressure import Drift, Rung, drift, gone_at, rungs
from traitbench.tasks.scoring import item_grid, modes, style
from traitbench.tasks.stability import Stability, people_scores, stability
from traitbench.tasks.variation import varied
from traitbench.tasks.verdict import Verdict, damage_reasons, judged, reading_reasons, style_reasons, variation_reasons
from traitbench.types import Mode, Record

if TYPE_CHECKING:
    from traitbench.inventories import Inventory

__all__ = ["CALM", "Contexts", "RobustnessBlock", "TargetCard", "found_aims", "summarise", "worst"]

CALM = ("plain", "calm")
"""Kinds that test nothing by themselves."""


class TargetCard(Record):
    """One target, or the mean of all."""

    card: Card
    rungs: list[Rung] = []
    gone_at: str | None = None
    """The first rung at which the effect's interval reaches zero although that of its replay does not."""
    drift: Drift | None = None


class Contexts(Record):
    """One scoring mode."""

    unit: Literal["POMP", "nats a token"]
    contexts: list[str]
    targets: list[TargetCard]
    """The mean over targets first, where there are several."""
    stability: dict[str, Stability] = {}
    """Condition -> how stable its simulated respondents are over the contexts; empty without them."""
    response_style: Style | None = None
    """Of all conditions in the contexts plain and reversed; null for statement."""
    verdict: Verdict


class RobustnessBlock(Block):
    """The part of the results."""

    kind: Literal["robustness"] = "robustness"
    modes: dict[Mode, Contexts]

    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Condition that is aimed with -> the effect in each context, as "context,mode"."""
        found: dict[str, dict[str, float | None]] = {}
        for mode, scored in self.modes.items():
            for mine in (target.card for target in scored.targets if target.card.high):
                line = found.setdefault(mine.high, {})
                for row in mine.contexts:
                    line[f"{row.context},{mode}"] = row.effect.value
                    line[f"{row.context}_stderr,{mode}"] = row.effect.se
        return found

    def effect_rows(self) -> list[dict[str, Any]]:
        """A row a target, scoring mode and context."""
        return [
            {"target": mine.target, "high": mine.high, "low": mine.low, "scoring": mode, "metric": row.context,
             "aimed": True, "value": row.effect.value, "se": row.effect.se, **_ends("ci", row.effect.ci),
             "difference": row.difference.value if row.difference else None,
             **_ends("difference_ci", row.difference.ci if row.difference else None),
             "p_holm": row.difference.p_holm if row.difference else None, "retained": row.retained,
             **_ends("retained_ci", row.retained_ci), "check": row.verdict, "verdict": scored.verdict.verdict}
            for mode, scored in self.modes.items()
            for mine in (target.card for target in scored.targets)
            for row in mine.contexts
        ]  # fmt: skip


def _ends(name: str, ci: tuple[float, float] | None) -> dict[str, float | None]:
    return {f"{name}_low": ci[0] if ci else None, f"{name}_high": ci[1] if ci else None}


def summarise(facts: Facts, samples: Sequence[Sample], inventory: Inventory) -> RobustnessBlock:
    """Compute the block; `inventory` holds at least the items that were asked."""
    return RobustnessBlock(
        modes={mode: _scored(facts, [s for s in samples if s.scoring == mode], inventory, mode)
               for mode in modes(samples)}
    )  # fmt: skip


def found_aims(
    facts: Facts, rows: Sequence[Sample], inventory: Inventory, mode: Mode
) -> tuple[list[Aim], list[Context], Grid]:
    """The shifts of one scoring mode in every context that was asked."""
    asked = {row.context for row in rows}
    mine = [context for context in contexts().values() if context.name in asked]
    items = _items(rows, inventory)
    span = inventory.response_scale.max - inventory.response_scale.min
    grid: dict[str, dict[str, Any]] = {}
    for context in mine:
        held = by_condition(facts, [row for row in rows if row.context == context.name])
        grid[context.name] = {name: item_grid(each, items, [context.template]) for name, each in held.items()}
    return aims(grid, facts.conditions, items, 1.0 if mode == "statement" else 100 / span), mine, grid


def _items(rows: Sequence[Sample], inventory: Inventory) -> list[Any]:
    asked = {row.item for row in rows}
    return [item for item in inventory.items if item.id in asked]


def _scored(facts: Facts, rows: Sequence[Sample], inventory: Inventory, mode: Mode) -> Contexts:
    found, mine, grid = found_aims(facts, rows, inventory, mode)
    headline = [c.name for c in facts.conditions if c.headline]
    told = [row for row in rows if row.context in (PLAIN, "reversed") and row.condition in headline]
    how = style(told, inventory) if mode == "choice" else None
    varies = varied(np.array([item_means(grid[c.name][name]) for name in headline for c in mine]))
    held = [_target(one, found, mine, mode) for one in cards(found, mine, mode)]
    reasons = [
        *style_reasons(how),
        *variation_reasons(varies, bool(found)),
        *damage_reasons(facts.damage),
        *reading_reasons(facts.reading),
        *_doubts(held),
    ]
    return Contexts(
        unit="nats a token" if mode == "statement" else "POMP",
        contexts=[context.name for context in mine],
        targets=held,
        stability=_stable(facts, rows, inventory, mine, headline),
        response_style=how,
        verdict=judged(reasons),
    )


def _target(mine: Card, found: Sequence[Aim], contexts: Sequence[Context], mode: Mode) -> TargetCard:
    own = [aim for aim in found if (aim.target, aim.high, aim.low) == (mine.target, mine.high, mine.low)] or found
    return TargetCard(
        card=mine, rungs=rungs(own, contexts, mine, mode), gone_at=gone_at(mine, contexts),
        drift=drift(own, contexts, mine, mode),
    )  # fmt: skip


def _doubts(held: Sequence[TargetCard]) -> Iterator[str]:
    if not held:
        yield (
            "caution: nothing is aimed at that its items measure: there is no effect that a context could change "
            "(--method prompting --target extraversion=high)"
        )
        return
    weak = [t.card.target for t in held if not ((plain := t.card.of(PLAIN)) and clear(plain.effect))]
    if weak:
        yield f"caution: {', '.join(weak)}: the effect without any context is not clear of 0, so none can be kept"


def _stable(
    facts: Facts, rows: Sequence[Sample], inventory: Inventory, mine: Sequence[Context], headline: Sequence[str]
) -> dict[str, Stability]:
    keys = {item.id: (item.trait, item.keyed) for item in _items(rows, inventory)}
    out = {}
    for name in headline:
        own = [row for row in rows if row.condition == name and row.respondent is not None and not row.fit]
        cells = [[row for row in own if row.context == context.name] for context in mine]
        scores, _, traits = people_scores(own, cells, keys)
        found = stability(scores, [c.name for c in mine], traits, facts.iterations, facts.seed) if own else None
        if found is not None:
            out[name] = found
    return out


def worst(mine: Card) -> ContextEffect | None:
    """The context that leaves the least of the effect, of those that are no replay; None where no share is known."""
    tried = [row for row in mine.contexts if row.kind not in CALM and row.retained is not None]
    return min(tried, key=lambda row: row.retained or 0.0, default=None)
