"""Reliability against R psych, against brute force on the answers, and where nothing can be had."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import stats

from traitbench.errors import BadData
from traitbench.statistics.coefficient import Coefficient
from traitbench.statistics.reliability import (
    alpha,
    alpha_interval,
    icc,
    item_rest,
    lambda6,
    mean_inter_item_r,
    omega_hierarchical,
    omega_total,
    split_half,
)
from traitbench.statistics.structure import minres, oblimin, schmid_leiman

SCALES = "ACENO"
RATINGS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)
"""Shrout & Fleiss (1979), table 2: six targets, four judges."""


def scale(people: np.ndarray, name: str) -> np.ndarray:
    """Complete cases of all 25 items, the five of one scale."""
    first = 5 * SCALES.index(name)
    return people[~np.isnan(people).any(axis=1)][:, first : first + 5]


def values(found: list[Coefficient]) -> list[float]:
    assert all(c.value is not None and not c.reason for c in found)
    return [c.value for c in found if c.value is not None]


def answers(n: int = 300, k: int = 7, seed: int = 0, load: float = 0.6) -> np.ndarray:
    """Whole numbers from 1 to 5 that share one factor."""
    rng = np.random.default_rng(seed)
    x = load * rng.normal(size=(n, 1)) + 0.8 * rng.normal(size=(n, k)) + rng.uniform(-0.5, 0.5, k)
    return np.clip(np.round(x + 3), 1, 5)


@pytest.mark.parametrize("name", SCALES)
def test_a_scale_is_what_psych_says(golden: Any, people: np.ndarray, name: str) -> None:
    x, told = scale(people, name), golden["bfi25_keyed"]["alpha_complete"][name]
    covariance, correlation = np.cov(x.T), np.corrcoef(x.T)
    found = [alpha(covariance), alpha(correlation), lambda6(correlation), mean_inter_item_r(correlation)]
    assert values(found) == pytest.approx([told[k] for k in ("raw_alpha", "std_alpha", "G6", "average_r")], abs=1e-6)
    assert values(item_rest(covariance)) == pytest.approx(told["r_drop"], abs=1e-6)
    dropped = [np.delete(np.delete(covariance, i, 0), i, 1) for i in range(5)]
    assert values([alpha(c) for c in dropped]) == pytest.approx(told["alpha_drop"], abs=1e-6)
    omega = golden["bfi25_keyed"]["omega_1f_minres"][name]["omega_total_1f"]
    assert omega_total(correlation).value == pytest.approx(omega, abs=1e-3)


@pytest.mark.parametrize("name", SCALES)
def test_alpha_of_a_pairwise_covariance(golden: Any, people: np.ndarray, name: str) -> None:
    first = 5 * SCALES.index(name)
    x, c = people[:, first : first + 5], np.zeros((5, 5))
    for i in range(5):
        for j in range(5):
            both = ~np.isnan(x[:, i]) & ~np.isnan(x[:, j])
            c[i, j] = np.cov(x[both, i], x[both, j])[0, 1]
    told = golden["bfi25_keyed"]["alpha_pairwise"][name]
    r = c / np.sqrt(np.outer(np.diag(c), np.diag(c)))
    found = values([alpha(c), lambda6(r), mean_inter_item_r(r)])
    assert found == pytest.approx([told["raw_alpha"], told["G6"], told["average_r"]], abs=1e-6)


def test_brute_force_on_the_answers() -> None:
    """No matrix: variances of sums, regressions, correlations of columns."""
    x = answers()
    k, total = x.shape[1], x.sum(axis=1)
    by_hand = k / (k - 1) * (1 - x.var(axis=0, ddof=1).sum() / total.var(ddof=1))
    assert alpha(np.cov(x.T)).value == pytest.approx(by_hand, abs=1e-12)
    rest = [np.corrcoef(x[:, i], total - x[:, i])[0, 1] for i in range(k)]
    assert values(item_rest(np.cov(x.T))) == pytest.approx(rest, abs=1e-12)
    z = stats.zscore(x)
    unique = []
    for i in range(k):
        others = np.delete(z, i, axis=1)
        residual = z[:, i] - others @ np.linalg.lstsq(others, z[:, i])[0]
        unique.append((residual**2).mean())
    r = np.corrcoef(x.T)
    assert lambda6(r).value == pytest.approx(1 - sum(unique) / z.sum(axis=1).var(), abs=1e-12)
    pairs = [np.corrcoef(x[:, i], x[:, j])[0, 1] for i, j in combinations(range(k), 2)]
    assert mean_inter_item_r(r).value == pytest.approx(np.mean(pairs), abs=1e-12)


def test_alpha_stays_negative() -> None:
    r = np.full((4, 4), -0.2) + 1.2 * np.eye(4)
    assert alpha(r).value == pytest.approx(4 / 3 * (1 - 4 / 1.6))
    assert mean_inter_item_r(r).value == pytest.approx(-0.2)


def test_the_interval_of_alpha_is_that_of_the_mean_rating(golden: Any) -> None:
    """Alpha is ICC(3,k), and Feldt's interval is Shrout and Fleiss's."""
    told = golden["ICC_ShroutFleiss"]
    value = alpha(np.cov(RATINGS.T)).value
    assert value == pytest.approx(told["ICC"][5], abs=1e-6)
    assert alpha_interval(value, 6, 4) == pytest.approx((told["lb"][5], told["ub"][5]), abs=1e-6)
    narrow, wide = alpha_interval(value, 6, 4, 0.8), alpha_interval(value, 6, 4, 0.99)
    assert narrow and wide and wide[0] < narrow[0] < narrow[1] < wide[1]
    assert alpha_interval(None, 6, 4) is alpha_interval(0.8, 1, 4) is alpha_interval(0.8, 6, 1) is None


@pytest.mark.parametrize("loadings", [[0.5, 0.6, 0.7], [0.3, 0.9, 0.5, 0.7, 0.4], list(np.linspace(0.2, 0.9, 24))])
def test_omega_of_known_loadings(loadings: list[float]) -> None:
    load = np.array(loadings)
    r = np.outer(load, load) + np.diag(1 - load**2)
    true = load.sum() ** 2 / (load.sum() ** 2 + (1 - load**2).sum())
    assert omega_total(r).value == pytest.approx(true, abs=1e-6)


def hierarchy(general: list[float], groups: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    """Correlation matrix of group factors under a general one, and the items' loadings on that."""
    pattern = np.zeros((sum(map(len, groups)), len(groups)))
    start = 0
    for column, group in enumerate(groups):
        pattern[start : start + len(group), column] = group
        start += len(group)
    phi = np.outer(general, general)
    np.fill_diagonal(phi, 1)
    r = pattern @ phi @ pattern.T
    np.fill_diagonal(r, 1)
    return r, pattern @ np.array(general)


@pytest.mark.parametrize(
    ("general", "groups"),
    [([0.8, 0.7, 0.6], [[0.8, 0.7, 0.6, 0.5]] * 3),
     ([0.9, 0.5, 0.7], [[0.8, 0.7, 0.6], [0.7, 0.6, 0.5], [0.6, 0.5, 0.4]]),
     ([0.6] * 3, [[0.7] * 4] * 3), ([0.7] * 3, [[0.7] * 2] * 3), ([0.9, 0.8, 0.7, 0.6], [[0.8, 0.6, 0.5, 0.7]] * 4)],
)  # fmt: skip
def test_a_known_schmid_leiman_solution_is_recovered(general: list[float], groups: list[list[float]]) -> None:
    """Equal groups too, whose symmetric unrotated loadings hold a rotation where it starts."""
    r, true = hierarchy(general, groups)
    found = schmid_leiman(*oblimin(minres(r, len(general)).loadings))
    assert found.general == pytest.approx(true, abs=1e-3)
    rebuilt = np.outer(found.general, found.general) + found.groups @ found.groups.T + np.diag(found.uniquenesses)
    assert rebuilt == pytest.approx(r, abs=1e-3)
    assert omega_hierarchical(r, len(general)).value == pytest.approx(true.sum() ** 2 / r.sum(), abs=1e-3)


def test_items_of_one_factor_have_no_groups() -> None:
    for r in (np.full((9, 9), 0.5) + 0.5 * np.eye(9), np.eye(9)):
        assert omega_hierarchical(r) == (None, "the items do not form 3 groups: a rotated factor has no loading of .30")


def test_split_half_is_what_psych_says(golden: Any, people: np.ndarray) -> None:
    """psych 2.2.9 counts the splits of an odd number of items as half of what they are: its mean is of the first 5."""
    r, told = np.corrcoef(scale(people, "A").T), golden["bfi25_keyed"]["splithalf_first"]
    found = split_half(r)
    assert values([found.best, found.worst]) == pytest.approx([told["maxrb"], told["minrb"]], abs=1e-6)
    splits = []
    for half in combinations(range(5), 2):
        other = [i for i in range(5) if i not in half]
        splits.append(4 * r[np.ix_(half, other)].sum() / r.sum())
    assert np.mean(splits[:5]) == pytest.approx(told["meanr"], abs=1e-6)
    assert found.mean.value == pytest.approx(np.mean(splits), abs=1e-12)


@pytest.mark.parametrize("k", [2, 3, 6, 9])
def test_every_split(k: int) -> None:
    """On sums of the answers: the covariance of two half scores."""
    z = stats.zscore(answers(k=k))
    splits = []
    for half in combinations(range(k), k // 2):
        a, total = z[:, half].sum(axis=1), z.sum(axis=1)
        splits.append(4 * np.cov(a, total - a)[0, 1] / total.var(ddof=1))
    found = split_half(np.corrcoef(z.T))
    assert values(list(found)) == pytest.approx([max(splits), min(splits), np.mean(splits)], abs=1e-12)
    if k % 2 == 0:
        assert found.mean.value == pytest.approx(alpha(np.corrcoef(z.T)).value, abs=1e-12)


def test_many_items_are_sampled() -> None:
    r = np.corrcoef(answers(k=18).T)
    halves = np.array([[i in half for i in range(18)] for half in combinations(range(18), 9)], dtype=float)
    every = 4 * np.einsum("ij,ij->i", halves @ r, 1 - halves) / r.sum()
    found = split_half(r)
    best, worst, mean = values(list(found))
    assert every.max() - 0.01 < best <= every.max() + 1e-12 and every.min() - 1e-12 <= worst < every.min() + 0.01
    assert mean == pytest.approx(every.mean(), abs=1e-12)
    assert split_half(r) == found and split_half(r, iterations=5, seed=1).best.value < best  # type: ignore[operator]


def test_icc_is_what_psych_says(golden: Any) -> None:
    told = golden["ICC_ShroutFleiss"]
    assert np.array_equal(told["data"], RATINGS)
    found = icc(RATINGS)
    for i, one in enumerate(found[:6]):
        assert one.value == pytest.approx(told["ICC"][i], abs=1e-6)
        assert one.ci == pytest.approx((told["lb"][i], told["ub"][i]), abs=1e-6)
        assert one.f == pytest.approx(told["F"][i], abs=1e-6) and one.p == pytest.approx(told["p"][i], abs=1e-6)
        assert (one.df1, one.df2) == (told["df1"][i], told["df2"][i])


def test_icc_by_other_routes() -> None:
    x = answers(n=25, k=4)
    found, n, k = icc(x), 25, 4
    one_way = stats.f_oneway(*x)
    assert found.icc1.f == pytest.approx(one_way.statistic) and found.icc1.p == pytest.approx(one_way.pvalue)
    assert found.icc1.value == pytest.approx((one_way.statistic - 1) / (one_way.statistic + k - 1))
    c = np.cov(x.T)
    own, shared = np.trace(c) / k, (c.sum() - np.trace(c)) / (k * (k - 1))
    assert found.icc3.value == pytest.approx(shared / own)
    assert found.icc3k.value == pytest.approx(alpha(c).value)
    raters = x.mean(axis=0).var(ddof=1) - (own - shared) / n
    assert found.icc2.value == pytest.approx(shared / (own + raters))
    assert found.icc2k.value == pytest.approx(shared / (shared + (own - shared + raters) / k))
    shifted = icc(x + np.array([0, 1, 2, 3]))
    assert shifted.icc3.value == pytest.approx(found.icc3.value)
    assert shifted.icc2.value < found.icc2.value  # type: ignore[operator]


def test_a_subject_with_a_missing_rating_is_left_out() -> None:
    holed = np.vstack([RATINGS, [5, np.nan, 5, 5], [np.nan] * 4])
    assert icc(holed) == icc(RATINGS) and icc(holed).n == 6


def test_raters_who_agree_or_do_not_differ() -> None:
    subjects = np.array([1.0, 2, 3, 5])[:, None]
    for one in icc(subjects + np.zeros((1, 3)))[:6]:
        assert one.value == pytest.approx(1) and one.ci is None and one.f is None and one.p is None
    shifted = icc(subjects + np.array([[0.0, 1, 2]]))
    assert shifted.icc3.value == 1 and shifted.icc3.ci is None
    assert shifted.icc1.ci and shifted.icc1.value < 1  # type: ignore[operator]
    alike = icc(np.zeros((4, 1)) + np.array([[0.0, 1, 2]]))
    assert alike.icc1.value == pytest.approx(-0.5) and alike.icc2.value == 0
    assert {alike.icc3.reason, alike.icc1k.reason, alike.icc3k.reason} == {"the subjects do not differ"}
    opposed = icc([[1.0, 5.0], [5.0, 1.0]])
    assert opposed.icc3.value == pytest.approx(-1) and opposed.icc3k.value is None


@pytest.mark.parametrize(
    ("table", "reason"),
    [(np.full((5, 3), 3.1), "the ratings have no variance"),
     ([[1.0, 2, 3]], "fewer than two subjects without a missing rating"),
     ([[1.0, np.nan], [2, 3]], "fewer than two subjects without a missing rating"),
     ([[1.0], [2]], "fewer than two raters"), (np.zeros((0, 3)), "fewer than two subjects without a missing rating")],
)  # fmt: skip
def test_icc_of_too_little(table: Any, reason: str) -> None:
    assert all(one.value is None and one.reason == reason and one.ci is None for one in icc(table)[:6])


def every_coefficient(covariance: np.ndarray, correlation: np.ndarray) -> dict[str, Coefficient]:
    found = {"alpha": alpha(covariance), "lambda6": lambda6(correlation), "r": mean_inter_item_r(correlation),
             "omega": omega_total(correlation), "hierarchical": omega_hierarchical(correlation)}  # fmt: skip
    found |= {f"rest{i}": c for i, c in enumerate(item_rest(covariance))}
    return found | split_half(correlation, 50)._asdict()


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [([[1.0]], "fewer than two items"), (np.full((7, 7), np.nan), ("too few answers", "no variance")),
     (np.zeros((7, 7)), "no variance")],
)  # fmt: skip
def test_nothing_can_be_had(matrix: Any, reason: str | tuple[str, ...]) -> None:
    """One item; one respondent, whose covariances are undefined; nobody differs."""
    for name, found in every_coefficient(np.array(matrix), np.array(matrix)).items():
        assert found.value is None and any(r in found.reason for r in np.atleast_1d(reason)), (name, found)


def test_a_constant_item() -> None:
    """It is part of the sum whose alpha is asked; it has no correlations."""
    x = answers()
    x[:, 2] = 4
    c = np.cov(x.T)
    spread = np.sqrt(np.diag(c))
    r = np.divide(c, np.outer(spread, spread), out=np.full_like(c, np.nan), where=np.outer(spread, spread) > 0)
    found = every_coefficient(c, r)
    defined = {name for name, c in found.items() if c.value is not None}
    assert defined == {"alpha", *(f"rest{i}" for i in range(7) if i != 2)}
    total = x.sum(axis=1).var(ddof=1)
    assert found["alpha"].value == pytest.approx(7 / 6 * (1 - x.var(axis=0, ddof=1).sum() / total))
    assert found["rest2"].reason == "the item has no variance"
    assert {found[n].reason for n in ("omega", "best", "r")} == {"an item has no variance or too few answers"}


def test_a_missing_column() -> None:
    c = np.cov(answers().T)
    c[3] = c[:, 3] = np.nan
    r = np.corrcoef(answers().T)
    r[3] = r[:, 3] = np.nan
    assert all(found.value is None and "too few answers" in found.reason for found in every_coefficient(c, r).values())


@pytest.mark.parametrize("which", ["duplicated", "few"])
def test_a_singular_matrix(which: str) -> None:
    """Items that repeat each other, or fewer respondents than items: no inverse, the rest stands."""
    x = answers(k=8) if which == "duplicated" else answers(n=6, k=8, seed=3)
    if which == "duplicated":
        x[:, 1] = x[:, 0]
    found = every_coefficient(np.cov(x.T), np.corrcoef(x.T))
    undefined = {name: c.reason for name, c in found.items() if c.value is None}
    assert set(undefined) == {"lambda6", "hierarchical"} and len(set(undefined.values())) == 1
    assert "singular" in undefined["lambda6"]
    assert 0 < found["omega"].value <= 1  # type: ignore[operator]


def test_a_heywood_case_is_bounded() -> None:
    """The first loading would be 1.13."""
    r = np.array([[1, 0.8, 0.8], [0.8, 1, 0.5], [0.8, 0.5, 1]])
    assert minres(r, 1).uniquenesses[0] == pytest.approx(0.005)
    assert 0.8 < omega_total(r).value < 1  # type: ignore[operator]


def test_items_that_cancel() -> None:
    """Two opposite items: the sum does not vary, but each item does."""
    c = np.array([[1.0, -1], [-1, 1]])
    assert alpha(c) == (None, "the sum of the items has no variance")
    assert values(item_rest(c)) == pytest.approx([-1, -1])
    assert split_half(c).best.reason == "the sum of the items has no variance"
    assert omega_total(c).reason == "fewer than three items do not identify a factor"
    assert omega_hierarchical(np.eye(5)).reason == "5 items do not identify 3 factors"


@pytest.mark.parametrize("seed", range(40))
def test_whatever_comes_is_a_value_or_a_reason(seed: int) -> None:
    """Small tables of few answers, with every defect: no warning, no NaN, a reason exactly where there is no value."""
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(2, 12)), int(rng.integers(2, 10))
    x = rng.integers(1, 4, (n, k)).astype(float)
    x[:, 0] = 2 if seed % 3 == 0 else x[:, 0]
    x[:, -1] = x[:, 1] if seed % 4 == 0 else x[:, -1]
    c = np.cov(x.T)
    spread = np.outer(np.sqrt(np.diag(c)), np.sqrt(np.diag(c)))
    r = np.divide(c, spread, out=np.full_like(c, np.nan), where=spread > 0)
    for found in (*every_coefficient(c, r).values(), *icc(x)[:6]):
        assert (found.value is None) == bool(found.reason)
        assert found.value is None or np.isfinite(found.value)
    for one in icc(x)[:6]:
        assert one.ci is None or (one.value is not None and one.ci[0] - 1e-9 <= one.value <= one.ci[1] + 1e-9)


def test_what_is_no_matrix_is_refused() -> None:
    for wrong in (np.ones((3, 4)), np.ones(3)):
        with pytest.raises(BadData, match=r"expected \(k, k\)"):
            alpha(wrong)
    with pytest.raises(BadData, match="divide a covariance matrix by the standard deviations"):
        omega_total(np.cov(answers().T))
    with pytest.raises(BadData, match=r"expected \(n, k\)"):
        icc(np.ones(4))
