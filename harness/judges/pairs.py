"""The pairwise check: which of two replies to one question shows more of the trait that one of them aimed at.

It needs no scale, so a judge that uses its numbers badly may still see the difference; and each pair is shown in both
orders, so that a judge that goes by the place is found out.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from traitbench.judges.grading import ABSTAINED, FIRST, SECOND
from traitbench.judges.records import Text
from traitbench.samples import Condition, Sample
from traitbench.statistics.judge_probes import Probe, position_preference
from traitbench.statistics.preferences import Comparison, Parameter, bradley_terry, contrast
from traitbench.statistics.proportions import Share, share
from traitbench.tables import Table, interval, number
from traitbench.types import Doc, Record, Trait

__all__ = ["Pair", "PairCheck", "checks", "drawn", "outcome", "tables"]

PAIRS = 40
"""Pairs a trait of a high and a low reply; of each of them and the baseline's there are half as many."""
_PRIOR = 3.0
"""SD of log strengths where one condition wins every time: weak, and said."""


class Pair(NamedTuple):
    """Two replies to one question."""

    condition: Condition
    """Of the first."""
    first: Text
    second: Text
    against: str
    """The condition of the second."""


class PairCheck(Record):
    """What one judge made of the pairs of one trait; what is null has a reason."""

    judge: str
    trait: Trait
    high: Share
    """Share of verdicts for the reply that aims high over the one that aims low: a pair counts once, as the mean of its
    orders, a tie as a half."""
    flips: Share
    """Share of these pairs in which one order's verdict is the other reply than the other order's."""
    position: Probe
    """Over all pairs: share of verdicts for the reply shown first minus one half."""
    strengths: dict[str, Parameter] = {}
    """Condition -> log strength (Bradley and Terry with ties and an effect of order), over all pairs; add up to 0."""
    odds: Parameter | None = None
    """Log odds that the condition that aims high is preferred to the one that aims low; interval over questions."""
    tie: Parameter | None = None
    order: Parameter | None = None
    """Log odds of the reply shown first, of two equal conditions."""
    pairs: int = 0
    """Pairs asked about, those with the baseline among them."""
    verdicts: int = 0
    """Verdicts with a choice or a tie, of two a pair."""
    abstained: int = 0
    missing: int = 0
    """Verdicts that failed, or of which too little probability was seen."""
    prior: float | None = None
    """SD of the prior of the strengths, where one was needed for them to be finite."""
    reason: str = ""
    """Why there are no strengths."""


def drawn(texts: Sequence[tuple[Condition, Sequence[Text]]], seed: int, pairs: int = PAIRS) -> dict[Trait, list[Pair]]:
    """Draw pairs for each trait with a condition that aims high and one that aims low: trait -> pairs.

    `texts` are the replies by condition. High and low are set beside each other at up to `pairs` places, and each of
    them beside the baseline at up to half as many. Questions about the trait itself are taken where there are any.
    Points of a dose curve and further fits are left out.
    """
    shown = [(c, found) for c, found in texts if c.headline and c.variant is None and c.fit in (None, 0)]
    base = next(((c, found) for c, found in shown if c.target is None), None)
    out: dict[Trait, list[Pair]] = {}
    for trait in dict.fromkeys(trait for c, _ in shown if len(c.levels) == 1 for trait in c.levels):
        poles = [next((each for each in shown if each[0].levels == {trait: level}), None) for level in (1.0, -1.0)]
        high, low = poles
        if high is None or low is None:
            continue
        found = list(_pairs(high, low, trait, seed, pairs))
        if base is not None:
            found += [*_pairs(high, base, trait, seed, pairs // 2), *_pairs(base, low, trait, seed, pairs // 2)]
        if found:
            out[trait] = found
    return out


_Of = tuple[Condition, Sequence[Text]]


def _pairs(first: _Of, second: _Of, trait: Trait, seed: int, many: int) -> Iterator[Pair]:
    """At most `many` places at which both have a reply, drawn by `seed`, in the order of the questions."""
    others: Mapping[Doc, Text] = {text.doc: text for text in second[1]}
    both = [text for text in first[1] if trait in text.dimensions and text.doc in others]
    own = [text for text in both if text.doc.trait == trait] or both
    draw = random.Random(f"pairs {trait} {first[0].name} {second[0].name} {seed}")
    for place in sorted(draw.sample(range(len(own)), min(many, len(own)))):
        yield Pair(first[0], own[place], others[own[place].doc], second[0].name)


def outcome(sample: Sample) -> str | None:
    """A graded comparison by its likeliest option: first, second or tie, by the place shown; None without a choice."""
    if sample.status != "valid" or sample.value_raw is None or not sample.option_values:
        return None
    if sample.option_logprobs:
        rated = [
            (log, value)
            for log, value in zip(sample.option_logprobs, sample.option_values, strict=True)
            if log is not None and value != ABSTAINED
        ]
        value = max(rated)[1]
    else:
        value = round(sample.value_raw * FIRST)
    if value not in (FIRST, SECOND):
        return "tie"
    return "first" if (value == FIRST) == (sample.order == "forward") else "second"


def checks(samples: Iterable[Sample], conditions: Sequence[Condition]) -> list[PairCheck]:
    """Sum up the comparisons among graded `samples`, judge by judge and trait by trait; the others are passed over."""
    found: dict[tuple[str, Trait], list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.judge is not None and sample.against is not None:
            found[sample.judge, sample.trait].append(sample)
    by_name = {condition.name: condition for condition in conditions}
    return [_check(judge, trait, rows, by_name) for (judge, trait), rows in found.items()]


def _check(judge: str, trait: Trait, rows: Sequence[Sample], conditions: Mapping[str, Condition]) -> PairCheck:
    comparisons = [one for row in rows if (one := _comparison(row)) is not None]
    poles: dict[object, dict[str | None, float]] = defaultdict(dict)
    aiming = ("", "")
    for row in rows:
        aims = [conditions[name].levels.get(trait) for name in (row.condition, row.against or "") if name in conditions]
        aiming = (row.condition, str(row.against)) if aims == [1.0, -1.0] else aiming
        if aims == [1.0, -1.0] and (said := outcome(row)) is not None:
            won = 0.5 if said == "tie" else float((said == "first") == (row.order == "forward"))
            poles[_place(row)][row.order] = won
    both = [pair for pair in poles.values() if len(pair) == 2]
    prior = None
    strengths = bradley_terry(comparisons)
    if not strengths.strengths and "give a prior" in strengths.reason:
        prior, strengths = _PRIOR, bradley_terry(comparisons, prior=_PRIOR)
    position = position_preference(comparisons)
    odds = contrast(strengths, *aiming) if {*aiming} <= strengths.strengths.keys() else None
    return PairCheck(
        judge=judge, trait=trait,
        high=share([float(np.mean(list(pair.values()))) for pair in both]),
        flips=share([float({*pair.values()} == {0.0, 1.0}) for pair in both]),
        position=Probe(**{name: getattr(position, name) for name in Probe.model_fields}),
        strengths=strengths.strengths,
        odds=Parameter(value=odds.value, se=odds.se, ci=odds.ci) if odds and odds.value is not None else None,
        tie=strengths.tie, order=strengths.order,
        pairs=len({(_place(row), row.condition, row.against) for row in rows}), verdicts=len(comparisons),
        abstained=sum(row.status == "abstained" for row in rows),
        missing=sum(row.status != "abstained" and outcome(row) is None for row in rows),
        prior=prior if strengths.strengths else None, reason=strengths.reason,
    )  # fmt: skip


def _place(row: Sample) -> tuple[object, ...]:
    return (row.task, row.item, row.template, row.respondent, row.repeat)


def _comparison(row: Sample) -> Comparison | None:
    if (said := outcome(row)) is None:
        return None
    shown = (row.condition, str(row.against))
    return Comparison(_place(row), *(shown if row.order == "forward" else shown[::-1]), said)


def tables(found: Sequence[PairCheck]) -> list[Table]:
    """One table, a row a judge and trait; none where nothing was compared."""
    if not found:
        return []
    rows = []
    for one in found:
        strengths = " · ".join(f"{name} {number(each.value)}" for name, each in one.strengths.items())
        rows.append([
            one.judge, one.trait, interval(one.high.value, one.high.ci), interval(one.flips.value, one.flips.ci),
            interval(one.position.value, one.position.ci), f"{one.verdicts} of {2 * one.pairs}", str(one.abstained),
            interval(one.odds.value, one.odds.ci) if one.odds else "–", strengths or one.reason or "–",
        ])  # fmt: skip
    notes = [
        "for high: verdicts that the reply aiming high shows more of the trait than the one aiming low, both orders of "
        "a pair averaged, a tie a half; flips: pairs whose order decided; shown first: share of verdicts for the reply "
        "shown first minus one half, over pairs with the baseline too; log odds: of high over low, and strengths: of "
        "all conditions (Bradley and Terry with ties and an effect of order), intervals over questions"
    ]
    if any(one.prior for one in found):
        notes.append(
            f"strengths where one condition won every time are those under a prior with SD {_PRIOR:g}, without which "
            "they are infinite"
        )
    columns = ["judge", "trait", "for high", "flips", "shown first", "verdicts", "cannot tell", "log odds", "strengths"]
    return [Table(title="Pairwise check of the judges", columns=columns, rows=rows, notes=notes)]
