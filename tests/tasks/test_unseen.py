"""Answers of which only the likeliest tokens were shown: bounds, and what is too uncertain is missing."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from traitbench import inventories
from traitbench.backends.endpoint.scoring import bounded
from traitbench.samples import Condition, make_sample
from traitbench.statistics.replies import choice_bounds, choice_value
from traitbench.tasks import Administration
from traitbench.tasks.questionnaire import Questionnaire
from traitbench.tasks.scoring import WIDEST
from traitbench.types import Response

LOG = math.log


def test_the_bounds_of_a_value_are_those_of_a_search() -> None:
    """Against every corner of the box, and points drawn inside it."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        least = rng.uniform(0, 0.2, 5) * rng.integers(0, 2, 5)
        most = least + rng.uniform(0.001, 0.1, 5)
        values = tuple(map(int, rng.permutation(5) + 1))
        logs = [LOG(p) if p > 0 else None for p in least]
        low, high = choice_bounds(logs, [LOG(p) for p in most], values)
        corners = [np.array(c) for c in itertools.product(*zip(least, most, strict=True)) if sum(c) > 0]
        found = [float(c @ values / c.sum()) for c in corners]
        assert (low, high) == (pytest.approx(min(found)), pytest.approx(max(found)))
        inside = rng.uniform(least, most, (200, 5))
        means = inside @ np.array(values) / inside.sum(axis=1)
        assert low - 1e-12 <= means.min() and means.max() <= high + 1e-12


def test_without_a_gap_the_bounds_are_the_value() -> None:
    logs = [LOG(p) for p in (0.1, 0.2, 0.3, 0.3, 0.05)]
    assert choice_bounds(logs, logs, (1, 2, 3, 4, 5)) == pytest.approx([choice_value(logs, (1, 2, 3, 4, 5))[0]] * 2)


def test_spellings_shown_are_summed_and_the_others_bounded_by_the_last() -> None:
    """By hand. The sampled token stands last, and says nothing of what is not shown."""
    top = [("A", LOG(0.5)), (" A", LOG(0.2)), ("B", LOG(0.1)), ("(", LOG(0.04)), ("x", LOG(0.01)), ("y", LOG(0.001))]
    options = [("A", " A", "(A"), ("B", " B", "(B"), ("C", " C", "(C")]
    least, most = bounded(top, options)
    assert least == [pytest.approx(LOG(0.7)), pytest.approx(LOG(0.1)), None]
    # "(" may begin "(A", "(B" or "(C", and is likelier than the last token shown.
    assert most == pytest.approx([LOG(0.7 + 0.04), LOG(0.1 + 0.01 + 0.04), LOG(0.01 + 0.01 + 0.04)])


def test_one_token_that_is_shown_says_nothing_of_the_others() -> None:
    assert bounded([("A", LOG(0.9))], [("A",), ("B",)]) == (
        [pytest.approx(LOG(0.9)), None],
        [pytest.approx(LOG(0.9)), 0.0],
    )


def graded(least: list[float | None], most: list[float]) -> Any:
    """The sample of the first item of the Mini-IPIP, values 1 to 5 in order."""
    task = Questionnaire(
        inventories.load("mini_ipip"), Administration(scoring=("choice",), orders=("forward",), limit=1)
    )
    response = Response(option_logprobs=tuple(least), option_bounds=tuple(most))
    sample = make_sample(task.requests(0)[0], response, Condition(name="none"), task.items[0], "", 0)
    return task.grade(sample)


def test_an_answer_that_is_known_well_enough_is_halfway_between_its_bounds() -> None:
    grade = graded([LOG(0.5), LOG(0.4), None, None, None], [LOG(0.5), LOG(0.4), *[LOG(0.001)] * 3])
    low, high = 1.3 / 0.9, (1.3 + 0.003 + 0.004 + 0.005) / 0.903
    assert grade.status == "valid" and grade.value_bounds == pytest.approx((low, high))
    assert high - low < WIDEST and grade.value_raw == pytest.approx((low + high) / 2)
    assert grade.option_mass == pytest.approx(0.9)


@pytest.mark.parametrize("seen", [True, False])
def test_an_answer_that_is_not_is_missing(seen: bool) -> None:
    grade = graded([LOG(0.5) if seen else None, None, None, None, None], [LOG(0.5), *[LOG(0.02)] * 4])
    assert (grade.status, grade.value_raw, grade.value_keyed) == ("unseen", None, None)
    assert grade.option_mass == pytest.approx(0.5 if seen else 0)
    assert grade.value_bounds[1] - grade.value_bounds[0] > WIDEST
