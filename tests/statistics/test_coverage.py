"""Coverage and error rates on simulated items: the bounds, and that what was there before would break them."""

from __future__ import annotations

import pytest
from covering import Case, coverage, errors, even

RUNS = 600
"""A share of .95 is then known to .009: bounds lie two to three of these outside what must hold."""
HELD = [
    Case("normal", even(8)),
    Case("normal", even(24)),
    Case("normal", even(60)),
    Case("normal", (22, 2), "halves"),
    Case("normal", (18, 6), "halves", ratio=2),
    Case("normal", even(24), facets=(4,) * 6, icc=0.2),
    Case("normal", even(60), facets=(10,) * 6, icc=0.2),
    Case("normal", even(24), over=("templates",), spread=0),
    Case("normal", even(24), over=("templates",), spread=3),
    Case("normal", (18, 6), "halves", over=("templates",), spread=1.5),
    Case("normal", even(24), over=("templates", "fits"), spread=3),
]


@pytest.mark.parametrize(
    "case", HELD, ids=lambda case: f"{case.kind}-{case.keys}-{case.facets}-{case.over}-{case.spread}"
)
def test_95_percent_where_the_assumption_holds(case: Case) -> None:
    ours, _ = coverage(case, RUNS)
    assert 0.925 <= ours <= 0.982, ours


@pytest.mark.parametrize("keys", [(12, 12), (22, 2), (18, 18), (30, 30)])
def test_lognormal_items_from_24_on(keys: tuple[int, int]) -> None:
    """Skewness 6. Pooled t covers less in each."""
    ours, pooled = coverage(Case("lognormal", keys), RUNS)
    assert ours >= 0.88 and ours > pooled + 0.02, (ours, pooled)


@pytest.mark.parametrize(
    ("case", "before"),
    [
        (Case("normal", (18, 6), "halves", ratio=2), 0.845),
        (Case("normal", even(60), facets=(10,) * 6, icc=0.2), 0.77),
        (Case("normal", even(24), facets=(4,) * 6, icc=0.2), 0.86),
        (Case("normal", even(24), over=("templates",), spread=3), 0.69),
    ],
    ids=["unequal keys", "facets of ten", "facets of four", "templates"],
)
def test_pooled_t_fails_where_it_is_known_to(case: Case, before: float) -> None:
    """So the simulation can tell a wrong interval from a right one."""
    assert coverage(case, RUNS)[1] == pytest.approx(before, abs=0.04)


NULL = [
    Case("normal", even(24)),
    Case("lognormal", even(12)),
    Case("lognormal", even(24)),
    Case("lognormal", (22, 2)),
    Case("sparse", even(24)),
    Case("normal", (18, 6), "halves", ratio=2),
    Case("normal", even(24), facets=(4,) * 6, icc=0.2),
    Case("normal", even(24), over=("templates",), spread=1.5),
]


@pytest.mark.parametrize("case", NULL, ids=lambda case: f"{case.kind}-{case.keys}-{case.facets}-{case.over}")
def test_paired_errs_as_often_as_it_says(case: Case) -> None:
    """4 to 7 %, give or take what 600 runs can tell."""
    ours, _ = errors(case, RUNS)
    assert 0.026 <= ours <= 0.08, ours


def test_pooled_t_errs_too_often_where_it_is_known_to() -> None:
    for case in (Case("normal", (18, 6), "halves", ratio=2), Case("normal", even(60), facets=(10,) * 6, icc=0.2)):
        assert errors(case, RUNS)[1] > 0.12


def test_flipped_signs_find_more_than_t_and_err_no_more() -> None:
    """Differences with outliers: t rejects 3 to 4 % of true nulls, and so too few false ones."""
    ours, pooled = errors(Case("lognormal", even(12)), 1500)
    assert pooled < 0.042 and pooled + 0.006 < ours < 0.062, (ours, pooled)
