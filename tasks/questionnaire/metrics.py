"""A questionnaire on the leaderboard: the numbers of a run in one scoring mode."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from traitbench.tasks.block import Facts
from traitbench.tasks.differences import Overall
from traitbench.tasks.questionnaire.groups import design, group
from traitbench.tasks.questionnaire.scorecard import Contrast, Shift
from traitbench.tasks.questionnaire.summary import QuestionnaireBlock
from traitbench.types import Mode, Record

__all__ = ["Metrics", "TargetCell", "metrics"]


class TargetCell(Record):
    """One target of a run, in the unit of the row and the direction aimed at."""

    target: str
    effect: float | None
    effect_ci: tuple[float, float] | None = None
    specific: float | None = None
    specific_ci: tuple[float, float] | None = None
    check: str | None = None
    reasons: list[str] = []
    """What a check that is not ok rests on."""


class Metrics(Record):
    """One run in one scoring mode."""

    unit: str
    design: str = ""
    """poles, baseline or profiles; mixed where contrasts differ in it, empty without any."""
    group: str = ""
    """Design, targets and how the items were asked: those who share it are ranked with each other."""
    specific: float | None = None
    """Mean over targets of the effect minus the evaluative component."""
    specific_ci: tuple[float, float] | None = None
    covers: list[str] = []
    """What the interval of the effect covers: items, facets, templates, fits."""
    by_target: list[TargetCell] = []
    superiority: float | None = None
    """Probability that the run's effect is above that of another with a rank in its group; mean over the others."""
    rank_high: int | None = None
    """The highest rank that it may have: how many of its group are not significantly worse, itself among them."""
    unranked: str = ""
    """Why it has no rank; empty where it has one, or might."""
    effect: float | None
    """Mean over targets of the shift of the trait aimed at, in the direction aimed at."""
    effect_ci: tuple[float, float] | None
    """95 %, from the targets' standard errors: the targets are taken as they are, and what `covers` names as drawn at
    random."""
    effect_sds: float | None
    """The effect in between-person SDs of the same instrument; null for statement, and where none are held."""
    leakage: float | None
    """Root mean square over targets."""
    mean_abs_shift: float | None
    option_mass: float | None
    position_bias: float | None
    acquiescence: float | None
    invalid: float | None
    respondents: int
    """Simulated respondents; 0: the model answered as itself."""
    alpha: float | None
    """Lowest Cronbach alpha of a scale over the simulated respondents."""
    retest: float | None
    """Lowest retest ICC of a scale."""
    split_half: float | None
    """Agreement of two halves of the items on all shifts."""
    human_distance: float | None
    """Off-diagonal Frobenius distance of the trait correlations to `human_reference`. Descriptive, never ranked."""
    human_identity: float | None
    """The same distance for uncorrelated traits."""
    human_sampled: float | None = None
    """The same distance for people themselves: mean over samples of the same size."""
    human_sampled_ci: tuple[float, float] | None = None
    """Where 95 % of these samples lie."""
    human_reference: str | None
    human_mode: str | None
    """profiles, or paper (over the high and low conditions)."""
    perplexity: float | None
    """Damage: the largest perplexity of neutral text under the edits of a condition as the method made it, over that
    without; null where nothing is edited."""
    dose: float | None
    """Median over those conditions of the size of the edits beside the activations that they change."""
    cautions: int
    """Targets whose check is `caution`."""
    targets: int
    verdict: str
    rank: int | None
    """The lowest rank that it may have: one plus the number of its group that are significantly better, by paired tests
    over the same items and Holm over all pairs; null where `unranked` says why."""


def metrics(block: QuestionnaireBlock, facts: Facts, mode: Mode) -> Metrics:
    """What the leaderboard says of one scoring mode, without the rank."""
    scored = block.modes[mode]
    card, style = scored.scorecard, scored.response_style.get("all")
    contrasts = [c for c in card.contrasts if c.effect is not None and c.effect.value is not None]
    factor = _pomp(card.contrasts, mode)
    effect, effect_ci = _turned(card.effect, factor)
    specific, specific_ci = _turned(card.specific, factor)
    leaks = [c.leakage for c in contrasts if c.leakage is not None]
    moved = [c.mean_abs_shift for c in card.contrasts if c.mean_abs_shift is not None]
    scales = scored.reliability
    human = next(iter(scored.human.similarity), None)
    edited = [c for c in facts.conditions if c.headline and c.perplexity is not None]
    doses = [c.dose for c in edited if c.dose is not None]
    sds = [next(iter(c.aimed.values())) * c.effect.sds for c in contrasts if c.effect and c.effect.sds is not None]
    return Metrics(
        unit="nats a token" if mode == "statement" else "POMP",
        design=design(contrasts, facts.conditions[0].name),
        group=group(contrasts, facts, mode),
        specific=specific,
        specific_ci=specific_ci,
        covers=card.effect.covers if card.effect else [],
        by_target=[_cell(c, factor) for c in contrasts],
        effect=effect,
        effect_ci=effect_ci,
        effect_sds=sum(sds) / len(sds) if sds and len(sds) == len(contrasts) else None,
        leakage=factor * (sum(x * x for x in leaks) / len(leaks)) ** 0.5 if leaks else None,
        mean_abs_shift=factor * sum(moved) / len(moved) if moved else None,
        option_mass=style.option_mass if style else None,
        position_bias=style.position_bias if style else None,
        acquiescence=style.acquiescence if style else None,
        invalid=sum(style.invalid.values()) if style else None,
        respondents=int(facts.administration["respondents"]),
        alpha=_lowest([scale.alpha for scale in scales]),
        retest=_lowest([scale.retest for scale in scales]),
        split_half=card.split_half,
        human_distance=human.distance.value if human else None,
        human_identity=human.identity.distance.value if human else None,
        human_sampled=human.sampled.distance.value if human and human.sampled else None,
        human_sampled_ci=human.sampled.distance.interval if human and human.sampled else None,
        human_reference=human.reference if human else None,
        human_mode=human.mode if human else None,
        perplexity=max((c.perplexity for c in edited if c.perplexity is not None), default=None),
        dose=median(doses) if doses else None,
        cautions=sum(c.check == "caution" for c in contrasts),
        targets=len(contrasts),
        verdict=scored.verdict.verdict,
        rank=None,
    )


def _cell(contrast: Contrast, factor: float) -> TargetCell:
    """One target in the direction aimed at; `factor` takes scale points to the row's unit."""
    sign = factor * next(iter(contrast.aimed.values()))
    effect, effect_ci = _turned(contrast.effect, sign)
    specific, specific_ci = _turned(contrast.specific, factor)
    return TargetCell(target=contrast.target, effect=effect, effect_ci=effect_ci, specific=specific,
                      specific_ci=specific_ci, check=contrast.check, reasons=contrast.reasons)  # fmt: skip


def _turned(shift: Shift | Overall | None, factor: float) -> tuple[float | None, tuple[float, float] | None]:
    if shift is None or shift.value is None:
        return None, None
    ends = sorted(factor * end for end in shift.ci) if shift.ci else None
    return factor * shift.value, (ends[0], ends[1]) if ends else None


def _lowest(values: Sequence[float | None]) -> float | None:
    """The least of them; null where one is unknown."""
    known = [value for value in values if value is not None]
    return min(known) if known and len(known) == len(values) else None


def _pomp(contrasts: Sequence[Contrast], mode: Mode) -> float:
    """Scale points -> POMP, from any shift that holds both."""
    shifts = [s for c in contrasts for s in c.shifts]
    return next((s.pomp / s.value for s in shifts if s.pomp is not None and s.value), 1.0)
