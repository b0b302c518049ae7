"""Whether the numbers of a model x instrument x scoring mode x method may be interpreted, and what decided it.

The thresholds are those of `statistics.thresholds`. `interpretable` needs simulated respondents, reliable scales that
differ from each other, a clean response style, and effects that hold in both key halves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traitbench.statistics.style import Style
from traitbench.statistics.thresholds import THRESHOLDS, judge
from traitbench.tasks.questionnaire.respondents import Reliability
from traitbench.tasks.questionnaire.scorecard import Scorecard
from traitbench.tasks.questionnaire.validity import Structure
from traitbench.tasks.verdict import NO_RESPONDENTS, Verdict, damage_reasons, judged, style_reasons
from traitbench.types import Mode, Trait

__all__ = ["verdict"]


def verdict(
    mode: Mode,
    style: Style | None,
    card: Scorecard,
    scales: Sequence[Reliability],
    structure: Structure | None,
    constructs: int = 2,
    perplexity: float | None = None,
) -> Verdict:
    """Judge one scoring mode of one task.

    `style` is that of all conditions together, null for statement; `scales` are empty without simulated respondents;
    `constructs` is the number of traits that the instrument measures: with more than one, `structure` must be there;
    `perplexity` is that of neutral text under the control that does it most harm, over that without.
    """
    reasons = [
        *style_reasons(style),
        *damage_reasons(perplexity),
        *_effects(card),
        *_scales(mode, scales),
        *_structure(scales, structure, constructs),
    ]
    return judged(reasons)


def _effects(card: Scorecard) -> Iterator[str]:
    shaky = [contrast.target for contrast in card.contrasts if contrast.check == "caution"]
    if shaky:
        yield f"caution: {', '.join(shaky)}: see the check of each"
    if found := judge("split_half", card.split_half):
        yield f"{found[0]}: the two halves of the items agree {card.split_half:.2f} on the shifts (< {found[1]:.2f})"


def _scales(mode: Mode, scales: Sequence[Reliability]) -> Iterator[str]:
    """Reliability scale by scale: bad scales forbid interpretation of levels once they are half of them.

    Statement scoring has no levels, only shifts, and those rest on the key halves, the interval and the split half;
    respondents who do not differ are a caution there, else asking them would cost a control its rank.
    """
    if not scales:
        yield NO_RESPONDENTS
        return
    n = min(scale.n for scale in scales)
    if judge("respondents", n):
        yield f"caution: {n} respondents (< {THRESHOLDS['respondents'].caution:.0f})"
    for name in ("alpha", "omega_total", "retest"):
        bad: dict[Trait, str] = {}
        weak: dict[Trait, str] = {}
        unknown: dict[str, list[Trait]] = {}
        for scale in scales:
            value: float | None = getattr(scale, name)
            found = judge(name, value)
            if found and found[0] == "not interpretable":
                bad[scale.trait] = f"{scale.trait} {value:.2f}"
            elif found:
                weak[scale.trait] = f"{scale.trait} {value:.2f}"
            elif value is None and not _excused(scale, name):
                unknown.setdefault(scale.reasons.get(name, "unknown"), []).append(scale.trait)
        yield from _named(name, bad, weak, len(scales), mode != "statement")
        for reason, traits in unknown.items():
            who = "any scale" if len(traits) == len(scales) else ", ".join(traits)
            yield f"caution: no {name.replace('_', ' ')} of {who}: {reason}"
    low = [
        s.trait for s in scales if s.alpha_ci and not judge("alpha", s.alpha) and judge("alpha_lower", s.alpha_ci[0])
    ]
    if low:
        limit = THRESHOLDS["alpha_lower"].caution
        yield f"caution: the interval of alpha reaches below {limit:.2f}: {', '.join(low)}"


def _excused(scale: Reliability, name: str) -> bool:
    """Excuse what the design, not the answers, makes impossible: one occasion, or too few items for the coefficient."""
    return (name == "retest" and scale.occasions < 2) or (name == "omega_total" and scale.items < 3)


def _named(name: str, bad: dict[Trait, str], weak: dict[Trait, str], of: int, levels: bool) -> Iterator[str]:
    limits, words = THRESHOLDS[name], name.replace("_", " ")
    if bad:
        level = "not interpretable" if levels and 2 * len(bad) >= of else "caution"
        yield f"{level}: {words} of {len(bad)} of {of} scales < {limits.bad:.2f}: {', '.join(bad.values())}"
    if weak:
        yield f"caution: {words} < {limits.caution:.2f}: {', '.join(weak.values())}"


def _structure(scales: Sequence[Reliability], structure: Structure | None, constructs: int) -> Iterator[str]:
    if not scales or constructs < 2:
        return
    if structure is None:
        yield "caution: one scale answered, so that nothing shows that it differs from the others"
        return
    value = structure.disattenuated_mean
    if value is None:
        yield f"caution: whether the scales differ is unknown: {structure.reasons.get('disattenuated_mean', '')}"
    elif found := judge("disattenuated_mean", value):
        yield (
            f"{found[0]}: the scales measure one thing: mean correlation corrected for attenuation {value:.2f} "
            f"(>= {found[1]:.2f})"
        )
