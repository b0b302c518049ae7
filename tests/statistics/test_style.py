"""Indices of response style by hand, and the limits of every criterion."""

from __future__ import annotations

import pytest

from traitbench.statistics import THRESHOLDS, response_style
from traitbench.statistics.style import Answer
from traitbench.statistics.thresholds import JUDGES


def one(item: str, trait: str, keyed: int, order: str, *shares: float) -> Answer:
    values = (1, 2, 3) if order == "forward" else (3, 2, 1)
    return Answer(item, trait, keyed, order, "valid", shares, values, sum(shares))


def test_indices_by_hand() -> None:
    """Three options; E has both keys, O only plus, so that O says nothing about acquiescence."""
    answers = [
        one("a", "E", 1, "forward", 0.0, 0.0, 1.0), one("a", "E", 1, "reverse", 0.5, 0.5, 0.0),
        one("b", "E", -1, "forward", 0.0, 1.0, 0.0), one("c", "O", 1, "forward", 1.0, 0.0, 0.0),
    ]  # fmt: skip
    style = response_style(answers, 1, 3)
    assert style.acquiescence == pytest.approx((((3 + 2.5) / 2 + 2) / 2 - 2) / 2)
    assert style.position_bias == pytest.approx((3 - 2.5) / 2)
    assert style.positions == pytest.approx(((0 + 0.5 + 0 + 1) / 4, (0 + 0.5 + 1 + 0) / 4, 1 / 4))
    assert style.meanings == pytest.approx((1 / 4, (0.5 + 1) / 4, (1 + 0.5) / 4))
    assert (style.extreme, style.midpoint) == (pytest.approx(0.625), pytest.approx(0.375))


def test_degenerate_counts_within_an_order() -> None:
    """Always the lowest meaning in forward order, anything in reverse: 0.95 within one order is enough."""
    forward = [one(f"i{i}", "E", 1, "forward", *((1, 0, 0) if i < 19 else (0, 1, 0))) for i in range(20)]
    reverse = [one(f"i{i}", "E", 1, "reverse", *[float(i % 3 == p) for p in range(3)]) for i in range(20)]
    assert response_style(forward + reverse, 1, 3).degenerate
    fewer = [one("x", "E", 1, "forward", 0, 1, 0), *forward[1:]]
    assert not response_style(fewer + reverse, 1, 3).degenerate


def test_every_criterion_has_its_limits_in_order_and_says_where_they_come_from() -> None:
    assert not THRESHOLDS.keys() & JUDGES.keys()
    for limits in (*THRESHOLDS.values(), *JUDGES.values()):
        if limits.bad is not None:
            assert limits.caution >= limits.bad if limits.side == "below" else limits.caution <= limits.bad
        assert len(limits.source) > 10
