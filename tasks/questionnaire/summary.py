"""Every number of a questionnaire, from its samples: scores, effects, and what they rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from traitbench.answers.functioning import Functioning
from traitbench.humans import loadings
from traitbench.humans.likeness import Human, between_person_sds, likeness
from traitbench.samples import Sample
from traitbench.statistics.style import Style
from traitbench.tasks.block import Block, Facts, by_condition
from traitbench.tasks.questionnaire.dose import Dose, doses
from traitbench.tasks.questionnaire.invariance import between_conditions
from traitbench.tasks.questionnaire.respondents import Reliability, grid, reliability
from traitbench.tasks.questionnaire.scorecard import Contrast, Scorecard, Setting, Shift, scorecard
from traitbench.tasks.questionnaire.validity import Structure, structure
from traitbench.tasks.questionnaire.variance import Dependability, Variance, compared, dependability, variance
from traitbench.tasks.questionnaire.verdict import verdict
from traitbench.tasks.scoring import COVERS, item_grid, modes, scale_scores, style
from traitbench.tasks.variation import Variation, variation
from traitbench.tasks.verdict import Verdict
from traitbench.types import Mode, Record, Score, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Inventory

__all__ = ["QuestionnaireBlock", "Scored", "summarise"]


class Scored(Record):
    """One scoring mode."""

    scores: dict[str, list[Score]]
    """Condition -> a score a trait."""
    response_style: dict[str, Style]
    """Condition, and "all" for every condition together; empty for statement."""
    reliability: list[Reliability]
    """A scale each, over the simulated respondents of the baseline; empty without them."""
    validity: Structure | None
    """Whether the scales differ from each other over those respondents."""
    variance: dict[Trait, Variance]
    """Where the variance of each scale's answers comes from, in the baseline."""
    dependability: dict[Trait, Dependability] = {}
    """Whether each scale tells the conditions of the control apart; empty without one that aims at a trait."""
    variation: Variation | None = None
    """Whether the answers vary, and the two option orders agree on how."""
    human: Human
    """Trait correlations and levels beside people."""
    scorecard: Scorecard
    functioning: list[Functioning] = []
    """Whether items and scales work alike in the two conditions of each contrast, over the simulated respondents."""
    dose: list[Dose] = []
    """A curve a target, of methods whose controls have a strength."""
    verdict: Verdict


class QuestionnaireBlock(Block):
    """An inventory's part of the results."""

    kind: Literal["questionnaire"] = "questionnaire"
    uncertainty: dict[str, str] = {}
    """What the intervals of scores and shifts are over: `random`, and how."""
    modes: dict[Mode, Scored]

    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Condition -> "trait,mode" and "trait_stderr,mode"."""
        found: dict[str, dict[str, float | None]] = {}
        for mode, scored in self.modes.items():
            for condition, scores in scored.scores.items():
                line = found.setdefault(condition, {})
                for score in scores:
                    line[f"{score.trait},{mode}"], line[f"{score.trait}_stderr,{mode}"] = score.value, score.se
        return found

    def score_rows(self) -> list[dict[str, Any]]:
        """A row a condition, scoring mode and trait."""
        return [
            {"condition": condition, "scoring": mode, "metric": score.trait, "value": score.value, "se": score.se,
             "ci_low": score.ci[0] if score.ci else None, "ci_high": score.ci[1] if score.ci else None,
             "pomp": score.pomp, "plus": score.plus, "minus": score.minus, "n": score.n, "unscored": score.unscored}
            for mode, scored in self.modes.items()
            for condition, scores in scored.scores.items()
            for score in scores
        ]  # fmt: skip

    def effect_rows(self) -> list[dict[str, Any]]:
        """A row a contrast, scoring mode and trait; `aimed` marks the trait aimed at."""
        return [
            {"target": contrast.target, "high": contrast.high, "low": contrast.low, "scoring": mode,
             "metric": shift.trait, "aimed": shift.trait in contrast.aimed, "value": shift.value, "se": shift.se,
             "ci_low": shift.ci[0] if shift.ci else None, "ci_high": shift.ci[1] if shift.ci else None,
             "p": shift.p, "p_holm": shift.p_holm, "covers": ",".join(shift.covers), "pomp": shift.pomp,
             "sds": shift.sds, "d": shift.d, "plus": shift.plus, "minus": shift.minus, "leakage": contrast.leakage,
             **_specific(contrast, shift), "check": contrast.check,
             "verdict": scored.verdict.verdict}
            for mode, scored in self.modes.items()
            for contrast in scored.scorecard.contrasts
            for shift in contrast.shifts
        ]  # fmt: skip


def _specific(contrast: Contrast, shift: Shift) -> dict[str, float | None]:
    """The contrast's evaluative component, and the specific effect, null beside traits that are not aimed at."""
    mine = contrast.specific if contrast.effect and shift.trait == contrast.effect.trait else None
    low, high = mine.ci if mine and mine.ci else (None, None)
    return {
        "evaluative": contrast.evaluative,
        "evaluative_ci_low": contrast.evaluative_ci[0] if contrast.evaluative_ci else None,
        "evaluative_ci_high": contrast.evaluative_ci[1] if contrast.evaluative_ci else None,
        "specific": mine.value if mine else None, "specific_ci_low": low, "specific_ci_high": high,
        "specific_p_holm": mine.p_holm if mine else None,
    }  # fmt: skip


def _random(found: Mapping[Mode, Scored]) -> dict[str, str]:
    """What the intervals of all modes are over."""
    every: list[Score | Shift] = []
    for scored in found.values():
        every += [score for scores in scored.scores.values() for score in scores]
        every += [shift for contrast in scored.scorecard.contrasts for shift in contrast.shifts]
    named = {name for each in every for name in each.covers}
    return {
        "random": ", ".join(name for name in COVERS if name in named),
        "strata": "key",
        "distribution": "t, Satterthwaite's degrees of freedom; a side is longer where the items are skewed",
    }


def summarise(facts: Facts, samples: Sequence[Sample], inventory: Inventory) -> QuestionnaireBlock:
    """Compute the block of `inventory` from all samples of the task."""
    found = {mode: _scored(facts, samples, inventory, mode) for mode in modes(samples)}
    return QuestionnaireBlock(modes=found, uncertainty=_random(found))


def _scored(facts: Facts, every: Sequence[Sample], inventory: Inventory, mode: Mode) -> Scored:
    """Compute one scoring mode from all samples of the task."""
    asked, rows = {row.item for row in every}, [row for row in every if row.scoring == mode]
    items = [item for item in inventory.items if item.id in asked]
    traits = [trait for trait in inventory.traits if any(item.trait == trait for item in items)]
    baseline = facts.conditions[0].name
    conditions = by_condition(facts, rows)
    templates = sorted({row.template for row in rows})
    values = {name: item_grid(mine, items, templates) for name, mine in conditions.items()}
    reference = {name: None if name == baseline else values[baseline] for name in values}
    scores = {n: scale_scores(raw, inventory, items, mode, reference[n]) for n, raw in values.items()}
    headline = {condition.name for condition in facts.conditions if condition.headline}
    styles = {}
    if mode != "statement":
        styles = {name: style(mine, inventory) for name, mine in conditions.items()} | {
            "all": style([row for row in rows if row.condition in headline], inventory)
        }
    sds = between_person_sds(inventory.id, traits, facts.reference)
    setting = Setting(inventory, items, mode, facts.iterations, facts.seed, sds)
    card = scorecard(values, facts.conditions, setting)
    answers = grid(conditions[baseline], items, mode)
    scales = reliability(answers, traits)
    shape = structure(answers, scales, loadings(inventory.id))
    between = {trait: compared(card.contrasts, facts.conditions, trait) for trait in traits}
    studies = dependability(conditions, between, items, mode)
    varies = variation({name: mine for name, mine in conditions.items() if name in headline}, items)
    return Scored(
        scores=scores,
        response_style=styles,
        reliability=scales,
        validity=shape,
        variance=variance(answers, traits),
        dependability=studies,
        variation=varies,
        human=likeness(
            scores, facts.conditions, inventory.id, mode, facts.reference, facts.config.get("norms"), facts.iterations,
            facts.seed, inventory.wording_of,
        ),
        scorecard=card,
        functioning=between_conditions(conditions, facts.conditions, items, mode),
        dose=doses(values, facts.conditions, styles, setting),
        verdict=verdict(
            styles.get("all"), card, scales, shape, len(inventory.traits), facts.damage, studies, varies, facts.reading
        ),
    )  # fmt: skip
