"""Many logistic regressions at once: against scikit-learn, against the conditions of a minimum, and on hard data."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from traitbench.errors import BadData
from traitbench.statistics import logistic
from traitbench.statistics.logistic import Probes, decisions, fit_logistic, fit_outcomes

Array = NDArray[np.float64]


def data(probes: int = 40, n: int = 180, k: int = 64, spread: float = 0.2, seed: int = 0) -> tuple[Array, Array]:
    """Predictors that differ in scale from probe to probe as heads do, some with a difference between classes."""
    draw = np.random.default_rng(seed)
    y = np.tile([1.0, 1.0, 0.0, 0.0], n // 4)
    x = spread * draw.exponential(size=(probes, 1, 1)) * draw.normal(size=(probes, n, k))
    return x + 0.5 * spread * draw.normal(size=(probes, 1, k)) * y[:, None], y


def by_sklearn(x: Array, y: Array, weights: Array | None = None, c: float = 1.0) -> Array:
    """One library call a probe: (probes, k + 1), the intercept last; by its Newton solver, the most exact."""
    linear = pytest.importorskip("sklearn.linear_model")
    rows = []
    for one in x:
        model = linear.LogisticRegression(C=c, tol=1e-9, max_iter=10_000, solver="newton-cholesky")
        model.fit(one, y, sample_weight=weights)
        rows.append([*model.coef_[0], model.intercept_[0]])
    return np.array(rows)


def joined(found: Probes) -> Array:
    return np.column_stack([found.weights, found.intercepts])


@pytest.mark.parametrize("c", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_agrees_with_scikit_learn(c: float, weighted: bool) -> None:
    x, y = data()
    weights = np.random.default_rng(1).uniform(0.2, 3, len(y)) if weighted else None
    found = fit_logistic(x, y, weights, c=c, tol=1e-9)
    assert found.gradient <= 1e-9
    assert np.abs(joined(found) - by_sklearn(x, y, weights, c)).max() < 1e-6


def test_agrees_with_the_default_solver_of_scikit_learn() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    x, y = data(probes=10)
    found = fit_logistic(x, y, tol=1e-9)
    for one, w, b in zip(x, found.weights, found.intercepts, strict=True):
        model = linear.LogisticRegression(tol=1e-9, max_iter=10_000).fit(one, y)
        assert np.abs(model.coef_[0] - w).max() < 1e-4 and abs(model.intercept_[0] - b) < 1e-4


@pytest.mark.parametrize("spread", [1e-4, 1.0, 300.0])
def test_separable_data_of_any_scale_come_to_a_minimum(spread: float) -> None:
    """With a penalty the minimum exists also where a plane parts the classes; far out every p is 0 or 1."""
    x, y = data(probes=6, n=40, spread=spread)
    found = fit_logistic(x, y, tol=1e-9)
    assert found.gradient <= 1e-9
    odds = decisions(found, x)
    p = 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
    slope = np.einsum("hnk,hn->hk", x, p - y) + found.weights
    assert np.abs(slope).max() < 1e-6 and np.abs((p - y).sum(axis=1)).max() < 1e-6
    if spread >= 1:
        assert ((odds > 0) == y).all(), "40 points in 64 dimensions can be parted"


def test_a_step_that_overshoots_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    """On data with outliers and very unequal weights a full Newton step can raise the loss and circle for ever."""

    def worst(seeds: range) -> float:
        left = []
        for seed in seeds:
            draw = np.random.default_rng(seed)
            n, k = int(draw.integers(4, 40)), int(draw.integers(1, 4))
            y = (np.arange(n) < draw.integers(1, n)).astype(float)
            x = draw.normal(size=(1, n, k)) * np.exp(2 * draw.normal(size=(1, n, k)))
            weights, c = np.exp(3 * draw.normal(size=n)), 10.0 ** draw.integers(0, 6)
            found = fit_logistic(x, y, weights, c=c, tol=1e-9)
            with np.errstate(over="ignore"):
                p = 1 / (1 + np.exp(-decisions(found, x)[0]))
            slope = x[0].T @ (weights * (p - y)) + found.weights[0] / c
            left.append(max(np.abs(slope).max(), abs(weights @ (p - y))) / weights.sum())
        return max(left)

    assert worst(range(120)) < 2e-9
    monkeypatch.setattr(logistic, "_HALVINGS", 1)
    assert worst(range(120)) > 1e-3, "the data are hard: without halving some never arrive"


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_many_outcomes_on_one_set_are_those_of_one_fit_each(c: float) -> None:
    x, y = data(probes=1, n=120, k=20)
    draw = np.random.default_rng(3)
    outcomes = np.stack([y, *(draw.permutation(y) for _ in range(5)), (np.arange(120) < 30).astype(float)])
    weights = draw.uniform(0.3, 2, outcomes.shape)
    found = fit_outcomes(x[0], outcomes, weights, c=c, tol=1e-9, limit=2000)
    assert found.gradient <= 1e-9 and found.weights.shape == (7, 20)
    for n, (one, own) in enumerate(zip(outcomes, weights, strict=True)):
        alone = fit_logistic(x, one, own, c=c, tol=1e-10)
        assert np.allclose(found.weights[n], alone.weights[0], atol=1e-5)
        assert found.intercepts[n] == pytest.approx(alone.intercepts[0], abs=1e-5)
    shared = fit_outcomes(x[0].astype(np.float32), outcomes[:2], weights[0], c=c, tol=1e-9, limit=2000)
    assert np.allclose(shared.weights[0], found.weights[0], atol=1e-4)
    plain = fit_outcomes(x[0], y, tol=1e-9, limit=2000)
    assert np.allclose(joined(plain), joined(fit_logistic(x, y, tol=1e-10)), atol=1e-5)


def test_shuffled_probes_of_activations_are_done_in_a_few_steps() -> None:
    """Of the size that the heads of SmolLM2 have; where activations are large, what is left is told."""
    x, y = data(probes=3, n=144, k=64, spread=0.3)
    draw = np.random.default_rng(4)
    outcomes = np.stack([draw.permutation(y) for _ in range(20)])
    for one in x:
        assert fit_outcomes(one, outcomes, limit=60).gradient <= 1e-6
    assert fit_outcomes(100 * x[0], outcomes, limit=5).gradient > 1e-6


def test_what_cannot_be_fitted_is_named_among_many_outcomes() -> None:
    x, y = data(probes=1, n=20, k=3)
    fine = np.ones(20)
    with pytest.raises(BadData, match="there is only 1"):
        fit_outcomes(x[0], np.stack([y, fine]))
    with pytest.raises(BadData, match="there is only 0"):
        fit_outcomes(x[0], np.stack([y, y]), np.stack([fine, 1 - y]))
    with pytest.raises(BadData, match="at least 0"):
        fit_outcomes(x[0], np.stack([y, y]), np.stack([fine, -fine]))
    with pytest.raises(BadData, match="other values than 0 and 1"):
        fit_outcomes(x[0], np.stack([y, 2 * y]))
    x[0, 4, 2] = np.nan
    with pytest.raises(BadData, match="observation 4: predictor 2"):
        fit_outcomes(x[0], np.stack([y, y]))


def test_a_weight_of_two_is_the_observation_twice() -> None:
    x, y = data(probes=5, n=60, k=8)
    times = np.random.default_rng(2).integers(0, 3, 60)
    twice = fit_logistic(np.repeat(x, times, axis=1), np.repeat(y, times), tol=1e-10)
    assert np.allclose(joined(fit_logistic(x, y, times, tol=1e-10)), joined(twice), atol=1e-7)


def test_swapped_classes_turn_every_sign() -> None:
    x, y = data(probes=5)
    assert np.allclose(joined(fit_logistic(x, y, tol=1e-9)), -joined(fit_logistic(x, 1 - y, tol=1e-9)), atol=1e-8)


def test_constant_columns_get_no_weight() -> None:
    x, y = data(probes=3, k=6)
    x[:, :, 2] = 7.0
    x[1] = 0.0
    found = fit_logistic(x, y, tol=1e-9)
    assert np.abs(found.weights[:, 2]).max() < 1e-6, "the intercept is free, so a constant column need not help"
    assert not found.weights[1].any() and found.intercepts[1] == pytest.approx(0, abs=1e-9)
    lopsided = fit_logistic(np.zeros((1, 8, 3)), np.array([1.0] * 6 + [0.0] * 2), tol=1e-10)
    assert lopsided.intercepts[0] == pytest.approx(np.log(3)), "nothing but the base rate is left"


def test_probes_do_not_depend_on_their_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = data(probes=12)
    whole = fit_logistic(x.astype(np.float32), y, tol=1e-9)
    monkeypatch.setattr(logistic, "_BLOCK", 1)
    alone = fit_logistic(x.astype(np.float32), y, tol=1e-9)
    assert np.allclose(joined(whole), joined(alone), atol=1e-6)


def test_decisions_are_the_log_odds() -> None:
    x, y = data(probes=4, n=20, k=3)
    found = fit_logistic(x, y)
    expected = [[one @ w + b for one in rows] for rows, w, b in zip(x, *found[:2], strict=True)]
    assert np.allclose(decisions(found, x), expected)


@pytest.mark.parametrize(
    ("outcome", "weights", "words"),
    [
        (np.ones(20), None, "there is only 1"),
        (np.tile([0.0, 1.0], 10), np.tile([1.0, 0.0], 10), "there is only 0"),
        (np.tile([0.0, 1.0], 10), np.zeros(20), "no observation"),
        (np.tile([-1.0, 1.0], 10), None, "other values than 0 and 1"),
        (np.tile([0.0, 1.0], 10), -np.ones(20), "at least 0"),
        (np.tile([0.0, 1.0], 9), None, "expected"),
    ],
)
def test_what_cannot_be_fitted_is_an_error(outcome: Array, weights: Array | None, words: str) -> None:
    x, _ = data(probes=2, n=20, k=3)
    with pytest.raises(BadData, match=words):
        fit_logistic(x, outcome, weights)


@pytest.mark.parametrize("strange", [np.nan, np.inf])
def test_a_number_that_is_none_is_named_by_its_place(strange: float) -> None:
    x, y = data(probes=2, n=20, k=3)
    x[1, 4, 2] = strange
    with pytest.raises(BadData, match="probe 1, observation 4: predictor 2"):
        fit_logistic(x, y)
