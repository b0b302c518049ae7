"""What a judgement is worth: the expected rating over the option tokens, from what was kept of it."""

from __future__ import annotations

import math

from traitbench.samples import Grade, Sample
from traitbench.statistics.replies import choice_bounds, choice_value
from traitbench.statistics.thresholds import JUDGES

__all__ = ["ABSTAINED", "HIGHEST", "LOWEST", "grade"]

LOWEST, HIGHEST = 0, 5
"""The scale on which all judges rate; both ends are described."""
ABSTAINED = -1
"""Value of the option that says that the text shows nothing of the dimension."""
_MOST = 0.5
"""Share of the option mass on that option from which on the judge has abstained."""
_WIDEST = 0.05
"""Points of the scale: where the options shown leave a rating less certain, it is missing."""


def grade(sample: Sample) -> Grade:
    """Grade a judgement: `value_raw` is 0 to 5, 5 the high pole, whichever way round the scale was shown.

    Too little option mass (below .25) leaves no rating (`unseen`), and so does a judge that cannot tell (`abstained`):
    `option_mass` holds all options, and the rating is over those that rate.
    """
    if not sample.option_logprobs or not sample.option_values:
        return Grade(status=sample.status if sample.status == "error" else "unseen")
    logs, values, most = sample.option_logprobs, sample.option_values, sample.option_bounds
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
