"""Whether the ratings of written replies may be interpreted, and what decided it."""

from __future__ import annotations

from collections.abc import Iterator

from traitbench.statistics.thresholds import judge
from traitbench.tasks.block import Facts
from traitbench.tasks.verdict import Verdict, aim_reasons, damage_reasons, judged, reading_reasons, variation_reasons
from traitbench.tasks.written.ratings import RANGE
from traitbench.tasks.written.records import Rated, Written

__all__ = ["verdict"]


def verdict(rated: Rated | None, found: Written, facts: Facts) -> Verdict:
    """Judge the number of a run; `rated` is null where no judge rated anything."""
    if rated is None or not rated.coverage:
        return judged([f"not interpretable: {nothing(found)}"])
    return judged(
        [
            *_given(rated, found),
            *variation_reasons(rated.variation, bool(rated.contrasts)),
            *damage_reasons(facts.damage),
            *reading_reasons(facts.reading),
            *_effects(rated),
        ]
    )


def nothing(found: Written) -> str:
    """Why there is no rating at all."""
    read = sum(each.share("valid") or each.share("truncated") or 0 for each in found.replies.values())
    if not read:
        return "no reply can be judged"
    told = [why for each in found.judges.values() for why in each.without.values()]
    return "no reply was rated" + (f": {told[0]}" if told else "")


def _given(rated: Rated, found: Written) -> Iterator[str]:
    """What the ratings rest on: how many there are, who gave them, and how far they agree."""
    assert rated.coverage is not None
    if told := judge("invalid", 1 - rated.coverage):
        yield f"{told[0]}: {1 - rated.coverage:.0%} of the replies have no rating (>= {told[1]:.0%})"
    for name in found.counted:
        mine = found.judges[name].asking
        if mine is None:
            continue
        if mass := judge("verdict_mass", mine.option_mass):
            yield f"{mass[0]}: {name} puts {mine.option_mass:.2f} on its options (< {mass[1]:.2f})"
        spread = None if mine.spread is None else mine.spread / RANGE
        if same := judge("score_spread", spread):
            yield f"{same[0]}: {name} rates all replies alike: SD {mine.spread:.2f} points (< {same[1] * RANGE:.2f})"
    if found.unranked:
        yield f"caution: {found.unranked}"


def _effects(rated: Rated) -> Iterator[str]:
    yield from aim_reasons(len(rated.contrasts), sum(c.effect is not None for c in rated.contrasts))
    if not rated.contrasts:
        return
    apart = [c.target for c in rated.contrasts if c.check == "not interpretable"]
    if shaky := [c.target for c in rated.contrasts if c.check == "caution"]:
        yield f"caution: {', '.join(shaky)}: see the check of each"
    if apart:
        whole = len(apart) == len([c for c in rated.contrasts if c.check is not None])
        yield f"{'not interpretable' if whole else 'caution'}: {', '.join(apart)}: the judges do not agree"
    if silent := [c.target for c in rated.contrasts if c.effect is not None and c.effect.value is None]:
        why = next((rated.without[t] for t in silent if t in rated.without), "no rating")
        yield f"caution: no number for {', '.join(silent)}: {why}"
