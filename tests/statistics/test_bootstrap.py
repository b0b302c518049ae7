"""The cluster bootstrap against all possible redraws, a closed form, scipy and its own coverage."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from traitbench.errors import BadData, UnknownName
from traitbench.statistics.bootstrap import Bootstrap, cluster_bootstrap

Array = NDArray[np.float64]
RNG = np.random.default_rng(0)
CLUSTERS = np.repeat(np.arange(12), 4)
VALUES = RNG.normal(0, 1, 12)[CLUSTERS] + RNG.normal(0, 1, 48)


def correlation(rows: Array) -> float:
    return float(np.corrcoef(rows, rowvar=False)[0, 1])


def test_against_every_possible_redraw() -> None:
    """Three uneven clusters: 27 redraws, each as likely as the others."""
    values, clusters = np.array([1.0, 2.0, 6.0, 4.0, 9.0, 3.0]), np.array([0, 0, 0, 1, 1, 2])
    groups = [values[clusters == c] for c in range(3)]
    every = [np.concatenate(draw).mean() for draw in itertools.product(groups, repeat=3)]
    found = cluster_bootstrap(values, clusters, np.mean, iterations=40_000, seed=1, level=0.9)
    assert found.value == pytest.approx(values.mean()) and found.clusters == 3 and found.redraws == 40_000
    assert found.se == pytest.approx(np.std(every), rel=0.02)
    # The quantiles of 27 equally likely values, each a step of 1/27.
    assert found.ci == pytest.approx(tuple(np.quantile(every, [0.05, 0.95], method="inverted_cdf")))


def test_mean_of_even_clusters_has_a_closed_form() -> None:
    """The ideal bootstrap of a mean: SD of the cluster means, divisor k, over sqrt k (Efron & Tibshirani 1993)."""
    means = VALUES.reshape(12, 4).mean(axis=1)
    found = cluster_bootstrap(VALUES, CLUSTERS, np.mean, iterations=10_000)
    assert found.se == pytest.approx(means.std() / math.sqrt(12), rel=0.03)
    rows_only = cluster_bootstrap(VALUES, np.arange(48), np.mean, iterations=10_000)
    assert rows_only.se == pytest.approx(VALUES.std() / math.sqrt(48), rel=0.03)


@pytest.mark.parametrize("interval", ["percentile", "basic"])
def test_clusters_of_one_row_are_scipys_bootstrap(interval: str) -> None:
    """A correlation, rows redrawn in pairs. scipy 1.17 takes the same integers from a seed, so the digits agree."""
    rng = np.random.default_rng(2)
    x = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 40)
    ours = cluster_bootstrap(x, np.arange(40), correlation, 2000, seed=3, interval=interval)  # type: ignore[arg-type]
    theirs = stats.bootstrap(
        (x[:, 0], x[:, 1]), lambda a, b: np.corrcoef(a, b)[0, 1], paired=True, vectorized=False, n_resamples=2000,
        method=interval, rng=np.random.default_rng(3),
    )  # fmt: skip
    assert ours.value == pytest.approx(stats.pearsonr(x[:, 0], x[:, 1])[0])
    assert ours.se == pytest.approx(theirs.standard_error)
    assert ours.ci == pytest.approx((theirs.confidence_interval.low, theirs.confidence_interval.high))


def test_basic_is_percentile_reflected() -> None:
    plain = cluster_bootstrap(VALUES, CLUSTERS, np.median, 500)
    basic = cluster_bootstrap(VALUES, CLUSTERS, np.median, 500, interval="basic")
    assert plain.ci and basic.ci and plain.value is not None
    assert basic.ci == pytest.approx((2 * plain.value - plain.ci[1], 2 * plain.value - plain.ci[0]))
    assert basic.se == plain.se


def test_intervals_cover_and_those_of_single_rows_do_not() -> None:
    """300 data sets of 40 clusters of 5, intraclass correlation .5: binomial band about 95 %; iid far below it."""
    rng, clusters = np.random.default_rng(4), np.repeat(np.arange(40), 5)
    covered = {"clusters": 0, "rows": 0}
    width = {"clusters": 0.0, "rows": 0.0}
    for seed in range(300):
        x = rng.normal(0, 1, 40)[clusters] + rng.normal(0, 1, 200)
        for name, labels in (("clusters", clusters), ("rows", np.arange(200))):
            ci = cluster_bootstrap(x, labels, np.mean, 200, seed).ci
            assert ci
            covered[name] += ci[0] <= 0 <= ci[1]
            width[name] += (ci[1] - ci[0]) / 300
    low, high = stats.binom.ppf([0.001, 0.999], 300, 0.95)
    assert low <= covered["clusters"] <= high, covered
    assert covered["rows"] < 0.85 * 300, covered
    # Design effect 1 + (5 - 1) * .5 = 3.
    assert width["clusters"] / width["rows"] == pytest.approx(math.sqrt(3), rel=0.1)


def test_strata_keep_their_numbers_of_clusters() -> None:
    """Between strata nothing is redrawn: two shifted strata leave the SE of the residuals alone."""
    strata = np.where(CLUSTERS < 6, "plus", "minus")
    shifted = VALUES + np.where(CLUSTERS < 6, 10.0, -10.0)
    within = cluster_bootstrap(shifted, CLUSTERS, np.mean, 8000, strata=strata)
    means = VALUES.reshape(12, 4).mean(axis=1)
    exact = math.sqrt(6 * means[:6].var() + 6 * means[6:].var()) / 12
    assert within.se == pytest.approx(exact, rel=0.03) and within.note == ""
    across = cluster_bootstrap(shifted, CLUSTERS, np.mean, 500)
    assert across.se and within.se and across.se > 5 * within.se
    sizes = set()
    cluster_bootstrap(shifted, CLUSTERS, lambda x: sizes.add(int((x > 0).sum())) or 0.0, 50, strata=strata)
    assert sizes == {24}


def test_same_seed_same_digits() -> None:
    first = cluster_bootstrap(VALUES, CLUSTERS, np.mean, 100, seed=5)
    assert first == cluster_bootstrap(VALUES, CLUSTERS, np.mean, 100, seed=5)
    assert first != cluster_bootstrap(VALUES, CLUSTERS, np.mean, 100, seed=6)
    named = np.array([f"item {c:02}" for c in CLUSTERS])
    assert first == cluster_bootstrap(VALUES, named, np.mean, 100, seed=5)
    assert Bootstrap.model_validate_json(json.dumps(first.model_dump(mode="json"), allow_nan=False)) == first


def test_level_widens() -> None:
    ci = [cluster_bootstrap(VALUES, CLUSTERS, np.mean, 500, level=level).ci for level in (0.8, 0.95)]
    assert ci[0] and ci[1] and ci[1][0] < ci[0][0] < ci[0][1] < ci[1][1]


def test_one_cluster_has_no_interval() -> None:
    found = cluster_bootstrap(VALUES[:4], CLUSTERS[:4], np.mean)
    assert found.value == pytest.approx(VALUES[:4].mean()) and found.se is None and found.ci is None
    assert found.reason == "there is one cluster: nothing can be redrawn"
    lone = cluster_bootstrap([1.0, 2.0], [0, 1], np.mean, strata=["a", "b"])
    assert lone.se is None and lone.reason == "every stratum has one cluster: nothing can be redrawn"
    mixed = cluster_bootstrap(VALUES, CLUSTERS, np.mean, 50, strata=CLUSTERS == 0)
    assert mixed.se and mixed.note == "1 of 2 strata have one cluster, which adds no variance"


def test_no_rows_and_no_value() -> None:
    assert cluster_bootstrap([], [], np.mean).reason == "there are no rows"
    undefined = cluster_bootstrap([np.nan, 1.0, 2.0], [0, 1, 2], np.mean, 50)
    assert undefined.value is None and undefined.se is None and undefined.reason
    constant = np.ones((5, 2))
    assert cluster_bootstrap(constant, np.arange(5), correlation, 50).value is None
    assert cluster_bootstrap(VALUES, CLUSTERS, lambda x: 1 / 0, 50).value is None


def test_redraws_without_a_value_are_counted() -> None:
    """A correlation of few rows is undefined when one row is drawn throughout; often enough, no interval is given."""
    rng = np.random.default_rng(6)
    some = cluster_bootstrap(rng.normal(size=(4, 2)), np.arange(4), correlation, 1000)
    assert some.se and some.ci and 950 < some.redraws < 1000 and some.reason == ""
    few = cluster_bootstrap(rng.normal(size=(2, 2)), np.arange(2), correlation, 200)
    assert few.value is not None and few.se is None and few.ci is None
    assert few.reason == f"the statistic is undefined in {200 - few.redraws} of 200 redraws"


def test_equal_values_have_no_error() -> None:
    found = cluster_bootstrap(np.full(8, 0.1), np.repeat([0, 1, 2, 3], 2), np.mean, 50)
    assert (found.value, found.se, found.ci) == (0.1, 0.0, (0.1, 0.1))


def test_wrong_calls() -> None:
    with pytest.raises(BadData, match="one label of each a row"):
        cluster_bootstrap(VALUES, CLUSTERS[:-1], np.mean)
    with pytest.raises(BadData, match="one label of each a row"):
        cluster_bootstrap(VALUES, CLUSTERS, np.mean, strata=[1, 2])
    with pytest.raises(BadData, match="cluster 0 lies in more than one stratum"):
        cluster_bootstrap(VALUES, CLUSTERS, np.mean, strata=np.arange(48))
    with pytest.raises(UnknownName, match="level 95"):
        cluster_bootstrap(VALUES, CLUSTERS, np.mean, level=95)
    with pytest.raises(UnknownName, match="iterations 1"):
        cluster_bootstrap(VALUES, CLUSTERS, np.mean, iterations=1)
    with pytest.raises(UnknownName, match="percentile or basic"):
        cluster_bootstrap(VALUES, CLUSTERS, np.mean, interval="bca")  # type: ignore[arg-type]
