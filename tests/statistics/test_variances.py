"""Variances of a mean against scipy, statsmodels, analysis of variance and simulated truth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.formula.api import ols

from traitbench.statistics import stratified_mean
from traitbench.statistics.variances import facets, layout, replicates

KEYS = (1,) * 7 + (-1,) * 5
VALUES = np.array([3.1, 4.2, 2.8, 3.9, 4.4, 3.0, 2.2, 9.7, 2.9, 4.8, -3.3, 1.9])
UNEVEN = list("aaabbbbbccdd")


def test_welch_is_scipys() -> None:
    """The mean of two key means is half the difference of one and the negative of the other."""
    plus, minus = VALUES[:7], VALUES[7:]
    theirs = stats.ttest_ind(plus, -minus, equal_var=False)
    ci = theirs.confidence_interval(0.95)
    ours = stratified_mean(VALUES, KEYS, "halves")
    assert ours.df == pytest.approx(theirs.df) and ours.covers == ("items",)
    assert ours.ci == pytest.approx((ci.low / 2, ci.high / 2))


@pytest.mark.parametrize("keys", [(1,) * 8 + (-1,) * 4, (1,) * 4 + (-1,) * 4])
def test_below_five_items_a_stratum_is_pooled(keys: tuple[int, ...]) -> None:
    x = VALUES[: len(keys)]
    theirs = stats.ttest_ind(x[np.array(keys) == 1], -x[np.array(keys) == -1])
    ci = theirs.confidence_interval(0.95)
    ours = stratified_mean(x, keys, "halves")
    assert ours.df == len(keys) - 2 and ours.se == pytest.approx((ci.high - ci.low) / 4 / stats.t.ppf(0.975, ours.df))


def test_equal_facets_are_the_analysis_of_their_means() -> None:
    """One stratum, six facets of four: t of six facet means. statsmodels' cluster-robust OLS has the same SE."""
    x = np.random.default_rng(1).normal(0, 1, 24) + np.repeat(np.random.default_rng(2).normal(0, 2, 6), 4)
    labels = [f"f{i // 4}" for i in range(24)]
    ours = stratified_mean(x, np.ones(24), clusters=labels)
    means = x.reshape(6, 4).mean(axis=1)
    ci = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert ours.covers == ("facets",) and ours.df == pytest.approx(5) and ours.ci == pytest.approx((ci.low, ci.high))
    theirs = sm.OLS(x, np.ones(24)).fit(cov_type="cluster", cov_kwds={"groups": np.repeat(np.arange(6), 4)})
    assert ours.se == pytest.approx(theirs.bse[0])


def test_facets_with_both_keys_against_statsmodels() -> None:
    """CR1 of OLS on the keys, corrected by its G / (G - 1) alone: CR2 is near it, and equal where facets are equal."""
    x = np.random.default_rng(3).normal(0, 1, 24) + np.repeat(np.random.default_rng(4).normal(0, 2, 6), 4)
    keys = np.tile([1, -1], 12)
    groups = np.repeat(np.arange(6), 4)
    dummies = np.column_stack([keys == 1, keys == -1]).astype(float)
    fit = sm.OLS(x, dummies).fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})
    theirs = fit.t_test([0.5, 0.5]).sd[0, 0] * math.sqrt(6 / 5)
    found = facets(x, layout(tuple(keys.tolist()), "halves"), [str(g) for g in groups])
    assert found and math.sqrt(found.variance) == pytest.approx(theirs) and found.df == pytest.approx(5)


@pytest.mark.parametrize("weights", ["items", "halves"])
def test_facets_are_unbiased_for_independent_items(weights: Any) -> None:
    """However unequal the facets; and the df are twice the squared mean over the variance of the variance."""
    keys = (1, 1, -1, 1, 1, -1, -1, 1, 1, -1, 1, -1)
    design, rng = layout(keys, weights), np.random.default_rng(5)
    found = [facets(x, design, UNEVEN) for x in rng.normal(0, 1, (20_000, 12))]
    variances, df = np.array([f.variance for f in found if f]), found[0].df if found[0] else 0
    assert variances.mean() == pytest.approx((design.shares**2 / design.sizes).sum(), rel=0.03)
    assert 2 * variances.mean() ** 2 / variances.var() == pytest.approx(df, rel=0.06) and 1.5 < df < 3


def test_the_larger_of_the_two_errors_is_used() -> None:
    """Facets whose means are alike say less than the items do."""
    alike = np.tile([1.0, 2.0, 3.0, 4.0], 6) + np.random.default_rng(6).normal(0, 0.01, 24)
    labels = [f"f{i // 4}" for i in range(24)]
    assert stratified_mean(alike, np.ones(24), clusters=labels) == stratified_mean(alike, np.ones(24))
    robust = facets(alike, layout((1,) * 24, "items"), labels)
    assert robust and robust.variance**0.5 < (stratified_mean(alike, np.ones(24)).se or 0)


@pytest.mark.parametrize(
    "labels", [["a"] * 12, list("abcdefghijkl"), list("aaaabbbbcccc"), ["", *"aabbccddeef"]],
    ids=["one", "each its own", "three", "an item without"],
)  # fmt: skip
def test_too_few_facets_are_none(labels: list[str]) -> None:
    assert stratified_mean(VALUES, KEYS, clusters=labels) == stratified_mean(VALUES, KEYS)


def test_a_stratum_within_one_facet() -> None:
    """Its share of the error is unknown to facets, not a division by zero."""
    keys = (1,) * 10 + (-1,) * 2
    x = np.random.default_rng(8).normal(0, 1, 12)
    found = facets(x, layout(keys, "items"), list("aabbcceeffdd"))
    assert found and math.isfinite(found.variance) and found.df > 1


def crossed(rng: np.random.Generator, shape: tuple[int, ...], sds: dict[tuple[int, ...], float]) -> Any:
    """Random effects of each set of axes with their SDs."""
    out = np.zeros(shape)
    for axes, sd in sds.items():
        out = out + rng.normal(0, sd, tuple(n if a in axes else 1 for a, n in enumerate(shape)))
    return out


def test_one_replicate_axis_is_the_analysis_of_variance() -> None:
    """(MS_items + MS_templates - MS_residual) / (k r), the mean squares from statsmodels."""
    x = crossed(np.random.default_rng(9), (10, 3), {(0,): 1, (1,): 1, (0, 1): 0.5})
    rows = pd.DataFrame([(i, t, x[i, t]) for i in range(10) for t in range(3)], columns=["item", "template", "y"])
    anova = sm.stats.anova_lm(ols("y ~ C(item) + C(template)", rows).fit())
    items, templates, rest = anova["mean_sq"]
    ours = stratified_mean(x, np.ones(10), over=("templates",))
    assert ours.value == pytest.approx(x.mean()) and ours.covers == ("items", "templates")
    assert ours.se == pytest.approx(math.sqrt((items + templates - rest) / 30))
    added = (templates - rest) / 30
    assert ours.df == pytest.approx((items / 30 + added) / (items / 30 / 9 + added / 2))
    only = stratified_mean(x.mean(axis=1), np.ones(10))
    assert only.se == pytest.approx(math.sqrt(items / 30)) and ours.sd == only.sd


@pytest.mark.parametrize("weights", ["items", "halves"])
def test_the_variance_of_two_axes_is_unbiased(weights: Any) -> None:
    """Templates, fits, and all their interactions, keys 9 and 5: the mean SE^2 is the variance of the means."""
    rng, keys = np.random.default_rng(10), (1,) * 9 + (-1,) * 5
    sds = {(0,): 1.0, (1,): 0.5, (2,): 0.3, (1, 2): 0.4, (0, 1): 0.6, (0, 2): 0.5, (0, 1, 2): 0.7}
    design, means, variances = layout(keys, weights), [], []
    for _ in range(4000):
        x = crossed(rng, (14, 3, 4), sds)
        added = replicates(x, design)
        base = stratified_mean(x.mean(axis=(1, 2)), keys, weights)
        assert added and base.se and base.value is not None
        means.append(base.value)
        variances.append(base.se**2 + added.variance)
    assert np.mean(variances) == pytest.approx(np.var(means), rel=0.06)
    true = sum(
        sd**2 * ((design.shares**2 / design.sizes).sum() if 0 in axes else 1) / math.prod((1, 3, 4)[a] for a in axes)
        for axes, sd in sds.items()
    )
    assert np.mean(variances) == pytest.approx(true, rel=0.04)


def test_replicates_never_make_an_interval_narrower() -> None:
    """Templates that agree more than their noise lets expect add nothing; they are covered all the same."""
    x = crossed(np.random.default_rng(11), (12, 3), {(0,): 1, (0, 1): 1})
    x = x - x.mean(axis=0) + 0.4
    ours, only = stratified_mean(x, np.ones(12), over=("templates",)), stratified_mean(x.mean(axis=1), np.ones(12))
    assert ours[:6] == only[:6] and ours.covers == ("items", "templates")


def test_values_that_do_not_vary_have_no_error_and_are_no_division_by_zero() -> None:
    """Items alike; templates that move all alike vary all the same."""
    same = np.full((12, 3), 2.0)
    found = stratified_mean(same, KEYS, clusters=list("aabbccddeeff"), over=("templates",))
    assert found.se == 0 and found.ci == (2.0, 2.0)
    moved = stratified_mean(same + np.array([0.0, 1.0, 2.0]), KEYS, over=("templates",))
    assert moved.se == pytest.approx(1 / math.sqrt(3)) and moved.df == pytest.approx(2)


def test_holes_in_the_grid_are_not_filled() -> None:
    x = crossed(np.random.default_rng(12), (12, 3), {(0,): 1, (1,): 1, (0, 1): 0.5})
    holes = x.copy()
    holes[0, 0] = holes[5, 2] = np.nan
    holes[7] = np.nan
    ours = stratified_mean(holes, np.ones(12), over=("templates",))
    kept = [i for i in range(12) if i != 7]
    base = stratified_mean(np.nanmean(holes[kept], axis=1), np.ones(11))
    added = replicates(holes[[1, 2, 3, 4, 6, 8, 9, 10, 11]], layout((1,) * 9, "items"))
    assert (ours.value, ours.n, ours.sd) == (base.value, 11, base.sd)
    assert added and base.se and ours.se == pytest.approx(math.sqrt(base.se**2 + added.variance))


def test_a_template_without_answers_is_left_out_and_one_alone_is_no_axis() -> None:
    x = crossed(np.random.default_rng(13), (12, 3, 2), {(0,): 1, (1,): 1, (2,): 1, (0, 1): 0.5})
    holes = x.copy()
    holes[:, 1] = np.nan
    assert stratified_mean(holes, KEYS, over=("templates", "fits")) == stratified_mean(
        x[:, [0, 2]], KEYS, over=("templates", "fits")
    )
    holes[:, 2] = np.nan
    assert stratified_mean(holes, KEYS, over=("templates", "fits")) == stratified_mean(x[:, 0], KEYS, over=("fits",))
    assert stratified_mean(x[:, :1, 0], KEYS, over=("templates",)).covers == ("items",)


def test_facets_and_templates_together() -> None:
    x = crossed(np.random.default_rng(14), (24, 3), {(0,): 0.5, (1,): 1, (0, 1): 0.5})
    x = x + np.repeat(np.random.default_rng(15).normal(0, 2, 6), 4)[:, None]
    found = stratified_mean(x, np.ones(24), clusters=np.arange(24) // 4, over=("templates",))
    alone = stratified_mean(x.mean(axis=1), np.ones(24), clusters=np.arange(24) // 4)
    added = replicates(x, layout((1,) * 24, "items"))
    assert found.covers == ("facets", "templates") and alone.covers == ("facets",)
    assert added and alone.se and found.se == pytest.approx(math.sqrt(alone.se**2 + added.variance))
