"""Whether the numbers of a model x instrument x scoring mode x method may be interpreted, and what decided it.

The thresholds are those of `statistics.thresholds`. Answers that do not vary, or that vary with the option order and
not with the item, are never interpretable. Beyond that, what must hold depends on what is claimed. A run with a control
claims shifts: its conditions must be told apart reliably, whoever answers. A run without one claims levels: that needs
simulated respondents, and scales that are reliable over them and differ from each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from traitbench.statistics.style import Style
from traitbench.statistics.thresholds import THRESHOLDS, judge
from traitbench.tasks.questionnaire.respondents import Reliability
from traitbench.tasks.questionnaire.scorecard import Scorecard
from traitbench.tasks.questionnaire.validity import Structure
from traitbench.tasks.questionnaire.variance import Dependability
from traitbench.tasks.variation import Variation
from traitbench.tasks.verdict import (
    NO_RESPONDENTS,
    Verdict,
    damage_reasons,
    judged,
    reading_reasons,
    style_reasons,
    variation_reasons,
)
from traitbench.types import Reading, Trait

__all__ = ["verdict"]


def verdict(
    style: Style | None,
    card: Scorecard,
    scales: Sequence[Reliability],
    structure: Structure | None,
    constructs: int = 2,
    perplexity: float | None = None,
    dependable: Mapping[Trait, Dependability] | None = None,
    varies: Variation | None = None,
    reading: Reading | None = None,
) -> Verdict:
    """Judge one scoring mode of one task.

    `style` is that of all conditions together, null for statement; `scales` are empty without simulated respondents;
    `constructs` is the number of traits that the instrument measures: with more than one, `structure` must be there
    where `scales` are; `perplexity` is that of neutral text under the control that does it most harm, over that
    without; `dependable` are the studies of the scales over the control's conditions; `reading` is how well the model
    foresees neutral text without a control.
    """
    aimed = list(dict.fromkeys(trait for contrast in card.contrasts for trait in contrast.aimed))
    reasons = [
        *style_reasons(style),
        *variation_reasons(varies, bool(card.contrasts)),
        *damage_reasons(perplexity),
        *reading_reasons(reading),
        *_effects(card),
        *(_control(aimed, dependable or {}, scales) if aimed else _scales(scales)),
        *_structure(scales, structure, constructs, not aimed),
    ]
    return judged(reasons)


def _effects(card: Scorecard) -> Iterator[str]:
    shaky = [contrast.target for contrast in card.contrasts if contrast.check == "caution"]
    if shaky:
        yield f"caution: {', '.join(shaky)}: see the check of each"
    if found := judge("split_half", card.split_half):
        yield f"{found[0]}: the two halves of the items agree {card.split_half:.2f} on the shifts (< {found[1]:.2f})"


def _control(
    aimed: Sequence[Trait], dependable: Mapping[Trait, Dependability], scales: Sequence[Reliability]
) -> Iterator[str]:
    """Ask whether the control's conditions can be told apart on the scales aimed at; respondents are not needed.

    Where there are any, that they do not differ says nothing against the control; that the keys of a scale go against
    each other over them does.
    """
    studies = {trait: dependable[trait].aimed for trait in aimed if trait in dependable}
    found = {trait: known.study for trait, known in studies.items() if known is not None}
    yield from _named("dependability", {t: s.generalizability for t, s in found.items()}, len(aimed))
    unknown: dict[str, list[Trait]] = {}
    for trait, study in found.items():
        if study.generalizability is None:
            unknown.setdefault(study.reason, []).append(trait)
    if missing := [trait for trait in aimed if trait not in found]:
        unknown["its conditions were not studied"] = missing
    yield from _unknown("dependability", unknown, len(aimed))
    upper = {scale.trait: scale.alpha_ci[1] for scale in scales if scale.alpha_ci}
    yield from _named("alpha_upper", dict(upper), len(scales))


def _scales(scales: Sequence[Reliability]) -> Iterator[str]:
    """Reliability over respondents, scale by scale: bad scales forbid interpretation once they are half of them."""
    if not scales:
        yield NO_RESPONDENTS
        return
    n = min(scale.n for scale in scales)
    if judge("respondents", n):
        yield f"caution: {n} respondents (< {THRESHOLDS['respondents'].caution:.0f})"
    for name in ("alpha", "omega_total", "retest"):
        values: dict[Trait, float | None] = {scale.trait: getattr(scale, name) for scale in scales}
        unknown: dict[str, list[Trait]] = {}
        for scale in scales:
            if values[scale.trait] is None and not _excused(scale, name):
                unknown.setdefault(scale.reasons.get(name, "unknown"), []).append(scale.trait)
        yield from _named(name, values, len(scales))
        yield from _unknown(name, unknown, len(scales))
    low = [
        s.trait for s in scales if s.alpha_ci and not judge("alpha", s.alpha) and judge("alpha_lower", s.alpha_ci[0])
    ]
    if low:
        limit = THRESHOLDS["alpha_lower"].caution
        yield f"caution: the interval of alpha reaches below {limit:.2f}: {', '.join(low)}"


def _excused(scale: Reliability, name: str) -> bool:
    """Excuse what the design, not the answers, makes impossible: one occasion, or too few items for the coefficient."""
    return (name == "retest" and scale.occasions < 2) or (name == "omega_total" and scale.items < 3)


_WORDS = {"alpha_upper": "upper end of alpha's interval", "omega_total": "omega total"}


def _named(name: str, values: Mapping[Trait, float | None], of: int) -> Iterator[str]:
    """Name the scales past either limit of a criterion."""
    limits, words = THRESHOLDS[name], _WORDS.get(name, name)
    past = {trait: found[0] for trait, value in values.items() if (found := judge(name, value))}
    told = {
        level: [f"{t} {values[t]:.2f}" for t, mine in past.items() if mine == level] for level in set(past.values())
    }
    if bad := told.get("not interpretable"):
        level = "not interpretable" if 2 * len(bad) >= of else "caution"
        yield f"{level}: {words} of {len(bad)} of {of} scales < {limits.bad:.2f}: {', '.join(bad)}"
    if weak := told.get("caution"):
        yield f"caution: {words} < {limits.caution:.2f}: {', '.join(weak)}"


def _unknown(name: str, unknown: Mapping[str, Sequence[Trait]], of: int) -> Iterator[str]:
    for reason, traits in unknown.items():
        who = "any scale" if len(traits) == of else ", ".join(traits)
        yield f"caution: no {_WORDS.get(name, name)} of {who}: {reason}"


def _structure(
    scales: Sequence[Reliability], structure: Structure | None, constructs: int, levels: bool
) -> Iterator[str]:
    """Whether the scales differ from each other; without `levels`, only where reliable scales say that they do not."""
    unreliable = any((judge("alpha", scale.alpha) or ("",))[0] == "not interpretable" for scale in scales)
    if not scales or constructs < 2 or (not levels and unreliable):
        return
    value = structure.disattenuated_mean if structure else None
    if value is not None and (found := judge("disattenuated_mean", value)):
        yield (
            f"{found[0]}: the scales measure one thing: mean correlation corrected for attenuation {value:.2f} "
            f"(>= {found[1]:.2f})"
        )
    if value is None and levels:
        why = structure.reasons.get("disattenuated_mean", "") if structure else ""
        yield (
            f"caution: whether the scales differ is unknown: {why}"
            if structure
            else "caution: one scale answered, so that nothing shows that it differs from the others"
        )
