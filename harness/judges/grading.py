"""What a judgement is worth, from what was kept of it: expected over the option tokens, or the number written."""

from __future__ import annotations

import math

from traitbench.errors import BadData
from traitbench.samples import Grade, Sample
from traitbench.statistics.replies import choice_bounds, choice_value, parse_reply
from traitbench.statistics.thresholds import JUDGES
from traitbench.statistics.verdicts import parse_verdict

__all__ = ["ABSTAINED", "FIRST", "HIGHEST", "LOWEST", "PREFERENCES", "SECOND", "TIE", "grade"]

LOWEST, HIGHEST = 0, 5
"""The scale on which all judges rate; both ends are described."""
FIRST, TIE, SECOND = 2, 1, 0
"""Values of the options of a comparison: which reply shows more."""
ABSTAINED = -1
"""Value of the option that says that the text shows nothing of the dimension."""
PREFERENCES = (("A", "reply A"), ("B", "reply B"), ("T", "tie"), ("X", "cannot tell"))
"""Options of a comparison as presented: letter, and how a judge may write it."""
_MOST = 0.5
"""Share of the option mass on that option from which on the judge has abstained."""
_ROUNDING = 1e-3
"""Nats by which rounding may put a probability above one."""
_WIDEST = 0.05
"""Points of the scale: where the options shown leave a rating less certain, it is missing."""


def grade(sample: Sample) -> Grade:
    """Grade a judgement: `value_raw` is 0 to 5, 5 the high pole, whichever way round the scale was shown.

    Of a comparison it is 0 to 1: the chance that the judge takes the first reply, in whichever order, a tie being a
    half. Too little option mass (below .25) leaves no rating (`unseen`), and so does a judge that cannot tell
    (`abstained`): `option_mass` holds all options, and the rating is over those that rate. A verdict in words is read
    strictly and has no option mass.
    """
    found = _chosen(sample) if sample.option_logprobs or sample.scoring != "generate" else _written(sample)
    if sample.against is None or found.value_raw is None:
        return found
    bounds = found.value_bounds
    return found.model_copy(update={
        "value_raw": found.value_raw / FIRST,
        "value_bounds": bounds and (bounds[0] / FIRST, bounds[1] / FIRST),
    })  # fmt: skip


def _chosen(sample: Sample) -> Grade:
    """Of option log-probabilities."""
    if not sample.option_logprobs or not sample.option_values:
        return Grade(status=sample.status if sample.status == "error" else "unseen")
    logs, values, most = sample.option_logprobs, sample.option_values, sample.option_bounds
    if len(logs) != len(values) or any(log is not None and not log <= _ROUNDING for log in logs):
        raise BadData(
            f"the verdict of {sample.judge} on {sample.item} under {sample.condition} holds log-probabilities "
            f"{list(logs)} for {len(values)} options; expected one of each, none above 0: the run's responses.jsonl is "
            "damaged there; remove the line and repeat the `traitbench run`"
        )
    mass = sum(math.exp(log) for log in logs if log is not None)
    if mass < (JUDGES["verdict_mass"].bad or 0):
        return Grade(status="unseen", option_mass=mass)
    rating = [n for n, value in enumerate(values) if value != ABSTAINED]
    told = [logs[n] for n in rating]
    rated = sum(math.exp(log) for log in told if log is not None)
    if rated <= (1 - _MOST) * mass:
        return Grade(status="abstained", option_mass=mass)
    scale = [values[n] for n in rating]
    if most:
        low, high = choice_bounds(told, [most[n] for n in rating], scale)
        if high - low > _WIDEST:
            return Grade(status="unseen", option_mass=mass, value_bounds=(low, high))
        return Grade(status="valid", value_raw=(low + high) / 2, option_mass=mass, value_bounds=(low, high))
    return Grade(status="valid", value_raw=choice_value(told, scale)[0], option_mass=mass)


def _written(sample: Sample) -> Grade:
    """Of a verdict in words."""
    text = sample.resps[0][0] if sample.resps and sample.resps[0] else None
    if sample.status == "error" or not sample.option_values or not isinstance(text, str):
        return Grade(status="error" if sample.status == "error" else "unparsed")
    values = sample.option_values
    if sample.against is None:
        found = parse_verdict(text, LOWEST, HIGHEST, sample.cut)
        if found.cannot_tell:
            return Grade(status="abstained")
        return Grade(status=found.status, value_raw=None if found.value is None else float(values[found.value]))
    status, value = parse_reply(text, PREFERENCES, values, sample.cut)
    if value == ABSTAINED:
        return Grade(status="abstained")
    return Grade(status=status, value_raw=None if value is None else float(value))
