"""Whether the ratings of written replies may be interpreted, and what decided it."""

from __future__ import annotations

from collections.abc import Iterator

from traitbench.statistics.agreement import Agreement
from traitbench.statistics.thresholds import judge
from traitbench.tasks.block import Facts
from traitbench.tasks.verdict import Verdict, aim_reasons, damage_reasons, judged, reading_reasons, variation_reasons
from traitbench.tasks.written.cards import no_number
from traitbench.tasks.written.effects import Doubt
from traitbench.tasks.written.ratings import RANGE
from traitbench.tasks.written.records import Rated, Written
from traitbench.types import BIG_FIVE

__all__ = ["disagreed", "verdict"]


def verdict(rated: Rated | None, found: Written, facts: Facts) -> Verdict:
    """Judge the number of a run; `rated` is null where no judge rated anything."""
    if rated is None or not rated.coverage:
        return judged([f"not interpretable: {nothing(found, facts)}"])
    return judged(
        [
            *_given(rated, found),
            *variation_reasons(rated.variation, bool(rated.contrasts)),
            *damage_reasons(facts.damage),
            *reading_reasons(facts.reading),
            *_effects(rated),
        ]
    )


def nothing(found: Written, facts: Facts) -> str:
    """Why there is no rating at all: which of the judges that count has none, and why."""
    read = sum(each.share("valid") or each.share("truncated") or 0 for each in found.replies.values())
    if not read:
        return "no reply can be judged"
    silent = [f"{name} {why}" for name in found.counted or facts.judges if (why := _silence(name, found, facts))]
    if not silent and len(found.counted) > 1:
        return f"no reply has a rating of each of {', '.join(found.counted)}"
    return "no reply was rated" + (f": {'; '.join(silent)}" if silent else "")


def _silence(name: str, found: Written, facts: Facts) -> str:
    """Why a judge has no rating of any reply; empty where it has some."""
    mine = found.judges.get(name)
    if mine is None or mine.asking is None:
        why = next(iter(no_number(name, facts, BIG_FIVE).values()), "")
        return "was not asked" + (f": {why}" if why else "")
    if mine.coverage:
        return ""
    if mine.coverage is None:
        traits = [level.trait for levels in mine.levels.values() for level in levels]
        return f"gives no number: {next((mine.without[t] for t in traits if t in mine.without), 'it was not asked')}"
    shares = {
        "cannot tell": mine.asking.abstained, "no verdict": mine.asking.unseen, "failed": mine.asking.failed,
        "one direction of the scale alone": mine.asking.valid,
    }  # fmt: skip
    return f"rated none ({', '.join(f'{what} {share:.0%}' for what, share in shares.items() if share)})"


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
    yield from _agreed(rated, found)
    if found.unranked:
        yield f"caution: {found.unranked}"


def disagreed(found: Agreement) -> Doubt | None:
    """What it calls for how far judges agree on a trait; None where they agree."""
    value = found.single if found.single is not None else found.alpha
    if value is None:
        return Doubt("not interpretable", f"agreement of the judges is not known: {found.reason}")
    told = judge("agreement", value)
    return told and Doubt(told[0], f"the judges agree {value:.2f} (< {told[1]:.2f})")


def _agreed(rated: Rated, found: Written) -> Iterator[str]:
    """Agreement on the traits aimed at, or on all where nothing is; `_effects` names those aimed at without any."""
    aimed = [c.effect.trait for c in rated.contrasts if c.effect is not None]
    doubts = {trait: doubt for trait, each in found.agreement.items() if (doubt := disagreed(each))}
    for trait, doubt in doubts.items():
        if doubt.level == "caution" and (trait in aimed or not rated.contrasts):
            yield f"caution: {trait}: {doubt.why}"
    apart = [trait for trait, doubt in doubts.items() if doubt.level != "caution"]
    if apart and not rated.contrasts:
        whole = len(apart) == len(found.agreement)
        yield f"{'not interpretable' if whole else 'caution'}: {', '.join(apart)}: the judges do not agree"


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
