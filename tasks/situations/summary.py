"""Every number of the situations, from their samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from traitbench.samples import Condition, Sample
from traitbench.statistics.intervals import item_means
from traitbench.statistics.style import Style, response_style
from traitbench.tasks.block import Block, Facts, by_condition
from traitbench.tasks.differences import Overall
from traitbench.tasks.effects import Level, Shift, levels, overall
from traitbench.tasks.scoring import answer, modes
from traitbench.tasks.situations.effects import PairContrast, PairSetting, contrasts, pair_grid
from traitbench.tasks.situations.pairs import Pair
from traitbench.tasks.situations.verdict import verdict
from traitbench.tasks.variation import Variation, variation, varied
from traitbench.tasks.verdict import Verdict
from traitbench.types import Mode, Record

__all__ = ["PairScores", "Replies", "SituationsBlock", "summarise"]


class PairScores(Record):
    """One scoring mode with trait values."""

    unit: Literal["POMP", "nats a token"]
    levels: dict[str, list[Level]]
    """Condition -> a level a trait: choice 0 to 100, 50 without a preference; statement 0 without one."""
    contrasts: list[PairContrast]
    effect: Overall | None
    """Mean over the contrasts that aim at one trait; null without any."""
    response_style: dict[str, Style]
    """Condition, and "all" for every condition together; empty for statement."""
    variation: Variation | None
    """Whether the answers vary, and the two option orders agree on how."""
    templates: int
    """Wordings that each pair was asked in: `PairContrast.items` has their values in this order, each with its fits."""
    halves: bool
    """Whether pairs that show the high reply as A and as B are strata that count alike: choice in one order."""
    verdict: Verdict


class Replies(Record):
    """What became of the replies that one condition wrote; they have no trait value."""

    n: int
    valid: int
    truncated: int
    """Cut off at the longest reply that was allowed."""
    empty: int
    failed: int
    words: float | None
    """Mean length of those that are valid or cut off."""


class SituationsBlock(Block):
    """The situations' part of the results."""

    kind: Literal["situations"] = "situations"
    keys: dict[str, int]
    """Pair -> 1 where the high reply stood second (B) in forward order, -1 where it stood first."""
    facets: dict[str, str]
    """Pair -> its facet."""
    modes: dict[Mode, PairScores]
    replies: dict[str, Replies] = {}
    """Condition -> its written replies; empty without `generate`."""

    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Condition -> "trait,mode" and "trait_stderr,mode", and the share of valid replies."""
        found: dict[str, dict[str, float | None]] = {}
        for mode, scored in self.modes.items():
            for condition, mine in scored.levels.items():
                line = found.setdefault(condition, {})
                for level in mine:
                    line[f"{level.trait},{mode}"], line[f"{level.trait}_stderr,{mode}"] = level.value, level.se
        for condition, replies in self.replies.items():
            found.setdefault(condition, {})["valid,generate"] = replies.valid / replies.n if replies.n else None
        return found

    def score_rows(self) -> list[dict[str, Any]]:
        """A row a condition, scoring mode and trait, and one a condition with written replies."""
        rows = [
            {"condition": condition, "scoring": mode, "metric": level.trait, "value": level.value, "se": level.se,
             **_ends("ci", level.ci), "pomp": level.value if scored.unit == "POMP" else None,
             "shift": level.shift, "shift_se": level.shift_se, **_ends("shift_ci", level.shift_ci),
             "n": level.n, "unscored": level.unscored}
            for mode, scored in self.modes.items()
            for condition, mine in scored.levels.items()
            for level in mine
        ]  # fmt: skip
        return rows + [
            {"condition": condition, "scoring": "generate", "metric": "valid", "se": None,
             "value": replies.valid / replies.n if replies.n else None, "n": replies.n}
            for condition, replies in self.replies.items()
        ]  # fmt: skip

    def effect_rows(self) -> list[dict[str, Any]]:
        """A row a contrast, scoring mode and trait; `aimed` marks the trait aimed at."""
        return [
            {"target": contrast.target, "high": contrast.high, "low": contrast.low, "scoring": mode,
             "metric": shift.trait, "aimed": shift.trait in contrast.aimed, "value": shift.value, "se": shift.se,
             **_ends("ci", shift.ci), "p": shift.p, "p_holm": shift.p_holm, "covers": ",".join(shift.covers),
             "d": shift.d, **_beside(contrast, shift), "leakage": contrast.leakage, "check": contrast.check,
             "verdict": scored.verdict.verdict}
            for mode, scored in self.modes.items()
            for contrast in scored.contrasts
            for shift in contrast.shifts
        ]  # fmt: skip


def _ends(name: str, ci: tuple[float, float] | None) -> dict[str, float | None]:
    return {f"{name}_low": ci[0] if ci else None, f"{name}_high": ci[1] if ci else None}


def _beside(contrast: PairContrast, shift: Shift) -> dict[str, float | None]:
    """What only the trait aimed at has."""
    own = contrast.effect is not None and shift.trait == contrast.effect.trait
    return {
        "matched": contrast.matched.value if own and contrast.matched else None,
        "unmatched": contrast.unmatched.value if own and contrast.unmatched else None,
        "moved": contrast.moved.value if own and contrast.moved else None,
    }


def summarise(facts: Facts, samples: Sequence[Sample], pairs: Sequence[Pair]) -> SituationsBlock:
    """Compute the block from all samples of the task; `pairs` hold at least those that were asked."""
    asked = {row.item for row in samples}
    mine = [pair for pair in pairs if pair.id in asked]
    scored: dict[Mode, PairScores] = {}
    replies: dict[str, Replies] = {}
    for mode in modes(samples):
        rows = [row for row in samples if row.scoring == mode]
        if mode == "generate":
            replies = {name: _replies(written) for name, written in by_condition(facts, rows).items()}
        else:
            scored[mode] = _scored(facts, rows, mine, mode)
    keys: dict[str, int] = {pair.id: pair.keyed for pair in mine}
    facets = {pair.id: pair.facet for pair in mine}
    return SituationsBlock(keys=keys, facets=facets, modes=scored, replies=replies)


def _scored(facts: Facts, rows: Sequence[Sample], pairs: Sequence[Pair], mode: Mode) -> PairScores:
    conditions = by_condition(facts, rows)
    templates = sorted({row.template for row in rows})
    values = {name: pair_grid(mine, pairs, templates, mode) for name, mine in conditions.items()}
    setting = PairSetting(pairs, mode, len({row.order for row in rows}), facts.iterations, facts.seed)
    found = contrasts(values, facts.conditions, setting)
    headline = {condition.name: conditions[condition.name] for condition in facts.conditions if condition.headline}
    styles = {} if mode == "statement" else {n: _style(mine) for n, mine in conditions.items()}
    if styles:
        styles["all"] = _style([row for mine in headline.values() for row in mine])
    if mode == "statement":
        varies = varied(np.array([item_means(values[name]) for name in headline]))
    else:
        varies = variation(headline, pairs)
    return PairScores(
        unit="nats a token" if mode == "statement" else "POMP",
        levels=levels(values, facts.conditions[0].name, setting),
        contrasts=found,
        effect=overall(values, facts.conditions, setting),
        response_style=styles,
        variation=varies,
        templates=len(templates),
        halves=setting.weights == "halves",
        verdict=verdict(styles.get("all"), found, varies, _damage(facts.conditions)),
    )


def _damage(conditions: Sequence[Condition]) -> float | None:
    return max((c.perplexity for c in conditions if c.headline and c.perplexity is not None), default=None)


def _style(rows: Sequence[Sample]) -> Style:
    """How the answers were given. Pairs have no agreement as such, so their keys do not count here."""
    return response_style([answer(row)._replace(keyed=1) for row in rows], 0, 1)


def _replies(rows: Sequence[Sample]) -> Replies:
    kept: Mapping[str, list[Sample]] = {
        status: [row for row in rows if row.status == status] for status in ("valid", "truncated", "unparsed", "error")
    }
    told = [len(str(row.resps[0][0]).split()) for row in (*kept["valid"], *kept["truncated"])]
    return Replies(
        n=len(rows), valid=len(kept["valid"]), truncated=len(kept["truncated"]), empty=len(kept["unparsed"]),
        failed=len(kept["error"]), words=sum(told) / len(told) if told else None,
    )  # fmt: skip
