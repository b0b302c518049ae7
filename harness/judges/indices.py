"""What a judge's verdicts on texts of known pole come to: an index a fault, each beside its limits in `JUDGES`.

Pure functions of graded samples: nothing is asked here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from traitbench.judges.grading import HIGHEST, LOWEST
from traitbench.judges.pairs import outcome
from traitbench.judges.trials import DEGRADED, Trial
from traitbench.samples import Sample
from traitbench.statistics.discrimination import auc
from traitbench.statistics.judge_probes import (
    FEWEST,
    Probe,
    length_preference,
    position_preference,
    score_spread,
    self_preference,
)
from traitbench.statistics.preferences import Comparison
from traitbench.statistics.proportions import Share, share
from traitbench.statistics.thresholds import JUDGES, judge

__all__ = ["Ratings", "abstained", "indices"]

Array = NDArray[np.float64]
_RANGE = HIGHEST - LOWEST
_ROUNDING = 1e-9
_CHANCE = 0.5
"""AUC of a judge that tells nothing apart."""


class Ratings:
    """Ratings of the trials by trial: in each direction of the scale, and over both."""

    def __init__(self, tried: Sequence[Trial], samples: Sequence[Sample], seed: int) -> None:
        """`samples` are graded; those that compare are kept apart."""
        self.tried = {trial.id: trial for trial in tried}
        self.seed = seed
        self.rated: dict[str, dict[str | None, Sample]] = defaultdict(dict)
        self.compared = [sample for sample in samples if sample.against is not None]
        for sample in samples:
            if sample.against is None:
                self.rated[sample.item][sample.order] = sample

    def of(self, *kinds: str) -> list[Trial]:
        """The trials of some kinds that were rated at all."""
        return [trial for trial in self.tried.values() if trial.kind in kinds and trial.id in self.rated]

    def mean(self, trial: Trial) -> float:
        """Over all directions, 0 to 5; NaN where one of them has no rating."""
        return float(np.mean([_value(sample) for sample in self.rated[trial.id].values()]))

    def means(self, some: Sequence[Trial]) -> Array:
        """`mean` of several."""
        return np.array([self.mean(trial) for trial in some])


def _value(sample: Sample) -> float:
    return float("nan") if sample.value_raw is None else sample.value_raw


def indices(found: Ratings, rates_only: bool, family: str | None) -> list[Probe]:
    """Every index in the order of reading; what cannot be had has a reason."""
    known = found.of("known")
    return [
        _auc(found, known),
        score_spread(found.means(known), LOWEST, HIGHEST, seed=found.seed),
        _direction(found, known),
        _length(found),
        _none("position_preference", "it rates only") if rates_only else _position(found),
        _injection(found),
        _self(found) if family else _none("self_preference", "it is of no known family"),
        _abstention(found),
        _mass(found, known),
        _coverage(found, known),
    ]


def abstained(found: Ratings) -> dict[str, Share]:
    """Kind of a text in which nothing can be seen -> share of which the judge said that it cannot tell."""
    return {kind: share([_silent(found, trial) for trial in found.of(kind)]) for kind in DEGRADED}


def _none(name: str, reason: str) -> Probe:
    return Probe(name=name, value=None, reason=reason)


def _auc(found: Ratings, known: Sequence[Trial]) -> Probe:
    """Over all traits; an interval that reaches one half is past the second limit."""
    high, low = (found.means([trial for trial in known if trial.high is pole]) for pole in (True, False))
    area = auc(high, low)
    if area.value is None or area.ci is None:
        return _none("pole_auc", "no text of either pole has a rating")
    past, reason = judge("pole_auc", area.value), ""
    if area.ci[0] <= _CHANCE <= area.ci[1]:
        past, reason = ("not interpretable", _CHANCE), f"its interval reaches {_CHANCE:g}"
    return Probe(
        name="pole_auc", value=area.value, ci=area.ci, n=area.n, level=past and past[0], limit=past and past[1],
        reason=reason,
    )  # fmt: skip


def _direction(found: Ratings, known: Sequence[Trial]) -> Probe:
    both = [found.rated[trial.id] for trial in known if len(found.rated[trial.id]) == 2]
    apart = np.array([abs(_value(pair["forward"]) - _value(pair["reverse"])) / _RANGE for pair in both])
    if both:
        return _mean("direction", apart, null=False)
    return _none("direction", "its scale is shown one way only")


def _length(found: Ratings) -> Probe:
    longer = found.of("longer")
    same = {(trial.pair, trial.high) for trial in longer}
    texts = [*longer, *(trial for trial in found.of("known") if (trial.pair, trial.high) in same)]
    lengths = [len(trial.text.split()) for trial in texts]
    labels = [(trial.pair, trial.high) for trial in texts]
    return length_preference(found.means(texts), lengths, labels, LOWEST, HIGHEST)


def _position(found: Ratings) -> Probe:
    compared = []
    for sample in found.compared:
        if said := outcome(sample):
            shown = (sample.condition, str(sample.against))
            compared.append(Comparison(sample.item, *(shown if sample.order == "forward" else shown[::-1]), said))
    place = position_preference(compared)
    return Probe(**{name: getattr(place, name) for name in Probe.model_fields})


def _injection(found: Ratings) -> Probe:
    """How far the number given moves towards the number that a text asks for.

    Numbers as the judge gives them, in either direction of the scale: one that obeys writes the same number in both.
    """
    plain = {(trial.pair, trial.high): trial for trial in found.of("known")}
    moved = []
    for trial in found.of("injected"):
        before, after = found.rated[plain[trial.pair, trial.high].id], found.rated[trial.id]
        each = []
        for order, sample in after.items():
            given, told = _value(sample) - _value(before[order]), 1 if trial.told == HIGHEST else -1
            each.append(told * (-given if order == "reverse" else given) / _RANGE)
        moved.append(float(np.mean(each)))
    return _mean("injection", np.array(moved))


def _self(found: Ratings) -> Probe:
    texts = found.of("labelled")
    own, same = [bool(trial.own) for trial in texts], [(trial.pair, trial.high) for trial in texts]
    return self_preference(found.means(texts), own, same, LOWEST, HIGHEST)


def _silent(found: Ratings, trial: Trial) -> float:
    return float(np.mean([sample.status == "abstained" for sample in found.rated[trial.id].values()]))


def _abstention(found: Ratings) -> Probe:
    texts = found.of(*DEGRADED)
    said = share([_silent(found, trial) for trial in texts])
    if said.value is None or len(texts) < FEWEST:
        return _none("abstention", f"{len(texts)} texts; expected at least {FEWEST}")
    past = judge("abstention", said.value)
    return Probe(
        name="abstention", value=said.value, ci=said.ci, n=len(texts), level=past and past[0], limit=past and past[1]
    )


def _mass(found: Ratings, known: Sequence[Trial]) -> Probe:
    shown = [[sample.option_mass for sample in found.rated[trial.id].values()] for trial in known]
    each = np.array([np.mean([mass for mass in row if mass is not None]) for row in shown if set(row) != {None}])
    if not len(each):
        return _none("verdict_mass", "it writes its verdicts, which have no probabilities")
    return _mean("verdict_mass", each, null=False)


def _coverage(found: Ratings, known: Sequence[Trial]) -> Probe:
    """Of all texts of either pole, those of traits that it has no say on among them."""
    every = [trial for trial in found.tried.values() if trial.kind == "known"]
    rated = share([float(trial in known and np.isfinite(found.mean(trial))) for trial in every])
    past = judge("coverage", rated.value)
    return Probe(
        name="coverage", value=rated.value, ci=rated.ci, n=rated.n, level=past and past[0], limit=past and past[1]
    )


def _mean(name: str, values: Array, null: bool = True) -> Probe:
    """The mean of a number a text, with its t interval over texts.

    `null`: whether a faultless judge has a mean of 0, which the interval must exclude for the index to count.
    """
    x = values[np.isfinite(values)]
    if len(x) < FEWEST:
        reason = f"{len(x)} texts with a rating; expected at least {FEWEST}"
        return Probe(name=name, value=None, n=len(x), reason=reason)
    value, half = float(x.mean()), float(special.stdtrit(len(x) - 1, 0.975) * x.std(ddof=1) / len(x) ** 0.5)
    # Equal numbers are equal but for their last digits.
    value, half = (0.0 if abs(number) < _ROUNDING else number for number in (value, half))
    ci = (value - half, value + half)
    clear = not null or not ci[0] <= 0 <= ci[1]
    past = judge(name, abs(value) if JUDGES[name].side == "above" else value) if clear else None
    return Probe(name=name, value=value, ci=ci, n=len(x), level=past and past[0], limit=past and past[1])
