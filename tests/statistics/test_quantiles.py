"""Quantiles from bins against numpy.quantile over the values themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from traitbench.errors import BadData
from traitbench.statistics.quantiles import Bins, quantile

BINS = Bins()


def counted(values: NDArray[np.float32], bins: Bins = BINS) -> NDArray[np.int64]:
    """Count (n, variables) one by one: (variables, bins)."""
    counts = np.zeros((values.shape[1], bins.number), dtype=np.int64)
    for row in bins.places(values.view(np.int32)):
        counts[np.arange(len(row)), row] += 1
    return counts


def silu(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return x / (1 + np.exp(-x))


@pytest.mark.parametrize("q", [0.05, 0.5, 0.9, 0.95, 0.99, 1.0])
@pytest.mark.parametrize("digits", [3, 6])
def test_within_the_stated_error_of_numpy(q: float, digits: int) -> None:
    bins, draw = Bins(digits=digits), np.random.default_rng(0)
    columns = (
        silu(draw.normal(0.5, 1, 4000)), silu(draw.normal(-1, 2, 4000)), draw.exponential(1, 4000),
        draw.lognormal(0, 2, 4000), draw.uniform(0.001, 0.002, 4000), np.full(4000, 0.37),
    )  # fmt: skip
    values = np.stack(columns, axis=1).astype(np.float32)
    true = np.quantile(values, q, axis=0, method="inverted_cdf").astype(float)
    read = quantile(counted(values, bins), q, bins)
    inside = (true >= 2.0**bins.low) & (true < 2.0**bins.high)
    assert inside.sum() >= 4
    assert (np.abs(read - true)[inside] <= bins.error * true[inside]).all()
    assert (read[true < 2.0**bins.low] == 0).all() and (read[true >= 2.0**bins.high] == 2.0**bins.high).all()
    assert bins.error == 0.5 ** (digits + 1) and Bins().error < 0.01


def test_every_bin_holds_what_it_is_read_as() -> None:
    edges = BINS.values().astype(np.float32)
    assert BINS.places(edges.view(np.int32)).tolist() == list(range(BINS.number))
    assert (np.diff(BINS.values()) > 0).all()


def test_the_ends_take_everything_beyond_them() -> None:
    odd = np.array([-np.inf, -1e30, -0.5, -0.0, 0.0, 1e-40, 2.0**-10 - 1e-7, 2.0**-10, 256, 1e30, np.inf], np.float32)
    assert BINS.places(odd.view(np.int32)).tolist() == [0] * 7 + [1] + [BINS.number - 1] * 3


def test_torch_and_numpy_agree_on_every_bin() -> None:
    values = np.random.default_rng(1).lognormal(0, 4, 10_000).astype(np.float32) * np.tile([1, -1], 5000)
    values = values.astype(np.float32)
    assert (
        BINS.places(torch.from_numpy(values).view(torch.int32)).tolist() == BINS.places(values.view(np.int32)).tolist()
    )


def test_rank_is_the_smallest_value_that_enough_do_not_exceed() -> None:
    """Of 1..100 the 0.95-quantile is 95 and the 0.07-quantile 7: 0.07 * 100 is a little above 7 in floating point."""
    counts = counted(np.arange(1, 101, dtype=np.float32)[:, None])
    for q, value in ((0.95, 95), (0.07, 7), (0.01, 1), (1.0, 100), (0.951, 96)):
        assert quantile(counts, q, BINS)[0] == pytest.approx(value, rel=BINS.error)


def test_counts_of_parts_add_up_to_those_of_the_whole() -> None:
    values = np.random.default_rng(2).exponential(size=(200, 3)).astype(np.float32)
    parts = counted(values[:70]) + counted(values[70:])
    assert (parts == counted(values)).all()
    assert quantile(parts.reshape(3, 1, -1), 0.9, BINS).shape == (3, 1)


def test_nothing_counted_and_no_quantile_are_refused() -> None:
    with pytest.raises(BadData, match="no values"):
        quantile(np.zeros((2, BINS.number), np.int64), 0.5, BINS)
    for q in (0.0, 1.5, -1.0):
        with pytest.raises(BadData, match=r"\(0, 1\]"):
            quantile(np.ones((1, BINS.number), np.int64), q, BINS)
