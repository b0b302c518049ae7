"""Measurement invariance against lavaan 0.6-14, and what it must find."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from traitbench.statistics.invariance import invariance

Array = NDArray[np.float64]
LOADINGS, INTERCEPTS = np.array([0.8, 0.7, 0.9, 0.6, 0.75]), np.array([3, 2.5, 3.2, 2.8, 3.1])


def people(
    rng: np.random.Generator, n: int, loadings: Array, intercepts: Array, mean: float = 0.0, sd: float = 1.0
) -> Array:
    factor = mean + sd * rng.standard_normal(n)
    return np.asarray(intercepts + np.outer(factor, loadings) + 0.8 * rng.standard_normal((n, len(loadings))))


def two_groups() -> tuple[Array, Array]:
    """One intercept differs."""
    rng = np.random.default_rng(11)
    other = INTERCEPTS + np.array([0, 0.35, 0, 0, 0])
    return people(rng, 220, LOADINGS, INTERCEPTS), people(rng, 180, LOADINGS, other, 0.5, 1.2)


def test_it_agrees_with_lavaan() -> None:
    """cfa("f =~ x1+...+x5", group=g, std.lv=TRUE, group.equal=c("loadings", "intercepts")): chisq, df, cfi, rmsea."""
    expected = {
        "configural": (10.043160, 10, 0.999938, 0.004645),
        "metric": (17.295204, 14, 0.995242, 0.034305),
        "scalar": (34.588001, 18, 0.976051, 0.067881),
    }
    found = invariance(*two_groups())
    for level, fit in found.fits.items():
        assert (fit.chi2, fit.df, fit.cfi, fit.rmsea) == pytest.approx(expected[level], abs=1e-5)
    assert found.holds == "metric"


def test_units_do_not_matter() -> None:
    first, second = two_groups()
    unit = np.array([1.0, 10.0, 0.1, 3.0, 100.0])
    plain, scaled = invariance(first, second), invariance(first * unit, second * unit)
    for level in plain.fits:
        assert scaled.fits[level].chi2 == pytest.approx(plain.fits[level].chi2, abs=1e-4)


def test_equal_groups_hold_up_to_intercepts_although_their_means_differ() -> None:
    rng = np.random.default_rng(4)
    first, second = (people(rng, 500, LOADINGS, INTERCEPTS, mean) for mean in (0.0, 1.5))
    assert invariance(first, second).holds == "scalar"


def test_other_loadings_hold_in_shape_only() -> None:
    rng = np.random.default_rng(5)
    first = people(rng, 500, LOADINGS, INTERCEPTS)
    second = people(rng, 500, np.array([0.1, 0.7, 0.9, 1.2, 0.2]), INTERCEPTS)
    assert invariance(first, second).holds == "configural"


def test_two_factors_are_no_scale() -> None:
    rng = np.random.default_rng(6)
    first, second = (
        np.hstack([people(rng, 300, LOADINGS[:3], INTERCEPTS[:3]), people(rng, 300, LOADINGS[:3], INTERCEPTS[:3])])
        for _ in range(2)
    )
    assert invariance(first, second).holds == "none"


def test_what_cannot_be_compared_says_why() -> None:
    first, second = two_groups()
    assert "at least 3" in invariance(first[:, :2], second[:, :2]).reason
    assert "more rows than indicators" in invariance(first[:5], second).reason
    flat = second.copy()
    flat[:, 2] = 3.0
    assert "does not vary" in invariance(first, flat).reason


def test_rows_with_a_gap_are_left_out() -> None:
    first, second = two_groups()
    gap = np.vstack([first, [3, np.nan, 3, 3, 3]])
    assert invariance(gap, second) == invariance(first, second)
