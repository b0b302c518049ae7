"""The tables of a questionnaire: effects, target x trait matrices, levels, and what strength does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from traitbench.tables import Table, interval, number, ratio
from traitbench.tasks.questionnaire.scorecard import PROFILES, Contrast, Scorecard, Shift
from traitbench.tasks.scoring import COVERS
from traitbench.tasks.style_tables import statement_first
from traitbench.types import Mode

if TYPE_CHECKING:
    from traitbench.tasks.block import Facts
    from traitbench.tasks.questionnaire.dose import DosePoint
    from traitbench.tasks.questionnaire.summary import QuestionnaireBlock

__all__ = ["covered", "curves", "effects", "levels", "matrix"]


def effects(title: str, cards: Mapping[Mode, Scorecard]) -> Table:
    """The shift of the trait aimed at, a row a contrast and scoring mode."""
    rows = []
    for mode in statement_first(cards):
        for contrast in cards[mode].contrasts:
            rows.append(_effect_row(mode, contrast))
    contrasts = [c for card in cards.values() for c in card.contrasts]
    drawn = any(c.high == PROFILES for c in contrasts)
    return Table(
        title=title,
        columns=["target", "scoring", "effect [95 %]", "p", "specific [95 %]", "p specific", "evaluative", "SDs or d",
                 "plus / minus", "leakage", "check"],
        rows=rows,
        notes=[
            "Effect: high minus low, or the condition minus the baseline, in nats a token (statement) or POMP (percent "
            "of the range). plus / minus: the same from plus- and from minus-keyed items. Leakage: how far others "
            "moved, noise removed. SDs: in between-person SDs of the same instrument; d, of statement: over the SD "
            "between items.",
            "Evaluative: mean shift of the other traits towards their desirable ends. Specific: the effect in the "
            "direction aimed at without that part of it; where it is no more than zero, the effect may be halo. p: two-"
            "sided, adjusted (Holm) over the targets of the scoring mode.",
            *covered([c.effect.covers for c in contrasts if c.effect]),
            *_doubts(cards),
            *(["Over drawn profiles an effect is twice the slope on the level, all levels together."] if drawn else []),
        ],
    )  # fmt: skip


def covered(found: Iterable[Sequence[str]]) -> list[str]:
    """Say what intervals are over; nothing where there are none."""
    names = {name for names in found for name in names}
    if not names:
        return []
    alone = "" if "templates" in names else " One wording of the request was used: what others change is not in them."
    return [f"Intervals cover what varies over {', '.join(name for name in COVERS if name in names)}.{alone}"]


def _effect_row(mode: str, contrast: Contrast) -> list[str]:
    effect, specific, scale = contrast.effect, contrast.specific, 1.0
    if effect is not None and effect.pomp is not None and effect.value:
        scale = effect.pomp / effect.value

    def scaled(value: float | None) -> float | None:
        return None if value is None else value * scale

    def spanned(value: float | None, ci: tuple[float, float] | None) -> str:
        return interval(scaled(value), None if ci is None else (ci[0] * scale, ci[1] * scale))

    def tested(shift: Shift | None) -> list[str]:
        return [spanned(shift.value, shift.ci), number(shift.p_holm, 3)] if shift else ["–", "–"]

    return [
        contrast.target,
        mode,
        *tested(effect),
        *tested(specific),
        number(scaled(contrast.evaluative)),
        number(effect.d if mode == "statement" else effect.sds) if effect else "–",
        f"{number(scaled(effect.plus))} / {number(scaled(effect.minus))}" if effect else "–",
        number(scaled(contrast.leakage)),
        contrast.check or "–",
    ]


def _doubts(cards: Mapping[Mode, Scorecard]) -> list[str]:
    """What each check that is not ok rests on; targets with the same reasons share a line."""
    whose: dict[tuple[str, str], list[str]] = {}
    for mode in statement_first(cards):
        for contrast in cards[mode].contrasts:
            if contrast.reasons:
                whose.setdefault((mode, "; ".join(contrast.reasons)), []).append(contrast.target)
    return [f"{mode}, {', '.join(targets)}: {why}." for (mode, why), targets in whose.items()]


def matrix(mode: str, card: Scorecard) -> Table:
    """The shift of every trait under every target."""
    traits = [shift.trait for shift in card.contrasts[0].shifts]
    rows = [[c.target, *(_cell(s, s.trait in c.aimed) for s in c.shifts)] for c in card.contrasts]
    unit = "nats a token" if mode == "statement" else "POMP"
    return Table(title=f"Target x trait, {mode} ({unit}); own trait starred", columns=["target", *traits], rows=rows)


def _cell(shift: Shift, own: bool) -> str:
    return number(shift.pomp if shift.pomp is not None else shift.value) + ("*" if own else "")


def levels(block: QuestionnaireBlock, facts: Facts, task: str) -> Table:
    """The score of every condition on the instrument's own scale."""
    rows = []
    drawn = {c.name for c in facts.conditions if c.profile}
    left_out = drawn | {c.name for c in facts.conditions if not c.headline or c.person}
    for condition in (c.name for c in facts.conditions if c.name not in left_out):
        for mode, scored in block.modes.items():
            if mode == "statement":
                continue
            scores = scored.scores[condition]
            cells = [interval(s.value, s.ci) + (f" ({s.unscored} unscored)" if s.unscored else "") for s in scores]
            rows.append([condition, mode, *cells])
    every = [s for scored in block.modes.values() for scores in scored.scores.values() for s in scores]
    notes = ["A level is neither good nor bad; it is never ranked. Statement scoring has no absolute level."]
    if drawn:
        notes.append(f"The {len(drawn)} profiles are left out; every condition is in the results file.")
    notes += covered([s.covers for s in every])
    if any(s.note for s in every):
        notes.append("Scales of fewer than 8 items: their intervals are approximate and may leave the scale.")
    return Table(
        title=f"Levels on the instrument's scale [95 %], {task}",
        columns=["condition", "scoring", *dict.fromkeys(s.trait for s in every)],
        rows=rows,
        notes=notes,
    )


def curves(block: QuestionnaireBlock, task: str) -> list[Table]:
    """Effect, leakage, option mass and fluency over strength, where more than one strength was run."""
    out = []
    for mode, scored in block.modes.items():
        mine = [dose for dose in scored.dose if len(dose.points) > 1]
        if not mine:
            continue
        told = {True: "rises throughout", False: "does not rise throughout"}
        out.append(
            Table(
                title=f"Dose, {mode}, {task}",
                columns=["target", "strength", "dose", "effect [95 %]", "leakage", "option mass", "perplexity"],
                rows=[[dose.target, *_line(point, mode)] for dose in mine for point in dose.points],
                notes=[
                    "Effect: shift of the trait aimed at from the baseline. A star marks the strength that was chosen "
                    "on development data.",
                    *(f"{d.target}: {told[d.monotone]}." for d in mine if d.monotone is not None),
                ],
            )
        )
    return out


def _line(point: DosePoint, mode: Mode) -> list[str]:
    effect, scale = point.effect, 1.0
    if effect is not None and effect.pomp is not None and effect.value:
        scale = effect.pomp / effect.value
    bounds = (effect.ci[0] * scale, effect.ci[1] * scale) if effect and effect.ci else None
    return [
        f"{point.coef:g}{'*' if point.headline else ''}",
        number(point.dose),
        interval(effect.value * scale, bounds) if effect and effect.value is not None else "–",
        number(None if point.leakage is None else point.leakage * scale),
        number(point.option_mass),
        ratio(point.perplexity),
    ]
