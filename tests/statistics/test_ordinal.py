"""Ordinal logistic regression against R (MASS::polr 7.3) and statsmodels; DIF where it was put and where it was not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from traitbench.errors import BadData
from traitbench.statistics.ordinal import dif, fit_ordinal

Array = NDArray[np.float64]
POLR = (-13.7743156, 6.1846210, [1.1067385, 3.3440175, 6.5502783])
"""Log-likelihood, coefficient, thresholds."""


def answers(rng: np.random.Generator, theta: Array, hard: float, slope: float = 1.5) -> Array:
    """Answers 1 to 5 of a graded-response item."""
    latent = slope * (theta - hard) + rng.logistic(size=len(theta))
    return np.searchsorted([-2.5, -0.8, 0.8, 2.5], latent).astype(float) + 1


def groups(n: int, impact: float, shift: float = 0.0, slope: float = 1.5, seed: int = 0) -> tuple[Array, Array]:
    """Six items of two groups whose levels differ by `impact`; the first is harder by `shift` for the second."""
    rng = np.random.default_rng(seed)
    group = np.repeat([0.0, 1.0], n)
    theta = rng.standard_normal(2 * n) + impact * group
    items = [answers(rng, theta, -0.4 + 0.16 * k) for k in range(6)]
    items[0] = answers(rng, theta, -0.4 + shift * group, np.where(group == 1, slope, 1.5))  # type: ignore[arg-type]
    return np.column_stack(items), group


def test_it_agrees_with_polr() -> None:
    """R: polr(factor(y) ~ x); logLik and coefficient, of the seventeen answers below."""
    y = [1, 2, 2, 3, 1, 2, 3, 3, 4, 2, 3, 4, 4, 3, 4, 1, 4]
    x = np.array([0.1, 0.4, 0.2, 0.9, 0.5, 0.3, 1.2, 0.8, 1.1, 0.7, 0.6, 1.5, 1.3, 0.2, 1.9, 0.0, 0.9])
    found = fit_ordinal(y, x[:, None])
    assert found.log_likelihood == pytest.approx(POLR[0], abs=1e-6)
    assert found.coefficients[0] == pytest.approx(POLR[1], abs=1e-4)
    assert found.thresholds == pytest.approx(POLR[2], abs=1e-4)


def test_it_agrees_with_statsmodels() -> None:
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    items, group = groups(150, 0.5)
    x = np.column_stack([items.mean(axis=1), group])
    ours = fit_ordinal(items[:, 1], x)
    theirs = OrderedModel(items[:, 1], x, distr="logit").fit(method="newton", disp=False)
    assert ours.log_likelihood == pytest.approx(theirs.llf, abs=1e-6)
    assert ours.coefficients == pytest.approx(theirs.params[:2], abs=1e-4)


def test_two_categories_are_a_logistic_regression() -> None:
    import statsmodels.api as sm

    items, _ = groups(100, 0.0)
    y, x = (items[:, 0] > 3).astype(float), items[:, 1:].mean(axis=1)
    ours = fit_ordinal(y, x[:, None])
    theirs = sm.Logit(y, sm.add_constant(x)).fit(disp=False)
    assert ours.coefficients[0] == pytest.approx(theirs.params[1], abs=1e-6)
    assert -ours.thresholds[0] == pytest.approx(theirs.params[0], abs=1e-6)


@pytest.mark.parametrize("impact", [0.0, 1.0])
def test_an_item_that_is_harder_for_one_group_is_found_and_others_are_not(impact: float) -> None:
    items, group = groups(400, impact, shift=0.9)
    score = items.mean(axis=1)
    found = dif(items[:, 0], score, group)
    assert found.uniform_p is not None and found.uniform_p < 1e-6
    assert found.log_odds is not None and found.log_odds < 0
    assert found.size != "negligible"
    other = dif(items[:, 3], items[:, 1:].mean(axis=1), group)
    assert other.size == "negligible"


def test_an_item_that_tells_levels_apart_in_one_group_only_is_found() -> None:
    items, group = groups(400, 0.0, slope=0.1)
    found = dif(items[:, 0], items.mean(axis=1), group)
    assert found.nonuniform_p is not None and found.nonuniform_p < 1e-6


def test_without_dif_the_test_rejects_as_often_as_it_says() -> None:
    rejected = 0
    for seed in range(300):
        items, group = groups(60, 0.0, seed=seed)
        p = dif(items[:, 0], items.mean(axis=1), group).p
        rejected += p is not None and p < 0.05
    # 300 draws of 5 %: 15, SD 3.8.
    assert 5 <= rejected <= 27


@pytest.mark.parametrize(
    ("item", "score", "group", "reason"),
    [
        ([1, 2] * 10, [1, 2] * 10, [0] * 20, "1 groups"),
        ([1, 2] * 5, [1, 2] * 5, [0] * 5 + [1] * 5, "expected at least 10"),
        ([1] * 10 + [1, 2] * 5, [1, 2] * 10, [0] * 10 + [1] * 10, "every answer of a group is the same"),
        ([1, 2] * 10, [3] * 20, [0] * 10 + [1] * 10, "do not vary"),
        ([1, 2] * 10, [1, 2] * 10, [0] * 10 + [1] * 10, "without error"),
    ],
)
def test_what_cannot_be_tested_says_why(item: list[int], score: list[int], group: list[int], reason: str) -> None:
    found = dif(item, score, group)
    assert found.p is None and found.size is None
    assert reason in found.reason


def test_a_missing_answer_is_left_out() -> None:
    items, group = groups(100, 0.3)
    gaps = items[:, 0].copy()
    gaps[[3, 150]] = np.nan
    keep = ~np.isnan(gaps)
    assert dif(gaps, items.mean(axis=1), group) == dif(gaps[keep], items.mean(axis=1)[keep], group[keep])


def test_one_category_is_refused() -> None:
    with pytest.raises(BadData, match="two categories"):
        fit_ordinal([1, 1, 1], np.zeros((3, 0)))
