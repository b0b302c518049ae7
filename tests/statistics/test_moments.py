"""Streamed moments against numpy on the whole table, pair by pair by brute force, and in whole-number arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from traitbench.statistics.moments import Moments, to_correlation


def answers(rows: int = 500, items: int = 7, low: int = 1, high: int = 5, missing: float = 0.0) -> NDArray[np.float64]:
    """Correlated whole answers, a share of them missing."""
    rng = np.random.default_rng(rows + items)
    lean = rng.normal(size=(rows, 1)) + rng.normal(size=(rows, items))
    table = np.clip(np.rint((low + high) / 2 + lean * (high - low) / 4), low, high)
    table[rng.random(table.shape) < missing] = np.nan
    return table


def streamed(
    table: NDArray[np.floating], shift: int = 3, batch: int = 64, groups: Sequence[Sequence[int]] = ()
) -> Moments:
    moments = Moments(table.shape[1], shift, groups)
    for start in range(0, len(table), batch):
        moments.add(table[start : start + batch])
    return moments


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("missing", [0.0, 0.05])
def test_complete_rows_against_numpy(missing: float, kind: type, order: str) -> None:
    table = answers(missing=missing)
    complete = table[~np.isnan(table).any(axis=1)]
    moments = Moments(7, 3)
    for start in range(0, 500, 64):
        moments.add(np.array(table[start : start + 64], dtype=kind, order=order))  # type: ignore[call-overload]
    assert (moments.rows, moments.complete) == (500, len(complete))
    assert moments.complete_rows().mean == pytest.approx(complete.mean(axis=0), rel=1e-14)
    assert moments.complete_rows().covariance == pytest.approx(np.cov(complete.T), rel=1e-12)
    assert to_correlation(moments.complete_rows().covariance) == pytest.approx(np.corrcoef(complete.T), rel=1e-12)
    assert (moments.answered == (~np.isnan(table)).sum(axis=0)).all()


def test_pairwise_correlations_against_each_pair() -> None:
    table = answers(rows=80, items=6, missing=0.3)
    table[:, 4] = 2  # constant
    table[9:, 5] = np.nan  # nine answers at most
    found = streamed(table, batch=13).pairwise_correlation()
    for a in range(6):
        for b in range(6):
            both = ~np.isnan(table[:, a]) & ~np.isnan(table[:, b])
            if 4 in (a, b) or both.sum() < 10:
                assert np.isnan(found[a, b])
            else:
                assert found[a, b] == pytest.approx(np.corrcoef(table[both, a], table[both, b])[0, 1], abs=1e-12)


def test_pairwise_covariances_against_each_pair() -> None:
    table = answers(rows=80, items=6, missing=0.3)
    table[:, 4] = 2  # constant
    table[1:, 5] = np.nan  # one answer
    table[0, 5] = 4
    found = streamed(table, batch=13).pairs()
    for a in range(6):
        for b in range(6):
            both = ~np.isnan(table[:, a]) & ~np.isnan(table[:, b])
            assert found.n[a, b] == both.sum()
            assert found.mean[a, b] == pytest.approx(table[both, a].mean() if both.any() else np.nan, nan_ok=True)
            covariance = np.cov(table[both, a], table[both, b])[0, 1] if both.sum() > 1 else np.nan
            assert found.covariance[a, b] == pytest.approx(covariance, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_groups_against_their_complete_rows(missing: float) -> None:
    table = answers(rows=300, missing=missing)
    table[200:, 6] = np.nan
    groups = [[0, 1, 2], [4, 3], [], [5], [0, 6]]
    moments = streamed(table, groups=groups)
    sums = np.column_stack([table[:, places].sum(axis=1) for places in groups])
    for index, places in enumerate(groups):
        if places:
            complete = table[:, places][~np.isnan(table[:, places]).any(axis=1)]
            found = moments.group(index)
            assert found.n == len(complete) and found.mean == pytest.approx(complete.mean(axis=0))
            assert found.covariance == pytest.approx(np.atleast_2d(np.cov(complete.T)), rel=1e-12)
    r, n = moments.group_correlation()
    for a, first in enumerate(groups):
        for b, second in enumerate(groups):
            both = ~np.isnan(sums[:, a]) & ~np.isnan(sums[:, b]) & bool(first and second)
            assert n[a, b] == both.sum()
            expected = np.corrcoef(sums[both, a], sums[both, b])[0, 1] if first and second else np.nan
            assert r[a, b] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_an_item_constant_over_the_shared_rows_has_no_correlation() -> None:
    table = answers(rows=40, items=2)
    table[:20, 0], table[20:, 1] = 4, np.nan
    assert np.isnan(streamed(table).pairwise_correlation()[0, 1])


@pytest.mark.parametrize(("low", "high", "rows"), [(1, 5, 20_000), (1, 6, 5_000), (0, 100, 20_000), (-3, 3, 9_000)])
def test_whole_answers_have_no_rounding_error(low: int, high: int, rows: int) -> None:
    """Against int64, in one batch: 20,000 rows on a scale of 0 to 100 exceed what float32 can add exactly."""
    table = answers(rows, 5, low, high)
    moments = Moments(5, (low + high) // 2)
    moments.add(table.astype(np.float32))
    x = table.astype(np.int64)
    exact = rows * (x.T @ x) - np.outer(x.sum(axis=0), x.sum(axis=0))
    assert (moments.complete_rows().covariance == exact / (rows * (rows - 1))).all()


def test_batches_do_not_matter() -> None:
    table = answers(missing=0.02)
    one, many = streamed(table, batch=500), streamed(table, batch=3)
    assert (one.complete_rows().covariance == many.complete_rows().covariance).all()
    assert np.array_equal(one.pairwise_correlation(), many.pairwise_correlation(), equal_nan=True)


def test_fractional_answers() -> None:
    rng = np.random.default_rng(5)
    table = answers() + rng.uniform(-0.4, 0.4, (500, 7))
    table[:, 2] = 3.1
    covariance = streamed(table).complete_rows().covariance
    assert covariance == pytest.approx(np.cov(table.T), abs=1e-12)
    assert covariance[2, 2] == 0 and (covariance[2] == 0).all()


def test_a_constant_column_has_no_variance() -> None:
    table = answers()
    table[:, 1] = 5
    covariance = streamed(table).complete_rows().covariance
    assert (covariance[1] == 0).all() and (covariance[:, 1] == 0).all() and covariance[0, 0] > 0


def test_rows_without_any_answer_count_as_rows() -> None:
    table = np.full((4, 3), np.nan)
    moments = streamed(table)
    assert (moments.rows, moments.complete, list(moments.answered)) == (4, 0, [0, 0, 0])
    assert np.isnan(moments.pairwise_correlation()).all()


def test_no_rows() -> None:
    moments = Moments(3)
    moments.add(np.empty((0, 3), dtype=np.float32))
    assert (moments.rows, moments.complete) == (0, 0)
